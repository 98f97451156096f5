"""Networks without values."""

import subprocess
import sys

import torch
from torch import nn

from ganmodels.shapes import shapes_only

# In a process of its own: what others have imported stays.
_BUILD = """
import sys
from ganmodels.shapes import shapes_only
from tests.ganmodels.builders import config_for

for recipe in ("dcgan", "cgan", "acgan", "infogan", "wgan-gp", "r3gan", "cyclegan", "points"):
    config = config_for(recipe)
    with shapes_only():
        config.game.networks(config)
    assert "torch._dynamo" not in sys.modules, recipe
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


def test_the_compiler_is_not_imported_for_it():
    subprocess.run([sys.executable, "-c", _BUILD], check=True)
