"""Figures of digits on planted items: errors of codes, and distances within a class."""

import numpy as np
import pytest

from benchmarks.infogan import assignment_error, majority_error
from benchmarks.lab.digits import spreads

DIGITS = np.repeat(np.arange(10), 20)


def test_codes_that_are_the_digits_in_another_order_are_right():
    codes = (DIGITS * 3 + 4) % 10
    assert assignment_error(codes, DIGITS) == 0
    assert majority_error(codes, DIGITS) == 0


def test_a_code_for_two_digits_costs_one_of_them():
    codes = np.where(DIGITS == 9, 4, DIGITS)
    assert assignment_error(codes, DIGITS) == pytest.approx(0.1)


def test_two_codes_for_one_digit_cost_only_a_one_to_one_assignment():
    codes = DIGITS.copy()
    codes[:10] = 9
    codes[DIGITS == 9] = 8
    assert majority_error(codes, DIGITS) == pytest.approx(0.1)
    assert assignment_error(codes, DIGITS) == pytest.approx(0.15)


def test_one_code_for_all_is_right_about_one_digit():
    assert assignment_error(np.zeros(200, np.int64), DIGITS) == pytest.approx(0.9)


def test_spread_is_the_mean_distance_between_two_items_of_a_class():
    items = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    found = spreads(items, np.array([0, 0, 7, 7, 7]))
    assert found == pytest.approx([5.0, 0.0], abs=1e-6)


def test_spread_of_a_class_is_that_of_all_its_pairs():
    items = np.random.default_rng(0).random((30, 2, 3))
    pairs = [np.linalg.norm(items[i] - items[j]) for i in range(30) for j in range(i)]
    assert spreads(items, np.zeros(30, np.int64)) == pytest.approx([np.mean(pairs)])
