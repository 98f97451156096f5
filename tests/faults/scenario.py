"""A life of the store that uses every durable operation, and a look at what is left of it."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from ganmodels.data.limits import DEFAULT_LIMITS
from ganmodels.data.packed import open_packed, pack
from ganmodels.data.stream import Chunk, ItemStream, PointFacts
from tests.faults.ledger import Ledger
from tests.ganmodels.builders import config_for
from worker.errors import NotFound
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment, Manifest, commit
from worker.store.claims import Claim
from worker.store.files import read_json, remove_directory
from worker.store.job import Job
from worker.store.records import JobRecord
from worker.store.sweep import sweep

CONFIG = config_for("points")
KEY, FINGERPRINT, MODEL, DATASET = "key", "body", "model", "points"
LAST_STEP, KEPT, VERSION_STEP = 4, 2, 1


def live(home: Path, ledger: Ledger) -> None:
    """Import, accept, train, publish, finish, delete; goes on where an earlier life ended."""
    store = Store(home)
    with ledger.promise("content", True):
        _import(store, None)
    with ledger.promise("dataset", True):
        _import(store, DATASET)
    job = _accept(store, ledger)
    with ledger.promise("status", "running"):
        claim = _claim(job, ledger)
    with claim:
        _train(store, job, claim, ledger)
        with ledger.promise("status", "succeeded"):
            job.settle(claim, "succeeded", None)
    with ledger.promise("dataset", None), ledger.promise("content", None):
        store.datasets.delete(store.datasets.id_of(DATASET))


def observe(home: Path) -> dict[str, Any]:
    """What a process that starts now finds, by subject of the ledger.

    Raises:
        Exception: any, when something visible is not whole.
    """
    sweep(home)
    store = Store(home)
    jobs = store.jobs.all()
    for job in jobs:
        _require_whole(job)
    datasets = [open_packed(path) for path in (home / "datasets").glob("ds_*")]
    for dataset in datasets:
        dataset.verify()
        Image.open(dataset.directory / "preview.png").load()
    (job,) = jobs or [None]
    newest = job.newest_sound_checkpoint() if job else None
    return {
        "content": True if datasets else None,
        "dataset": _dataset(store),
        "key": _key(store),
        "status": job.record().status if job and job.progress() == {} else None,
        "epoch": len(job.epochs()) or None if job else None,
        "start": _start(job) if job else None,
        "checkpoint": newest.step if newest else None,
        "version": _version(store, job),
    }


def tensors_at(step: int) -> dict[str, dict[str, torch.Tensor]]:
    """What the checkpoint of a step holds."""
    return {
        "generator": {"weight": torch.full((3,), float(step))},
        "training": {"moment": torch.full((5,), step * 0.1)},
    }


def commit_at(path: Path, step: int) -> Checkpoint:
    """Commit the checkpoint of a step; equal steps give equal bytes."""
    environment = Environment(torch="2", device="cpu", threads=1, precision="float32")
    job, _epochs, epoch, _checkpoints, _name = ("/" * 5 + str(path)).split("/")[-5:]
    manifest = Manifest(
        job=job,
        epoch=int(epoch) if epoch.isdigit() else 0,
        step=step,
        images_seen=step * 8,
        created_at="2026-01-01T00:00:00.000Z",
        environment=environment,
    )
    return commit(path, tensors_at(step), CONFIG, manifest)


def job_with_checkpoints(home: Path, *steps: int) -> Job:
    """A job whose one attempt has sound checkpoints at these steps."""
    job = Store(home).jobs.create(CONFIG, JobRecord(recipe="points"))
    claim = job.claim()
    assert claim is not None
    with claim:
        claim.begin(0)
        for step in steps:
            commit_at(claim.epoch.checkpoint_path(step), step).verify()
    return job


def _import(store: Store, name: str | None) -> None:
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    chunk = Chunk(points, None, "float32")
    stream = ItemStream(PointFacts(2), len(points), (), lambda: iter([chunk]), DEFAULT_LIMITS)

    def pack_here(_upload: Path, _labels: None, directory: Path, *_: Any, **__: Any) -> Any:
        return pack(stream, directory)

    # In this process rather than in a child, so that it can be recorded.
    with mock.patch("worker.store.datasets.import_file", pack_here):
        store.datasets.import_upload(Path("points.npy"), None, None, name, 1)


def _accept(store: Store, ledger: Ledger) -> Job:
    with ledger.promise("key", True), store.idempotency.lock(KEY):
        job_id = _job_id(store)
    if not store.jobs.exists(job_id):
        with ledger.promise("status", "queued"):
            store.jobs.create(CONFIG, JobRecord(id=job_id, recipe="points"))
    job = store.jobs.get(job_id)
    with job.locked() as record:
        if record.status == "succeeded":
            with ledger.promise("status", "queued"):
                job.change(record, status="queued")
    return job


def _job_id(store: Store) -> str:
    chosen = "job_" + "0" * 26
    with mock.patch("worker.store.idempotency.new_id", lambda _prefix: chosen):
        return store.idempotency.recall(KEY, FINGERPRINT).job_id


def _claim(job: Job, ledger: Ledger) -> Claim:
    """An epoch that was claimed stays so, whatever becomes of the rest."""
    make = Claim.make

    def make_and_promise(directory: Path, number: int) -> Claim:
        with ledger.promise("epoch", number):
            return make(directory, number)

    with mock.patch.object(Claim, "make", make_and_promise):
        claim = job.claim()
    assert claim is not None
    return claim


def _train(store: Store, job: Job, claim: Claim, ledger: Ledger) -> None:
    newest = job.newest_sound_checkpoint()
    start = newest.step if newest else 0
    with ledger.promise("start", start):
        claim.begin(start)
    epoch = claim.epoch
    for step in range(start + 1, LAST_STEP + 1):
        with ledger.promise("checkpoint", step):
            checkpoint = commit_at(epoch.checkpoint_path(step), step)
        if step == VERSION_STEP:
            with ledger.promise("version", checkpoint.digest):
                store.models.add_version(MODEL, job.id, step, checkpoint.digest)
        needed = store.models.checkpoints_in_use(job.id)
        for old in [*job.checkpoints()[:-KEPT], *job.void_checkpoints()]:
            if old.digest not in needed:
                remove_directory(old.path)


def _require_whole(job: Job) -> None:
    assert job.config() == CONFIG
    for checkpoint in job.checkpoints():
        checkpoint.verify()
        for name, expected in tensors_at(checkpoint.step).items():
            found = checkpoint.tensors(name)
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[key], expected[key]) for key in expected)


def _start(job: Job) -> int | None:
    """The step from which the last attempt that began went on."""
    return next((e.start for e in reversed(job.epochs()) if e.start is not None), None)


def _dataset(store: Store) -> bool | None:
    for entry in store.datasets.names().values():
        assert open_packed(store.datasets.get(entry).directory).manifest.id == entry
    return True if DATASET in store.datasets.names() else None


def _key(store: Store) -> bool | None:
    found = [read_json(path) for path in (store.home / "idempotency").glob("*.json")]
    assert found in ([], [{"fingerprint": FINGERPRINT, "job": "job_" + "0" * 26}])
    return True if found else None


def _version(store: Store, job: Job | None) -> str | None:
    try:
        version = store.models.get(MODEL).version(None)
    except NotFound:
        return None
    assert job is not None
    checkpoint = job.checkpoint_by_digest(version.step, version.checkpoint)
    assert checkpoint is not None, "a version without its checkpoint"
    checkpoint.verify()
    return version.checkpoint
