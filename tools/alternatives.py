"""Runs the solution notebooks with every other accepted answer in place of the solution: `make checks` does, too.

python tools/alternatives.py        the lessons that changed since they were last tried; writes tests/alternatives.json
python tools/alternatives.py 01 07  these lessons

An answer that passes must not make a later cell stop, nor print something else where the notebook's output is compared
(the tag nbval-check-output). Each run takes the next other answer of every exercise.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ |= {"MINIDIFF_SCALE": "test", "MINIDIFF_HOME": ""}

import checks
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

from minidiff.checks import exercises

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "tests" / "alternatives.json"
# In the notebook's own namespace: functions that call each other find the new ones.
REPLACED = """
import sys
sys.path.insert(0, {tools!r})
import alternatives
globals().update(alternatives.others({number!r})[{i}])
"""


def others(number):
    """The other right answers to an exercise, each by name: those of its file, then those of tests/answers.jsonl."""
    exercise = checks.every()[number]
    foreign = [each for each in checks.foreign() if (each["exercise"], each["kind"]) == (number, "right")]
    given = [
        dict(zip(exercise.solution.names, checks.executed(f["code"], f["names"]).values(), strict=True))
        for f in foreign
    ]
    return [*(each.answers for each in exercise.right), *given]


def path_of(lesson):
    (path,) = (ROOT / "solutions").glob(f"{lesson:02d}_*.ipynb")
    return path


def run(lesson, i=None):
    """(what is wrong or "", {cell: what it printed}), with the i-th other answers, or with the solutions."""
    notebook = nbformat.read(path_of(lesson), as_version=4)
    for cell in notebook.cells:
        grade = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        number = grade.removeprefix("answer-").replace("-", ".")
        if i is not None and grade.startswith("answer-") and i < len(others(number)):
            cell.source += REPLACED.format(tools=str(ROOT / "tools"), number=number, i=i)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": ROOT / "solutions"}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error).strip().splitlines()[-1], {}
    return "", {
        k: "".join(output.get("text", "") for output in cell.outputs)
        for k, cell in enumerate(notebook.cells)
        if "nbval-check-output" in cell.metadata.get("tags", []) or "NBVAL_CHECK_OUTPUT" in cell.source
    }


def digest(lesson):
    """A hash of what is run: the notebook's code, and the other answers."""
    notebook = nbformat.read(path_of(lesson), as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    texts += [each.edit for exercise in exercises(lesson).values() for each in exercise.right]
    texts += [each["code"] for each in checks.foreign() if each["exercise"].split(".")[0] == str(lesson)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def kept():
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}


def main(arguments):
    before, failed = kept(), []
    stale = [lesson for lesson in checks.LESSONS if before.get(str(lesson)) != digest(lesson)]
    for lesson in [int(each) for each in arguments] or stale:
        rounds = max(len(others(number)) for number in exercises(lesson))
        _, expected = run(lesson)
        wrong = []
        for i in tqdm(range(rounds), f"lesson {lesson:02d}"):
            said, printed = run(lesson, i)
            wrong += [f"{lesson:02d}, answers {i}: {said}"] if said else []
            wrong += [
                f"{lesson:02d}, answers {i}, cell {k}: printed {text!r}, expected {expected[k]!r}"
                for k, text in printed.items()
                if text != expected[k]
            ]
        before.pop(str(lesson), None)
        if not wrong:
            before[str(lesson)] = digest(lesson)
        failed += wrong
    RESULT.write_text(json.dumps(dict(sorted(before.items())), indent=1) + "\n", encoding="utf-8")
    print("\n".join(failed) or "every accepted answer fits the rest of its notebook")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
