"""Which format an answer has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.negotiation import choose_format
from service.problems import Problem

OFFERED = {"png": "image/png", "webp": "image/webp", "json": "application/json"}


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "png"),
        ("", "png"),
        ("*/*", "png"),
        ("image/*", "png"),
        ("image/webp", "webp"),
        ("IMAGE/WEBP", "webp"),
        ("image/webp, image/png", "webp"),
        ("image/png;q=0.5, image/webp;q=0.9", "webp"),
        ("image/png;q=0, */*", "webp"),
        ("image/*;q=0, */*", "json"),
        ("*/*;q=0.1, application/json", "json"),
        ("text/html, */*;q=0.8", "png"),
        ("application/json;charset=utf-8", "json"),
        ("image/webp ; q=0.2 , application/json ; q=0.1", "webp"),
        ("nonsense, image/webp", "webp"),
    ],
)
def test_the_most_exact_range_decides(accept: str | None, chosen: str) -> None:
    assert choose_format(None, accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "*/*;q=0", "*/*;q=nan", "/", ";"])
def test_nothing_acceptable_is_a_problem(accept: str) -> None:
    with pytest.raises(Problem) as caught:
        choose_format(None, accept, OFFERED)
    assert caught.value.code == "not-acceptable"


def test_a_named_format_wins_over_accept() -> None:
    assert choose_format("json", "image/png", OFFERED) == "json"


@given(st.text(max_size=200))
def test_any_accept_is_answered(accept: str) -> None:
    try:
        assert choose_format(None, accept, OFFERED) in OFFERED
    except Problem as problem:
        assert problem.status == 406
