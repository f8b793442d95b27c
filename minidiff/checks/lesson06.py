"""Lesson 06, guidance: what the exercises are checked against."""

import math
import re
from functools import cache

import torch

from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import methods, mistakes, uniform, whole
from minidiff.denoise import EPS, V
from minidiff.guide import cfg
from minidiff.sample import ddim
from minidiff.schedule import Discrete, cosine_betas, trailing

# 6.1 Classifier-free guidance


def guided(denoise, x, t, cond, uncond, scale):
    """The reference: `guide.cfg`."""
    return cfg(denoise, cond, uncond, scale)(x, t)


def _denoise(x, t, context):
    """A stand-in for a network. Its answers tell how large the batch was, and at which place in it a row stood."""
    if len(x) != len(t) or len(x) != len(context):
        raise ValueError(f"got a batch of {len(x)}, {len(t)} times and {len(context)} conditions: one for each row")
    rows = torch.arange(len(x), dtype=x.dtype).view(-1, 1, 1, 1)
    text = context.sin().mean((1, 2)).view(-1, 1, 1, 1)
    time = t.to(x).view(-1, 1, 1, 1) / 1000
    return torch.tanh(x * (1 + text)) + 2 * text * time + 0.1 * rows + 0.05 * len(x)


def _both(change, scale_of=lambda s: s):
    """A wrong `guided`, from what is made of the two answers and the scale."""

    def wrong(denoise, x, t, cond, uncond, scale):
        uncond = uncond.expand_as(cond)
        u, c = denoise(torch.cat([x, x]), torch.cat([t, t]), torch.cat([uncond, cond])).chunk(2)
        return change(u, c, scale_of(scale))

    return wrong


def _walk(u, c, s):
    return u + s * (c - u)


def _swapped_batch(denoise, x, t, cond, uncond, scale):
    c, u = denoise(torch.cat([x, x]), torch.cat([t, t]), torch.cat([cond, uncond.expand_as(cond)])).chunk(2)
    return _walk(u, c, scale)


def _in_pairs(denoise, x, t, cond, uncond, scale):
    both = torch.stack([uncond.expand_as(cond), cond], 1).flatten(0, 1)
    out = denoise(x.repeat_interleave(2, 0), t.repeat_interleave(2), both)
    return _walk(out[::2], out[1::2], scale)


def _mixed_texts(denoise, x, t, cond, uncond, scale):
    return denoise(x, t, uncond + scale * (cond - uncond))


def _cfg_cases(g):
    cases = []
    for b, one, dtype in ((3, False, torch.float64), (4, True, torch.float32), (2, True, torch.float64)):
        shape = b, whole(g, 2, 4), whole(g, 3, 5), whole(g, 3, 5)
        tokens, width = whole(g, 4, 6), whole(g, 3, 6)
        x = torch.randn(shape, generator=g, dtype=dtype)
        cond, uncond = 2 * torch.randn(2, b, tokens, width, generator=g, dtype=dtype)
        t = torch.randint(1, 1001, (b,), generator=g)
        cases.append(Case("guided", (_denoise, x, t, cond, uncond[:1] if one else uncond, uniform(g, 2, 9))))
    return cases


_CFG = Exercise(
    title="classifier-free guidance, in one batch",
    reference={"guided": guided},
    cases=_cfg_cases,
    mistakes=mistakes(
        "guided",
        (
            "ignores the null",
            "That is the conditional answer alone, as with a scale of 1.",
            _both(lambda u, c, s: c),
        ),
        ("ignores the prompt", "That is the unconditional answer alone.", _both(lambda u, c, s: u)),
        (
            "starts from the conditional answer",
            "Your scale is one too large: it counts from the conditional answer, as the w of Ho and Salimans does. "
            "Here a scale of 1 should give the conditional answer.",
            _both(_walk, lambda s: s + 1),
        ),
        (
            "swaps prompt and null",
            "Prompt and null have changed places: you push away from the prompt.",
            _both(lambda u, c, s: _walk(c, u, s)),
        ),
        (
            "wrong sign",
            "You start at the right answer and walk the wrong way: the prompt lies in the other direction.",
            _both(lambda u, c, s: _walk(u, c, -s)),
        ),
        (
            "only the push",
            "That is the push alone. It has to start somewhere: which answer should a scale of 0 give?",
            _both(lambda u, c, s: s * (c - u)),
        ),
        (
            "weights do not add up",
            "The conditional answer is added whole. Both weights together should be 1, "
            "or the numbers of the result become far too large.",
            _both(lambda u, c, s: u + s * c),
        ),
        (
            "guides the text",
            "You mixed the two texts, and asked the network about a text that nobody wrote. It is its answers that "
            "are mixed.",
            _mixed_texts,
        ),
        (
            "positive first",
            "The two halves of the batch are in the other order than agreed: the unconditional ones come first.",
            _swapped_batch,
        ),
        (
            "in pairs",
            "You sent each picture's two copies next to each other. Agreed are two halves: "
            "first all unconditional ones, then all conditional ones.",
            _in_pairs,
        ),
        (
            "two passes",
            "The numbers of a plain network would be right, but you called it twice. One call on a batch twice as "
            "large is asked for.",
            lambda d, x, t, c, u, s: _walk(d(x, t, u.expand_as(c)), d(x, t, c), s),
        ),
        (
            "one time for all",
            "Every picture got the time of the first one: each has its own t.",
            lambda d, x, t, c, u, s: guided(d, x, t[:1].expand_as(t), c, u, s),
        ),
        (
            "the first null for all",
            "Every picture got the first unconditional text; where there is one for each, they may differ.",
            lambda d, x, t, c, u, s: guided(d, x, t, c, u[:1], s),
        ),
        (
            "returns both halves",
            "You gave twice as many pictures as came in: the two halves belong together.",
            lambda d, x, t, c, u, s: guided(d, x, t, c, u, s).repeat(2, 1, 1, 1),
        ),
        ("returns zeros", "You gave zeros.", lambda d, x, *_: torch.zeros_like(x)),
        ("changes its input", MUTATES, lambda d, x, *others: x.copy_(guided(d, x, *others))),
    ),
    hints=(
        "Two answers are needed for each picture: one to the prompt, one to the null. A scale of 0 gives the second, "
        "a scale of 1 the first, and all others lie on the line through both.",
        "One call: put x twice into a batch with torch.cat, t too, and the texts, the unconditional ones first. "
        ".chunk takes the result apart again.",
        "The unconditional text may be one for all. .expand_as gives it as many rows as the other has.",
        "The step from the unconditional answer to the conditional one is a difference. Walk along it, from its start, "
        "as far as the scale says.",
    ),
)


# 6.2 Condition dropout


def drop_conditions(ids, null, u, p):
    """The reference, as in `UNetObjective.batch`."""
    return torch.where(u[:, None] < p, null, ids)


def _dropout_cases(g):
    cases = []
    for n, p in ((12, uniform(g, 0.3, 0.4)), (16, uniform(g, 0.6, 0.7)), (9, 0.0), (10, 1.0), (14, 0.5)):
        u = (torch.randperm(n, generator=g) + uniform(g, 0.1, 0.9, n)) / n  # one in each nth: all kinds of rows occur
        ids, null = torch.randint(3, 99, (n, n), generator=g), torch.randint(100, 199, (n,), generator=g)
        cases.append(Case("drop_conditions", (ids, null, u, p)))
    return cases


_DROPOUT = Exercise(
    title="condition dropout",
    reference={"drop_conditions": drop_conditions},
    cases=_dropout_cases,
    mistakes=mistakes(
        "drop_conditions",
        (
            "drops nothing",
            "No caption was dropped: the network would never learn what to say without one.",
            lambda ids, null, u, p: ids.clone(),
        ),
        (
            "drops everything",
            "All captions were dropped: the network would never learn to listen.",
            lambda ids, null, u, p: null.expand_as(ids).clone(),
        ),
        (
            "keeps what should go",
            "You dropped the wrong ones: those with a small u should go, or the share is not p.",
            lambda ids, null, u, p: torch.where(u[:, None] < p, ids, null),
        ),
        (
            "p is what stays",
            "You took p for the share that stays. It is the share that goes.",
            lambda ids, null, u, p: drop_conditions(ids, null, u, 1 - p),
        ),
        (
            "the large ones go",
            "The share is right, but those with a large u go: agreed is that the small ones do.",
            lambda ids, null, u, p: drop_conditions(ids, null, 1 - u, p),
        ),
        (
            "zeros for the null",
            "Dropped captions became zeros. Id 0 is a token like others: the null is the caption you are given.",
            lambda ids, null, u, p: torch.where(u[:, None] < p, 0, ids),
        ),
        (
            "drops tokens",
            "You dropped columns: the same few tokens of every caption. A caption goes as a whole or stays as a whole.",
            lambda ids, null, u, p: torch.where(u < p, null, ids),
        ),
        (
            "keeps the start",
            "The first token of dropped captions is still theirs: the null is a whole row, from its first token on.",
            lambda ids, null, u, p: torch.cat([ids[:, :1], drop_conditions(ids, null, u, p)[:, 1:]], 1),
        ),
        (
            "the whole batch at once",
            "The batch was dropped as a whole, or not at all: each caption has a u of its own.",
            lambda ids, null, u, p: torch.where(u[0] < p, null, ids),
        ),
        (
            "the first ones",
            "You always drop the first captions of a batch: u says which ones.",
            lambda ids, null, u, p: torch.where((torch.arange(len(ids)) < p * len(ids))[:, None], null, ids),
        ),
        (
            "half of them",
            "p is not used: about half of the captions go, whatever it says.",
            lambda ids, null, u, p: drop_conditions(ids, null, u, 0.5),
        ),
        (
            "another caption",
            "Dropped captions were replaced by those of other pictures. That is noise, not the null.",
            lambda ids, null, u, p: torch.where(u[:, None] < p, ids.roll(1, 0), ids),
        ),
        (
            "takes them out",
            "You took the captions out of the batch. Their pictures stay, so each needs a caption: the null.",
            lambda ids, null, u, p: ids[u >= p],
        ),
        (
            "changes its input",
            MUTATES,
            lambda ids, null, u, p: ids.copy_(drop_conditions(ids, null, u, p)),
        ),
    ),
    hints=(
        "u holds a number between 0 and 1 for each caption. What share of such numbers is smaller than p?",
        "torch.where(condition, a, b) takes entries of a where the condition holds, else of b. All three are brought "
        "to one shape, lined up from the right.",
        "The condition belongs to rows. u[:, None] has the shape (B, 1), so that it goes along with (B, N).",
    ),
)


# 6.3 Negative prompts


def negative_prompt(x0_cond, x0_negative, scale):
    """The reference: `guide.cfg`, of a denoiser that gives the two answers."""
    return cfg(lambda *_: torch.cat([x0_negative, x0_cond]), x0_cond, x0_cond, scale)(x0_cond, 0)


def compose(x0_null, x0s, weights):
    """The reference: torch sums the weighted differences."""
    return x0_null + torch.tensordot(weights, x0s - x0_null, 1)


def _composed(terms, base=lambda null: null):
    """A wrong `compose`, from what is weighted and summed."""
    return lambda null, x0s, weights: base(null) + torch.tensordot(weights, terms(null, x0s), 1)


def _reweighted(change):
    return lambda null, x0s, weights: compose(null, x0s, change(weights))


def _negative_cases(g):
    cases = []
    for shape, dtype in (((2, 3, 4, 5), torch.float64), ((3, 2, 4), torch.float32), ((4, 5), torch.float64)):
        a, b = torch.randn(2, *shape, generator=g, dtype=dtype)
        cases.append(Case("negative_prompt", (a, b, uniform(g, 2, 9))))
    for shape, dtype in (((3, 2, 4, 5), torch.float64), ((4, 3, 4), torch.float32), ((3, 5), torch.float64)):
        n = shape[0]  # as many prompts as pictures, so that a wrong axis raises no error
        null, x0s = torch.randn(shape, generator=g, dtype=dtype), torch.randn(n, *shape, generator=g, dtype=dtype)
        signs = torch.tensor([1.0, -1.0, 1.0, 1.0])[:n].to(dtype)
        cases.append(Case("compose", (null, x0s, signs * uniform(g, 1.5, 4, n, dtype=dtype))))
    return cases


_NEGATIVE = Exercise(
    title="negative prompts, and prompts composed",
    reference={"negative_prompt": negative_prompt, "compose": compose},
    cases=_negative_cases,
    mistakes=(
        *mistakes(
            "negative_prompt",
            (
                "swaps the prompts",
                "negative_prompt pushes away from the prompt: the two have changed places.",
                lambda c, n, s: _walk(c, n, s),
            ),
            (
                "subtracts it",
                "negative_prompt subtracts the negative answer from the prompt's, scaled. What you get is no weighted "
                "mean: the two weights should add up to 1.",
                lambda c, n, s: c - s * n,
            ),
            (
                "scales the prompt alone",
                "negative_prompt scales the prompt's answer and takes the whole of the negative one away: "
                "the two weights should add up to 1.",
                lambda c, n, s: s * c - n,
            ),
            (
                "only the push",
                "negative_prompt gives the push alone. It starts from the answer it pushes away from.",
                lambda c, n, s: s * (c - n),
            ),
            (
                "starts from the prompt",
                "negative_prompt is one too strong: it starts from the prompt's answer, so that 1 already pushes.",
                lambda c, n, s: _walk(n, c, s + 1),
            ),
            ("ignores it", "negative_prompt does not push: that is the prompt's answer.", lambda c, n, s: c.clone()),
            (
                "gives what is unwanted",
                "negative_prompt gives the answer to the negative prompt.",
                lambda c, n, s: n.clone(),
            ),
            (
                "wrong sign",
                "negative_prompt walks the wrong way from the negative answer.",
                lambda c, n, s: _walk(n, c, -s),
            ),
            ("changes its input", MUTATES, lambda c, n, s: c.copy_(negative_prompt(c, n, s))),
        ),
        *mistakes(
            "compose",
            (
                "forgets the null in the differences",
                "compose adds whole answers. What is weighted is how an answer differs from that to the null.",
                _composed(lambda null, x0s: x0s),
            ),
            (
                "forgets where to start",
                "compose gives the pushes alone: with all weights 0 the answer to the null should come out.",
                _composed(lambda null, x0s: x0s - null, lambda null: 0 * null),
            ),
            (
                "a weighted sum",
                "compose gives a weighted sum of the answers, and the one to the null has no part in it.",
                lambda null, x0s, weights: torch.tensordot(weights, x0s, 1),
            ),
            (
                "mean for sum",
                "compose takes the mean of the pushes: they add up.",
                _reweighted(lambda w: w / len(w)),
            ),
            (
                "ignores the weights",
                "compose does not use the weights: every prompt counts the same.",
                _reweighted(torch.ones_like),
            ),
            (
                "makes the weights add up to one",
                "compose divides the weights by their sum. They are pushes, each as strong as it says.",
                _reweighted(lambda w: w / w.sum()),
            ),
            (
                "forgets what negative means",
                "compose pushes towards prompts of negative weight: those should be avoided.",
                _reweighted(torch.abs),
            ),
            (
                "drops the negative ones",
                "compose leaves out prompts of negative weight: those should be pushed away from.",
                _reweighted(lambda w: w.clamp(min=0)),
            ),
            (
                "the first prompt only",
                "compose uses the first prompt only.",
                lambda null, x0s, weights: compose(null, x0s[:1], weights[:1]),
            ),
            (
                "wrong axis",
                "compose gives each picture of the batch a weight. The weights belong to the prompts, the first axis.",
                lambda null, x0s, weights: null + (weights.reshape(-1, *[1] * (null.ndim - 1)) * (x0s - null)).sum(0),
            ),
            (
                "wrong sign",
                "compose pushes away from what it should draw.",
                _reweighted(torch.neg),
            ),
            ("changes its input", MUTATES, lambda null, x0s, weights: compose(null, x0s.sub_(null), weights)),
        ),
    ),
    hints=(
        "negative_prompt is the formula of exercise 6.1 with other words in the place of the null.",
        "compose: begin with the answer to the null. Each prompt adds its weight times the step from there to its own "
        "answer.",
        "Weights of shape (n,) and answers of shape (n, B, ...): a loop with zip is fine. Or give the weights as many "
        "axes as the answers have, each of length 1, and sum over the first.",
    ),
)


# 6.4 Guidance rescale


def _spread(v, dims=None):
    return v.std(dim=tuple(range(1, v.ndim)) if dims is None else dims, keepdim=True)


def rescale(v_cfg, v_cond, phi):
    """The reference: torch.lerp goes a part of the way. A test compares it with diffusers' `rescale_noise_cfg`."""
    return torch.lerp(v_cfg, v_cfg * (_spread(v_cond) / _spread(v_cfg)), phi)


def rescaled_guidance(x, x0_uncond, x0_cond, scale, phi, alpha, sigma):
    """The reference: `denoise.V` translates there and back."""
    return _rescaled_as(V)(x, x0_uncond, x0_cond, scale, phi, alpha, sigma)


def _rescaled_as(prediction, rescale=rescale, back=True):
    """Guidance, rescaled where a network of this prediction answers."""

    def answer(x, x0_uncond, x0_cond, scale, phi, alpha, sigma):
        both = _walk(x0_uncond, x0_cond, scale), x0_cond
        v_cfg, v_cond = (prediction.target(x0, (x - alpha * x0) / sigma, alpha, sigma) for x0 in both)
        v = rescale(v_cfg, v_cond, phi)
        return prediction.to_x0(x, v, alpha, sigma) if back else v

    return answer


def _to(target, mix=True):
    """A wrong `rescale`, from what full rescaling should give."""
    return lambda v_cfg, v_cond, phi: torch.lerp(v_cfg, target(v_cfg, v_cond), phi)


def _rescale_cases(g):
    cases = []
    for b, dtype in ((3, torch.float64), (2, torch.float32), (4, torch.float64)):
        shape = b, whole(g, 2, 4), whole(g, 3, 6), whole(g, 3, 6)
        sizes = uniform(g, 0.5, 3, 2, b, shape[1], 1, 1, dtype=dtype)  # pictures and channels differ in spread
        v_cfg, v_cond = torch.randn(2, *shape, generator=g, dtype=dtype) * sizes + sizes
        cases.append(Case("rescale", (2 * v_cfg, v_cond, uniform(g, 0.3, 0.8))))
    for b, dtype in ((2, torch.float64), (3, torch.float32)):
        shape = b, whole(g, 2, 4), whole(g, 3, 6), whole(g, 3, 6)
        u, c, eps = torch.randn(3, *shape, generator=g, dtype=dtype)
        angle = uniform(g, 0.5, 0.7)  # not 45 degrees, where alpha and sigma could be swapped unseen
        alpha, sigma = math.cos(angle), math.sin(angle)
        x0_cond = 0.7 * c + 0.2
        args = alpha * c + sigma * eps, x0_cond + 0.3 * u, x0_cond, uniform(g, 3, 9), uniform(g, 0.3, 0.8), alpha, sigma
        cases.append(Case("rescaled_guidance", args))
    return cases


_RESCALE = Exercise(
    title="guidance rescale",
    reference={"rescale": rescale, "rescaled_guidance": rescaled_guidance},
    cases=_rescale_cases,
    mistakes=(
        *mistakes(
            "rescale",
            (
                "does nothing",
                "rescale gives back what it got.",
                lambda v_cfg, v_cond, phi: v_cfg.clone(),
            ),
            (
                "ignores phi",
                "rescale goes the whole way, whatever phi says.",
                lambda v_cfg, v_cond, phi: rescale(v_cfg, v_cond, 1.0),
            ),
            (
                "phi the other way round",
                "rescale takes phi for what stays as it is. 0 should change nothing, and 1 everything.",
                lambda v_cfg, v_cond, phi: rescale(v_cfg, v_cond, 1 - phi),
            ),
            (
                "upside down",
                "rescale makes large what should become small: the ratio is upside down.",
                _to(lambda a, b: a * (_spread(a) / _spread(b))),
            ),
            (
                "variances",
                "rescale uses the ratio of variances; that of standard deviations is asked for.",
                _to(lambda a, b: a * (_spread(b) / _spread(a)) ** 2),
            ),
            (
                "the whole batch",
                "rescale takes one standard deviation for the whole batch: each picture has its own.",
                _to(lambda a, b: a * (b.std() / a.std())),
            ),
            (
                "each channel",
                "rescale treats each channel by itself, which changes the colours. "
                "A picture has one standard deviation, over channels, height and width.",
                _to(lambda a, b: a * (_spread(b, (2, 3)) / _spread(a, (2, 3)))),
            ),
            (
                "across the batch",
                "rescale measures how pictures differ from each other: leave out the first axis, not the others.",
                _to(lambda a, b: a * (_spread(b, (0,)) / _spread(a, (0,)))),
            ),
            (
                "divides only",
                "rescale brings every prediction to a standard deviation of 1, not to that of the conditional one.",
                _to(lambda a, b: a / _spread(a)),
            ),
            (
                "multiplies only",
                "rescale multiplies by the wanted standard deviation, but does not divide by the one there is.",
                _to(lambda a, b: a * _spread(b)),
            ),
            (
                "distance from zero",
                "rescale measures how far the numbers are from 0. A standard deviation is measured from their mean.",
                _to(
                    lambda a, b: (
                        a * (b.square().mean((1, 2, 3), keepdim=True) / a.square().mean((1, 2, 3), keepdim=True)).sqrt()
                    )
                ),
            ),
            (
                "keeps the mean",
                "rescale changes the distance from the mean only. The whole prediction is multiplied, its mean too.",
                _to(
                    lambda a, b: (
                        (a - a.mean((1, 2, 3), keepdim=True)) * (_spread(b) / _spread(a))
                        + a.mean((1, 2, 3), keepdim=True)
                    )
                ),
            ),
            (
                "mixes with the conditional",
                "rescale mixes with the conditional prediction: the other part is the guided one, as it came.",
                lambda v_cfg, v_cond, phi: torch.lerp(v_cond, v_cfg * (_spread(v_cond) / _spread(v_cfg)), phi),
            ),
            ("changes its input", MUTATES, lambda v_cfg, v_cond, phi: v_cfg.copy_(rescale(v_cfg, v_cond, phi))),
        ),
        *mistakes(
            "rescaled_guidance",
            (
                "on x_0",
                "rescaled_guidance rescales x_0. The network predicts v, and that is what is rescaled: "
                "translate there and back.",
                lambda x, u, c, s, phi, alpha, sigma: rescale(_walk(u, c, s), c, phi),
            ),
            (
                "on eps",
                "rescaled_guidance rescales the noise, eps; this network predicts v.",
                _rescaled_as(EPS),
            ),
            (
                "stays in v",
                "rescaled_guidance gives the rescaled v itself: the sampler wants to have x_0.",
                _rescaled_as(V, back=False),
            ),
            (
                "no rescaling",
                "rescaled_guidance is plain guidance: nothing is rescaled.",
                lambda x, u, c, s, phi, alpha, sigma: _walk(u, c, s),
            ),
            (
                "no guidance",
                "rescaled_guidance does not guide: that is the conditional answer.",
                lambda x, u, c, *_: c.clone(),
            ),
            (
                "like the null",
                "rescaled_guidance gives the guided prediction the spread of the unconditional one; "
                "that of the conditional one is asked for.",
                lambda x, u, c, s, phi, a, b: V.to_x0(
                    x,
                    rescale(*(V.target(y, (x - a * y) / b, a, b) for y in (_walk(u, c, s), u)), phi),
                    a,
                    b,
                ),
            ),
            (
                "swaps prompt and null",
                "rescaled_guidance pushes away from the prompt: the two answers have changed places.",
                lambda x, u, c, *others: rescaled_guidance(x, c, u, *others),
            ),
            (
                "swaps alpha and sigma",
                "rescaled_guidance has swapped alpha and sigma: alpha belongs to the picture, sigma to the noise.",
                lambda x, u, c, s, phi, alpha, sigma: rescaled_guidance(x, u, c, s, phi, sigma, alpha),
            ),
            (
                "all the way",
                "rescaled_guidance ignores phi and goes the whole way.",
                lambda x, u, c, s, phi, *levels: rescaled_guidance(x, u, c, s, 1.0, *levels),
            ),
        ),
    ),
    hints=(
        "rescale: two standard deviations for each picture, over all axes but the first. .std takes a tuple of axes, "
        "and keepdim=True leaves them at length 1, so that you can multiply.",
        "The rescaled prediction is the guided one, times the spread it should have, over the spread it has. phi mixes "
        "it with the guided one.",
        "rescaled_guidance: guide on x_0, then say what a network that predicts v would have said for that x_0, and "
        "what for the conditional one.",
        "From x_t and x_0 you know eps: take the picture's part away from x_t, and divide by sigma. v is alpha times "
        "eps, minus sigma times x_0. And back: x_0 is alpha times x_t, minus sigma times v.",
    ),
)


# 6.5 CFGSimulator

SCALES = (1, 3, 5, 7.5, 10, 15, 20)


class CFGSimulator:
    """The reference: two vectors that differ by a signal, and what guidance makes of them."""

    def __init__(self, signal, seed=42):
        self.signal = signal
        self.unconditional = torch.randn(len(signal), generator=torch.Generator().manual_seed(seed))
        self.conditional = self.unconditional + signal

    def apply_cfg(self, unconditional, conditional, scale):
        return cfg(lambda *_: torch.stack([unconditional, conditional]), conditional[None], conditional[None], scale)(
            conditional[None], 0
        )[0 if scale != 1 else 1]

    def _guided(self, scale):
        return self.apply_cfg(self.unconditional, self.conditional, scale)

    def cosine_similarity(self, scale):
        return torch.cosine_similarity(self._guided(scale), self.signal, dim=0).item()

    def norm(self, scale):
        return torch.linalg.vector_norm(self._guided(scale)).item()

    def amplification(self, scale):
        return (self._guided(scale) @ self.signal / (self.conditional @ self.signal)).item()

    def find_threshold(self, scales=SCALES, factor=3.0):
        limit = factor * torch.linalg.vector_norm(self.conditional).item()
        return float(next((scale for scale in scales if self.norm(scale) > limit), math.inf))

    def run(self, scales=SCALES):
        for scale in scales:
            print(_row(self, scale))
        print(_threshold_line(self.find_threshold(scales)))


def _row(simulator, scale, columns="snr"):
    right = CFGSimulator(simulator.signal)
    right.unconditional, right.conditional = simulator.unconditional, simulator.conditional
    of = {"s": right.cosine_similarity, "n": right.norm, "r": right.amplification}
    return f"{scale:g} " + " ".join(f"{of[column](scale):.3f}" for column in columns)


def _threshold_line(threshold):
    return f"threshold: {'none' if threshold == math.inf else f'{threshold:g}'}"


def _numbers(line):
    return [re.sub(r"[,_']", "", text) for text in re.findall(r"-?\d(?:[\d,_']*\d)?(?:\.\d+)?", line)]


def _printed_as(text, value):
    """Whether this text is the value, to as many decimals as it has, two at least. The last may be rounded or cut."""
    decimals = len(text.partition(".")[2])
    return decimals >= 2 and abs(float(text) - value) < 1.01 * 10**-decimals


def _table(simulator, scales):
    """Says what is missing in a printed table."""

    def missing(text):
        lines, out = [(_numbers(line), line) for line in text.splitlines()], []
        for scale in scales:
            wanted = {
                "similarity": simulator.cosine_similarity(scale),
                "norm": simulator.norm(scale),
                "amplification": simulator.amplification(scale),
            }
            row = next((n[1:] for n, _ in lines if n and float(n[0]) == scale and len(n) > 1), None)
            if row is None:
                out.append(f"a line that begins with {scale:g}")
                continue
            out += [
                f"{name} at {scale:g}" for name, value in wanted.items() if not any(_printed_as(n, value) for n in row)
            ]
        threshold, (last, line) = simulator.find_threshold(scales), lines[-1] if lines else ([], "")
        if threshold == math.inf:
            found = any(word in line.lower() for word in ("none", "no scale", "never", "not reached"))
        else:
            found = any(float(n) == threshold for n in last)
        out += [] if found else ["a last line with the threshold, or the word none"]
        return "a table that lacks " + (", ".join(out) or "nothing")

    return missing


def _signal(g, n, share):
    """n numbers, `share` times as long as n standard normal ones are on average."""
    signal = torch.randn(n, generator=g)
    return signal * (share * math.sqrt(n) / signal.norm())


def _simulator_cases(g):
    def made(n, share):
        return _signal(g, n, share), whole(g, 0, 10**6)

    def case(method, *args, made_with, **kwargs):
        return Case(f"CFGSimulator.{method}", args, made_with=made_with, **kwargs)

    some = [made(100, uniform(g, 0.3, 0.5)), made(whole(g, 60, 90), uniform(g, 0.9, 1.2)), made(80, 0.6)]
    a, b = torch.randn(2, 20, generator=g)
    cases = [case("apply_cfg", a, b, uniform(g, 2, 9), made_with=some[0])]
    cases += [case("apply_cfg", b, a, uniform(g, 2, 9), made_with=some[1])]
    for method in ("cosine_similarity", "norm", "amplification"):
        cases += [case(method, uniform(g, 2, 12), made_with=made_with) for made_with in some]
    weak = made(100, 0.05)
    for made_with, factor in ((some[0], 3.0), (some[1], 3.0), (some[1], uniform(g, 5, 6)), (some[2], 2.0), (weak, 3.0)):
        cases.append(case("find_threshold", SCALES, factor, made_with=made_with))
    cases.append(case("find_threshold", (2, 4, 6, 8, 9, 11, 13), 3.0, made_with=some[1]))
    for made_with, scales in ((some[0], SCALES), (weak, (2, 4, 6.5))):
        cases.append(case("run", scales, made_with=made_with, printed=_table(CFGSimulator(*made_with), scales)))
    return cases


def _of(method):
    """A wrong method, from (simulator, guided vector)."""
    return lambda self, scale: method(self, self.apply_cfg(self.unconditional, self.conditional, scale))


def _threshold(limit=lambda self, factor: factor * self.conditional.norm(), ok=lambda n, limit: n > limit, pick=None):
    def find_threshold(self, scales=SCALES, factor=3.0):
        found = [scale for scale in scales if ok(self.norm(scale), limit(self, factor).item())]
        return float((pick or (lambda found, scales: found[0] if found else math.inf))(found, scales))

    return find_threshold


def _lacking(columns):
    def run(self, scales=SCALES):
        for scale in scales:
            print(_row(self, scale, columns))
        print(_threshold_line(CFGSimulator.find_threshold(self, scales)))

    return run


def _without_last(self, scales=SCALES):
    for scale in scales:
        print(_row(self, scale))


_SIMULATOR = Exercise(
    title="CFGSimulator: similarity, norm and amplification",
    reference={"CFGSimulator": CFGSimulator},
    cases=_simulator_cases,
    atol=1e-4,
    mistakes=(  # those of `run` first: a wrong method that others call makes their results wrong, too
        *methods(
            CFGSimulator,
            "run",
            ("leaves out the similarity", "run lacks the cosine similarity in each line.", _lacking("nr")),
            ("leaves out the norm", "run lacks the norm in each line.", _lacking("sr")),
            ("leaves out the amplification", "run lacks the amplification in each line.", _lacking("sn")),
            (
                "leaves out the threshold",
                "run ends without a line that says where the threshold is, or that there is none.",
                _without_last,
            ),
            (
                "always the same scales",
                "run always prints the same scales: take those it is given.",
                lambda self, scales=SCALES: CFGSimulator.run(self),
            ),
        ),
        *methods(
            CFGSimulator,
            "find_threshold",
            (
                "against the unconditional",
                "find_threshold compares with the unconditional vector's norm.",
                _threshold(lambda self, factor: factor * self.unconditional.norm()),
            ),
            (
                "against the signal",
                "find_threshold compares with the norm of the signal.",
                _threshold(lambda self, factor: factor * self.signal.norm()),
            ),
            (
                "ignores the factor",
                "find_threshold does not use the factor it is given.",
                _threshold(lambda self, factor: 3.0 * self.conditional.norm()),
            ),
            (
                "the last one",
                "find_threshold gives the largest scale that passes; the first one is asked for.",
                _threshold(pick=lambda found, scales: found[-1] if found else math.inf),
            ),
            (
                "the last that does not",
                "find_threshold gives the last scale that stays below: the first that passes is asked for.",
                _threshold(ok=lambda n, limit: n <= limit, pick=lambda found, scales: found[-1]),
            ),
            (
                "its place",
                "find_threshold gives the place of the scale in the list, not the scale.",
                _threshold(pick=lambda found, scales: scales.index(found[0]) if found else math.inf),
            ),
            (
                "the largest where none does",
                "find_threshold gives a scale even where no scale passes: infinity is asked for there.",
                _threshold(pick=lambda found, scales: found[0] if found else scales[-1]),
            ),
            (
                "always the same scales",
                "find_threshold looks at its own list of scales: take those it is given.",
                lambda self, scales=SCALES, factor=3.0: CFGSimulator.find_threshold(self, SCALES, factor),
            ),
        ),
        *methods(
            CFGSimulator,
            "amplification",
            (
                "is the scale",
                "amplification is the scale itself. Nearly: but the noise has a part along the signal, too.",
                lambda self, s: float(s),
            ),
            (
                "of the norm",
                "amplification compares lengths. Only the part along the signal is asked for.",
                _of(lambda self, v: (v.norm() / self.conditional.norm()).item()),
            ),
            (
                "against the signal",
                "amplification compares with the signal itself; "
                "the signal's part in the conditional vector is asked for.",
                _of(lambda self, v: (v @ self.signal / self.signal.square().sum()).item()),
            ),
            (
                "against the unconditional",
                "amplification compares with the unconditional vector, in which there is no signal.",
                _of(lambda self, v: (v @ self.signal / (self.unconditional @ self.signal)).item()),
            ),
            (
                "upside down",
                "amplification is upside down: how many times larger has the part become?",
                _of(lambda self, v: (self.conditional @ self.signal / (v @ self.signal)).item()),
            ),
            (
                "does not divide",
                "amplification gives the part along the signal. How many times is that of the conditional vector?",
                _of(lambda self, v: (v @ self.signal / self.signal.norm()).item()),
            ),
        ),
        *methods(
            CFGSimulator,
            "norm",
            (
                "of the conditional",
                "norm does not depend on the scale: measure the guided vector.",
                lambda self, s: self.conditional.norm().item(),
            ),
            (
                "squared",
                "norm is the sum of squares; a length is its square root.",
                _of(lambda self, v: v.square().sum().item()),
            ),
            (
                "absolute values",
                "norm adds up absolute values, which is another norm, L1.",
                _of(lambda self, v: v.abs().sum().item()),
            ),
            (
                "root of the mean",
                "norm takes the mean of the squares; the length of a vector is made of their sum.",
                _of(lambda self, v: v.square().mean().sqrt().item()),
            ),
            (
                "a ratio",
                "norm is divided by that of the conditional vector: the length itself is asked for.",
                _of(lambda self, v: (v.norm() / self.conditional.norm()).item()),
            ),
        ),
        *methods(
            CFGSimulator,
            "cosine_similarity",
            (
                "of the conditional",
                "cosine_similarity does not depend on the scale: compare the guided vector.",
                lambda self, s: torch.cosine_similarity(self.conditional, self.signal, dim=0).item(),
            ),
            (
                "with the conditional",
                "cosine_similarity compares with the conditional vector; the pure signal is asked for.",
                _of(lambda self, v: torch.cosine_similarity(v, self.conditional, dim=0).item()),
            ),
            (
                "forgets to divide",
                "cosine_similarity is a scalar product: divide it by both lengths.",
                _of(lambda self, v: (v @ self.signal).item()),
            ),
            (
                "divides by one length",
                "cosine_similarity is divided by one of the lengths only.",
                _of(lambda self, v: (v @ self.signal / v.norm()).item()),
            ),
            (
                "of the push",
                "cosine_similarity compares the push alone with the signal, and those always agree. "
                "The guided vector has noise in it.",
                _of(lambda self, v: torch.cosine_similarity(v - self.unconditional, self.signal, dim=0).item()),
            ),
            (
                "the distance",
                "cosine_similarity gives how different the two are; how alike is asked for.",
                _of(lambda self, v: 1 - torch.cosine_similarity(v, self.signal, dim=0).item()),
            ),
        ),
        *methods(
            CFGSimulator,
            "apply_cfg",
            (
                "uses its own vectors",
                "apply_cfg uses the vectors of the class: take those it is given.",
                lambda self, u, c, s: _walk(self.unconditional, self.conditional, s),
            ),
            (
                "swaps the two",
                "apply_cfg has swapped the two: it moves away from the conditional one.",
                lambda self, u, c, s: _walk(c, u, s),
            ),
            (
                "one too large",
                "apply_cfg is one too strong: a scale of 1 should give the conditional vector.",
                lambda self, u, c, s: _walk(u, c, s + 1),
            ),
            (
                "only the push",
                "apply_cfg gives the push alone, without the vector it starts from.",
                lambda self, u, c, s: s * (c - u),
            ),
            (
                "ignores the scale",
                "apply_cfg ignores the scale: that is the conditional vector.",
                lambda self, u, c, s: c.clone(),
            ),
            ("changes its input", MUTATES, lambda self, u, c, s: u.add_(s * (c - u))),
        ),
    ),
    hints=(
        "apply_cfg is the formula of exercise 6.1, on vectors. The three methods that measure begin by calling it with "
        "self.unconditional and self.conditional.",
        "Cosine similarity: the scalar product over both lengths. torch.cosine_similarity with dim=0 does it; .item "
        "makes a float.",
        "The signal's part in a vector is its scalar product with the signal. In the amplification you divide two such "
        "parts, so the length of the signal drops out.",
        "find_threshold: go through the scales in order, and return the first whose norm is larger than factor times "
        "the norm of self.conditional, as a float. After the loop return math.inf.",
        "run: an f-string for each scale, with .3f for the numbers, and a last print with the threshold. It is "
        "math.inf where there is none: then print the word none.",
    ),
)


# 6.6 A guidance of your own, in a world where everything is known

BLOBS = torch.tensor(
    [[-1.6, 1.1], [0.0, 1.5], [1.5, 0.5], [0.2, 0.6], [-0.9, -0.2], [0.6, -0.9], [1.6, -0.7]], dtype=torch.float64
)
KIND, WIDTH, FOREIGN = torch.tensor([0, 0, 0, 1, 1, 2, 2]), 0.22, 0.3


def _exact(x, t, weights):
    """The best denoiser of blobs with these weights."""
    alpha, sigma = Discrete(cosine_betas(1000))(t)
    variance = (alpha * WIDTH) ** 2 + sigma**2
    away = x[:, None] - alpha * BLOBS
    likely = (weights.log() - away.square().sum(-1) / (2 * variance)).softmax(1)
    return (likely[..., None] * (BLOBS + alpha * WIDTH**2 / variance * away)).sum(1)


@cache
def outcome(scales, n=3000):
    """(share of the right kind, of its rarest blob, outside of all blobs): points guided with a scale for each step."""
    true = torch.stack([(KIND == kind).double() / (KIND == kind).sum() for kind in range(3)])
    everything = true.mean(0, keepdim=True)
    captioned = (1 - FOREIGN) * true[:1] + FOREIGN * everything
    x, steps = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64), iter(scales)

    def guided(x, t):
        return _walk(_exact(x, t, everything), _exact(x, t, captioned), next(steps))

    *_, x0 = ddim(guided, x, Discrete(cosine_betas(1000)), trailing(1000, len(scales)))
    distance, blob = torch.cdist(x0, BLOBS).min(1)
    shares = torch.bincount(blob, minlength=len(BLOBS))[KIND == 0] / n
    return shares.sum().item(), shares.min().item(), (distance > 3 * WIDTH).double().mean().item()


def my_guidance(t):
    """One right answer of many: it rises as the noise goes."""
    return 1 + 4 * (1 - t / 1000)


def _each(test):
    return lambda results: all(test(tuple(scales.tolist())) for _, scales in results)


_OPEN = {
    "range": "Some of your scales are below 0 or above 20, or are no numbers.",
    "constant": "That is the same number all the way, and the table shows that none will do. Let it depend on t.",
    "right": "Too many points are of another kind: 97.5 % should be of the right one. Push more, or for longer.",
    "rare": "One of the three blobs has been emptied: the rarest should keep 28 % of the points. "
    "When, along the way, is it decided which blob a point goes to? Push less there.",
    "outside": "Too many points lie outside of all blobs, where there is no data: at most 1.5 % may. Push less.",
}

_DESIGN = Exercise(
    title="open-ended: a guidance of your own",
    reference={"my_guidance": my_guidance},
    cases=lambda g: [Case("my_guidance", (trailing(1000, n)[:-1],)) for n in (25, whole(g, 26, 40), 50)],
    properties=(
        (_OPEN["range"], _each(lambda s: all(0 <= scale <= 20 for scale in s))),
        (_OPEN["constant"], _each(lambda s: max(s) - min(s) > 1e-3)),
        (_OPEN["right"], _each(lambda s: outcome(s)[0] >= 0.975)),
        (_OPEN["rare"], _each(lambda s: outcome(s)[1] >= 0.28)),
        (_OPEN["outside"], _each(lambda s: outcome(s)[2] <= 0.015)),
    ),
    mistakes=mistakes(
        "my_guidance",
        ("negative scales", _OPEN["range"], lambda t: my_guidance(t) - 3),
        ("at the end only", _OPEN["right"], lambda t: torch.where(t <= 300, 4.0, 1.0).to(t)),
        ("a constant", _OPEN["constant"], lambda t: torch.full_like(t, 3)),
        ("falls", _OPEN["rare"], lambda t: 1 + 4 * t / 1000),
        ("far too much", _OPEN["outside"], lambda t: torch.where(t < 570, 20.0, 1.0).to(t)),
    ),
    hints=(
        "Look at the table of constants first: as the right kind gains, the rarest blob loses. Is it the same part of "
        "the way that does both?",
        "Try guidance within an interval of t, and move its ends. torch.where with a condition on t does it.",
        "Or a smooth curve over t: t runs from 1000, all noise, down to 0. Which end can do with less?",
    ),
)

EXERCISES = {
    "6.1": _CFG,
    "6.2": _DROPOUT,
    "6.3": _NEGATIVE,
    "6.4": _RESCALE,
    "6.5": _SIMULATOR,
    "6.6": _DESIGN,
}
