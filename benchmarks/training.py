"""Training, measured side by side with the loop that tutorials teach.

    python -m benchmarks.training                              all sections
    python -m benchmarks.training plain penalties --json FILE  some of them
    python -m benchmarks.training --rounds 1 --seconds 1       quickly, to see that it works

In each round all contenders take turns of some seconds, whole steps on the same networks with the
same batches' sizes; ratios are those of one round, and of all rounds the median counts. Images of
random pixels: speed does not depend on what they show. The sections:

    plain      DCGAN of 64x64 and 32x32, and exchanges that share passes
    penalties  R1 + R2, and WGAN-GP
    mlp        fully connected networks
    worker     through the worker, against the same step in a bare loop
    second     from the start of a second job to its first step
    several    two processes that share batches, against one
    quality    what bfloat16 does to the Frechet distance on MNIST (needs ../shared/data)
    gpu        DCGAN and R3GAN-small with recorded steps, where there is a GPU
"""

from collections.abc import Callable, Mapping

import torch
from rich.console import Console

from benchmarks.lab.verdicts import Outcome, show_verdicts, write
from benchmarks.training_lab.options import Lab, read_options
from benchmarks.training_lab.quality import quality
from benchmarks.training_lab.several import several
from benchmarks.training_lab.speed import gpu, mlp, penalised, plain
from benchmarks.training_lab.table import conditions, show
from benchmarks.training_lab.through_worker import second, worker

SECTIONS: Mapping[str, Callable[[Lab], list[Outcome]]] = {
    "plain": plain,
    "penalties": penalised,
    "mlp": mlp,
    "worker": worker,
    "second": second,
    "several": several,
    "quality": quality,
    "gpu": gpu,
}


def main() -> None:
    """Run the sections asked for and print tables; the status is 1 unless all figures are held."""
    options = read_options(__doc__, tuple(SECTIONS))
    torch.set_num_threads(options.threads)
    lab = Lab(options, Console(width=160))
    told = conditions(options)
    for name, value in told.items():
        lab.console.print(f"{name}: {value}", highlight=False)
    outcomes: list[Outcome] = []
    for name in options.sections:
        found = SECTIONS[name](lab)
        outcomes += found
        for outcome in found:
            show(outcome, lab.console)
        if options.json:
            write(options.json, "training", told, outcomes)
    show_verdicts(outcomes, lab.console)
    raise SystemExit(any(v.holds is False for one in outcomes for v in one.verdicts))


if __name__ == "__main__":
    main()
