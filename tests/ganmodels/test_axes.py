"""What each axis of the GAN adds to a step is what its paper says, and touches nothing else."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from ganmodels.data.batches import Batch
from ganmodels.games.gan import Gan
from ganmodels.games.historical import WeightHistory
from ganmodels.games.player import Player
from ganmodels.games.unrolling import look_ahead
from ganmodels.information import Information
from ganmodels.latents import Latent
from ganmodels.matching import distance
from ganmodels.networks.discriminator import Company, packed
from ganmodels.optimisation import Adam, Average
from tests.ganmodels.builders import batches_for, config_for, match_for, play

NO_NORM = {"generator_width": 4, "discriminator_width": 4, "discriminator_norm": "none"}


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def weights(match, name: str) -> list[torch.Tensor]:
    return [p.detach().clone() for p in match.players[name].network.parameters()]


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2, 1.0])
def test_looking_ahead_is_what_adam_would_do_and_leaves_the_player_as_it_was(epsilon):
    torch.manual_seed(0)
    network, items = torch.nn.Linear(3, 1), torch.randn(8, 3)
    rule = Adam(learning_rate=0.01, beta1=0.5, beta2=0.9, epsilon=epsilon)
    player = Player(network, rule, Average())

    def loss_at(named: dict[str, torch.Tensor]) -> torch.Tensor:
        return softplus(torch.func.functional_call(network, named, (items,))).mean()

    for _ in range(3):
        player.descend([softplus(network(items)).mean()], 1)
    before = {name: value.clone() for name, value in player.moments().items()}
    held = [p.detach().clone() for p in network.parameters()]
    ahead = look_ahead(player, 4, loss_at)
    assert all(torch.equal(before[name], value) for name, value in player.moments().items())
    assert same(held, list(network.parameters()))
    for _ in range(4):
        player.descend([softplus(network(items)).mean()], 1)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(ahead[name], weight, rtol=1e-5, atol=1e-6)


def test_the_generator_s_gradient_passes_through_the_updates_it_looks_ahead():
    changes = {"network": NO_NORM, "unrolling": {"steps": 3}}
    config = config_for("lsgan", game=changes)
    plain = config_for("lsgan", game={"network": NO_NORM})
    gradients = []
    for one in (config, plain):
        match, real = match_for(one), batches_for(one).at(0)
        before = weights(match, "discriminator")
        match.game.generator_step(match, real, stream())
        assert same(before, weights(match, "discriminator"))
        gradients.append(next(match.generator.parameters()).grad)
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("recipe", ["r3gan-small", "points", "wgan"])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole_batch(recipe):
    """Where no statistic of the batch is taken; latents are drawn part by part, so D alone."""
    matches = []
    for parts in (1, 4):
        config = config_for(recipe, optimisation={"accumulate": parts})
        plain = {"generator_norm": "none", "output_noise": False}
        known = {name: value for name, value in plain.items() if hasattr(config.game.network, name)}
        network = config.game.network.model_copy(update=known)
        game = config.game.model_copy(update={"network": network})
        config = config.model_copy(update={"game": game})
        match = match_for(config)
        with torch.no_grad():
            for parameter in match.generator.parameters():
                parameter.zero_()
        match.game.discriminator_step(match, batches_for(config).at(0), stream())
        matches.append(match)
    whole, split = ([p.grad for p in m.discriminator.parameters()] for m in matches)
    for mine, theirs in zip(whole, split, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_clipped_weights_lie_within_the_limit_after_each_turn():
    config = config_for("wgan")
    match = match_for(config)
    play(match, config, 2)
    assert max(p.abs().max().item() for p in match.discriminator.parameters()) == pytest.approx(
        0.01
    )
    assert max(p.abs().max().item() for p in match.generator.parameters()) > 0.01


def test_the_loss_of_codes_is_cross_entropy_and_half_squared_error():
    latent = Latent(gaussian=1, categorical=(3,), continuous=2)
    latents = torch.tensor([[0.7, 0.0, 1.0, 0.0, 0.5, -0.5]])
    recognised = torch.tensor([[1.0, 2.0, 0.0, 0.0, 0.5]])
    loss = Information(categorical_weight=2, continuous_weight=0.1).loss(
        recognised, latents, latent
    )
    naming = math.log(math.exp(1) + math.exp(2) + 1) - 2
    assert loss.item() == pytest.approx(2 * naming + 0.1 * (0.25 + 1) / 2, rel=1e-6)


def test_codes_teach_generator_trunk_and_recogniser_each_in_its_own_turn():
    config = config_for("infogan")
    match, real = match_for(config), batches_for(config).at(0)
    recogniser = match.discriminator.recogniser
    before = weights(match, "generator"), [p.detach().clone() for p in recogniser.parameters()]
    match.game.discriminator_step(match, real, stream())
    assert same(before[0], weights(match, "generator"))
    assert not same(before[1], list(recogniser.parameters()))
    held = weights(match, "discriminator")
    match.game.generator_step(match, real, stream())
    assert same(held, weights(match, "discriminator"))


def test_information_adds_to_both_losses():
    config = config_for("infogan")
    match, real = match_for(config), batches_for(config).at(0)
    loss, told = match.game.discriminator_loss(match, real, stream())
    assert loss.item() > told["discriminator_loss"].item() + 1
    loss, told = match.game.generator_loss(match, real, stream())
    expected = told["generator_loss"] + told["information_loss"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert told["information_loss"].item() > 1


@pytest.mark.parametrize("fakes_too", [False, True])
def test_the_auxiliary_classifier_learns_from_reals_and_if_asked_from_fakes(fakes_too):
    conditioning = {"kind": "auxiliary", "weight": 3.0, "classify_fakes": fakes_too}
    config = config_for("acgan", game={"conditioning": conditioning})
    match, real = match_for(config), batches_for(config).at(0)
    loss, told = match.game.discriminator_loss(match, real, stream())
    random = stream()
    fake = match.game.make(match, real, random)
    verdicts = [match.game.judge(match, b.items, b.labels, random) for b in (real, fake)]
    expected = cross_entropy(verdicts[0].classes, real.labels)
    expected = expected + fakes_too * cross_entropy(verdicts[1].classes, real.labels)
    added = loss - told["discriminator_loss"]
    assert added.item() == pytest.approx(3 * expected.item(), rel=0.05)


def test_feature_matching_replaces_the_generator_s_loss():
    changes = {"network": NO_NORM, "feature_matching": {"weight": 2.0}}
    config = config_for("lsgan", game=changes)
    match, real = match_for(config), batches_for(config).at(0)
    loss, _ = match.game.generator_loss(match, real, stream())
    fake = match.game.make(match, real, stream())
    seen = [match.discriminator(b.items, b.labels).features for b in (real, fake)]
    assert loss.item() == pytest.approx(2 * distance(*seen).item(), rel=1e-4)


def test_features_match_where_their_means_do():
    real = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
    assert distance(real, real.flip(0)).item() == 0
    assert distance(real, torch.zeros(1, 2)).item() == pytest.approx((1 + 4) / 2)


def test_historical_averaging_ends_the_orbit_of_the_game_of_xy():
    """Simultaneous descent of xy and -xy goes outwards; drawn to its mean it goes inwards."""

    def radius_after(weight: float, steps: int = 2000) -> float:
        x, y = torch.tensor([1.0]), torch.tensor([0.0])
        players = [x.requires_grad_(), y.requires_grad_()]
        histories = [WeightHistory([player]) for player in players]
        for step in range(steps):
            losses = [
                sign * x.detach() * y if player is y else sign * x * y.detach()
                for player, sign in zip(players, (1, -1), strict=True)
            ]
            gradients = []
            for player, loss, history in zip(players, losses, histories, strict=True):
                total = loss.sum() + weight * history.distance()
                gradients.append(torch.autograd.grad(total, player)[0])
            with torch.no_grad():
                for player, gradient in zip(players, gradients, strict=True):
                    player -= 0.05 * gradient
            for history in histories:
                history.add(step + 1)
        return math.hypot(x.item(), y.item())

    assert radius_after(0.0) > 5
    assert radius_after(1.0) < 0.5


def test_histories_are_the_mean_of_all_weights_so_far_and_resume():
    config = config_for("points", game={"historical_averaging": 0.1})
    match = match_for(config)
    seen = [weights(match, "generator")]
    for _ in range(3):
        play(match, config, 1)
        seen.append(weights(match, "generator"))
    means = match.memories["generator_history"].tensors()
    for index, values in enumerate(zip(*seen, strict=True)):
        torch.testing.assert_close(means[str(index)], torch.stack(values).mean(0))
    assert "discriminator_history/0" in match.state().tensors


def test_the_pool_of_a_match_is_part_of_its_state():
    config = config_for("lsgan", game={"replay": {"size": 8, "share": 0.5}})
    match = match_for(config)
    play(match, config, 3)
    saved = match.state().tensors
    assert int(saved["replay/filled"]) == 8
    resumed = match_for(config)
    resumed.load(match.state())
    play(resumed, config, 1)
    play(match, config, 1)
    assert torch.equal(resumed.state().tensors["replay/items"], saved["replay/items"])


def test_packs_are_consecutive_items_side_by_side():
    items = torch.arange(8.0).reshape(4, 2, 1, 1)
    assert packed(items, 2).flatten(1).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_packed_score_depends_on_the_item_and_the_company_alone():
    config = config_for("pacgan")
    discriminator = match_for(config).discriminator.eval()
    items = batches_for(config).at(0).items
    company = Company(batches_for(config).at(1).items, None)
    with torch.no_grad():
        together = discriminator.score(items, None, company)
        alone = torch.cat([discriminator.score(item[None], None, company) for item in items])
    assert together.shape == (len(items),)
    torch.testing.assert_close(together, alone)


def test_dropout_and_noise_resume_bit_for_bit_by_the_match_s_own_stream():
    from ganmodels.networks.noise import Dropout, GaussianNoise, listen

    layers = torch.nn.Sequential(GaussianNoise(0.3), Dropout(0.5)).train()
    values, random = torch.ones(4, 5), torch.Generator()
    listen(layers, random)
    random.manual_seed(3)
    first = layers(values)
    torch.rand(7)
    random.manual_seed(3)
    assert torch.equal(layers(values), first)
    assert torch.equal(layers.eval()(values), values)


def test_a_batch_of_one_class_cannot_be_told_from_labels_by_the_auxiliary_discriminator():
    """The discriminator of AC-GAN is not told the label: it names it."""
    config = config_for("acgan")
    match = match_for(config)
    items = batches_for(config).at(0).items
    verdicts = [
        match.discriminator.eval()(items, torch.full((len(items),), label)) for label in (0, 1)
    ]
    assert torch.equal(verdicts[0].logits, verdicts[1].logits)
    assert torch.equal(verdicts[0].classes, verdicts[1].classes)


def test_the_whole_game_is_a_value_that_json_holds():
    game = Gan(latent=Latent(categorical=(10,)), information=Information())
    assert Gan.model_validate_json(game.model_dump_json()) == game


def test_real_labels_are_those_of_the_batch_split():
    from ganmodels.data.batches import parts

    batch = Batch(torch.arange(6.0).reshape(6, 1), torch.arange(6))
    assert [part.labels.tolist() for part in parts(batch, 3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("kind", ["minibatch_stddev", "minibatch_discrimination"])
def test_a_mixed_score_depends_on_the_item_and_the_company_alone(kind):
    config = config_for("dragan", game={"minibatch_features": {"kind": kind}, "penalties": []})
    discriminator = match_for(config).discriminator.eval()
    items, others = (batches_for(config).at(draw).items for draw in (0, 1))
    company = Company(others, None)
    with torch.no_grad():
        together = discriminator.score(items, None, company)
        alone = torch.cat([discriminator.score(item[None], None, company) for item in items])
        elsewhere = discriminator.score(items, None, Company(others[:3], None))
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together, elsewhere)


def test_the_strength_of_augmentation_follows_how_sure_the_discriminator_is_and_resumes():
    augmentation = {"kind": "ada", "target": 0.0, "adjust_images": 320}
    config = config_for("dragan", game={"augmentation": augmentation, "penalties": []})
    match = match_for(config)
    play(match, config, 3)
    assert match.state().tensors["augmentation/strength"].item() == 0
    play(match, config, 1)
    signs = match.read_metrics().means
    strength = match.state().tensors["augmentation/strength"].item()
    assert strength in (0.0, pytest.approx(4 * 8 / 320))
    assert signs["augmentation_strength"] == 0
    play(match, config, 5)
    resumed = match_for(config)
    resumed.load(match.state())
    for one in (match, resumed):
        play(one, config, 4)
    assert resumed.read_metrics() == match.read_metrics()


def test_reals_that_fakes_are_compared_with_are_judged_from_ahead_too():
    """Else the look ahead would compare two different discriminators."""
    changes = {"network": NO_NORM, "feature_matching": {"weight": 1.0}, "unrolling": {"steps": 2}}
    config = config_for("lsgan", game=changes)
    match, real = match_for(config), batches_for(config).at(0)
    loss, _ = match.game.generator_loss(match, real, stream())
    random = stream()
    fake = match.game.make(match, real, random)
    ahead = match.game._look_ahead(match, real, fake, random)
    assert ahead is not None
    seen = [match.game.judge(match, b.items, b.labels, random, ahead) for b in (real, fake)]
    assert loss.item() == pytest.approx(distance(*(v.features for v in seen)).item(), rel=1e-4)


def test_old_fakes_are_named_by_the_labels_they_were_made_under():
    conditioning = {"kind": "auxiliary", "classify_fakes": True}
    changes = {"conditioning": conditioning, "replay": {"size": 8, "share": 1.0}}
    config = config_for("acgan", game=changes)
    match = match_for(config)
    first, second = (batches_for(config).at(number) for number in (0, 1))
    match.game.discriminator_loss(match, first, stream())
    swapped = match.game._replayed(match, match.game.make(match, second, stream()), stream())
    assert sorted(swapped.labels.tolist()) == sorted(first.labels.tolist())
    assert not torch.equal(swapped.labels, second.labels)


def test_weights_that_are_frozen_for_good_are_neither_clipped_nor_looked_ahead_of():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 1))
    network[0].requires_grad_(False)
    player = Player(network, Adam(learning_rate=0.1), Average())
    ahead = look_ahead(
        player, 2, lambda named: torch.func.functional_call(network, named, torch.ones(2, 3)).sum()
    )
    assert set(ahead) == {"1.weight", "1.bias"}


def test_a_history_begins_with_the_weights_that_were_adopted():
    config = config_for("dragan", game={"historical_averaging": 0.1})
    match, other = match_for(config), match_for(config, seed=9)
    match.adopt({name: player.network.state_dict() for name, player in other.players.items()})
    assert match.memories["generator_history"].distance().item() == 0
