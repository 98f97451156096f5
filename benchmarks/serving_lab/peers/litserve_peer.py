"""LitServe (Lightning AI): ``POST /predict`` with a seed, answered with a PNG.

Run in the peer's environment: ``python -m benchmarks.serving_lab.peers.litserve_peer``.
"""

from collections.abc import Sequence
from typing import Any

import litserve
import torch
from fastapi import Response

from benchmarks.serving_lab.network import drawing
from benchmarks.serving_lab.peers.setting import Task, own_task


class Sampling(litserve.LitAPI):
    """A batch of seeds is drawn at once, and encoded where it was drawn."""

    def __init__(self, task: Task) -> None:
        seconds = task.setting.wait_ms / 1000
        super().__init__(max_batch_size=task.setting.batch, batch_timeout=seconds)
        self._task = task

    def setup(self, device: str) -> None:
        """Load the model in a worker."""
        torch.set_num_threads(self._task.setting.threads)
        self._drawing = drawing(self._task.path, self._task.is_prepared)

    def decode_request(self, request: dict[str, Any]) -> int:
        """The seed."""
        return int(request["seed"])

    def batch(self, inputs: list[int]) -> list[int]:
        """Seeds as they came."""
        return inputs

    def predict(self, x: Sequence[int]) -> list[bytes]:
        """PNGs of seeds."""
        return self._drawing.pictures(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """One for each."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """As it is sent."""
        return Response(output, media_type="image/png")


def main() -> None:
    """Serve until killed."""
    task = own_task()
    server = litserve.LitServer(
        Sampling(task),
        accelerator="cpu",
        workers_per_device=task.setting.workers,
        timeout=60,
        fast_queue=task.setting.form == "fast queue",
    )
    server.run(host="127.0.0.1", port=task.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
