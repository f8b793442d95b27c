"""The site is built without a warning, hangs together, and shows everything in a browser that has no network."""

import base64
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from browser import NAMELESS, TIMEOUT, answers, pixels

pytest.importorskip("furo", reason="the extra `site` is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(
    f"{folder}/{path.stem}.html" for folder in ("notebooks", "exercises") for path in (ROOT / folder).glob("*.ipynb")
)


class Page(HTMLParser):
    """What a page refers to and what can be referred to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors, self.pictures = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.add(attributes.get("id"))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "link":
            self.loaded.append(attributes["href"])
        elif "src" in attributes:
            self.loaded.append(attributes["src"])
        if tag == "img":
            self.pictures.append(attributes)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "html"
    options = ["-W", "--keep-going", "-q", "-c", "docs", ".", str(out)]  # as `make site` has them
    command = [sys.executable, "-m", "sphinx", *options]
    env = os.environ | {"PYTHONPATH": "."}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env, timeout=TIMEOUT)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    files = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path.relative_to(site).as_posix(): Page(path.read_text()) for path in files}


def test_every_notebook_is_in_the_sidebar_and_can_be_downloaded(site, pages):
    assert [page for page in NOTEBOOKS if page not in pages["README.html"].links] == []
    sidebar = re.findall(r'toctree-l1"><a [^>]*href="([^"]*)"', (site / "README.html").read_text(encoding="utf-8"))
    assert [link for link in sidebar if "#" in link] == [], "parts of a page stand there as pages"
    for page in NOTEBOOKS:
        name = Path(page).with_suffix(".ipynb").name
        assert any(link.startswith("../_downloads/") and link.endswith(name) for link in pages[page].links), page


def test_every_public_module_is_in_the_reference(pages):
    files = [path.relative_to(ROOT / "minidiff") for path in (ROOT / "minidiff").rglob("*.py")]
    modules = {".".join(("minidiff", *file.with_suffix("").parts)) for file in files if not file.stem.startswith("__")}
    hidden = {name for name in modules if name.startswith(("minidiff.checks.", "minidiff.cli"))}
    anchors = pages["docs/reference.html"].anchors
    assert [name for name in sorted(modules - hidden) if f"module-{name}" not in anchors] == []
    assert {"module-minidiff.train", "minidiff.sample.ddim", "minidiff.pipeline.StableDiffusion.__call__"} <= anchors


def test_links_lead_somewhere(site, pages):
    lost = []
    for name, page in pages.items():
        for link in page.links:
            target = urlsplit(link)
            if not target.scheme:
                path = (
                    os.path.normpath(os.path.join(os.path.dirname(name), unquote(target.path))) if target.path else name
                )
                known = pages[path].anchors if path in pages else None
                if not (site / path).exists() or (target.fragment and known and unquote(target.fragment) not in known):
                    lost.append(f"{name}: {link}")
    assert lost == []


def test_the_family_tree_opens_the_front_page_and_leads_to_every_lesson_in_it(site, pages):
    """Before any picture; a box of it leads to the section of a lesson, where there is that lesson."""
    text = (site / "README.html").read_text(encoding="utf-8")
    tree = re.search(r'<svg [^>]*class="family".*?</svg>', text, re.DOTALL)
    assert tree and tree.start() < text.index("<img", text.index("<article")) and text.count('class="family"') == 1
    links, boxes = re.findall(r'<a href="([^"]*)"', tree[0]), re.findall(r"lesson (\d\d)</text>", tree[0])
    there = [path.stem[:2] for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")]
    assert sorted(link[10:12] for link in links) == sorted(number for number in boxes if number in there)
    assert set(links) <= set(pages["README.html"].links), "and test_links_lead_somewhere has seen them"


def test_nothing_is_loaded_from_the_network(pages):
    away = {f"{name}: {url}" for name, page in pages.items() for url in page.loaded if urlsplit(url).netloc}
    assert away == set()


def test_every_picture_has_a_text(pages):
    silent = [
        f"{name}: {picture}" for name, page in pages.items() for picture in page.pictures if not picture.get("alt")
    ]
    assert silent == []
    assert sum(len(pages[name].pictures) for name in NOTEBOOKS) > 100


SHOWN = """() => {
    const small = (e) => Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) <= 0
    const pictures = [...document.querySelectorAll("article img")]
    const luminance = (colour) => {
        const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255)
            .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const background = (e) => {
        const colour = getComputedStyle(e).backgroundColor
        return colour.startsWith("rgba") ? background(e.parentElement) : colour  // what shines through counts
    }
    const contrast = (e) => {
        const [a, b] = [getComputedStyle(e).color, background(e)].map(luminance).sort((a, b) => b - a)
        return (a + 0.05) / (b + 0.05)
    }
    return {
        pictures: pictures.length,
        unseen: pictures.filter((e) => !e.naturalWidth || small(e)).map((e) => e.src),
        formulas: document.querySelectorAll("article .math").length,
        typeset: [...document.querySelectorAll("article .math > mjx-container")].filter((e) => !small(e)).length,
        sideways: [document.scrollingElement, document.querySelector(".content")]
            .some((e) => e.scrollWidth > e.clientWidth),
        wide: [...document.querySelectorAll("article :is(pre, div.math)")]
            .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent.slice(0, 80)),
        blocks: document.querySelectorAll("article :is(pre, div.math)").length,
        wrong: [...document.querySelectorAll("mjx-merror, [data-mjx-error], mjx-mtext[style*='red']")].length,
        faint: [...document.querySelectorAll("article :is(p, li, td, th, h1, h2, pre, label, mjx-container)")]
            .filter((e) => !small(e) && contrast(e) < 4.5).map((e) => e.textContent.slice(0, 40)),
    }
}"""


# Words of the family tree that do not fit into their box, whatever font there is.
TORN = """() => [...document.querySelectorAll("svg.family a")].filter((e) => {
    const box = e.querySelector("rect")?.getBoundingClientRect()
    return box && [...e.querySelectorAll("text")].some((t) => t.getBoundingClientRect().width > box.width)
}).map((e) => e.textContent)"""


def formulas(name):
    """How many are written in the source of a page: what is between dollars, and no code."""
    path = (ROOT / name).with_suffix(".ipynb")
    if path.exists():
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.with_suffix(".md").read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`]*`|\\\$", "", text, flags=re.DOTALL)
    assert text.count("$") % 2 == 0, name
    blocks = text.count("$$") // 2
    return blocks + (text.count("$") - 4 * blocks) // 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_and_formulas_are_shown(site, browser, scheme):
    """In a browser that is given the folder alone: no server, no network."""
    context = browser.new_context(color_scheme=scheme, offline=True)
    context.set_default_timeout(1000 * TIMEOUT)  # a page takes a second, but not on a busy machine
    page, asked, said = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    pages = ["README", "docs/family", "docs/reference", "docs/equality", "docs/training", "docs/tried"]
    names = [*(f"{page}.html" for page in pages), *NOTEBOOKS]
    for name in names if scheme == "light" else [*names[:4], NOTEBOOKS[-1]]:
        page.goto((site / name).as_uri())
        page.evaluate("() => window.MathJax && MathJax.startup.promise")
        page.evaluate("() => Promise.all([...document.images].map((e) => (e.loading = 'eager', e.decode())))")
        shown = page.evaluate(SHOWN)
        assert shown["unseen"] == [] and shown["faint"] == [] and shown["wrong"] == 0, (name, shown)
        assert shown["typeset"] == shown["formulas"] == formulas(name), (name, shown)
        assert len(shown["wide"]) <= 0.1 * shown["blocks"], (name, shown)
        for width in (800, 390, 1280):
            page.set_viewport_size({"width": width, "height": 720})
            assert not page.evaluate(SHOWN)["sideways"], (name, width)
            assert page.evaluate(TORN) == [], (name, width)
        if name.startswith("notebooks/"):
            assert shown["pictures"] > 3 and shown["formulas"] > 3, (name, shown)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    context.close()


def test_dials_move_on_a_page_without_python(tmp_path, browser, monkeypatch):
    """Their script is the one that a notebook runs; what it shows was drawn ahead."""
    from PIL import Image

    from minidiff.play import SAVED, play, png

    monkeypatch.setattr("minidiff.play.SECONDS", 1000)  # whatever else this machine is doing

    def draw(share, ink, size):
        return Image.new("RGB", (16 * size, 16), (2 * share if ink == "red" else 0, 90, 0))

    beside = {"</script> & green": Image.new("RGB", (16, 16), "green")}
    start = {"share": 12, "ink": "red"}
    panel = play(draw, start=start, beside=beside, share=range(24), ink=["red", "none"], size=[1, 2, 3])
    data = {"text/plain": repr(panel), "image/png": base64.b64encode(png(panel.still())).decode(), SAVED: panel.saved}
    output = nbformat.v4.new_output("display_data", data=data)
    cells = [nbformat.v4.new_markdown_cell("# A page"), nbformat.v4.new_code_cell("import minidiff")]
    cells.append(nbformat.v4.new_code_cell("play()", outputs=[output], metadata={"alt": 'a "red" picture'}))
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "00_page.ipynb")
    (tmp_path / "README.md").write_text("# Start\n")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.md"))
    command = [sys.executable, "-m", "sphinx", "-q", "-c", "docs", ".", "html"]
    subprocess.run(command, cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=TIMEOUT)

    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme)
        page, said = context.new_page(), []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto((tmp_path / "html" / "notebooks" / "00_page.html").as_uri())
        widget = page.get_by_role("group", name='a "red" picture')
        answers(page, widget, "site")
        assert widget.evaluate(NAMELESS) == []
        widget.get_by_label("share").press("End")
        assert 42 < pixels(widget.get_by_alt_text("share 23, ink red, size 2"))[0, 0, 0] < 50
        widget.get_by_label("none").check()
        assert pixels(widget.get_by_alt_text("share 23, ink none, size 2"))[0, 0, 0] < 4
        assert "48 of 144 pictures" in widget.get_by_role("status").inner_text()
        assert widget.get_by_alt_text("</script> & green").bounding_box()["width"] >= 320
        for width in (1280, 800, 390):
            page.set_viewport_size({"width": width, "height": 720})
            shown = page.evaluate(SHOWN)
            assert not shown["sideways"] and not shown["unseen"] and not shown["faint"], (scheme, width, shown)
        assert said == []
        context.close()


@pytest.mark.parametrize(
    ("word", "link", "page_of"),
    [
        ("zero_terminal_snr", "zero_terminal_snr", "reference.html#minidiff.schedule.zero_terminal_snr"),
        ("unCLIP", "DALL-E", "notebooks/16_dalle.html"),
    ],
)
def test_search_finds_a_function_and_a_lesson(site, browser, word, link, page_of):
    page = browser.new_page()
    page.set_default_timeout(1000 * TIMEOUT)
    page.goto(f"{(site / 'search.html').as_uri()}?q={word}")
    page.get_by_role("link", name=re.compile(link)).first.wait_for()
    assert page_of in page.content()
