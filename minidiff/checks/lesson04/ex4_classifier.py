"""4.4 a classifier made of sentences."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    found = [
        Case("classifier", (uniform(g, 0.5, 3, c, t, 1) * torch.randn(c, t, d, generator=g, dtype=torch.float64),))
        for c, t, d in ((4, 3, 8), (5, 2, 6), (3, 4, 5))
    ]
    for b, c, d in ((6, 4, 8), (3, 5, 6)):
        images = uniform(g, 0.5, 3, b, 1, dtype=torch.float32) * torch.randn(b, d, generator=g)
        weights = F.normalize(torch.randn(c, d, generator=g), dim=-1)
        found.append(Case("zero_shot", (images, weights, uniform(g, 2, 6))))
    return found


HINTS = """
classifier: the axes are classes, templates, numbers. A direction is a vector of length 1, along the last.

First directions, then their mean over the templates. Is that of length 1? Look at two that are opposite.

zero_shot: cosines of every picture with every class are one matrix product, as in the loss.

softmax wants to know along which axis. A row is a picture.
"""

MISTAKES = """
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts.mean(1), dim=-1)
    You average the vectors as they come, so a long one counts more. They should be directions before.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=-1).mean(1)
    The mean of directions is shorter than 1: bring it to length 1 again.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=-1).sum(1)
    The sum of directions has not length 1: bring it to length 1 again.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> prompts.mean(1)
    That is the plain mean of vectors. Neither they nor their mean were brought to length 1.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts[:, 0], dim=-1)
    Only the first template is used.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts[:, -1], dim=-1)
    Only the last template is used.
.mean(1), dim=-1) -> .mean(0), dim=-1)
    You average over the classes. Each class needs a vector of its own, made of its templates.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=-1)
    Each template still has a vector of its own: there should be one a class.
F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=1).mean(1), dim=-1)
    What you bring to length 1 runs over the templates, not along a vector: name the last axis.
F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=0).mean(1), dim=-1)
    What you bring to length 1 runs over the classes, not along a vector: the numbers of a vector are the last axis.
F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=-1).mean(1), dim=0)
    The mean is brought to length 1 over the classes, not along a vector: the numbers of a vector are the last axis.
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(prompts, dim=-1).mean(1) / F.normalize(prompts, dim=-1).mean(1).norm()
    You divide by the length of the whole table. Each class has a vector of its own, which should have length 1.
.mean(1), dim=-1) -> .median(1).values, dim=-1)
    You take the median of each number over the templates. Their mean is asked for.
F.normalize(images, dim=-1) @ -> images @
    The pictures' vectors keep their lengths, so a long one looks more certain.
F.normalize(images, dim=-1) @ -> F.normalize(images, dim=0) @
    You bring each *column* of the pictures to length 1. It is each vector, a row, that should have length 1.
F.normalize(images, dim=-1) @ -> (images / images.norm()) @
    You divide by the length of the whole table of pictures. Each vector should have length 1.
.softmax(-1) -> .softmax(0)
    Your softmax runs over the pictures. The probabilities of *one* picture should sum to 1.
.softmax(-1) -> .flatten().softmax(0).reshape(len(images), -1)
    Your softmax runs over the whole table at once. The probabilities of each picture should sum to 1.
(scale * F.normalize(images, dim=-1) @ weights.T).softmax(-1) -> (scale * weights @ F.normalize(images, dim=-1).T).softmax(0)
    Your table has a row for each class. It should have a row for each picture.
scale * ->
    The scale is not used: with cosines alone nothing is ever certain.
scale * -> 1 / scale *
    You divide by the scale, which makes the answer flatter instead of sharper.
scale * -> torch.tensor(scale).exp() *
    The scale you get here is no logarithm any more: use it as it is.
(scale * F.normalize(images, dim=-1) @ weights.T).softmax(-1) -> scale * (F.normalize(images, dim=-1) @ weights.T).softmax(-1)
    You multiply the probabilities by the scale, so they no longer sum to 1. It is the cosines that are scaled.
.softmax(-1) ->
    You gave scores. Probabilities are positive, and sum to 1 for each picture.
(scale * F.normalize(images, dim=-1) @ weights.T).softmax(-1) -> F.normalize(images, dim=-1) @ weights.T
    You gave the cosines. They are still to be scaled, and made probabilities of.
.softmax(-1) -> .log_softmax(-1)
    You gave the logarithms of the probabilities.
.softmax(-1) -> .sigmoid()
    Your numbers do not sum to 1 for a picture: each class was judged on its own.
.softmax(-1) -> .argmax(-1)
    You gave the best class of each picture. The probabilities of all are asked for.
(scale * -> (-scale *
    The class that fits least gets the highest probability.
"""

RIGHT = """
classifier := lambda p: F.normalize((p / p.norm(dim=-1, keepdim=True)).sum(1), dim=-1)
zero_shot := lambda i, w, s: F.softmax(F.cosine_similarity(i[:, None], w[None], dim=-1) * s, dim=1)
"""

EQUIVALENT = """
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(F.normalize(prompts, dim=-1).mean(1))
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1) -> F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=1)
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.normalize(images, dim=-1) -> F.normalize(images)
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.normalize(images, dim=-1) -> F.normalize(images, dim=1)
    of a table the last axis is axis 1, and that is the axis taken when none is named
(scale * F.normalize(images, dim=-1) @ weights.T).softmax(-1) -> (scale * F.normalize(images, dim=-1) @ weights.T).softmax(1)
    of a table the last axis is axis 1, and that is the axis taken when none is named
"""

WRONG = """
classifier := lambda p: F.normalize(F.normalize(p, p=1, dim=-1).mean(1), dim=-1)
classifier := lambda p: list(classifier(p))
classifier := lambda p: classifier(p.div_(2))
zero_shot := lambda i, w, s: F.one_hot(zero_shot(i, w, s).argmax(-1), len(w)).float()
zero_shot := lambda i, w, s: zero_shot(i, w, s * s)
"""
