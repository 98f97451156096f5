"""Under load: equal requests give equal bytes, too many are shed, and nobody holds a place."""

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.testclient import TestClient

from service import deps
from service.app import create_app
from service.engine import models
from service.engine.encoding.formats import FORMATS
from service.engine.engine import Engine
from service.engine.models import LoadedModel, ModelCache, load
from service.engine.orders import Order
from service.problems import Problem
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS, Trained
from worker.errors import NotFound
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import Checkpoint

CPU = torch.device("cpu")
IMAGE_FORMATS = {name for name, encoding in FORMATS.items() if encoding.images_only}


@pytest.fixture(scope="module")
def checkpoint(store: Store, trained: Trained) -> Checkpoint:
    found = store.jobs.get(trained.plain).checkpoint()
    assert found is not None
    return found


def staying() -> Request:
    """A request whose client waits for ever."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    return Request({"type": "http"}, receive)


def gone() -> Request:
    """A request whose client has closed the connection."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def together(
    app: FastAPI, send: Callable[[httpx2.AsyncClient], Awaitable[list[httpx2.Response]]]
) -> list[httpx2.Response]:
    """Requests in one event loop, as a server has them."""

    async def run() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client,
        ):
            return await send(client)

    return asyncio.run(run())


def mixed(count: int) -> list[dict[str, Any]]:
    """Queries of every model, format and size, no two alike."""
    random = np.random.default_rng(0)
    queries: list[dict[str, Any]] = []
    for index in range(count):
        model = str(random.choice(Trained._fields))
        formats = sorted(set(FORMATS) - ({"csv"} if model != "points" else IMAGE_FORMATS))
        query = {
            "model": model,
            "seed": int(random.integers(5)),
            "offset": index,
            "n": int(random.choice([1, 1, 1, 2, 7, 33, 64])),
            "truncation": float(random.choice([1.0, 0.7])),
            "format": str(random.choice(formats)),
        }
        queries.append(query)
    return queries


def crowded(
    settings: Settings, redis_url: str, queries: list[dict[str, Any]], **changes: Any
) -> list[httpx2.Response]:
    """The answers of an application of four model threads that is asked everything at once."""

    async def send(many: httpx2.AsyncClient) -> list[httpx2.Response]:
        return await asyncio.gather(*(many.get("/sample", params=query) for query in queries))

    chosen = {"sample_threads": 4, "answer_cache_bytes": 0, "max_waiting_requests": len(queries)}
    return together(create_app(settings.model_copy(update=chosen | changes), redis_url), send)


def test_mixed_requests_at_once_give_the_bytes_of_single_ones(
    client: TestClient, settings: Settings, redis_url: str, trained: Trained
) -> None:
    queries = mixed(60)
    answers = crowded(settings, redis_url, queries)
    for query, answer in zip(queries, answers, strict=True):
        assert answer.status_code == 200, answer.text
        assert answer.content == client.get("/sample", params=query).content, query


def test_models_that_push_each_other_out_give_the_same_bytes(
    client: TestClient, settings: Settings, redis_url: str, trained: Trained
) -> None:
    queries = mixed(16)
    answers = crowded(settings, redis_url, queries, model_cache_bytes=1)
    for query, answer in zip(queries, answers, strict=True):
        assert answer.status_code == 200, answer.text
        assert answer.content == client.get("/sample", params=query).content, query


@pytest.mark.slow
def test_thousands_of_mixed_requests_at_once_give_the_bytes_of_single_ones(
    settings: Settings, redis_url: str, trained: Trained
) -> None:
    queries = mixed(3000)
    answers = crowded(settings, redis_url, queries, request_timeout_seconds=600)
    alone = settings.model_copy(update={"sample_threads": 1, "answer_cache_bytes": 0})
    with TestClient(create_app(alone, redis_url), base_url=ADDRESS) as client:
        for query, answer in zip(queries, answers, strict=True):
            assert answer.status_code == 200, answer.text
            assert answer.content == client.get("/sample", params=query).content, query


def test_overload_is_shed_and_the_rest_is_served(
    settings: Settings, redis_url: str, trained: Trained
) -> None:
    app = create_app(settings.model_copy(update={"max_waiting_requests": 2}), redis_url)

    async def send(many: httpx2.AsyncClient) -> list[httpx2.Response]:
        queries = [{"model": "plain", "seed": index, "n": 64} for index in range(20)]
        answers = await asyncio.gather(*(many.get("/sample", params=query) for query in queries))
        return [*answers, await many.get("/sample", params=queries[0])]

    *crowd, after = together(app, send)
    assert {answer.status_code for answer in crowd} == {200, 503}
    for answer in crowd:
        if answer.status_code == 503:
            assert_problem(answer, 503, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
    assert after.status_code == 200


class Held:
    """Work that holds the only model thread until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, model: LoadedModel) -> str:
        self.begun.set()
        assert self.let_go.wait(30)
        return "held"


def busy(tmp_path: Path, **changes: Any) -> Engine:
    return Engine(Settings(home=tmp_path, sample_threads=1, **changes), CollectorRegistry())


def test_a_client_that_goes_frees_its_place(tmp_path: Path, checkpoint: Checkpoint) -> None:
    engine, held = busy(tmp_path, max_waiting_requests=2), Held()
    drawn = []

    async def run() -> None:
        first = asyncio.create_task(engine.run(staying(), checkpoint, held))
        await asyncio.to_thread(held.begun.wait, 30)
        for _ in range(5):
            with pytest.raises(Problem, match="closed the connection"):
                await engine.run(gone(), checkpoint, drawn.append)
        second = asyncio.create_task(engine.run(staying(), checkpoint, lambda _: "served"))
        held.let_go.set()
        assert [(await one).answer for one in (first, second)] == ["held", "served"]

    asyncio.run(run())
    engine.close()
    assert drawn == []


def test_answers_that_take_long_hold_up_nobody_else(tmp_path: Path, checkpoint: Checkpoint) -> None:
    engine, held = busy(tmp_path), Held()

    async def run() -> None:
        large = [
            asyncio.create_task(engine.run(staying(), checkpoint, held, takes_long=True))
            for _ in range(3)
        ]
        await asyncio.to_thread(held.begun.wait, 30)
        small = await engine.run(staying(), checkpoint, lambda _: "served")
        assert small.answer == "served"
        assert not any(one.done() for one in large)
        held.let_go.set()
        assert [(await one).answer for one in large] == ["held"] * 3

    asyncio.run(run())
    engine.close()


def test_what_waits_at_the_desk_is_dropped_when_the_engine_stops(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    engine, held = busy(tmp_path), Held()

    async def run() -> None:
        first, second = (
            asyncio.create_task(engine.run(staying(), checkpoint, held, takes_long=True))
            for _ in range(2)
        )
        await asyncio.to_thread(held.begun.wait, 30)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        await asyncio.sleep(0)
        threading.Timer(0.2, held.let_go.set).start()
        await closing
        assert (await first).answer == "held"
        with pytest.raises(Problem, match="stopping"):
            await second

    asyncio.run(run())


@pytest.mark.parametrize("query", ["n=5&size=512&format=webp", "n=64&size=128", "n=65&format=npy"])
def test_large_pictures_are_encoded_beside_the_model_threads(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, trained: Trained, query: str
) -> None:
    threads: list[str] = []
    finish = Order.finish

    def watch(order: Order[Any], model: LoadedModel) -> None:
        threads.append(threading.current_thread().name)
        finish(order, model)

    monkeypatch.setattr(Order, "finish", watch)
    client.get(f"/sample?model=plain&seed=1&{query}").raise_for_status()
    is_large = "size" in query
    assert any(name.startswith("desk") for name in threads) == is_large
    client.get(f"/sample?model=plain&seed={777_000 + len(query)}").raise_for_status()
    assert threads[-1].startswith("model")


def test_the_application_notices_that_a_client_goes(
    settings: Settings, redis_url: str, checkpoint: Checkpoint
) -> None:
    alone = settings.model_copy(update={"sample_threads": 1})
    app, held = create_app(alone, redis_url), Held()
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/sample",
        "query_string": b"model=plain&seed=1",
        "headers": [(b"host", b"127.0.0.1")],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        async with app.router.lifespan_context(app):
            holding = asyncio.create_task(app.state.engine.run(staying(), checkpoint, held))
            await asyncio.to_thread(held.begun.wait, 30)
            await app(scope, receive, send)
            held.let_go.set()
            await holding

    asyncio.run(run())
    assert sent[0]["status"] == 499


def test_who_waits_when_the_service_stops_is_told_so(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    engine, held = busy(tmp_path), Held()

    async def run() -> None:
        first = asyncio.create_task(engine.run(staying(), checkpoint, held))
        await asyncio.to_thread(held.begun.wait, 30)
        second = asyncio.create_task(engine.run(staying(), checkpoint, lambda _: "served"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        with pytest.raises(Problem, match="stopping"):
            await second
        held.let_go.set()
        assert (await first).answer == "held"
        await closing

    asyncio.run(run())


def test_who_asks_for_more_than_memory_holds_is_told_to_come_back(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    engine = busy(tmp_path)

    def too_much(model: LoadedModel) -> torch.Tensor:
        return torch.empty(2**55)

    async def run() -> None:
        with pytest.raises(Problem, match="memory ran out") as caught:
            await engine.run(staying(), checkpoint, too_much)
        assert caught.value.code == "out-of-memory"
        served = await engine.run(staying(), checkpoint, lambda _: "served")
        assert served.answer == "served"

    asyncio.run(run())
    engine.close()


def test_a_model_without_memory_takes_that_of_models_nobody_uses(
    store: Store, trained: Trained, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = store.jobs.get(trained.conditional).checkpoint()
    assert other is not None
    cache = ModelCache(2**30, CPU)
    with cache.lease(other):
        pass

    def crowded_out(one: Checkpoint, device: torch.device) -> LoadedModel:
        if cache.holds(other.digest):
            torch.empty(2**55)
        return load(one, device)

    monkeypatch.setattr(models, "load", crowded_out)
    with cache.lease(checkpoint):
        assert cache.holds(checkpoint.digest)
    assert not cache.holds(other.digest)


def test_a_place_over_the_limit_is_refused_at_once(tmp_path: Path, checkpoint: Checkpoint) -> None:
    engine, held = busy(tmp_path, max_waiting_requests=1), Held()

    async def run() -> None:
        first = asyncio.create_task(engine.run(staying(), checkpoint, held))
        await asyncio.to_thread(held.begun.wait, 30)
        with pytest.raises(Problem) as caught:
            await engine.run(staying(), checkpoint, lambda _: "never")
        assert caught.value.code == "overloaded"
        held.let_go.set()
        assert (await first).answer == "held"

    asyncio.run(run())
    engine.close()


def test_who_waits_too_long_is_told_and_not_served_later(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    engine, held, late = busy(tmp_path, request_timeout_seconds=0.2), Held(), []

    async def run() -> None:
        with pytest.raises(Problem) as caught:
            await asyncio.gather(
                engine.run(staying(), checkpoint, held),
                engine.run(staying(), checkpoint, late.append),
            )
        assert caught.value.code == "deadline-exceeded"
        assert "not ready after 0.2 seconds" in caught.value.detail

    asyncio.run(run())
    held.let_go.set()
    engine.close()
    assert late == []


def test_errors_of_the_work_reach_the_request(tmp_path: Path, checkpoint: Checkpoint) -> None:
    engine = busy(tmp_path, max_waiting_requests=1)

    def fail(model: LoadedModel) -> None:
        raise ArithmeticError

    for _ in range(3):
        with pytest.raises(ArithmeticError):
            asyncio.run(engine.run(staying(), checkpoint, fail))
    engine.close()


@pytest.mark.parametrize("path", ["/sample", "/latents", "/score"])
def test_the_event_loop_does_not_wait_for_a_model_to_be_looked_up(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def look_up(*_: object) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        raise NotFound("model-not-found", "looked up in a thread")

    monkeypatch.setattr(deps, "resolve", look_up)
    # A query that nobody asked before: it takes the long way.
    query, body = (
        {"model": "plain", "seed": 1, "truncation": 0.123},
        {"model": "plain", "latents": [[0.0]]},
    )
    if path == "/score":
        answers = [client.post(path, params={"model": "plain"}, content=b"x")]
    elif path == "/sample":
        answers = [client.get(path, params=query), client.post(path, json=body)]
    else:
        answers = [client.get(path, params=query)]
    for answer in answers:
        assert_problem(answer, 404, "model-not-found")


def test_a_model_is_loaded_once_and_dropped_when_others_need_the_room(
    store: Store, trained: Trained
) -> None:
    first, second = store.jobs.get(trained.plain).checkpoints()
    roomy, narrow = ModelCache(2**30, CPU), ModelCache(1, CPU)
    for cache in (roomy, narrow):
        with cache.lease(first) as loaded, cache.lease(first) as again:
            assert again is loaded
        with cache.lease(second):
            assert cache.holds(first.digest) == (cache is roomy)
        with cache.lease(first) as again:
            assert (again is loaded) == (cache is roomy)


def test_a_model_in_use_is_not_dropped(store: Store, trained: Trained) -> None:
    first, second = store.jobs.get(trained.plain).checkpoints()
    cache = ModelCache(1, CPU)
    with cache.lease(first):
        with cache.lease(second):
            assert cache.holds(first.digest)
        assert cache.holds(first.digest)
        assert not cache.holds(second.digest)


def test_many_who_want_a_model_at_once_wait_for_one_load(
    store: Store, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = store.jobs.get(trained.plain).checkpoint()
    assert checkpoint is not None
    loads: list[Checkpoint] = []
    monkeypatch.setattr(models, "load", lambda one, device: loads.append(one) or load(one, device))
    cache = ModelCache(2**30, CPU)

    def lease(_: int) -> LoadedModel:
        with cache.lease(checkpoint) as model:
            return model

    with ThreadPoolExecutor(8) as threads:
        leased = list(threads.map(lease, range(32)))
    assert len(loads) == 1
    assert all(model is leased[0] for model in leased)


@pytest.mark.parametrize("model", ["plain", "conditional"])
def test_only_what_is_loaded_of_a_checkpoint_counts_against_the_cache(
    store: Store, trained: Trained, model: str
) -> None:
    checkpoint = store.jobs.get(getattr(trained, model)).checkpoint()
    assert checkpoint is not None
    unloaded = {"training.safetensors", "config.json"}
    sizes = {entry.name: entry.size_bytes for entry in checkpoint.manifest.files}
    loaded = sum(size for name, size in sizes.items() if name not in unloaded)
    # A file of tensors is as large as they are, and a header of some hundred bytes for each.
    assert 0.5 * loaded < load(checkpoint, CPU).size_bytes <= loaded < checkpoint.size_bytes


def test_a_damaged_checkpoint_is_no_error_of_the_service(
    settings: Settings, trained: Trained, tmp_path: Path, redis_url: str
) -> None:
    home = tmp_path / "copy"
    shutil.copytree(settings.home, home)
    copied = Store(home).jobs.get(trained.plain).checkpoint()
    assert copied is not None
    weights = copied.path / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with TestClient(create_app(Settings(home=home), redis_url), base_url=ADDRESS) as client:
        answer = client.get("/sample", params={"model": trained.plain, "seed": 1})
        assert_problem(answer, 503, "checkpoint-corrupt")
        answer = client.put("/models/plain/aliases/prod", json={"version": 1})
        assert_problem(answer, 503, "checkpoint-corrupt")
        assert "prod" not in client.get("/models/plain").json()["aliases"]
        (copied.path / "manifest.json").write_text("{}")
        answer = client.get("/sample", params={"model": f"{trained.plain}:20", "seed": 1})
        assert answer.status_code in (404, 503)
        assert client.get("/models").status_code == 200
        assert client.get("/jobs").status_code == 200
