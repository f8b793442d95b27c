"""Every named mistake is rejected with its own sentence, every reference passes."""

import pytest

from minidiff.check import check, exercises

EXERCISES = {number: exercise for lesson in (1,) for number, exercise in exercises(lesson).items()}
MISTAKES = [(number, mistake) for number, exercise in EXERCISES.items() for mistake in exercise.mistakes]


@pytest.mark.parametrize("number", EXERCISES)
def test_the_reference_passes(number):
    for seed in range(5):
        assert check(number, *EXERCISES[number].reference.values(), seed=seed)


@pytest.mark.parametrize("number, mistake", MISTAKES, ids=[f"{number} {mistake.name}" for number, mistake in MISTAKES])
def test_a_named_mistake_gets_its_own_sentence(number, mistake):
    answers = EXERCISES[number].reference | mistake.answers
    for seed in range(3):
        result = check(number, *answers.values(), seed=seed)
        assert result.status == "not right yet" and mistake.sentence in result.message
        assert "\n" not in result.message


@pytest.mark.parametrize("number", EXERCISES)
def test_there_are_enough_mistakes_and_hints(number):
    exercise = EXERCISES[number]
    assert len(exercise.mistakes) >= 5 and len(exercise.hints) >= 3
    sentences = [mistake.sentence for mistake in exercise.mistakes]
    assert len(set(sentences)) == len(sentences)
