"""Why an attempt did not end well: what can be known of a process that is gone."""

import faulthandler
import os
import signal
import sys
from pathlib import Path

from worker.store.epochs import Loss
from worker.watchdog import last_calls

LOG = "training.log"
_LONGEST_LOG_BYTES = 1 << 20
_TAIL_LINES, _TAIL_BYTES = 20, 4_000
# Of all threads of a process.
_LAST_WORDS_BYTES = 1 << 16

_CAUSES: dict[int, str] = {
    signal.SIGKILL: "somebody or the system killed it, perhaps for want of memory",
    signal.SIGSEGV: "native code read memory that is not its own; the log names the place",
    signal.SIGBUS: "a file that it reads was cut off, or the disk failed",
    signal.SIGABRT: "native code gave up; the log says why",
    signal.SIGILL: "this PyTorch was built for another processor",
    signal.SIGFPE: "native code divided by zero; the log names the place",
}


def keep_output(path: Path) -> None:
    """From now on this process's standard error goes to a log, crashes of native code included."""
    with path.open("ab") as file:
        if file.tell() > _LONGEST_LOG_BYTES:
            file.truncate(0)
        os.dup2(file.fileno(), sys.stderr.fileno())
    faulthandler.enable()


def count_oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def loss_of(job: Path, wait_status: int, oom_kills_before: int) -> Loss:
    """What became of the training process of a job, by the status that its parent was told."""
    number = os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else None
    if number == signal.SIGKILL and count_oom_kills() > oom_kills_before:
        return Loss(
            code="out-of-memory",
            detail="the system killed the training process because memory ran out; lower "
            "batch_size or the networks' widths, or give the machine more",
            signal=number,
            log_tail=log_tail(job),
        )
    calls = last_calls(_end_of_log(job, _LAST_WORDS_BYTES))
    if calls is not None and number is None and os.waitstatus_to_exitcode(wait_status) == 1:
        return Loss(
            code="stalled",
            detail="the training finished no step for RINGSIDE_STALL_SECONDS and was ended; the "
            "log says where it was; raise it if steps take that long",
            log_tail=tuple(calls[:_TAIL_LINES]),
        )
    return Loss(
        code="process-lost",
        detail=f"the training process ended {_how(wait_status, number)}",
        signal=number,
        log_tail=log_tail(job),
    )


def loss_of_evaluation(wait_status: int, oom_kills_before: int) -> Loss:
    """What became of the process of an evaluation, by the status that its parent was told."""
    number = os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else None
    if number == signal.SIGKILL and count_oom_kills() > oom_kills_before:
        detail = "the system killed the evaluation because memory ran out"
        return Loss(code="out-of-memory", detail=detail, signal=number)
    detail = f"the process of the evaluation ended {_how(wait_status, number)}"
    return Loss(code="process-lost", detail=detail, signal=number)


def loss_of_evaluation_unseen() -> Loss:
    """An evaluation that is gone together with whoever would have been told why."""
    detail = "the process of the evaluation ended together with its worker, or the machine did"
    return Loss(code="process-lost", detail=detail)


def loss_unseen(job: Path) -> Loss:
    """A training process that is gone together with whoever would have been told why."""
    detail = "the training process ended together with its worker, or the machine did"
    return Loss(code="process-lost", detail=detail, log_tail=log_tail(job))


def log_tail(job: Path) -> tuple[str, ...]:
    """The last lines of a job's log."""
    return tuple(_end_of_log(job, _TAIL_BYTES).splitlines()[-_TAIL_LINES:])


def _end_of_log(job: Path, most_bytes: int) -> str:
    try:
        with (job / LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _how(wait_status: int, number: int | None) -> str:
    if number is None:
        return f"with exit status {os.waitstatus_to_exitcode(wait_status)}; the log says more"
    cause = _CAUSES.get(number, "nothing more is known")
    return f"by signal {number} ({signal.strsignal(number)}): {cause}"
