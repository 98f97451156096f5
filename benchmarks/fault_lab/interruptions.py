"""A common job that is interrupted several times, against the same job left alone."""

import random
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from benchmarks.fault_lab.ledger import Audit, Ledger, audit
from benchmarks.fault_lab.outcome import Outcome, outcome_of
from benchmarks.fault_lab.report import Figure, Report, at_most, exactly, percentile
from benchmarks.fault_lab.service import Ringside, running
from benchmarks.fault_lab.task import CHECKPOINT_STEPS, METRICS_STEPS, common
from benchmarks.fault_lab.watching import (
    is_over,
    wait_for_attempt_after,
    wait_for_checkpoints,
    wait_for_end,
)

RECOVERY_P95_SECONDS = 15.0
# Whatever keeps dying is started again after ever longer waits, and `up` gives up at the sixth
# death within a minute: that is a different experiment.
INTERRUPTIONS_PER_RUN = 4
# A run of the random delay after a checkpoint: two intervals between checkpoints.
_LONGEST_DELAY_SECONDS = 0.5

Strike = Callable[[Ringside], None]


class Run(NamedTuple):
    """One job: how it ended, and the seconds from each interruption to the next metrics."""

    outcome: Outcome
    recovery_seconds: tuple[float, ...]
    lost_attempts: int
    audit: Audit

    @property
    def unexpected_attempts(self) -> int:
        """Attempts that no interruption explains."""
        return self.outcome.attempts - 1 - len(self.recovery_seconds)


@cache
def reference(steps: int) -> Outcome:
    """The common job, left alone, trained in this very session."""
    with running() as service:
        job = service.job(Ledger(service).must_submit(common(steps)))
        wait_for_end(job)
        return outcome_of(job)


def interrupted_runs(strike: Strike, trials: int, seed: str, steps: int) -> list[Run]:
    """As many runs as it takes for ``trials`` interruptions, several in each."""
    runs: list[Run] = []
    while trials > 0:
        chance = random.Random(f"{seed}/{len(runs)}")
        runs.append(_interrupted_run(strike, min(trials, INTERRUPTIONS_PER_RUN), chance, steps))
        # An interruption that came too late was none; a run without any would never get there.
        trials -= max(1, len(runs[-1].recovery_seconds))
    return runs


def _interrupted_run(strike: Strike, count: int, chance: random.Random, steps: int) -> Run:
    # A job that is killed before it could save anything three times in a row fails, rightly.
    with running(RINGSIDE_MAX_ATTEMPTS="1000") as service:
        job = service.job(Ledger(service).must_submit(common(steps)))
        furthest = max(1, (steps // CHECKPOINT_STEPS - 2) // (count + 1))
        seconds = []
        for _ in range(count):
            wait_for_checkpoints(job, chance.randint(1, furthest))
            time.sleep(chance.uniform(0, _LONGEST_DELAY_SECONDS))
            if is_over(job):
                break
            number, began = len(job.epochs()), time.monotonic()
            strike(service)
            wait_for_attempt_after(job, number)
            seconds.append(time.monotonic() - began)
        wait_for_end(job)
        lost = sum(event.type == "attempt.lost" for event in job.events.after(0))
        return Run(outcome_of(job), tuple(seconds), lost, audit(service))


def summarise(
    fault: str, runs: Sequence[Run], seed: int, steps: int, most_lost_steps: int
) -> Report:
    """One row for all runs of one fault."""
    expected = reference(steps)
    outcomes = [run.outcome for run in runs]
    seconds = tuple(s for run in runs for s in run.recovery_seconds)
    lost = [steps for outcome in outcomes for steps in outcome.lost_steps]
    writing = max(outcome.steps_during_a_write for outcome in outcomes)
    equal = sum(o.digest == expected.digest and o.status == "succeeded" for o in outcomes)
    useful = sum(outcome.useful_seconds for outcome in outcomes)
    return Report(
        fault=fault,
        trials=len(seconds),
        seed=seed,
        lost=sum(run.audit.lost for run in runs),
        duplicated=sum(run.audit.duplicated for run in runs),
        equal=equal,
        compared=len(runs),
        recovery_seconds=seconds,
        goodput=useful / sum(o.wall_seconds for o in outcomes),
        figures=(
            exactly("equal hashes", equal, len(runs)),
            _lost_steps(lost, most_lost_steps, writing if most_lost_steps else 0),
            at_most("recovery p95", percentile(seconds, 95), RECOVERY_P95_SECONDS, " s"),
            exactly("unexpected attempts", sum(run.unexpected_attempts for run in runs), 0),
            exactly(
                "jobs lost or doubled", sum(r.audit.lost + r.audit.duplicated for r in runs), 0
            ),
            exactly("gaps in events", sum(run.audit.gaps for run in runs), 0),
        ),
    )


def _lost_steps(lost: Sequence[int], interval: int, writing: int) -> Figure:
    """The most, and how often a kill met a save under way: then the one before is the last."""
    over = sum(steps > interval for steps in lost)
    figure = at_most(
        f"lost steps (known to {METRICS_STEPS}), {over} of {len(lost)} more than {interval}, max",
        max(lost, default=0),
        interval + writing,
    )
    return figure._replace(wanted=f"<= {interval} + {writing} during the longest write")
