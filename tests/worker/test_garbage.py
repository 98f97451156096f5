"""What lasts is kept from the garbage collector."""

import gc

import pytest

from worker.garbage import lasting


@pytest.fixture(autouse=True)
def _as_before():
    yield
    gc.unfreeze()


def test_what_was_made_is_not_looked_at_and_what_comes_later_is():
    with lasting():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)
    later = []
    looked_at = {id(found) for found in gc.get_objects()}
    assert id(later) in looked_at
    assert not any(id(one) in looked_at for one in kept)


def test_an_import_that_fails_leaves_the_collector_on():
    with pytest.raises(ImportError), lasting():
        raise ImportError
    assert gc.isenabled()
