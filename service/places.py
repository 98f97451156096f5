"""Places among latents, as bodies name them: a seed and an index, a latent, or a mix."""

from typing import Any

from pydantic import Field, model_validator

from ganmodels.config import TrainConfig
from ganmodels.latents import MAX_SEED
from ganmodels.mixing import Mode
from service.drawing import MAX_INDEX, check_latents
from service.mixes import parse_mix
from service.origins import Given, Origin, Seeded
from service.problems import body_problem
from service.schemas import Body

# As wide as a latent can be at most.
_MAX_WIDTH = 20_000


class Place(Body):
    """One latent: that of a seed and of the index ``offset``, or one as ``GET /latents`` gives it.

    Where several are asked for, a seed has one for each index from ``offset`` on.
    """

    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    offset: int = Field(default=0, ge=0, le=MAX_INDEX)
    latent: list[float] | None = Field(default=None, min_length=1, max_length=_MAX_WIDTH)

    @model_validator(mode="after")
    def _is_one_place(self) -> "Place":
        named = [name for name in self.ways() if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"give one of {', '.join(self.ways())}")
        if self.offset and self.seed is None:
            raise ValueError("offset goes with seed")
        return self

    @classmethod
    def ways(cls) -> tuple[str, ...]:
        """The fields of which one is given."""
        return "seed", "latent"

    def origin(self, config: TrainConfig, pointer: str) -> Origin:
        """Where its latents come from; ``pointer`` is where it stands in the body.

        Raises:
            Problem: when the latent does not fit the model.
        """
        if self.latent is not None:
            return Given(check_latents([self.latent], config, f"{pointer}/latent")[0])
        assert self.seed is not None, "one of both is given"
        return Seeded(self.seed, self.offset)


class Term(Place):
    """A place with its weight in a mix."""

    weight: float = Field(default=1.0, ge=-1000, le=1000)


class Keyframe(Place):
    """A place that frames pass; ``mix`` is as in ``GET /sample``."""

    mix: str | None = Field(default=None, max_length=500)
    mix_mode: Mode = "slerp"

    @classmethod
    def ways(cls) -> tuple[str, ...]:
        """The fields of which one is given."""
        return "seed", "latent", "mix"

    def origin(self, config: TrainConfig, pointer: str) -> Origin:
        """As any place's.

        Raises:
            Problem: when the latent does not fit the model, or the mix is none.
        """
        if self.mix is None:
            return super().origin(config, pointer)
        try:
            return parse_mix(self.mix, self.mix_mode)
        except ValueError as error:
            raise body_problem("validation", f"{pointer}/mix", f"{error}") from None

    def described(self) -> dict[str, Any]:
        """As it is written into files, whose size must not grow with a latent's."""
        told = self.model_dump(exclude_defaults=True)
        return told if self.latent is None else {"latent": "given"}
