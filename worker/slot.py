"""``python -m worker.slot``: one worker process, which a supervisor starts and keeps.

With ``--evaluations`` it evaluates checkpoints; otherwise it trains.
"""

import importlib
import sys
from functools import partial

from worker.garbage import lasting
from worker.logs import log_to_stderr
from worker.processes import give_way

EVALUATIONS = "--evaluations"
# Training takes all the time it can get; whoever waits for an answer goes first. An evaluation
# goes after both.
_NICENESS, _NICENESS_OF_EVALUATIONS = 5, 10


def main() -> None:
    """Run jobs until told to stop; settings come from the environment."""
    evaluates = EVALUATIONS in sys.argv[1:]
    give_way(_NICENESS_OF_EVALUATIONS if evaluates else _NICENESS)
    with lasting():
        from worker.queue import work, work_on_evaluations
        from worker.settings import Settings

    settings = Settings()
    assert settings.redis_url is not None, "the supervisor says where Redis is"
    run = work_on_evaluations if evaluates else work
    preload = partial(_preload, "worker.evaluations" if evaluates else "worker.jobs")
    run(settings, settings.redis_url, preload)


def _preload(module_of_jobs: str) -> None:
    """Import what a job needs, so that each forked process need not: seconds per job.

    Importing is all that may be done: once torch has computed here, its threads do not survive
    the fork and the child waits for them for ever.
    """
    with lasting():
        for module in ("torch._dynamo", "sklearn.cluster", "PIL.Image", module_of_jobs):
            importlib.import_module(module)


if __name__ == "__main__":
    log_to_stderr()
    main()
