"""Penalties are exact for discriminators whose gradient is known."""

import pytest
import torch

from ganmodels.penalties import R1, R2, Dragan, Judged, OneCentred, squared_gradient_norm

WEIGHT = torch.tensor([3.0, 4.0])


def judged_by(critic) -> Judged:
    real = torch.tensor([[1.0, 2.0], [0.5, -1.0]], requires_grad=True)
    fake = torch.tensor([[-1.0, 0.0], [2.0, 2.0]], requires_grad=True)
    return Judged(real, fake, critic(real), critic(fake), critic, torch.Generator())


def linear(items: torch.Tensor) -> torch.Tensor:
    weight = WEIGHT.clone().requires_grad_(True)
    return items @ weight


@pytest.mark.parametrize("penalty", [R1(gamma=2.0), R2(gamma=2.0)])
def test_zero_centred_penalty_of_a_linear_critic_is_half_gamma_times_its_squared_slope(penalty):
    assert penalty(judged_by(linear)).item() == pytest.approx(25.0)


@pytest.mark.parametrize("penalty", [OneCentred(weight=10.0), Dragan(weight=10.0)])
def test_one_centred_penalty_of_a_linear_critic_is_weight_times_squared_distance_to_slope_1(
    penalty,
):
    assert penalty(judged_by(linear)).item() == pytest.approx(160.0)


def test_r1_looks_at_reals_and_r2_at_fakes():
    def square(items: torch.Tensor) -> torch.Tensor:
        return items.square().sum(1)

    judged = judged_by(square)
    real = 0.5 * (4 * judged.real.detach().square().sum(1)).mean()
    fake = 0.5 * (4 * judged.fake.detach().square().sum(1)).mean()
    assert R1(gamma=1.0)(judged).item() == pytest.approx(real.item())
    assert R2(gamma=1.0)(judged).item() == pytest.approx(fake.item())


def test_a_lazy_penalty_is_scaled_by_its_interval():
    judged = judged_by(linear)
    assert R1(every=4)(judged).item() == pytest.approx(4 * R1()(judged).item())


def test_a_gradient_that_was_cut_from_the_graph_is_an_error():
    items = torch.ones(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="no graph"):
        squared_gradient_norm(items @ WEIGHT, items)


def test_the_penalty_moves_the_discriminator():
    weight = WEIGHT.clone().requires_grad_(True)
    R1(gamma=2.0)(judged_by(lambda items: items @ weight)).backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, 2 * WEIGHT)


IMAGES = (6, 2, 3, 3)


def half_square(items: torch.Tensor) -> torch.Tensor:
    """Its gradient at an item is the item itself."""
    return items.square().flatten(1).sum(1) / 2


def between_0_and_1(critic, seed: int = 0) -> Judged:
    """Reals that are 0 and fakes that are 1 everywhere: what lies between is its ratio."""
    real = torch.zeros(IMAGES, requires_grad=True)
    fake = torch.ones(IMAGES, requires_grad=True)
    random = torch.Generator().manual_seed(seed)
    return Judged(real, fake, critic(real), critic(fake), critic, random)


def test_the_squared_norm_is_taken_per_item_over_all_its_dimensions():
    items = torch.randn(IMAGES, requires_grad=True)
    expected = [(item * item).sum().item() for item in items.detach()]
    assert squared_gradient_norm(half_square(items), items).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("penalty", "expected"), [(R1(gamma=1.0), 0.0), (R2(gamma=1.0), 9.0)], ids=["r1", "r2"]
)
def test_a_zero_centred_penalty_of_images_sums_over_channels_rows_and_columns(penalty, expected):
    assert penalty(between_0_and_1(half_square)).item() == pytest.approx(expected)


def test_the_one_centred_penalty_mixes_each_item_with_a_ratio_of_its_own():
    mixed: list[torch.Tensor] = []

    def noting(items: torch.Tensor) -> torch.Tensor:
        mixed.append(items.detach().flatten(1))
        return half_square(items)

    judged = between_0_and_1(noting)
    mixed.clear()
    penalty = OneCentred(weight=10.0)(judged).item()
    (ratios,) = mixed
    assert torch.equal(ratios, ratios[:, :1].expand_as(ratios))
    assert len(ratios[:, 0].unique()) == len(ratios)
    assert ((ratios >= 0) & (ratios <= 1)).all()
    distances = [(item.square().sum().sqrt().item() - 1) ** 2 for item in ratios]
    assert penalty == pytest.approx(10 * sum(distances) / len(distances))


def test_the_one_centred_penalty_draws_new_ratios_from_the_stream():
    judged = between_0_and_1(half_square)
    first, second = OneCentred()(judged), OneCentred()(judged)
    again, other = between_0_and_1(half_square), between_0_and_1(half_square, seed=1)
    assert first != second
    assert OneCentred()(again) == first != OneCentred()(other)


@pytest.mark.parametrize("kind", [R1, R2])
def test_gamma_moves_to_its_final_value_while_training_settles(kind):
    judged = judged_by(linear)
    moving, still = kind(gamma=2.0, final_gamma=0.2), kind(gamma=2.0)
    values = [moving(judged._replace(settled=settled)).item() for settled in (0, 0.25, 1)]
    assert values == pytest.approx([25.0, 25.0 * (0.2 + 1.8 * 0.75) / 2, 2.5])
    assert still(judged._replace(settled=0.25)).item() == pytest.approx(25.0)


def noted(penalty, judged: Judged) -> torch.Tensor:
    """The points at which a penalty asks for the slope."""
    points: list[torch.Tensor] = []

    def noting(items: torch.Tensor) -> torch.Tensor:
        points.append(items.detach())
        return half_square(items)

    penalty(judged._replace(critic=noting))
    return points[0]


def test_dragan_looks_around_reals_as_far_as_its_spread_says_and_never_at_fakes():
    real = 3 * torch.randn(200, 2, 4, generator=torch.Generator().manual_seed(1))
    fake = torch.full_like(real, 1e6)
    judged = Judged(real, fake, real[:, 0, 0], fake[:, 0, 0], half_square, torch.Generator())
    distance = noted(Dragan(spread=0.5), judged) - real
    limit = 0.5 * real.std().item()
    assert distance.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert distance.abs().max().item() <= limit
    assert distance.mean().item() == pytest.approx(0, abs=0.1)
    assert not Dragan().keeps_lipschitz


def packed(critic, pack: int, count: int = 6) -> Judged:
    """A critic of packs: the items of a pack lie one after another."""

    def of_packs(items: torch.Tensor) -> torch.Tensor:
        return critic(items.reshape(len(items) // pack, -1))

    real = torch.zeros(count, 2, requires_grad=True)
    fake = torch.ones(count, 2, requires_grad=True)
    random = torch.Generator().manual_seed(0)
    return Judged(real, fake, of_packs(real), of_packs(fake), of_packs, random)


def slopes(items: torch.Tensor) -> torch.Tensor:
    """Linear in packs of three: its gradient at any pack is (1, 2, 2, 0, 4, 0), of norm 5."""
    return items @ torch.tensor([1.0, 2.0, 2.0, 0.0, 4.0, 0.0], requires_grad=True)


def test_the_squared_norm_of_a_packed_logit_is_over_all_of_its_items():
    judged = packed(slopes, pack=3)
    assert squared_gradient_norm(judged.real_logits, judged.real).tolist() == [25.0, 25.0]
    assert R1(gamma=2.0)(judged).item() == pytest.approx(25.0)
    assert R2(gamma=2.0)(judged).item() == pytest.approx(25.0)
    assert OneCentred(weight=10.0)(judged).item() == pytest.approx(160.0)
    assert Dragan(weight=10.0)(judged._replace(real=torch.randn(6, 2))).item() == pytest.approx(160)


def test_the_items_of_a_pack_are_mixed_with_one_ratio():
    points = noted(OneCentred(), packed(slopes, pack=3))
    first, second = points[:3].flatten(), points[3:].flatten()
    assert len(first.unique()) == len(second.unique()) == 1
    assert first[0] != second[0]


def test_items_that_do_not_divide_into_packs_are_an_error():
    items = torch.ones(5, 2, requires_grad=True)
    with pytest.raises(ValueError, match="5 items do not make 2 packs"):
        squared_gradient_norm(half_square(items)[:2], items)
