"""The harness: what is played depends on the steps alone, and the record says all of it."""

import json

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.lab.options import Budget, Options
from benchmarks.lab.playing import Task, play
from benchmarks.lab.report import Column, Report, Row, finish, run_row
from benchmarks.referee_lab.datasets import dataset

torch.set_num_threads(1)


def steps(count):
    return Budget(count, minutes=0.0)


@pytest.fixture
def task():
    return Task("points", {"optimisation": {"batch_size": 8}}, dataset("ring"))


def points(played):
    sampler = played.sampler()
    return sampler.draw(sampler.latents(0, 0, 20), sampler.labels(0, 0, 20))


def test_the_same_steps_and_seed_give_the_same_samples(task):
    first, again, other = (points(play(task, seed, steps(4))) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_looking_on_the_way_changes_nothing(task):
    seen = []
    watched = play(task, 1, steps(6), lambda played: seen.append(played.steps), looks=3)
    assert seen == [2, 4, 6]
    assert np.array_equal(points(watched), points(play(task, 1, steps(6))))


def test_minutes_become_steps_for_which_the_decay_is_set(task):
    played = play(task, 0, Budget(None, minutes=0.01))
    assert played.steps == played.config.schedule.steps == played.match.step
    assert played.steps > 1
    assert played.facts()["images"] == 8 * played.steps


@pytest.fixture
def report(task):
    played = play(task, 3, steps(2))
    rows = [
        run_row("points", 3, played, {"modes": 7}),
        Row("run", "points", {"modes": 8}, seed=4),
        Row("published", "a paper", {"modes": "7.9"}),
    ]
    return Report("example", "protocol", (Column("modes", "modes", ".1f"),), rows)


def test_runs_of_one_name_are_summed_up_as_mean_and_deviation(report):
    (summary,) = report.summaries()
    assert summary.figures["modes"] == "7.5 +- 0.7"


def test_a_record_holds_command_seeds_machine_versions_and_every_figure(report, tmp_path):
    path = tmp_path / "results" / "example.json"
    options = Options(("points",), (3, 4), steps(2), 1, path, False)
    finish(report, options, Console(quiet=True))
    record = json.loads(path.read_text())
    assert record["seeds"] == [3, 4]
    assert {"command", "machine", "date"} <= record.keys()
    assert record["versions"]["torch"]
    assert record["rows"][0]["training"]["steps"] == 2
    assert [row["figures"]["modes"] for row in record["rows"]] == [7, 8, "7.9"]
