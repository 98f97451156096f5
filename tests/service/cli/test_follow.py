"""Following a job: how it ends, and that leaving it does it no harm."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np

LONG = 10**7


def test_ctrl_c_detaches_and_the_job_trains_on(ringside, invoke):
    command = [sys.executable, "-m", "service.cli", "train", "ring", "--steps", str(LONG),
               "--follow"]  # fmt: skip
    with subprocess.Popen(
        command, env=ringside.environment, stderr=subprocess.PIPE, text=True
    ) as follower:
        job_id = follower.stderr.readline().split()[1]
        while not follower.stderr.readline().startswith("step "):
            assert follower.poll() is None
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=20)
    assert follower.returncode == 130, said
    assert f"jobs follow {job_id}" in said
    assert "Traceback" not in said
    assert ringside.job(job_id)["status"] == "running"

    assert invoke("jobs", "cancel", job_id).exit_code == 0
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
