"""Lesson 04: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import collections
import re
from dataclasses import replace

import torch
import torch.nn.functional as F
from answers import accepted, one_of, rejected

from minidiff import data
from minidiff.checks.lesson04 import (
    best_pair,
    causal_attention,
    classifier,
    clip_loss,
    hard_negative,
    merge,
    nearest,
    pooled,
    zero_shot,
)


def changed(caption, **fields):
    return str(replace(data.parse(caption), **fields))


def place_of_length(caption):
    """A place for each length of a caption: all kinds of captions get the place alone."""
    return changed(caption, place="on blue" if data.parse(caption).place != "on blue" else "in sea")


def best_by_product(words):
    """Counts of the pieces multiplied, as if neighbours did not depend on each other."""
    counts = collections.Counter()
    for pieces, n in words:
        for piece in pieces:
            counts[piece] += n
    pairs = {pair for pieces, _ in words for pair in zip(pieces, pieces[1:], strict=False)}
    return min(pairs, key=lambda pair: (-counts[pair[0]] * counts[pair[1]], pair))


def loud(words):
    print("\n".join(str(pieces) for pieces, _ in words))


def hidden_by_a_number(q, k, v, number):
    ahead = torch.ones(q.shape[1], q.shape[1]).triu(1).bool()
    return (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(ahead, number).softmax(-1) @ v


WRONG = {
    "4.1 a list": one_of("4.1", best_pair=lambda words: list(best_pair(words))[::-1]),
    "4.1 turned": one_of("4.1", best_pair=lambda words: best_pair(words)[::-1]),
    "4.1 a constant": one_of("4.1", best_pair=lambda words: ("a", "b")),
    "4.1 product of counts": one_of("4.1", best_pair=best_by_product),
    "4.1 words squared": one_of("4.1", best_pair=lambda words: best_pair([(p, n * n) for p, n in words])),
    "4.1 the first word": one_of("4.1", best_pair=lambda words: best_pair(words[:1])),
    "4.1 prints": one_of("4.1", best_pair=loud),
    "4.1 only inside": one_of("4.1", merge=lambda p, pair: [p[0], *merge(p[1:], pair)]),
    "4.1 at most two": one_of("4.1", merge=lambda p, pair: merge(p[:6], pair) + p[6:]),
    "4.1 a string": one_of("4.1", merge=lambda p, pair: " ".join(merge(p, pair))),
    "4.1 with a blank": one_of("4.1", merge=lambda p, pair: [x.replace("ab", "a b") for x in merge(p, pair)]),
    "4.1 again": one_of("4.1", merge=lambda p, pair: merge(merge(p, pair), ("".join(pair), "".join(pair)))),
    "4.2 a window": one_of(
        "4.2", causal_attention=lambda q, k, v: torch.cat([causal_attention(q, k, v)[:, :2], v[:, 2:]], dim=1)
    ),
    "4.2 minus one": one_of("4.2", causal_attention=lambda q, k, v: hidden_by_a_number(q, k, v, -1)),
    "4.2 float64": one_of("4.2", causal_attention=lambda q, k, v: causal_attention(q, k, v).double()),
    "4.2 the mean so far": one_of(
        "4.2", causal_attention=lambda q, k, v: v.cumsum(1) / torch.arange(1, v.shape[1] + 1).to(v)[:, None]
    ),
    "4.2 twice the scale": one_of("4.2", causal_attention=lambda q, k, v: causal_attention(2 * q, k, v)),
    "4.2 adds the input": one_of("4.2", causal_attention=lambda q, k, v: v + causal_attention(q, k, v)),
    "4.2 keeps an axis": one_of("4.2", pooled=lambda ids, states, eos: pooled(ids, states, eos)[:, None]),
    "4.2 at the middle": one_of("4.2", pooled=lambda ids, states, eos: states[:, ids.shape[1] // 2]),
    "4.2 sum of the ends": one_of("4.2", pooled=lambda ids, states, eos: (states * (ids == eos)[..., None]).sum(1)),
    "4.2 only one text": one_of("4.2", pooled=lambda ids, states, eos: pooled(ids, states, eos)[:1]),
    "4.2 normalised": one_of("4.2", pooled=lambda *args: F.normalize(pooled(*args), dim=-1)),
    "4.3 a float": one_of("4.3", clip_loss=lambda *args: clip_loss(*args).item()),
    "4.3 scale squared": one_of("4.3", clip_loss=lambda i, t, s: clip_loss(i, t, 2 * s)),
    "4.3 in bits": one_of("4.3", clip_loss=lambda *args: clip_loss(*args) / 0.6931),
    "4.3 less chance": one_of("4.3", clip_loss=lambda i, t, s: torch.tensor(len(i)).to(i).log() - clip_loss(i, t, s)),
    "4.3 pictures against pictures": one_of("4.3", clip_loss=lambda i, t, s: clip_loss(i, i, s)),
    "4.3 smoothed": one_of("4.3", clip_loss=lambda i, t, s: 0.9 * clip_loss(i, t, s) + 0.1 * clip_loss(i, t, 0 * s)),
    "4.3 squared distances": one_of(
        "4.3", clip_loss=lambda i, t, s: (F.normalize(i, dim=-1) - F.normalize(t, dim=-1)).square().sum(-1).mean()
    ),
    "4.3 one vector longer": one_of("4.3", clip_loss=lambda i, t, s: clip_loss(i, F.pad(t, (0, 0, 0, 1)), s)),
    "4.4 median": one_of("4.4", classifier=lambda p: F.normalize(F.normalize(p, dim=-1).median(1).values, dim=-1)),
    "4.4 the sum": one_of("4.4", classifier=lambda p: F.normalize(p, dim=-1).sum(1)),
    "4.4 the last": one_of("4.4", classifier=lambda p: F.normalize(p[:, -1], dim=-1)),
    "4.4 absolute length": one_of("4.4", classifier=lambda p: F.normalize(F.normalize(p, p=1, dim=-1).mean(1), dim=-1)),
    "4.4 a list": one_of("4.4", classifier=lambda p: list(classifier(p))),
    "4.4 one-hot": one_of("4.4", zero_shot=lambda i, w, s: F.one_hot(zero_shot(i, w, s).argmax(-1), len(w)).float()),
    "4.4 scale squared": one_of("4.4", zero_shot=lambda i, w, s: zero_shot(i, w, s * s)),
    "4.4 transposed": one_of("4.4", zero_shot=lambda i, w, s: zero_shot(i, w, s).T),
    "4.4 directions over the pictures": one_of(
        "4.4", zero_shot=lambda i, w, s: (s * F.normalize(i, dim=0) @ w.T).softmax(-1)
    ),
    "4.5 from the start": one_of("4.5", nearest=lambda g, p, m, k: torch.arange(k)),
    "4.5 one too many": one_of("4.5", nearest=lambda g, p, m, k: nearest(g, p, m, k + 1)),
    "4.5 a list": one_of("4.5", nearest=lambda g, p, m, k: nearest(g, p, m, k).tolist()),
    "4.5 twice minus": one_of("4.5", nearest=lambda g, p, m, k: nearest(g, p, 2 * m, k)),
    "4.5 either direction": one_of(
        "4.5", nearest=lambda g, p, m, k: F.cosine_similarity(p.sum(0) - m.sum(0), g, dim=-1).abs().topk(k).indices
    ),
    "4.5 counted from one": one_of("4.5", nearest=lambda g, p, m, k: nearest(g, p, m, k) + 1),
    "4.5 short ones first": one_of(
        "4.5", nearest=lambda g, p, m, k: (g @ (p.sum(0) - m.sum(0)) / g.square().sum(-1)).topk(k).indices
    ),
    "4.6 a parsed caption": one_of("4.6", hard_negative=lambda c: data.parse(hard_negative(c))),
    "4.6 a shouted same": one_of("4.6", hard_negative=str.upper),
    "4.6 not this": one_of("4.6", hard_negative=lambda c: f"not {c}"),
    "4.6 always the same": one_of("4.6", hard_negative=lambda c: "red apple left of green apple on blue"),
    "4.6 another place": one_of("4.6", hard_negative=place_of_length),
    "4.6 an unknown place": one_of("4.6", hard_negative=lambda c: re.sub(r"(on|in) \w+$", "on black", c)),
    "4.6 no size": one_of(
        "4.6", hard_negative=lambda c: changed(c, size=None) if data.parse(c).size else hard_negative(c)
    ),
    "4.6 one caption is left": one_of(
        "4.6", hard_negative=lambda c: c if data.parse(c).style and data.parse(c).size else hard_negative(c)
    ),
}


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def by_sorting(words):
    counts = {}
    for pieces, n in words:
        for i in range(len(pieces) - 1):
            counts[pieces[i], pieces[i + 1]] = counts.get((pieces[i], pieces[i + 1]), 0) + n
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0][0]


def by_looking_back(pieces, pair):
    """Joins when the second one comes; what was joined is closed to a further join."""
    out, closed = [], True
    for piece in pieces:
        if not closed and (out[-1], piece) == tuple(pair):
            out[-1], closed = out[-1] + piece, True
        else:
            out, closed = [*out, piece], False
    return tuple(out)


def row_by_row(q, k, v):
    rows = []
    for i in range(q.shape[1]):
        scores = (q[:, i : i + 1] * k[:, : i + 1]).sum(-1) / q.shape[-1] ** 0.5
        rows.append((scores.softmax(-1)[..., None] * v[:, : i + 1]).sum(1))
    return torch.stack(rows, dim=1)


def swapped_objects(caption):
    """Swaps objects where there are two, else style, size or place."""
    spec = data.parse(caption)
    if len(spec.objects) == 2:
        return str(replace(spec, objects=spec.objects[::-1]))
    if spec.style:
        return str(replace(spec, style="sketch" if spec.style != "sketch" else "silhouette"))
    if spec.size:
        return str(replace(spec, size="big" if spec.size == "small" else "small"))
    return str(replace(spec, place="on blue" if spec.place != "on blue" else "on white"))


RIGHT = {
    "4.1 by sorting": one_of("4.1", best_pair=by_sorting, merge=by_looking_back),
    "4.2 row by row": one_of(
        "4.2",
        causal_attention=row_by_row,
        pooled=lambda ids, states, eos: torch.stack(
            [s[i.tolist().index(eos)] for i, s in zip(ids, states, strict=True)]
        ),
    ),
    "4.3 written out": one_of(
        "4.3",
        clip_loss=lambda i, t, s: (
            -(
                (z := s.exp() * (i / i.norm(dim=-1, keepdim=True)) @ (t / t.norm(dim=-1, keepdim=True)).T).diagonal()
                - (z.logsumexp(0) + z.logsumexp(1)) / 2
            ).mean()
        ),
    ),
    "4.4 by sums": one_of(
        "4.4",
        classifier=lambda p: F.normalize((p / p.norm(dim=-1, keepdim=True)).sum(1), dim=-1),
        zero_shot=lambda i, w, s: F.softmax(F.cosine_similarity(i[:, None], w[None], dim=-1) * s, dim=1),
    ),
    "4.5 by sorting": one_of(
        "4.5",
        nearest=lambda g, p, m, k: (F.normalize(g, dim=-1) @ (p.sum(0) - m.sum(0))).argsort(descending=True)[:k],
    ),
    "4.6 swapped objects": one_of("4.6", hard_negative=swapped_objects),
    "4.6 in capitals": one_of("4.6", hard_negative=lambda c: hard_negative(c).upper()),
}


test_another_right_answer_passes = accepted(RIGHT)
