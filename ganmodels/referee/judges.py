"""Small networks that the referee trains itself: one body for classifiers and critics."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganmodels.referee.features.batching import shrunken_size
from ganmodels.spaces import ImageSpace, Space
from ganmodels.types import Items, Labels

LONGEST_EDGE = 64
FEATURES = 128
_WIDTH = 16
_HIDDEN = 128
_GRID = 4


class Judge(nn.Module):
    """A body [batch, ...] -> [batch, 128], and a linear head over it.

    Images: three 3x3 convolutions with batch normalisation and ReLU, halved twice, averaged to
    4x4 and mixed by a layer. Points: a perceptron. A few million operations an item.
    """

    def __init__(self, space: Space, classes: int) -> None:
        super().__init__()
        self.body = (
            _convolutions(space.channels)
            if isinstance(space, ImageSpace)
            else _perceptron(space.dimensions)
        )
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, items: Items) -> Tensor:
        """Logits [batch, classes]."""
        logits: Tensor = self.head(self.body(items))
        return logits

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Multiply the body's output by a positive factor, and leave the logits as they are."""
        last = self.body[-2]
        assert isinstance(last, nn.Linear)
        # The ReLU behind it lets a positive factor through.
        last.weight.mul_(factor)
        last.bias.mul_(factor)
        self.head.weight.div_(factor)


def new_judge(space: Space, classes: int, random: torch.Generator) -> Judge:
    """A judge with He's weights from ``random`` alone; PyTorch's global stream is left as it is."""
    with torch.random.fork_rng(devices=[]):
        judge = Judge(space, classes)
    for module in judge.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return judge


def step(judge: Judge, optimiser: torch.optim.Optimizer, items: Items, labels: Labels) -> None:
    """One step on the cross-entropy of a batch."""
    optimiser.zero_grad(set_to_none=True)
    cross_entropy(judge(items), labels).backward()
    optimiser.step()


def values_per_item(space: Space) -> int:
    """How many grid points a judge looks at: the measure of its work."""
    if not isinstance(space, ImageSpace):
        return 1
    height, width = shrunken_size(space, LONGEST_EDGE)
    return height * width


def _convolutions(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *_layer(channels, _WIDTH),
        nn.MaxPool2d(2, ceil_mode=True),
        *_layer(_WIDTH, 2 * _WIDTH),
        nn.MaxPool2d(2, ceil_mode=True),
        *_layer(2 * _WIDTH, 4 * _WIDTH),
        nn.AdaptiveAvgPool2d(_GRID),
        nn.Flatten(),
        nn.Linear(4 * _WIDTH * _GRID**2, FEATURES),
        nn.ReLU(),
    )


def _layer(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def _perceptron(dimensions: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dimensions, _HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, _HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, FEATURES),
        nn.ReLU(),
    )
