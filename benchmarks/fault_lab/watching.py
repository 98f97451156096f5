"""Following a job on disk, where it can be seen whatever has become of the processes."""

from benchmarks.fault_lab.outcome import written_rows
from benchmarks.fault_lab.waiting import wait_until
from worker.store.job import Job
from worker.store.records import UNFINISHED

RECOVERY_SECONDS, END_SECONDS = 120.0, 900.0


def is_over(job: Job) -> bool:
    """Whether the job has ended."""
    return job.record().status not in UNFINISHED


def wait_for_checkpoints(job: Job, count: int) -> None:
    """Until this many more are saved, or the job ends."""
    before = job.events.last_id

    def came() -> bool:
        new = sum(event.type == "checkpoint.created" for event in job.events.after(before))
        return new >= count or is_over(job)

    wait_until(came, f"{count} checkpoints of {job.id}", END_SECONDS, 0.05)


def wait_for_attempt_after(job: Job, number: int) -> None:
    """Until a later attempt trains: its first metrics are there, or the job has ended."""

    def goes_on() -> bool:
        later = [epoch for epoch in job.epochs() if epoch.number > number]
        return any(written_rows(epoch) for epoch in later) or is_over(job)

    wait_until(goes_on, f"an attempt after {number} of {job.id}", RECOVERY_SECONDS)


def wait_for_end(job: Job, seconds: float = END_SECONDS) -> None:
    """Until the job has ended."""
    wait_until(lambda: is_over(job), f"the end of {job.id}", seconds, 0.1)
