"""Each reference passes, each named mistake is rejected with its own sentence, and the notebooks do what they "
"should."""

import ast
import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
import torch

from minidiff import cli
from minidiff.check import check, exercises
from minidiff.checks import room
from minidiff.checks.attempt import MUTATES
from minidiff.checks.lesson01 import ScheduleComparator
from minidiff.schedule import cosine_betas, linear_betas, scaled_linear_betas, zero_terminal_snr

ROOT = Path(__file__).resolve().parent.parent
UNTOUCHED = sorted((ROOT / "exercises").glob("*.ipynb"))
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
        assert result.status == "not right yet" and result.message.endswith(mistake.sentence)


@pytest.mark.parametrize("number", EXERCISES)
def test_there_are_enough_mistakes_and_hints(number):
    exercise = EXERCISES[number]
    assert len(exercise.mistakes) >= 5 and len(exercise.hints) >= 3
    told = [(*mistake.answers, mistake.sentence) for mistake in exercise.mistakes]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("number", EXERCISES)
def test_no_sentence_holds_a_formula(number):
    sentences = {mistake.sentence for mistake in EXERCISES[number].mistakes} - {MUTATES}
    assert [text for text in sentences if re.search(r"\w\(|\*\*| [*/] |torch\.|lambda", text)] == []


def test_the_table_of_mistakes_is_not_stale():
    command = [sys.executable, ROOT / "tools" / "mutations.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def alpha_bars(betas):
    return EXERCISES["1.1"].reference["alpha_bars"](betas)


def one_of(number, **answers):
    return number, EXERCISES[number].reference | answers


def comparator(**methods):
    return one_of("1.5", ScheduleComparator=type("Theirs", (ScheduleComparator,), methods))


UNNAMED = {
    "1.1 float32": one_of("1.1", linear_betas=lambda T, a, b: torch.linspace(a, b, T)),
    "1.1 geometric": one_of("1.1", linear_betas=lambda T, a, b: a * (b / a) ** (linear_betas(T, 0, 1))),
    "1.1 cube": one_of("1.1", scaled_linear_betas=lambda T, a, b: linear_betas(T, a ** (1 / 3), b ** (1 / 3)) ** 3),
    "1.1 another limit": one_of("1.1", cosine_betas=lambda T, s: cosine_betas(T, s).clamp(max=0.9)),
    "1.1 reversed": one_of("1.1", alpha_bars=lambda betas: alpha_bars(betas).flip(0)),
    "1.1 a list": one_of("1.1", alpha_bars=lambda betas: alpha_bars(betas).tolist()),
    "1.2 base two": one_of("1.2", snr_db=lambda a: 10 * (a / (1 - a)).log2()),
    "1.2 rounded": one_of("1.2", snr_db=lambda a: (torch.logit(a) * 10 / math.log(10)).round()),
    "1.2 only numbers": one_of("1.2", snr_db=lambda a: 10 * math.log10(a / (1 - a))),
    "1.2 a constant": one_of("1.2", snr_db=lambda a: 1.0),
    "1.3 float64": one_of(
        "1.3", add_noise=lambda x0, eps, t, a: EXERCISES["1.3"].reference["add_noise"](x0.double(), eps.double(), t, a)
    ),
    "1.3 squares": one_of("1.3", add_noise=lambda x0, eps, t, a: x0 * 0.8 + eps * 0.6),
    "1.3 four dimensions": one_of("1.3", add_noise=lambda x0, eps, t, a: x0 * a[t].reshape(-1, 1, 1, 1)),
    "1.4 half a shift": one_of("1.4", zero_terminal_snr=lambda b: (b + zero_terminal_snr(b)) / 2),
    "1.4 float32": one_of("1.4", zero_terminal_snr=lambda b: zero_terminal_snr(b).float()),
    "1.5 scaled linear": comparator(
        linear_schedule=lambda self, T, a=1e-4, b=0.02: alpha_bars(scaled_linear_betas(T, a, b))[1:]
    ),
    "1.5 nearest": comparator(find_zero_crossing=lambda self, a: int((a - 0.5).abs().argmin())),
    "1.5 a tensor": comparator(find_zero_crossing=lambda self, a: (a > 0.5).sum().clamp(max=len(a) - 1)),
    "1.5 a row is missing": comparator(compare=lambda self: print(0, 100, 250, 500, 900, 999, 259, 496, 237)),
    "1.6 the same length": one_of("1.6", my_schedule=lambda T: alpha_bars(cosine_betas(1000))),
    "1.6 T entries": one_of("1.6", my_schedule=lambda T: alpha_bars(cosine_betas(T))[1:]),
    "1.6 linear": one_of("1.6", my_schedule=lambda T: alpha_bars(linear_betas(T))),
    "1.6 nan": one_of("1.6", my_schedule=lambda T: alpha_bars(cosine_betas(T)) * torch.nan),
    "1.6 a straight line": one_of("1.6", my_schedule=lambda T: torch.ones(T + 1, dtype=torch.float64)),
}


@pytest.mark.parametrize("number, answers", UNNAMED.values(), ids=UNNAMED)
def test_a_wrong_answer_without_a_name_is_rejected(number, answers):
    for seed in range(3):
        result = check(number, *answers.values(), seed=seed)
        assert result.status == "not right yet" and "itself failed" not in result.message


RIGHT = {
    "1.1 by logarithms": one_of(
        "1.1", alpha_bars=lambda b: torch.cat([torch.zeros(1).double(), torch.log1p(-b).cumsum(0)]).exp()
    ),
    "1.2 by subtraction": one_of("1.2", snr_db=lambda a: 10 * a.log10() - 10 * (1 - a).log10()),
    "1.3 by transposing": one_of(
        "1.3",
        add_noise=lambda x0, eps, t, a: (
            (a[t].sqrt().to(x0) * x0.movedim(0, -1)) + (1 - a[t]).sqrt().to(x0) * eps.movedim(0, -1)
        ).movedim(-1, 0),
    ),
    "1.5 by betas": comparator(cosine_schedule=lambda self, T, s=0.008: alpha_bars(cosine_betas(T, s))[1:]),
    "1.6 a power": one_of(
        "1.6", my_schedule=lambda T: torch.cos(torch.linspace(0, 1, T + 1).double() * math.pi / 2) ** 2.5
    ),
}


@pytest.mark.parametrize("number, answers", RIGHT.values(), ids=RIGHT)
def test_another_right_answer_passes(number, answers):
    for seed in range(3):
        assert check(number, *answers.values(), seed=seed)


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


def test_all_notebooks_have_the_setup_cell_of_lesson_00():
    minutes = re.compile(r"^MINUTES = .*", re.MULTILINE)
    (setup,) = {minutes.sub("", code_of(path)[0].source) for path in ROOT.glob("*s/??_*.ipynb")}
    assert "import minidiff" in setup


@pytest.mark.slow
@pytest.mark.parametrize("path", UNTOUCHED, ids=lambda path: path.name)
def test_an_untouched_exercise_notebook_runs_to_its_end(path):
    report = room.examine(path, 120)
    assert report["errors"] == []
    assert {found["status"] for found in report["exercises"].values()} == {"to do"}


LEARNER = [
    "import torch",
    "x = undefined",
    "def snr_db(a):\n    return 10 * (a / (1 - a)).log10()",
    'check("1.2", snr_db)',
]


@pytest.mark.slow
def test_the_command_shows_who_passed_what(tmp_path, capsys):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in LEARNER])
    nbformat.write(notebook, tmp_path / "ada.ipynb")
    (tmp_path / "broken.ipynb").write_text("{")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    before = (tmp_path / "ada.ipynb").read_bytes()
    room.main([str(tmp_path), "--json", str(tmp_path / "all.json")])
    head, ada, broken, empty = capsys.readouterr().out.splitlines()
    assert head.split() == ["notebook", *EXERCISES, "passed", "time", "errors"]
    assert "1 of 6" in ada and " to do  passed  to do " in ada and "cell 1: NameError" in ada
    assert "0 of 0" in broken and "no check(" in empty
    (first, *_) = json.loads((tmp_path / "all.json").read_text())
    assert first["exercises"]["1.2"] == {"status": "passed", "message": ""}
    assert (tmp_path / "ada.ipynb").read_bytes() == before


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
        cli.run(lambda: room.main(arguments))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1 and text in error


def test_the_command_starts():
    command = [sys.executable, "-m", "minidiff.check", "nowhere.ipynb"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "got nowhere.ipynb" in result.stderr


def tool():
    spec = importlib.util.spec_from_file_location("notebooks_tool", ROOT / "tools" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drift_is_seen_and_mended(tmp_path, monkeypatch, capsys):
    tools = tool()
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    for folder in ("notebooks", "solutions", "exercises"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
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
    assert "code changed since it was run" in capsys.readouterr().out


@pytest.mark.slow
def test_nbgrader_gives_the_solution_full_marks_and_an_untouched_notebook_none(tmp_path):
    pytest.importorskip("nbgrader")
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    name = UNTOUCHED[0].name
    for folder, source in [
        ("source/one", "solutions"),
        ("submitted/right/one", "solutions"),
        ("submitted/untouched/one", "exercises"),
    ]:
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(ROOT / source / name, tmp_path / folder)
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
