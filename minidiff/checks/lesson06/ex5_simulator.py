"""6.5 CFGSimulator: similarity, norm and amplification."""

import math
import re

import torch

from minidiff.checks import Case
from minidiff.checks.parts import table, uniform, whole
from minidiff.checks.solution import Solution

ATOL = 1e-4
SCALES = (1, 3, 5, 7.5, 10, 15, 20)


def _rows(made_with, scales):
    """What `run` has to print for each scale, to three decimals, in a line that begins with it."""
    right = Solution.of("6.5").answers["CFGSimulator"](*made_with)
    rows = ((f"{s:g}", [s, right.cosine_similarity(s), right.norm(s), right.amplification(s)], 1.1e-3) for s in scales)
    read = table(*rows)

    def begun(text):
        found = (re.match(r"[\s|*>]*(-?\d+(?:\.\d+)?)(?=[\s|:,;]|$)(.*)", line) for line in text.splitlines())
        return read("\n".join(f"{float(line[1]):g} {line[2]}" for line in found if line))

    return begun


def _last(made_with, scales):
    """The threshold that the last line has to name."""
    threshold = Solution.of("6.5").answers["CFGSimulator"](*made_with).find_threshold(scales)

    def read(text):
        line = next((line.lower() for line in reversed(text.splitlines()) if line.strip()), "")
        found = ["none"] if re.search(r"\bnone\b", line) else re.findall(r"-?\d+(?:\.\d+)?|\binf\b|\bnan\b", line)
        values = [f"{float(word):g}" if word != "none" else word for word in found] or ["no threshold"]
        return f"{threshold:g}" if f"{threshold:g}" in values and threshold < math.inf else values[-1]

    return read


def cases(g):
    def made(n, share):
        """A signal `share` times as long as the noise, and the seed of that."""
        signal = torch.randn(n, generator=g)
        return signal * (share * math.sqrt(n) / signal.norm()), whole(g, 0, 10**6)

    def case(member, *args, made_with, **kwargs):
        return Case(f"CFGSimulator.{member}", args, made_with=made_with, **kwargs)

    some = [made(100, uniform(g, 0.3, 0.5)), made(whole(g, 60, 90), uniform(g, 0.9, 1.2)), made(80, 0.6)]
    weak, seed = made(100, 0.05), whole(g, 0, 10**6)
    silent = -torch.randn(50, generator=torch.Generator().manual_seed(seed)), seed  # the conditional vector is 0
    a, b = torch.randn(2, 20, generator=g)
    found = [case(kept, made_with=made_with) for kept in ("unconditional", "conditional") for made_with in some[:2]]
    found += [case("apply_cfg", a, b, uniform(g, 2, 9), made_with=some[0])]
    found += [case("apply_cfg", b, a, uniform(g, 2, 9), made_with=some[1])]
    for method in ("cosine_similarity", "norm", "amplification"):
        found += [case(method, uniform(g, 2, 12), made_with=made_with) for made_with in some]
        found += [case(method, uniform(g, -6, -4), made_with=some[1])]
    for made_with, factor in ((some[0], 3.0), (some[1], 3.0), (some[1], uniform(g, 5, 6)), (some[2], 2.0), (weak, 3.0)):
        found.append(case("find_threshold", SCALES, factor, made_with=made_with))
    found.append(case("find_threshold", (2, 4, 6, 8, 9, 11, 13), 3.0, made_with=some[1]))
    found.append(case("find_threshold", (1, 3), 2.0, made_with=silent))  # no norm is larger than another at scale 1
    tables = (some[0], SCALES), (weak, (2, 4, 6.5)), (some[1], (1.5, 2, 11, 12))
    found += [case("run", s, made_with=made_with, printed=_rows(made_with, s)) for made_with, s in tables]
    return [*found, *(case("run", s, made_with=made_with, printed=_last(made_with, s)) for made_with, s in tables)]


HINTS = """
apply_cfg is the formula of exercise 6.1, on vectors. The three methods that measure begin by calling it with
self.unconditional and self.conditional.

Cosine similarity: the scalar product over both lengths. torch.cosine_similarity with dim=0 does it; .item makes a
float.

The signal's part in a vector is its scalar product with the signal. In the amplification you divide two such parts, so
the length of the signal drops out.

find_threshold: go through the scales in order, and return the first whose norm is larger than factor times the norm of
self.conditional, as a float. After the loop return math.inf.

run: an f-string for each scale, with .3f for the numbers, and a last print with the threshold. It is math.inf where
there is none: then print the word none.
"""

# those of `run` first: a wrong method that others call makes their results wrong, too
MISTAKES = r"""
numbers = self.cosine_similarity(s), self.norm(s), -> numbers = self.norm(s),
    run lacks the cosine similarity in each line.
self.cosine_similarity(s), self.norm(s), self -> self.cosine_similarity(s), self
    run lacks the norm in each line.
self.norm(s), self.amplification(s) -> self.norm(s)
    run lacks the amplification in each line.
print("threshold:", "none" if threshold == math.inf else threshold) -> \n
    run ends without a line that says where the threshold is, or that there is none.
"none" if threshold == math.inf else threshold -> threshold
    run prints infinity where there is no threshold: the word none is asked for.
for s in scales:\n            numbers -> for s in (1, 3, 5, 7.5, 10, 15, 20):\n            numbers
    run always prints the same scales: take those it is given.
self.find_threshold(scales) -> self.find_threshold()
    The last line of run is the threshold of other scales: hand on those it is given.
:10.3f -> :10.2f
    run prints two decimals. Three are asked for.
:10.3f -> :10.1f
    run prints one decimal. Three are asked for.
print(f"{s:5} " + -> print(f"scale {s:5} " +
    The lines of run begin with a word: each should begin with its scale.
def find_threshold(self, -> def find_threshold(self, scales=(1, 3, 5, 7.5, 10, 15, 20), factor=3.0):\n        return next((float(s) for s in scales if self.norm(s) > factor * self.unconditional.norm().item()), math.inf)\n\n    def other(self,
    find_threshold compares with the unconditional vector's norm.
factor * self.conditional.norm().item() -> factor * self.signal.norm().item()
    find_threshold compares with the norm of the signal.
factor * self.conditional.norm().item() -> 3.0 * self.conditional.norm().item()
    find_threshold does not use the factor it is given.
factor * self.conditional.norm().item() -> self.conditional.norm().item()
    find_threshold does not use the factor: it looks for what is longer than the conditional vector at all.
for scale in scales:\n            if self.norm -> for scale in reversed(scales):\n            if self.norm
    find_threshold gives the largest scale that passes; the first one is asked for.
self.norm(scale) > factor -> self.norm(scale) >= factor
    find_threshold takes a norm that is just as large as the limit. It has to be larger.
self.norm(scale) > factor -> self.norm(scale) < factor
    find_threshold gives a scale that stays below the limit: the first one above is asked for.
return float(scale) -> return float(scales.index(scale))
    find_threshold gives the place of the scale in the list, not the scale.
return math.inf -> return float(scales[-1])
    find_threshold gives a scale even where no scale passes: infinity is asked for there.
return math.inf -> return 0.0
    find_threshold gives 0 where no scale passes: infinity is asked for there.
return math.inf -> return -1.0
    find_threshold gives a number below 0 where no scale passes: infinity is asked for there.
return math.inf -> return None
    find_threshold gives None where no scale passes: infinity is asked for there.
return math.inf -> return math.nan
    find_threshold gives nan where no scale passes: infinity is asked for there.
for scale in scales:\n            if self.norm -> for scale in (1, 3, 5, 7.5, 10, 15, 20):\n            if self.norm
    find_threshold looks at its own list of scales: take those it is given.
CFGSimulator.amplification := lambda self, scale: float(scale)
    amplification is the scale itself. Nearly: but the noise has a part along the signal, too.
(v @ self.signal / (self.conditional @ self.signal)) -> (v.norm() / self.conditional.norm())
    amplification compares lengths. Only the part along the signal is asked for.
CFGSimulator.amplification := lambda self, scale: self.cosine_similarity(scale) / self.cosine_similarity(1)
    amplification compares similarities. The part of a vector along the signal grows with its length, too.
(v @ self.signal / (self.conditional @ self.signal)) -> (v @ self.signal / (self.signal @ self.signal))
    amplification compares with the signal itself; the signal's part in the conditional vector is asked for.
(v @ self.signal / (self.conditional @ self.signal)) -> (v @ self.signal / (self.unconditional @ self.signal))
    amplification compares with the unconditional vector, in which there is no signal.
(v @ self.signal / (self.conditional @ self.signal)) -> (self.conditional @ self.signal / (v @ self.signal))
    amplification is upside down: how many times larger has the part become?
(v @ self.signal / (self.conditional @ self.signal)) -> (v @ self.signal / self.signal.norm())
    amplification gives the part along the signal. How many times is that of the conditional vector?
(v @ self.signal / (self.conditional @ self.signal)) -> (v @ self.signal / (self.conditional @ self.signal)).abs()
    amplification has lost its sign. Where the guided vector points away from the signal it is below 0.
CFGSimulator.norm := lambda self, scale: self.conditional.norm().item()
    norm does not depend on the scale: measure the guided vector.
CFGSimulator.norm := lambda self, scale: (scale * (self.conditional - self.unconditional)).norm().item()
    norm measures the push alone: measure the guided vector, with the vector it starts from.
self.conditional, scale).norm().item() -> self.conditional, scale).norm().item() ** 2
    norm is the sum of squares; a length is its square root.
self.conditional, scale).norm().item() -> self.conditional, scale).norm(1).item()
    norm adds up absolute values, which is another norm, L1.
self.conditional, scale).norm().item() -> self.conditional, scale).norm(math.inf).item()
    norm gives the largest entry, which is another norm.
self.conditional, scale).norm().item() -> self.conditional, scale).square().mean().sqrt().item()
    norm takes the mean of the squares; the length of a vector is made of their sum.
self.conditional, scale).norm().item() -> self.conditional, scale).norm().item() / self.conditional.norm().item()
    norm is divided by that of the conditional vector: the length itself is asked for.
CFGSimulator.cosine_similarity := lambda self, scale: torch.cosine_similarity(self.conditional, self.signal, dim=0).item()
    cosine_similarity does not depend on the scale: compare the guided vector.
(v @ self.signal / (v.norm() * self.signal.norm())) -> (v @ self.conditional / (v.norm() * self.conditional.norm()))
    cosine_similarity compares with the conditional vector; the pure signal is asked for.
(v @ self.signal / (v.norm() * self.signal.norm())) -> (v @ self.unconditional / (v.norm() * self.unconditional.norm()))
    cosine_similarity compares with the unconditional vector; the pure signal is asked for.
(v @ self.signal / (v.norm() * self.signal.norm())) -> (v @ self.signal)
    cosine_similarity is a scalar product: divide it by both lengths.
(v.norm() * self.signal.norm()) -> v.norm()
    cosine_similarity is divided by one of the lengths only: the signal has a length, too.
(v.norm() * self.signal.norm()) -> self.signal.norm()
    cosine_similarity is divided by one of the lengths only: the guided vector has a length, too.
(v @ self.signal / (v.norm() * self.signal.norm())) -> ((v - self.unconditional) @ self.signal / ((v - self.unconditional).norm() * self.signal.norm()))
    cosine_similarity compares the push alone with the signal, and those always agree. The guided vector has noise in
    it.
(v @ self.signal / (v.norm() * self.signal.norm())) -> (1 - v @ self.signal / (v.norm() * self.signal.norm()))
    cosine_similarity gives how different the two are; how alike is asked for.
(v @ self.signal / (v.norm() * self.signal.norm())) -> (v @ self.signal / (v.norm() * self.signal.norm())).abs()
    cosine_similarity has lost its sign: opposite directions have a similarity of -1.
return unconditional + scale * (conditional - unconditional) -> return self.unconditional + scale * (self.conditional - self.unconditional)
    apply_cfg uses the vectors of the class: take those it is given.
return unconditional + scale * (conditional - unconditional) -> return unconditional + scale * self.signal
    apply_cfg adds the signal of the class: the push lies between the two vectors it is given.
return unconditional + scale * (conditional - unconditional) -> return conditional + scale * (unconditional - conditional)
    apply_cfg has swapped the two: it moves away from the conditional one.
return unconditional + scale -> return conditional + scale
    apply_cfg is one too strong: a scale of 1 should give the conditional vector.
return unconditional + scale -> return scale
    apply_cfg gives the push alone, without the vector it starts from.
return unconditional + scale -> return unconditional - scale
    apply_cfg walks away from the conditional vector: the push has the wrong sign.
return unconditional + scale * (conditional - unconditional) -> return conditional.clone()
    apply_cfg ignores the scale: that is the conditional vector.
factor * self.conditional.norm().item() -> factor * self.norm(scales[0])
    find_threshold compares with the norm at the first of the scales. The conditional vector is that of scale 1, whatever
    the scales are.
return float(scale) -> return float([math.inf, *scales][scales.index(scale)])
    find_threshold gives the scale before the one that is asked for: the first whose norm is above the limit.
"""

RIGHT = r"""
return unconditional + scale * (conditional - unconditional) -> return (1 - scale) * unconditional + scale * conditional
(v @ self.signal / (v.norm() * self.signal.norm())) -> torch.cosine_similarity(v, self.signal, dim=0)
(v @ self.signal / (self.conditional @ self.signal)) -> (v @ (self.signal / self.signal.norm()) / (self.conditional @ (self.signal / self.signal.norm())))
return float(scale) -> return scale
factor * self.conditional.norm().item() -> factor * self.norm(1)
CFGSimulator.norm := lambda self, scale: float((self.apply_cfg(self.unconditional, self.conditional, scale) ** 2).sum() ** 0.5)
print(f"{s:5} " + -> print(f"| {s:5.1f} | " +
print(f"{s:5} " + -> print(s, "  "[:1] +
print("threshold:", -> print("The norm first passes three times the conditional's at scale",
"none" if threshold == math.inf -> "None of the scales" if threshold == math.inf
:10.3f -> :12.5f
"""

WRONG = r"""
return unconditional + scale * (conditional - unconditional) -> return unconditional.double() + scale * (conditional - unconditional)
v = self.apply_cfg(self.unconditional, self.conditional, scale)\n        return (v @ self.signal / (v.norm() -> v = self.apply_cfg(self.unconditional, self.conditional, scale).clamp(-2, 2)\n        return (v @ self.signal / (v.norm()
self.conditional, scale).norm().item() -> self.conditional, scale).norm()
self.conditional, scale).norm().item() -> self.conditional, round(scale)).norm().item()
(v @ self.signal / (self.conditional @ self.signal)).item() -> (v @ self.signal / (self.conditional @ self.signal)).item() - 1
return float(scale) -> return scale - 0.5
numbers = self.cosine_similarity(s), self.norm(s), self.amplification(s) -> numbers = self.norm(s), self.cosine_similarity(s), self.amplification(s)
print("threshold:", "none" if threshold == math.inf else threshold) -> print("threshold: 3")
self.unconditional = torch.randn(len(signal), generator=torch.Generator().manual_seed(seed)) -> self.unconditional = torch.randn(len(signal), generator=torch.Generator().manual_seed(42))
"""

EQUIVALENT = """
v @ self.signal -> self.signal @ v
    a scalar product is symmetric
self.conditional @ self.signal -> self.signal @ self.conditional
    a scalar product is symmetric
self.conditional.norm().item() -> self.conditional.norm()
    a comparison takes a tensor of one number
float(scale) -> scale
    a whole number is as good as a float
print('threshold:', 'none' if threshold == math.inf else threshold) -> print('none' if threshold == math.inf else threshold, 'threshold:')
    the words of the last line are free
"""
