"""What is known to be right or wrong is judged so by the checks, and the exercise notebooks do what they should."""

import ast
import json
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from tool import tool

from minidiff import cli
from minidiff.checks import exercises, grading

ROOT = Path(__file__).resolve().parent.parent
UNTOUCHED = sorted((ROOT / "exercises").glob("*.ipynb"))


checks = tool("checks")
EXERCISES = checks.every()
KEPT = checks.kept()


@pytest.mark.parametrize("number", EXERCISES)
def test_a_tenth_of_what_was_tried_is_tried_again_and_all_of_what_changed(number):
    changed = KEPT.get(number, {}).get("hash") != checks.digest(number)
    counts, failed = checks.sweep(number, share=1 if changed else 0.1)
    assert counts["solution"] == 1 and failed == []
    assert not changed, "passes, but was never tried with 20 seeds and kept: run make checks"


def test_only_what_it_can_use_makes_a_result_stale(monkeypatch):
    exercise, before = EXERCISES["5.1"], checks.digest("5.1")
    for cells, same in (
        (("unrelated = 1\nprint(unrelated)",), True),
        (("import math as other", "math = other"), False),
    ):
        solution = replace(exercise.solution, earlier=exercise.solution.earlier + cells)
        monkeypatch.setattr(checks, "every", lambda solution=solution: {"5.1": replace(exercise, solution=solution)})
        assert (checks.digest("5.1") == before) == same, cells


@pytest.mark.parametrize("number", EXERCISES)
def test_there_are_enough_mistakes_and_hints(number):
    exercise = EXERCISES[number]
    assert len(exercise.mistakes) >= 5 and len(exercise.hints) >= 3
    edits = [each.edit for each in (*exercise.mistakes, *exercise.right, *exercise.wrong)]
    assert len(set(edits)) == len(edits) and all(each.sentence for each in (*exercise.mistakes, *exercise.equivalent))


@pytest.mark.parametrize("number", EXERCISES)
def test_no_sentence_holds_a_formula(number):
    sentences = [mistake.sentence for mistake in EXERCISES[number].mistakes]
    assert [text for text in sentences if re.search(r"\w\(|\*\*| [*/] |torch\.|lambda", text)] == []


def test_the_readme_counts_what_was_tried():
    assert checks.counted(KEPT) in (ROOT / "exercises" / "README.md").read_text(encoding="utf-8"), "run make checks"


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", UNTOUCHED, ids=lambda path: path.name)
def test_an_exercise_notebook_holds_no_answer_and_keeps_the_readers(path):
    cells = code_of(path)
    assert not any("### " in cell.source for cell in cells)
    answers = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    checks = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert len(answers) == len(checks) and all("raise NotImplementedError()" in cell.source for cell in answers)
    names = {node.name for cell in answers for node in ast.parse(cell.source).body}
    for cell in cells:
        if cell not in answers and "%pip" not in cell.source:
            for node in ast.walk(ast.parse(cell.source)):
                made = getattr(node, "name", None) if isinstance(node, ast.stmt) else None
                stored = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None
                imported = [a.asname or a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
                assert not names & {made, stored, *imported}, cell.source


def test_no_line_of_a_formula_begins_as_an_item_of_a_list():
    text = "As $x_t = x_0\n+ \\sigma$ and `$a`, 5 \\$:\n\n- $b$\n- c\n\n$$\na\n+ b\n$$\n```\n$a\n- b$\n```"
    tools = tool("notebooks")
    assert tools.CODE_OR_FORMULA.sub(tools.whole, text) == text.replace("x_0\n+ ", "x_0 +\n")


@pytest.mark.slow
@pytest.mark.parametrize("path", UNTOUCHED, ids=lambda path: path.name)
def test_an_untouched_exercise_notebook_runs_to_its_end(path):
    report = grading.examine(path, 120, seed=0)
    assert report["errors"] == []
    assert {found["status"] for found in report["exercises"].values()} == {"to do"}


LEARNER = [
    "import torch",
    "x = undefined",
    "def snr_db(a):\n    return 10 * (a / (1 - a)).log10()",
    'check("1.2", snr_db)',
]


HASTY = [  # whose check of 1.2 is gone
    "def cosine_betas(T, s)\n    return 1",
    "def snr_db(a):\n    while True:\n        pass",
    'check("1.1")',
]


@pytest.mark.slow
def test_the_command_shows_who_passed_what(tmp_path, capsys):
    for name, cells in {"ada": LEARNER, "hasty": HASTY}.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    (tmp_path / "broken.ipynb").write_text("{")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    before = (tmp_path / "ada.ipynb").read_bytes()
    grading.main([str(tmp_path), "--json", str(tmp_path / "all.json")])
    head, ada, broken, empty, hasty, gap, *said = capsys.readouterr().out.splitlines()
    assert head.split() == ["notebook", *exercises(1), "passed", "time", "errors"]
    assert "1 of 6" in ada and " to do  passed  to do " in ada and "cell 1: NameError" in ada
    assert "0 of 0" in broken and "no notebook" in broken and "no check(" in empty
    assert "0 of 6" in hasty and " to do  wrong   to do " in hasty and "cell 0: SyntaxError" in hasty
    (first, *_, last) = json.loads((tmp_path / "all.json").read_text())
    assert first["exercises"]["1.2"] == {"status": "passed", "message": ""}
    assert "a loop that never ends?" in last["exercises"]["1.2"]["message"]
    assert (tmp_path / "ada.ipynb").read_bytes() == before
    assert gap == "" and len(said) == 1 and said[0].startswith("1 of 2 in 1.2: snr_db(") and "ada" not in said[0]


def test_the_commonest_diagnosis_comes_first():
    def report(**messages):
        status = {"": "passed", "…": "to do"}
        found = {n[1:].replace("_", "."): (status.get(m, "not right yet"), m) for n, m in messages.items()}
        return {"exercises": {n: {"status": status, "message": message} for n, (status, message) in found.items()}}

    room = [report(e1_1="a", e1_2="minus"), report(e1_2="minus\nIt also printed 3 characters"), report(e1_2="…")]
    room += [report(e1_1="", e1_2="minus"), report(e1_2="")]
    assert grading.diagnoses(room).splitlines() == ["3 of 4 in 1.2: minus", "1 of 2 in 1.1: a"]
    assert grading.diagnoses([report(e1_1="")]) == ""


def test_each_lesson_has_a_table_of_its_own():
    def report(name, *numbers, errors=()):
        found = {number: {"status": "passed", "message": ""} for number in numbers}
        return {"notebook": name, "exercises": found, "seconds": 1.0, "errors": list(errors)}

    room = [report("ada", "1.1", "1.2"), report("bob", "10.1"), report("eve", errors=["no notebook"])]
    table = [[cell.split() for cell in part.splitlines()] for part in grading.table(room).split("\n\n")]
    assert [[row[0] for row in part] for part in table] == [["notebook", "ada", "eve"], ["notebook", "bob"]]
    assert table[0][0][1:3] == ["1.1", "1.2"] and table[1][1][1:] == ["passed", "1", "of", "1", "1", "s"]
    assert table[0][2][1:6] == ["–", "–", "0", "of", "0"]


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["nowhere.ipynb"], "got nowhere.ipynb, expected a notebook or a folder that exists"),
        (["tests"], "expected a folder with notebooks"),
        ([], "the following arguments are required: NOTEBOOK"),
        (["exercises", "--timeout", "0"], "got 0"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(arguments, text, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # cli.run sets its own
    with pytest.raises(SystemExit) as stop:
        cli.run(lambda: grading.main(arguments))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1 and text in error


def test_the_command_starts():
    command = [sys.executable, "-m", "minidiff.check", "nowhere.ipynb"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2 and "got nowhere.ipynb" in result.stderr


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """tools/notebooks.py, on a copy of what it reads and writes."""
    tools = tool("notebooks")
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    for folder in ("notebooks", "solutions", "exercises"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "INSTRUCTORS.md", tmp_path)
    return tools


def test_drift_is_seen_and_mended(tools, tmp_path, capsys):
    assert tools.main(["--check"]) == 0
    path = tmp_path / "exercises" / UNTOUCHED[0].name
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += " changed"
    nbformat.write(notebook, path)
    (tmp_path / "exercises" / "99_orphan.ipynb").write_bytes(path.read_bytes())
    assert tools.main(["--check"]) == 1
    assert f"{UNTOUCHED[0].name}: is not what" in capsys.readouterr().out
    assert tools.main([]) == 0 and tools.main(["--check"]) == 0
    assert path.read_bytes() == UNTOUCHED[0].read_bytes()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-2].source += "\nmine = 1"
    nbformat.write(notebook, path)
    work = path.read_bytes()
    assert tools.main([]) == 1 and path.read_bytes() == work
    assert "left as it is" in capsys.readouterr().out
    path.unlink()
    assert tools.main([]) == 0
    solution = tmp_path / "solutions" / UNTOUCHED[0].name
    notebook = nbformat.read(solution, as_version=4)
    notebook.cells[1].source += "\n"
    nbformat.write(notebook, solution)
    assert tools.main(["--check"]) == 1
    assert "code or weights changed since it was run" in capsys.readouterr().out
    notebook.cells[1].source = notebook.cells[1].source.removesuffix("\n")
    for was, wrong in ((tools.weights_hash("judge.safetensors"), 0), ("of other weights", 1)):
        notebook.metadata.minidiff["weights"] = {"judge.safetensors": was}
        nbformat.write(notebook, solution)
        assert tools.main(["--check"]) == wrong


def test_the_place_of_an_exercise_is_a_heading_of_its_lesson():
    """Where the solution says that it belongs to "..." in a lesson, written before the reader unfolds it there."""
    place = re.compile(r'In \[lesson \d+\]\(\.\./notebooks/(.*?)\) this belongs to "(.*)": write it')
    found = 0
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        for name, headings in place.findall("\n".join(cell.source for cell in cells)):
            lesson = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
            texts = "\n".join(cell.source for cell in lesson if cell.cell_type == "markdown")
            for heading in headings.split('" and "'):
                assert re.search(f"^#+ {re.escape(heading)}", texts, re.MULTILINE), f"{path.name}: {heading}"
                found += 1
    assert found > 30


def test_a_new_address_reaches_every_notebook_and_makes_none_stale(tools, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tools, "REPOSITORY", "https://github.com/someone/course")
    monkeypatch.setattr(tools, "run", lambda path: pytest.fail(f"{path} was run"))
    assert tools.main(["--check"]) == 1
    assert tools.main([]) == 0 and tools.main(["--check"]) == 0
    for path in tmp_path.glob("*s/*.ipynb"):
        place = path.relative_to(tmp_path).as_posix()
        new, old = (nbformat.read(folder / place, as_version=4).cells for folder in (tmp_path, ROOT))
        link = f"[Open in Colab](https://colab.research.google.com/github/someone/course/blob/main/{place})"
        assert new[0].source.splitlines()[1:4] == ["", link, ""]
        assert '"MINIDIFF_SOURCE", "git+https://github.com/someone/course")' in new[1].source
        assert [cell.get("outputs") for cell in new] == [cell.get("outputs") for cell in old]
    monkeypatch.setattr(tools, "REPOSITORY", "https://example.org/someone/course")
    assert tools.main(["--no-run"]) == 0
    assert not any("Open in Colab" in path.read_text() for path in tmp_path.glob("*s/*.ipynb")), "it leads nowhere"
    monkeypatch.setattr(tools, "REPOSITORY", tool("notebooks").REPOSITORY)
    path = tmp_path / "notebooks" / "00_start_here.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source += "\n"
    nbformat.write(notebook, path)
    capsys.readouterr()
    assert tools.main(["--no-run"]) == 0 and tools.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("notebooks/00_start_here.ipynb: code or weights changed")
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", path)
    assert all(path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes() for path in tmp_path.glob("*s/*"))


@pytest.mark.slow
@pytest.mark.parametrize("path", UNTOUCHED, ids=lambda path: path.name)
def test_nbgrader_gives_the_solution_full_marks_and_an_untouched_notebook_none(path, tmp_path):
    pytest.importorskip("nbgrader")
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    for folder, source in [
        ("source/one", "solutions"),
        ("submitted/right/one", "solutions"),
        ("submitted/untouched/one", "exercises"),
    ]:
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(ROOT / source / path.name, tmp_path / folder)
    config = Config()
    config.CourseDirectory.root = str(tmp_path)
    config.CourseDirectory.db_url = f"sqlite:///{tmp_path}/gradebook.db"
    api = NbGraderAPI(config=config)
    assert api.generate_assignment("one")["success"]
    for student in ("right", "untouched"):
        assert api.autograde("one", student)["success"]
    with Gradebook(config.CourseDirectory.db_url) as book:
        scores = {student: book.find_submission("one", student) for student in ("right", "untouched")}
        assert scores["right"].score == scores["right"].max_score > 0
        assert scores["untouched"].score == 0
