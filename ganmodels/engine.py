"""What a training runs on, as far as a request says so."""

from typing import Literal

from pydantic import Field

from ganmodels.spec import Spec


class Engine(Spec):
    """How many devices play each batch together, and how.

    ``gpus`` processes with one GPU each, or on a worker without GPUs as many processes on the CPU.
    ``batch_size`` is that of all of them together, so what is learned does not depend on it; where
    there are fewer, those that divide the batch are used, and the job's events say so.

    ``data``: items lie on the device where they fit, or are streamed to it batch by batch.
    ``graphs``: on a GPU steps are recorded once and replayed where nothing forbids it. Neither is
    to change a bit of the result. ``deterministic`` asks a GPU for kernels that add in the same
    order in every run, which are slower; on a CPU all do.
    """

    gpus: int = Field(default=1, ge=1, le=64)
    data: Literal["automatic", "resident", "streamed"] = "automatic"
    graphs: Literal["automatic", "never"] = "automatic"
    deterministic: bool = False
