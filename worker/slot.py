"""``python -m worker.slot``: one worker process, which a supervisor starts and keeps."""

import importlib
import os

from worker.logs import log_to_stderr

# Training takes all the time it can get; whoever waits for an answer goes first.
_NICENESS = 5


def main() -> None:
    """Run jobs until told to stop; settings come from the environment."""
    os.nice(_NICENESS)
    _preload()
    from worker.queue import work
    from worker.settings import Settings

    settings = Settings()
    assert settings.redis_url is not None, "the supervisor says where Redis is"
    work(settings, settings.redis_url)


def _preload() -> None:
    """Import what a training needs, so that each forked process need not: seconds per job.

    Importing is all that may be done: once torch has computed here, its threads do not survive
    the fork and the child waits for them for ever.
    """
    for module in ("torch._dynamo", "worker.jobs"):
        importlib.import_module(module)


if __name__ == "__main__":
    log_to_stderr()
    main()
