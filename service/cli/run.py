"""Commands that start the parts: ``up``, ``demo``, ``api``, ``worker``."""

import os

import typer

from service.cli.client import reporting
from service.cli.exits import fail
from service.cli.parts import Parts
from service.cli.setup import free_port, read_settings, serving_settings, training_settings
from worker.garbage import lasting
from worker.redis import NoRedis, RedisAway, check_server
from worker.settings import Settings


def up() -> None:
    """Start the API, a worker and a Redis.

    The Redis is one of its own unless RINGSIDE_REDIS_URL is set. Stays until Ctrl-C, which lets a
    running training save first; a second Ctrl-C stops at once. Example:

    RINGSIDE_PORT=8001 ringside up
    """
    with Parts(training_settings(serving_settings())) as parts:
        parts.start()
        typer.echo(f"Ringside is up: {parts.url}  (API documentation: {parts.url}/docs)")
        typer.echo("Ctrl-C stops it; a running training is saved and goes on at the next start.")
        parts.stay()


def demo(
    steps: int = typer.Option(3000, min=1, help="How long to train."),
    again: bool = typer.Option(False, "--again", help="Train anew although the model exists."),
) -> None:
    """Start everything and train on real digits.

    Writes samples.png. Goes on where an interrupted demo stopped, trains nothing when the model
    exists, and stays up until Ctrl-C. Example:

    ringside demo --steps 1000 --again
    """
    from service.cli.demo import show

    with Parts(training_settings(serving_settings())) as parts:
        parts.start()
        with reporting(parts.url):
            show(parts.client, steps, again)
        parts.stay()


def api(
    processes: int | None = typer.Option(
        None, min=1, max=64, help="API processes that share the port; RINGSIDE_PROCESSES."
    ),
    descriptor: int | None = typer.Option(None, hidden=True),
) -> None:
    """Run the HTTP API alone. Needs RINGSIDE_REDIS_URL.

    Each process has threads and a cache of models of its own.
    Example: RINGSIDE_REDIS_URL=redis://localhost ringside api --processes 2
    """
    settings = serving_settings(**({} if processes is None else {"processes": processes}))
    _let_threads_sleep()
    _check_sampling_device(settings)
    url = _redis_url(settings, may_be_away=True)
    if settings.processes > 1 and descriptor is None:
        from service.cli.several import serve_several

        serve_several(settings, free_port(settings))
        return
    listening = free_port(settings) if descriptor is None else None
    with lasting():
        from service.app import create_app
        from service.server import serve

        app = create_app(settings, url)
    serve(app, settings.host, listening, descriptor)


def worker(
    slots: int | None = typer.Option(
        None, min=1, max=64, help="Trainings at a time on the CPU; with GPUs one for each."
    ),
) -> None:
    """Run workers alone, and see that they stay alive. Needs RINGSIDE_REDIS_URL.

    Give every worker and the API the same RINGSIDE_HOME; they may be on several hosts. SIGTERM
    lets running trainings save; another worker, or the next one, goes on with them. A second
    signal stops at once.
    Example: RINGSIDE_REDIS_URL=redis://localhost RINGSIDE_HOME=/data ringside worker --slots 2
    """
    settings = training_settings(read_settings())
    if slots is not None:
        settings = settings.model_copy(update={"slots": slots})
    url = _redis_url(settings)
    _let_threads_sleep()
    from worker.logs import log_to_stderr
    from worker.supervisor import supervise

    log_to_stderr()
    supervise(settings, url)


def _check_sampling_device(settings: Settings) -> None:
    """End with one line where it is a GPU that is not here; libraries are asked for no other."""
    if settings.sampling_device == "cpu":
        return
    from service.engine.models import sampling_device
    from worker.engine import DeviceUnavailable

    try:
        sampling_device(settings)
    except DeviceUnavailable as error:
        fail(str(error))


def _redis_url(settings: Settings, may_be_away: bool = False) -> str:
    if settings.redis_url is None:
        fail("set RINGSIDE_REDIS_URL, or use `ringside up`, which brings its own Redis")
    try:
        check_server(settings.redis_url)
    except RedisAway as error:
        if not may_be_away:
            fail(str(error))
        typer.echo(f"ringside: {error}; until then jobs are accepted and wait", err=True)
    except NoRedis as error:
        fail(str(error))
    return settings.redis_url


def _let_threads_sleep() -> None:
    """Waiting OpenMP threads of several processes fight over few cores unless they sleep.

    OpenMP reads this when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
