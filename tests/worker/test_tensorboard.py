"""Event files for TensorBoard, read back as TensorBoard reads them."""

import io
import json
import resource
import struct

import pytest
import typer
from PIL import Image

from service.cli import setup
from tests.worker.builders import make_job
from worker.settings import Settings
from worker.tensorboard import Board, remove_board

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
START = event_pb2.SessionLog.START


@pytest.fixture
def settings(home):
    return Settings(home=home, tensorboard=True)


@pytest.fixture
def job(store):
    return make_job(store)


def begin(job, number, start):
    epoch = job.path / "epochs" / f"{number:04d}"
    epoch.mkdir(parents=True)
    (epoch / "epoch.json").write_text(json.dumps({"start_step": start}))


def events(home, job):
    """All events, file by file in the order of their names: length, checksum, data, checksum."""
    for path in sorted((home / "tensorboard" / job.id).iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[12 + length + 4 :]


def shown(home, job, tag):
    """What TensorBoard shows of a tag: (step, value), without what a later session purges."""
    points = []
    for event in events(home, job):
        if event.session_log.status == START:
            points = [point for point in points if point[0] < event.step]
        points += [(event.step, value) for value in event.summary.value if value.tag == tag]
    return points


def test_nothing_is_written_unless_it_is_asked_for(home, job):
    assert Board.open(Settings(home=home), job) is None
    assert not (home / "tensorboard").exists()


def test_numbers_of_rows_become_scalars(settings, home, job):
    begin(job, 1, 0)
    board = Board.open(settings, job)
    for step in (10, 20):
        board.row({"step": step, "loss": step / 4, "gap": None, "at": "now", "histogram": [1.0]})
    board.close()
    assert [(step, v.simple_value) for step, v in shown(home, job, "loss")] == [(10, 2.5), (20, 5)]
    assert not shown(home, job, "gap") + shown(home, job, "at") + shown(home, job, "step")


def test_it_can_be_watched_while_it_is_written(settings, home, job):
    begin(job, 1, 0)
    board = Board.open(settings, job)
    board.row({"step": 10, "loss": 1.0})
    assert shown(home, job, "loss")
    board.close()


def test_an_attempt_that_goes_on_shows_no_step_twice(settings, home, job):
    for number, start, steps in ((1, 0, (10, 20, 30)), (2, 20, (30, 40)), (3, 40, (50,))):
        begin(job, number, start)
        board = Board.open(settings, job)
        for step in steps:
            board.row({"step": step, "loss": float(number)})
        board.close()
    points = [(step, value.simple_value) for step, value in shown(home, job, "loss")]
    assert points == [(10, 1), (20, 1), (30, 2), (40, 2), (50, 3)]


def test_previews_become_images(settings, home, job):
    begin(job, 1, 0)
    buffer = io.BytesIO()
    Image.new("LA", (20, 10), (200, 255)).save(buffer, "PNG")
    board = Board.open(settings, job)
    board.preview(30, buffer.getvalue())
    board.close()
    ((step, value),) = shown(home, job, "preview")
    with Image.open(io.BytesIO(value.image.encoded_image_string)) as image:
        assert (step, image.size, image.getpixel((0, 0))) == (30, (20, 10), (200, 200, 200))


def test_diagnoses_are_told_when_they_change(settings, home, job):
    begin(job, 1, 0)
    board = Board.open(settings, job)
    for step, codes in ((1, []), (2, ["mode_collapse"]), (3, ["mode_collapse"]), (4, [])):
        board.row({"step": step, "diagnoses": codes})
    board.close()
    told = shown(home, job, "diagnoses/text_summary")
    assert [(step, v.tensor.string_val[0]) for step, v in told] == [
        (2, b"mode_collapse"),
        (4, b"none any more"),
    ]


@pytest.mark.parametrize("room_bytes", [0, 10])
def test_a_disk_that_fails_ends_the_board_and_nothing_else(settings, home, job, caplog, room_bytes):
    begin(job, 1, 0)
    board = Board.open(settings, job)
    (path,) = (home / "tensorboard" / job.id).iterdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room_bytes, limits[1]))
    try:
        board.row({"step": 10, "loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    board.row({"step": 20, "loss": 1.0})
    board.close()
    assert caplog.text.count("no more event files") == 1


def test_a_place_that_cannot_be_made_is_no_reason_not_to_train(settings, home, job, caplog):
    (home / "tensorboard").write_text("in the way")
    assert Board.open(settings, job) is None
    assert "goes without event files" in caplog.text


def test_the_board_of_a_job_can_be_removed(settings, home, job):
    remove_board(home, job.id)
    Board.open(settings, job).close()
    remove_board(home, job.id)
    assert not list((home / "tensorboard").iterdir())


def test_without_the_library_nothing_that_trains_starts(settings, monkeypatch, capsys):
    assert setup.training_settings(settings) is settings
    monkeypatch.setattr(setup, "find_spec", lambda name: None)
    with pytest.raises(typer.Exit):
        setup.training_settings(settings)
    assert "ringside[tensorboard]" in capsys.readouterr().err
    setup.training_settings(settings.model_copy(update={"tensorboard": False}))
