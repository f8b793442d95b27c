"""Answers to exercises, and the two tests that every lesson's checks are put to."""

import pytest

from minidiff.check import check, exercises


def one_of(number, **answers):
    """(the exercise's number, its right answers but for these)"""
    lesson = int(number.split(".")[0])
    return number, exercises(lesson)[number].reference | answers


def rejected(wrong):
    """A test that none of these passes, and that each is told to be wrong rather than said to have failed."""

    @pytest.mark.parametrize("number, answers", wrong.values(), ids=wrong)
    def test(number, answers):
        for seed in range(3):
            result = check(number, *answers.values(), seed=seed)
            assert result.status == "not right yet" and "itself failed" not in result.message

    return test


def accepted(right):
    """A test that all of these pass."""

    @pytest.mark.parametrize("number, answers", right.values(), ids=right)
    def test(number, answers):
        for seed in range(5):
            assert check(number, *answers.values(), seed=seed)

    return test
