"""A store with the built-in datasets; several threads would only slow small networks."""

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from worker.store import Store

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def datasets_home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("datasets")
    Store(home).datasets.all()
    return home


@pytest.fixture
def home(tmp_path, datasets_home) -> Path:
    shutil.copytree(datasets_home / "datasets", tmp_path / "home" / "datasets")
    return tmp_path / "home"


@pytest.fixture
def store(home) -> Store:
    return Store(home)


_HOLDER = """
import sys
from pathlib import Path
from worker.store.job import Job
claim = Job(Path(sys.argv[1])).claim()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held_elsewhere():
    """Another process that has claimed a job, and has it until the block ends."""

    @contextmanager
    def hold(job):
        command = [sys.executable, "-c", _HOLDER, str(job.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"held\n"
            yield holder
            holder.kill()

    return hold
