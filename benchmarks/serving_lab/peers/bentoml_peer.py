"""BentoML: ``POST /sample`` with a seed, answered with a PNG.

Adaptive batching returns JSON alone, so a PNG of a batch takes two services: one that draws, and
one before it that answers.
"""

import base64

import bentoml
import torch

from benchmarks.serving_lab.network import drawing
from benchmarks.serving_lab.peers.bentoml_png import Png
from benchmarks.serving_lab.peers.setting import own_task

_TASK = own_task()
_SETTING = _TASK.setting


@bentoml.service(workers=_SETTING.workers, traffic={"timeout": 60})
class Drawing:
    """Draws batches."""

    def __init__(self) -> None:
        torch.set_num_threads(_SETTING.threads)
        self._drawing = drawing(_TASK.path, _TASK.is_prepared)

    @bentoml.api(
        batchable=True, max_batch_size=_SETTING.batch, max_latency_ms=int(_SETTING.wait_ms)
    )
    def draw(self, seeds: list[int]) -> list[str]:
        """PNGs of seeds."""
        return [base64.b64encode(one).decode() for one in self._drawing.pictures(seeds)]


@bentoml.service(traffic={"timeout": 60})
class Front:
    """Answers with what was drawn."""

    drawing = bentoml.depends(Drawing)

    @bentoml.api
    async def sample(self, seed: int) -> Png:
        """One PNG."""
        return base64.b64decode((await self.drawing.to_async.draw([seed]))[0])
