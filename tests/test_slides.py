"""Slides: one file that needs no network, with everything the lesson shows, each slide within the screen."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tool import tool as load_tool

ROOT = Path(__file__).parent.parent
pytest.importorskip("sphinx_revealjs")


@pytest.fixture(scope="module")
def tool():
    return load_tool("slides")


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


def test_one_thing_is_on_a_slide_and_a_guess_comes_before_what_it_is_about(tool):
    long = "\n".join(f"a{i} = {i}" for i in range(40))
    printed, drawn = new_output("stream", text="48\n"), new_output("display_data", data={"image/png": ""})
    lesson = new_notebook(
        cells=[
            new_markdown_cell("# Title\n\n[Open in Colab](https://…)\n\n**What is it?**\n\nA second.\n\n- one"),
            new_code_cell("setup"),
            new_markdown_cell("Text.\n\n**Guess, then run.** How many?"),
            new_code_cell(long, outputs=[printed]),
            new_markdown_cell("Yes.", metadata={"tags": ["notes"]}),
            new_code_cell("1", metadata={"tags": ["skip"]}),
            new_code_cell("import math\n\nprint(48)", outputs=[printed, drawn, drawn, printed]),
            new_code_cell("import math"),
        ]
    )
    cells = tool.slides(lesson).cells
    assert [(cell.metadata.slideshow.slide_type, cell.source) for cell in cells[:7]] == [
        ("slide", "# Title\n\n**What is it?**"),
        ("notes", lesson.cells[0].source),
        ("subslide", "Text.\n\n**Guess, then run.** How many?"),
        ("subslide", long),  # what it prints; its code is in the notes
        ("notes", f"```python\n{long}\n```"),
        ("notes", "Yes."),
        ("subslide", "print(48)"),
    ]
    results = [(cell.metadata.slideshow.slide_type, cell.outputs) for cell in cells[7:]]
    assert results == [("-", [printed]), ("subslide", [drawn]), ("subslide", [drawn]), ("subslide", [printed])]


def test_long_code_is_cut_between_definitions_and_nothing_is_lost(tool):
    code = "\n\n\n".join(f"@decorated\ndef f{i}():\n" + "    pass\n" * 9 for i in range(5))
    pages = list(tool.pages(code))
    assert len(pages) == 3
    assert all(page.startswith("@decorated") and len(page.splitlines()) <= tool.LINES for page in pages)
    assert re.sub(r"\n+", "\n", "\n".join(pages)) == re.sub(r"\n+", "\n", code).strip()


CUT = """slide => {  // what of it is beyond the screen, or hidden in a box that scrolls
    const [screen, unit] = [document.querySelector(".slides").getBoundingClientRect(), 1.5]
    return [...slide.querySelectorAll("*:not(aside, aside *, mjx-container *)")].filter(e => {
        const box = e.getBoundingClientRect()
        return box.width && (box.right > screen.right + unit || box.bottom > screen.bottom + unit
            || e.scrollWidth > e.clientWidth + unit && getComputedStyle(e).overflowX !== "visible")
    }).map(e => e.outerHTML.slice(0, 100))
}"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["03_vae", "05_cross_attention", "11_full_pipeline"])
def test_nothing_of_a_slide_is_cut_off(tool, name, tmp_path, browser):
    page = tool.write(ROOT / "notebooks" / f"{name}.ipynb", tmp_path)
    screen = browser.new_page(viewport={"width": 1280, "height": 720})
    screen.set_default_timeout(600_000)
    asked, errors = [], []
    screen.on("request", lambda request: asked.append(request.url))
    screen.on("pageerror", lambda error: errors.append(str(error)))
    screen.goto(page.as_uri())
    screen.wait_for_selector("body.ready")
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()] and errors == []
    assert screen.evaluate("document.querySelectorAll('[data-mjx-error]').length") == 0
    assert screen.evaluate("document.querySelectorAll('mjx-container svg').length") > 3
    for number in range(screen.evaluate("Reveal.getTotalSlides()")):
        slide = screen.evaluate_handle("Reveal.getCurrentSlide()")
        assert slide.evaluate(CUT) == [], number
        zoom, figures = slide.evaluate(
            "e => [Number(e.children[1].style.zoom || 1), [...e.querySelectorAll('img')].map(i => i.offsetHeight)]"
        )
        assert zoom >= 0.6 and (not figures or figures == [610]), number
        screen.evaluate("Reveal.next()")
    screen.close()
