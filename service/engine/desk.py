"""The desk: where answers are made that take so long that nobody should wait behind them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service.engine.models import LoadedModel
from service.engine.orders import Order


class Desk:
    """A few threads beside the model threads, for large pictures and large bodies.

    Model threads serve everybody in turn; one that compressed a picture for seconds would hold all
    of them up.
    """

    def __init__(self, threads: int, told: Callable[[], object]) -> None:
        """``told`` is called whenever an order may have ended."""
        self._told = told
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="desk")
        self._open = True

    def finish(self, order: Order[object], model: LoadedModel) -> None:
        """Make the answer of an order whose results are all there, in its turn."""
        self._threads.submit(self._finish, order, model)

    def close(self) -> None:
        """Let what was begun end; drop what waits."""
        self._open = False
        self._threads.shutdown()

    def _finish(self, order: Order[object], model: LoadedModel) -> None:
        if self._open:
            order.finish(model)
        else:
            order.ending.drop()
        self._told()
