"""What is decided before any of the body is read: keys, origins, hosts, sizes, times."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.testclient import TestClient

from service.app import ROUTERS, create_app
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS, Trained
from worker.settings import Settings

KEYS = ("first-key", "second-key")
ROUTES = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]


class Upload:
    """A client that would send for ever; counts what is taken from it."""

    def __init__(self, piece: bytes = b"x" * 65_536) -> None:
        self.piece, self.bytes_taken = piece, 0

    async def receive(self) -> dict[str, Any]:
        self.bytes_taken += len(self.piece)
        return {"type": "http.request", "body": self.piece, "more_body": True}


class Answer:
    """What the application sends."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 0, b"", dict[str, str]()

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        for name, value in message.get("headers", ()):
            self.headers[name.decode()] = value.decode()


def upload(app: FastAPI, path: str, client: Any, headers: dict[str, str] | None = None) -> Answer:
    """POST a body that has no end and no Content-Length, straight to the application."""
    given = {"host": "127.0.0.1", "content-type": "application/json", **(headers or {})}
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
    }
    answer = Answer()

    async def run() -> None:
        async with app.router.lifespan_context(app):
            await app(scope, client.receive, answer.send)

    asyncio.run(run())
    return answer


@pytest.fixture
def locked(tmp_path: Path, redis_url: str) -> Iterator[TestClient]:
    settings = Settings(home=tmp_path, api_keys=SecretStr(", ".join(KEYS)))
    with TestClient(create_app(settings, redis_url), base_url="http://ringside.test") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/openapi.json"), ("GET", "/no")])
def test_every_route_but_health_needs_a_key(locked: TestClient, method: str, path: str) -> None:
    answer = locked.request(method, path)
    if path in ("/healthz", "/readyz"):
        assert answer.status_code == 200
        return
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/docs/assets/swagger-ui.css", "//healthz", "/healthz/", "/x"])
def test_no_spelling_of_an_address_goes_without_a_key(locked: TestClient, path: str) -> None:
    assert_problem(locked.get(path, follow_redirects=False), 401, "unauthenticated")


@pytest.mark.parametrize("key", KEYS)
def test_any_key_opens_in_either_header(locked: TestClient, key: str) -> None:
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
        assert locked.get("/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer first-key,second-key"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "Bearer first-key2"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "first-key"},
        {"X-API-Key": ""},
        {"X-API-Key": "first"},
        {"X-API-Key": "first-key, second-key"},
    ],
)
def test_other_keys_do_not_open(locked: TestClient, headers: Any) -> None:
    answer = locked.get("/jobs", headers=headers)
    assert_problem(answer, 401, "unauthenticated")
    assert not any(key in answer.text for key in KEYS)


def test_a_key_in_the_query_does_not_open(locked: TestClient) -> None:
    assert_problem(locked.get("/jobs?api_key=first-key"), 401, "unauthenticated")


def test_an_upload_without_a_key_is_refused_unread(tmp_path: Path, redis_url: str) -> None:
    app = create_app(Settings(home=tmp_path, api_keys=SecretStr("secret")), redis_url)
    client = Upload()
    answer = upload(app, "/datasets", client)
    assert (answer.status, client.bytes_taken) == (401, 0)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/train", "application/json"),
        ("/latents", "application/json"),
        ("/sample", "application/json"),
        ("/datasets", "multipart/form-data; boundary=x"),
    ],
)
def test_a_body_without_length_is_read_up_to_the_limit(
    tmp_path: Path, redis_url: str, path: str, media_type: str
) -> None:
    limit = 200_000
    json_limit = limit // 4 if path == "/sample" else limit
    settings = Settings(home=tmp_path, max_json_bytes=json_limit, max_upload_bytes=limit)
    client = Upload(
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 60_000
    )
    headers = {"content-type": media_type}
    answer = upload(create_app(settings, redis_url), path, client, headers)
    assert answer.status == 413
    assert client.bytes_taken <= limit + len(client.piece)
    assert b'"limit_bytes":200000' in answer.body


@pytest.mark.parametrize("is_announced", [True, False])
def test_bodies_have_so_much_room_in_all(
    settings: Settings, redis_url: str, trained: Trained, is_announced: bool
) -> None:
    size = 100_000
    limits = {"max_score_bytes": size, "max_held_bytes": 2 * size}
    app = create_app(settings.model_copy(update=limits), redis_url)
    statuses = list[int]()

    async def send(begun: asyncio.Event, let_go: asyncio.Event) -> None:
        """All of it but the last byte, which waits."""
        pieces = [b"x" * (size - 1), b"x"]
        answer = Answer()

        async def receive() -> dict[str, Any]:
            if len(pieces) == 1:
                begun.set()
                await let_go.wait()
            if not pieces:
                # The client stays.
                await asyncio.Event().wait()
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        headers = [(b"host", b"localhost"), (b"content-type", b"application/x-npy")]
        headers += [(b"content-length", b"%d" % size)] if is_announced else []
        scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}
        scope |= {"query_string": b"model=plain", "http_version": "1.1", "scheme": "http"}
        try:
            await app(scope, receive, answer.send)
        finally:
            begun.set()
            statuses.append(answer.status)

    async def run() -> None:
        async with app.router.lifespan_context(app):
            let_go, waits = asyncio.Event(), [asyncio.Event() for _ in range(3)]
            tasks = []
            for begun in waits:
                tasks.append(asyncio.create_task(send(begun, let_go)))
                await begun.wait()
            assert statuses == [503]
            let_go.set()
            await asyncio.gather(*tasks)
            again = asyncio.Event()
            await send(again, let_go)

    asyncio.run(run())
    assert statuses == [503, 422, 422, 422]


def test_there_is_room_for_one_body_that_is_allowed(settings: Settings, redis_url: str) -> None:
    limits = {"max_score_bytes": 200_000, "max_held_bytes": 100_000}
    app = create_app(settings.model_copy(update=limits), redis_url)
    with TestClient(app, base_url=ADDRESS) as client:
        answer = client.post(
            "/score?model=plain",
            content=b"x" * 150_000,
            headers={"Content-Type": "application/x-npy"},
        )
    assert answer.status_code == 422


def test_an_announced_body_over_the_limit_is_refused_unread(tmp_path: Path, redis_url: str) -> None:
    app = create_app(Settings(home=tmp_path, max_json_bytes=1000), redis_url)
    client = Upload()
    answer = upload(app, "/train", client, {"content-length": "1001"})
    assert (answer.status, client.bytes_taken) == (413, 0)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 5000, "\u0663", "1,1", ""])
def test_a_length_that_is_no_number_is_malformed(
    tmp_path: Path, redis_url: str, length: str
) -> None:
    app = create_app(Settings(home=tmp_path), redis_url)
    answer = upload(app, "/train", Upload(), {"content-length": length})
    assert answer.status == 400


def test_a_body_over_the_limit_says_the_limit(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(home=tmp_path, max_json_bytes=1000)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        answer = client.post("/train", json={"dataset": "x" * 1000})
        problem = assert_problem(answer, 413, "payload-too-large")
        assert problem["limit_bytes"] == 1000
        answer = client.post(
            "/train",
            content=iter([b"x" * 600, b"x" * 600]),
            headers={"Content-Type": "application/json"},
        )
        assert_problem(answer, 413, "payload-too-large")


def test_a_client_that_breaks_off_harms_nobody(tmp_path: Path, redis_url: str) -> None:
    class Breaking(Upload):
        async def receive(self) -> dict[str, Any]:
            if self.bytes_taken:
                return {"type": "http.disconnect"}
            return await super().receive()

    app = create_app(Settings(home=tmp_path), redis_url)
    assert upload(app, "/train", Breaking()).status in (0, 400)


def test_a_body_that_comes_too_slowly_is_not_waited_for(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(Upload):
        async def receive(self) -> dict[str, Any]:
            if self.bytes_taken:
                await asyncio.Event().wait()
            return await super().receive()

    monkeypatch.setattr("service.guard._JSON_SECONDS", 0.05)
    answer = upload(create_app(Settings(home=tmp_path), redis_url), "/train", Stuck())
    assert answer.status == 408
    assert b'"code":"too-slow"' in answer.body


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://[",
        "",
        "http://127.0.0.1:81",
        "http://127.0.0.1.evil.example",
    ],
)
def test_a_page_of_another_site_cannot_post(client: TestClient, origin: str) -> None:
    for path in ("/train", "/datasets", "/score", "/jobs/x/cancel"):
        answer = client.post(path, headers={"Origin": origin})
        assert_problem(answer, 403, "forbidden-origin")


def test_a_page_of_our_own_can_post(client: TestClient) -> None:
    answer = client.post("/train", json={}, headers={"Origin": ADDRESS})
    assert_problem(answer, 422, "validation")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", "", "10.0.0.1"])
def test_without_keys_only_this_machine_is_served(client: TestClient, host: str) -> None:
    assert_problem(client.get("/jobs", headers={"Host": host}), 403, "forbidden-origin")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machine_has_several_names(client: TestClient, host: str) -> None:
    assert client.get("/jobs", headers={"Host": host}).status_code == 200


def test_a_sane_request_id_is_echoed_and_another_replaced(client: TestClient) -> None:
    assert client.get("/", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    strange = client.get("/", headers={"X-Request-Id": "a b\x1b"}).headers["x-request-id"]
    assert strange.startswith("req_")


def test_every_answer_forbids_sniffing_and_framing(client: TestClient) -> None:
    for path in ("/", "/docs", "/healthz", "/no/such", "/docs/assets/favicon.png"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
