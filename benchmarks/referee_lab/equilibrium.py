"""Half right proves nothing in the loop: the discriminator's accuracy beside a fresh critic's."""

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.referee_lab.datasets import dataset
from benchmarks.referee_lab.planted import FAILING, HEALTHY, Planted
from benchmarks.referee_lab.play import CPU, READ_EVERY, Setting, setting_of
from ganmodels.data.packed import PackedDataset
from ganmodels.referee.config import Protocol
from ganmodels.referee.evaluation.evaluate import evaluate
from ganmodels.referee.features.loading import load_features
from ganmodels.sampling import Sampler

_SHOWN = (
    next(p for p in FAILING if p.name == "penalty far too strong"),
    next(p for p in FAILING if p.name == "cycling, quick generator"),
    next(p for p in HEALTHY if p.name == "ring"),
)
_LOOKS = 4
_CRITIC = Protocol(measures=("critic",), samples=1_000, features="pixels")


def equilibrium(console: Console) -> bool:
    """Print both accuracies through three matches; whether the textbook's rule was misled."""
    torch.set_num_threads(1)
    table = Table("match", "data", "truth", "step", "D loss", "in-loop pairs", "in-loop reals")
    table.add_column("fresh critic (0.5 = cannot tell)")
    table.add_column("quality: energy distance")
    misled = False
    for planted in _SHOWN:
        data = dataset(planted.dataset)
        if data is not None:
            misled = _follow(planted, data, table) or misled
    console.print(table)
    console.print(
        "a rule that stops where the discriminator in the loop is right half of the time would "
        f"have stopped a match that had learned nothing: {'yes' if misled else 'not in this run'}"
    )
    return misled


def _follow(planted: Planted, data: PackedDataset, table: Table) -> bool:
    setting, misled = setting_of(planted, data, seed=1), False
    for look in range(1, _LOOKS + 1):
        target = look * planted.budget // _LOOKS
        while setting.match.step < target:
            setting.match.play(setting.deck)
            if setting.match.step % READ_EVERY == 0:
                means = setting.match.read_metrics().means
                seen = setting.referee.read(setting.match, means).columns
        fresh = _fresh_critic(setting, data)
        half = abs(seen["pair_accuracy"] - 0.5) < 0.1
        misled = misled or bool(half and planted.failure and fresh[0] > 0.9)
        real = seen["real_accuracy"]
        table.add_row(
            planted.name,
            planted.dataset,
            planted.failure or "healthy",
            str(setting.match.step),
            f"{means['discriminator_loss']:.3f}",
            f"{seen['pair_accuracy']:.2f}",
            "-" if real is None else f"{real:.2f}",
            f"{fresh[0]:.3f} +- {fresh[1]:.3f}",
            f"{seen['energy_distance']:.3f}",
        )
    return misled


def _fresh_critic(setting: Setting, data: PackedDataset) -> tuple[float, float]:
    match = setting.match
    clusters = match.game.labels.fit(data.items[data.training_indices], match.seed)
    sampler = Sampler(match.game, match.space, match.average, clusters, CPU, batch_sizes=(100,))
    features = load_features("pixels", data, None, None, CPU)
    figure = evaluate(sampler, data, _CRITIC, features).figures["critic_accuracy"]
    return figure.value, figure.standard_error or 0.0
