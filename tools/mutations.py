"""The mutation score of the exercise checks: which named mistakes are rejected with their own sentence.

python tools/mutations.py            prints the table and writes it into exercises/README.md
python tools/mutations.py --check    changes nothing; exit code 1 if the table there is another
"""

import contextlib
import difflib
import io
import re
import sys
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


def main(arguments):
    lessons = sorted(int(path.stem[-2:]) for path in (ROOT / "minidiff" / "checks").glob("lesson*.py"))
    text, new = README.read_text(encoding="utf-8"), table(lessons)
    wanted = PLACE.sub(lambda place: place[1] + new + place[2], text)
    if arguments == ["--check"]:
        for line in difflib.unified_diff(text.splitlines(), wanted.splitlines(), "there", "measured", n=0, lineterm=""):
            print(line)
        print("the table is as it should be" if text == wanted else "the table is stale: run tools/mutations.py")
        return text != wanted
    print(new)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
