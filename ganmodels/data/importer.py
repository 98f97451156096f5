"""Import a stranger's file in a child process with limited memory, time and files.

``import_file`` is the parent's side; ``python -m ganmodels.data.importer`` is the child, which
answers with one JSON object on stdout. A child that dies takes nothing with it.
"""

import argparse
import logging
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from pydantic import Field, ValidationError

from ganmodels.data.errors import DataError
from ganmodels.data.limits import DEFAULT_LIMITS, GIB, MIB, Limits
from ganmodels.data.packed import Manifest, discard, pack
from ganmodels.data.readers import detect_kind, read_file
from ganmodels.diskerrors import FAILING, FULL
from ganmodels.spec import Spec

# Not 1, with which Python itself ends after an unexpected exception.
_REFUSED_STATUS = 3
_OUTCOME_BYTES = 4 * MIB
_LOGGED_BYTES = 4000
_OPEN_FILES = 64
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_STORAGE_REFUSALS = {
    **dict.fromkeys(FULL, "import_storage_full"),
    **dict.fromkeys(FAILING, "import_storage_unavailable"),
}

_log = logging.getLogger(__name__)


class Refusal(Spec):
    """A DataError on its way from the child to the parent."""

    code: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    detail: str = Field(max_length=2000)
    limit: int | None = None


class Outcome(Spec):
    """What the child answers: exactly one of the two."""

    manifest: Manifest | None = None
    refusal: Refusal | None = None


def import_file(
    input_path: Path,
    labels_path: Path | None,
    output_directory: Path,
    size: tuple[int, int] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    timeout_seconds: float = 300,
    memory_bytes: int = 2 * GIB,
) -> Manifest:
    """Pack a file into ``output_directory`` in a limited child process.

    On any error the directory holds none of our files.

    Raises: DataError from the readers, or ``import_timeout``, ``import_out_of_memory``,
    ``import_storage_full``, ``import_storage_unavailable``, or ``unreadable_data`` for a child
    that died otherwise.
    """
    command = [
        # -P keeps the current directory out of the import path.
        *(sys.executable, "-P", "-m", "ganmodels.data.importer"),
        *(f"--input={input_path.absolute()}", f"--output={output_directory.absolute()}"),
        f"--limits={limits.model_dump_json()}",
        f"--cpu-seconds={math.ceil(timeout_seconds)}",
        f"--memory-bytes={memory_bytes}",
    ]
    if labels_path is not None:
        command.append(f"--labels={labels_path.absolute()}")
    if size is not None:
        command.append(f"--size={size[0]}x{size[1]}")
    try:
        return _answer(_run(command, timeout_seconds))
    except BaseException:
        discard(output_directory)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The child: limit itself, import, print the outcome as JSON."""
    options = _parse(arguments)
    limits = Limits.model_validate_json(options.limits)
    # Limits come after the imports above, which need more address space than small data.
    _limit_resources(options.memory_bytes, options.cpu_seconds, limits)
    # Pillow and NumPy warn about damaged files; the report says what matters.
    warnings.simplefilter("ignore")
    outcome = _import(options, limits)
    # Whatever the locale says.
    sys.stdout.buffer.write(outcome.model_dump_json().encode())
    return 0 if outcome.manifest else _REFUSED_STATUS


def _run(command: list[str], timeout_seconds: float) -> bytes:
    """Run the child to its end and return what it printed, cut at a bound.

    Output goes to files, not pipes: a child gone mad can fill neither memory nor a pipe.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            env=_environment(),
        )
        try:
            status = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise _timed_out() from None
        finally:
            process.kill()
            process.wait()
        _check_status(status, messages)
        output.seek(0)
        return output.read(_OUTCOME_BYTES)


def _environment() -> dict[str, str]:
    """Only what Python needs; keys and settings of the service stay away from the parser."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    # Each thread of OpenBLAS would reserve address space, which RLIMIT_AS counts.
    return {**kept, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}


def _check_status(status: int, messages: IO[bytes]) -> None:
    if status in (0, _REFUSED_STATUS):
        return
    messages.seek(max(0, messages.seek(0, os.SEEK_END) - _LOGGED_BYTES))
    _log.warning("import child ended with status %d: %r", status, messages.read(_LOGGED_BYTES))
    if status == -signal.SIGXCPU:
        raise _timed_out()
    if status == -signal.SIGKILL:
        raise _out_of_memory()
    raise _unreadable()


def _answer(output: bytes) -> Manifest:
    try:
        outcome = Outcome.model_validate_json(output)
    except ValidationError:
        raise _unreadable() from None
    if outcome.manifest is not None:
        return outcome.manifest
    if outcome.refusal is None:
        raise _unreadable()
    raise DataError(outcome.refusal.code, outcome.refusal.detail, outcome.refusal.limit)


def _import(options: argparse.Namespace, limits: Limits) -> Outcome:
    try:
        kind = detect_kind(options.input, limits)
        if options.kind not in ("auto", kind):
            raise DataError(
                "kind_mismatch", f"The file is of kind {kind}, not {options.kind}; send that."
            )
        stream = read_file(options.input, options.labels, limits)
        return Outcome(manifest=pack(stream, options.output, options.size))
    except DataError as error:
        return _refused(error)
    except MemoryError:
        return _refused(_out_of_memory())
    except OSError as error:
        code = _STORAGE_REFUSALS.get(error.errno or 0)
        if code is None:
            raise
        detail = "The dataset could not be stored; free some room, or try again later."
        return _refused(DataError(code, detail))


def _refused(error: DataError) -> Outcome:
    return Outcome(refusal=Refusal(code=error.code, detail=error.detail, limit=error.limit))


def _limit_resources(memory_bytes: int, cpu_seconds: int, limits: Limits) -> None:
    # Items, then labels of at most 8 bytes each and the small files.
    file_bytes = limits.max_packed_bytes + 8 * limits.max_items + MIB
    for name, soft, hard in (
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        # The hard limit sends SIGKILL, which looks like running out of memory: keep it later.
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 5),
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        allowed = resource.getrlimit(name)[1]
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        resource.setrlimit(name, (soft, hard))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ("auto", "archive", "idx", "npy", "npz")
    parser.add_argument("--kind", choices=kinds, default="auto")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--size", type=_parse_size, help="HEIGHTxWIDTH")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limits", default=DEFAULT_LIMITS.model_dump_json())
    parser.add_argument("--cpu-seconds", type=int, default=300)
    parser.add_argument("--memory-bytes", type=int, default=2 * GIB)
    return parser.parse_args(arguments)


def _parse_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def _timed_out() -> DataError:
    return DataError(
        "import_timeout", "The import took longer than allowed; import fewer or smaller items."
    )


def _out_of_memory() -> DataError:
    return DataError(
        "import_out_of_memory",
        "The import needed more memory than allowed; import fewer or smaller items.",
    )


def _unreadable() -> DataError:
    return DataError(
        "unreadable_data", "The file could not be read; it may be damaged: create it again."
    )


if __name__ == "__main__":
    sys.exit(main())
