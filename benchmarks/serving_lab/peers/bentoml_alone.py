"""BentoML, each seed drawn by itself in a thread: as the examples of generative models do it."""

import bentoml
import torch

from benchmarks.serving_lab.network import drawing
from benchmarks.serving_lab.peers.bentoml_png import Png
from benchmarks.serving_lab.peers.setting import own_task

_TASK = own_task()
_SETTING = _TASK.setting


@bentoml.service(workers=_SETTING.workers, traffic={"timeout": 60}, threads=_SETTING.threads)
class Alone:
    """Draws one at a time."""

    def __init__(self) -> None:
        torch.set_num_threads(_SETTING.threads)
        self._drawing = drawing(_TASK.path, _TASK.is_prepared)

    @bentoml.api
    def sample(self, seed: int) -> Png:
        """One PNG."""
        return self._drawing.pictures([seed])[0]
