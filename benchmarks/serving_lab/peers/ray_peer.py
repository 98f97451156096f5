"""Ray Serve: ``GET /?seed=`` answered with a PNG, requests gathered by ``serve.batch``.

Run in the peer's environment: ``python -m benchmarks.serving_lab.peers.ray_peer``.
"""

import os
import threading

import ray
import torch
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving_lab.network import drawing
from benchmarks.serving_lab.peers.setting import Task, own_task

# Its object store would take a third of the memory; nothing here is larger than an image.
_OBJECT_STORE_BYTES = 128 * 2**20
_MOST_WAITING = 256


def deployment(task: Task) -> serve.Application:
    """Replicas that draw batches of seeds."""
    setting = task.setting

    @serve.deployment(
        num_replicas=setting.workers,
        max_ongoing_requests=_MOST_WAITING,
        # One core each would leave none to Ray's own processes, and they would not be started.
        ray_actor_options={"num_cpus": 0},
    )
    class Sampling:
        def __init__(self) -> None:
            torch.set_num_threads(setting.threads)
            self._drawing = drawing(task.path, task.is_prepared)

        @serve.batch(max_batch_size=setting.batch, batch_wait_timeout_s=setting.wait_ms / 1000)
        async def draw(self, seeds: list[int]) -> list[bytes]:
            return self._drawing.pictures(seeds)

        async def __call__(self, request: Request) -> Response:
            picture = await self.draw(int(request.query_params["seed"]))
            return Response(picture, media_type="image/png")

    return Sampling.bind()


def main() -> None:
    """Serve until killed."""
    task = own_task()
    ray.init(
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=_OBJECT_STORE_BYTES,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": task.port})
    serve.run(deployment(task), route_prefix="/")
    threading.Event().wait()


if __name__ == "__main__":
    main()
