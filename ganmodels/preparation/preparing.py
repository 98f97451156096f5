"""A generator made ready to serve: folded, laid out and narrowed as far as its items stay."""

import logging
import os
from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from torch import nn

from ganmodels.games import Game
from ganmodels.machine import family, is_out_of_memory, processor
from ganmodels.preparation.exactness import BATCH_SIZES, exact_sizes
from ganmodels.preparation.fixed import FixedBatch, fixed_batch
from ganmodels.preparation.folding import count_norms, fold, quick_copy
from ganmodels.preparation.graphs import Graphed
from ganmodels.preparation.packing import pack
from ganmodels.preparation.precision import choose
from ganmodels.preparation.ready import Precision
from ganmodels.preparation.steady import steady
from ganmodels.preparation.subpixel import rearrange
from ganmodels.preparation.work import Work, count
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.types import Items

log = logging.getLogger("ringside.preparation")

# Raised when a change of this package changes the bytes of items.
VERSION = 2
# Of values in [-1, 1]: an eighth of a grey level.
_FOLDING_TOLERANCE = 1e-3
_COMPARED_ITEMS = 8
# Most multiply-adds of one batch, so that loading stays quick; a few items are measured anyhow.
_MOST_WORK, _FEWEST_ITEMS = 4_500_000_000, 2


class Preparation(Spec):
    """What was chosen for one generator on this machine, and why.

    ``device`` is ``cpu`` or the name of a GPU; ``graphs``: whether its kernels are recorded there.
    ``grey_difference`` is the largest of an item's values in bfloat16 from those in float32,
    where it was tried. ``subpixel_layers`` and ``packed_layers`` count those that are computed
    otherwise than in training. ``refused_sizes`` would give other bytes than ``batch_sizes``.
    Seconds, by precision and by batch size, and with them the largest batch size, vary between
    starts; no byte of an item depends on them.
    """

    device: str
    precision: Precision
    reason: str
    grey_difference: int | None
    folded_norms: int
    kept_norms: int
    memory_format: Literal["channels_last", "contiguous"]
    subpixel_layers: int
    packed_layers: int
    batch_sizes: tuple[int, ...]
    refused_sizes: tuple[int, ...]
    graphs: bool
    seconds_per_item: dict[str, float]
    seconds_per_item_by_size: dict[int, float]


class Prepared(NamedTuple):
    """A generator that is ready: (inputs, labels) to items, in evaluation, without gradients.

    An item's bytes are the same in batches of each of ``batch_sizes`` (ascending) and at each
    place; of other sizes nothing is promised. Beside weights, inputs and labels they depend on
    the precision and on the ``kind_of_machine``.
    """

    network: nn.Module
    precision: Precision
    batch_sizes: tuple[int, ...]
    choice: Preparation


def prepare(generator: nn.Module, game: Game, space: Space, device: torch.device) -> Prepared:
    """A copy of a generator in evaluation, made ready for one kind of device.

    Two starts on machines of one kind choose alike, because bytes depend on the choice: precision
    follows from what is counted, from what is bit for bit the same there, and from whether the
    processor gains from bfloat16 at all, which no noise hides. Sizes of batches that would change
    bytes are refused for the same reason; time decides only how large batches are worth while.
    Measured on 64 items, on fewer where they are so large that loading would take seconds. Expects
    that ``be_repeatable`` was called.
    """
    plain = deepcopy(generator).to(device).eval().requires_grad_(False)
    quicker, offered = quick_copy(plain), fixed_batch(game, space, device)
    work = count(quicker, *offered)
    fixed = offered.part(0, largest_batch(work))
    expected = fixed.through(plain)
    network, folded_norms = _folded(quicker, plain, fixed, expected)
    network, subpixel_layers = _rearranged(network, fixed, expected)
    memory_format = _lay_out(network)
    verdict = choose(network, space, work, fixed, expected)
    packed_layers = pack(verdict.network, fixed)
    steady(verdict.network, fixed)
    sizes = exact_sizes(verdict.network, fixed)
    graphed = _graphed(verdict.network, fixed, sizes.exact) if device.type == "cuda" else None
    choice = Preparation(
        device=_name(device),
        precision=verdict.precision,
        reason=verdict.reason,
        grey_difference=verdict.grey_difference,
        seconds_per_item=verdict.seconds_per_item,
        batch_sizes=sizes.exact,
        refused_sizes=sizes.refused,
        seconds_per_item_by_size=sizes.seconds_per_item,
        folded_norms=folded_norms,
        kept_norms=count_norms(network),
        memory_format=memory_format,
        subpixel_layers=subpixel_layers,
        packed_layers=packed_layers,
        graphs=graphed is not None,
    )
    return Prepared(graphed or verdict.network, verdict.precision, sizes.exact, choice)


def _graphed(network: nn.Module, fixed: FixedBatch, sizes: tuple[int, ...]) -> Graphed | None:
    """The network with its kernels recorded; None where they cannot be."""
    device = fixed.inputs.device
    try:
        return Graphed(network, fixed, sizes)
    except RuntimeError as error:
        # A recording that breaks off leaves its stream behind.
        torch.cuda.set_stream(torch.cuda.default_stream(device))
        if is_out_of_memory(error):
            raise
        log.warning("kernels cannot be recorded and run one by one: %s", error)
        return None


def be_repeatable(device: torch.device) -> None:
    """Settle, for this process, all that would let equal batches come out with other bits.

    To be called before a device computes.
    """
    torch.set_num_threads(1)
    if device.type == "cuda":
        # Read by cuBLAS at its first call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        # Convolutions of float32 would else round their operands to ten bits.
        torch.backends.cudnn.allow_tf32 = False


def largest_batch(work: Work) -> int:
    """How many items at once are worth while for a network of so much work."""
    fitting = [size for size in BATCH_SIZES if size * work.total <= _MOST_WORK]
    return max([_FEWEST_ITEMS, *fitting])


def _folded(
    quicker: nn.Module, plain: nn.Module, fixed: FixedBatch, expected: Items
) -> tuple[nn.Module, int]:
    """The quicker network with norms folded, and how many; the plain one if items change by it."""
    norms = fold(quicker)
    return (quicker, norms) if _are_close(fixed.through(quicker), expected) else (plain, 0)


def _rearranged(network: nn.Module, fixed: FixedBatch, expected: Items) -> tuple[nn.Module, int]:
    """The network with what is quicker by sub-pixels, and how many layers of it; as it was on a
    GPU, or if items change by it.
    """
    if fixed.inputs.is_cuda:
        return network, 0
    other, some = deepcopy(network), fixed.first(_COMPARED_ITEMS)
    layers = rearrange(other)
    if layers and _are_close(some.through(other), expected[: len(some.labels)]):
        return other, layers
    return network, 0


def _are_close(items: Items, expected: Items) -> bool:
    off = (items - expected).abs().max()
    return bool(off <= _FOLDING_TOLERANCE * expected.abs().max().clamp(min=1))


def _lay_out(network: nn.Module) -> Literal["channels_last", "contiguous"]:
    """Channels last in memory, in place, where there are convolutions."""
    if not any(parameter.ndim == 4 for parameter in network.parameters()):
        return "contiguous"
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return "channels_last"


def kind_of_machine(device: torch.device) -> str:
    """What bytes depend on beside a model: machines of one kind make the same bytes of it."""
    name = f"{processor()} {family()}".strip() if device.type == "cpu" else _name(device)
    return f"preparation {VERSION}, torch {torch.__version__}, {name}"


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
