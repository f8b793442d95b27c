"""The mutation score of the exercise checks: which named mistakes are rejected with their own sentence.

python tools/mutations.py    prints the table and writes it into exercises/README.md
"""

import contextlib
import io
import re
from pathlib import Path

from minidiff.check import check, exercises

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "exercises" / "README.md"
PLACE = re.compile(r"(<!-- mutations -->\n).*(<!-- end -->)", re.DOTALL)


def caught(number, exercise, mistake):
    answers = (exercise.reference | mistake.answers).values()
    with contextlib.redirect_stdout(io.StringIO()):
        result = check(number, *answers, seed=0)
    return not result and mistake.sentence in result.message


def table(lessons):
    rows = [
        (number, mistake.name, caught(number, exercise, mistake))
        for lesson in lessons
        for number, exercise in exercises(lesson).items()
        for mistake in exercise.mistakes
    ]
    lines = [f"| {number} | {name} | {'yes' if seen else '**no**'} |" for number, name, seen in rows]
    score = f"{sum(seen for *_, seen in rows)} of {len(rows)} mistakes are caught, each with its own sentence."
    return "\n".join([score, "", "| exercise | mistake | caught |", "|---|---|---|", *lines, ""])


def main():
    lessons = sorted(int(path.stem[-2:]) for path in (ROOT / "minidiff" / "checks").glob("lesson*.py"))
    new = table(lessons)
    print(new)
    text = README.read_text(encoding="utf-8")
    README.write_text(PLACE.sub(lambda place: place[1] + new + place[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
