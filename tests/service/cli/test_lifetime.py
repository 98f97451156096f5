"""Starting and stopping: refusals in one line, and no process left behind."""

import os
import signal
import socket

LONG = 10**7


def _only_line(finished) -> str:
    assert finished.returncode == 1, finished.stderr
    (line,) = finished.stderr.splitlines()
    return line


def test_a_taken_port_is_one_clear_line(run_command, new_home, processes_of):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        home = new_home()
        line = _only_line(run_command("up", RINGSIDE_HOME=str(home), RINGSIDE_PORT=port))
    assert f"127.0.0.1:{port}" in line
    assert "RINGSIDE_PORT" in line
    assert not processes_of(home)


def test_a_home_in_use_is_one_clear_line(run_command, ringside):
    line = _only_line(run_command("up", RINGSIDE_HOME=str(ringside.home), RINGSIDE_PORT="0"))
    assert f"in use by another Ringside (process {ringside.pid})" in line
    assert ringside.client.get("/readyz").json()["checks"]["redis"]


def test_an_open_address_needs_a_key(run_command, new_home):
    variables = {"RINGSIDE_HOST": "0.0.0.0", "RINGSIDE_API_KEYS": "", "RINGSIDE_REDIS_URL": "x"}
    for command in ("up", "api"):
        line = _only_line(run_command(command, RINGSIDE_HOME=str(new_home()), **variables))
        assert "RINGSIDE_API_KEYS is empty" in line


def test_parts_alone_need_a_redis(run_command):
    for command in ("api", "worker"):
        assert "RINGSIDE_REDIS_URL" in _only_line(run_command(command, RINGSIDE_PORT="0"))


def test_an_unreachable_redis_is_one_clear_line(run_command, new_home):
    variables = {"RINGSIDE_REDIS_URL": "redis://127.0.0.1:9", "RINGSIDE_HOME": str(new_home())}
    for command in ("up", "api", "worker"):
        line = _only_line(run_command(command, RINGSIDE_PORT="0", **variables))
        assert "no Redis answers at RINGSIDE_REDIS_URL" in line


def test_a_bad_setting_is_named(run_command):
    assert "RINGSIDE_PORT" in _only_line(run_command("up", RINGSIDE_PORT="eighty"))


def test_sigterm_saves_the_training_and_leaves_no_process(launch, processes_of, wait_until):
    running = launch()
    job_id = running.submit(steps=LONG)["id"]
    running.wait(job_id, "job.metrics")
    assert len(processes_of(running.home)) == 5, "up, api, worker, its training, redis"
    assert running.stop(signal.SIGTERM) == 0, running.log.read_text()
    assert not processes_of(running.home)

    # The next start goes on from the checkpoint; kill -9 of the parent takes all with it.
    again = launch(running.home)
    saved = wait_until(lambda: again.job(job_id)["attempt"] == 2 and again.job(job_id), "resumed")
    assert saved["checkpoints"] > 0
    again.wait(job_id, "checkpoint.created")
    again.stop(signal.SIGKILL)
    wait_until(lambda: not processes_of(again.home), "death of all children", 5)


def test_a_part_that_dies_ends_all_with_its_log_named(launch, processes_of):
    running = launch()
    (api,) = [pid for pid, line in processes_of(running.home).items() if line.endswith("api ")]
    os.kill(api, signal.SIGKILL)
    assert running.exit_status() == 1
    said = running.log.read_text()
    assert f"the api stopped: it wrote nothing (log: {running.home / 'api.log'})" in said
    assert not processes_of(running.home)
