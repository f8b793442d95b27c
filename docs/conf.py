"""The site: every page is a file of the repository as it stands, notebooks with their saved outputs. See `make site`.

The sources are the repository itself (Makefile: -c docs .), so a link that works there works here, without copies.
"""

import dataclasses
import html
import inspect
import json
import re
from pathlib import Path

from minidiff.play import SAVED
from minidiff.play.sketchpad import source as of_widgets

project = html_title = "minidiff"
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "notebooks/*", "exercises/*", "benchmarks/*.md"]
exclude_patterns = [".*", "build", "minidiff", "**/.*"]
SIDEBAR = """
```{toctree}
:hidden:
:glob:
:caption: Lessons
notebooks/[0-9]*
```
```{toctree}
:hidden:
:glob:
:caption: Exercises
exercises/README
exercises/[0-9]*
```
```{toctree}
:hidden:
:glob:
:caption: About
docs/reference
docs/*
[A-Z]*
benchmarks/README
Times and memory <notebooks/README>
```
"""

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # MathJax and its fonts, from a file instead of the network
]
nb_execution_mode = "off"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
nb_ipywidgets_js = {}  # scripts from the network; here play.js moves dials, and other widgets are still pictures
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_theme = "furo"
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css", "play.css"]
html_js_files = ["play.js"]
TREE = re.compile(r"!\[[^]]*\]\(docs/family\.svg\)\n\n")  # shown at the top of the start page
# The script of the widgets themselves, with what a notebook has saved in place of a model that Python answers.
PLAY = """
document.addEventListener("DOMContentLoaded", () => {
  for (const el of document.querySelectorAll(".minidiff-play")) {
    const saved = JSON.parse(el.querySelector("script").textContent);
    render({ model: { get: (name) => saved[name], set() {}, save_changes() {}, on() {} }, el });
  }
});
"""

autodoc_default_options = {"members": True, "member-order": "bysource", "special-members": "__call__"}
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
autodoc_inherit_docstrings = False
default_role = "py:obj"
viewcode_follow_imported_members = False  # they would share the links of the first module that imports them
suppress_warnings = ["ref.python"]  # a name of two things: the first is meant well enough
smartquotes_action = "D"  # a dash for --; quotes and dots stay as they are


def read_source(app, name, source):
    """The start page gets the sidebar, and the family tree at its top, with links; a notebook a link to itself, names
    for its pictures and its folded cells."""
    if name == root_doc:
        text, found = TREE.subn("", source[0])
        source[0] = (text.replace("\n\n![", f"\n\n{tree()}\n\n![", 1) if found else text) + SIDEBAR
    elif Path(app.srcdir, f"{name}.ipynb").exists():
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            about = cell["metadata"]
            for output in cell.get("outputs", []):
                if SAVED in output.get("data", {}):
                    output["data"] = {"text/html": dials(output["data"][SAVED], about.get("alt", "Interactive"))}
            if "alt" in about:
                about["mystnb"] = {"image": {"alt": about["alt"]}}
            if "hide-input" in about.get("tags", []):
                title = re.match(r"# @title (.*)", "".join(cell["source"]))
                about.setdefault("mystnb", {})["code_prompt_show"] = title[1] if title else nb_code_prompt_show
        link = f"This page is a notebook, {{download}}`{Path(name).name}.ipynb`. To run it, type `make lab`."
        one_title(notebook["cells"])
        notebook["cells"].insert(1, {"cell_type": "markdown", "id": "link", "metadata": {}, "source": link})
        source[0] = json.dumps(notebook)


def tree():
    """docs/family.svg as a part of the page: its links lead to pages of the site, its colours follow the theme."""
    svg = Path(__file__).with_name("family.svg").read_text(encoding="utf-8")
    svg = re.sub(r'href="\.\./(notebooks/\w+)\.ipynb', r'href="\1.html', svg)
    return f'```{{raw}} html\n<div class="tree">{svg}</div>\n```'


def one_title(cells):
    """Parts that a lesson heads as it heads itself stand below its title, or the sidebar would have them as pages."""
    deeper = code = False
    for cell in cells[1:]:
        lines = "".join(cell["source"]).split("\n") if cell["cell_type"] == "markdown" else []
        for i, line in enumerate(lines):
            code ^= line.startswith("```")
            deeper |= line.startswith("# ") and not code
            if deeper and not code and re.match(r"#+ ", line):
                lines[i] = f"#{line}"
        cell["source"] = "\n".join(lines) if lines else cell["source"]


def dials(saved, alt):
    """Dials and their pictures, which play.js makes of what a notebook has saved; before that, the first picture."""
    picture = saved["frames"][",".join(map(str, saved["at"]))]
    text = json.dumps(saved).replace("</", "<\\/")
    return (
        f'<div class="minidiff-play" role="group" aria-label="{html.escape(alt)}">'
        f'<img src="{picture}" alt="{html.escape(alt)}"><script type="application/json">{text}</script></div>'
    )


def as_rst(app, what, name, obj, options, lines):
    """Docstrings are plain text. Lists of parameters become lists, what else has columns stays as it is set."""
    paragraphs = "\n".join(lines).strip("\n").split("\n\n")
    lines.clear()
    for paragraph in paragraphs:
        entries = re.split(r"^(?: {4})?(\w+(?:, \w+)*) {2,}(?=\S)", paragraph, flags=re.MULTILINE)
        if what != "module" and len(entries) > 1 and not entries[0]:
            for names, text in zip(entries[1::2], entries[2::2], strict=True):
                lines.append(f":param {names}: {escape(' '.join(text.split()))}")
        elif re.search(r"^ |\S {2,}\S", paragraph, re.MULTILINE):
            lines += [".. code-block:: text", "", *(f"    {line}" for line in paragraph.split("\n"))]
        else:
            lines += escape(paragraph).split("\n")
        lines.append("")
    if dataclasses.is_dataclass(obj) and what == "class":
        fields = re.findall(r"^    \w+: .*", inspect.getsource(obj), re.MULTILINE)
        lines += [".. code-block:: python", "", *(re.sub(r"  # +", "  # ", field) for field in fields), ""]


def escape(text):
    """Text without markup, but for `name`, which becomes a link if there is such a thing here, and `code`."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [re.sub(r"^`([\w.]+)`$", r"`\1 <.\1>`", part) for part in parts[1::2]]
    parts[1::2] = [part if part.endswith(">`") else f"`{part}`" for part in parts[1::2]]
    return "\\ ".join(parts)  # backslash and space, which show as nothing, end a role


def signature(app, what, name, obj, options, arguments, result):
    """A dataclass shows its fields, with what the source says of each."""
    return ("", None) if dataclasses.is_dataclass(obj) and what == "class" else None


def finish(app, exception):
    """The address of the whole folder opens the start page; the widgets' script and style are files of the site."""
    Path(app.outdir, "index.html").write_text(f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n')
    script = of_widgets("dials.js").replace("export default { render };", PLAY)
    Path(app.outdir, "_static", "play.js").write_text(f"(() => {{\n{script}}})();\n", encoding="utf-8")
    Path(app.outdir, "_static", "play.css").write_text(of_widgets("dials.css"), encoding="utf-8")


def setup(app):
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("autodoc-process-signature", signature)
    app.connect("build-finished", finish)
