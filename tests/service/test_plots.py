"""``/jobs/{id}/plots``: what a training looks like."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from starlette.testclient import TestClient

from ganmodels.spaces import ImageSpace, PointSpace
from service.plots.filmstrip import choose_steps, filmstrip
from service.plots.history import read_history
from service.plots.rows import Rows
from service.plots.spans import Span, read_spans
from tests.service.checks import assert_problem
from tests.service.histories import (
    EVERY,
    STEPS,
    collapsed_job,
    evaluation,
    previews,
    row,
    write_epoch,
)
from tests.worker.builders import make_job
from worker.store import Store
from worker.store.events import Event
from worker.store.job import Job

PLOTS = ("losses", "balance", "diversity", "quality", "scores")


@pytest.fixture(scope="module")
def collapsed(client: TestClient, store: Store) -> Job:
    return collapsed_job(store)


@pytest.fixture
def queued(client: TestClient, store: Store) -> Job:
    return make_job(store)


def get(client: TestClient, job: Job, name: str, **headers: str) -> Any:
    return client.get(f"/jobs/{job.id}/plots/{name}", headers=headers)


def svg_text(client: TestClient, job: Job, name: str) -> str:
    answer = get(client, job, f"{name}.svg")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/svg+xml"
    texts = ElementTree.fromstring(answer.text).iter("{http://www.w3.org/2000/svg}text")
    return "\n".join("".join(text.itertext()) for text in texts)


@pytest.mark.parametrize("name", ["losses", "diversity"])
def test_a_plot_is_a_picture_with_something_on_it(
    client: TestClient, collapsed: Job, name: str
) -> None:
    answer = get(client, collapsed, f"{name}.png")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        colours = picture.convert("RGB").getcolors(2**24) or []
        assert picture.width > 1_000
    assert len(colours) > 50


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("losses", ["discriminator", "generator", "gradient norm", "training step", "images seen"]),
        ("balance", ["held-out items", "generated items", "as good as a coin", "mean logit"]),
        ("diversity", ["as diverse as reals", "reals in groups with fakes", "share of fakes"]),
        ("quality", ["generated to training items", "frechet", "0.5 is perfect", "500 items"]),
        ("scores", ["training items", "held-out items", "generated items", "median"]),
    ],
)
def test_a_plot_names_what_it_shows(
    client: TestClient, collapsed: Job, name: str, texts: list[str]
) -> None:
    drawn = svg_text(client, collapsed, name)
    for text in texts:
        assert text in drawn


@pytest.mark.parametrize("name", ["losses", "quality"])
def test_warnings_and_the_best_checkpoint_are_marked(
    client: TestClient, collapsed: Job, name: str
) -> None:
    drawn = svg_text(client, collapsed, name)
    assert "mode_collapse" in drawn
    assert "best checkpoint: 1,000" in drawn


@pytest.mark.parametrize("name", ["diversity.svg", "losses.png", "filmstrip.png"])
def test_equal_histories_give_equal_bytes(client: TestClient, collapsed: Job, name: str) -> None:
    assert get(client, collapsed, name).content == get(client, collapsed, name).content


@pytest.mark.parametrize("name", ["scores.svg", "filmstrip.png", "neighbours.png"])
def test_a_picture_is_not_drawn_again_until_something_has_changed(
    client: TestClient, store: Store, name: str
) -> None:
    job = collapsed_job(store)
    first = get(client, job, name)
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    again = get(client, job, name, **{"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    evaluation(job, STEPS - EVERY, frechet=3.0)
    changed = get(client, job, name, **{"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_formats_and_names_have_etags_of_their_own(client: TestClient, collapsed: Job) -> None:
    names = ["scores.svg", "scores.png", "filmstrip.png", "neighbours.png"]
    assert len({get(client, collapsed, name).headers["etag"] for name in names}) == len(names)


@pytest.mark.parametrize("name", PLOTS)
def test_a_queued_job_has_nothing_to_draw_yet(client: TestClient, queued: Job, name: str) -> None:
    for format in ("png", "svg"):
        assert_problem(get(client, queued, f"{name}.{format}"), 404, "not-found")


@pytest.mark.parametrize("name", ["scores.png", "neighbours.png", "quality.svg"])
def test_what_needs_an_evaluation_says_how_to_get_one(
    client: TestClient, queued: Job, name: str
) -> None:
    body = assert_problem(get(client, queued, name), 404, "not-found")
    assert f"POST /jobs/{queued.id}/evaluate" in body["detail"]


def test_the_list_has_what_there_is(client: TestClient, queued: Job, collapsed: Job) -> None:
    assert client.get(f"/jobs/{queued.id}/plots").json()["data"] == []
    listed = client.get(f"/jobs/{collapsed.id}/plots").json()["data"]
    assert [entry["name"] for entry in listed] == [*PLOTS, "filmstrip", "neighbours"]
    addresses = [address for entry in listed for address in entry["href"].values()]
    for address in addresses[-4:]:
        assert client.get(address).status_code == 200


@pytest.mark.parametrize("name", ["lossess.png", "losses.gif", "filmstrip.svg", "..%2f.png"])
def test_other_names_and_formats_are_refused(client: TestClient, collapsed: Job, name: str) -> None:
    assert get(client, collapsed, name).status_code in (404, 422)


def test_rows_from_before_the_referee_are_drawn(client: TestClient, queued: Job) -> None:
    old = ("step", "images_seen", "discriminator_loss", "generator_loss", "real_logit")
    write_epoch(queued, 1, 0, [{k: row(s)[k] for k in old} for s in range(100, 500, 100)])
    assert "discriminator, each reading" in svg_text(client, queued, "losses")
    assert "held-out" not in svg_text(client, queued, "balance")
    assert_problem(get(client, queued, "diversity.svg"), 404, "not-found")


@pytest.mark.parametrize("value", [None, "text", 1e300, -3e38])
def test_whatever_is_in_rows_gives_a_picture(
    client: TestClient, queued: Job, value: object
) -> None:
    odd = dict.fromkeys(row(EVERY), value)
    rows = [row(EVERY), {**odd, "step": 2 * EVERY}, row(3 * EVERY)]
    write_epoch(queued, 1, 0, rows)
    for name in ("losses", "diversity"):
        assert get(client, queued, f"{name}.svg").status_code == 200


def test_one_row_is_enough(client: TestClient, queued: Job) -> None:
    write_epoch(queued, 1, 0, [row(EVERY)])
    for name in ("losses", "balance", "diversity", "quality"):
        assert get(client, queued, f"{name}.svg").status_code == 200


def test_damaged_evaluations_hide_nothing_else(client: TestClient, store: Store) -> None:
    job = collapsed_job(store)
    for number, text in enumerate(("", "{}", '{"id": 3}', "\x00")):
        directory = job.path / "evaluations" / f"ev_{number:031d}f"
        directory.mkdir()
        (directory / "evaluation.json").write_text(text)
    (job.path / "evaluations" / f"ev_{'e' * 32}").mkdir()
    assert "frechet" in svg_text(client, job, "quality")
    assert "median" in svg_text(client, job, "scores")


def test_what_a_later_attempt_made_void_is_not_drawn(store: Store) -> None:
    job = make_job(store)
    write_epoch(job, 1, 0, [row(step) for step in (100, 200, 300)])
    job.events.append("job.warning", {"code": "oscillation", "step": 300, "since_step": 200})
    write_epoch(job, 2, 200, [row(300), row(400)])
    history = read_history(job)
    assert history.rows.steps.tolist() == [100, 200, 300, 400]
    assert history.spans == ()


def events(*entries: tuple[str, dict[str, Any]]) -> Iterator[Event]:
    for number, (type_, data) in enumerate(entries):
        yield Event(number, type_, "2026-01-01T00:00:00Z", data)


def warning(code: str, step: int, since: int | None = None) -> tuple[str, dict[str, Any]]:
    return "job.warning", {"code": code, "step": step, "since_step": since}


def ended(code: str) -> tuple[str, dict[str, Any]]:
    return "job.warning_ended", {"code": code}


def read(step: int) -> tuple[str, dict[str, Any]]:
    return "job.metrics", {"step": step}


def test_a_warning_spans_from_where_it_began_to_where_it_ended() -> None:
    told = events(
        *(read(300), warning("a", 300, 200), read(400), warning("b", 400)),
        *(read(500), ended("a"), read(700), warning("a", 700)),
    )
    assert read_spans(told) == (
        Span("a", 200, 300, 500),
        Span("b", 400, 400, None),
        Span("a", 700, 700, None),
    )


def test_warnings_that_are_not_about_a_step_are_no_spans() -> None:
    assert read_spans(events(("job.warning", {"code": "queue-unavailable"}))) == ()


def test_an_attempt_that_goes_back_takes_back_warnings_and_ends() -> None:
    told = events(
        *(read(100), warning("a", 100), read(200), warning("b", 200), ended("a")),
        *(read(200), read(300)),
    )
    assert read_spans(told) == (Span("a", 100, 100, None),)


def test_columns_hold_numbers_or_nothing() -> None:
    rows = Rows(({"step": 1, "a": 2}, {"step": 2}, {"step": 3, "a": None}, {"step": 4, "a": "b"}))
    assert rows.has("a")
    assert not rows.has("b")
    assert str(rows.column("a").tolist()) == "[2.0, nan, nan, nan]"


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, [0]), (4, [0, 1, 2, 3]), (7, [0, 2, 4, 6]), (100, [0, 33, 66, 99])],
)
def test_the_filmstrip_shows_the_first_and_the_last_step(count: int, chosen: list[int]) -> None:
    assert choose_steps(range(count), 4) == chosen


def test_the_filmstrip_has_a_row_of_tiles_for_each_step(client: TestClient, store: Store) -> None:
    job = make_job(store)
    epoch = write_epoch(job, 1, 0, [row(EVERY)])
    sizes = []
    for steps in ([100], [200, 300]):
        previews(epoch, steps)
        answer = get(client, job, "filmstrip.png")
        with Image.open(io.BytesIO(answer.content)) as strip:
            sizes.append(strip.size)
        (epoch / "previews").rename(epoch / "previews-before") if len(sizes) == 1 else None
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_tiles_of_all_kinds_of_images_are_shown_on_white(tmp_path: Path, mode: str) -> None:
    clear = {"L": 200, "LA": (200, 0), "RGB": (9, 99, 199), "RGBA": (9, 99, 199, 0)}[mode]
    Image.new(mode, (34, 22), clear).save(tmp_path / "1.png")
    space = ImageSpace(height=10, width=16, channels=len(mode))
    strip = filmstrip({1: tmp_path / "1.png"}, space)
    tile = strip.getpixel((strip.width - 20, strip.height - 20))
    assert tile == {"L": (200,) * 3, "RGB": (9, 99, 199)}.get(mode, (255,) * 3)


def test_large_images_make_no_large_filmstrip(tmp_path: Path) -> None:
    for step in range(20):
        Image.new("L", (2050, 1024)).save(tmp_path / f"{step}.png")
    space = ImageSpace(height=1024, width=1024, channels=1)
    strip = filmstrip({step: tmp_path / f"{step}.png" for step in range(20)}, space)
    assert strip.width * strip.height < 2**20


def test_points_become_small_scatter_plots(tmp_path: Path) -> None:
    for step in range(30):
        Image.new("RGB", (512, 512), "white").save(tmp_path / f"{step}.png")
    paths = {step: tmp_path / f"{step}.png" for step in range(30)}
    strip = filmstrip(paths, PointSpace(dimensions=2))
    assert strip.width > strip.height > 500


def test_an_svg_holds_its_text_and_names_no_date(client: TestClient, collapsed: Job) -> None:
    document = get(client, collapsed, "losses.svg").text
    assert "<text" in document
    assert not re.search(r"20\d\d-\d\d-\d\d", document)
    assert "metadata" not in document


@pytest.mark.slow
def test_the_service_starts_without_matplotlib() -> None:
    code = "import sys, service.app; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "False"


def test_too_many_at_once_are_sent_away(
    client: TestClient, collapsed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import BoundedSemaphore

    from service.plots import rendering

    full = BoundedSemaphore(1)
    full.acquire()
    monkeypatch.setattr(rendering, "_places", full)
    answer = get(client, collapsed, "losses.png")
    assert_problem(answer, 503, "plots-busy")
    assert answer.headers["retry-after"]
