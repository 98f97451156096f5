"""The union of games. To add one: write its file and add its name here."""

from typing import Annotated

from pydantic import Field

from ganmodels.games.gan import Gan
from ganmodels.games.refiner import Refiner
from ganmodels.games.semi_supervised import SemiSupervised
from ganmodels.games.translator import Translator

Game = Annotated[Gan | SemiSupervised | Refiner | Translator, Field(discriminator="kind")]

__all__ = ["Game", "Gan", "Refiner", "SemiSupervised", "Translator"]
