"""python -m minidiff.check NOTEBOOK ...: who has passed what, for whoever teaches."""

import json
import os
import random
import re
import time
from collections import Counter
from itertools import groupby
from pathlib import Path

from minidiff.cli import Parser, number

# Run after the reader's own cells, so that what counts is what stands in the notebook now, not what a cell once said.
LAST_CELL = """
from IPython.display import display
from minidiff.check import check, exercises
results = [check(number, seed={seed}) for lesson in {lessons} for number in exercises(lesson)]
display({{"application/json": {{r.number: {{"status": r.status, "message": r.message}} for r in results}}}}, raw=True)
"""
SHORT = {"passed": "passed", "not right yet": "wrong", "to do": "to do"}


def examine(path: Path, timeout: float, seed: int) -> dict:
    """Run one notebook in a fresh kernel; it is not changed. Its "exercises" by number, "seconds" and "errors".

    What is wrong with the notebook itself, such as no exercises in it, is among the errors; nothing is raised.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, DeadKernelError

    start, found, errors = time.perf_counter(), {}, []
    try:
        notebook = nbformat.read(path, as_version=4)
        code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        lessons = sorted({int(lesson) for lesson in re.findall(r"""\bcheck\(\s*["'](\d+)\.\d+["']""", code)})
        if not lessons:
            raise ValueError('no check("...") of an exercise in it')
        notebook.cells.append(nbformat.v4.new_code_cell(LAST_CELL.format(lessons=lessons, seed=seed)))
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=timeout,
            interrupt_on_timeout=True,
            allow_errors=True,
            extra_arguments=["--IPKernelApp.log_level=40"],
            resources={"metadata": {"path": path.parent}},
        )
        client.execute(env=os.environ | {"MINIDIFF_HOME": ""})  # these answers are not whoever grades them's
    except (DeadKernelError, CellControlSignal) as error:
        errors.append(type(error).__name__)
    except nbformat.reader.NotJSONError:
        errors.append("no notebook: the file is empty, cut off, or of another kind")
    except Exception as error:  # what nbformat raises for JSON that is no notebook
        errors.append(" ".join(str(error).split())[:200])
    else:
        for i, cell in enumerate(notebook.cells):
            for output in cell.get("outputs", []):
                if output.output_type == "error":
                    errors.append(f"cell {i}: {output.ename}: {' '.join(output.evalue.split())[:100]}")
        for output in notebook.cells[-1].get("outputs", []):
            found |= output.get("data", {}).get("application/json", {})
    return {
        "notebook": str(path),
        "exercises": found,
        "seconds": round(time.perf_counter() - start, 1),
        "errors": errors,
    }


def table(reports: list[dict]) -> str:
    """For each lesson a row a notebook: each exercise, how many passed, how long it ran, and the first error.

    A notebook without exercises is in the first of them.
    """
    numbers = sorted({n for r in reports for n in r["exercises"]}, key=lambda n: [int(part) for part in n.split(".")])
    lessons = [list(group) for _, group in groupby(numbers, key=lambda n: n.split(".")[0])] or [[]]
    tables = []
    for lesson in lessons:
        rows = [["notebook", *lesson, "passed", "time", "errors"]]
        for r in reports:
            status = [SHORT[r["exercises"][n]["status"]] if n in r["exercises"] else "–" for n in lesson]
            if set(status) <= {"–"} and (r["exercises"] or lesson != lessons[0]):
                continue
            more = f" (and {len(r['errors']) - 1} more)" if len(r["errors"]) > 1 else ""
            passed = f"{status.count('passed')} of {len(status) - status.count('–')}"
            rows.append([r["notebook"], *status, passed, f"{r['seconds']:.0f} s", "".join(r["errors"][:1]) + more])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        tables.append("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows))
    return "\n\n".join(tables)


def diagnoses(reports: list[dict]) -> str:
    """What was said to wrong answers, the most frequent first: "3 of 18 in 1.2: ...". No names of notebooks."""
    wrong = Counter(
        (number, "\n".join(line for line in found["message"].splitlines() if not line.startswith("It also printed")))
        for report in reports
        for number, found in report["exercises"].items()
        if found["status"] == "not right yet"
    )
    tried = Counter(n for report in reports for n, found in report["exercises"].items() if found["status"] != "to do")
    lines = [f"{count} of {tried[number]} in {number}: {said}" for (number, said), count in wrong.most_common()]
    return "\n".join(line.replace("\n", " ") for line in lines)


def main(argv: list[str] | None = None) -> None:
    parser = Parser(
        "python -m minidiff.check",
        description="Run exercise notebooks in fresh kernels and show who has passed what. Nothing is written to them.",
        epilog="example: python -m minidiff.check handed_in/ --json results.json",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="NOTEBOOK", help="a notebook, or a folder of notebooks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results, with each check's message")
    parser.add_argument("--timeout", type=number(float, 1), default=120, help="seconds a cell may take (%(default)s)")
    args = parser.parse_args(argv)

    paths = []
    for path in args.paths:
        if not path.exists():
            raise ValueError(f"got {path}, expected a notebook or a folder that exists")
        inside = sorted(p for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
        if path.is_dir() and not inside:
            raise ValueError(f"got {path}, expected a folder with notebooks (*.ipynb) in it")
        paths += inside if path.is_dir() else [path]
    try:
        import nbclient  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError('nbclient, which runs notebooks, is missing; run: pip install -e ".[lab]"') from None

    from tqdm import tqdm

    seed = random.SystemRandom().randrange(2**31)  # one for all, so that equal answers are told the same
    reports = [examine(path, args.timeout, seed) for path in tqdm(paths, unit="notebook", leave=False, disable=None)]
    print(table(reports))
    if said := diagnoses(reports):
        print("", said, sep="\n")
    if args.json:
        args.json.write_text(json.dumps(reports, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
