"""Imports within the package point one way: what README's map of it has further down imports what is above."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minidiff"
TREE = re.search(r"^minidiff/\n(.*?)^notebooks/", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)[1]
ORDER = {name: i for i, line in enumerate(TREE.splitlines()) for name in re.findall(r"\b(\w+)(?:\.py|/)", line)}
MODULES = {path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}


def place(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(code):
    """(line, module of minidiff) of every import, also of those within functions."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "minidiff.a_relative_import" if node.level else node.module  # which is not in the map
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "minidiff":
                yield node.lineno, rest.split(".")[0]


def upwards(name, code):
    return [f"{name}:{line} imports {m}" for line, m in imported(code) if ORDER.get(m, len(ORDER)) > ORDER[name]]


def test_the_map_has_every_module():
    assert {place(path) for path in MODULES} | {"weights"} == set(ORDER)


@pytest.mark.parametrize("path", sorted(MODULES), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    assert upwards(place(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    [
        "import minidiff.pipeline",
        "import os, minidiff.pipeline as p",
        "from minidiff import schedule, pipeline",
        "from minidiff.pipeline import StableDiffusion",
        "from minidiff.train.objectives import HINTS",
        "def f():\n    from minidiff.judge import edges",
        "from .schedule import noise_like",
        "from . import schedule",
    ],
)
def test_an_import_that_points_up_is_seen(code):
    assert len(upwards("guide", code)) == 1 and upwards("guide", "import torch\nfrom minidiff.sample import ddim") == []
