"""The solutions, as they stand in the solution notebooks: their text, what it makes, and what an edit of it makes."""

import ast
import json
import re
import symtable
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def code_cells(lesson: int) -> list[tuple[str, str]]:
    """(nbgrader's id or "", source) of the code cells of a lesson's solution notebook."""
    for folder in (PACKAGE.parent / "solutions", PACKAGE / "solutions"):  # in a clone; in a wheel
        for path in folder.glob(f"{lesson:02d}_*.ipynb"):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = [cell for cell in cells if cell["cell_type"] == "code"]
            return [(c["metadata"].get("nbgrader", {}).get("grade_id", ""), "".join(c["source"])) for c in code]
    raise FileNotFoundError(f"no solutions of lesson {lesson}: install minidiff again")


@cache
def parsed(source: str) -> list[ast.stmt]:
    """The statements of a notebook's cell, without its magics."""
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)).body


def defines(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a cell gives a meaning to; none for a loop, a condition or a call."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return set()


def uses(nodes: Iterable[ast.stmt]) -> set[str]:
    """The names that are read anywhere in them, but for a function's own."""
    tables = [symtable.symtable(ast.unparse(ast.Module(list(nodes), [])), "", "exec")]
    names = {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_referenced()}
    for table in tables:
        tables += table.get_children()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return names


def needed(source: str, earlier: Iterable[str]) -> list[ast.stmt]:
    """The statements of earlier cells that `source` needs, directly or not, in their order."""
    statements = [node for cell in earlier for node in parsed(cell) if defines(node)]
    wanted, chosen = uses(parsed(source)), set()
    while more := {i for i, node in enumerate(statements) if i not in chosen and defines(node) & wanted}:
        chosen |= more
        wanted |= uses(statements[i] for i in more)
    return [statements[i] for i in sorted(chosen)]


@dataclass(frozen=True)
class Solution:
    """An exercise's solution: the text of its cell, the cells before it, and the names that are asked for."""

    number: str
    text: str
    earlier: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    @cache
    def of(cls, number: str) -> "Solution":
        """The one of exercise "9.5", from cell answer-9-5; its names are what cell check-9-5 gives to `check`."""
        lesson, _, exercise = number.partition(".")
        cells = code_cells(int(lesson))
        place = [name for name, _ in cells].index(f"answer-{lesson}-{exercise}")
        asked = ast.parse(dict(cells)[f"check-{lesson}-{exercise}"]).body[0].value.args[1:]
        text = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cells[place][1], flags=re.MULTILINE)
        return cls(number, text, tuple(source for _, source in cells[:place]), tuple(name.id for name in asked))

    @cache  # noqa: B019  there are few, and they are kept anyway
    def around(self, lines: tuple[ast.stmt, ...]) -> dict:
        """The names that these statements of the cells before it make."""
        names = {"__name__": f"solution {self.number}"}
        exec(compile(ast.Module(list(lines), []), f"<before {self.number}>", "exec"), names)
        return names

    def made(self, text: str) -> dict:
        """All names that are known after this text, in the place of the solution's."""
        names = dict(self.around(tuple(needed(text, self.earlier))))
        exec(compile(text, f"<solution {self.number}>", "exec"), names)
        return names

    @cached_property
    def namespace(self) -> dict:
        return self.made(self.text)

    @cached_property
    def answers(self) -> dict[str, Callable]:
        return {name: self.namespace[name] for name in self.names}

    def variant(self, edit: str, known: dict) -> dict[str, Callable]:
        """The answers with an edit. ValueError if it does not fit.

        old -> new          in the solution's text, where `old` stands once. "\\n" begins a new line
        name := expression  a function, or a class's method ("Class.method"), in the place of the solution's. The
                            expression may use the solution's names, and those in `known`
        a -> b && c -> d    several edits
        """
        if replaced := re.match(r"(\w+)(?:\.(\w+))? := ", edit):
            name, method = replaced.groups()
            value = eval(edit[replaced.end() :], known | self.namespace)
            if method:
                base = self.answers[name]
                value = type(name, (base,), {method: value})
            return self.answers | {name: value}
        text = self.text
        for each in edit.split(" && "):
            old, arrow, new = (each + " ").partition(" -> ")
            old, new = (part.strip(" ").replace("\\n", "\n") for part in (old, new))
            if not arrow or text.count(old) != 1:
                raise ValueError(f"{self.number}: {old!r} stands {text.count(old)} times in the solution, expected 1")
            text = text.replace(old, new)
        names = self.made(text)
        return {name: names[name] for name in self.names}
