"""What faults are done to: short paths, and a home with a model that was really trained."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.builders import make_job, train
from worker.store import Store


@pytest.fixture(scope="module")
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for that of a unix socket."""
    directory = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the built-in datasets and a model named ``points``; to be copied."""
    home = tmp_path_factory.mktemp("trained") / "home"
    store = Store(home)
    store.datasets.all()
    train(make_job(store, "points", model="points"), home, threading.Event())
    return home
