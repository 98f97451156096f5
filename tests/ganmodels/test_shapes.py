"""Networks without values."""

import torch
from torch import nn

from ganmodels.shapes import shapes_only

_RESTORE = """
import sys
from ganmodels.config import TrainConfig
from ganmodels.games.match import restore
from ganmodels.recipes import RECIPES
from ganmodels.shapes import shapes_only
from ganmodels.spaces import ImageSpace
import torch

recipe = RECIPES["cgan"]
space = ImageSpace(width=32, height=32, channels=1, classes=("a", "b"))
config = recipe.configure(space=space) if hasattr(recipe, "configure") else None
print("torch._dynamo" in sys.modules)
"""


def test_nothing_is_drawn_and_nothing_kept():
    before = torch.get_rng_state()
    with shapes_only():
        layer = nn.ConvTranspose2d(3, 4, 2)
        nn.init.normal_(layer.weight)
        nn.init.kaiming_normal_(tensor=layer.weight)
        made = torch.empty(2, 3).uniform_()
    assert layer.weight.is_meta
    assert made.is_meta
    assert made.shape == (2, 3)
    assert torch.equal(torch.get_rng_state(), before)
