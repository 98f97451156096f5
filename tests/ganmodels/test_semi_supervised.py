"""The semi-supervised game: its losses, who learns from what, and which labels are looked at."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganmodels.data.packed import PackedDataset
from ganmodels.data.subset import TooFewLabelled, labelled_subset, order_of
from ganmodels.dealing import deal
from ganmodels.estimate import estimate
from ganmodels.games.semi_supervised import supervised_loss, unsupervised_loss
from ganmodels.networks.noise import listen
from ganmodels.networks.noisy import rows
from ganmodels.recipes import RECIPES
from ganmodels.spaces import PointSpace
from ganmodels.validity import InvalidConfig, check
from tests.ganmodels.builders import CPU, config_for, deck_for, image_space, match_for
from tests.ganmodels.referee.datasets import builtin

RECIPE = "semi-supervised"
PER_CLASS = 3


def fixed_stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_losses_are_those_of_the_paper():
    """K logits l; D(x) = Z / (Z + 1) with Z = sum exp l."""
    classes, labels = [[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], [1, 0]
    evidence = [sum(math.exp(value) for value in row) for row in classes]
    named = [-row[label] for row, label in zip(classes, labels, strict=True)]
    expected = sum(n + math.log(z) for n, z in zip(named, evidence, strict=True)) / 2
    found = supervised_loss(torch.tensor(classes), torch.tensor(labels))
    assert found.item() == pytest.approx(expected)

    real, fake = torch.tensor(classes).logsumexp(1), torch.tensor([-0.3, 0.7])
    beliefs = [z / (z + 1) for z in evidence]
    doubts = [1 - 1 / (1 + math.exp(-value)) for value in fake.tolist()]
    expected = -sum(map(math.log, beliefs)) / 4 - sum(map(math.log, doubts)) / 4
    assert unsupervised_loss(real, fake).item() == pytest.approx(expected)


def test_the_logit_is_the_log_odds_of_any_class():
    config = config_for(RECIPE)
    match = match_for(config)
    discriminator = match.discriminator.eval()
    verdict = discriminator(torch.randn(4, *config.space.shape), None)
    evidence = verdict.classes.exp().sum(1)
    torch.testing.assert_close(verdict.logits, evidence.log())
    assert config.game.boundary == 0


def test_the_generator_matches_mean_features_and_nothing_else():
    config = config_for(RECIPE, game={"network": {"noise": 0.0, "input_noise": 0.0}})
    match, real = match_for(config), deck_for(config).real(0)
    fakes = match.generator(config.game.latent.draw(8, fixed_stream()), None)
    seen = [match.discriminator(items, None).features.mean(0) for items in (real.items, fakes)]
    expected = (seen[0] - seen[1]).square().mean().item()
    loss = match.game.generator_loss(match, real, fixed_stream())[0].item()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_each_step_teaches_its_own_network_only():
    config = config_for(RECIPE)
    match, deck = match_for(config), deck_for(config)
    generator, discriminator = weights(match.generator), weights(match.discriminator)
    match.game.discriminator_step(match, deck.labelled(0), deck.real(0), fixed_stream())
    assert same(generator, weights(match.generator))
    assert not same(discriminator, weights(match.discriminator))
    assert all(parameter.grad is None for parameter in match.generator.parameters())
    discriminator = weights(match.discriminator)
    match.game.generator_step(match, deck.real(1), fixed_stream())
    assert not same(generator, weights(match.generator))
    assert same(discriminator, weights(match.discriminator))


def test_rows_keep_their_length_but_those_of_the_last_layer():
    config = config_for(RECIPE)
    match, deck = match_for(config), deck_for(config)
    layers = [*match.discriminator.trunk.layers, match.discriminator.classifier.head]
    before = [layer.weight.norm(dim=1).detach() for layer in layers]
    for _ in range(3):
        match.play(deck)
    for layer, lengths in zip(layers[:-1], before[:-1], strict=True):
        torch.testing.assert_close(layer.weight.norm(dim=1), lengths)
        assert not rows(layer).lengths.requires_grad
    assert not torch.allclose(layers[-1].weight.norm(dim=1), before[-1])


def test_noise_is_of_the_training_alone():
    config = config_for(RECIPE)
    discriminator = match_for(config).discriminator
    items = torch.randn(4, *config.space.shape)
    listen(discriminator, fixed_stream())
    noisy = [discriminator.train()(items, None).logits for _ in range(2)]
    assert not torch.equal(*noisy)
    calm = [discriminator.eval()(items, None).logits for _ in range(2)]
    assert torch.equal(*calm)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> PackedDataset:
    return builtin(tmp_path_factory.mktemp("digits"), "digits")


def played(config, dataset: PackedDataset, steps: int) -> dict[str, torch.Tensor]:
    match, deck = match_for(config), deal(config, dataset, None, None, CPU)
    for _ in range(steps):
        match.play(deck)
    return match.state().tensors


def relabelled(dataset: PackedDataset, kept: NDArray[np.int64]) -> PackedDataset:
    """The labels of all items but the kept ones are shuffled."""
    labels = np.array(dataset.labels)
    others = np.setdiff1d(np.arange(len(labels)), kept)
    labels[others] = np.random.default_rng(1).permutation(labels[others])
    return dataclasses.replace(dataset, labels=labels)


def test_labels_that_were_not_given_have_no_influence(digits):
    """Those met before the last item that is taken only decide which items are taken."""
    space, training = digits.manifest.space, digits.training_indices
    config = config_for(RECIPE, space, game={"labelled_per_class": PER_CLASS})
    order = order_of(len(training), config.seed)
    places = labelled_subset(digits.labels[training], 10, PER_CLASS, config.seed)
    met = training[order[: np.flatnonzero(np.isin(order, places)).max() + 1]]
    other = relabelled(digits, kept=met)
    assert (other.labels != digits.labels).sum() > len(training) / 2
    first, second = played(config, digits, 3), played(config, other, 3)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_dealt_batches_show_the_labels_of_the_chosen_items_alone(digits):
    config = config_for(RECIPE, digits.manifest.space, game={"labelled_per_class": PER_CLASS})
    deck = deal(config, digits, None, None, CPU)
    assert deck.real(0).labels is None
    batches = [deck.labelled(draw) for draw in range(12)]
    items = torch.cat([batch.items for batch in batches]).flatten(1)
    labels = torch.cat([batch.labels for batch in batches])
    distinct, place = torch.unique(items, dim=0, return_inverse=True)
    assert len(distinct) == 10 * PER_CLASS
    assert all(len(labels[place == number].unique()) == 1 for number in range(len(distinct)))


def test_a_subset_has_so_many_of_each_class_and_follows_the_seed():
    labels = np.arange(600) % 10
    first, again, other = (labelled_subset(labels, 10, 5, seed) for seed in (0, 0, 1))
    assert np.bincount(labels[first]).tolist() == [5] * 10
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first, np.sort(first))


def test_a_class_with_too_few_items_is_named():
    labels = np.array([0] * 9 + [1] * 2)
    with pytest.raises(TooFewLabelled) as caught:
        labelled_subset(labels, 2, 3, 0)
    assert (caught.value.number, caught.value.count) == (1, 2)


@pytest.mark.parametrize(
    ("code", "space", "game"),
    [
        ("dataset-unlabelled", image_space(classes=0), {}),
        ("dataset-unlabelled", image_space(classes=1), {}),
        ("batch-norm-in-discriminator", None, {"network": {"kind": "dcgan"}}),
        (
            "network-needs-images",
            PointSpace(dimensions=2, classes=("a", "b")),
            {"network": {"kind": "dcgan", "discriminator_norm": "none"}},
        ),
    ],
)
def test_what_would_not_train_is_refused_with_its_reason(code, space, game):
    with pytest.raises(InvalidConfig) as caught:
        check(config_for(RECIPE, space, game=game))
    assert code in {finding.code for finding in caught.value.findings}
    assert all(len(finding.detail) > 40 for finding in caught.value.findings)


def test_images_and_points_of_two_classes_are_accepted():
    convolutions = {"kind": "dcgan", "discriminator_norm": "none", "generator_width": 4}
    assert check(config_for(RECIPE, game={"network": convolutions})) == []
    assert check(config_for(RECIPE, PointSpace(dimensions=2, classes=("a", "b")))) == []


def test_its_cost_is_known_before_it_is_trained():
    """Three batches through D in its own turn, and G's turn beside features of reals.

    A way back is twice the way there, but nothing leads back to items and latents, and in G's turn
    none to D's weights or through the classifier behind the features.
    """
    game = {"network": {"generator_widths": [8], "discriminator_widths": [16, 4]}}
    config = config_for(RECIPE, game=game, optimisation={"batch_size": 10})
    cost = estimate(config)
    values, classes = 64, 3
    layers = [20 * values * 16, 20 * 16 * 4, 20 * 4 * classes]
    discriminator, first, features = sum(layers), layers[0], sum(layers[:2])
    latents, generator = 20 * 100 * 8, 20 * 100 * 8 + 20 * 8 * values
    judging = generator + 3 * (3 * discriminator - first)
    making = 3 * generator - latents + 2 * discriminator + features
    assert cost.step_flops == judging + making
    assert RECIPES[RECIPE].game.classifies


def test_no_evaluation_that_learns_from_all_labels_chooses_the_version():
    assert RECIPES["semi-supervised"].referee.evaluate_every == 0
