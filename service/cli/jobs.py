"""``ringside jobs``: see jobs, follow one, stop it, go on with it."""

from typing import Annotated, Any

import typer

from service.cli.client import Json, checked, connect
from service.cli.follow import attend
from service.cli.output import note, seconds, show_json, show_table

app = typer.Typer(help="List, follow, stop and resume jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job; see jobs list.")]

# The rest is in GET /jobs/{id}/metrics.
_TELLING = (
    "discriminator_loss",
    "generator_loss",
    "pair_accuracy",
    "diversity",
    "energy_distance",
)


@app.command("list")
def show_all(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List jobs, newest first.

    Example: ringside jobs list --status running
    """
    parameters: dict[str, str | int] = {"limit": limit, **({"status": status} if status else {})}
    with connect() as client:
        listing = checked(client.get("/jobs", params=parameters)).json()
    if as_json:
        show_json(listing)
        return
    rows = [_row(job) for job in listing["data"]]
    show_table(("id", "status", "recipe", "model", "step", "images/s", "left"), rows)


@app.command("show")
def show_one(job_id: JobId, as_json: Json = False) -> None:
    """Show one job.

    Example: ringside jobs show job_01jd3k5q0v8m2x4z6b7c9d1e3f
    """
    with connect() as client:
        job = checked(client.get(f"/jobs/{job_id}")).json()
    _show(job, as_json)


@app.command("follow")
def follow(job_id: JobId, as_json: Json = False) -> None:
    """Show a job's progress until it ends.

    Ctrl-C detaches (exit status 130) and the job trains on. Exit status 6 means that the job
    failed, 7 that it was canceled; --json prints one event a line.
    Example: ringside jobs follow job_01jd3k5q0v8m2x4z6b7c9d1e3f
    """
    with connect() as client:
        attend(client, checked(client.get(f"/jobs/{job_id}")).json(), as_json)


@app.command("cancel")
def cancel(job_id: JobId, as_json: Json = False) -> None:
    """End a job early.

    It saves a checkpoint first, from which it can still be resumed.
    Example: ringside jobs cancel job_01jd3k5q0v8m2x4z6b7c9d1e3f
    """
    _change(job_id, "cancel", as_json)


@app.command("pause")
def pause(job_id: JobId, as_json: Json = False) -> None:
    """Stop a job until it is resumed.

    It saves a checkpoint first.     Example: ringside jobs pause job_01jd3k5q0v8m2x4z6b7c9d1e3f
    """
    _change(job_id, "pause", as_json)


@app.command("resume")
def resume(
    job_id: JobId,
    steps: Annotated[
        int | None, typer.Option(help="How far to train; as far as planned if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Go on exactly where a job stopped.

    Example: ringside jobs resume job_01jd3k5q0v8m2x4z6b7c9d1e3f --steps 5000
    """
    _change(job_id, "resume", as_json, {} if steps is None else {"steps": steps})


def _change(job_id: str, action: str, as_json: bool, body: dict[str, int] | None = None) -> None:
    with connect() as client:
        job = checked(client.post(f"/jobs/{job_id}/{action}", json=body)).json()
    _show(job, as_json)


def _show(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(job)
        return
    if job["stopping"]:
        note(f"it saves a checkpoint, then the {job['stopping']} is done")
    fields = ("id", "status", "dataset", "recipe", "model", "seed", "attempt", "created_at")
    rows = [(field, job[field]) for field in fields]
    rows += [*job["progress"].items(), ("checkpoints", job["checkpoints"])]
    rows += [(name, job["metrics"][name]) for name in _TELLING if name in job["metrics"]]
    rows += _health(job["health"])
    if job["stopped_by"]:
        rows.append(("stopped by", job["stopped_by"]["detail"]))
    if job["error"]:
        rows.append(("error", f"{job['error']['code']}: {job['error']['detail']}"))
    show_table(("field", "value"), rows)


def _health(health: dict[str, Any] | None) -> list[tuple[str, object]]:
    if health is None:
        return [("health", "too early to tell")]
    rows: list[tuple[str, object]] = [("health", health["verdict"])]
    for diagnosis in health["diagnoses"]:
        said = f"since step {diagnosis['since_step']}: {diagnosis['detail']}"
        rows.append((diagnosis["code"], f"{said}. Remedy: {diagnosis['remedy']['detail']}"))
    return rows


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    progress = job["progress"]
    step = f"{progress['step']}/{progress['total_steps']}"
    left = seconds(progress["eta_seconds"])
    rate = progress["images_per_second"]
    return job["id"], job["status"], job["recipe"], job["model"], step, rate, left
