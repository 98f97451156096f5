"""kill -9 again and again at any moment at all, also while the job is only just coming back."""

import random
import time

from benchmarks.fault_lab.interruptions import reference
from benchmarks.fault_lab.ledger import Ledger, audit
from benchmarks.fault_lab.outcome import outcome_of
from benchmarks.fault_lab.processes import kill
from benchmarks.fault_lab.report import Figure, Report, at_most, exactly
from benchmarks.fault_lab.service import running
from benchmarks.fault_lab.task import CHECKPOINT_STEPS, STEPS, common
from benchmarks.fault_lab.watching import is_over, wait_for_end

_MEAN_SECONDS = 0.4


def storm(trials: int, seed: int, steps: int = STEPS) -> Report:
    """Kill the training process ``trials`` times unless the job ends before."""
    chance, done = random.Random(f"storm/{seed}"), 0
    # Nearly every attempt ends before it saved anything.
    with running(RINGSIDE_MAX_ATTEMPTS="1000") as service:
        job = service.job(Ledger(service).must_submit(common(steps)))
        while done < trials and not is_over(job):
            time.sleep(chance.expovariate(1 / _MEAN_SECONDS))
            found = service.trainers()
            kill(found)
            done += len(found)
        wait_for_end(job)
        outcome, checked = outcome_of(job), audit(service)
    equal = outcome.digest == reference(steps).digest and outcome.status == "succeeded"
    return Report(
        fault=f"kill -9: training process, every {_MEAN_SECONDS:g} s on average",
        trials=done,
        seed=seed,
        lost=checked.lost,
        duplicated=checked.duplicated,
        equal=int(equal),
        compared=1,
        goodput=outcome.goodput,
        figures=(
            exactly("equal hash", int(equal), 1),
            at_most(
                "lost steps, max",
                max(outcome.lost_steps, default=0),
                CHECKPOINT_STEPS + outcome.steps_during_a_write,
            ),
            exactly("jobs lost or doubled", checked.lost + checked.duplicated, 0),
            exactly("gaps in events", checked.gaps, 0),
            Figure("attempts", str(outcome.attempts), "shown", True),
        ),
    )
