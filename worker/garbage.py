"""What the garbage collector need not look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """What there is after the block lasts as long as the process: modules, above all.

    The collector looks at it neither now, which makes imports a tenth quicker, nor later: a full
    round over PyTorch's modules stops every thread for a fifth of a second. Pages stay shared with
    processes that are forked afterwards. To be used at the start of a process alone.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
