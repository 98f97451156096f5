"""From what is raised below to what clients see."""

import errno

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from service.problems import KINDS, Problem
from service.refusals import settings_problem, storage_problem, validation_problem


class Nested(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    steps: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    schedule: Nested = Nested()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_no_bug(number: int) -> None:
    problem = storage_problem(OSError(number, "/secret/path"))
    assert (problem.status, problem.code) == (507, "storage-full")
    assert "secret" not in str(problem.body("req_1"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO])
def test_a_disk_that_fails_is_no_bug(number: int) -> None:
    problem = storage_problem(OSError(number, "/secret/path"))
    assert (problem.status, problem.code) == (503, "storage-unavailable")
    assert "secret" not in str(problem.body("req_1"))


def test_another_failure_below_is_a_bug() -> None:
    assert storage_problem(OSError(errno.EINVAL, "/secret/path")).status == 500


def test_every_code_has_its_status_and_title() -> None:
    for code, kind in KINDS.items():
        body = Problem(code, "detail").body("req_1")
        assert (body["status"], body["title"]) == (kind.status, kind.title)
        assert body["type"] == f"/problems/{code}"


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"schedule": {"steps": "secret"}}, "/schedule/steps"),
        ({"schedule": {"a/b~c": 1}}, "/schedule/a~1b~0c"),
        ({"schedule": {"\ud800": 1}}, "/schedule"),
        ({"x" * 1000: 1}, "/" + "x" * 100),
    ],
)
def test_pointers_are_escaped_short_and_without_the_value(value: object, pointer: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(value)
    problem = settings_problem(caught.value)
    assert problem.errors[0].pointer == pointer
    assert "secret" not in str(problem.body("req_1"))


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("game/network/resnet/width", "/game/network/width"),
        ("game/penalties/12/r1/gamma", "/game/penalties/12/gamma"),
        ("optimisation/decay/linear/start", "/optimisation/decay/start"),
        ("schedule/hinge", "/schedule/hinge"),
    ],
)
def test_tags_of_unions_are_no_part_of_a_pointer(path: str, pointer: str) -> None:
    entry = {"loc": ("body", *path.split("/")), "type": "missing", "msg": "is missing"}
    assert validation_problem([entry]).errors[0].pointer == pointer
