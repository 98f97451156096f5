"""The container files agree with the code: they are not built in the tests, so they are read."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

from service.cli.main import app
from worker.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "ringside"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
COMMANDS = set(typer.main.get_command(app).commands)
VARIABLES = {f"RINGSIDE_{name.upper()}" for name in Settings.model_fields}


def _instructions(name: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in DOCKERFILE.splitlines() if line.startswith(name)]


def _dockerfile_variables() -> dict[str, str]:
    return dict(re.findall(r"(RINGSIDE_\w+)=(\S+)", " ".join(_instructions("ENV "))))


@pytest.mark.parametrize("name", OURS)
def test_every_container_runs_a_command_that_exists(name):
    assert set(OURS[name]["command"]) <= COMMANDS


def test_the_image_runs_a_command_that_exists():
    assert json.loads(_instructions("ENTRYPOINT ")[0]) == ["ringside"]
    assert json.loads(_instructions("CMD ")[0])[0] in COMMANDS


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_a_container_is_a_setting(name):
    assert OURS[name]["environment"].keys() <= VARIABLES


def test_every_variable_of_the_image_is_a_setting():
    assert _dockerfile_variables().keys() <= VARIABLES


def test_the_constant_values_are_valid_settings():
    values = {**SERVICES["worker-gpu"]["environment"], **_dockerfile_variables()}
    Settings.model_validate(
        {key.removeprefix("RINGSIDE_").lower(): value for key, value in values.items()}
    )


def test_one_port_everywhere_published_to_this_machine_only():
    port = SERVICES["api"]["environment"]["RINGSIDE_PORT"]
    assert SERVICES["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert _instructions("EXPOSE ") == [port] == [_dockerfile_variables()["RINGSIDE_PORT"]]
    assert f":{port}/readyz" in " ".join(SERVICES["api"]["healthcheck"]["test"])


def test_the_api_refuses_to_start_without_keys():
    assert SERVICES["api"]["environment"]["RINGSIDE_HOST"] == "0.0.0.0"
    assert SERVICES["api"]["environment"]["RINGSIDE_API_KEYS"].startswith("${RINGSIDE_API_KEYS:?")


def test_everything_copied_exists_and_is_sent_to_the_builder():
    copied = [
        source
        for line in _instructions("COPY ")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    assert sorted(copied) == sorted(kept)
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_api_and_workers_share_one_home():
    mounts = {volume for service in OURS.values() for volume in service["volumes"]}
    homes = {service["environment"]["RINGSIDE_HOME"] for service in OURS.values()}
    assert (mounts, homes) == ({"home:/data"}, {"/data"})
    named = {volume.split(":")[0] for s in SERVICES.values() for volume in s["volumes"]}
    assert named == set(COMPOSE["volumes"])


def test_redis_is_durable_new_enough_and_waited_for():
    redis = SERVICES["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "always")
    assert int(re.match(r"redis:(\d+)", redis["image"]).group(1)) >= 7
    for service in OURS.values():
        assert service["depends_on"]["redis"]["condition"] == "service_healthy"
        assert "@" not in service["environment"]["RINGSIDE_REDIS_URL"]


def test_workers_have_time_to_save_and_the_gpu_is_asked_for():
    for name in ("worker", "worker-gpu"):
        assert SERVICES[name]["stop_grace_period"] == "120s"
    gpu = SERVICES["worker-gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (gpu["profiles"], device["capabilities"]) == (["gpu"], ["gpu"])


def test_the_image_runs_as_an_ordinary_user():
    assert _instructions("USER ") == ["ringside"]


def test_the_image_has_a_python_that_the_package_supports():
    assert {line.split()[0] for line in _instructions("FROM ")} == {"python:3.12-slim"}
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
