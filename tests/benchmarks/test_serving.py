"""The serving benchmark: what is measured is what is served, and the arithmetic of its tables."""

import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from benchmarks.lab.rounds import Contender, Measured, Rounds, play
from benchmarks.lab.verdicts import at_least, at_most, unmeasured
from benchmarks.serving_lab import load
from benchmarks.serving_lab.home import R3GAN, Size, add_model
from benchmarks.serving_lab.load import NoLoad, answers, require_wrk
from benchmarks.serving_lab.network import CPU, PlainDrawing, PreparedDrawing, prepared
from benchmarks.serving_lab.peers.setting import Setting, Task, own_task
from ganmodels.networks import R3
from service.engine.models import load as load_model
from worker.store import Store
from worker.store.references import resolve

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    directory = tmp_path_factory.mktemp("home")
    add_model(directory, "tiny", Size(16, 3), seed=0)
    return directory


@pytest.fixture(scope="module")
def checkpoint(home):
    return resolve(Store(home), "tiny").checkpoint


def written(**changes):
    found = {
        "seconds": 2.0, "requests": 100, "bytes": 1, "p50_ms": 3.0, "p99_ms": 9.0, "connect": 0,
        "read": 0, "write": 0, "status": 0, "timeout": 0, "statuses": [{}],
    }  # fmt: skip
    return f"Running 2s test\nRESULT {json.dumps({**found, **changes})}\nmore\n"


def test_a_model_of_random_weights_is_served_as_any_other_and_is_not_grey(checkpoint):
    checkpoint.verify()
    sampler = load_model(checkpoint, CPU).sampler
    drawn = sampler.draw(sampler.latents(7, 0, 8), sampler.labels(7, 0, 8))
    assert drawn.shape == (8, 16, 16, 3)
    assert drawn.std() > 10


def test_the_generator_for_gpus_is_one_that_can_be_served(tmp_path):
    path = add_model(tmp_path, "r3gan", R3GAN._replace(network=R3(widths=(16,))), seed=0)
    assert prepared(path).sampler.generator is not None


def test_peers_that_are_given_our_generator_draw_what_the_service_draws(checkpoint):
    sampler = load_model(checkpoint, CPU).sampler
    drawing = PreparedDrawing(prepared(checkpoint.path).sampler)
    drawn = drawing.items([3, 4])
    for item, seed in zip(drawn, (3, 4), strict=True):
        ours = sampler.draw(sampler.latents(seed, 0, 1), sampler.labels(seed, 0, 1))[0]
        assert np.array_equal(item, ours)
    assert all(picture.startswith(PNG) for picture in drawing.pictures([3, 4]))


def test_peers_as_their_users_run_them_draw_by_seed(checkpoint):
    drawing = PlainDrawing(checkpoint.path)
    first, second = drawing.pictures([3, 4])
    assert first.startswith(PNG)
    assert first != second


def test_a_peer_finds_its_task_in_its_environment(monkeypatch):
    task = Task("/somewhere", True, 8000, Setting("queue", 16, 0.5, 2, 1))
    for name, value in task.variables().items():
        monkeypatch.setenv(name, value)
    assert own_task() == task


def test_refused_and_lost_requests_are_not_good_ones():
    found = answers(written(status=30, read=5, statuses=[{"200": 70, "503": 30}]))
    assert (found.good, found.lost, found.per_second) == (70, 5, 35.0)
    assert found.statuses == {"200": 70, "503": 30, "read error": 5}


def test_a_load_that_failed_says_why():
    with pytest.raises(NoLoad, match="unable to connect"):
        answers("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_missing_wrk_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoLoad, match="apt-get install wrk"):
        require_wrk()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_nobody_at_the_address_is_an_error_of_the_load():
    with pytest.raises(NoLoad):
        load.run("http://127.0.0.1:9", load.Load("/", clients=1), 1)


def test_shares_are_medians_of_ratios_within_a_round():
    rounds = Rounds(
        {
            "ours": [Measured(rate) for rate in (90.0, 50.0, 10.0)],
            "bare": [Measured(rate) for rate in (100.0, 50.0, 20.0)],
        }
    )
    assert rounds.ratio("ours", "bare") == pytest.approx(0.9)
    assert rounds.rate("ours") == 50.0
    assert np.isnan(rounds.p50_ms("bare"))


def test_contenders_take_turns():
    order = []

    def contender(name):
        return Contender(name, lambda seconds: (order.append(name), Measured(1.0))[1])

    play([contender("ours"), contender("bare")], 2, 1.0, Console(quiet=True))
    assert order == ["ours", "bare", "ours", "bare"]


def test_a_figure_holds_on_its_bound_and_one_that_was_not_measured_neither_holds_nor_fails():
    assert at_least("share", 0.9, 0.9).holds
    assert not at_least("share", 0.9, 0.89).holds
    assert at_most("growth", 1, 1.0).holds
    assert not at_most("p99", 0.5, float("nan")).holds
    assert unmeasured("peers", "needs --peers").holds is None
