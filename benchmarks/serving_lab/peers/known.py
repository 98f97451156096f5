"""The peers: what to install, how to start them, how they are asked, which settings are tried."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving_lab.load import Load
from benchmarks.serving_lab.peers.setting import Setting, Task
from worker.settings import available_cores

_SCRIPTS = "benchmarks.serving_lab.peers"
_ONE_BY_ONE, _AS_JSON = "one by one", "base64 in JSON"
_JSON = '{"seed": {seed}}'


class Peer(NamedTuple):
    """A framework. ``command`` is what follows the environment's Python; ``load`` asks for a PNG
    a request.
    """

    name: str
    packages: tuple[str, ...]
    command: Callable[[Task], Sequence[str]]
    load: Callable[[Setting], Load]
    settings: Sequence[Setting]

    def python(self, directory: Path) -> Path:
        """The interpreter of its environment."""
        return directory / self.name / "bin" / "python"


def _settings(form: str, batches: Sequence[int], waits_ms: Sequence[float]) -> list[Setting]:
    cores = available_cores()
    workers = sorted({1, cores})
    return [
        Setting(form, batch, wait_ms, count, max(1, cores // count))
        for batch, wait_ms, count in product(batches, waits_ms, workers)
    ]


def _script(name: str) -> Callable[[Task], Sequence[str]]:
    return lambda task: ["-m", f"{_SCRIPTS}.{name}"]


def _asked(load: Load) -> Callable[[Setting], Load]:
    return lambda setting: load


_BENTOML_SERVICES = {
    _ONE_BY_ONE: "bentoml_alone:Alone",
    _AS_JSON: "bentoml_peer:Drawing",
    "two services": "bentoml_peer:Front",
}


def _bentoml(task: Task) -> Sequence[str]:
    served = f"{_SCRIPTS}.{_BENTOML_SERVICES[task.setting.form]}"
    address = ["--host", "127.0.0.1", "--port", str(task.port)]
    return ["-m", "bentoml", "serve", served, *address]


def _bentoml_load(setting: Setting) -> Load:
    if setting.form == _AS_JSON:
        return Load("/draw", 64, method="POST", body='{"seeds": [{seed}]}')
    return Load("/sample", 64, method="POST", body=_JSON)


PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "litserve",
            ("litserve",),
            _script("litserve_peer"),
            _asked(Load("/predict", 64, method="POST", body=_JSON)),
            [
                *_settings("queue", (16, 32, 64), (1, 5)),
                *_settings("fast queue", (32,), (1, 5)),
            ],
        ),
        Peer(
            "bentoml",
            ("bentoml",),
            _bentoml,
            _bentoml_load,
            # Its wait is the latency that it holds batches to, and it refuses what would be later.
            [
                *_settings("two services", (32, 64), (500, 10_000)),
                *_settings(_AS_JSON, (32, 64), (500, 10_000)),
                *_settings(_ONE_BY_ONE, (1,), (0,)),
            ],
        ),
        Peer(
            "ray",
            ("ray[serve]",),
            _script("ray_peer"),
            _asked(Load("/?seed={seed}", 64)),
            _settings("batches", (16, 32, 64), (1, 5)),
        ),
    )
}
