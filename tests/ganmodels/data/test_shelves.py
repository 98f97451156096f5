"""Where items lie changes no batch."""

import numpy as np
import pytest
import torch

from ganmodels.data.batches import Batches
from ganmodels.data.shelves import place
from tests.ganmodels.builders import CPU, image_space, items_for, labels_for

SPACE = image_space()


def batches(where: str) -> Batches:
    return Batches(items_for(SPACE), labels_for(SPACE), SPACE, 16, 0, CPU, where=where)


@pytest.mark.parametrize("draws", [range(9), (0, 1, 7, 8, 2, 3, 3)], ids=["in order", "jumping"])
def test_streamed_items_come_in_the_same_batches(draws):
    # Passes have 60 items, so that batches span two of them.
    resident, streamed = batches("resident"), batches("streamed")
    for draw in draws:
        expected, found = resident.at(draw), streamed.at(draw)
        assert torch.equal(expected.items, found.items)
        assert torch.equal(expected.labels, found.labels)
    assert len(streamed) == len(resident) == 60


def test_streamed_items_are_not_copied_whole(tmp_path):
    np.save(tmp_path / "items.npy", items_for(SPACE))
    items = np.load(tmp_path / "items.npy", mmap_mode="r")
    found = Batches(items, None, SPACE, 16, 0, CPU, where="streamed").at(0)
    assert torch.equal(found.items, batches("resident").at(0).items)


def test_items_lie_where_they_are_wanted_and_on_a_cpu_in_its_memory():
    assert place(10**15, CPU, "automatic") == "resident"
    assert place(1, CPU, "streamed") == "streamed"
