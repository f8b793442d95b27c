"""Lesson 04, CLIP: what the exercises are checked against."""

import collections
import json
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from tokenizers import models, trainers

from minidiff import data
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import mistakes, uniform, whole
from minidiff.clip import CLIPText, contrastive_loss
from minidiff.judge import labels

# 4.1 Byte pairs


def _spelled(pieces):
    """A character for each piece, in the order of the alphabet: the library joins characters."""
    return {piece: chr(0x4E00 + i) for i, piece in enumerate(sorted(set(pieces)))}


def best_pair(words):
    """The reference: the first merge that the library `tokenizers` learns."""
    letter = _spelled(piece for pieces, _ in words for piece in pieces)
    bpe = tokenizers.Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=len(letter) + 1, special_tokens=sorted(letter.values()), show_progress=False
    )
    bpe.train_from_iterator(("".join(letter[p] for p in pieces) for pieces, n in words for _ in range(n)), trainer)
    (first, *_), piece = json.loads(bpe.to_str())["model"]["merges"], {c: piece for piece, c in letter.items()}
    return tuple(piece[c] for c in first)


def merge(pieces, pair):
    """The reference: the library's model with this one merge."""
    letter = _spelled([*pieces, *pair])
    a, b = (letter[piece] for piece in pair)
    bpe = models.BPE({c: i for i, c in enumerate([*letter.values(), a + b])}, [(a, b)])
    piece = {c: piece for piece, c in letter.items()}
    return ["".join(piece[c] for c in token.value) for token in bpe.tokenize("".join(letter[p] for p in pieces))]


def _counted(words, pairs=lambda pieces: zip(pieces, pieces[1:], strict=False), times=lambda n: n):
    counts = collections.Counter()
    for pieces, n in words:
        for pair in pairs(pieces):
            counts[pair] += times(n)
    return counts


def _first(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _merged(pieces, joins, skip=2, i=0):
    """A merge from left to right; `joins` of two neighbours, after which it goes on `skip` places further."""
    out = []
    while i < len(pieces):
        found = i + 1 < len(pieces) and joins(pieces[i], pieces[i + 1])
        out.append(pieces[i] + pieces[i + 1] if found else pieces[i])
        i += skip if found else 1
    return out


def _once(pieces, pair):
    i = next((i for i in range(len(pieces) - 1) if (pieces[i], pieces[i + 1]) == tuple(pair)), None)
    return list(pieces) if i is None else [*pieces[:i], "".join(pair), *pieces[i + 2 :]]


def _from_the_right(pieces, pair):
    turned = _merged([p[::-1] for p in pieces[::-1]], lambda a, b: (b[::-1], a[::-1]) == tuple(pair))
    return [p[::-1] for p in turned[::-1]]


def _in_place(pieces, pair):
    pieces[:] = merge(pieces, pair)
    return pieces


def _word(g, low, high, letters="abcd"):
    return [letters[whole(g, 0, len(letters) - 1)] for _ in range(whole(g, low, high))]


def _pair_cases(g):
    """Words with counts; the last ones with a tie; then merges, in which the pair overlaps itself or a longer piece."""
    words = [[(_word(g, 2, 7), whole(g, 1, 9)) for _ in range(12)] for _ in range(6)]
    odd = [(["c", "a"], 2), *[(["a", "b"] * 4, 1)], (["b", "c"], 3), (["d"] * 2, 4), (["c", "d"], 5), (["d", "e"], 5)]
    tie = [(["x", "y"], 3), (["y", "x"], 3), (["b", "z"], 6), (["b", "a"], 6), (["y", "z", "y", "z"], 2)]
    once = [(["m", "n"] * 5, 2), (["n", "o"], 8), (["o", "p"], 7)]
    both = [(["r", "s"], 5), (["s", "r"], 4), (["t", "u"], 7)]
    border = [(["w", letter, "v"], 1) for letter in "gfedcb"]  # "vw" would be frequent, were words not apart
    some = [_word(g, 8, 12, "ab") for _ in range(3)]
    pieces = [["x", "xa", "b", "a", "b", "bc", "a", "a", "b"], ["a"] * 5 + ["b", "a", "a"], ["ab", "c", "ab", "c", "b"]]
    pairs = [("a", "b"), ("a", "a"), ("ab", "c")]
    return [
        *(Case("best_pair", (w,)) for w in (*words, odd, tie, once, both, border)),
        *(Case("merge", (w, ("a", "b"))) for w in some),
        *(Case("merge", (w, ("b", "a"))) for w in some),
        *(Case("merge", args) for args in zip(pieces, pairs, strict=True)),
        Case("merge", (["a", "b", "c"], ("c", "a"))),
    ]


_BYTE_PAIRS = Exercise(
    title="byte pairs: which to join, and joining them",
    reference={"best_pair": best_pair, "merge": merge},
    cases=_pair_cases,
    mistakes=(
        *mistakes(
            "best_pair",
            (
                "ignores how often words occur",
                "Each word counts once in yours, however often it occurs. A pair in a frequent word is frequent.",
                lambda words: _first(_counted(words, times=lambda n: 1)),
            ),
            (
                "once a word",
                "You count a pair once a word. If a word holds it three times, it counts three times.",
                lambda words: _first(_counted(words, lambda p: set(zip(p, p[1:], strict=False)))),
            ),
            (
                "the rarest",
                "You took the rarest pair. The most frequent one is asked for.",
                lambda words: min((c := _counted(words)), key=lambda pair: (c[pair], pair)),
            ),
            (
                "the last of several",
                "Of several equally frequent pairs you take the last in the alphabet: take the first.",
                lambda words: max((c := _counted(words)), key=lambda pair: (c[pair], pair)),
            ),
            (
                "the first met",
                "Of several equally frequent pairs you take the one that was met first. The alphabet should decide.",
                lambda words: _counted(words).most_common(1)[0][0],
            ),
            (
                "forgets the order in a pair",
                "You count a pair and its reverse together: they are two different pairs.",
                lambda words: _first(
                    _counted(words, lambda p: (tuple(sorted(x)) for x in zip(p, p[1:], strict=False)))
                ),
            ),
            (
                "across words",
                "You also pair the last piece of a word with the first of the next. A pair lies within one word.",
                lambda words: _first(
                    _counted(words)
                    + collections.Counter((a[-1], b[0]) for (a, _), (b, _) in zip(words, words[1:], strict=False))
                ),
            ),
            (
                "the most frequent pieces",
                "You took the two most frequent pieces, whether or not they are neighbours.",
                lambda words: tuple(
                    sorted((c := _counted(words, lambda p: p)), key=lambda piece: (-c[piece], piece))[:2]
                ),
            ),
            (
                "joined already",
                "You gave the joined piece. The pair itself is asked for, as a tuple of two.",
                lambda words: "".join(best_pair(words)),
            ),
        ),
        *mistakes(
            "merge",
            ("only the first", "Only the first occurrence is joined: each one should be.", _once),
            (
                "from the right",
                "Where a pair overlaps itself, you join from the right. A walk from the left comes first to others.",
                _from_the_right,
            ),
            (
                "overlapping",
                "Where a pair overlaps itself, you use a piece twice: after a join, go on behind both pieces.",
                lambda pieces, pair: _merged(
                    pieces, lambda a, b: (a, b) == tuple(pair), skip=2 if pair[0] != pair[1] else 1
                ),
            ),
            (
                "keeps the second",
                "The second piece of a pair is still there after the join: the word has got longer.",
                lambda pieces, pair: [
                    p for x in merge(pieces, pair) for p in ((x, pair[1]) if x == "".join(pair) else (x,))
                ],
            ),
            (
                "in either order",
                "You also join the pair the other way round. The order matters.",
                lambda pieces, pair: _merged(pieces, lambda a, b: (a, b) in (tuple(pair), tuple(pair)[::-1])),
            ),
            (
                "parts of pieces",
                "A longer piece that only ends or begins like one of the pair is joined too: compare whole pieces.",
                lambda pieces, pair: " ".join(pieces).replace(" ".join(pair), "".join(pair)).split(),
            ),
            (
                "loses the last",
                "The last piece is lost where it has no partner: the walk ends one too early.",
                lambda pieces, pair: merge(pieces, pair)[: None if tuple(pieces[-2:]) == tuple(pair) else -1],
            ),
            (
                "joins everything",
                "You gave the whole word as one piece: only this pair is joined.",
                lambda pieces, pair: ["".join(pieces)],
            ),
            (
                "leaves it as it is",
                "The pieces come back as they were. Are pair and neighbours the same type when you compare them?",
                lambda pieces, pair: list(pieces),
            ),
            ("changes its input", MUTATES, _in_place),
        ),
    ),
    hints=(
        "best_pair: zip of a list and the same list without its first entry gives the neighbours.",
        "collections.Counter counts; add n for each occurrence. For a tie: min and max take a key, and a key may be a "
        "tuple. What should it begin with, and which way round?",
        "merge: a while loop with an index is simplest, for after a join it must advance by two, else by one.",
        "Mind the end of the list: the last piece has no neighbour, and belongs to the answer all the same.",
    ),
)


# 4.2 Look back, and read at the end


def causal_attention(q, k, v):
    """The reference: torch's own."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def pooled(ids, states, eos):
    """The reference: `CLIPText.pooled`."""
    return CLIPText.pooled(SimpleNamespace(config=SimpleNamespace(eos_token_id=eos)), ids, states)


def _attend(mask=torch.Tensor.tril, scale=lambda q: q.shape[-1] ** -0.5, hidden=-torch.inf, axis=-1, of=None):
    """A wrong causal_attention: which may be looked at, by what scores are multiplied, what stands for the others."""

    def wrong(q, k, v):
        scores = q @ k.mT * scale(q)
        sees = mask(torch.ones(scores.shape[-2:])).bool()
        weights = scores.masked_fill(~sees, hidden).softmax(axis)
        return weights @ v if of is None else of(weights, v)

    return wrong


def _masked_too_late(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).tril() @ v


def _states_of(pick):
    """A wrong pooled, from where in each text it looks."""
    return lambda ids, states, eos: states[torch.arange(len(ids)), pick(ids, eos)]


def _ends(ids, eos):
    return (ids == eos).int().argmax(1)


def _average(ids, states, eos):
    real = (torch.arange(ids.shape[1]) <= _ends(ids, eos)[:, None]).to(states)[..., None]
    return (states * real).sum(1) / real.sum(1)


def _reading_cases(g):
    cases = []
    for b, n, d, dtype in ((2, 5, 8, torch.float64), (3, 7, 4, torch.float32), (1, 4, 6, torch.float64)):
        q, k, v = 1.5 * torch.randn(3, b, n, d, generator=g, dtype=dtype)
        cases.append(Case("causal_attention", (q, k, v)))
    for b, n, eos in ((4, 9, 40), (3, 8, 12), (5, 10, 30)):  # the end token has the largest id only in the first
        ids = torch.randint(1, 40, (b, n), generator=g)
        ids[ids == eos] = eos - 1
        for row in ids:
            row[whole(g, 2, n - 3) :] = eos
        ids[0, -2:] = torch.tensor([eos, 0])  # another filler after the end
        cases.append(Case("pooled", (ids, torch.randn(b, n, 6, generator=g), eos)))
    return cases


_READING = Exercise(
    title="a mask that looks back, and the state at the end",
    reference={"causal_attention": causal_attention, "pooled": pooled},
    cases=_reading_cases,
    mistakes=(
        *mistakes(
            "causal_attention",
            (
                "no mask",
                "Every position sees every other one, those after it too: the mask is missing.",
                _attend(torch.ones_like),
            ),
            (
                "looks ahead",
                "The mask is the wrong way round: each position sees itself and what comes after it.",
                _attend(torch.Tensor.triu),
            ),
            (
                "not itself",
                "A position does not see itself in yours. Then the first one sees nothing, which gives nan.",
                _attend(lambda ones: ones.tril(-1)),
            ),
            (
                "one ahead",
                "Each position also sees the next one: the mask is shifted by one.",
                _attend(lambda ones: ones.tril(1)),
            ),
            (
                "zero for minus infinity",
                "You set hidden scores to 0, but the softmax of a 0 is no 0: what is hidden still gets a share.",
                _attend(hidden=0.0),
            ),
            (
                "too late",
                "You mask after the softmax, so the weights of a row no longer sum to 1.",
                _masked_too_late,
            ),
            (
                "forgets the root",
                "The scores are divided by the width itself; it should be less.",
                _attend(scale=lambda q: 1 / q.shape[-1]),
            ),
            (
                "does not scale",
                "The scores are not scaled: with a large width the softmax would be all or nothing.",
                _attend(scale=lambda q: 1.0),
            ),
            (
                "scales by the length",
                "The scores are scaled by the number of positions. It is the width that makes products large.",
                _attend(scale=lambda q: q.shape[-2] ** -0.5),
            ),
            (
                "the wrong axis",
                "Your softmax runs over the positions that ask. The shares that *one* position gives should sum to 1.",
                _attend(axis=-2),
            ),
            (
                "swaps query and key",
                "Queries and keys have changed places: rows belong to those who ask.",
                lambda q, k, v: causal_attention(k, q, v),
            ),
            (
                "keys for values",
                "What is averaged are the keys. They are for finding; the answers are the values.",
                lambda q, k, v: causal_attention(q, k, k),
            ),
            (
                "returns the weights",
                "You gave the weights. They say how much of each value to take; take it.",
                _attend(of=lambda weights, v: weights),
            ),
            (
                "only values",
                "The values come back as they were: nobody has looked at anybody.",
                lambda q, k, v: v.clone(),
            ),
        ),
        *mistakes(
            "pooled",
            (
                "the last position",
                "You read at the last position. That is padding, as long as the text does not fill it all.",
                lambda ids, states, eos: states[:, -1],
            ),
            (
                "the last end token",
                "The padding is made of end tokens, and you read at the last of them: the first one is the end.",
                _states_of(lambda ids, eos: ids.shape[1] - 1 - _ends(ids.flip(1), eos)),
            ),
            (
                "the largest id",
                "You look for the largest id. Here a word may have a larger id than the end token has.",
                _states_of(lambda ids, eos: ids.argmax(1)),
            ),
            (
                "the start",
                "You read at the start token, which has seen nothing but itself.",
                lambda ids, states, eos: states[:, 0],
            ),
            (
                "before the end",
                "You read one position too early: the last word is not the end token.",
                _states_of(lambda ids, eos: _ends(ids, eos) - 1),
            ),
            (
                "behind the end",
                "You read one position too late: that is the first padding.",
                _states_of(lambda ids, eos: _ends(ids, eos) + 1),
            ),
            (
                "the first text's end",
                "You read all texts where the *first* one ends. Each has its own end.",
                _states_of(lambda ids, eos: _ends(ids, eos)[:1].expand(len(ids))),
            ),
            (
                "the mean",
                "You average over all positions, padding included. One state is asked for.",
                lambda ids, states, eos: states.mean(1),
            ),
            (
                "the mean of the text",
                "You average over the text. That is another good idea, but CLIP reads a single state.",
                _average,
            ),
            (
                "the largest number",
                "You take the largest of each number over all positions. One state is asked for, as it is.",
                lambda ids, states, eos: states.amax(1),
            ),
        ),
    ),
    hints=(
        "Attention: scores of all queries with all keys, scaled; a softmax over the keys; times the values.",
        "torch.ones(n, n).tril() and .triu() are triangles, and .bool() makes masks of them. masked_fill writes a "
        "number where a mask is True. Which places must not be seen, and should it happen before or after the softmax?",
        "For keys with the last two axes swapped there is .transpose(-1, -2), also written .mT.",
        "pooled: compare ids with eos, turn the answer into whole numbers, and argmax finds the first of the largest.",
        "To pick one position in each row, index with two tensors: torch.arange for the rows, and the positions.",
    ),
)


# 4.3 The loss


def clip_loss(images, texts, logit_scale):
    """The reference: `contrastive_loss` of directions."""
    return contrastive_loss(F.normalize(images, dim=-1), F.normalize(texts, dim=-1), logit_scale.exp())


def _contrast(unit=lambda x: F.normalize(x, dim=-1), scale=torch.exp, of=None):
    """A wrong clip_loss: how vectors become directions, what the scale is, and what is done with the table."""

    def wrong(images, texts, logit_scale):
        logits = scale(logit_scale) * unit(images) @ unit(texts).T
        own = torch.arange(len(logits))
        parts = F.cross_entropy(logits, own), F.cross_entropy(logits.T, own)
        return sum(parts) / 2 if of is None else of(logits, own, *parts)

    return wrong


def _positives(logits, own, rows, columns):
    return -logits.diagonal().mean()


def _contrast_cases(g):
    cases = []
    for b, d, dtype in ((5, 8, torch.float64), (3, 4, torch.float32), (7, 6, torch.float64)):
        images, texts = torch.randn(2, b, d, generator=g, dtype=dtype)
        lengths = uniform(g, 0.5, 3, 2, b, 1, dtype=dtype)
        scale = torch.tensor(uniform(g, 0.5, 2), dtype=dtype)
        cases.append(Case("clip_loss", (images * lengths[0], (images + texts) * lengths[1], scale)))
    return cases


_CONTRAST = Exercise(
    title="the contrastive loss",
    reference={"clip_loss": clip_loss},
    cases=_contrast_cases,
    mistakes=mistakes(
        "clip_loss",
        (
            "no directions",
            "The vectors keep their lengths: only directions should count.",
            _contrast(unit=lambda x: x),
        ),
        (
            "the wrong axis",
            "You bring each *column* to length 1. It is each vector, a row, that should have length 1.",
            _contrast(unit=lambda x: F.normalize(x, dim=0)),
        ),
        (
            "the square of the length",
            "You divide by the square of the length, so vectors do not get length 1.",
            _contrast(unit=lambda x: x / x.square().sum(-1, keepdim=True)),
        ),
        (
            "the logarithm of the scale",
            "You multiply by the logarithm of the scale. Undo the logarithm first.",
            _contrast(scale=lambda s: s),
        ),
        (
            "divides by the scale",
            "You divide by the scale: that makes cosines even smaller.",
            _contrast(scale=lambda s: (-s).exp()),
        ),
        ("no scale", "The scale is not used.", _contrast(scale=torch.ones_like)),
        (
            "pictures only",
            "You ask each picture for its caption, but no caption for its picture.",
            _contrast(of=lambda logits, own, rows, columns: rows),
        ),
        (
            "captions only",
            "You ask each caption for its picture, but no picture for its caption.",
            _contrast(of=lambda logits, own, rows, columns: columns),
        ),
        (
            "forgets the half",
            "Your loss is twice too large: the two questions are averaged.",
            _contrast(of=lambda logits, own, rows, columns: rows + columns),
        ),
        (
            "sum for mean",
            "You sum over the batch. With the mean the loss does not depend on how many pairs there are.",
            _contrast(of=lambda logits, own, rows, columns: len(own) * (rows + columns) / 2),
        ),
        (
            "wrong sign",
            "The sign is wrong: your loss falls when pairs are torn apart.",
            _contrast(of=lambda logits, own, rows, columns: -(rows + columns) / 2),
        ),
        (
            "always the first",
            "You say that the first caption is everybody's own. The right answer is another one for each row.",
            _contrast(
                of=lambda logits, own, *_: (F.cross_entropy(logits, 0 * own) + F.cross_entropy(logits.T, 0 * own)) / 2
            ),
        ),
        (
            "no wrong answers",
            "You only pull pairs together. Without wrong answers all could end at one point.",
            _contrast(of=_positives),
        ),
        (
            "softmax twice",
            "There are two softmaxes in yours: the cross-entropy of torch has one inside.",
            _contrast(
                of=lambda logits, own, *_: (
                    (F.cross_entropy(logits.softmax(1), own) + F.cross_entropy(logits.T.softmax(1), own)) / 2
                )
            ),
        ),
        (
            "right or wrong for each field",
            "You ask of each field alone whether it is a pair. It should be a choice: one of a row, one of a column.",
            _contrast(
                of=lambda logits, own, *_: F.binary_cross_entropy_with_logits(logits, torch.eye(len(own)).to(logits))
            ),
        ),
        ("returns zero", "You gave zero.", lambda images, texts, logit_scale: torch.zeros((), dtype=images.dtype)),
    ),
    hints=(
        "F.normalize brings vectors to length 1, along the axis that you name.",
        "All cosines at once are one matrix product, pictures times captions transposed. The scale is the exponential "
        "of what you get.",
        "F.cross_entropy takes a table of scores and the index of the right answer for each row. On the diagonal the "
        "index is the row's own number.",
        "The second question is the first one put to the transposed table.",
    ),
)


# 4.4 A classifier out of sentences


def classifier(prompts):
    """The reference: directions, their mean over templates, and a direction again."""
    return F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1)


def zero_shot(images, weights, scale):
    """The reference: figure 3 of the paper, one row of it."""
    return (scale * F.normalize(images, dim=-1) @ weights.T).softmax(-1)


def _ensemble_cases(g):
    cases = [
        Case("classifier", (uniform(g, 0.5, 3, c, t, 1) * torch.randn(c, t, d, generator=g, dtype=torch.float64),))
        for c, t, d in ((4, 3, 8), (5, 2, 6), (3, 4, 5))
    ]
    for b, c, d in ((6, 4, 8), (3, 5, 6)):
        images = uniform(g, 0.5, 3, b, 1, dtype=torch.float32) * torch.randn(b, d, generator=g)
        weights = F.normalize(torch.randn(c, d, generator=g), dim=-1)
        cases.append(Case("zero_shot", (images, weights, uniform(g, 2, 6))))
    return cases


_ENSEMBLE = Exercise(
    title="a classifier made of sentences",
    reference={"classifier": classifier, "zero_shot": zero_shot},
    cases=_ensemble_cases,
    mistakes=(
        *mistakes(
            "classifier",
            (
                "averages first",
                "You average the vectors as they come, so a long one counts more. They should be directions before.",
                lambda prompts: F.normalize(prompts.mean(1), dim=-1),
            ),
            (
                "no direction in the end",
                "The mean of directions is shorter than 1: bring it to length 1 again.",
                lambda prompts: F.normalize(prompts, dim=-1).mean(1),
            ),
            (
                "plain mean",
                "That is the plain mean of vectors. Neither they nor their mean were brought to length 1.",
                lambda prompts: prompts.mean(1),
            ),
            (
                "one template",
                "Only the first template is used.",
                lambda prompts: F.normalize(prompts[:, 0], dim=-1),
            ),
            (
                "over the classes",
                "You average over the classes. Each class needs a vector of its own, made of its templates.",
                lambda prompts: F.normalize(F.normalize(prompts, dim=-1).mean(0), dim=-1),
            ),
            (
                "no mean",
                "Each template still has a vector of its own: there should be one a class.",
                lambda prompts: F.normalize(prompts, dim=-1),
            ),
            (
                "the wrong axis",
                "What you bring to length 1 runs over the templates, not along a vector.",
                lambda prompts: F.normalize(F.normalize(prompts, dim=1).mean(1), dim=-1),
            ),
            ("changes its input", MUTATES, lambda prompts: classifier(prompts.div_(2))),
        ),
        *mistakes(
            "zero_shot",
            (
                "no directions",
                "The pictures' vectors keep their lengths, so a long one looks more certain.",
                lambda images, weights, scale: (scale * images @ weights.T).softmax(-1),
            ),
            (
                "over the pictures",
                "Your softmax runs over the pictures. The probabilities of *one* picture should sum to 1.",
                lambda images, weights, scale: (scale * F.normalize(images, dim=-1) @ weights.T).softmax(0),
            ),
            (
                "no scale",
                "The scale is not used: with cosines alone nothing is ever certain.",
                lambda images, weights, scale: zero_shot(images, weights, 1.0),
            ),
            (
                "divides by the scale",
                "You divide by the scale, which makes the answer flatter instead of sharper.",
                lambda images, weights, scale: zero_shot(images, weights, 1 / scale),
            ),
            (
                "the exponential of the scale",
                "The scale you get here is no logarithm any more: use it as it is.",
                lambda images, weights, scale: zero_shot(images, weights, float(np.exp(scale))),
            ),
            (
                "no probabilities",
                "You gave scores. Probabilities are positive, and sum to 1 for each picture.",
                lambda images, weights, scale: scale * F.normalize(images, dim=-1) @ weights.T,
            ),
            (
                "logarithms",
                "You gave the logarithms of the probabilities.",
                lambda images, weights, scale: zero_shot(images, weights, scale).log(),
            ),
            (
                "each on its own",
                "Your numbers do not sum to 1 for a picture: each class was judged on its own.",
                lambda images, weights, scale: (scale * F.normalize(images, dim=-1) @ weights.T).sigmoid(),
            ),
            (
                "the class",
                "You gave the best class of each picture. The probabilities of all are asked for.",
                lambda images, weights, scale: zero_shot(images, weights, scale).argmax(-1),
            ),
            (
                "wrong sign",
                "The class that fits least gets the highest probability.",
                lambda images, weights, scale: zero_shot(images, weights, -scale),
            ),
        ),
    ),
    hints=(
        "classifier: the axes are classes, templates, numbers. A direction is a vector of length 1, along the last.",
        "First directions, then their mean over the templates. Is that of length 1? Look at two that are opposite.",
        "zero_shot: cosines of every picture with every class are one matrix product, as in the loss.",
        "softmax wants to know along which axis. A row is a picture.",
    ),
)


# 4.5 Sums with meanings


def nearest(gallery, plus, minus, k):
    """The reference: torch's cosine similarity."""
    return F.cosine_similarity((plus.sum(0) - minus.sum(0))[None], gallery, dim=-1).topk(k).indices


def _near(target=lambda p, m: p.sum(0) - m.sum(0), order=lambda cosine, k: cosine.topk(k).indices):
    return lambda gallery, plus, minus, k: order(F.cosine_similarity(target(plus, minus)[None], gallery, dim=-1), k)


def _sum_cases(g):
    cases = []
    for n, d, p, m, k in ((40, 8, 2, 1, 5), (30, 6, 3, 1, 4), (50, 10, 1, 2, 6), (25, 5, 2, 2, 3)):
        gallery = uniform(g, 0.3, 3, n, 1) * torch.randn(n, d, generator=g, dtype=torch.float64)
        plus = F.normalize(torch.randn(p, d, generator=g, dtype=torch.float64), dim=-1)
        minus = F.normalize(torch.randn(m, d, generator=g, dtype=torch.float64), dim=-1)
        gallery[0] = 2 * plus[0]  # one of those that go in
        cases.append(Case("nearest", (gallery, plus, minus, k)))
    return cases


_SUMS = Exercise(
    title="sums with meanings",
    reference={"nearest": nearest},
    cases=_sum_cases,
    mistakes=mistakes(
        "nearest",
        ("adds minus", "What stands under minus is added.", _near(lambda p, m: p.sum(0) + m.sum(0))),
        ("ignores minus", "minus is not used.", _near(lambda p, m: p.sum(0))),
        ("ignores plus", "plus is not used.", _near(lambda p, m: -m.sum(0))),
        (
            "averages",
            "You average plus and minus, each on its own. With two here and one there, the one counts too much.",
            _near(lambda p, m: p.mean(0) - m.mean(0)),
        ),
        (
            "the first of each",
            "Only the first vector of each group is used.",
            _near(lambda p, m: p[0] - m[0]),
        ),
        (
            "no directions",
            "A long vector of the gallery wins in yours only because it is long. The angle should count.",
            lambda gallery, plus, minus, k: (gallery @ (plus.sum(0) - minus.sum(0))).topk(k).indices,
        ),
        (
            "the distance",
            "You measure the distance between the ends. The angle should count, not the lengths.",
            lambda gallery, plus, minus, k: (
                (gallery - (plus.sum(0) - minus.sum(0))).norm(dim=-1).topk(k, largest=False).indices
            ),
        ),
        (
            "the farthest",
            "Those are the farthest ones: the order is the wrong way round, or plus and minus have changed places.",
            _near(order=lambda cosine, k: cosine.topk(k, largest=False).indices),
        ),
        (
            "in reverse",
            "The right ones, but the nearest comes last: it should come first.",
            _near(order=lambda cosine, k: cosine.topk(k).indices.flip(0)),
        ),
        (
            "sorted by place",
            "The right ones, but in the order of the gallery: the nearest should come first.",
            _near(order=lambda cosine, k: cosine.topk(k).indices.sort().values),
        ),
        (
            "the cosines",
            "You gave the cosines. Which vectors of the gallery are they of?",
            _near(order=lambda cosine, k: cosine.topk(k).values),
        ),
        (
            "only one",
            "You gave the nearest one only: k are asked for.",
            _near(order=lambda cosine, k: cosine.topk(1).indices),
        ),
        (
            "leaves out what went in",
            "You leave out the vector that went into the sum. Here nothing is left out: that is for the caller to say.",
            _near(order=lambda cosine, k: cosine[1:].topk(k).indices + 1),
        ),
    ),
    hints=(
        "One vector first: the sum of all under plus, less the sum of all under minus. Axis 0 is the one to sum.",
        "F.cosine_similarity does not care how long the vectors are. It also takes one vector against many, if the one "
        "gets an axis more.",
        ".topk(k) gives two things, the largest values and where they are, in falling order.",
    ),
)


# 4.6 Captions that are nearly right


def hard_negative(caption):
    """One right answer of many: turn the relation or the position, else the size, else change the place."""
    spec = data.parse(caption)
    turned = data.OPPOSITE | {f"at {a}": f"at {b}" for a, b in (("left", "right"), ("top", "bottom"))}
    turned |= {b: a for a, b in turned.items()}
    if spec.where:
        return str(replace(spec, where=turned[spec.where]))
    if spec.size:
        return str(replace(spec, size="small" if spec.size == "big" else "big"))
    return _elsewhere(caption)


def _elsewhere(caption):
    spec = data.parse(caption)
    return str(replace(spec, place=data.PLACES[(data.PLACES.index(spec.place) + 1) % len(data.PLACES)]))


def _same_scene(caption):
    """Another caption of the same picture, where there is one."""
    spec = data.parse(caption)
    if len(spec.objects) < 2:
        return hard_negative(caption)
    return str(replace(spec, objects=spec.objects[::-1], where=data.OPPOSITE[spec.where]))


def _less(caption):
    spec = data.parse(caption)
    return str(replace(spec, style=None)) if spec.style else hard_negative(caption)


def _another(caption):
    return str(data.random_spec(np.random.RandomState(len(caption) * 31 + ord(caption[0]))))


def _backwards(caption):
    return " ".join(reversed(caption.split()))


def _negative_cases(g):
    """Captions of every kind: pairs; single objects with a size, a position, both or neither; some with a style."""
    rng, specs = np.random.RandomState(whole(g, 0, 2**31 - 1)), []
    wanted = [
        lambda s: len(s.objects) == 2 and not s.style,
        lambda s: len(s.objects) == 2 and s.style,
        lambda s: len(s.objects) == 1 and s.size and not s.where and not s.style,
        lambda s: len(s.objects) == 1 and s.where and not s.size and not s.style,
        lambda s: len(s.objects) == 1 and s.where and s.size and s.style,
        lambda s: len(s.objects) == 1 and not s.where and not s.size and not s.style,
        lambda s: len(s.objects) == 1 and not s.where and not s.size and s.style,
    ]
    for kind in wanted:
        found = []
        while len(found) < 4:
            spec = data.random_spec(rng)
            found += [spec] if kind(spec) else []
        specs += found
    captions = [str(spec) for spec in specs]
    random.Random(whole(g, 0, 2**31 - 1)).shuffle(captions)
    return [Case("hard_negative", (caption,)) for caption in captions]


def _all(holds):
    """A test of every pair of a caption and what became of it."""
    return lambda results: all(holds(case.args[0], got) for case, got in results)


def _parses(caption, got):
    try:
        data.parse(got)
    except ValueError:
        return False
    return True


def _words_lost(caption, got):
    return collections.Counter(caption.lower().split()) - collections.Counter(got.lower().split())


def _changed(caption, got):
    pair = zip(labels(data.parse(caption)), labels(data.parse(got)), strict=True)
    changed = [a != b for a, b in pair]
    return {"objects" if i < 2 else i for i, it_is in enumerate(changed) if it_is}


_NEGATIVE = {
    "grammar": "Not all of them are captions of this world's grammar: try data.parse on what you give.",
    "same": "Some captions come back as they were. Nothing is wrong with those.",
    "scene": "Some of your captions still describe the same picture: whoever turns the relation must not turn the "
    "objects as well.",
    "less": "Some of your captions only leave something out. They say less, but what they say is true.",
    "close": "Some captions have more than two words that are not in the original. Those are too easy.",
    "variety": "You always change the same kind of thing. Change at least three of these, depending on the caption: "
    "objects, layout, size, style, place.",
}

_OPEN = Exercise(
    title="open-ended: captions that are nearly right",
    reference={"hard_negative": hard_negative},
    cases=_negative_cases,
    properties=(
        (_NEGATIVE["grammar"], _all(_parses)),
        (_NEGATIVE["same"], _all(lambda caption, got: data.parse(caption) != data.parse(got))),
        (_NEGATIVE["scene"], _all(_changed)),
        (
            _NEGATIVE["less"],
            _all(lambda caption, got: _words_lost(got, caption) or len(got.split()) == len(caption.split())),
        ),
        (_NEGATIVE["close"], _all(lambda caption, got: _words_lost(got, caption).total() <= 2)),
        (
            _NEGATIVE["variety"],
            lambda results: len(set().union(*(_changed(case.args[0], got) for case, got in results))) >= 3,
        ),
    ),
    mistakes=mistakes(
        "hard_negative",
        ("not of the grammar", _NEGATIVE["grammar"], _backwards),
        ("returns the caption", _NEGATIVE["same"], lambda caption: caption),
        ("the same scene in other words", _NEGATIVE["scene"], _same_scene),
        ("says less", _NEGATIVE["less"], _less),
        ("another caption", _NEGATIVE["close"], _another),
        ("always the place", _NEGATIVE["variety"], _elsewhere),
    ),
    hints=(
        "data.parse turns a caption into a Spec, replace from dataclasses changes one of its fields, and str turns it "
        "back into a caption.",
        "data.OPPOSITE has the opposite of each relation. Turn the relation, or swap the objects, but not both.",
        "What does CLIP not look at closely? Small things: size, position, style, an object that looks like another.",
    ),
)


EXERCISES = {
    "4.1": _BYTE_PAIRS,
    "4.2": _READING,
    "4.3": _CONTRAST,
    "4.4": _ENSEMBLE,
    "4.5": _SUMS,
    "4.6": _OPEN,
}
