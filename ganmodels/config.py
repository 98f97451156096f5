"""TrainConfig: what ``POST /train`` means, complete and self-contained."""

from typing import Annotated

from pydantic import Field

from ganmodels.engine import Engine
from ganmodels.games import Game
from ganmodels.latents import MAX_SEED
from ganmodels.optimisation import Optimisation
from ganmodels.referee.config import Referee, StopRules
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.starting import Start

DatasetId = Annotated[str, Field(pattern=r"^ds_[0-9a-f]{32}$")]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Schedule(Spec):
    """How long to train and what to keep on the way; everything is counted in steps.

    ``keep_last`` checkpoints are kept, and all whose step is a multiple of ``keep_every``.
    """

    steps: int = Field(default=20_000, ge=1, le=10**8)
    metrics_every: int = Field(default=50, ge=1, le=10**6)
    previews_every: int = Field(default=1_000, ge=1, le=10**8)
    checkpoints_every: int = Field(default=1_000, ge=1, le=10**8)
    keep_last: int = Field(default=3, ge=1, le=100)
    keep_every: int | None = Field(default=None, ge=1, le=10**8)


class Source(Spec):
    """The dataset whose items the generator is given, in games that translate; and its space."""

    dataset: DatasetId
    space: Space


class TrainConfig(Spec):
    """A dataset, a game on it, how the networks learn, for how long, who watches, on what, seed.

    ``space`` repeats what the dataset holds, so that a checkpoint can be sampled on its own.
    """

    dataset: DatasetId
    space: Space
    source: Source | None = None
    start: Start | None = None
    game: Game
    optimisation: Optimisation
    schedule: Schedule
    referee: Referee = Referee()
    stop: StopRules = StopRules()
    engine: Engine = Engine()
    seed: Seed = 0

    @property
    def datasets(self) -> tuple[str, ...]:
        """Ids of all datasets that are needed to train, and to evaluate."""
        return (self.dataset,) if self.source is None else (self.dataset, self.source.dataset)
