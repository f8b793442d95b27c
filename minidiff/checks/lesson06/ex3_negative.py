"""6.3 negative prompts, and prompts composed."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    found = []
    for shape, dtype, low, high in (
        ((2, 3, 4, 5), torch.float64, 2, 9),
        ((3, 2, 4), torch.float32, 2, 9),
        ((4, 5), torch.float64, 2, 9),
        ((3, 4), torch.float64, 0.2, 0.8),
        ((2, 5), torch.float64, -3, -1),
    ):
        a, b = torch.randn(2, *shape, generator=g, dtype=dtype)
        found.append(Case("negative_prompt", (a, b, uniform(g, low, high))))
    for n, shape, dtype in (
        (3, (3, 2, 4, 5), torch.float64),  # as many prompts as pictures, so that a wrong axis raises no error
        (4, (4, 3, 4), torch.float32),
        (3, (3, 5), torch.float64),
        (2, (3, 4), torch.float64),
    ):
        null, x0s = torch.randn(shape, generator=g, dtype=dtype), torch.randn(n, *shape, generator=g, dtype=dtype)
        signs = torch.tensor([1.0, -1.0, 1.0, 1.0])[:n].to(dtype)
        found.append(Case("compose", (null, x0s, signs * uniform(g, 1.5, 4, n, dtype=dtype))))
    return found


HINTS = """
negative_prompt is the formula of exercise 6.1 with other words in the place of the null.

compose: begin with the answer to the null. Each prompt adds its weight times the step from there to its own answer.

Weights of shape (n,) and answers of shape (n, B, ...): a loop with zip is fine. Or give the weights as many axes as the
answers have, each of length 1, and sum over the first.
"""

MISTAKES = """
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_cond + scale * (x0_negative - x0_cond)
    negative_prompt pushes away from the prompt: the two have changed places.
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_cond - scale * x0_negative
    negative_prompt subtracts the negative answer from the prompt's, scaled. What you get is no weighted mean: the two
    weights should add up to 1.
return x0_negative + scale * (x0_cond - x0_negative) -> return scale * x0_cond - x0_negative
    negative_prompt scales the prompt's answer and takes the whole of the negative one away: the two weights should add
    up to 1.
return x0_negative + scale * (x0_cond - x0_negative) -> return (1 + scale) * x0_cond - x0_negative
    negative_prompt scales the prompt's answer up and takes the negative one away just once: the two weights should add
    up to 1.
return x0_negative + scale -> return scale
    negative_prompt gives the push alone. It starts from the answer it pushes away from.
return x0_negative + scale -> return x0_cond + scale
    negative_prompt is one too strong: it starts from the prompt's answer, so that 1 already pushes.
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_cond.clone()
    negative_prompt does not push: that is the prompt's answer.
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_negative.clone()
    negative_prompt gives the answer to the negative prompt.
return x0_negative + scale -> return x0_negative - scale
    negative_prompt walks the wrong way from the negative answer.
x0s - x0_null, 1) -> x0s, 1)
    compose adds whole answers. What is weighted is how an answer differs from that to the null.
return x0_null + torch -> return torch
    compose gives the pushes alone: with all weights 0 the answer to the null should come out.
return x0_null + torch.tensordot(weights, x0s - x0_null, 1) -> return torch.tensordot(weights, x0s, 1)
    compose gives a weighted sum of the answers, and the one to the null has no part in it.
tensordot(weights, -> tensordot(weights / len(weights),
    compose takes the mean of the pushes: they add up.
tensordot(weights, -> tensordot(torch.ones_like(weights),
    compose does not use the weights: every prompt counts the same.
tensordot(weights, -> tensordot(weights / weights.sum(),
    compose divides the weights by their sum. They are pushes, each as strong as it says.
tensordot(weights, -> tensordot(weights.abs(),
    compose pushes towards prompts of negative weight: those should be avoided.
tensordot(weights, -> tensordot(weights.clamp(min=0),
    compose leaves out prompts of negative weight: those should be pushed away from.
tensordot(weights, x0s - x0_null, -> tensordot(weights[:1], x0s[:1] - x0_null,
    compose uses the first prompt only.
compose := lambda x0_null, x0s, weights: x0_null + (weights.reshape(-1, *[1] * (x0_null.ndim - 1)) * (x0s - x0_null)).sum(0)
    compose gives each picture of the batch a weight. The weights belong to the prompts, the first axis.
tensordot(weights, -> tensordot(-weights,
    compose pushes away from what it should draw.
compose := chain
    In compose each prompt pushes from where the one before it ended. All of them start from the answer to the null.
tensordot(weights, -> tensordot(weights.softmax(0),
    compose makes shares of the weights. They are pushes, each as strong as it says, and away where it is negative.
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_cond - (scale - 1) * x0_negative
    negative_prompt takes the negative answer away scale - 1 times, but counts the prompt's once: its weight is the
    scale.
compose := lambda x0_null, x0s, weights: x0_null + (weights[:, None, None, None] * (x0s - x0_null)).sum(0)
    compose gives the weights a fixed number of axes. They have to be as many as x0s has, or the weights land on another
    axis than the prompts'.
compose := lambda x0_null, x0s, weights: x0_null + (weights[:, None, None, None, None] * (x0s - x0_null)).sum(0)
    compose gives the weights a fixed number of axes. They have to be as many as x0s has, or the weights land on another
    axis than the prompts'.
compose := lambda x0_null, x0s, weights: x0_null + (weights[:, None] * (x0s - x0_null)).sum(0)
    compose gives the weights a fixed number of axes. They have to be as many as x0s has, or the weights land on another
    axis than the prompts'.
compose := lambda x0_null, x0s, weights: x0_null + (weights * (x0s - x0_null)).sum(0)
    compose lines the weights up with the last axis, as torch does where nothing else is said. They belong to the
    prompts, the first axis.
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_negative + max(scale, 1) * (x0_cond - x0_negative)
    negative_prompt takes any scale below 1 for 1. A scale of 0 should give the negative answer.
"""

RIGHT = """
return x0_negative + scale * (x0_cond - x0_negative) -> return x0_cond + (scale - 1) * (x0_cond - x0_negative)
compose := in_a_loop
"""

WRONG = """
return x0_negative + scale * (x0_cond - x0_negative) -> return (x0_cond + x0_negative) / 2
return x0_negative + scale -> return x0_negative + (scale - 1)
return x0_negative + scale * (x0_cond - x0_negative) -> return (x0_negative + scale * (x0_cond - x0_negative)).float()
tensordot(weights, -> tensordot(weights * weights,
tensordot(weights, -> tensordot(weights.flip(0),
tensordot(weights, -> tensordot(weights * (weights == weights.max()),
"""


def in_a_loop(x0_null, x0s, weights):
    x0 = x0_null.clone()
    for weight, answer in zip(weights.tolist(), x0s, strict=True):
        x0 = x0 + weight * answer - weight * x0_null
    return x0


def chain(x0_null, x0s, weights):
    x0 = x0_null
    for weight, answer in zip(weights, x0s, strict=True):
        x0 = x0 + weight * (answer - x0)
    return x0
