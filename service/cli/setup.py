"""The settings as the command line reads them, and the address they name."""

import socket
from importlib.util import find_spec
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from service.cli.exits import fail
from worker.settings import LOOPBACK_HOSTS, Settings

AnySettings = TypeVar("AnySettings", bound=BaseSettings)

# Listening on "all addresses" is no address to call.
_REACHED_AS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def read_settings(**given: int) -> Settings:
    """The settings, some of them ``given``, or one line that says which variable is wrong."""
    return read(Settings, **given)


def read(kind: type[AnySettings], **given: Any) -> AnySettings:
    """Settings of a kind, as ``read_settings``."""
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        fail(f"RINGSIDE_{str(first['loc'][0]).upper()}: {message}")


def training_settings(settings: Settings) -> Settings:
    """The settings of what trains, which needs an optional library where they ask for it."""
    if settings.tensorboard and find_spec("tensorboardX") is None:
        fail(
            "RINGSIDE_TENSORBOARD is set and tensorboardX is not installed: unset it, or "
            "pip install 'ringside[tensorboard]'"
        )
    return settings


def serving_settings(**given: int) -> Settings:
    """The settings of a server: an address that others can reach needs a key."""
    settings = read_settings(**given)
    if settings.host not in LOOPBACK_HOSTS and not settings.keys:
        fail(
            f"RINGSIDE_HOST is {settings.host}, which others can reach, and RINGSIDE_API_KEYS is "
            "empty: set a key, or listen on 127.0.0.1"
        )
    return settings


def address(settings: Settings) -> str:
    """Where clients on this machine find the API."""
    host = _REACHED_AS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def family(host: str) -> socket.AddressFamily:
    """Of the addresses of a host: version 6 or 4 of the protocol."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def free_port(settings: Settings) -> int:
    """The port to listen on: the one that is set, or any free one where that is 0.

    Ends the command with one line when the address cannot be had.
    """
    with socket.socket(family(settings.host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            fail(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); stop what "
                "uses it or set RINGSIDE_PORT"
            )
        return int(probe.getsockname()[1])
