"""Starting and stopping: refusals in one line, and no process left behind."""

import contextlib
import os
import signal
import socket
import sys
from urllib.parse import urlsplit

import httpx2
import pytest
from typer.testing import CliRunner

from service.cli.main import app
from worker.processes import start, stop

LONG = 10**7


@pytest.fixture
def refusal():
    """The one line of a command that must refuse before it starts anything."""

    def run(command: str, **variables: str) -> str:
        unset = dict.fromkeys(("RINGSIDE_API_KEYS", "RINGSIDE_REDIS_URL"))
        answer = CliRunner().invoke(app, [command], env={**unset, **variables})
        assert answer.exit_code == 1, answer.output
        (line,) = answer.stderr.splitlines()
        return line

    return run


def _only_line(finished) -> str:
    assert finished.returncode == 1, finished.stderr
    (line,) = finished.stderr.splitlines()
    return line


def test_a_taken_port_is_one_clear_line(run_command, new_home, processes_of):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        home = new_home()
        line = _only_line(run_command("up", RINGSIDE_HOME=str(home), RINGSIDE_PORT=port))
    assert f"127.0.0.1:{port}" in line
    assert "RINGSIDE_PORT" in line
    assert not processes_of(home)


def test_a_home_in_use_is_one_clear_line(run_command, ringside):
    line = _only_line(run_command("up", RINGSIDE_HOME=str(ringside.home), RINGSIDE_PORT="0"))
    assert f"in use by another Ringside (process {ringside.pid})" in line
    assert ringside.client.get("/readyz").json()["checks"]["redis"]


def _say(ringside, *pieces: bytes) -> bytes:
    """What the server says, up to the end of the connection."""
    address = urlsplit(ringside.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(4096), b""))


_HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (_HEAD + b"X-Long: " + b"x" * 66_000,),
        (_HEAD + b"X-Long: " + b"x" * 66_000 + b"\r\n\r\n",),
        (_HEAD, *[b"X-One: " + b"x" * 1_000 + b"\r\n"] * 66),
        (b"GET /" + b"x" * 66_000,),
        (_HEAD + b"X-Long: ", *[b"x" * 66_000] * 100),
    ],
    ids=["without end", "in one piece", "of many headers", "a long address", "with more to come"],
)
def test_a_head_too_long_is_refused_and_the_connection_closed(ringside, pieces):
    answer = _say(ringside, *pieces)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "head-too-large"' in answer


def test_a_head_too_long_behind_another_request_ends_the_connection_without_a_word(ringside):
    """Its refusal would be taken for the answer to the request before it."""
    first = _HEAD.replace(b"/healthz", b"/sample/plane?a=1&b=2&c=3&model=none") + b"\r\n"
    assert b" 431 " not in _say(ringside, first + _HEAD + b"X-Long: " + b"x" * 66_000 + b"\r\n\r\n")
    assert "Traceback" not in (ringside.home / "api.log").read_text()


def test_a_head_that_begins_in_the_piece_of_another_request_is_bounded_too(ringside):
    first, long = _HEAD + b"\r\n", _HEAD + b"X-Long: " + b"x" * 100_000
    assert _say(ringside, first + long, b"\r\n\r\n").count(b" 200 ") <= 1


def test_a_connection_carries_many_heads_that_are_not_too_long_each(ringside):
    request = _HEAD + b"X-Long: " + b"x" * 30_000 + b"\r\n\r\n"
    last = request.replace(b"Host", b"Connection: close\r\nHost")
    assert _say(ringside, *[request] * 4, last).count(b"HTTP/1.1 200 ") == 5


def test_what_is_not_http_is_refused(ringside):
    assert _say(ringside, b"no HTTP at all\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("command", ["up", "api"])
def test_an_open_address_needs_a_key(refusal, command):
    assert "RINGSIDE_API_KEYS is empty" in refusal(command, RINGSIDE_HOST="0.0.0.0")


@pytest.mark.parametrize("command", ["api", "worker"])
def test_parts_alone_need_a_redis(refusal, command):
    assert "set RINGSIDE_REDIS_URL" in refusal(command)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_gpu_that_is_not_here_is_one_clear_line(refusal, processes):
    line = refusal("api", RINGSIDE_SAMPLING_DEVICE="cuda:99", RINGSIDE_PROCESSES=processes)
    assert "RINGSIDE_SAMPLING_DEVICE is cuda:99; PyTorch finds" in line


def test_an_unreachable_redis_is_one_clear_line(refusal):
    line = refusal("worker", RINGSIDE_REDIS_URL="redis://127.0.0.1:9")
    assert "no Redis answers at RINGSIDE_REDIS_URL" in line


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_redis_url_that_is_none_is_one_clear_line(refusal, command):
    line = refusal(command, RINGSIDE_REDIS_URL="localhost:6379")
    assert "RINGSIDE_REDIS_URL is no address of a Redis" in line


def test_the_api_starts_without_redis_and_says_so(new_home, wait_until):
    home, log = new_home(), new_home() / "api.log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "RINGSIDE_HOME": str(home),
        "RINGSIDE_PORT": str(port),
        "RINGSIDE_REDIS_URL": "redis://127.0.0.1:9",
    }
    process = start([sys.executable, "-m", "service.cli", "api"], environment, log)

    def answer() -> dict:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).json()

    try:
        assert wait_until(answer, "the API")["status"] == "degraded"
        assert "no Redis answers" in log.read_text()
    finally:
        stop([process], 10)


def test_up_checks_the_redis_that_it_is_given(run_command, new_home):
    variables = {"RINGSIDE_REDIS_URL": "redis://127.0.0.1:9", "RINGSIDE_HOME": str(new_home())}
    assert "no Redis answers" in _only_line(run_command("up", RINGSIDE_PORT="0", **variables))


def test_a_bad_setting_is_named(refusal):
    assert "RINGSIDE_PORT" in refusal("up", RINGSIDE_PORT="eighty")


def test_sigterm_saves_the_training_and_leaves_no_process(launch, processes_of, wait_until):
    running = launch()
    job_id = running.submit(steps=LONG)["id"]
    running.wait(job_id, "job.metrics")
    assert len(processes_of(running.home)) == 6, "up, api, worker, slot, its training, redis"
    assert running.stop(signal.SIGTERM) == 0, running.log.read_text()
    assert not processes_of(running.home)

    # The next start goes on from the checkpoint; kill -9 of the parent takes all with it.
    again = launch(running.home)
    saved = wait_until(lambda: again.job(job_id)["attempt"] == 2 and again.job(job_id), "resumed")
    assert saved["checkpoints"] > 0
    again.wait(job_id, "checkpoint.created")
    again.stop(signal.SIGKILL)
    wait_until(lambda: not processes_of(again.home), "death of all children", 5)


@pytest.mark.parametrize("part", ["service.cli api", "service.cli worker", "redis-server"])
def test_a_part_that_dies_is_started_again_where_it_was(ringside, processes_of, wait_until, part):
    """In the shared service: whoever uses it next finds it whole."""

    def process() -> int | None:
        found = [pid for pid, line in processes_of(ringside.home).items() if part in line]
        return found[0] if found else None

    killed = process()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: process() not in (None, killed), f"another {part}")
    wait_until(lambda: is_ready(ringside), "a service that is ready")
    assert ringside.train(dataset="ring", steps=5)["status"] == "succeeded"


def is_ready(running) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        answer = running.client.get("/readyz").json()
        return answer["status"] == "ready" and answer["workers"] == 1
    return False


@pytest.mark.slow
def test_a_part_that_keeps_dying_is_told_of_each_time_and_started_until_it_stays(
    launch, processes_of, wait_until
):
    running = launch()

    def deaths_told() -> int:
        return running.log.read_text().count("the api stopped: ")

    def kill_the_api() -> bool:
        for pid, line in processes_of(running.home).items():
            if line.endswith("service.cli api "):
                os.kill(pid, signal.SIGKILL)
        return deaths_told() >= 6

    wait_until(kill_the_api, "six deaths")
    assert f"(log: {running.home / 'api.log'}); it is started again" in running.log.read_text()
    wait_until(lambda: is_ready(running), "a service that is ready")
    assert running.train(steps=5)["status"] == "succeeded"
    assert running.stop() == 0
    assert not processes_of(running.home)
