"""A prepared generator makes the same items, sooner, and the same bytes in whatever batch."""

import inspect
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from ganmodels.games.match import restore
from ganmodels.preparation import be_repeatable, prepare
from ganmodels.preparation.fixed import FIXED_ITEMS, FixedBatch, fixed_batch
from ganmodels.preparation.folding import count_norms, fold, quick_copy
from ganmodels.preparation.packing import Packed, pack
from ganmodels.preparation.precision import narrowed
from ganmodels.preparation.preparing import largest_batch
from ganmodels.preparation.steady import AtLeast
from ganmodels.preparation.subpixel import rearrange
from ganmodels.preparation.work import Work
from ganmodels.recipes import RECIPES
from ganmodels.sampling import Sampler, from_network
from ganmodels.spaces import ImageSpace
from tests.ganmodels.builders import CPU, clusters_for, config_for, image_space, match_for

# One of each kind of generator: with and without norms, labels, a reference, a source.
KINDS = ("dcgan", "cgan", "cdcgan", "vanilla", "cgan-pd", "r3gan-small", "points")
KINDS = (*KINDS, "improved-gan", "cyclegan")
# Large enough that products weigh more than calls.
LARGE = image_space(16, 16, 3)


def disturb(network: nn.Module) -> None:
    """Statistics and affine parts of norms as after a training, not as they begin."""
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(generator=random)
            module.running_var.uniform_(0.5, 2, generator=random)
    for name, parameter in network.named_parameters():
        if "norm" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=random), alpha=0.3)


def generator_for(recipe: str, space=None, **changes):
    config = config_for(recipe, space, **changes)
    generator = match_for(config).average.eval()
    disturb(generator)
    return config, generator


def wide(recipe: str):
    """A generator that is large enough for bfloat16."""
    network = {"generator_width": 48, "discriminator_width": 4}
    return generator_for(recipe, LARGE, game={"network": network})


@pytest.mark.parametrize("recipe", RECIPES)
def test_folding_changes_no_item_by_more_than_rounding(recipe):
    config, generator = generator_for(recipe)
    fixed = fixed_batch(config.game, config.space, CPU)
    expected = fixed.through(generator)
    folded = quick_copy(generator)
    fold(folded)
    assert torch.allclose(fixed.through(folded), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("recipe", ["dcgan", "cgan", "cdcgan", "vanilla", "cgan-pd", "sngan"])
def test_norms_vanish_where_a_layer_precedes_them_alone(recipe):
    _, generator = generator_for(recipe)
    before = count_norms(generator)
    assert fold(generator) == before - count_norms(generator) > 0
    # A residual block's first norm reads what the plain path reads too.
    assert count_norms(generator) == (3 if recipe == "sngan" else 0)


def test_norms_of_a_semi_supervised_generator_are_folded():
    _, generator = generator_for("semi-supervised")
    fold(generator)
    assert count_norms(generator) == 0


class Branching(nn.Module):
    """A layer whose output is read beside its norm, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.twice = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, items, labels):
        features = self.branch(items)
        features = features + self.first(features)
        return self.second(self.twice(self.twice(features)))


class Unfollowable(Branching):
    """A network whose path depends on values."""

    def forward(self, items, labels):
        return super().forward(items if items.sum() > 0 else -items, labels)


@pytest.mark.parametrize("network", [Branching, Unfollowable])
def test_norms_stay_where_folding_them_would_change_items(network):
    made = network().eval()
    disturb(made)
    items = torch.randn(4, 2, 8, 8)
    expected = made(items, None)
    assert fold(made) == 0
    assert torch.equal(made(items, None), expected)


def test_norms_that_stay_know_their_statistics_in_float32():
    made = Branching().eval()
    narrow = narrowed(made)
    assert narrow.branch.weight.dtype == torch.bfloat16
    assert narrow.first.running_var.dtype == torch.float32
    assert narrow(torch.randn(1, 2, 8, 8).bfloat16(), None).dtype == torch.bfloat16


@pytest.mark.parametrize("recipe", KINDS)
def test_prepared_items_are_those_of_the_sampler_within_a_grey_level(recipe):
    config, generator = generator_for(recipe)
    plain = Sampler(config.game, config.space, generator, clusters_for(config))
    prepared = prepare(generator, config.game, config.space, CPU)
    fixed = fixed_batch(config.game, config.space, CPU)
    made = from_network(fixed.through(prepared.network), config.space)
    inputs = fixed.inputs.numpy()
    if config.source:
        inputs = ((inputs + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
    expected = plain.draw(inputs, fixed.labels.numpy())
    images = isinstance(config.space, ImageSpace)
    off = np.abs(made.astype(np.float64) - expected.astype(np.float64)).max()
    assert off <= (1 if images else 1e-4)


@pytest.mark.parametrize("recipe", KINDS)
def test_an_item_has_the_same_bytes_in_every_batch_and_place(recipe):
    config, generator = generator_for(recipe)
    assert_exact(prepare(generator, config.game, config.space, CPU), config)


@pytest.mark.parametrize("recipe", ["lsgan", "cgan"])
def test_an_item_of_a_larger_network_has_the_same_bytes_in_every_batch_and_place(recipe):
    config, generator = wide(recipe)
    assert_exact(prepare(generator, config.game, config.space, CPU), config)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 5), (12,)),
        (nn.Conv2d(3, 5, 3, padding=1), (3, 8, 8)),
        (nn.Conv2d(16, 1, 1), (16, 8, 8)),
        (nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1), (3, 8, 8)),
    ],
)
def test_a_layer_with_company_makes_of_a_few_items_what_it_makes_among_many(layer, shape):
    values = torch.randn(32, *shape)
    accompanied = AtLeast(layer, 16)
    many = accompanied(values)
    assert torch.equal(many, layer(values))
    for count in (1, 2, 5, 16):
        few = accompanied(values[3 : 3 + count])
        assert torch.equal(few, many[3 : 3 + count])


class Stack(nn.Module):
    """Layers one after the other."""

    def __init__(self, *layers) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, items, labels):
        return self.layers(items)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(16, 24), (16,)),
        (nn.Linear(16, 24, bias=False), (16,)),
        (nn.Conv2d(16, 32, 3, padding=1), (16, 8, 8)),
        (nn.Conv2d(16, 32, 3, stride=2, groups=4, bias=False), (16, 8, 8)),
        (nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), (16, 8, 8)),
        (nn.ConvTranspose2d(16, 8, 5, stride=2, padding=2, output_padding=1), (16, 8, 8)),
    ],
    ids=["linear", "linear without bias", "convolution", "in groups", "doubling", "odd doubling"],
)
@torch.inference_mode()
def test_a_packed_layer_makes_the_same_bits(layer, shape, dtype):
    network = Stack(deepcopy(layer)).to(dtype).eval()
    items = torch.randn(32, *shape).to(dtype)
    expected = network(items, None)
    assert pack(network, FixedBatch(items, torch.zeros(32, dtype=torch.int64))) == 1
    assert isinstance(network.layers[0], Packed)
    assert torch.equal(network(items, None), expected)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 8, 3, padding="same"),
        nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 8, 4, stride=2, groups=2),
    ],
    ids=["named padding", "reflected padding", "doubling in groups"],
)
@torch.inference_mode()
def test_layers_that_cannot_be_packed_stay(layer):
    network, items = Stack(layer).eval(), torch.randn(8, 4, 8, 8)
    expected = network(items, None)
    assert pack(network, FixedBatch(items, torch.zeros(8, dtype=torch.int64))) == 0
    assert network.layers[0] is layer
    assert torch.equal(network(items, None), expected)


@torch.inference_mode()
def test_a_layer_that_operators_refuse_stays():
    network, items = Stack(nn.Linear(4, 8)).double().eval(), torch.randn(8, 4).double()
    expected = network(items, None)
    assert pack(network, FixedBatch(items, torch.zeros(8, dtype=torch.int64))) == 0
    assert torch.equal(network(items, None), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_doubling_to_few_channels_becomes_a_convolution_that_makes_the_same(channels, bias):
    network = Stack(nn.ConvTranspose2d(6, channels, 4, stride=2, padding=1, bias=bias))
    items = torch.randn(5, 6, 7, 9)
    expected = network(items, None)
    assert rearrange(network) == 1
    assert torch.allclose(network(items, None), expected, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1),
        nn.ConvTranspose2d(6, 3, 4, stride=2, padding=0),
        nn.ConvTranspose2d(6, 3, 5, stride=2, padding=2, output_padding=1),
        nn.Conv2d(6, 3, 3, padding=1),
    ],
    ids=["more channels", "other padding", "other kernel", "no doubling"],
)
def test_other_layers_stay_as_they_are(layer):
    network = Stack(layer)
    assert rearrange(network) == 0
    assert network.layers[0] is layer


def assert_exact(prepared, config) -> None:
    fixed = fixed_batch(config.game, config.space, CPU)
    assert prepared.batch_sizes == tuple(sorted(prepared.batch_sizes))
    whole = parts(prepared, fixed, prepared.batch_sizes[-1], 0)
    for size in prepared.batch_sizes:
        for start in (0, 1, size // 2 + 3):
            moved = parts(prepared, fixed, size, start)
            assert torch.equal(moved, whole.roll(-start, 0))


def parts(prepared, fixed, size: int, start: int):
    """All items in batches of one size, from ``start`` on."""
    starts = range(start, start + FIXED_ITEMS, size)
    made = [fixed.part(first, size).through(prepared.network) for first in starts]
    return torch.cat(made).float()


@pytest.mark.parametrize("recipe", ["dcgan", "cgan-pd", "improved-gan", "semi-supervised"])
def test_the_generator_that_is_prepared_stays_as_it_was(recipe):
    config, generator = generator_for(recipe)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    layout = [parameter.stride() for parameter in generator.parameters()]
    prepared = prepare(generator, config.game, config.space, CPU)
    assert generator.state_dict().keys() == before.keys()
    assert all(torch.equal(generator.state_dict()[name], before[name]) for name in before)
    assert [parameter.stride() for parameter in generator.parameters()] == layout
    fixed = fixed_batch(config.game, config.space, CPU)
    items = fixed.through(prepared.network)
    for parameter in generator.parameters():
        parameter.data.fill_(torch.nan)
    assert torch.equal(fixed.through(prepared.network), items)


def test_points_stay_float32():
    config, generator = generator_for("points")
    prepared = prepare(generator, config.game, config.space, CPU)
    assert prepared.precision == "float32"
    assert fixed_batch(config.game, config.space, CPU).through(prepared.network).dtype == (
        torch.float32
    )


def test_bfloat16_is_taken_only_where_no_image_changes_by_more_than_a_grey_level():
    config, generator = wide("lsgan")
    calm = prepare(generator, config.game, config.space, CPU).choice
    with torch.no_grad():
        generator.to_image.weight.mul_(100)
    harsh = prepare(generator, config.game, config.space, CPU).choice
    assert harsh.precision == "float32"
    for choice in (calm, harsh):
        tried = choice.grey_difference
        assert choice.precision == "float32" or tried <= 1
        assert (choice.precision == "bfloat16") == (tried is not None and tried <= 1)


def test_two_starts_choose_alike():
    config, generator = wide("cgan")
    first, second = (prepare(generator, config.game, config.space, CPU) for _ in range(2))
    measured = {"seconds_per_item", "seconds_per_item_by_size", "batch_sizes"}
    assert first.choice.model_dump(exclude=measured) == second.choice.model_dump(exclude=measured)
    size = min(first.batch_sizes[-1], second.batch_sizes[-1])
    part = fixed_batch(config.game, config.space, CPU).part(0, size)
    assert torch.equal(part.through(first.network), part.through(second.network))


def test_the_more_an_item_costs_the_smaller_batches_are():
    costs = (10**5, 10**8, 10**10, 10**13)
    assert [largest_batch(Work(total=cost, dense=cost)) for cost in costs] == [64, 32, 2, 2]


def test_the_choice_is_told_as_json():
    config, generator = generator_for("cgan")
    choice = prepare(generator, config.game, config.space, CPU).choice
    told = json.loads(choice.model_dump_json())
    assert told["precision"] == "float32" and "small" in told["reason"]
    assert (told["folded_norms"], told["kept_norms"]) == (count_norms(generator), 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("recipe", ["dcgan", "r3gan-small"])
def test_on_a_gpu_recorded_kernels_make_the_same_bytes_in_every_size(recipe):
    gpu = torch.device("cuda")
    be_repeatable(gpu)
    config, generator = generator_for(recipe, LARGE)
    ready = prepare(generator, config.game, config.space, gpu)
    assert ready.choice.graphs
    fixed = fixed_batch(config.game, config.space, gpu)
    # Not what was recorded: what is asked for must get into the memory that recordings read.
    whole = fixed.part(5, ready.batch_sizes[-1]).through(ready.network.network)
    for size in ready.batch_sizes:
        assert torch.equal(fixed.part(5, size).through(ready.network), whole[:size])


def test_a_restored_generator_is_prepared():
    config, generator = generator_for("cgan")
    weights = {
        name: player.average.state_dict() for name, player in match_for(config).players.items()
    }
    weights["generator"] = generator.state_dict()
    restored = restore(config, weights)["generator"]
    fixed = fixed_batch(config.game, config.space, CPU)
    ready = [prepare(each, config.game, config.space, CPU) for each in (generator, restored)]
    made = [fixed.part(0, 8).through(each.network) for each in ready]
    assert torch.equal(*made)


def test_a_generator_that_diverged_is_prepared_too():
    config, generator = generator_for("dcgan")
    with torch.no_grad():
        generator.stem.weight.fill_(float("nan"))
    prepared = prepare(generator, config.game, config.space, CPU)
    assert prepared.precision == "float32"


def test_networks_are_called_by_other_threads_while_one_is_folded():
    def network():
        layers = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()
        return nn.Sequential(nn.Sequential(*layers), nn.Linear(4, 2)).eval()

    served, items, done, failures = network(), torch.ones(2, 4), threading.Event(), []

    def serve():
        while not done.is_set():
            try:
                served(items)
            except Exception as error:
                failures.append(error)

    def prepare_some():
        return [fold(network()) for _ in range(40)]

    serving = threading.Thread(target=serve)
    serving.start()
    with ThreadPoolExecutor(2) as pool:
        preparing = [pool.submit(prepare_some) for _ in range(2)]
    done.set()
    serving.join()
    assert failures == []
    assert all(one.result() == [1] * 40 for one in preparing)
    # Nothing of the tracing is left behind.
    assert "torch/nn" in inspect.getfile(nn.Module.__call__)
