"""Answers to exercises, and the two tests that every lesson's checks are put to."""

from dataclasses import replace
from functools import cache
from unittest import mock

import pytest
import torch

from minidiff import check as engine
from minidiff.check import check, exercises


def one_of(number, **answers):
    """(the exercise's number, its right answers but for these)"""
    lesson = int(number.split(".")[0])
    return number, exercises(lesson)[number].reference | answers


@cache
def drawn_once(number):
    """The exercise, which draws its cases once a seed."""
    exercise = exercises(int(number.split(".")[0]))[number]
    draw = cache(lambda seed: exercise.cases(torch.Generator().manual_seed(seed)))
    return replace(exercise, cases=lambda generator: draw(generator.initial_seed()))


@cache
def called_once(number):
    """`engine.call`, which calls reference and mistakes once a case; what is tried, whose printing counts, as often as
    it is asked to."""
    call, known = engine.call, {}

    def called(answers, case, paper=None):
        if paper is not None:
            return call(answers, case, paper)
        key = answers[case.name.partition(".")[0]], id(case)  # drawn_once keeps the cases
        if key not in known:
            try:
                known[key] = call(answers, case), None
            except engine.Verdict as verdict:
                known[key] = None, verdict.args
        result, verdict = known[key]
        if verdict:
            raise engine.Verdict(*verdict)
        return result

    return called


def tried(number, *answers, seed):
    """check(...), for many answers to one exercise: each is compared with the same reference and mistakes."""
    with mock.patch.multiple(engine, _exercise=drawn_once, call=called_once(number)):
        return check(number, *answers, seed=seed)


def seeds(n):
    """A test is run with one seed, and with the others where there is time."""
    others = pytest.param(range(1, n), marks=pytest.mark.slow, id="other seeds")
    return pytest.mark.parametrize("seeds", [pytest.param(range(1), id="one seed"), others])


def rejected(wrong):
    """A test that none of these passes, and that each is told to be wrong rather than said to have failed."""

    @seeds(3)
    @pytest.mark.parametrize("number, answers", wrong.values(), ids=wrong)
    def test(number, answers, seeds):
        for seed in seeds:
            result = tried(number, *answers.values(), seed=seed)
            assert result.status == "not right yet" and "itself failed" not in result.message

    return test


def accepted(right):
    """A test that all of these pass."""

    @seeds(5)
    @pytest.mark.parametrize("number, answers", right.values(), ids=right)
    def test(number, answers, seeds):
        for seed in seeds:
            assert tried(number, *answers.values(), seed=seed)

    return test
