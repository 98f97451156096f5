"""``python -m worker.follower TASK``: plays its share of a job as the leader says, writes nothing.

The leader starts it (``worker.group``). Its place is in the variables that torchrun sets.
"""

import os
import signal
import sys

from worker.garbage import lasting
from worker.processes import session_niceness, weigh_session


def main() -> None:
    """Play until the leader says that it is enough, or dies."""
    # Whoever stops everything at once means the leader, which saves first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # Nobody waits for the other then.
    weigh_session(session_niceness(os.getppid()))
    with lasting():
        from worker.following import play_share
        from worker.group import Task

    play_share(Task.model_validate_json(sys.argv[1]))


if __name__ == "__main__":
    main()
