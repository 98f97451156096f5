"""One attempt at a job: what the loop writes, in an epoch of its own."""

import errno
import io
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ganmodels.games.match import Match
from ganmodels.labels import Clusters
from ganmodels.referee.health import Diagnosis, Health
from ganmodels.referee.referee import Reading
from ganmodels.rendering import as_png
from worker.checkpointing import CheckpointWriter, Snapshot
from worker.endings import Ending
from worker.material import Material
from worker.previewing import preview
from worker.refereeing import JobReferee, check_signals
from worker.saving import Saver
from worker.store.claims import Claim
from worker.store.files import now, replace_file, replace_json
from worker.store.job import Job
from worker.tensorboard import Board


class Attempt:
    """Writes metrics, previews and, through ``writer``, checkpoints of one epoch of a job."""

    def __init__(
        self,
        job: Job,
        claim: Claim,
        writer: CheckpointWriter,
        referee: JobReferee,
        material: Material,
        clusters: Clusters | None,
        board: Board | None,
    ) -> None:
        self.job, self.claim, self.config = job, claim, job.config()
        self._writer, self._referee = writer, referee
        self._material, self._clusters = material, clusters
        self._board = board
        self._rate: float = 0.0
        self._means: dict[str, float] = job.progress().get("metrics", {})
        self._metrics = (claim.epoch.path / "metrics.jsonl").open("ab", buffering=0)
        self._saver = Saver()

    def close(self) -> None:
        """Let what is being written end, and close everything."""
        self._saver.close()
        self._metrics.close()
        if self._board:
            self._board.close()

    def check(self) -> None:
        """Make sure that the attempt may go on.

        Raises:
            Fenced: when another attempt has taken over.
            OSError, DataError: when a checkpoint could not be written in the background.
        """
        self.claim.check()
        self._saver.check()

    @property
    def saving_seconds(self) -> float:
        """For how long a checkpoint has been being written by now; 0 where none is."""
        return self._saver.writing_seconds

    def write_metrics(self, match: Match, means: dict[str, float], rate: float) -> Ending | None:
        """One row, to the file, the event log and the progress of the job.

        Returns why the training is to end, where the referee says so.
        """
        self.claim.check()
        reading, ending = self._referee.read(match, means)
        check_signals(match.step, reading.columns)
        row: dict[str, Any] = {"step": match.step, "images_seen": match.images_seen, **means}
        row |= reading.columns
        row |= {"images_per_second": round(rate, 1), "at": now()}
        _write_line(self._metrics, row)
        self._rate, self._means = rate, {**self._means, **means, **_numbers(reading)}
        self.write_progress(match)
        self.job.events.append("job.metrics", row)
        self._warn(reading, match.step)
        if self._board:
            self._board.row(row)
        return ending

    def left_over(self, match: Match) -> Ending | None:
        """What the attempt before was about to do at this step when it was lost, if anything."""
        return self._referee.left_over(match)

    def write_health(self, match: Match, health: Health) -> None:
        """What the referee says of a match that has broken down, in place of a reading."""
        self._referee.health = health
        self.write_progress(match)
        self._tell(health.diagnoses)

    def _warn(self, reading: Reading, step: int) -> None:
        self._tell(reading.begun)
        for diagnosis in reading.ended:
            told = {"code": diagnosis.code, "step": step}
            self.job.events.append("job.warning_ended", told)

    def _tell(self, diagnoses: Iterable[Diagnosis]) -> None:
        for diagnosis in diagnoses:
            self.job.events.append("job.warning", diagnosis.model_dump(mode="json"))

    def write_preview(self, match: Match) -> None:
        """A picture of the same inputs at every step."""
        self.claim.check()
        path = self.claim.epoch.preview_path(match.step)
        path.parent.mkdir(exist_ok=True)
        png = as_png(preview(match, self._material, self._clusters))
        replace_file(path, png, durable=False)
        if self._board:
            self._board.preview(match.step, png)
        self.job.events.append("preview.created", {"step": match.step})

    def write_progress(self, match: Match) -> None:
        """Where the training is, for those who look."""
        rate, health = self._rate, self._referee.health
        left = (match.total_steps - match.step) * match.images_seen / max(1, match.step)
        progress = {
            "step": match.step,
            "images_seen": match.images_seen,
            "images_per_second": round(rate, 1),
            "eta_seconds": round(left / rate, 1) if rate else None,
            "metrics": self._means,
            "health": health.model_dump(mode="json") if health else None,
            "updated_at": now(),
        }
        # Not fsynced: it is rewritten at the next reading, and the checkpoints hold the truth.
        replace_json(self.claim.epoch.path / "progress.json", progress, durable=False)

    def save(self, match: Match) -> None:
        """Copy the whole state, and write it in the background while training goes on.

        While the checkpoint before is still being written this one is left out, so that a slow
        disk slows nothing down and memory holds one copy at most; a milestone is waited for.
        """
        every = self.config.schedule.keep_every
        if self._saver.is_writing and not (every and match.step % every == 0):
            self.job.events.append("checkpoint.skipped", {"step": match.step})
            return
        self._saver.wait()
        snapshot = Snapshot.of(match)
        self._saver.start(lambda: self._write(snapshot))

    def save_last(self, match: Match) -> None:
        """Write the state, unless it was written already, and wait until it is on disk."""
        self._saver.wait()
        if not self.claim.epoch.checkpoint_path(match.step).exists():
            self._write(Snapshot.of(match))
        self.write_progress(match)

    def finish(self, match: Match) -> None:
        """What remains to be done at the last step."""
        if match.step not in self.job.previews():
            self.write_preview(match)
        self.check()
        self._writer.finish()

    def _write(self, snapshot: Snapshot) -> None:
        # A checkpoint that is there after a power cut has all rows before it.
        os.fsync(self._metrics.fileno())
        self._writer.write(snapshot)


def _numbers(reading: Reading) -> dict[str, float]:
    return {name: value for name, value in reading.columns.items() if isinstance(value, float)}


def _write_line(file: io.FileIO, row: Mapping[str, Any]) -> None:
    """All or an error: a row that was cut off would spoil the one after it."""
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, "the row was cut off")
