"""Commands against the running service, in this process."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(ringside) -> Invoke:
    def run(*arguments: object, **variables: str) -> Result:
        environment = {"RINGSIDE_URL": ringside.url, "RINGSIDE_API_KEY": "key-for-tests"}
        command = [str(argument) for argument in arguments]
        return CliRunner().invoke(app, command, env={**environment, **variables})

    return run


@pytest.fixture(scope="session")
def trained(ringside) -> dict:
    return ringside.train(dataset="digits", recipe="cgan", model="cli-digits", steps=10)
