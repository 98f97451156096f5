"""Event files for TensorBoard, where ``RINGSIDE_TENSORBOARD`` asks for them.

``<home>/tensorboard/<job id>/`` holds one file for each attempt. They are a copy for looking at:
nothing reads them back, and a training goes on without them where they cannot be written. The
library's own writer is not used: its thread dies on a full disk, and its queue then blocks whoever
adds to it for ever.
"""

import errno
import logging
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worker.settings import Settings
from worker.store.files import remove_directory
from worker.store.job import Job

_VERSION = "brain.Event:2"

log = logging.getLogger("ringside.tensorboard")


def remove_board(home: Path, job_id: str) -> None:
    """Remove what was written of a job; there may be nothing."""
    if (path := _directory(home, job_id)).exists():
        remove_directory(path)


class Board:
    """What one attempt writes. Steps after the one it goes on from are shown anew, not twice."""

    def __init__(self, directory: Path, start: int) -> None:
        # Protocol buffers make their classes when they are imported.
        from tensorboardX.proto.event_pb2 import (  # type: ignore[attr-defined]
            Event,
            SessionLog,
        )

        directory.mkdir(parents=True, exist_ok=True)
        # Files are read in the order of their names, also those of one second.
        number = len(list(directory.iterdir()))
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{number:04d}"
        # Unbuffered: whoever watches sees each row, and nothing is left to write at the end.
        self._file: FileIO | None = (directory / name).open("xb", buffering=0)
        self._event, self._diagnoses = Event, list[str]()
        self._write(file_version=_VERSION)
        self._write(step=start + 1, session_log=SessionLog(status=SessionLog.START))

    @classmethod
    def open(cls, settings: Settings, job: Job) -> "Board | None":
        """The board of the attempt that was begun last (``Claim.begin``).

        None where nobody asked for one, and where the disk has no room for it.
        """
        if not settings.tensorboard:
            return None
        epochs = job.epochs()
        start = (epochs[-1].start if epochs else None) or 0
        try:
            return cls(_directory(settings.home.resolve(), job.id), start)
        except OSError as error:
            log.warning("%s goes without event files: %s", job.id, error)
            return None

    def row(self, row: Mapping[str, Any]) -> None:
        """The numbers of a row of metrics, and its diagnoses where they have changed."""
        from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
        from tensorboardX.summary import text

        values = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in row.items()
            if isinstance(value, int | float) and name != "step"
        ]
        self._write(step=row["step"], summary=Summary(value=values))
        diagnoses = list(row.get("diagnoses") or [])
        if diagnoses != self._diagnoses:
            self._diagnoses = diagnoses
            words = ", ".join(diagnoses) or "none any more"
            self._write(step=row["step"], summary=text("diagnoses", words))

    def preview(self, step: int, png: bytes) -> None:
        """The picture of a step."""
        from tensorboardX.summary import image

        with Image.open(BytesIO(png)) as picture:
            values = np.asarray(picture.convert("RGB"))
        self._write(step=step, summary=image("preview", values, dataformats="HWC"))

    def close(self) -> None:
        """Close the file; what comes after that is left out."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _write(self, **fields: Any) -> None:
        if self._file is None:
            return
        event = self._event(wall_time=time.time(), **fields)
        try:
            data = _record(event.SerializeToString())
            # What is cut off would spoil all that comes after it.
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "an event was cut off")
        except OSError as error:
            log.warning("no more event files are written: %s", error)
            self.close()


def _record(data: bytes) -> bytes:
    """Data as a TFRecord: its length and the data, each followed by a checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return b"".join((length, next(sums), data, next(sums)))


def _directory(home: Path, job_id: str) -> Path:
    return home / "tensorboard" / job_id
