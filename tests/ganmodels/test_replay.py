"""The pool shows the discriminator earlier fakes, and loses none that go into it."""

import pytest
import torch
from pydantic import ValidationError

from ganmodels.replay import Pool, Replay
from tests.ganmodels.builders import CPU

BATCH = 8


def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Items that carry their number of all items ever made, labelled with it."""
    labels = torch.arange(number * BATCH, (number + 1) * BATCH)
    return labels[:, None].float().expand(-1, 3).clone(), labels


def pool_of(size: int, share: float = 0.5) -> Pool:
    return Replay(size=size, share=share).pool((3,), CPU)


def swaps(pool: Pool, numbers: range, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [pool.swap(*batch(n), torch.Generator().manual_seed(seed + n)) for n in numbers]


def test_until_the_pool_is_full_fakes_are_returned_as_they_are():
    pool = pool_of(20)
    for number, (items, labels) in enumerate(swaps(pool, range(3))):
        assert torch.equal(items, batch(number)[0])
        assert torch.equal(labels, batch(number)[1])
    assert pool.tensors()["items"][:, 0].tolist() == list(range(20))
    assert pool.tensors()["filled"].item() == 20


def test_a_full_pool_swaps_the_first_share_of_a_batch_and_keeps_the_rest():
    pool = pool_of(16, share=0.25)
    swaps(pool, range(2))
    ((items, labels),) = swaps(pool, range(2, 3))
    fresh, numbers = batch(2)
    assert torch.equal(items[2:], fresh[2:])
    assert set(labels[:2].tolist()) < set(range(16))
    held = pool.tensors()["items"][:, 0].tolist()
    assert sorted(held + items[:2, 0].tolist()) == [*range(16), *numbers[:2].tolist()]


def test_labels_travel_with_their_items():
    pool = pool_of(16)
    for items, labels in swaps(pool, range(9)):
        assert torch.equal(items[:, 0].long(), labels)
    held = pool.tensors()
    assert torch.equal(held["items"][:, 0].long(), held["labels"])


def test_places_are_drawn_from_the_whole_pool_and_by_the_stream_alone():
    first, again, other = pool_of(16), pool_of(16), pool_of(16)
    drawn = swaps(first, range(60))
    assert [r[1].tolist() for r in swaps(again, range(60))] == [r[1].tolist() for r in drawn]
    assert [r[1].tolist() for r in swaps(other, range(60), 99)] != [r[1].tolist() for r in drawn]
    ages = {
        number - int(label) // BATCH
        for number, (_, labels) in enumerate(drawn)
        for label in labels[:4]
    }
    assert max(ages) > 4


def test_a_pool_filled_from_saved_tensors_goes_on_alike():
    whole, resumed = pool_of(16), pool_of(16)
    swaps(whole, range(5))
    for name, tensor in resumed.tensors().items():
        tensor.copy_(whole.tensors()[name].clone())
    for (ours, _), (theirs, _) in zip(
        swaps(whole, range(5, 9)), swaps(resumed, range(5, 9)), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_a_pool_smaller_than_its_share_of_a_batch_swaps_all_it_has():
    pool = pool_of(2, share=1.0)
    swaps(pool, range(1))
    ((items, _),) = swaps(pool, range(1, 2))
    assert sorted(items[:2, 0].tolist()) == [0, 1]
    assert torch.equal(items[2:], batch(1)[0][2:])


def test_without_labels_none_are_returned():
    pool = pool_of(4)
    for number in range(3):
        items, labels = pool.swap(batch(number)[0], None, torch.Generator())
        assert labels is None
        assert items.shape == (BATCH, 3)


def test_no_gradient_reaches_the_generator_through_the_pool():
    pool, fakes = pool_of(4), torch.ones(BATCH, 3, requires_grad=True)
    for _ in range(2):
        items, _ = pool.swap(fakes * 2, None, torch.Generator())
        assert not items.requires_grad
    assert not pool.tensors()["items"].requires_grad


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 100_001}, {"share": -0.1}, {"share": 1.1}])
def test_sizes_and_shares_are_bounded(wrong):
    with pytest.raises(ValidationError):
        Replay(**wrong)
