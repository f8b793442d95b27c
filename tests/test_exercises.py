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
import torch.nn.functional as F
from answers import accepted, one_of, rejected, seeds, tried

from minidiff import cli
from minidiff.check import exercises
from minidiff.checks import grading
from minidiff.checks.attempt import MUTATES
from minidiff.checks.lesson01 import ScheduleComparator
from minidiff.checks.lesson03 import VAECompressionAnalyzer as Analyzer
from minidiff.checks.lesson03 import codec as right_codec
from minidiff.checks.lesson03 import kl
from minidiff.checks.lesson03 import reparameterise as sample
from minidiff.checks.lesson03 import vae_loss as loss
from minidiff.schedule import cosine_betas, linear_betas, scaled_linear_betas, zero_terminal_snr

ROOT = Path(__file__).resolve().parent.parent
UNTOUCHED = sorted((ROOT / "exercises").glob("*.ipynb"))
LESSONS = sorted(int(path.stem[-2:]) for path in (ROOT / "minidiff" / "checks").glob("lesson*.py"))
EXERCISES = {number: exercise for lesson in LESSONS for number, exercise in exercises(lesson).items()}
MISTAKES = [(number, mistake) for number, exercise in EXERCISES.items() for mistake in exercise.mistakes]


@seeds(5)
@pytest.mark.parametrize("number", EXERCISES)
def test_the_reference_passes(number, seeds):
    for seed in seeds:
        assert tried(number, *EXERCISES[number].reference.values(), seed=seed)


@seeds(3)
@pytest.mark.parametrize("number, mistake", MISTAKES, ids=[f"{number} {mistake.name}" for number, mistake in MISTAKES])
def test_a_named_mistake_gets_its_own_sentence(number, mistake, seeds):
    answers = EXERCISES[number].reference | mistake.answers
    for seed in seeds:
        result = tried(number, *answers.values(), seed=seed)
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
    """It says yes to each of the mistakes that the test above has tried."""
    text = (ROOT / "exercises" / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- mutations -->\n")[2].partition("<!-- end -->")[0]
    score = f"{len(MISTAKES)} of {len(MISTAKES)} mistakes are caught, each with its own sentence."
    rows = [f"| {number} | {mistake.name} | yes |" for number, mistake in MISTAKES]
    head = [score, "", "| exercise | mistake | caught |", "|---|---|---|"]
    assert table.splitlines() == head + rows, "run tools/mutations.py"


def alpha_bars(betas):
    return EXERCISES["1.1"].reference["alpha_bars"](betas)


def comparator(**methods):
    return one_of("1.5", ScheduleComparator=type("Theirs", (ScheduleComparator,), methods))


def analyzer(**methods):
    return one_of("3.5", VAECompressionAnalyzer=type("Theirs", (Analyzer,), methods))


def enlarged(x):
    return F.interpolate(x, size=128, mode="bilinear")


def low_frequencies(x, wire):
    """The lowest frequencies, fewer of them for the colours: 26 x 26, and two times 13 x 13."""
    k, i = torch.arange(128.0)[:, None], torch.arange(128) + 0.5
    w = F.normalize(torch.cos(math.pi * k * i / 128), dim=1)
    c = F.normalize(torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]]), dim=1)
    kept = torch.zeros(3, 128, 128, dtype=torch.bool)
    kept[0, :26, :26] = kept[1:, :13, :13] = True
    z = torch.zeros(x.shape)
    z[:, kept] = wire((w @ torch.einsum("ij,bjhw->bihw", c, x) @ w.T)[:, kept])
    return torch.einsum("ji,bjhw->bihw", c, w.T @ z @ w).clamp(-1, 1)


def own_basis(x, wire):
    """The principal components of these pictures, which the other side could not know."""
    basis = torch.linalg.qr(x.flatten(1).T).Q
    return (wire(x.flatten(1) @ basis) @ basis.T).view(x.shape).clamp(-1, 1)


def table(self, steps=50):
    print("| side | sizes | ratio | MB |")
    for r in self.resolutions:
        print(f"| {r} | {self.pixel_size(r)} -> {self.latent_size(r)} | {self.compression_ratio(r):.2f}x |", end=" ")
        print(f"{self.memory_saved_mb(r):.3f} MB |")
    print(f"{steps} steps a picture, of which {self.latent_steps(256)} fit.")


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
    "3.1 powers of two": one_of("3.1", reparameterise=lambda m, v, e: m + 2 ** (v.clamp(-30, 20) / 2) * e),
    "3.1 softplus": one_of("3.1", reparameterise=lambda m, v, e: m + F.softplus(v) * e),
    "3.1 other limits": one_of("3.1", reparameterise=lambda m, v, e: m + (v.clamp(-20, 20) / 2).exp() * e),
    "3.1 one limit": one_of("3.1", reparameterise=lambda m, v, e: m + (v.clamp(max=20) / 2).exp() * e),
    "3.1 limits the mean": one_of("3.1", reparameterise=lambda m, v, e: sample(m.clamp(-30, 20), v, e)),
    "3.1 no gradient to the mean": one_of("3.1", reparameterise=lambda m, v, e: sample(m.detach(), v, e)),
    "3.1 its own noise": one_of("3.1", reparameterise=lambda m, v, e: sample(m, v, torch.randn_like(m))),
    "3.2 the largest": one_of("3.2", kl=lambda m, v: (m**2 + v.exp() - 1 - v).flatten(1).amax(1) / 2),
    "3.2 over the batch": one_of("3.2", kl=lambda m, v: (m**2 + v.exp() - 1 - v).flatten(0, -2).sum(0) / 2),
    "3.2 half of the mean's": one_of("3.2", kl=lambda m, v: kl(m, v) - m.square().flatten(1).sum(1) / 4),
    "3.2 absolute values": one_of("3.2", kl=lambda m, v: kl(m, v).abs() + m.abs().flatten(1).sum(1)),
    "3.2 to half the width": one_of("3.2", kl=lambda m, v: kl(2 * m, v + math.log(4))),
    "3.2 a list": one_of("3.2", kl=lambda m, v: kl(m, v).tolist()),
    "3.3 smooth": one_of("3.3", vae_loss=lambda x, y, m, v, w: F.smooth_l1_loss(x, y) + w * kl(m, v).mean()),
    "3.3 sums colours": one_of("3.3", vae_loss=lambda x, y, m, v, w: loss(x, y, m, v, w) + 2 * (x - y).abs().mean()),
    "3.3 a float": one_of("3.3", vae_loss=lambda *args: loss(*args).item()),
    "3.3 the weight squared": one_of("3.3", vae_loss=lambda x, y, m, v, w: loss(x, y, m, v, w * w)),
    "3.3 twice the KL": one_of("3.3", vae_loss=lambda x, y, m, v, w: loss(x, y, m, v, 2 * w)),
    "3.3 the first sample": one_of("3.3", vae_loss=lambda x, y, m, v, w: loss(x[:1], y[:1], m[:1], v[:1], w)),
    "3.4 the median": one_of("3.4", scaling_factor=lambda z: 1 / z.abs().median().item()),
    "3.4 mean over the pictures": one_of("3.4", scaling_factor=lambda z: 1 / z.flatten(1).std(1).mean().item()),
    "3.4 rounded": one_of("3.4", scaling_factor=lambda z: round(1 / z.std().item(), 2)),
    "3.4 a tensor": one_of("3.4", scaling_factor=lambda z: 1 / z.std()),
    "3.4 its own scale": one_of("3.4", to_latents=lambda z, f, s: (z - z.mean()) / z.std()),
    "3.4 within a range": one_of("3.4", to_latents=lambda z, f, s: ((z - s) * f).clamp(-3, 3)),
    "3.4 float64": one_of("3.4", from_latents=lambda z, f, s: z.double() / f + s),
    "3.5 four colours": analyzer(pixel_size=lambda self, r: 4 * r * r),
    "3.5 a thousand": analyzer(memory_saved_mb=lambda self, r: Analyzer.memory_saved_mb(self, r) * 1e6 / 1024 / 1000),
    "3.5 rounded": analyzer(memory_saved_mb=lambda self, r: round(Analyzer.memory_saved_mb(self, r), 2)),
    "3.5 nearest": analyzer(latent_steps=lambda self, r: round(Analyzer.compression_ratio(self, r))),
    "3.5 the first one's": analyzer(latent_size=lambda self, r: Analyzer.latent_size(self, self.resolutions[0])),
    "3.5 a table of another": analyzer(print_table=lambda self, n=50: print("256 1 2 3 4.00\n512 1 2 3 4.00\n48 50")),
    "3.5 prints nothing": analyzer(print_table=lambda self, n=50: "256 ..."),
    "3.6 the picture itself": one_of("3.6", codec=lambda x, wire: (wire(x[:, 0, :30, :30]), x)[1]),
    "3.6 no wire": one_of("3.6", codec=lambda x, wire: right_codec(x, lambda z: z)),
    "3.6 a smooth baseline": one_of("3.6", codec=lambda x, wire: enlarged(wire(F.adaptive_avg_pool2d(x, 18)))),
    "3.6 a number too many": one_of(
        "3.6", codec=lambda x, wire: right_codec(x, lambda z: wire(F.pad(z, (0, 1)))[:, :-1])
    ),
    "3.6 places first": one_of("3.6", codec=lambda x, wire: right_codec(x, lambda z: wire(z.T).T)),
    "3.6 keeps the pictures": one_of("3.6", codec=lambda x, wire: (wire(x[:, :1, :9, :9]), x)[1]),
    "3.6 a basis that is not sent": one_of("3.6", codec=own_basis),
    "3.6 nothing": one_of("3.6", codec=lambda x, wire: 0 * right_codec(x, wire)),
    "3.6 nan": one_of("3.6", codec=lambda x, wire: torch.nan * right_codec(x, wire)),
    "3.6 small": one_of("3.6", codec=lambda x, wire: right_codec(x, wire)[..., ::2, ::2]),
}


test_a_wrong_answer_without_a_name_is_rejected = rejected(UNNAMED)


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
    "3.1 by where": one_of("3.1", reparameterise=lambda m, v, e: torch.addcmul(m, v.clamp(-30, 20).exp().sqrt(), e)),
    "3.2 by torch.distributions": one_of(
        "3.2",
        kl=lambda m, v: (
            torch.distributions.kl_divergence(
                torch.distributions.Normal(m, v.exp().sqrt()), torch.distributions.Normal(0.0, 1.0)
            )
            .reshape(len(m), -1)
            .sum(1)
        ),
    ),
    "3.3 by torch's losses": one_of(
        "3.3",
        vae_loss=lambda x, y, m, v, w: F.l1_loss(y, x) + F.mse_loss(y, x) + w * kl(m, v).sum() / m.numel(),
    ),
    "3.4 over n": one_of("3.4", scaling_factor=lambda z: float(z.var(correction=0) ** -0.5)),
    "3.5 another table": analyzer(print_table=table),
    "3.6 low frequencies": one_of("3.6", codec=low_frequencies),
}


test_another_right_answer_passes = accepted(RIGHT)


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


@pytest.mark.slow
@pytest.mark.parametrize("path", UNTOUCHED, ids=lambda path: path.name)
def test_an_untouched_exercise_notebook_runs_to_its_end(path):
    report = grading.examine(path, 120)
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
    head, ada, broken, empty, hasty = capsys.readouterr().out.splitlines()
    assert head.split() == ["notebook", *exercises(1), "passed", "time", "errors"]
    assert "1 of 6" in ada and " to do  passed  to do " in ada and "cell 1: NameError" in ada
    assert "0 of 0" in broken and "no notebook" in broken and "no check(" in empty
    assert "0 of 6" in hasty and " to do  wrong   to do " in hasty and "cell 0: SyntaxError" in hasty
    (first, *_, last) = json.loads((tmp_path / "all.json").read_text())
    assert first["exercises"]["1.2"] == {"status": "passed", "message": ""}
    assert "a loop that never ends?" in last["exercises"]["1.2"]["message"]
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
        cli.run(lambda: grading.main(arguments))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1 and text in error


def test_the_command_starts():
    command = [sys.executable, "-m", "minidiff.check", "nowhere.ipynb"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
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


def test_a_new_address_reaches_every_notebook_and_makes_none_stale(tmp_path, monkeypatch, capsys):
    tools = tool()
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    monkeypatch.setattr(tools, "REPOSITORY", "https://github.com/someone/course")
    monkeypatch.setattr(tools, "run", lambda path: pytest.fail(f"{path} was run"))
    for folder in ("notebooks", "solutions", "exercises"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    assert tools.main(["--check"]) == 1
    assert tools.main([]) == 0 and tools.main(["--check"]) == 0
    for path in tmp_path.glob("*s/*.ipynb"):
        place = path.relative_to(tmp_path).as_posix()
        new, old = (nbformat.read(folder / place, as_version=4).cells for folder in (tmp_path, ROOT))
        link = f"[Open in Colab](https://colab.research.google.com/github/someone/course/blob/main/{place})"
        assert new[0].source.splitlines()[1:4] == ["", link, ""]
        assert '"MINIDIFF_SOURCE", "git+https://github.com/someone/course")' in new[1].source
        assert [cell.get("outputs") for cell in new] == [cell.get("outputs") for cell in old]
    monkeypatch.setattr(tools, "REPOSITORY", tool().REPOSITORY)
    path = tmp_path / "notebooks" / "00_start_here.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source += "\n"
    nbformat.write(notebook, path)
    capsys.readouterr()
    assert tools.main(["--no-run"]) == 0 and tools.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "notebooks/00_start_here.ipynb: code changed since it was run"
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
