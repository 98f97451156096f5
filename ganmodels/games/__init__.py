"""The union of games. To add one: write its file and add its name here."""

from ganmodels.games.gan import Gan

Game = Gan

__all__ = ["Game", "Gan"]
