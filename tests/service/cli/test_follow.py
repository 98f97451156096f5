"""Following a job: how it ends, and that leaving it does it no harm."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading

import httpx2
import numpy as np

LONG = 10**7


class CuttingProxy:
    """Passes bytes on to the service, but cuts every answer after so many bytes."""

    def __init__(self, port: int, answer_bytes: int) -> None:
        self._port, self._answer_bytes, self.cuts = port, answer_bytes, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        # Closing alone does not wake a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._port)) as service:
                service.sendall(client.recv(65536).replace(b"keep-alive", b"close"))
                self._answer(service, client)

    def _answer(self, service, client):
        left = self._answer_bytes
        while data := service.recv(left):
            client.sendall(data)
            left -= len(data)
            if left == 0:
                self.cuts += 1
                return


def test_a_lost_connection_is_taken_up_where_it_broke(ringside, invoke):
    job_id = ringside.train(steps=40, schedule={"metrics_every": 2})["id"]
    with CuttingProxy(httpx2.URL(ringside.url).port, answer_bytes=4000) as proxy:
        answer = invoke("jobs", "follow", job_id, "--json", RINGSIDE_URL=proxy.url)
    assert answer.exit_code == 0, answer.output
    ids = [json.loads(line)["id"] for line in answer.stdout.splitlines()]
    assert proxy.cuts > 1
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) > 20


def test_ctrl_c_detaches_and_the_job_trains_on(ringside, invoke):
    command = [sys.executable, "-m", "service.cli", "train", "ring", "--steps", str(LONG),
               "--follow"]  # fmt: skip
    with subprocess.Popen(
        command, env=ringside.environment, stderr=subprocess.PIPE, text=True
    ) as follower:
        job_id = follower.stderr.readline().split()[1]
        try:
            while not follower.stderr.readline().startswith("step "):
                assert follower.poll() is None
            follower.send_signal(signal.SIGINT)
            _, said = follower.communicate(timeout=60)
            status = ringside.job(job_id)["status"]
        finally:
            # Others use this service after us; nobody must wait behind this job.
            follower.kill()
            canceled = invoke("jobs", "cancel", job_id)
    assert follower.returncode == 130, said
    assert f"jobs follow {job_id}" in said
    assert "Traceback" not in said
    assert status == "running"
    assert canceled.exit_code == 0
    answer = invoke("jobs", "follow", job_id)
    assert answer.exit_code == 7, answer.output


def test_a_pause_ends_following_and_a_resume_goes_on(ringside, invoke):
    job_id = ringside.submit(steps=LONG)["id"]
    ringside.wait(job_id, "job.metrics")
    assert invoke("jobs", "pause", job_id).exit_code == 0
    answer = invoke("jobs", "follow", job_id)
    assert answer.exit_code == 0
    assert f"jobs resume {job_id}" in answer.stderr
    step = ringside.job(job_id)["progress"]["step"]
    answer = invoke("jobs", "resume", job_id, "--steps", step + 100)
    assert answer.exit_code == 0, answer.output
    answer = invoke("jobs", "follow", job_id)
    assert answer.exit_code == 0, answer.output
    assert ringside.job(job_id)["progress"]["step"] == step + 100


def test_a_failed_job_is_status_6_with_its_reason(ringside, invoke, tmp_path):
    np.save(tmp_path / "items.npy", np.random.default_rng(6).normal(size=(300, 2)))
    added = invoke("datasets", "add", tmp_path / "items.npy", "--name", "doomed", "--json")
    assert added.exit_code == 0, added.output
    blocking = ringside.submit(steps=LONG)["id"]
    ringside.wait(blocking, "job.metrics")
    doomed = ringside.submit(dataset="doomed")["id"]
    shutil.rmtree(ringside.home / "datasets" / json.loads(added.stdout)["id"])
    invoke("jobs", "cancel", blocking)
    answer = invoke("jobs", "follow", doomed)
    assert answer.exit_code == 6, answer.output
    assert f"{doomed} failed (dataset-not-found)" in answer.stderr
