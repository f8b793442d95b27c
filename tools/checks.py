"""Tries all that is known to be right or wrong on the checks of the exercises: `make checks`.

python tools/checks.py            what changed since it was last tried, and writes tests/checks.json
python tools/checks.py 1.2 5      these exercises, and all of these lessons, changed or not
python tools/checks.py --all      everything: minutes
python tools/checks.py 1.2 --show also prints what each answer is told

For each exercise, with 20 seeds (or `--seeds`, which is kept beside the result): the solution and its other right
answers pass, each named mistake gets its own sentence, other wrong answers are rejected. With 3 seeds: mechanical
mutants of the solution are rejected, unless they are listed as equivalent, and the answers in tests/answers.jsonl,
written without knowledge of the checks, are judged as they should.
"""

import argparse
import ast
import contextlib
import copy
import hashlib
import io
import json
import keyword
import linecache
import os
import re
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MINIDIFF_HOME"] = ""

import torch
from tqdm import tqdm

from minidiff import check as engine
from minidiff.checks import exercises
from minidiff.checks.solution import PACKAGE, code_cells, needed, parsed

ROOT = Path(__file__).resolve().parent.parent
ANSWERS, RESULT, README = ROOT / "tests" / "answers.jsonl", ROOT / "tests" / "checks.json", ROOT / "exercises/README.md"
LESSONS = sorted(int(path.name[-2:]) for path in (PACKAGE / "checks").glob("lesson[0-9][0-9]"))
KINDS = "mistakes", "right", "foreign right", "wrong", "foreign wrong", "mutants", "equivalent"
PLACE = re.compile(r"(<!-- mutations -->\n).*(<!-- end -->)", re.DOTALL)
SEEDS, FEW = 20, 3


@cache
def every():
    """All exercises by number."""
    return {number: exercise for lesson in LESSONS for number, exercise in exercises(lesson).items()}


# ------------------------------------------------------------------------------------------ mutants


def mutants(number):
    """Pairs (edit, source of the cell): one operator, number, call or statement of the solution is another."""
    lesson, _, exercise = number.partition(".")
    source = dict(code_cells(int(lesson)))[f"answer-{lesson}-{exercise}"]
    lines, inside = set(), False
    for i, line in enumerate(source.splitlines(), 1):
        inside = inside and "### END" not in line or "### BEGIN" in line
        lines |= {i} if inside else set()
    seen = {ast.unparse(ast.parse(source))}
    for path, node in _nodes(ast.parse(source)):
        if getattr(node, "lineno", 0) not in lines:
            continue
        for new in _mutations(node):
            tree = ast.parse(source)
            edit = _replaced(tree, path, new)
            text = ast.unparse(ast.fix_missing_locations(tree))
            if text not in seen:
                seen.add(text)
                yield edit, text


def _nodes(node, path=()):
    """(path, node) of everything below; a path is of pairs (field, index or None)."""
    yield path, node
    for field, value in ast.iter_fields(node):
        if isinstance(node, ast.JoinedStr | ast.FormattedValue):
            continue
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield from _nodes(child, (*path, (field, i)))


def _replaced(tree, path, new):
    """Puts `new` there; what it is called: the smallest expression or statement around it, before and after."""
    node, chain = tree, []
    for field, i in path:
        chain.append((node, field, i))
        node = getattr(node, field) if i is None else getattr(node, field)[i]
    parent, field, i = chain[-1]
    around = None
    if isinstance(node, ast.Constant | ast.UnaryOp):  # what a number is an argument of, for others may be the same
        small = ast.UnaryOp | ast.Slice | ast.Tuple | ast.keyword
        around = next(
            (n for n, *_ in reversed(chain) if isinstance(n, ast.expr | ast.stmt) and not isinstance(n, small)), None
        )
    before = ast.unparse(around or node)
    if i is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[i] = new
    return " -> ".join(" ".join(text.split()) for text in (before, ast.unparse(around or new)))


BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
BINARY |= {ast.Pow: ast.Mult, ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult}
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARED |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}


def _mutations(node):
    def changed(**fields):
        new = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    if isinstance(node, ast.BinOp):
        yield changed(op=BINARY[type(node.op)]()) if type(node.op) in BINARY else node.left
        if not isinstance(node.op, ast.Add | ast.Mult):
            yield changed(left=node.right, right=node.left)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        yield changed(ops=[COMPARED[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BoolOp):
        yield changed(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield from (changed(value=node.value + 1), changed(value=node.value - 1))
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield changed(value=not node.value)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            yield node.func.value
        if node.args:
            yield node.args[0]
        if len(node.args) > 1:
            yield changed(args=[node.args[1], node.args[0], *node.args[2:]])
        for i in range(len(node.keywords)):
            yield changed(keywords=node.keywords[:i] + node.keywords[i + 1 :])
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield node.value
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Break | ast.Continue | ast.Raise):
        yield ast.Pass()
    elif isinstance(node, ast.If):
        yield from (changed(test=ast.Constant(True)), changed(test=ast.Constant(False)))


# ------------------------------------------------------------------------------------------ trying


def tried(number, answers, seed):
    """check(...) of these answers by name; solution and mistakes are called once a seed, for all that is tried."""
    exercise, known = every()[number], _known(number, seed)
    call = engine.call
    fixed = {id(f) for each in (exercise, *known["mistakes"]) for f in _answers(each).values()}

    def once(answers, case, seed=None):
        key = id(answers[case.name.partition(".")[0]]), id(case)
        if key[0] not in fixed or seed is not None:
            return call(answers, case, seed)
        if key not in known["calls"]:
            known["calls"][key] = call(answers, case)
        return known["calls"][key]

    drawn = replace(exercise, cases=lambda generator: known["cases"])
    alike = engine.alike if seed == 0 else lambda *args: ""  # what it finds is tried in test_check.py
    with mock.patch.multiple(engine, call=once, _exercise=lambda number: drawn, alike=alike):
        with contextlib.redirect_stdout(io.StringIO()):
            return engine.check(number, *answers.values(), seed=seed)


def _answers(each):
    return each.reference if hasattr(each, "reference") else each.answers


@cache
def _known(number, seed):
    exercise = every()[number]
    return {"cases": exercise.cases(torch.Generator().manual_seed(seed)), "calls": {}, "mistakes": exercise.mistakes}


def executed(code, names):
    """The answers that a text gives, by name."""
    name = f"<answer {hash(code)}>"
    linecache.cache[name] = len(code), None, code.splitlines(True), name
    space = {"__name__": "answer"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, name, "exec"), space)
    return {name: space[name] for name in names}


@cache
def foreign():
    return [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]


def kinds(number):
    """(kind, label, makes the answers, seeds, test of a result) of all that is tried on an exercise."""
    exercise, passed = every()[number], lambda result: result.status == "passed"

    def fails(result):
        return result.status != "passed"

    def rejected(result):
        return result.status == "not right yet" and "check itself failed" not in result.message

    def says(sentence):
        return lambda result: rejected(result) and " ".join(result.message.split()) == sentence

    yield "solution", "", lambda: exercise.reference, SEEDS, passed
    for each in exercise.right:
        yield "right", each.edit, lambda each=each: each.answers, SEEDS, passed
    for each in exercise.mistakes:
        yield "mistakes", each.edit, lambda each=each: each.answers, SEEDS, says(each.sentence)
    for each in exercise.wrong:
        yield "wrong", each.edit, lambda each=each: each.answers, SEEDS, rejected
    if not exercise.properties:  # an open exercise has other right answers
        equivalent = {each.edit for each in exercise.equivalent}
        for edit, text in mutants(number):
            kind = "equivalent" if edit in equivalent else "mutants"

            def made(text=text):
                names = exercise.solution.made(text)
                return {name: names[name] for name in exercise.solution.names}

            yield kind, edit, made, FEW, passed if kind == "equivalent" else fails
    for answer in foreign():
        if answer["exercise"] == number:
            kind, test = ("foreign right", passed) if answer["kind"] == "right" else ("foreign wrong", fails)
            given = answer["code"], answer["names"]
            yield kind, answer["label"], lambda given=given: executed(*given), FEW, test


def sweep(number, share=1.0, show=False, most=SEEDS):
    """(how many of each kind were tried, [what failed]): a seeded share of all that is known of an exercise."""
    torch.set_num_threads(1)
    counts, failed = {}, []
    chosen = torch.rand(10_000, generator=torch.Generator().manual_seed(0)).tolist()
    with mock.patch("minidiff.checks.attempt.SECONDS", 2), mock.patch("minidiff.checks.likeness.SECONDS", 0.1):
        for i, (kind, label, make, seeds, test) in enumerate(kinds(number)):
            if chosen[i] > share and kind != "solution":
                continue
            counts[kind] = counts.get(kind, 0) + 1
            try:
                answers = make()
            except Exception as error:
                if kind not in ("mutants", "foreign wrong"):  # these may fail to run at all
                    failed.append(f"{number} {kind}: {label}: cannot be made: {error}")
                continue
            names = every()[number].solution.names
            answers = dict(zip(names, answers.values(), strict=True))
            for seed in range(min(seeds, most) if share == 1 else 1):
                result = tried(number, answers, seed)
                if show and seed == 0:
                    print(f"{number} {kind}: {label}\n    {result.status}: {result.message}\n")
                if not test(result):
                    failed.append(f"{number} {kind}: {label} (seed {seed}): {result.status}: {result.message}")
                    break
    _known.cache_clear()  # all that was drawn and called: gigabytes
    return counts, failed


def digest(number):
    """A hash of what is tried on an exercise, and by what."""
    exercise, lesson = every()[number], number.partition(".")[0]
    own = PACKAGE / "checks" / f"lesson{int(lesson):02d}"
    files = [PACKAGE / "check.py", *sorted((PACKAGE / "checks").glob("*.py")), own / "__init__.py", Path(__file__)]
    files += (edits := list(own.glob(f"ex{number.partition('.')[2]}_*.py")))
    texts = [path.read_text(encoding="utf-8") for path in files if path.name != "grading.py"]
    words = {word for path in edits for word in re.findall(r"[^\W\d]\w*", path.read_text(encoding="utf-8"))}
    solution = exercise.solution  # with the statements before it that it, or an edit of it, can use
    used = set(needed("\n".join([solution.text, *words - set(keyword.kwlist)]), solution.earlier))
    before = [(cell, node) for cell in solution.earlier for node in parsed(cell) if node in used]
    texts += [solution.text, *(ast.get_source_segment(cell, node) for cell, node in before)]
    texts += [json.dumps(answer) for answer in foreign() if answer["exercise"] == number]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def write(results):
    results = {number: results[number] for number in every() if number in results}
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def kept():
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", help="exercises such as 1.2, lessons such as 1")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at most so many for each answer (%(default)s)")
    parser.add_argument("--show", action="store_true", help="print what each answer is told")
    args = parser.parse_args()

    before = kept()
    stale = [number for number in every() if before.get(number, {}).get("hash") != digest(number)]
    asked = [number for number in every() if {number, number.partition(".")[0]} & set(args.which)]
    numbers = list(every()) if args.all else asked if args.which else stale
    failed, results = [], {number: before[number] for number in every() if number in before}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        longest = sorted(numbers, key=lambda number: -len(every()[number].mistakes))
        jobs = {pool.submit(sweep, n, show=args.show, most=args.seeds): n for n in longest}
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="exercise"):
            number, (counts, wrong) = jobs[job], job.result()
            failed += wrong
            results.pop(number, None)
            if not wrong:
                results[number] = {"hash": digest(number), "seeds": args.seeds, **counts}
            write(results)
    print("\n".join(failed))
    text = README.read_text(encoding="utf-8")
    README.write_text(PLACE.sub(lambda place: place[1] + counted(results) + place[2], text), encoding="utf-8")
    print(counted(results), f"{len(failed)} failed")
    return bool(failed)


def counted(results):
    """What was tried, in words, for exercises/README.md."""
    n = {kind: sum(counts.get(kind, 0) for counts in results.values()) for kind in KINDS}
    mutants, right, wrong = (sum(n[kind] for kind in pair) for pair in (KINDS[5:], KINDS[1:3], KINDS[3:5]))
    text = f"""{len(results)} exercises. {n["mistakes"]:,} named mistakes are each told by their sentence, and {right}
    other right answers pass. Of {mutants:,} mechanical changes of the solutions {n["mutants"]:,} are
    rejected; the other {n["equivalent"]} change nothing, for a reason that stands with the exercise. {wrong:,} more
    wrong answers are rejected, {n["foreign wrong"]:,} of them written without knowledge of the checks."""
    return "\n".join(textwrap.wrap(" ".join(text.split()), 119)) + "\n"


if __name__ == "__main__":
    sys.exit(main())
