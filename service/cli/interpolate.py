"""``ringside interpolate``: frames that lead through keyframes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.client import Json, checked, connect
from service.cli.inference import ModelName, Output, deliver, named

# Of 2**63 - 1.
_MOST_DIGITS = 19
_FORMATS = {
    ".png": "png",
    ".webp": "webp",
    ".gif": "gif",
    ".apng": "apng",
    ".zip": "zip",
    ".npy": "npy",
    ".npz": "npz",
    ".json": "json",
}


def interpolate(
    model: ModelName,
    keyframes: Annotated[
        list[str], typer.Argument(help="Seeds, or mixes of seeds as s7:0.3,s12:0.7.")
    ],
    steps: Annotated[int, typer.Option(min=1, help="Frames to the next keyframe.")] = 24,
    loop: Annotated[bool, typer.Option("--loop", help="Back to the first, for ever.")] = False,
    easing: Annotated[str, typer.Option(help="linear or smoothstep.")] = "linear",
    label: Annotated[str | None, typer.Option(help="Class of all frames.")] = None,
    truncation: Annotated[
        float | None, typer.Option(help="Below 1: more typical items, less variety.")
    ] = None,
    duration_ms: Annotated[int, typer.Option(min=10, help="Of a frame.")] = 40,
    output: Output = "interpolation.webp",
    as_json: Json = False,
) -> None:
    """Draw frames between the images of seeds.

    The suffix of the file names the format: webp, gif and apng move, png is a strip; zip, npy,
    npz and json hold each frame.

    Example: ringside interpolate my-digits 7 12 31 --loop --label 3 -o walk.webp
    """
    body = {"model": model, "keyframes": [_keyframe(text) for text in keyframes], "steps": steps,
            "loop": loop, "easing": easing, "label": label, "truncation": truncation,
            "duration_ms": duration_ms, "format": _format(output)}  # fmt: skip
    with connect() as client:
        response = checked(client.post("/interpolate", json=named(body)))
    deliver(output, response, as_json)


def _keyframe(text: str) -> dict[str, Any]:
    if not (text.isascii() and text.isdigit()):
        return {"mix": text}
    if len(text) > _MOST_DIGITS:
        raise typer.BadParameter(f"a seed has at most {_MOST_DIGITS} digits")
    return {"seed": int(text)}


def _format(output: str) -> str:
    suffix = ".webp" if output == "-" else Path(output).suffix.lower()
    if suffix not in _FORMATS:
        raise typer.BadParameter(f"the suffix of {output} is none of {', '.join(_FORMATS)}")
    return _FORMATS[suffix]
