"""Every lesson in a real browser: JupyterLab in Chromium, used as a reader uses it."""

import shutil
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest
from browser import NAMELESS, answers, draws, opened, paint, pixels

pytestmark = pytest.mark.slow
LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


def texts(cell):
    """What nbval compares of a cell's outputs: everything but pictures and widgets."""
    found = defaultdict(str)
    for output in cell["outputs"]:
        for kind, text in (output.get("data") or {output["name"]: output["text"]}).items():
            if not kind.startswith("image/") and kind != WIDGET:
                found[kind] += "".join(text)
    return found


@pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
def test_lesson_prints_what_is_saved_and_its_widgets_answer(lab, path, tmp_path):
    """All that nbval does with a lesson, too: conftest.py leaves it to this test."""
    shutil.copy(path, lab[0])
    saved = nbformat.read(path, as_version=4).cells
    with opened(lab, path.name, tmp_path, stay=True) as notebook:
        for i, (cell, before) in enumerate(zip(notebook.cells(), saved, strict=True)):
            if "# NBVAL_CHECK_OUTPUT" in before.source or "nbval-check-output" in before.metadata.get("tags", []):
                assert texts(cell) == texts(before), f"cell {i}"
            kinds = [set(output.get("data", {})) for output in cell.get("outputs", [])]
            if not any({WIDGET, "image/png"} <= kind for kind in kinds):
                continue  # no widget, or a progress bar
            output = notebook.output(i)
            output.locator(".minidiff-studio, .minidiff-play, .minidiff-sheet").first.wait_for()
            assert output.evaluate(NAMELESS) == []
            if output.locator(".minidiff-studio").count():
                draws(notebook, output, f"cell {i}")
            elif output.locator(".minidiff-play").count():
                answers(notebook.page, output, f"cell {i}")
            else:
                sheet = output.locator("canvas")
                before = pixels(sheet)
                paint(notebook, sheet, (4, 6), (64, 6))
                painted = (pixels(sheet) != before).any(-1).any(0)
                assert painted.sum() >= 60, f"cell {i}: a stroke of 60 pixels changes {painted.sum()} columns"
