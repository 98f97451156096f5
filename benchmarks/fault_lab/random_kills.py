"""Goodput: how much of the time is useful when something is killed again and again."""

import random
import time

from benchmarks.fault_lab.ledger import Ledger, audit
from benchmarks.fault_lab.outcome import Outcome, outcome_of
from benchmarks.fault_lab.processes import kill
from benchmarks.fault_lab.report import Figure, Report, at_least, exactly, percentile
from benchmarks.fault_lab.service import Ringside, running
from benchmarks.fault_lab.task import common
from benchmarks.fault_lab.watching import wait_for_attempt_after, wait_for_checkpoints, wait_for_end
from worker.store.job import Job

_ENDLESS_STEPS = 10**6
# Saving every 0.2 s, as the common job does to have much to kill, takes a fifth of its time.
_METRICS_STEPS, _CHECKPOINT_STEPS = 25, 500


def random_kills(
    minutes: float, seed: int, every_seconds: float = 120, wanted: float = 0.9
) -> Report:
    """Kill the training process or its slot, at exponential times, for so many minutes."""
    # Times may say that it is killed three times in a row before it could save anything.
    with running(RINGSIDE_MAX_ATTEMPTS="1000") as service:
        ledger = Ledger(service)
        job = service.job(
            ledger.must_submit(common(_ENDLESS_STEPS, _METRICS_STEPS, _CHECKPOINT_STEPS))
        )
        wait_for_checkpoints(job, 1)
        chance = random.Random(f"goodput/{seed}")
        recoveries = _kill_for(service, job, minutes, chance, every_seconds)
        service.client.post(f"/jobs/{job.id}/cancel").raise_for_status()
        wait_for_end(job)
        outcome, found = outcome_of(job), audit(service)
    return Report(
        fault=f"kill -9 every {every_seconds:g} s on average, {minutes:g} min",
        trials=len(recoveries),
        seed=seed,
        lost=found.lost,
        duplicated=found.duplicated,
        recovery_seconds=tuple(recoveries),
        goodput=outcome.goodput,
        figures=(
            at_least("goodput", 100 * outcome.goodput, 100 * wanted, " %"),
            *_parts(outcome),
            exactly("attempts", outcome.attempts, len(recoveries) + 1),
            Figure("recovery p95", f"{percentile(recoveries, 95):.1f} s", "shown", True),
        ),
    )


def _parts(outcome: Outcome) -> tuple[Figure, ...]:
    """What goodput is made of."""
    return (
        Figure("useful steps", str(outcome.useful_steps), "shown", True),
        Figure("goodput at the median step", f"{outcome.goodput_at_usual_pace:.1%}", "shown", True),
        Figure("median step", f"{outcome.seconds_per_step * 1000:.2f} ms", "shown", True),
        Figure("wall", f"{outcome.wall_seconds:.0f} s", "shown", True),
        Figure("void steps", f">= {sum(outcome.lost_steps)}", "shown", True),
        Figure("saved every", f"{_CHECKPOINT_STEPS} steps", "shown", True),
    )


def _kill_for(
    service: Ringside, job: Job, minutes: float, chance: random.Random, every_seconds: float
) -> list[float]:
    """Seconds from each kill to the next metrics. One that is due during a recovery waits."""
    end, recoveries = time.monotonic() + 60 * minutes, []
    due = time.monotonic() + chance.expovariate(1 / every_seconds)
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        number, began = len(job.epochs()), time.monotonic()
        kill(chance.choice([service.trainers, service.slots])())
        wait_for_attempt_after(job, number)
        recoveries.append(time.monotonic() - began)
        due += chance.expovariate(1 / every_seconds)
    time.sleep(max(0.0, end - time.monotonic()))
    return recoveries
