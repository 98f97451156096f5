"""``python -m worker.slot``: one worker process, which a supervisor starts and keeps.

With ``--evaluations`` it evaluates checkpoints; otherwise it trains.
"""

import importlib
import os
import sys

from worker.logs import log_to_stderr

EVALUATIONS = "--evaluations"
# Training takes all the time it can get; whoever waits for an answer goes first. An evaluation
# goes after both.
_NICENESS, _NICENESS_OF_EVALUATIONS = 5, 10


def main() -> None:
    """Run jobs until told to stop; settings come from the environment."""
    evaluates = EVALUATIONS in sys.argv[1:]
    os.nice(_NICENESS_OF_EVALUATIONS if evaluates else _NICENESS)
    _preload("worker.evaluations" if evaluates else "worker.jobs")
    from worker.queue import work, work_on_evaluations
    from worker.settings import Settings

    settings = Settings()
    assert settings.redis_url is not None, "the supervisor says where Redis is"
    (work_on_evaluations if evaluates else work)(settings, settings.redis_url)


def _preload(module_of_jobs: str) -> None:
    """Import what a job needs, so that each forked process need not: seconds per job.

    Importing is all that may be done: once torch has computed here, its threads do not survive
    the fork and the child waits for them for ever.
    """
    for module in ("torch._dynamo", module_of_jobs):
        importlib.import_module(module)


if __name__ == "__main__":
    log_to_stderr()
    main()
