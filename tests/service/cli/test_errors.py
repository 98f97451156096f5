"""Refusals: what went wrong on standard error, and an exit status for scripts."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.cli.client import exit_status

NO_JOB = "job_00000000000000000000000000"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("train", "ring", "--set", "game.penalty=1"), 1, "/game/penalty"),
        (("train", "ring", "--set", "nothing"), 2, "PATH=VALUE"),
        (("train", "ring", "--set", "seed=1", "--set", "seed.x=1"), 2, "seed"),
        (("train", "no-such-dataset"), 3, "no such dataset"),
        (("train", "ring", "--recipe", "nope"), 3, "/recipe"),
        (("jobs", "show", NO_JOB), 3, "GET /jobs"),
        (("jobs", "follow", NO_JOB), 3, "GET /jobs"),
        (("sample", "no-such-model"), 3, "GET /models"),
        (("sample", "m", "-o", "samples.gif"), 2, "suffix"),
        (("score", "m", "/no/such/file.png"), 2, "file.png"),
        (("interpolate", "m", "7" * 5000, "8"), 2, "digits"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_refusal_says_why_and_leaves_with_its_status(invoke, arguments, status, text):
    answer = invoke(*arguments)
    assert answer.exit_code == status, answer.output
    assert text in answer.stderr
    assert answer.stdout == ""


def test_every_bad_field_is_named(invoke):
    answer = invoke("train", "ring", "--steps", 0, "--batch-size", 1)
    assert answer.exit_code == 1
    assert "/steps" in answer.stderr
    assert "/batch_size" in answer.stderr


def test_a_wrong_key_is_status_4(invoke):
    answer = invoke("jobs", "list", RINGSIDE_API_KEY="wrong")
    assert answer.exit_code == 4
    assert "API key" in answer.stderr


def test_the_first_of_the_services_keys_is_sent(invoke):
    answer = invoke("jobs", "list", RINGSIDE_API_KEY="", RINGSIDE_API_KEYS="key-for-tests,other")
    assert answer.exit_code == 0, answer.output


@pytest.fixture
def somebody_else():
    """The address of a server that redirects the models and has a page for all else."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302 if self.path.startswith("/models") else 200)
            self.send_header("Location", "https://elsewhere.example/")
            self.end_headers()
            self.wfile.write(b"<html>log in</html>")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_of_somebody_else_is_no_answer_and_overwrites_nothing(
    invoke, somebody_else, tmp_path
):
    picture = tmp_path / "samples.png"
    picture.write_bytes(b"mine")
    for command in (("models",), ("sample", "m", "-o", picture), ("jobs", "list")):
        answer = invoke(*command, RINGSIDE_URL=somebody_else)
        assert answer.exit_code == 5, answer.output
        assert "no Ringside" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
    assert picture.read_bytes() == b"mine"


def test_no_service_is_one_line_and_status_5(invoke):
    answer = invoke("models", RINGSIDE_URL="http://127.0.0.1:9")
    assert answer.exit_code == 5
    assert len(answer.stderr.splitlines()) == 1
    assert "ringside up" in answer.stderr


def test_a_bad_address_is_a_usage_error(invoke):
    assert invoke("models", RINGSIDE_URL="ftp://localhost").exit_code == 2


@pytest.mark.parametrize(
    ("http_status", "code", "status"),
    [(422, "validation", 1), (404, "not-found", 3), (403, "forbidden-origin", 4),
     (429, "too-many-jobs", 5), (503, "overloaded", 5), (504, "deadline-exceeded", 5),
     (500, "internal", 1)],
)  # fmt: skip
def test_exit_statuses_of_problems(http_status, code, status):
    assert exit_status(http_status, code) == status


@pytest.mark.parametrize("key", ["schlüssel", "a\nb"])
def test_a_key_that_no_header_can_hold_is_named_by_its_variable(invoke, key):
    for variable in ("RINGSIDE_API_KEY", "RINGSIDE_API_KEYS"):
        answer = invoke("models", **{"RINGSIDE_URL": "", variable: key})
        assert answer.exit_code == 1
        assert answer.stderr.startswith(f"ringside: {variable}: ")
        assert key not in answer.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_standard_output_that_cannot_be_written_is_one_line(ringside, trained):
    command = [sys.executable, "-m", "service.cli", "sample", trained["model"], "-o", "-"]
    variables = {"RINGSIDE_URL": ringside.url, "RINGSIDE_API_KEY": "key-for-tests"}
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            command, env={**os.environ, **variables}, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "cannot write standard output" in ended.stderr
