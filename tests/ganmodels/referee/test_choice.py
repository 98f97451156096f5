"""The best checkpoint is the one with the least value, told from noise."""

import pytest

from ganmodels.referee.evaluation.choice import best
from ganmodels.referee.findings import Figure


def reading(step: int, value: float, error: float | None = 0.0) -> tuple[int, Figure]:
    return step, Figure(value=value, standard_error=error, better="lower")


def test_the_least_value_is_the_best_in_whatever_order():
    readings = [reading(3, 9.0), reading(1, 5.0), reading(2, 1.0)]
    assert best(readings).step == best(readings[::-1]).step == 2
    assert best(readings).figure.value == 1


def test_the_least_is_the_best_also_within_its_error_and_says_that_it_may_be_chance():
    found = best([reading(1, 10.0, 3.0), reading(2, 11.0, 4.0)])
    assert found.step == 1
    assert "may be chance" in found.confidence


def test_without_errors_the_least_is_taken_as_it_is_and_the_later_of_equals():
    assert best([reading(1, 1.0, None), reading(2, 1.001, None)]).step == 1
    assert best([reading(1, 1.0, None), reading(2, 1.0, None)]).step == 2


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ([reading(7, 1.0)], "only one"),
        ([reading(1, 1.0, 0.1), reading(2, 2.0, 0.1)], "7.1 standard errors higher."),
        ([reading(1, 1.12, 0.1), reading(2, 1.0, 0.1)], "chance"),
        ([reading(1, 1.0, 0.1), reading(2, 1.01, 0.1)], "may be chance"),
        ([reading(1, 1.0, None), reading(2, 2.0, None)], "unknown error"),
    ],
)
def test_one_sentence_says_how_sure_it_is(readings, words):
    sentence = best(readings).confidence
    assert words in sentence
    assert sentence.endswith(".")


def test_nothing_to_choose_from_is_an_error():
    with pytest.raises(ValueError, match="no reading"):
        best([])
