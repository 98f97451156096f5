"""Serving, measured side by side: Ringside, the bare generator and serving frameworks.

    python -m benchmarks.serving                          all sections, without peers
    python -m benchmarks.serving --peers DIR --json FILE  all, with peers installed under DIR
    python -m benchmarks.serving npy small                some of them
    python -m benchmarks.serving --rounds 1 --seconds 1   quickly, to see that it works

The models are DCGAN generators of random weights, committed as checkpoints: 64x64x3 with 3.58
million parameters, and 32x32x1 with 1.07; for a GPU also R3GAN's, 32x32x3. In each round all
contenders take turns, and each is alone on the machine meanwhile: it is started, warmed up, put
under load by wrk on the same machine, and stopped. Seeds are random, so that nothing is answered
from a cache but where caches are measured. The bare generator is the network as the service
prepares it, forward passes in a loop, in as many processes of one thread as there are cores. Each
peer is measured in the best of a few settings. Shares and ratios are those of one round; of all
rounds the median counts.
"""

import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import torch
from rich.console import Console

from benchmarks.fault_lab.waiting import Stuck
from benchmarks.lab.verdicts import Outcome, show_verdicts, write
from benchmarks.serving_lab.lab import Lab, new_lab
from benchmarks.serving_lab.latency import cached, lone, started
from benchmarks.serving_lab.load import NoLoad, require_wrk
from benchmarks.serving_lab.many import many_models
from benchmarks.serving_lab.options import Options, read_options
from benchmarks.serving_lab.overload import overload
from benchmarks.serving_lab.peers.environments import NotInstalled, install, versions
from benchmarks.serving_lab.peers.known import PEERS
from benchmarks.serving_lab.table import conditions, show
from benchmarks.serving_lab.throughput import arrays, engine, gpu, gpu_r3gan, pictures, small

SECTIONS: Mapping[str, Callable[[Lab], Outcome]] = {
    "npy": arrays,
    "png": pictures,
    "engine": engine,
    "small": small,
    "lone": lone,
    "cached": cached,
    "overload": overload,
    "models": many_models,
    "start": started,
    "gpu": gpu,
    "gpu-r3gan": gpu_r3gan,
}


def main() -> None:
    """Run the sections asked for and print tables; the status is 1 unless all figures are held."""
    options = read_options(__doc__, tuple(SECTIONS), tuple(PEERS))
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(1)
    console = Console(width=200)
    try:
        require_wrk()
        outcomes = _measure(options, console)
    except (NoLoad, NotInstalled, Stuck) as error:
        raise SystemExit(f"serving: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(any(v.holds is False for one in outcomes for v in one.verdicts))


def _measure(options: Options, console: Console) -> list[Outcome]:
    told = {**conditions(options), "peers": _install_peers(options, console)}
    for name, value in told.items():
        console.print(f"{name}: {value}", highlight=False)
    outcomes = []
    with new_lab(options, console) as lab:
        for name in options.sections:
            outcomes.append(SECTIONS[name](lab))
            show(outcomes[-1], console)
            if options.json:
                write(options.json, "serving", told, outcomes)
    show_verdicts(outcomes, console)
    return outcomes


def _install_peers(options: Options, console: Console) -> dict[str, Any]:
    """Versions by peer; of none where they are left out."""
    found = {}
    if options.peers and {"png", "engine"} & set(options.sections):
        for name in options.only:
            console.print(f"[dim]{name}: its environment under {options.peers}")
            install(PEERS[name], options.peers)
            found[name] = versions(PEERS[name], options.peers)
    return found


def _leave(number: int, frame: FrameType | None) -> None:
    # What was started is stopped on the way out.
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
