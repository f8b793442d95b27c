"""The family as one table and one picture, from what the executed lessons printed and what the cards of weights say.

python tools/family.py           writes the table into README.md, where each figure stands into docs/family.md, and the
                                 tree, docs/family.svg
python tools/family.py --check   changes nothing; names what would change; exit code 1 if any

Nothing is computed anew. A figure is what a pattern finds in the saved output of one cell, or an entry of a card; a
pattern that finds nothing, or two things, is an error that names row, cell and pattern. A system whose lesson is not
there has no row, and its box no link.

The rows are in family_rows.py, the boxes and arrows in family_tree.py.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path

from minidiff.judge import interval

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for the tests, which load this file by its path
from family_rows import ROWS, SYSTEMS, WHOLE, Card, Found, Right  # noqa: E402
from family_tree import tree  # noqa: E402

from notebooks import ROOT, WEIGHTS, read, seconds_on_laptop  # noqa: E402

TABLE = re.compile(r"(<!-- family -->\n).*(<!-- end -->)", re.DOTALL)


@cache
def lesson(number):
    """(path, notebook) of a lesson, or None where it is not there, or was not run."""
    paths = sorted((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    if not paths or "executed" not in (notebook := read(paths[0])).metadata.get("minidiff", {}):
        return None
    return paths[0], notebook


def link(number, section, base):
    """Where a section of a lesson is, as seen from base."""
    path, notebook = lesson(number)
    headings = re.findall(r"^#+ (.+)", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.M)
    if section and section not in headings:
        raise SystemExit(f"{path.name} has no heading {section!r}")
    slug = re.sub(r"[^\w -]", "", section.lower()).replace(" ", "-")
    return f"{base}notebooks/{path.name}" + f"#{slug}" * bool(slug)


def look_up(row, figure):
    """(number, where it stands, the line it stands in) of a Found or Card."""
    if isinstance(figure, Card):
        name, *keys = figure.path.split()
        value = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
        return value, f"`minidiff/weights/{name}.json`", f"{' '.join(keys)} {value}"
    number = figure.lesson or SYSTEMS[row.system].lesson
    path, notebook = lesson(number) or (None, None)
    cell = next((cell for cell in notebook.cells if cell.id == figure.cell), None) if path else None
    text = "" if cell is None else cell.source if figure.source else printed(cell)
    found = list(re.finditer(figure.pattern, text, re.MULTILINE))
    if len(found) != 1:
        place = f"lesson {number}, {figure.cell}"
        raise SystemExit(f"{row.system}: {len(found)} times, not once, in {place}: {figure.pattern}")
    line = text[text.rfind("\n", 0, found[0].start()) + 1 :].split("\n")[0]
    return float(found[0][1].replace(",", "")), f"lesson {number}, {figure.cell}", " ".join(line.split())


def printed(cell):
    """What a cell printed; what one call printed in parts is one text."""
    return "".join(output.get("text", "") for output in cell.outputs)


def pace(row, figure):
    """By what seconds that a lesson printed are multiplied, to be those of a laptop."""
    about = lesson(figure.lesson or SYSTEMS[row.system].lesson)[1].metadata.minidiff
    return seconds_on_laptop(about) / about["seconds"]


def total(row, figure):
    figures = figure if isinstance(figure, list) else [figure]
    return sum(look_up(row, each)[0] if not isinstance(each, int) else each for each in figures)


def size(row, figure, note=""):
    if isinstance(figure, str):
        return figure
    number = total(row, figure)
    unit, letter = next((unit, letter) for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if number >= unit)
    return f"{float(f'{number / unit:.3g}'):g} {letter}" + f" ({note})" * bool(note)


def seconds(row, figure, unit, note):
    """As words: two digits, and what belongs to them."""
    if figure == WHOLE:
        about = lesson(SYSTEMS[row.system].lesson)[1].metadata.minidiff
        return f"{WHOLE} {two_digits(seconds_on_laptop(about))}"
    if isinstance(figure, str):
        return figure
    found = 0.0
    for each in figure if isinstance(figure, list) else [figure]:
        number = look_up(row, each)[0] * unit
        if isinstance(each, Found):
            number = pace(row, each) * (1 / number if each.rate else number)
        found += number
    return two_digits(found) + f" ({note})" * bool(note)


def two_digits(number):
    return f"{float(f'{number:.2g}'):,g}"


def right(row):
    if isinstance(row.right, str):
        return row.right
    share, n = total(row, row.right.share), int(total(row, row.right.n))
    per = n if row.right.counted else 1 if isinstance(row.right.share, Card) else 100
    share = round(share / per * n) / n  # a whole count
    low, high = interval(share, n)
    words = f"{row.right.what} {100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f}) of {n}"
    return words + f"; {row.right.more}" * bool(row.right.more)


def rows():
    """Those whose lesson is there."""
    return [row for row in ROWS if lesson(SYSTEMS[row.system].lesson)]


def table():
    heads = ["system", "a toy of it, by lesson", "pictures", "parameters", "the real one's"]
    heads += ["trains, s", "draws one, s", "right"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows():
        system = SYSTEMS[row.system]
        paper = system.paper if system.paper.startswith("http") else f"https://arxiv.org/abs/{system.paper}"
        name = f"[{row.system}]({paper})" if system.paper else row.system
        where = f"[{system.lesson}]({link(system.lesson, row.section, '')}): {row.toy}"
        cells = [
            f"{name}, {system.year}",
            where,
            row.pictures,
            size(row, row.size),
            size(row, row.real, row.real_note),
            seconds(row, row.train, row.units[0], row.train_note),
            seconds(row, row.draw, row.units[1], row.draw_note),
            right(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def sources():
    """A row for each figure: where it stands, and the line."""
    lines = ["| system | figure | stands in | as |", "|---|---|---|---|"]
    for row in rows():
        figures = {"parameters": row.size, "the real one's": row.real, "trains": row.train, "draws one": row.draw}
        if isinstance(row.right, Right):
            figures |= {"right": row.right.share, "pictures": row.right.n}
        for name, figure in figures.items():
            for each in dict.fromkeys(figure if isinstance(figure, list) else [figure]):
                if isinstance(each, Found | Card):
                    _, where, line = look_up(row, each)
                    lines.append(f"| {row.system} | {name} | {where} | `{line.replace('|', '')}` |")
    return lines


def address(name):
    """Where the box of a system leads, as seen from docs/; None while its lesson is not there."""
    number, section = SYSTEMS[name].lesson, next((row.section for row in ROWS if row.system == name), "")
    return link(number, section, "../") if lesson(number) else None


def pages():
    """Pairs of a file's path and the text that belongs into it."""
    for name, made in {"README.md": table, "docs/family.md": sources}.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        if len(TABLE.findall(text)) != 1:
            raise SystemExit(f"{name}: no place for a table, between <!-- family --> and <!-- end -->")
        lines = "\n".join([*made(), ""])
        yield ROOT / name, TABLE.sub(lambda place: place[1] + lines + place[2], text)  # noqa: B023
    yield ROOT / "docs" / "family.svg", tree(SYSTEMS, address)


def main(arguments):
    changed = [(path, text) for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in changed:
        print(path.relative_to(ROOT), "is not what the lessons print" if arguments == ["--check"] else "written")
        if arguments != ["--check"]:
            path.write_text(text, encoding="utf-8")
    return bool(changed) and arguments == ["--check"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
