"""``GET /jobs/{id}/report``: one page with all that a reviewer asks for, nothing from outside."""

import base64
import io
import json
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from ganmodels.referee.findings import Figure
from service.report.tables import with_error
from tests.service.checks import assert_problem
from tests.service.conftest import Trained
from tests.service.histories import DIAGNOSIS, checkpoint, collapsed_job, row, write_epoch
from tests.worker.builders import make_job
from worker.store import Store
from worker.store.job import Job
from worker.store.records import JobError, JobRecord

SCRIPT = "<script>alert('x')</script>"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a page is made of; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(client: TestClient, store: Store) -> str:
    return get(client, collapsed_job(store, model="report-model"))


@pytest.fixture(scope="module")
def page(report: str) -> Page:
    return Page(report)


def get(client: TestClient, job: Job) -> str:
    answer = client.get(f"/jobs/{job.id}/report")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_it_says_what_happened_and_what_to_do(page: Page) -> None:
    for text in (
        "report-model",
        "verdict at step 2,000: failing",
        "mode collapse",
        DIAGNOSIS["detail"],
        "Since step 1,200",
        "Confidence 0.93",
        "groups covered 0.2",
        DIAGNOSIS["remedy"]["detail"],
        "The best checkpoint is that of step 1,000 by frechet (10 ± 0.4)",
    ):
        assert text in page.text, text


def test_a_remedy_can_be_copied_as_a_patch(page: Page) -> None:
    (patch,) = [text for text in page.words if text.startswith("{") and "r1" in text]
    assert json.loads(patch) == DIAGNOSIS["remedy"]["patch"]


def test_it_says_what_was_trained(page: Page) -> None:
    for text in ("recipe cgan", "seed 0", "dcgan (generator width 4", "precision float32"):
        assert text in page.text, text
    for text in ("names digits", "count 1,797, 179 held out", "classes 10: 0, 1, 2"):
        assert text in page.text, text


def test_figures_have_errors_floors_and_a_protocol(page: Page) -> None:
    assert "frechet 10.00 ± 0.42 20.00 ± 0.42 1.5 lower" in page.text
    assert "500 items (average weights, seed 0) against 359 held-out items" in page.text
    assert "support size ≥ 5000" in page.text
    assert "Without modes: no labels" in page.text


def test_the_best_checkpoint_is_marked(page: Page) -> None:
    assert ":1000 best " in page.text
    assert ":2000 best " not in page.text


def test_all_plots_and_pictures_are_in_the_page(page: Page) -> None:
    drawn = [element for element in page.attributes("svg") if element.get("role") == "img"]
    assert [element["aria-label"] for element in drawn] == [
        "Losses and gradients",
        "Balance of the two players",
        "Diversity of generated items",
        "Quality of generated items",
        "Scores of the discriminator",
    ]
    assert len(page.attributes("img")) == 3
    for image in page.attributes("img"):
        assert str(image["src"]).startswith("data:image/png;base64,")
        assert image["alt"]


def test_it_loads_nothing_and_runs_nothing(report: str, page: Page) -> None:
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"|base64,[^"]*"', "", report)
    assert not re.search(r"https?:|url\((?!#)|@import|//[a-z]", without_names)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "xlink:href", "src"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:image/png;base64,"))


def test_a_browser_is_told_to_load_nothing(client: TestClient, trained: Trained) -> None:
    answer = client.get(f"/jobs/{trained.points}/report")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert answer.headers["cache-control"] == "no-store"


def test_ids_are_unique_and_references_lead_somewhere(report: str, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', report)
    assert used
    assert set(used) <= set(ids)


def test_tables_have_headers_and_captions(page: Page) -> None:
    assert len(page.attributes("caption")) == len(page.attributes("table"))
    assert {header.get("scope") for header in page.attributes("th")} == {"row", "col"}


def test_its_command_asks_for_the_same_training(client: TestClient, page: Page) -> None:
    (command,) = [text for text in page.words if text.startswith("curl")]
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["curl", "-s", "$RINGSIDE_URL/train"]
    body = json.loads(words[words.index("-d") + 1])
    plan = client.post("/train?dry_run=true", json=body)
    assert plan.status_code == 200, plan.text
    job = re.search("job_[0-9a-z]{26}", page.text)
    assert job
    assert plan.json()["config"] == client.get(f"/jobs/{job[0]}/config").json()


def test_the_command_says_what_it_leaves_out(client: TestClient, store: Store) -> None:
    job = collapsed_job(store)
    assert "rolled back" not in Page(get(client, job)).text
    with job.locked() as record:
        job.change(record, rollbacks=2)
    text = Page(get(client, job)).text
    assert "rolled back 2 times, and each time both learning rates were halved" in text
    assert "were changed when it was resumed" not in text


@pytest.mark.parametrize("is_over", [True, False])
def test_a_resume_that_changed_what_was_asked_for_is_told(
    client: TestClient, store: Store, is_over: bool
) -> None:
    job = make_job(store)
    epoch = write_epoch(job, 1, 0, [row(100)])
    checkpoint(job, epoch, 100)
    with job.locked() as record:
        job.end(record, "succeeded" if is_over else "failed")
        job.resume(job.record())
    assert ("were changed when it was resumed" in Page(get(client, job)).text) == is_over
    schedule = job.config().schedule.model_copy(update={"steps": 500})
    job.replace_config(job.config().model_copy(update={"schedule": schedule}))
    assert "were changed when it was resumed" in Page(get(client, job)).text


def test_a_queued_job_has_a_report(client: TestClient, store: Store) -> None:
    text = Page(get(client, make_job(store))).text
    for part in ("waits for a worker", "no metrics yet", "no previews yet", "There are none yet"):
        assert part in text, part


@pytest.mark.parametrize("name", ["plain", "points"])
def test_a_trained_job_has_a_report(client: TestClient, trained: Trained, name: str) -> None:
    job = client.get(f"/jobs/{getattr(trained, name)}").json()
    page = Page(client.get(job["links"]["report"]).text)
    assert "The training ran to its end: 20 of 20 steps." in page.text
    assert "model.version" in page.text


def test_what_users_wrote_stays_text(client: TestClient, store: Store) -> None:
    config = make_job(store).config()
    space = config.space.model_copy(update={"classes": (SCRIPT, *config.space.classes[1:])})
    config = config.model_copy(update={"space": space})
    error = JobError(code=SCRIPT, detail=SCRIPT, log_tail=(SCRIPT, "</pre>"))
    record = JobRecord(
        recipe=SCRIPT, model=SCRIPT, status="failed", error=error, warnings=({"detail": SCRIPT},)
    )
    job = store.jobs.create(config, record)
    job.events.append("job.warning", {"code": SCRIPT, "step": 100, "detail": SCRIPT})
    job.events.append("job.status", {SCRIPT: SCRIPT})
    epoch = write_epoch(job, 1, 0, [row(100)])
    patched = {
        "code": SCRIPT,
        "detail": SCRIPT,
        "remedy": {"detail": SCRIPT, "patch": {"a": SCRIPT}},
    }
    health = {"verdict": SCRIPT, "diagnoses": [{**patched, "evidence": {SCRIPT: SCRIPT}}]}
    (epoch / "progress.json").write_text(json.dumps({"step": 100, "health": health}))
    report = get(client, job)
    assert "<script" not in report
    assert Page(report).text.count("alert('x')") > 10


@pytest.mark.parametrize("health", [{}, {"verdict": "healthy"}, {"diagnoses": [{}, "odd"]}])
def test_whatever_the_referee_left_out_there_is_a_report(
    client: TestClient, store: Store, health: dict[str, Any]
) -> None:
    job = make_job(store)
    epoch = write_epoch(job, 1, 0, [])
    (epoch / "progress.json").write_text(json.dumps({"step": 5, "health": health}))
    assert "Verdict" in get(client, job)


def test_a_job_whose_dataset_is_gone_has_a_report(client: TestClient, store: Store) -> None:
    job = make_job(store)
    job.replace_config(job.config().model_copy(update={"dataset": "ds_" + "0" * 32}))
    assert "deleted or damaged since" in Page(get(client, job)).text


def pictures_of_augmented(client: TestClient, job: Job) -> list[bytes]:
    """What the report shows of augmented images."""
    page = Page(client.get(f"/jobs/{job.id}/report").raise_for_status().text)
    return [
        base64.b64decode(str(image["src"]).partition(",")[2])
        for image in page.attributes("img")
        if "discriminator sees" in str(image["alt"])
    ]


@pytest.mark.parametrize(("strength", "most"), [(0.0, 0), (0.8, 255)])
def test_it_shows_what_the_discriminator_sees_of_real_images(
    client: TestClient, store: Store, strength: float, most: int
) -> None:
    """As strongly as the newest metrics say: at a strength of 0, the images themselves."""
    job = make_job(store, "ada")
    epoch = write_epoch(job, 1, 0, [row(2)])
    newest = {"step": 2, "metrics": {"augmentation_strength": strength}}
    (epoch / "progress.json").write_text(json.dumps(newest))
    (png,) = pictures_of_augmented(client, job)
    rows = np.asarray(Image.open(io.BytesIO(png))).astype(int)
    height = job.config().space.height + 2
    changed = np.abs(rows[height : 2 * height] - rows[:height]).max()
    assert (changed > 0) == (strength > 0)
    assert changed <= most


@pytest.mark.parametrize("recipe", ["dcgan", "points", "simgan"])
def test_what_is_not_augmented_is_not_shown_so(
    client: TestClient, store: Store, recipe: str
) -> None:
    assert pictures_of_augmented(client, make_job(store, recipe)) == []


def test_damaged_checkpoints_are_left_out(client: TestClient, store: Store) -> None:
    job = make_job(store)
    epoch = write_epoch(job, 1, 0, [])
    for step in (100, 200):
        checkpoint(job, epoch, step)
    (epoch / "checkpoints" / "step-000000200" / "manifest.json").write_text("{}")
    report = get(client, job)
    assert f"{job.id}:100" in report
    assert f"{job.id}:200" not in report


def test_there_is_none_of_an_unknown_job(client: TestClient) -> None:
    assert_problem(client.get(f"/jobs/job_{'0' * 26}/report"), 404, "job-not-found")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.3456, 0.42, "12.35 ± 0.42"),
        (12345.6, 131.0, "12346 ± 131"),
        (0.0123456, 0.00042, "0.01235 ± 0.00042"),
        (12.3456, None, "12.35"),
        (10.0, 0.0, "10"),
        (14_950.0, None, "14,950"),
    ],
)
def test_a_value_has_as_many_digits_as_its_error_allows(
    value: float, error: float | None, text: str
) -> None:
    assert with_error(Figure(value=value, standard_error=error, better="lower")) == text
