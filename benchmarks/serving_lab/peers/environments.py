"""A virtual environment for each peer, with the very PyTorch that measures."""

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.serving_lab.peers.known import Peer

# What the generator needs, and the encoder in the version that also writes our answers.
_NEEDED = ("numpy", "pillow", "pydantic", "jaxtyping", "safetensors", f"isal=={version('isal')}")
_WHEELS = "https://download.pytorch.org/whl"
_TOLD = ("litserve", "bentoml", "ray", "torch", "fastapi", "starlette", "uvicorn", "numpy")


class NotInstalled(Exception):  # noqa: N818 - named for what it says
    """A peer could not be installed; the message is the end of what pip wrote."""


def install(peer: Peer, directory: Path) -> None:
    """Make the peer's environment under a directory, unless it is there.

    Raises:
        NotInstalled: when that fails; the half-made environment is tried again next time.
    """
    done = directory / peer.name / "installed"
    if done.exists():
        return
    python = str(peer.python(directory))
    _run([sys.executable, "-m", "venv", str(directory / peer.name)])
    _install_torch(python)
    pip = [python, "-m", "pip", "install", "--quiet"]
    _run([*pip, f"torch=={torch.__version__}", *peer.packages, *_NEEDED])
    done.touch()


def _install_torch(python: str) -> None:
    """The same build: one that is not on PyPI is looked for where PyTorch keeps them."""
    command = [python, "-m", "pip", "install", "--quiet", f"torch=={torch.__version__}"]
    build = torch.__version__.partition("+")[2]
    try:
        _run(command)
    except NotInstalled:
        if not build:
            raise
        _run([*command, "--index-url", f"{_WHEELS}/{build}"])


def versions(peer: Peer, directory: Path) -> dict[str, str]:
    """What is installed of what matters."""
    command = [str(peer.python(directory)), "-m", "pip", "list", "--format=json"]
    listed = json.loads(_run(command))
    found = {entry["name"].lower(): entry["version"] for entry in listed}
    return {name: found[name] for name in _TOLD if name in found}


def _run(command: Iterable[str]) -> str:
    ended = subprocess.run(list(command), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotInstalled(ended.stderr.strip()[-500:])
    return ended.stdout
