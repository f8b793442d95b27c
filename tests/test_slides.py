"""Slides: one file that needs no network, with everything the lesson shows, each slide within the screen."""

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
pytest.importorskip("sphinx_revealjs")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("slides_tool", ROOT / "tools" / "slides.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(tool, tmp_path_factory):
    return tool.write(ROOT / "notebooks" / "03_vae.ipynb", tmp_path_factory.mktemp("slides"))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_nothing_is_loaded_and_every_figure_is_there(page):
    tags = Tags(page.read_text(encoding="utf-8")).found
    loaded = [attributes.get("src") or attributes.get("href") for tag, attributes in tags if tag != "a"]
    assert [address for address in loaded if address and not address.startswith("data:")] == []
    lesson = nbformat.read(ROOT / "notebooks" / "03_vae.ipynb", as_version=4)
    figures = [o for cell in lesson.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) > 10
    assert sum(tag == "img" for tag, _ in tags) == len(figures)


def test_a_guess_comes_before_what_it_is_about(tool):
    long = "\n".join(f"a{i} = {i}" for i in range(40))
    printed = new_output("stream", text="48\n")
    lesson = new_notebook(
        cells=[
            new_markdown_cell("# Title\n\nOne. Two.\n\nA second paragraph."),
            new_code_cell("setup"),
            new_markdown_cell("Text.\n\n**Guess, then run.** How many?"),
            new_code_cell(long, outputs=[printed]),
            new_markdown_cell("Yes.", metadata={"tags": ["notes"]}),
            new_code_cell("1", metadata={"tags": ["skip"]}),
            new_code_cell("print(48)", outputs=[printed]),
        ]
    )
    cells = [(cell.metadata.slideshow.slide_type, cell.source) for cell in tool.slides(lesson).cells]
    assert cells == [
        ("slide", "# Title\n\nOne. Two."),
        ("notes", "# Title\n\nOne. Two.\n\nA second paragraph."),
        ("subslide", "Text.\n\n**Guess, then run.** How many?"),
        ("subslide", long),  # what it prints; its code is in the notes
        ("notes", f"```python\n{long}\n```"),
        ("notes", "Yes."),
        ("subslide", "print(48)"),
        ("-", "print(48)"),
    ]


def test_long_code_is_cut_between_definitions_and_nothing_is_lost(tool):
    code = "\n\n\n".join(f"@decorated\ndef f{i}():\n" + "    pass\n" * 9 for i in range(5))
    pages = list(tool.pages(code))
    assert len(pages) == 3
    assert all(page.startswith("@decorated") and len(page.splitlines()) <= tool.LINES for page in pages)
    assert re.sub(r"\n+", "\n", "\n".join(pages)) == re.sub(r"\n+", "\n", code).strip()


@pytest.mark.slow
def test_every_slide_fits_the_screen(page, browser):
    screen = browser.new_page(viewport={"width": 1280, "height": 720})
    screen.set_default_timeout(600_000)
    asked, errors = [], []
    screen.on("request", lambda request: asked.append(request.url))
    screen.on("pageerror", lambda error: errors.append(str(error)))
    screen.goto(page.as_uri())
    screen.wait_for_selector("body.ready")
    slides = "[...document.querySelectorAll('section section')]"
    zooms = screen.evaluate(f"{slides}.map((slide) => Number(slide.firstElementChild.style.zoom))")
    formulas = screen.evaluate("document.querySelectorAll('mjx-container svg').length")
    wrong = screen.evaluate("document.querySelectorAll('[data-mjx-error]').length")
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()] and errors == []
    assert len(zooms) > 50 and min(zooms) >= 0.6
    assert formulas > 10 and wrong == 0
