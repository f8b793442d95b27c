"""The check engine, on a small exercise: y = 3 a + b."""

import math
import random
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from minidiff import check as engine
from minidiff.check import check, hint, passed, summary
from minidiff.checks import Case, Exercise, Variant, attempt, blocks, exercises
from minidiff.checks.compare import Printed, brief, difference
from minidiff.checks.parts import table
from minidiff.checks.senses import without_effect
from minidiff.checks.solution import Solution, needed

calls = []


def right(a, b):
    return 3 * a + b


def cases(g):
    return [Case("mix", (_mixed(g, *shape), _mixed(g, *shape))) for shape in ((5,), (2, 3))]


def _mixed(g, *shape):
    """Numbers of both signs, none near 0: five of randn have one sign in every sixteenth draw, and no sign to lose."""
    signs = (-1) ** torch.randperm(math.prod(shape), generator=g)
    return (signs * (0.5 + torch.rand(len(signs), generator=g, dtype=torch.float64))).reshape(shape)


class Counter:
    start = 1

    def count(self, n):
        return n + 1

    def table(self):
        print("the answer is 42")


def made(title, reference, cases, *mistakes, **options):
    """An exercise whose solution stands here; mistakes are pairs of a sentence and answers."""
    solution = SimpleNamespace(answers=reference, variant=lambda edit, known: reference | known[edit])
    named = tuple(Variant(sentence, sentence, solution, {sentence: answers}) for sentence, answers in mistakes)
    return Exercise("98", title, solution, cases, mistakes=named, **{"hints": ("none",)} | options)


TOY = made(
    "mix",
    {"mix": right},
    cases,
    ("You swapped a and b.", {"mix": lambda a, b: 3 * b + a}),
    ("You forgot an axis.", {"mix": lambda a, b: torch.cat([right(a, b), b[None]])}),
    hints=("first", "second"),
)
CLASS = made(
    "counter",
    {"Counter": Counter},
    lambda g: [
        Case("Counter.start"),
        Case("Counter.count", (3,)),
        Case("Counter.table", (), table(("answer", [42], 0.5))),
    ],
)
OPEN = made(
    "any even number",
    {"even": lambda: 2},
    lambda g: [Case("even", ())],
    properties=(("It is odd.", lambda results: all(value % 2 == 0 for _, value in results)),),
)
NOISE = made(
    "noise that is given, and None where it is 0",
    {"noisy": lambda x, eps: x + eps if x.any() else None},
    lambda g: [Case("noisy", (x, torch.randn(4, generator=g))) for x in (torch.ones(4), torch.zeros(4))],
    learns=("eps",),
)


def walk(f, x, y, n):
    for i in range(n):
        x = f(x, i)
    return x + y


WALK = made(
    "a function that is given, and single numbers",
    {"walk": walk},
    lambda g: [
        Case("walk", (lambda x, i: x**2 + 0.3 * i + 0.3, x, y, 3))
        for x, y in torch.rand(4, 2, generator=g, dtype=torch.float64).tolist()
    ],
)


class Line:
    def __init__(self, slope, layer):
        self.slope, self.layer = slope, layer

    def at(self, x):
        return self.slope * self.layer(x)


def slope(loss):
    """What a weight that the loss was made with would be told."""
    return torch.autograd.grad(loss, WEIGHT)[0] if loss.requires_grad else "no gradient"


WEIGHT = torch.tensor(2.0, requires_grad=True)
MODULE = made(
    "a class made with arguments, a module among them; and the gradient of what is returned",
    {"Line": Line, "loss": lambda layers, x: WEIGHT * layers[0](x).mean()},
    lambda g: [
        Case("Line.at", (torch.randn(4, 3, generator=g),), made_with=(_whole(g), torch.nn.Linear(3, 2))),
        Case("loss", ([torch.nn.Linear(3, 2)], torch.randn(4, 3, generator=g)), read=slope),
    ],
    ("It is cut off.", {"loss": lambda layers, x: (WEIGHT * layers[0](x).mean()).detach()}),
)


def _whole(g):
    return int(torch.randint(2, 9, (), generator=g))


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    toys = {"98.1": TOY, "98.2": CLASS, "98.3": OPEN, "98.4": MODULE, "98.5": NOISE, "98.6": WALK}
    monkeypatch.setattr(engine, "exercises", lambda lesson: toys if lesson == "98" else exercises(lesson))
    monkeypatch.setattr(engine, "_results", {})
    monkeypatch.setattr(engine, "_hints_given", {})
    calls.clear()


def says(answer, *texts, number="98.1"):
    result = check(number, answer)
    assert not result and not passed(number)
    for text in texts:
        assert text in str(result)
    return result


def test_a_right_answer_passes_and_the_result_is_shown(capsys):
    assert check("98.1", lambda a, b: b + a * 3)
    assert passed("98.1")
    assert capsys.readouterr().out == "98.1 passed\n"


def test_a_named_mistake_gets_its_sentence():
    result = says(lambda a, b: a + 3 * b)
    assert result.message == "You swapped a and b."


@pytest.mark.parametrize(
    "answer, texts",
    [
        (lambda a, b: 0 * a, ["every entry is 0"]),
        (lambda a, b: -right(a, b), ["wrong sign"]),
        (lambda a, b: 2.5 * right(a, b), ["2.5 times what it should be"]),
        (lambda a, b: right(a, b) + 0.25, ["too large by 0.25"]),
        (lambda a, b: right(a, b).flip(0), ["reverse order"]),
        (lambda a, b: right(a, b).float(), ["got dtype torch.float32, expected torch.float64", ".to("]),
        (lambda a, b: right(a, b)[None], ["got shape (1, 5), expected (5,)", "but for axes of length 1"]),
        (lambda a, b: right(a, b).to("meta"), ["meta", "expected cpu"]),
        (lambda a, b: right(a, b) / 0, ["nan or infinite, the first at index 0"]),
        (lambda a, b: right(a, b).numpy(), ["got a ndarray", "not numpy's"]),
        (lambda a, b: 3.0, ["got a float, expected a torch tensor"]),
        (lambda a, b: right(a, b).tolist(), ["got a list"]),
        (lambda a, b: "text", ["got a str"]),
        (lambda a, b: a, ["5 of 5 entries differ, the first at index 0: got"]),
        (lambda a, b: torch.cat([right(a, b)[:-1], b[-1:]]), ["1 of 5 entries differ, the first at index 4"]),
    ],
)
def test_another_wrong_answer_is_told_how_it_differs(answer, texts):
    says(answer, "mix(float64 tensor (5,), float64 tensor (5,)): ", *texts)


@pytest.mark.parametrize(
    "number, answer, text",
    [
        ("98.1", lambda a, b: a, "What comes out is a itself."),
        ("98.1", lambda a, b: 3 * a - b, "It is what it should be minus 2 times b."),
        ("98.1", lambda a, b: 3 * a.flip(0) + b, "That is what comes out with a.flip(0) in place of a."),
        ("98.1", lambda a, b: 3 * a[:1] + b, "That is what comes out with a[0] for every entry in place of a."),
        ("98.1", lambda a, b: 3 * a**2 + b, "That is what comes out with a**2 in place of a."),
        ("98.6", lambda f, x, y, n: walk(f, x, y, n - 1), "That is what comes out with n - 1 in place of n."),
        ("98.6", lambda f, x, y, n: walk(f, y, x, n), "That is what comes out with x and y exchanged."),
        ("98.6", lambda f, x, y, n: x * y + n, "It never calls f."),
        ("98.6", lambda f, x, y, n: f(f(x, n - 3), 1) + 7 * x * y, "It calls f 2 times, expected 3."),
        (
            "98.6",
            lambda f, x, y, n: f(f(f(x, 1), 1), 2) + y,
            "In call 1 of f, argument 2 is not what it should be: got 1",
        ),
        ("98.6", lambda f, x, y, n: walk(lambda x, i: f(x + i, i), x, y, n), "In call 2 of f, argument 1 is not"),
        ("98.6", lambda f, x, y, n: 2 * walk(f, x, y, n), "In each of 4 calls: it is 2 times what it should be."),
        ("98.1", lambda a, b: 3 * abs(a - a.mean()) + b**3, "In this call it makes no difference which signs a has."),
        ("98.1", lambda a, b: 3 * a**3 + b[:1] ** 3, "In this call it makes no difference what b[1, 2, 3, 4] is."),
    ],
)
def test_a_result_that_no_mistake_gives_is_told_what_it_is_like(number, answer, text):
    says(answer, text, number=number)


def test_a_function_with_a_memory_is_given_afresh_to_each_call(monkeypatch):
    class Dice:
        thrown = 0

        def __call__(self):
            self.thrown += 1
            return float(self.thrown)

        def __eq__(self, other):
            return isinstance(other, Dice)

    dice = Dice()
    game = made("two dice", {"play": lambda d: d() + 10 * d()}, lambda g: [Case("play", (dice,))])
    monkeypatch.setattr(engine, "exercises", lambda lesson: {"98.1": game})
    says(lambda d: 10 * d() + d(), "got 12, expected 21")
    assert dice.thrown == 0 and check("98.1", lambda d: d() + 10 * d())


def test_two_named_mistakes_at_once_are_named(monkeypatch):
    solution = Solution("98", "def mix(a, b):\n    return 3 * a + b\n", (), ("mix",))
    edits = ("3 * a -> 4 * a", "Four."), ("+ b -> - b", "Minus."), ("mix := lambda a, b: a * b", "Times.")
    mistakes = tuple(Variant(*edit, solution, {}) for edit in edits)
    monkeypatch.setattr(engine, "exercises", lambda lesson: {"98.1": Exercise("98", "", solution, cases, (), mistakes)})
    says(lambda a, b: 4 * a - b, "That is what comes out if two things are wrong at once: Four. And: Minus.")


@pytest.mark.parametrize("answer", [lambda a, b: None, lambda a, b: ..., None, ...])
def test_an_unfinished_answer_is_no_error(answer):
    assert says(answer).status == "to do"


def unfinished(a, b):
    raise NotImplementedError


def test_the_stub_is_unfinished():
    assert says(unfinished, "mix is not written yet").status == "to do"


def test_an_answer_is_found_by_its_name(monkeypatch):
    assert check("98.1").status == "to do"
    monkeypatch.setattr(sys.modules["__main__"], "mix", right, raising=False)
    assert check("98.1")


def broken(a, b):
    c = a + 1
    return torch.cat([c, "text"])  # the line to be shown


def test_an_error_is_said_with_the_readers_own_line():
    result = says(broken, "stopped with TypeError", "return torch.cat([c,", "of broken")
    assert str(result).count("\n") == 1


def test_wrong_arguments_are_an_error_of_theirs():
    says(lambda a: a, "TypeError", "takes 1 positional argument")


class Nasty(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [SystemExit, RecursionError, Nasty, GeneratorExit, MemoryError, StopIteration])
def test_any_error_is_caught(error):
    def answer(a, b):
        raise error

    says(answer, error.__name__)


def test_endless_recursion_ends():
    def answer(a, b):
        return answer(a, b)

    says(answer, "RecursionError")


def test_ctrl_c_passes():
    def answer(a, b):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("98.1", answer)


@pytest.mark.skipif(not hasattr(attempt.signal, "setitimer"), reason="no timer on this platform")
def test_an_endless_loop_ends(monkeypatch):
    monkeypatch.setattr(attempt, "SECONDS", 0.3)

    def answer(a, b):
        try:
            while True:
                pass
        except Exception:
            return a

    handler = attempt.signal.getsignal(attempt.signal.SIGALRM)
    start = time.perf_counter()
    says(answer, "longer than 0.3 seconds")
    assert time.perf_counter() - start < 2
    assert attempt.signal.getsignal(attempt.signal.SIGALRM) == handler
    assert attempt.signal.getitimer(attempt.signal.ITIMER_REAL) == (0, 0)


@pytest.mark.skipif(not hasattr(attempt.signal, "setitimer"), reason="no timer on this platform")
def test_an_import_is_not_ended_half_way(monkeypatch, tmp_path):
    (tmp_path / "slow_to_load.py").write_text(
        "import time\n\nend = time.thread_time() + 0.8\nwhile time.thread_time() < end:\n    pass\nready = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(attempt, "SECONDS", 0.3)

    def answer(a, b):
        import slow_to_load

        return slow_to_load.ready * right(a, b)

    check("98.1", answer)  # the first call may have had its time when it was loaded
    assert check("98.1", answer)


@pytest.mark.skipif(not hasattr(attempt.signal, "setitimer"), reason="no timer on this platform")
def test_an_endless_loop_is_waited_for_once(monkeypatch):
    monkeypatch.setattr(attempt, "SECONDS", 0.3)

    def answer(a, b):
        calls.append(0)
        while True:
            pass

    calls.clear()
    says(answer, "takes longer than 0.3 seconds")
    assert len(calls) == 1


@pytest.mark.skipif(not hasattr(attempt.signal, "setitimer"), reason="no timer on this platform")
def test_who_waits_for_a_busy_machine_is_given_more_time(monkeypatch):
    monkeypatch.setattr(attempt, "SECONDS", 0.3)

    def waits(seconds):
        return lambda x, eps: time.sleep(seconds) or (x + eps if x.any() else None)

    assert check("98.5", waits(0.4))
    says(waits(60), "takes longer than 0.3 seconds", number="98.5")


def test_in_a_thread_there_is_no_limit_and_it_works():
    found = []
    thread = threading.Thread(target=lambda: found.append(check("98.1", right)))
    thread.start()
    thread.join(60)
    assert found[0]


def test_printing_is_captured_and_told(capsys):
    def answer(a, b):
        for _ in range(3000):
            print("noise")
        return right(a, b)

    assert "printed 36,000 characters" in str(check("98.1", answer))
    assert "noise" not in capsys.readouterr().out


def test_printing_for_returning_is_told():
    says(lambda a, b: print(a), "prints something and returns nothing")


def test_changing_the_input_is_told():
    says(lambda a, b: a.mul_(3).add_(b), "mix changes a, which it is given: make a new tensor")


def test_an_input_that_learns_afterwards_was_changed():
    says(lambda a, b: right(a.requires_grad_(), b), "mix changes a, which it is given: leave its requires_grad alone")


def test_a_view_of_the_input_is_compared_as_it_was():
    memory = torch.zeros(100, dtype=torch.float64)

    def answer(a, b):  # each result shares memory with the one before it
        return memory[: a.numel()].view(a.shape).copy_(right(a, b))

    assert check("98.1", answer)


def seeds_torch(a, b):
    torch.manual_seed(0)
    return right(a, b)


def seeds_numpy(a, b):
    np.random.seed(0)
    return right(a, b)


def seeds_python(a, b):
    random.seed(0)
    return right(a, b)


def draws(a, b):
    torch.rand(1)
    return right(a, b)


def numbers():
    return torch.rand(1), np.random.rand(), random.random()


def in_force():
    torch.manual_seed(0)  # the very seed the answer sets
    np.random.seed(0)
    random.seed(0)


@pytest.mark.parametrize("answer", [seeds_torch, seeds_numpy, seeds_python, draws])
def test_the_global_random_state_is_guarded_and_put_back(answer):
    in_force()
    expected = numbers()
    in_force()
    if answer is draws:  # a layer that is filled anew draws numbers, and hurts nobody
        assert check("98.1", answer)
    else:
        says(answer, "mix sets a seed of the whole notebook")
    assert numbers() == expected


def test_noise_of_ones_own_is_told_and_what_was_given_is_named():
    says(lambda x, eps: x + torch.randn(4), "noisy draws random numbers of its own", "Use eps", number="98.5")
    generator = "It comes out the same whatever eps is"
    says(lambda x, eps: x + torch.randn(4, generator=torch.Generator().manual_seed(1)), generator, number="98.5")


def test_what_a_nan_is_made_of_is_not_guessed():
    result = says(lambda x, eps: (x + eps) * torch.nan, "4 of 4 entries are nan", number="98.5")
    assert "the same whatever" not in result.message


def test_a_whole_number_that_is_halved_has_an_effect():
    halved, cases = {"f": lambda x, n: x * (n // 2)}, [Case("f", (torch.ones(3), 8))]
    assert without_effect({"f": lambda x, n: x * n // 2 + n // 2}, halved, cases) == []
    assert without_effect({"f": lambda x, n: x + n // 2}, halved, cases) == []
    assert without_effect({"f": lambda x, n: x + 4}, halved, cases) == ["n"]


def test_none_is_an_answer_where_it_is_asked_for():
    assert check("98.5", lambda x, eps: x + eps if x.any() else None)
    says(lambda x, eps: x + eps, "got float32 tensor (4,), expected None", number="98.5")
    says(lambda x, eps: None if x.any() else x, "got None, expected float32 tensor (4,)", number="98.5")
    assert says(lambda x, eps: None, "gives nothing yet", number="98.5").status == "to do"


def test_a_gradient_has_to_reach_what_learns():
    says(lambda x, eps: x + eps.detach() if x.any() else None, "no gradient comes back", number="98.5")
    half = lambda x, eps: x + eps / 2 + eps.detach() / 2 if x.any() else None  # noqa: E731
    says(half, "the gradient that reaches eps is not", number="98.5")
    steep = lambda x, eps: x + eps + (0 * eps).sqrt() if x.any() else None  # noqa: E731
    says(steep, "the gradient that reaches eps is nan or infinite", number="98.5")


def test_a_gradient_reaches_an_argument_by_whatever_name():
    assert check("98.5", lambda picture, noise: picture + noise if picture.any() else None)


def test_a_passed_answer_is_told_what_would_stop_on_a_gpu():
    here = check("98.1", lambda a, b: a * torch.full(a.shape[-1:], 3.0, dtype=a.dtype) + b)
    assert here and "On a GPU it would stop" in here.message and "torch.full(" in here.message
    assert check("98.1", lambda a, b: a * torch.full_like(a, 3) + b).message == ""
    assert check("98.1", lambda a, b: a * torch.tensor(3.0) + b).message == ""  # one number may be anywhere


def test_a_mistake_that_stops_is_named_by_its_error():
    assert says(lambda a, b: torch.cat([a * 3 + b, b[None]])).message == "You forgot an axis."


def test_an_answer_that_depends_on_the_number_of_calls_is_told():
    def answer(a, b):
        calls.append(1)
        return right(a, b) + len(calls) // 3

    says(answer, "another result when it is called again")


def test_an_answer_that_remembers_its_first_result_fails():
    def answer(a, b, cache={}):  # noqa: B006
        return cache.setdefault(a.shape, right(a, b))

    assert check("98.1", answer)
    assert not check("98.1", answer)


def test_what_is_no_function_is_told():
    says(torch.ones(2), "got a Tensor, expected the function mix itself")
    says(Counter(), "expected the class Counter itself", number="98.2")
    assert "got 2 answers, expected 1: mix" in str(check("98.1", right, right))


def test_a_class_is_checked_method_by_method():
    assert check("98.2", Counter)
    says(type("Other", (Counter,), {"start": 2}), "Counter().start: got 2, expected 1", number="98.2")

    class Half(Counter):
        def table(self):
            raise NotImplementedError

    assert "Counter.table is not written yet" in str(check("98.2", Half))
    assert "has no attribute 'start'" in str(check("98.2", type("Empty", (), {})))
    late = type("Late", (Counter,), {"count": lambda self, n: torch.tensor(n + 1)})
    says(late, "got a Tensor, expected a whole number: end with int(...)", number="98.2")
    assert says(type("Quiet", (Counter,), {"table": lambda self: None}), number="98.2").status == "to do"


def halves(layers, x):
    with torch.no_grad():
        layers[0].weight /= 2
    return WEIGHT * layers[0](x).mean()


def test_a_class_is_made_with_arguments_modules_are_compared_and_results_are_read():
    right = MODULE.reference
    assert check("98.4", *right.values())
    wrong = type("Wrong", (Line,), {"at": lambda self, x: self.layer(x)})
    text = str(check("98.4", wrong, right["loss"]))
    assert ", Linear).at(float32 tensor (4, 3)): every entry is" in text
    assert str(check("98.4", Line, lambda *args: right["loss"](*args).detach())).endswith("It is cut off.")
    text = str(check("98.4", Line, lambda *args: 3 * right["loss"](*args)))
    assert "loss([Linear], float32 tensor (4, 3)): got" in text
    assert "loss changes layers, which it is given: work on a copy" in str(check("98.4", Line, halves))
    assert "has no attribute 'requires_grad'" in str(check("98.4", Line, lambda layers, x: 1.0))


def test_a_mistake_that_spoils_a_method_which_is_right_is_not_named(monkeypatch):
    class Wrong(Counter):
        start = 0

        def count(self, n):
            return n + self.start

    exercise = made("counter", CLASS.reference, CLASS.cases, ("start is not 1.", {"Counter": Wrong}))
    monkeypatch.setattr(engine, "_exercise", lambda number: exercise)
    says(type("Theirs", (Counter,), {"count": lambda self, n: n}), "got 3, expected 4", number="98.3")
    says(Wrong, "start is not 1.", number="98.3")


def test_an_open_exercise_accepts_what_has_its_properties():
    assert check("98.3", lambda: 4)
    assert says(lambda: 3, number="98.3").message == "It is odd."
    says(lambda: "4", "got a str, expected a whole number", number="98.3")


@pytest.mark.parametrize("number", ["98.9", "77.1", "nonsense", "", None, 98.1, [], "98.1.1"])
def test_no_number_of_an_exercise_makes_it_raise(number):
    check(number, right)
    hint(number)
    passed(number)
    summary()


def test_without_a_number_they_say_what_is_missing(capsys):
    check()
    hint()
    assert capsys.readouterr().out.count("expected the number of an exercise in quotes") == 2


def test_a_seed_repeats_the_inputs():
    def answer(a, b):
        calls.append(a)
        return right(a, b)

    for seed in (1, 1, 2):
        check("98.1", answer, seed=seed)
    assert torch.equal(calls[0], calls[3]) and not torch.equal(calls[0], calls[6])


def test_hints_come_one_at_a_time(capsys):
    for _ in range(3):
        hint("98.1")
    assert capsys.readouterr().out.split("\n")[:-1] == [
        "98.1 hint 1 of 2: first",
        "98.1 hint 2 of 2: second",
        "98.1 hint 1 of 2: first",
    ]


def test_summary_lists_what_is_to_do(capsys):
    check("98.1", right)
    check("98.2", ...)
    capsys.readouterr()
    summary()
    assert [line.split("  ")[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["1 of 6 passed"],
        ["98.1", "passed"],
        ["98.2", "to do"],
        ["98.3", "not checked"],
        ["98.4", "not checked"],
        ["98.5", "not checked"],
        ["98.6", "not checked"],
    ]


def test_a_notebook_gets_html_with_a_sign_and_escaped_text(monkeypatch):
    shown = []
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: type("Shell", (), {"kernel": True})
    ipython.display = type("D", (), {"display": staticmethod(lambda data, raw: shown.append(data))})
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    check("98.1", lambda a, b: "<b>")
    hint("98.1")
    assert "✗" in shown[0]["text/html"] and "98.1 not right yet" in shown[0]["text/html"]
    assert "&lt;" not in shown[0]["text/plain"] and "?" in shown[1]["text/html"]


WIDE = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    "got, expected, text",
    [
        (2, 2, ""),
        (True, 1, "got a bool"),
        (1, True, "expected a bool"),
        (2.0, 2, "expected a whole number"),
        (2, 2.0, ""),
        (31, 12, "got 31, expected 12"),
        (23652, 23868, "got 23652, expected 23868: too small by 216"),
        (float("nan"), 2.0, "got nan, expected 2"),
        (float("nan"), float("nan"), ""),
        (float("inf"), float("inf"), ""),
        ([1, 2], (1, 2), ""),
        ([1], (1, 2), "got 1 items, expected 2"),
        ([1, "a"], [1, "b"], "item 1, the first that differs: got 'a'"),
        ({"a": 1.0}, {"a": 2.0}, "item 'a': got 1, expected 2"),
        ({"a": 1.0}, {"b": 1.0}, "got 1 keys, expected 1: 'b' missing; 'a' too many"),
        ([1, 3], [1, 2, 3], "got 2 items, expected 3: item 1 is missing, the others are right"),
        ([0.25, 0.5, 1.5], [1.5, 0.5, 0.25], "in reverse order"),
        (WIDE + 1e-4 * WIDE**3, WIDE, "24 of 24 entries differ, none by more than 0.00"),
        (4096, 1024, "got 4096, expected 1024: 4 times as much"),
        ({"a": torch.ones(2)}, {"a": torch.ones(2)}, ""),
        ({"a": 1.0}, [1.0], "got a dict, expected a list"),
        (None, None, ""),
        (torch.tensor([torch.inf, torch.nan]), torch.tensor([torch.inf, torch.nan]), ""),
        (torch.tensor([1.0, 2.0]), torch.tensor([torch.inf, 2.0]), "1 of 2 entries differ"),
        (torch.tensor(1.5), torch.tensor(1.0), "got 1.5, expected 1"),
        (torch.zeros(0), torch.zeros(0), ""),
        (torch.tensor([True, False]), torch.tensor([True, True]), "1 of 2 entries differ, the first at index 1"),
        (torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 3.0]]), "index [1, 1]"),
        (torch.arange(6.0).view(2, 3).flip(1), torch.arange(6.0).view(2, 3), "in reverse order along axis 1"),
        (torch.arange(4.0).view(2, 2).T, torch.arange(4.0).view(2, 2), "axes 0 and 1 are exchanged"),
        (torch.tensor([3.0, 1, 2]), torch.tensor([1.0, 2, 3]), "1 place too late"),
        (torch.tensor([2.0, 1, 3]), torch.tensor([1.0, 2, 3]), "in another order"),
        (torch.tensor([1.00002, 2.00004]), torch.tensor([1.0, 2.0]), "1.00002 times what it should be"),
        (torch.tensor([4.0, 9.0]), torch.tensor([2.0, 3.0]), "the square of what it should be"),
        (torch.ones(2), torch.ones(2).long(), "whole numbers, such as indices, are asked for"),
        (3 * WIDE - 1, WIDE, "every entry is 3 times what it should be, minus 1"),
        (WIDE.exp(), WIDE, "the exponential of what it should be"),
        (WIDE.abs(), WIDE, "right, but without their signs"),
        (WIDE.round(), WIDE, "rounded to whole numbers"),
        (WIDE.clamp(-0.5, 0.5), WIDE, "right, but cut off below -0.5 and above 0.5"),
        (WIDE, WIDE.clamp(max=0.5), "right, but what is above 0.5 should be cut off"),
        (WIDE.cumsum(1), WIDE, "added up along axis 1"),
        (WIDE[:1].expand(4, 6), WIDE, "along axis 0 (0 is the first) is what only the first one should be"),
        (WIDE.mean(1, True).expand(4, 6), WIDE, "along axis 1 (0 is the first) is the mean"),
        (WIDE * torch.arange(1, 5)[:, None], WIDE, "a number of its own: 1, 2, 3, ..."),
        (WIDE.view(2, 2, 6).permute(1, 0, 2), WIDE.view(2, 2, 6), "axes 0 and 1 are exchanged"),
        (WIDE.view(2, 2, 2, 3).permute(1, 3, 0, 2).reshape(2, 2, 2, 3), WIDE.view(2, 2, 2, 3), "in another order"),
        (WIDE.float().double(), WIDE, "right to some seven digits only"),
        (WIDE.where(WIDE < 0.8, torch.nan), WIDE, "; the others are right"),
        (torch.cat([WIDE[:3], 7 + WIDE[3:] ** 3]), WIDE, "6 of 24 entries differ, all at index 3 along axis 0"),
        (torch.cat([WIDE[:2], 7 + WIDE[2:] ** 3]), WIDE, "all from index 2 on along axis 0"),
        (torch.cat([7 + WIDE[:1] ** 3, WIDE[1:2], 7 + WIDE[2:] ** 3]), WIDE, "those at index 1 along axis 0 are right"),
        (WIDE.T, WIDE, "the numbers are right, but the axes stand as (1, 0)"),
        (WIDE.flatten(), WIDE, "the numbers are right, and in the same order"),
        (torch.tensor([1.0, 0, 0, 1]), torch.tensor([1.0, 0, 1, 0]), "2 of 4 entries differ"),
        (torch.ones(2).long(), torch.ones(2), "floats are asked for"),
        (torch.ones(6, 4).double(), WIDE, "with the same number of entries"),
        (WIDE.mean(1), WIDE, "it is the mean of what it should be over axis 1"),
        (WIDE.sum(), WIDE, "it is the sum of what it should be over all"),
        (WIDE[:, 1:], WIDE, "the last entries are right, and the others missing"),
        (WIDE[:1].expand(4, 6), WIDE[:1], "but repeated"),
        (Printed(a=[1.0, 3.0]), Printed(a=[1.0, 2.0]), "number 2 in the line with 'a': got 3, expected 2"),
        (Printed(a=None), Printed(a=[1.0]), "there is no line with 'a'"),
    ],
)
def test_difference(got, expected, text):
    assert text in difference(got, expected, 1e-8) if text else difference(got, expected, 1e-8) == ""


@pytest.mark.parametrize(
    "value, text",
    [
        ({"a": torch.ones(2), "b": 1.5}, "{'a': float32 tensor (2,), 'b': 1.5}"),
        (SimpleNamespace(f=lambda x: x), "SimpleNamespace"),
        ([0.25, "b"], "[0.25, 'b']"),
    ],
)
def test_an_argument_is_shown_in_a_few_characters(value, text):
    assert brief(value) == text


def test_a_printed_table_is_read_by_row_and_column():
    read = table(("total", [1200, 3.5], 0.05), ("0", [0, 1], 0.5))
    assert read("| Total: 1,200 | x | 3.46 |\n0: 1") == {"total": [1200, 3.5], "0": [0, 1]}
    assert read("total 3.46 1200\n10: 1\n0.0: 7") == {"total": [3.46, 1200], "0": None}


def test_a_table_without_a_line_is_compared_with_another():
    read, texts = table(("a", [1.0, 0.5], 0.1)), ("b", "a 1 0.5", "a 1.04 7", "a 1.04 7 8")
    found = [read(text) for text in texts]
    for i, got in enumerate(found):
        assert [not difference(got, expected, 1e-9) for expected in found] == [j == i for j in range(len(found))]
    assert "number 2 in the line with 'a': got 7" in difference(found[2], found[1], 1e-9)


def test_edits_and_their_sentences_are_read():
    assert blocks("""
        a -> b
            One line,
            and another.
        c := lambda x: x
    """) == [("a -> b", "One line, and another."), ("c := lambda x: x", "")]


TEXT = "def double(x):\n    y = 2 * x\n    return y"


def test_an_edit_makes_another_answer():
    solution = Solution("98.1", TEXT, ("K = 2", "import math\nL = K\nprint(undefined)"), ("double",))
    edits = {"2 * x -> 3 * x": 9, "y = 2 * x -> y = 2 * x\\n    y += 1": 7, "double := lambda x: double(x) + n": 16}
    edits |= {"2 * x -> 4 * x && return y -> return y / 2": 6, "2 * x -> K * L * x": 12}
    for edit, expected in edits.items():
        assert solution.variant(edit, {"n": 10})["double"](3) == expected
    for edit in ("3 * x -> x", "y -> z", "no arrow"):
        with pytest.raises(ValueError, match="times in the solution, expected 1"):
            solution.variant(edit, {})


def test_only_what_an_answer_needs_is_taken_from_the_cells_before_it():
    cells = ["import math, os\nA = math.pi", "def f():\n    return A\nB = f()\n%time", "C = undefined"]
    assert [line for node in needed("B + len([])", cells) for line in [node.lineno]] == [1, 2, 1, 3]
    assert needed("def g(C):\n    B = C\n    return B", cells) == []
