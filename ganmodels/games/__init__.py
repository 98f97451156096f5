"""The union of games. To add one: write its file and add its name here."""

from typing import Annotated

from pydantic import Field

from ganmodels.games.gan import Gan
from ganmodels.games.semi_supervised import SemiSupervised

Game = Annotated[Gan | SemiSupervised, Field(discriminator="kind")]

__all__ = ["Game", "Gan", "SemiSupervised"]
