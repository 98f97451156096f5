"""``ringside demo``: a GAN on real handwritten digits, from nothing to a picture."""

from pathlib import Path
from typing import Any

import httpx2
import typer

from service.cli.client import checked
from service.cli.follow import LIVE, conclude, follow
from service.cli.output import program, write

MODEL = "digits-demo"
PICTURE = Path("samples.png")
_GRID: dict[str, Any] = {"model": MODEL, "n": 60, "label": "0,1,2,3,4,5,6,7,8,9", "columns": 10}


def show(client: httpx2.Client, steps: int, again: bool) -> None:
    """Train unless the model exists, write a grid of samples, and say what to try next."""
    url = str(client.base_url).rstrip("/")
    typer.echo(f"Ringside is up: {url}")
    job = _unfinished(client)
    if job is None and (again or not _has_version(client)):
        job = _train(client, steps)
    if job is None:
        typer.echo(f"The model {MODEL} exists; `ringside demo --again` trains it anew.")
    else:
        follow(client, job)
        conclude(client, job["id"])
    picture = checked(client.get("/sample", params={**_GRID, "seed": 0, "format": "png"}))
    write(PICTURE, picture.content)
    typer.echo(f"\nSixty digits that nobody wrote: {PICTURE.resolve()}\n")
    typer.echo(_suggestions(url, "Authorization" in client.headers))


def _has_version(client: httpx2.Client) -> bool:
    response = client.get(f"/models/{MODEL}")
    if response.status_code == httpx2.codes.NOT_FOUND:
        return False
    return bool(checked(response).json()["versions"])


def _unfinished(client: httpx2.Client) -> dict[str, Any] | None:
    """The demo's job that an earlier Ctrl-C or pause left unfinished, resumed."""
    for status in (*sorted(LIVE), "paused"):
        page = checked(client.get("/jobs", params={"status": status, "limit": 200})).json()
        for job in page["data"]:
            if job["model"] == MODEL:
                typer.echo(f"Going on with {job['id']} at step {job['progress']['step']}.")
                if status == "paused":
                    checked(client.post(f"/jobs/{job['id']}/resume"))
                return dict(job)
    return None


def _train(client: httpx2.Client, steps: int) -> dict[str, Any]:
    typer.echo("Training on 1,797 real handwritten digits; Ctrl-C saves, the next demo goes on.")
    body = {"dataset": "digits", "recipe": "cgan", "model": MODEL, "steps": steps, "seed": 0}
    return dict(checked(client.post("/train", json=body)).json())


def _suggestions(url: str, with_key: bool) -> str:
    curl = "curl -H 'Authorization: Bearer '$RINGSIDE_API_KEY" if with_key else "curl"
    grid = f"{url}/sample?model={MODEL}&n=60&label={_GRID['label']}&columns=10&seed=1"
    seven = f"{url}/sample?model={MODEL}&label=7&seed=3"
    return "\n".join(
        (
            "Try next, in a browser or another terminal:",
            f"  another grid    {grid}",
            f"  one seven       {curl} -o seven.png '{seven}'",
            f"  score it        {curl} -F images=@seven.png '{url}/score?model={MODEL}&label=7'",
            f"  documentation   {url}/docs",
            f"  train your own  {program()} train digits --model my-digits --follow",
            "",
            "Ctrl-C stops everything; what was trained stays.",
        )
    )
