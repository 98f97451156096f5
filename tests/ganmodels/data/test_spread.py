"""Of many items some are chosen evenly, and of all classes alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganmodels.data.spread import evenly, evenly_by_class


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 80), min_size=1, max_size=200))
def test_indices_by_class_are_distinct_and_cover_the_classes(values: list[int]) -> None:
    labels = np.array(values, dtype=np.int64)
    chosen = evenly_by_class(len(labels), labels, 64)
    assert len(set(chosen.tolist())) == len(chosen) <= 64
    assert len(np.unique(labels[chosen])) == min(64, len(np.unique(labels)))


@pytest.mark.parametrize(("count", "most"), [(2000, 1000), (1500, 1000), (5, 10), (10, 1)])
def test_some_are_chosen_evenly(count, most):
    chosen = evenly(np.arange(count), most)
    assert len(chosen) == len(set(chosen)) == min(count, most)
    gaps = np.diff([*chosen, count])
    assert chosen[0] == 0
    assert gaps.max() - gaps.min() <= 1
