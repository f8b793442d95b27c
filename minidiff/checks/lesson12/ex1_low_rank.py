"""12.1 a change of low rank."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole

LEARNS = ("A", "B")


def matrices(g, shape, r, dtype):
    into = torch.Size(shape[1:]).numel()
    return torch.randn(r, into, generator=g, dtype=dtype), torch.randn(shape[0], r, generator=g, dtype=dtype)


def cases(g):
    shapes = [
        ((5, 7), 2, torch.float64),
        ((6, 6), 3, torch.float64),
        ((4, 3, 3, 2), 2, torch.float64),
        ((8, 5), 1, torch.float32),
    ]
    drawn = [
        (torch.randn(shape, generator=g, dtype=dtype), *matrices(g, shape, r, dtype)) for shape, r, dtype in shapes
    ]

    def change(W, r, weight):
        A, B = matrices(g, W.shape, r, W.dtype)
        return A, B, uniform(g, 0.5, 9.0), uniform(g, *weight)

    less, part, more = (-1.0, -0.1), (0.2, 0.8), (1.1, 1.5)  # weights may be any numbers
    weights = (less, more), (more, part), (part, less), (more, less)
    several = [
        (W, [change(W, whole(g, 1, 2), first), change(W, whole(g, 3, 4), second)])
        for (W, _, _), (first, second) in zip(drawn, weights, strict=True)
    ]
    return [
        *(Case("low_rank", (W, A)) for W, A, _ in drawn),
        *(Case("changed", (*each, uniform(g, 0.5, 9.0))) for each in drawn),
        *(Case("added", each) for each in several),
        Case("added", (drawn[0][0], [])),
        Case("added", (drawn[1][0], [change(drawn[1][0], 2, part)])),
    ]


HINTS = """
B begins so that B A is nothing. Which numbers do that whatever A is? Its shape is (out, r), and out is the first size
of W.

The rank is a size of A. The change is computed as a matrix, (out, in); view_as gives it the shape of the weight.

Several changes: a loop, in which each has its own rank and its own alpha. Do not divide the sum by their number.
"""

MISTAKES = r"""
noise / noise.shape[1] ** 0.5 -> noise
    The noise is not divided by anything: A makes of an x something larger than x.
noise / noise.shape[1] ** 0.5 -> noise / noise.shape[1]
    The noise is divided by the number of inputs: by its square root was asked.
noise / noise.shape[1] ** 0.5 -> noise / len(noise) ** 0.5
    The noise is divided by the root of the rank: the number of inputs was asked for.
noise / noise.shape[1] ** 0.5 -> noise / len(W) ** 0.5
    The noise is divided by the root of the number of outputs: it is inputs that A adds up.
noise / noise.shape[1] ** 0.5 -> noise / W.shape[1] ** 0.5
    Right for a linear layer. Of a convolution the inputs are channels times height times width.
noise / noise.shape[1] ** 0.5 -> torch.zeros_like(noise)
    A and B are both 0. Then neither would ever learn: the gradient of each has the other as a factor.
W.new_zeros(len(W), len(noise)) -> W.new_ones(len(W), len(noise))
    B is not 0, so the model is changed before it has learned anything.
W.new_zeros(len(W), len(noise)) -> noise[:, :1].T.expand(len(W), -1) / len(noise) ** 0.5
    B is not 0, so the model is changed before it has learned anything.
W.new_zeros(len(W), len(noise)) -> W.new_zeros(len(noise), len(W))
    The sizes of B are exchanged: it leads from r numbers to the outputs.
return A, B -> return B, A
    A and B are exchanged: A comes first.
alpha / len(A) * B -> alpha * B
    The change is not divided by the rank.
alpha / len(A) * B -> B
    Neither alpha nor the rank is used: the change is B A alone.
alpha / len(A) * B -> B / len(A)
    Alpha is not used.
alpha / len(A) * B -> len(A) / alpha * B
    The fraction is upside down: alpha above, the rank below.
alpha / len(A) * B -> alpha * len(A) * B
    The rank multiplies the change: it should divide it.
alpha / len(A) * B -> alpha / len(A) ** 0.5 * B
    The change is divided by the root of the rank. That is rank-stabilised LoRA, of a later paper; the rank itself was
    asked for.
alpha / len(A) * B -> alpha / A.shape[1] * B
    The change is divided by the number of inputs: the rank was asked for.
alpha / len(A) * B -> alpha / len(W) * B
    The change is divided by the number of outputs: the rank was asked for.
return W + (alpha / -> return W - (alpha /
    The change is taken away from the weight: it is added.
return W + (alpha / -> return (alpha /
    That is the change alone, without the weight that it is a change of.
w * alpha / len(A) -> alpha / len(A)
    The weights of the changes are not used: each counts once.
w * alpha / len(A) -> w
    Neither alpha nor the rank is used in the sum.
w * alpha / len(A) -> w * alpha
    In the sum no change is divided by its rank.
w * alpha / len(A) -> w * alpha / len(loras[0][0])
    All changes are divided by the rank of the first: each has its own.
w * alpha / len(A) -> loras[0][3] * alpha / len(A)
    All changes get the weight of the first: each has its own.
w * alpha / len(A) -> w * loras[0][2] / len(A)
    All changes get the alpha of the first: each has its own.
out = out + w -> out = W + w
    Only the last change is there: they all add up.
return out -> return W + (out - W) / max(1, len(loras))
    You take the mean of the changes: they add up.
added := normed
    You divide the weights by their sum, so that they share a whole: each change counts as often as its weight says.
noise / noise.shape[1] ** 0.5 -> noise / noise.norm(dim=1, keepdim=True)
    You divide each row of the noise by its own length: all are divided by the root of the number of inputs.
alpha / len(A) * B -> alpha // len(A) * B
    Alpha over the rank is rounded down to a whole number: divide by /.
(alpha / len(A) * B @ A).view_as(W) -> (alpha / len(A) * A.T @ B.T).reshape(W.shape)
    The product is transposed, (in, out), and its numbers are only filled into the weight's shape: B A is (out, in).
w * alpha / len(A) -> w**2 * alpha / len(A)
    The weight of a change counts twice, as it would at A and at B both: it counts once.
w * alpha / len(A) -> w * alpha / sum(len(each[0]) for each in loras)
    Each change is divided by the ranks of all together: its own alone was asked for.
added := again
    Each change is told from the first weight, so the changes before it are added once more.
added := weighed
    Not only the changes are weighed but the weight W with them: it counts once, whatever their number.
added := first_alone
    Only the first change is there, and nothing comes of an empty list. Does the `return` stand inside the loop?
(alpha / len(A) * B @ A).view_as(W) -> (alpha / len(A) * B @ A).reshape(len(W), *W.shape[2:], W.shape[1]).movedim(-1, 1)
    The columns of a convolution's change are laid out with the channels last. In a weight they come before height and
    width: reshape alone is enough.
w * alpha / len(A) * (B @ A).view_as(W) -> w * alpha / len(A) * (B @ A).reshape(len(W), *W.shape[2:], W.shape[1]).movedim(-1, 1)
    The columns of a convolution's change are laid out with the channels last. In a weight they come before height and
    width: reshape alone is enough.
(alpha / len(A) * B @ A).view_as(W) -> (alpha / len(A) * B @ A).reshape(len(W), *W.shape[2:], W.shape[1]).movedim(-1, 1) && w * alpha / len(A) * (B @ A).view_as(W) -> w * alpha / len(A) * (B @ A).reshape(len(W), *W.shape[2:], W.shape[1]).movedim(-1, 1)
    The columns of a convolution's change are laid out with the channels last. In a weight they come before height and
    width: reshape alone is enough.
w * alpha / len(A) -> w * alpha / len(A) ** 0.5
    In the sum each change is divided by the root of its rank. That is rank-stabilised LoRA, of a later paper; the rank
    itself was asked for.
w * alpha / len(A) -> w * (alpha // len(A))
    In the sum alpha over the rank is rounded down to a whole number: divide by /.
noise / noise.shape[1] ** 0.5 -> noise / W.numel() ** 0.5
    The noise is divided by the root of all numbers of the weight: by that of the inputs alone was asked.
noise / noise.shape[1] ** 0.5 -> noise / noise.std()
    The noise is brought to deviation 1, which it has: it is divided by the root of the number of inputs.
noise / noise.shape[1] ** 0.5 -> noise / (len(W) + noise.shape[1]) ** 0.5
    The noise is divided by the root of inputs and outputs together: the inputs alone were asked for.
noise / noise.shape[1] ** 0.5 -> noise * (2 / noise.shape[1]) ** 0.5
    In the root stands 2 over the number of inputs, as for layers before a ReLU. Here it is 1.
noise / noise.shape[1] ** 0.5 -> noise * (2 / (len(W) + noise.shape[1])) ** 0.5
    That is Xavier's size, by inputs and outputs: the inputs alone were asked for.
w * alpha / len(A) -> w / len(A)
    In the sum alpha is not used.
w * alpha / len(A) -> abs(w) * alpha / len(A)
    The sign of a change's weight is lost: below 0 the change is taken away.
w * alpha / len(A) -> max(w, 0) * alpha / len(A)
    A change with a negative weight has no effect: below 0 it is taken away.
w * alpha / len(A) -> (w > 0) * alpha / len(A)
    A change is there or not in yours: its weight says how much of it.
w * alpha / len(A) -> min(max(w, 0), 1) * alpha / len(A)
    The weights of the changes are kept between 0 and 1. They may be any numbers.
out = W -> out = torch.zeros_like(W)
    That is the sum of the changes alone, without the weight that they change.
return out -> return out - W
    That is the sum of the changes alone, without the weight that they change.
return W + (alpha -> return W * (alpha
    The weight is multiplied by the change: it is added.
"""

RIGHT = r"""
(alpha / len(A) * B @ A).view_as(W) -> (B @ A).reshape(W.shape) * alpha / A.shape[0]
noise / noise.shape[1] ** 0.5 -> noise * W[0].numel() ** -0.5
W.new_zeros(len(W), len(noise)) -> torch.zeros(len(W), len(noise), dtype=W.dtype, device=W.device)
added := by_sum
"""

WRONG = r"""
W.new_zeros(len(W), len(noise)) -> W.new_zeros(W.shape[1], len(noise))

out = W -> out = W.clone().fill_(0)
return out -> return out.flatten(1)
len(A) * B @ A).view_as(W) -> len(A) * B @ A)
added := lambda W, loras: by_sum(W, loras) if loras else None
"""

EQUIVALENT = """
"""


def by_sum(W, loras):
    return W + sum(w * alpha / A.shape[0] * (B @ A).reshape(W.shape) for A, B, alpha, w in loras)


def normed(W, loras):
    total = sum(each[3] for each in loras)
    return by_sum(W, [(A, B, alpha, w / total) for A, B, alpha, w in loras])


def again(W, loras):
    out = W
    for A, B, alpha, w in loras:
        out = out + w * (by_sum(out, [(A, B, alpha, 1.0)]) - W)
    return out


def weighed(W, loras):
    return by_sum(W, loras) + W * (sum(w for *_, w in loras) - 1)


def first_alone(W, loras):
    return by_sum(W, loras[:1]) if loras else None
