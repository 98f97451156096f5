"""What a training runs on, as far as a request says so."""

from pydantic import Field

from ganmodels.spec import Spec


class Engine(Spec):
    """How many devices play each batch together.

    ``gpus`` processes with one GPU each, or on a worker without GPUs as many processes on the CPU.
    ``batch_size`` is that of all of them together, so what is learned does not depend on it; where
    there are fewer, those that divide the batch are used, and the job's events say so.
    """

    gpus: int = Field(default=1, ge=1, le=64)
