"""Who takes part: Ringside, the bare generator, and peers in the settings that suit them best."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_lab.service import Ringside, serving
from benchmarks.fault_lab.waiting import Stuck
from benchmarks.lab.processor import spent
from benchmarks.lab.rounds import Contender, Measured
from benchmarks.serving_lab.api import address, ask
from benchmarks.serving_lab.bare import bare
from benchmarks.serving_lab.lab import Lab
from benchmarks.serving_lab.load import Load, run
from benchmarks.serving_lab.peers.known import Peer
from benchmarks.serving_lab.peers.running import running
from benchmarks.serving_lab.peers.setting import Setting
from benchmarks.serving_lab.table import BARE
from worker.settings import available_cores

OURS = "ringside"
_WARM_UP_SECONDS, _SETTLING_SECONDS = 2.0, 1.0


class Entry(NamedTuple):
    """A contender, and what is to be told of how it was set up."""

    contender: Contender
    note: str


def warm_up(url: str, load: Load) -> None:
    """What is done before anything counts, on a server that has answered once."""
    run(url, load, _WARM_UP_SECONDS)
    # What its clients did not wait for may still be computed.
    time.sleep(_SETTLING_SECONDS)


def ours(
    lab: Lab,
    load: Load,
    name: str = OURS,
    settings: Mapping[str, str] | None = None,
    before: Callable[[Ringside, Load], Load] = lambda service, load: load,
) -> Contender:
    """Ringside under a load. ``before`` may look at the running service, and change the load."""
    chosen = {**lab.options.settings, **(settings or {})}

    def measure(seconds: float) -> Measured:
        with serving(lab.home, **chosen) as service:
            ask(service, load.path.replace("{seed}", "7"))
            warm_up(address(service), load)
            changed = before(service, load)
            with spent(service.everything) as cost:
                found = run(address(service), changed, seconds)
        return found.measured(load.images, cost)

    return Contender(name, measure)


def bare_generator(lab: Lab, size: str, device: str = "cpu") -> Entry:
    """The generator of a size as it is served, in a process for each core, or one on a GPU."""
    checkpoint, processes = lab.checkpoints[size], available_cores() if device == "cpu" else 1
    with bare(checkpoint, processes, device) as generator:
        batch = generator.best_batch(lab.options.seconds / 4)
        precision = generator.precision

    def measure(seconds: float) -> Measured:
        with bare(checkpoint, processes, device) as generator:
            pace = generator.pace(batch, seconds)
        return Measured(pace.per_second, cpu_ms=pace.cpu_ms)

    note = f"{BARE}: {precision}, {processes} x 1 thread on {device}, batch {batch} (the best)"
    return Entry(Contender(BARE, measure), note)


def tuned_peers(lab: Lab, peers: Sequence[Peer], is_prepared: bool) -> list[Entry]:
    """Each peer in the best of its settings; none of a peer that cannot be run at all."""
    checkpoint = lab.checkpoints["large"]
    found = (_tuned(lab, peer, checkpoint, is_prepared) for peer in peers)
    return [entry for entry in found if entry is not None]


def _tuned(lab: Lab, peer: Peer, checkpoint: Path, is_prepared: bool) -> Entry | None:
    def measure(setting: Setting, seconds: float) -> Measured:
        directory = lab.options.peers
        assert directory is not None
        load = peer.load(setting)
        with running(peer, directory, checkpoint, is_prepared, setting) as server:
            warm_up(server.url, load)
            with spent(server.pids) as cost:
                found = run(server.url, load, seconds)
        return found.measured(cost=cost)

    rates: dict[Setting, float] = {}
    for setting in peer.settings[: lab.options.tried]:
        told = f"{peer.name}: {setting}:"
        try:
            rates[setting] = measure(setting, lab.options.seconds / 2).rate
        except Stuck as error:
            lab.console.print(f"{told} did not run: {error}", highlight=False, markup=False)
        else:
            lab.console.print(f"{told} {rates[setting]:.1f}/s", highlight=False)
    if not rates:
        return None
    best = max(rates, key=lambda setting: rates[setting])
    tried = "; ".join(f"{setting}: {rate:.1f}/s" for setting, rate in rates.items())
    note = f"{peer.name}: {best} (the best of {tried})"
    return Entry(Contender(peer.name, lambda seconds: measure(best, seconds)), note)
