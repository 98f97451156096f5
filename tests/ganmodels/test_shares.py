"""Shares of batches and draws make up the whole, whatever the number of processes."""

import pytest
import torch

from ganmodels.augmentation import Ada, DiffAugment, Shift
from ganmodels.draws import SharedGenerator
from ganmodels.latents import Latent
from ganmodels.merging import settings
from ganmodels.networks.noise import Dropout, GaussianNoise
from ganmodels.several import Share
from ganmodels.validity import InvalidConfig, check
from tests.ganmodels.builders import CPU, batches_for, config_for

SEED, COUNT, SIZE = 3, 8, 4
IMAGES = torch.linspace(-1, 1, COUNT * 3 * 8 * 8).reshape(COUNT, 3, 8, 8)
LATENT = Latent(gaussian=3, uniform=2, signs=2, categorical=(3,), continuous=1)
ADA = Ada(start=0.7, most=0.8)


def noisy(layer):
    def disturb(items, random):
        layer.random = random
        return layer(items)

    return disturb


@pytest.mark.parametrize(
    "draw",
    [
        lambda items, random: LATENT.draw(len(items), random),
        lambda items, random: Shift(pixels=2)(items, random),
        lambda items, random: DiffAugment(policy=("color", "translation", "cutout"))(items, random),
        lambda items, random: ADA(items, random),
        noisy(GaussianNoise(0.5)),
        noisy(Dropout(0.5)),
    ],
    ids=["latents", "shift", "diffaugment", "ada", "noise", "dropout"],
)
def test_what_processes_draw_for_their_items_is_what_one_draws_for_all(draw):
    alone = draw(IMAGES, torch.Generator().manual_seed(SEED))
    shares = [
        draw(items, SharedGenerator.of(place, SIZE, CPU).manual_seed(SEED))
        for place, items in enumerate(IMAGES.chunk(SIZE))
    ]
    assert torch.allclose(torch.cat(shares), alone, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2])
def test_each_part_of_a_batch_is_shared_in_order(parts):
    batch = torch.arange(12)
    shares = [Share(place, 3, parts).of(batch) for place in range(3)]
    together = [torch.cat(part) for part in zip(*(s.chunk(parts) for s in shares), strict=True)]
    assert torch.cat(together).equal(batch)


def test_a_share_of_the_batches_is_dealt():
    config = config_for("dcgan")
    whole = batches_for(config).at(3)
    shares = []
    for place in range(2):
        batches = batches_for(config)
        batches._share = Share(place, 2)
        shares.append(batches.at(3))
    assert torch.cat([share.items for share in shares]).equal(whole.items)
    assert torch.cat([share.labels for share in shares]).equal(whole.labels)


@pytest.mark.parametrize("changes", [{"gpus": 2}, {"engine": {"gpus": 2}}])
def test_a_request_names_the_number_of_devices(changes):
    assert settings("dcgan", changes, items=60)["engine"] == {"gpus": 2}
    assert config_for("dcgan", **changes).engine.gpus == 2
    assert config_for("dcgan").engine.gpus == 1


@pytest.mark.parametrize(
    ("recipe", "changes", "code", "pointer"),
    [
        ("dcgan", {"batch_size": 9}, "batch-not-divisible", "/optimisation/batch_size"),
        (
            "dcgan",
            {"optimisation": {"batch_size": 6, "accumulate": 2}},
            "batch-not-divisible",
            "/optimisation/batch_size",
        ),
        ("pacgan", {"batch_size": 6}, "batch-not-divisible", "/optimisation/batch_size"),
        ("dragan", {}, "several-processes-unsupported", "/game/penalties/0"),
        ("unrolled", {}, "several-processes-unsupported", "/game/unrolling"),
        ("feature-matching", {}, "several-processes-unsupported", "/game/feature_matching"),
        ("semi-supervised", {}, "several-processes-unsupported", "/game/kind"),
        ("cyclegan", {}, "several-processes-unsupported", "/game/kind"),
        (
            "dcgan",
            {"game": {"minibatch_features": {"kind": "minibatch_stddev"}}},
            "several-processes-unsupported",
            "/game/minibatch_features",
        ),
        ("dcgan", {"game": {"replay": {}}}, "several-processes-unsupported", "/game/replay"),
    ],
)
def test_what_a_share_cannot_know_is_refused_with_several_processes_alone(
    recipe, changes, code, pointer
):
    check(config_for(recipe, **changes))
    with pytest.raises(InvalidConfig) as refused:
        check(config_for(recipe, gpus=2, **changes))
    assert (code, pointer) in [(f.code, f.pointer) for f in refused.value.findings]
    assert all("gpus" in finding.detail for finding in refused.value.findings)
