"""A training that runs out of memory ends with what it needed and the batch that would fit."""

import errno
import os
import resource
import subprocess
import sys

import pytest
import torch

import worker.training
from ganmodels.machine import is_out_of_memory
from tests.worker.builders import make_job, train
from worker.memory import cost_here, fitting_here
from worker.settings import Settings
from worker.shortage import shortage

CPU = Settings(device="cpu")

# Leaves room for less than a step of this batch. One arena, as others reserve what they do not use.
_LIMITED = """
import resource, sys, torch
from pathlib import Path
from tests.worker.builders import make_job, train
from worker.store import Store
home = Path(sys.argv[1])
from worker.slot import preload
preload("worker.jobs")
torch.ones(2, requires_grad=True).sum().backward()
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (int(sys.argv[3]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
train(Store(home).jobs.get(sys.argv[2]), home)
"""


def test_a_job_that_does_not_fit_says_what_it_needs_and_what_would(store, home, monkeypatch):
    def play(*given):
        torch.empty(2**60)

    job = make_job(store, "lsgan", optimisation={"batch_size": 32, "precision": "float32"})
    monkeypatch.setattr(worker.training, "run", play)
    train(job, home)
    error = job.record().error
    assert error.code == "out-of-memory"
    assert error.memory.estimated_bytes == cost_here(job.config(), CPU).memory_bytes
    assert error.memory.available_bytes > 0
    fit = fitting_here(job.config(), int(0.8 * error.memory.estimated_bytes), CPU)
    assert (error.memory.batch_size, error.memory.accumulate) == (fit.batch_size, fit.accumulate)
    assert fit.advice in error.detail


def test_each_of_several_processes_is_counted_with_its_share_of_the_batch(store, monkeypatch):
    monkeypatch.setattr("worker.group.available_cores", lambda: 4)
    job = make_job(store, "lsgan", gpus=2, batch_size=64, optimisation={"precision": "float32"})
    half = make_job(store, "lsgan", batch_size=32, optimisation={"precision": "float32"})
    both, one = cost_here(job.config(), CPU), cost_here(half.config(), CPU)
    assert both.memory_bytes == 2 * one.memory_bytes
    fit = fitting_here(job.config(), int(0.8 * both.memory_bytes), CPU)
    assert fit.batch_size % 2 == 0
    assert fit.memory_bytes <= 0.8 * both.memory_bytes
    crowded = Settings(device="cpu", slots=4)
    assert cost_here(job.config(), crowded).memory_bytes < both.memory_bytes


def test_networks_that_are_too_large_alone_are_called_so(store):
    error = shortage(make_job(store).config(), CPU, available_bytes=1000)
    assert (error.lacked.batch_size, error.lacked.accumulate) == (None, None)
    assert "networks" in str(error)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="needs limits of address space")
@pytest.mark.parametrize("room_mib", [64, 144], ids=["at-its-start", "at-a-step"])
def test_a_process_whose_memory_is_limited_ends_its_job_as_out_of_memory(store, home, room_mib):
    optimisation = {"batch_size": 1024, "precision": "float32"}
    game = {"network": {"generator_width": 32, "discriminator_width": 32}}
    job = make_job(store, "lsgan", game=game, optimisation=optimisation)
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _LIMITED, home, job.id, str(room_mib)]
    subprocess.run(command, env=environment, check=True, timeout=60)
    error = job.record().error
    assert error.code == "out-of-memory"
    # What is free is known at its end only, and the estimate to a fifth.
    assert error.memory.estimated_bytes > 0.8 * error.memory.available_bytes
    assert error.memory.accumulate


def test_only_want_of_memory_is_taken_for_it():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    unknown = "could not create a primitive descriptor for a convolution forward propagation"
    assert not is_out_of_memory(RuntimeError(unknown))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.EACCES, "Permission denied"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
