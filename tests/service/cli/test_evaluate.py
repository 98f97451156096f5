"""``ringside evaluate``: through Redis, the supervisor's further process, and back."""

import json

PROTOCOL = {"measures": ["frechet", "manifold"], "samples": 60, "features": "random"}


def test_a_model_is_measured_by_the_real_worker(invoke, ringside, wait_until):
    referee = {"protocol": PROTOCOL, "evaluate_every": 0}
    body = {"dataset": "digits", "recipe": "cgan", "model": "judged", "referee": referee}
    job = ringside.train(steps=6, **body)
    answer = invoke("evaluate", "judged", "--samples", 60)
    assert answer.exit_code == 0, answer.output
    rows = dict(line.split("\t", 1) for line in answer.stdout.splitlines())
    assert rows["figure"] == "value\terror\tfloor\tbetter"
    assert {"frechet", "precision", "recall"} <= rows.keys()
    assert "60 samples, random features" in answer.stderr

    def is_best() -> bool:
        (checkpoint,) = ringside.client.get(f"/jobs/{job['id']}/checkpoints").json()["data"]
        return checkpoint["best"]

    # What follows from an evaluation is done once it is over.
    wait_until(is_best, "the best checkpoint")
    shown = json.loads(invoke("evaluate", job["id"], "--json").stdout)
    assert (shown["status"], shown["step"]) == ("succeeded", 6)


def test_what_cannot_be_measured_has_an_exit_status_of_its_own(invoke, trained):
    assert invoke("evaluate", "nobody").exit_code == 3
    assert invoke("evaluate", "no/body").exit_code == 3
    refused = invoke("evaluate", "cli-digits", "--features", "inception")
    assert refused.exit_code == 1
    assert "RINGSIDE_INCEPTION_WEIGHTS" in refused.stderr
