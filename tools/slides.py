"""Slides from lessons: each becomes one HTML file in build/slides/ that needs no network. S opens the speaker's view.

python tools/slides.py            all lessons
python tools/slides.py 03 07      those whose name starts so

A heading begins a column of slides. One thing is on a slide: a text, some code, a figure; only what short code prints
stands below it. Of a text the slide shows headings, lists, formulas, tables, the first sentences and each "Guess"; the
speaker's notes hold all of it. Of the first cell it shows the title and the question. Code of up to 26 lines is shown,
without imports; longer code only where it prints and draws nothing, some definitions at a time. Tags of a cell say
otherwise: `skip` leaves it out, `notes` puts it in the notes, `whole` shows all of a text, `hide-input`, by which cells
are folded elsewhere, shows what a cell prints and draws without its code.
"""

import ast
import re
import sys
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import nbformat
from nbconvert.exporters import SlidesExporter
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parent.parent
LINES = 26  # of code on a slide
SHORT = 8  # that leave room for what they print
BLOCK = re.compile(r"#|[-*+] |\d+\. |\||>|\$\$|```|    ")  # how a heading, list, table, quote, formula or code begins
LEAD = 60  # words of a first paragraph


def placed(cell, kind):
    """The cell as nbconvert wants it: `kind` is "slide" (a new column), "subslide", "-" (below the last) or "notes"."""
    cell.metadata.slideshow = {"slide_type": kind}
    return cell


def lead(paragraph):
    """A paragraph's first sentences, as many as a slide has room for: at least one."""
    sentences = re.split(r"(?<=[.?!:])(?<!e\.g\.)(?<!i\.e\.)(\**)\s+(?=[A-Z*`$\"(])", paragraph)
    text = "".join(sentences[:2])
    for end, sentence in zip(sentences[1::2][1:] + [""], sentences[2::2], strict=False):
        if len(f"{text} {sentence}".split()) > LEAD:
            break
        text = f"{text} {sentence}{end}"
    return text


def on_slide(text):
    """What a slide shows of a text."""
    shown, found = [], False
    blocks = [block for block in re.split(r"\n\s*\n", text.strip()) if not block.startswith("[Open in Colab]")]
    for block in blocks[:2] if text.startswith("# ") else blocks:
        if BLOCK.match(block) or "**Guess" in block:
            shown.append(block)
        elif not found:
            shown.append(lead(block))
            found = True
    return "\n\n".join(shown)


def pages(code):
    """The code in pieces of at most LINES lines where top-level statements allow it."""
    lines, starts = code.splitlines(), []
    for node in ast.parse(code).body:
        starts.append(min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1)
        if isinstance(node, ast.ClassDef):
            starts += [method.lineno - 1 for method in node.body if isinstance(method, ast.FunctionDef)][1:]
    first, last = 0, 0
    for end in [*starts[1:], len(lines)]:
        if len("\n".join(lines[first:end]).strip("\n").splitlines()) > LINES and last > first:
            yield "\n".join(lines[first:last]).strip("\n")
            first = last
        last = end
    yield "\n".join(lines[first:]).strip("\n")


def text_slides(cell, tags):
    for part in re.split(r"^(?=#{1,3} )", cell.source, flags=re.MULTILINE):
        if part.strip():
            shown = part if "whole" in tags else on_slide(part)
            yield placed(new_markdown_cell(shown), "slide" if part.startswith("#") else "subslide")
            if shown != part.strip():
                yield placed(new_markdown_cell(part), "notes")


def without_imports(code):
    lines = code.splitlines()
    for node in reversed(ast.parse(code).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip("\n")


def is_picture(output):
    return "image/png" in output.get("data", {})


def code_slides(cell, tags):
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    answer = "write-first" in tags  # folded in the lesson, not for whoever stands in front of a class
    source = re.sub(r"\A# @title .*\n", "", cell.source) if answer else cell.source
    source = source.removeprefix("# NBVAL_CHECK_OUTPUT\n")
    seen = without_imports(source)
    count = len(seen.splitlines())
    folded = "hide-input" in tags and not answer
    code = [] if folded or not seen or outputs and count > LINES else list(pages(seen))
    for page in code:
        yield placed(new_code_cell(page), "subslide")
    below = code and count <= SHORT
    for picture, some in groupby(outputs, is_picture):
        for each in [[one] for one in some] if picture else [list(some)]:
            result = new_code_cell(source, outputs=each, metadata={"tags": ["hide-input"]})
            yield placed(result, "-" if below and not picture else "subslide")
        below = False
    if outputs and not code:
        yield placed(new_markdown_cell(f"```python\n{source}\n```"), "notes")


def slides(lesson):
    """The lesson's notebook as one whose cells are marked for nbconvert."""
    cells, setup = [], True
    for cell in lesson.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and setup:  # the setup cell
            setup = False
        elif "skip" in tags or not cell.source.strip():
            continue
        elif "notes" in tags:
            cells.append(placed(new_markdown_cell(cell.source), "notes"))
        elif cell.cell_type == "markdown":
            cells += text_slides(cell, tags)
        else:
            cells += code_slides(cell, tags)
    return nbformat.v4.new_notebook(cells=cells, metadata=lesson.metadata)


def package(name, *path):
    """The text of a file in an installed package, which is not imported."""
    spec = find_spec(name)
    if spec is None:
        raise SystemExit(f'got no {name}, expected it to be installed; run: pip install -e ".[site]"')
    return Path(spec.submodule_search_locations[0], *path).read_text(encoding="utf-8").replace("</script", "<\\/script")


def write(path, folder):
    """One lesson's slides; returns the file."""
    lesson = nbformat.read(path, as_version=4)
    exporter = SlidesExporter(template_file=str(ROOT / "tools" / "slides.html.j2"))
    exporter.register_preprocessor("nbconvert.preprocessors.TagRemovePreprocessor", enabled=True)
    exporter._preprocessors[-1].remove_input_tags = {"hide-input"}
    reveal = ("sphinx_revealjs", "_static", "revealjs")
    resources = {
        "title": lesson.cells[0].source.splitlines()[0].lstrip("# "),
        "reveal_css": package(*reveal, "dist", "reveal.css"),
        "reveal_js": package(*reveal, "dist", "reveal.js"),
        "notes_js": package(*reveal, "plugin", "notes", "notes.js"),
        "mathjax_js": package("sphinx-mathjax-offline", "static", "mathjax", "tex-svg.js"),
    }
    page, _ = exporter.from_notebook_node(slides(lesson), resources)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{path.stem}.html"
    file.write_text(page, encoding="utf-8")
    return file


def main(names):
    lessons = [p for p in sorted((ROOT / "notebooks").glob("*.ipynb")) if not names or p.name.startswith(tuple(names))]
    if not lessons:
        raise SystemExit(f"got {' '.join(names)}, expected the beginning of a lesson's name, such as 03")
    for path in lessons:
        file = write(path, ROOT / "build" / "slides")
        print(f"{file.relative_to(ROOT)}, {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
