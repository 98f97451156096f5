"""The parent of every configuration: frozen, complete, refusing what it does not know."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen value with bounded numbers; unknown fields, NaN and infinity are refused.

    Subclasses bound every number with ``Field(ge=..., le=...)``: it limits hostile requests
    and lets property tests generate valid configurations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
