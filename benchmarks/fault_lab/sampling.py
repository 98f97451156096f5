"""Somebody who asks for samples all the time, whatever happens."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx2


class Answer(NamedTuple):
    """How long an answer took, and its status; 0 when none came."""

    seconds: float
    status: int


@contextmanager
def sampling(url: str, model: str, per_second: float = 20) -> Iterator[list[Answer]]:
    """Ask for one item, each time of another seed, until the block ends; the list grows."""
    answers: list[Answer] = []
    ended = threading.Event()
    arguments = (url, model, 1 / per_second, answers, ended)
    thread = threading.Thread(target=_ask, args=arguments, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def _ask(
    url: str, model: str, every_seconds: float, answers: list[Answer], ended: threading.Event
) -> None:
    with httpx2.Client(base_url=url, timeout=30, trust_env=False) as client:
        seed = 0
        while not ended.wait(every_seconds):
            seed += 1
            began = time.perf_counter()
            try:
                status = client.get("/sample", params={"model": model, "seed": seed}).status_code
            except httpx2.TransportError:
                status = 0
            answers.append(Answer(time.perf_counter() - began, status))
