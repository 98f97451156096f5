"""The choice of the best checkpoint, held against an evaluation of every checkpoint."""

import time
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.running import DATA, Service, running_service

WITHIN = 0.05
# The judge draws other fakes than the referee did, and more of them where there are more reals.
_REFEREE_SEED, _JUDGE_SEED = 0, 1
_MEASURES = ["frechet"]


class Run(NamedTuple):
    """A training whose every checkpoint is kept and evaluated beside it."""

    name: str
    dataset: str
    recipe: str
    steps: int
    every: int
    reference: str
    changes: dict[str, Any] = {}  # noqa: RUF012 - never written to


_TOO_LONG = {
    "game": {"augmentation": {"kind": "none"}},
    "optimisation": {"decay": {"kind": "constant"}},
}
_RUNS = (
    Run("digits, cgan", "digits", "cgan", 3_000, 250, "training"),
    Run("MNIST, cgan", "mnist", "cgan", 1_500, 150, "held_out"),
    Run("digits, wgan-gp", "digits", "wgan-gp", 400, 40, "training"),
    # Without augmentation or decay each class narrows to one picture in the end.
    Run("digits, cgan, too long", "digits", "cgan", 2_600, 200, "training", _TOO_LONG),
)


def best(console: Console) -> bool:
    """Print which checkpoint was chosen and how it compares; whether all are near the best."""
    table = Table("run", "checkpoints", "chosen step", "its Frechet", "best", "at step", "worst")
    table.add_column("always the last")
    table.add_column("excess, wanted <= 5 %")
    holds = True
    with running_service() as service:
        for run in _RUNS:
            if run.dataset == "mnist" and not _import_mnist(service):
                continue
            excess = _judge(service, run, table)
            holds = holds and excess <= WITHIN
    console.print(table)
    return holds


def _import_mnist(service: Service) -> bool:
    folder = DATA / "mnist"
    if not folder.exists():
        return False
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    service.import_idx("mnist", *(folder / name for name in names))
    return True


def _judge(service: Service, run: Run, table: Table) -> float:
    protocol = {"measures": _MEASURES, "reference": run.reference}
    job, _ = service.train(
        dataset=run.dataset,
        recipe=run.recipe,
        seed=1,
        steps=run.steps,
        **run.changes,
        schedule={"checkpoints_every": run.every, "keep_last": 100},
        referee={"evaluate_every": run.every, "protocol": {**protocol, "seed": _REFEREE_SEED}},
    )
    _wait(service, job)
    chosen = next(c for c in _checkpoints(service, job) if c["best"])
    judged = _evaluate_all(service, job, {**protocol, "seed": _JUDGE_SEED})
    least = min(judged, key=judged.__getitem__)
    excess = judged[chosen["step"]] / judged[least] - 1
    table.add_row(
        run.name,
        str(len(judged)),
        str(chosen["step"]),
        f"{judged[chosen['step']]:.3f}",
        f"{judged[least]:.3f}",
        str(least),
        f"{max(judged.values()):.3f}",
        f"{100 * (judged[max(judged)] / judged[least] - 1):.1f} %",
        f"{100 * excess:.1f} %",
    )
    return excess


def _evaluate_all(service: Service, job: str, protocol: dict[str, Any]) -> dict[int, float]:
    """The judge's figure of every checkpoint, by step."""
    for checkpoint in _checkpoints(service, job):
        body = {"step": checkpoint["step"], "protocol": protocol}
        service.client.post(f"/jobs/{job}/evaluate", json=body).raise_for_status()
    _wait(service, job)
    listed = service.client.get(f"/jobs/{job}/evaluations").raise_for_status().json()["data"]
    return {
        one["step"]: one["findings"]["figures"]["frechet"]["value"]
        for one in listed
        if one["protocol"]["seed"] == protocol["seed"]
    }


def _checkpoints(service: Service, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client.get(f"/jobs/{job}/checkpoints").json()["data"]
    return found


def _wait(service: Service, job: str) -> None:
    """Until nothing of the job is to be evaluated any more."""
    deadline = time.monotonic() + 1_200
    while time.monotonic() < deadline:
        listed = service.client.get(f"/jobs/{job}/evaluations").raise_for_status().json()["data"]
        if listed and all(one["status"] in ("succeeded", "failed") for one in listed):
            return
        time.sleep(1)
    raise SystemExit(f"the evaluations of {job} did not end")
