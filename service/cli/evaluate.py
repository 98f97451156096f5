"""``ringside evaluate``: measure a model beside any training, and wait for the figures."""

import time
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import typer

from service.cli.client import Json, checked, connect
from service.cli.exits import ExitStatus, fail
from service.cli.inference import ModelName
from service.cli.output import note, show_json, show_table

_POLL_SECONDS = 0.5


def evaluate(
    model: ModelName,
    features: Annotated[
        str | None, typer.Option(help="auto, inception, classifier, random or pixels.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=20, help="How many items to draw.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how good the samples of a model are.

    Each figure comes with its standard error and its floor, which is what real items get in place
    of generated ones. Ctrl-C detaches (exit status 130). Exit status 6: it could not be measured.

    Example: ringside evaluate my-digits --samples 1000
    """
    given = {"features": features, "samples": samples}
    changes = {name: value for name, value in given.items() if value is not None}
    with connect() as client:
        body = {"protocol": changes}
        asked = checked(client.post(f"/models/{quote(model)}/evaluate", json=body)).json()
        evaluation = _attend(client, asked)
    if as_json:
        show_json(evaluation)
    if evaluation["status"] == "failed":
        error = evaluation["error"]
        fail(f"not measured ({error['code']}): {error['detail']}", ExitStatus.JOB_FAILED)
    if not as_json:
        _show(evaluation)


def _attend(client: httpx2.Client, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Wait until it is over."""
    here, told = evaluation["links"]["self"], ""
    try:
        while evaluation["status"] in ("queued", "running"):
            if told != evaluation["status"]:
                told = evaluation["status"]
                note(f"{evaluation['model']} is {_WORDS[told]}")
            time.sleep(_POLL_SECONDS)
            evaluation = checked(client.get(here)).json()
    except KeyboardInterrupt:
        note(f"detached; the figures will be at {here}")
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    return evaluation


def _show(evaluation: dict[str, Any]) -> None:
    findings = evaluation["findings"]
    rows = [_row(name, figure) for name, figure in findings["figures"].items()]
    show_table(("figure", "value", "error", "floor", "better"), rows)
    for measure, reason in findings["left_out"].items():
        note(f"{measure}: {reason}")
    used = findings["protocol"]
    note(
        f"{evaluation['model']}: {used['samples']} samples, {used['features']} features, against "
        f"{used['reference_samples']} {used['reference'].replace('_', '-')} items"
    )


def _row(name: str, figure: dict[str, Any]) -> tuple[object, ...]:
    error = figure["standard_error"]
    doubt = None if error is None else f"\N{PLUS-MINUS SIGN} {error:.2g}"
    value = f"{figure['value']:.4g}"
    return (
        name,
        f"at least {value}" if figure.get("at_least") else value,
        doubt,
        figure["floor"],
        figure["better"],
    )


_WORDS = {"queued": "waiting to be evaluated", "running": "being evaluated"}
