"""A real Ringside to measure: its own home, its own port, everything over HTTP."""

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


class Service:
    """A running Ringside."""

    def __init__(self, client: httpx2.Client, ready_seconds: float) -> None:
        self.client, self.ready_seconds = client, ready_seconds

    def import_idx(self, name: str, images: Path, labels: Path) -> dict[str, Any]:
        """Upload two IDX files as one dataset."""
        with images.open("rb") as file, labels.open("rb") as label_file:
            files = {"file": file, "labels": label_file}
            answer = self.client.post("/datasets", files=files, data={"name": name})
        return self._checked(answer)

    def train(self, **request: Any) -> tuple[str, float]:
        """Train to the end. Returns the job's id and the seconds from start to end."""
        job = self._checked(self.client.post("/train", json=request))
        while job["status"] in ("queued", "running"):
            time.sleep(0.5)
            job = self._checked(self.client.get(f"/jobs/{job['id']}"))
        if job["status"] != "succeeded":
            raise SystemExit(f"{request}: {job['status']}, {job['error']}")
        began, ended = (datetime.fromisoformat(job[k]) for k in ("started_at", "finished_at"))
        return job["id"], (ended - began).total_seconds()

    def times(self, job: str) -> list[str]:
        """When each row of metrics was written."""
        answer = self._checked(self.client.get(f"/jobs/{job}/metrics", params={"names": "at"}))
        column: list[str] = answer["columns"]["at"]
        return column

    def metrics(self, job: str, name: str) -> list[float]:
        """One column of a job's metrics."""
        answer = self._checked(self.client.get(f"/jobs/{job}/metrics", params={"names": name}))
        column: list[float] = answer["columns"][name]
        return column

    def sample(
        self, model: str, count: int, labels: list[int] | None = None, page: int = 64
    ) -> NDArray[Any]:
        """Items 0 to ``count - 1`` of seed 0; ``labels`` is cycled by index."""
        pages = []
        for offset in range(0, count, page):
            params = {"model": model, "seed": 0, "offset": offset, "format": "npy"}
            params["n"] = min(page, count - offset)
            if labels:
                params["label"] = ",".join(map(str, labels))
            answer = self.client.get("/sample", params=params)
            answer.raise_for_status()
            pages.append(np.load(io.BytesIO(answer.content), allow_pickle=False))
        return np.concatenate(pages)

    def logits(self, model: str, items: NDArray[Any]) -> NDArray[np.float64]:
        """The discriminator's logits of images, 256 at a time."""
        found: list[float] = []
        for start in range(0, len(items), 256):
            buffer = io.BytesIO()
            np.save(buffer, items[start : start + 256], allow_pickle=False)
            answer = self.client.post(
                "/score",
                params={"model": model},
                content=buffer.getvalue(),
                headers={"Content-Type": "application/x-npy"},
            )
            found += [entry["logit"] for entry in self._checked(answer)["data"]]
        return np.array(found)

    @staticmethod
    def _checked(answer: httpx2.Response) -> dict[str, Any]:
        body: dict[str, Any] = answer.json()
        if answer.is_error:
            raise SystemExit(f"{answer.request.url}: {body}")
        return body


@contextmanager
def running_service() -> Iterator[Service]:
    """Start ``ringside up`` on a free port with an empty home; stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ringside-") as home:
        environment = {**os.environ, "RINGSIDE_HOME": home, "RINGSIDE_PORT": str(port)}
        began = time.monotonic()
        command = [sys.executable, "-m", "service.cli", "up"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                _wait_until_alive(client, process)
                yield Service(client, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_until_alive(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.02)
    raise SystemExit("ringside up did not start")
