"""The API's side of the queue: one short try, and no try while Redis is known to be away."""

import socket
import threading
import time

import pytest

from tests.worker.builders import make_job
from worker.errors import Unavailable
from worker.queue import Dispatcher


@pytest.fixture
def hung_redis(tmp_path):
    """A Redis that accepts connections and never answers: its address, and who connected."""
    connected: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connected.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}", connected
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in connected:
        connection.close()


def test_a_redis_that_hangs_costs_the_first_request_two_seconds_and_the_next_nothing(
    store, hung_redis
):
    url, connected = hung_redis
    dispatcher, job = Dispatcher(url), make_job(store)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        dispatcher.enqueue(job)
    first_seconds = time.monotonic() - started
    tries = len(connected)
    assert tries >= 1
    with pytest.raises(Unavailable):
        dispatcher.workers()
    assert len(connected) == tries
    assert first_seconds < 2
