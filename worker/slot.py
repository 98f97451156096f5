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
# Smaller products take no memory.
_PRODUCT_EDGE = 256


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
    module = "worker.evaluations" if evaluates else "worker.jobs"
    run(settings, settings.redis_url, partial(preload, module))


def preload(module_of_jobs: str) -> None:
    """Import what a job needs, so that each forked process need not: seconds per job.

    Torch must not compute here: its threads do not survive the fork, and the child would wait for
    them for ever.
    """
    with lasting():
        for module in ("torch._dynamo", "sklearn.cluster", "PIL.Image", module_of_jobs):
            importlib.import_module(module)
    _reserve_for_products()


def _reserve_for_products() -> None:
    """Let NumPy's and SciPy's OpenBLAS take the memory they work in, which they keep.

    One that gets none when a training has taken the rest tries again for ever, or exits.
    """
    import numpy as np
    from scipy.linalg import get_blas_funcs
    from threadpoolctl import threadpool_limits

    matrix = np.ones((_PRODUCT_EDGE, _PRODUCT_EDGE), np.float32)
    with threadpool_limits(1):
        get_blas_funcs("gemm", (matrix,))(1.0, matrix, matrix)
        np.matmul(matrix, matrix)


if __name__ == "__main__":
    log_to_stderr()
    main()
