"""InfoGAN's codes as users write them: ``3,*,0.5``, where ``*`` leaves a code to the seed."""

import math

import numpy as np

from ganmodels.config import TrainConfig
from ganmodels.latents import Code
from service.problems import parameter_problem

Codes = tuple[Code, ...]

_KEEP = "*"


def parse_codes(text: str | None, config: TrainConfig) -> Codes | None:
    """One entry for each code of the model.

    Raises:
        Problem: when the model has no codes, or these are not codes of it.
    """
    if text is None:
        return None
    latent = config.game.latent
    if latent is None or not latent.code_count:
        detail = "this model has no codes; leave codes out or train with the infogan recipe"
        raise parameter_problem("codes-unknown", "codes", detail)
    codes = tuple(_number(part.strip()) for part in text.split(","))
    try:
        latent.with_codes(np.zeros((1, latent.width), dtype=np.float32), codes)
    except ValueError as error:
        raise parameter_problem("codes-unknown", "codes", f"{error}") from None
    return codes


def _number(text: str) -> Code:
    if text == _KEEP:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        detail = "give one number for each code, separated by commas, or * for one by the seed"
        raise parameter_problem("codes-unknown", "codes", detail)
    return int(number) if number.is_integer() else number
