"""What BentoML answers with."""

from typing import Annotated

from bentoml.validators import ContentType

Png = Annotated[bytes, ContentType("image/png")]
