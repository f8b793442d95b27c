"""4.2 a mask that looks back, and the state at the end."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole

LEARNS = ("q", "k", "v", "states")


def cases(g):
    found = []
    for b, n, d, dtype in ((2, 5, 8, torch.float64), (3, 7, 4, torch.float32), (1, 4, 6, torch.float64)):
        q, k, v = 1.5 * torch.randn(3, b, n, d, generator=g, dtype=dtype)
        found.append(Case("causal_attention", (q, k, v)))
    q, k, v = torch.randn(3, 2, 6, 5, generator=g, dtype=torch.float64)
    q[:, 0], k[:, 0] = 300, -1  # the first sees itself alone, and -100 is not enough to hide the others
    q[:, 2] = 0  # scores of 0, which are not hidden
    found.append(Case("causal_attention", (q, k, v)))
    for b, n, eos in ((4, 9, 40), (3, 8, 12), (5, 10, 30)):  # the end token has the largest id only in the first
        ids = torch.randint(1, 40, (b, n), generator=g)
        ids[ids == eos] = eos - 1
        for i, row in enumerate(ids):
            row[2 + (whole(g, 0, n - 5) + i) % (n - 4) :] = eos
        ids[0, -2:] = torch.tensor([eos, 0])  # another filler after the end
        if eos < 40:
            ids[1, :2] = torch.tensor([eos + 1, eos + 2])  # neither the first larger id nor the largest is the end
        found.append(Case("pooled", (ids, torch.randn(b, n, 6, generator=g), eos)))
    return found


HINTS = """
Attention: scores of all queries with all keys, scaled; a softmax over the keys; times the values.

torch.ones(n, n).tril() and .triu() are triangles, and .bool() makes masks of them. masked_fill writes a number where a
mask is True. Which places must not be seen, and should it happen before or after the softmax?

For keys with the last two axes swapped there is .transpose(-1, -2), also written .mT.

pooled: compare ids with eos, turn the answer into whole numbers, and argmax finds the first of the largest.

To pick one position in each row, index with two tensors: torch.arange for the rows, and the positions.
"""

MISTAKES = """
scores.masked_fill(~sees, -torch.inf) -> scores
    Every position sees every other one, those after it too: the mask is missing.
.tril() -> .triu()
    The mask is the wrong way round: each position sees itself and what comes after it.
~sees -> sees
    The mask is upside down: what may be seen is hidden. Then the last position sees nothing, which gives nan.
.tril() -> .tril(-1)
    A position does not see itself in yours. Then the first one sees nothing, which gives nan.
.tril() -> .tril(1)
    Each position also sees the next one: the mask is shifted by one.
~sees, -torch.inf -> ~sees, 0.0
    You set hidden scores to 0, or nearly, but the softmax of a 0 is no 0: what is hidden still gets a share.
~sees, -torch.inf -> ~sees, -10.0
    Hidden scores are set to -10, which is not little enough: what is hidden still gets a share.
~sees, -torch.inf -> ~sees, -100.0
    Hidden scores are set to -100. Other scores may be smaller still, and then what is hidden gets a share.
scores.masked_fill(~sees, -torch.inf) -> scores.tril().masked_fill(scores.tril() == 0, -torch.inf)
    You take each score of 0 for a hidden one, but what may be seen can have a score of 0, too: ask the mask.
scores.masked_fill(~sees, -torch.inf) -> (scores - 1.0 * ~sees)
    You lower hidden scores by 1, which is not enough: what is hidden still gets a share.
scores.masked_fill(~sees, -torch.inf) -> (scores - 10.0 * ~sees)
    You lower hidden scores by 10, which is not enough: what is hidden still gets a share.
scores.masked_fill(~sees, -torch.inf) -> (scores - 100.0 * ~sees)
    You lower hidden scores by 100. They may be larger than others by more than that, and then they get a share.
scores.masked_fill(~sees, -torch.inf).softmax(-1) -> scores.softmax(-1) * sees
    You mask after the softmax, so the weights of a row no longer sum to 1.
.softmax(-1) @ v -> .softmax(-1) / q.shape[-1] ** 0.5 @ v && / q.shape[-1] ** 0.5\\n -> \\n
    You scale after the softmax, so the weights of a row no longer sum to 1. It is the scores that get too large.
q.shape[-1] ** 0.5 -> q.shape[-1]
    The scores are divided by the width itself; it should be less.
/ q.shape[-1] ** 0.5 ->
    The scores are not scaled: with a large width the softmax would be all or nothing.
q.shape[-1] ** 0.5 -> q.shape[-2] ** 0.5
    The scores are scaled by the number of positions. It is the width that makes products large.
.softmax(-1) -> .softmax(-2)
    Your softmax runs over the positions that ask. The shares that *one* position gives should sum to 1.
.softmax(-1) -> .softmax(0)
    Your softmax runs over the texts, which is what torch takes where no axis is named. A position shares out its
    attention over positions.
.softmax(-1) -> .flatten(1).softmax(1).reshape(scores.shape)
    Your softmax runs over the whole table at once. Each position shares out an attention of 1 of its own.
q.shape[-1] ** 0.5 -> int(q.shape[-1] ** 0.5)
    The root of the width is a whole number in yours. It seldom is one.
q.shape[-1] ** 0.5 -> round(q.shape[-1] ** 0.5)
    The root of the width is a whole number in yours. It seldom is one.
q @ k.transpose(-1, -2) -> k @ q.transpose(-1, -2)
    Queries and keys have changed places: rows belong to those who ask.
@ v -> @ k
    What is averaged are the keys. They are for finding; the answers are the values.
@ v ->
    You gave the weights. They say how much of each value to take; take it.
return scores.masked_fill(~sees, -torch.inf).softmax(-1) @ v -> return v.clone()
    The values come back as they were: nobody has looked at anybody.
states[torch.arange(len(ids), device=ids.device), end] -> states[:, -1]
    You read at the last position. That is padding, as long as the text does not fill it all.
(ids == eos).int().argmax(dim=1) -> ids.shape[1] - 1 - (ids == eos).flip(1).int().argmax(dim=1)
    The padding is made of end tokens, and you read at the last of them: the first one is the end.
(ids == eos).int().argmax(dim=1) -> ids.argmax(dim=1)
    You look for the largest id. Here a word may have a larger id than the end token has.
(ids == eos).int() -> (ids >= eos).int()
    You take the first id that is at least eos for the end. Here a word may have a larger id than the end token has.
(ids == eos).int().argmax(dim=1) -> ids.shape[1] - (ids == eos).sum(1)
    You count end tokens, or what is none. What stands behind the end may be something else.
states[torch.arange(len(ids), device=ids.device), end] -> states[:, 0]
    You read at the start token, which has seen nothing but itself.
.argmax(dim=1) -> .argmax(dim=1) - 1
    You read one position too early: the last word is not the end token.
.argmax(dim=1) -> .argmax(dim=1) + 1
    You read one position too late: that is the first padding.
.argmax(dim=1) -> .argmax(dim=1)[:1]
    You read all texts where the *first* one ends. Each has its own end.
states[torch.arange(len(ids), device=ids.device), end] -> states[:, end]
    You read every text at the ends of all of them. Each has its own: pair them, one row with one position.
states[torch.arange(len(ids), device=ids.device), end] -> states.mean(1)
    You average over all positions, padding included. One state is asked for.
states[torch.arange(len(ids), device=ids.device), end] -> torch.stack([s[: i + 1].mean(0) for s, i in zip(states, end)])
    You average over the text. That is another good idea, but CLIP reads a single state.
states[torch.arange(len(ids), device=ids.device), end] -> states[ids == eos]
    You take the states at all end tokens, so there are more of them than texts. Only the first of each text is its end.
states[torch.arange(len(ids), device=ids.device), end] -> ((ids == eos)[..., None] * states).sum(1)
    You mix the states at all end tokens. Only the first of a text is its end; the others are padding.
states[torch.arange(len(ids), device=ids.device), end] -> ((ids == eos)[..., None] * states).sum(1) / (ids == eos).sum(1)[:, None]
    You mix the states at all end tokens. Only the first of a text is its end; the others are padding.
states[torch.arange(len(ids), device=ids.device), end] -> states.amax(1)
    You take the largest of each number over all positions. One state is asked for, as it is.
"""

RIGHT = """
causal_attention := lambda q, k, v: torch.cat([((q[:, i : i + 1] * k[:, : i + 1]).sum(-1) / q.shape[-1] ** 0.5).softmax(-1)[:, None] @ v[:, : i + 1] for i in range(q.shape[1])], dim=1)
~sees, -torch.inf -> ~sees, -1e9
causal_attention := lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
pooled := lambda ids, states, eos: torch.stack([s[i.tolist().index(eos)] for i, s in zip(ids, states)])
"""

EQUIVALENT = """
k.transpose(-1, -2) -> k.transpose(-2, -1)
    which of two axes is named first makes no difference when they are swapped
torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device) -> torch.ones(scores.shape[-2:], dtype=torch.bool)
    a check is made on the CPU, where tensors begin anyway; that a GPU would stop is said in a note
torch.arange(len(ids), device=ids.device) -> torch.arange(len(ids))
    a check is made on the CPU, where tensors begin anyway; that a GPU would stop is said in a note
scores.shape[-2:] -> scores.shape
    a triangle for each text, and all are the same
scores.shape[-2:] -> scores.shape[-3:]
    a triangle for each text, and all are the same
"""

WRONG = """
causal_attention := lambda q, k, v: torch.cat([causal_attention(q, k, v)[:, :2], v[:, 2:]], dim=1)
@ v -> .detach() @ v
causal_attention := lambda q, k, v: causal_attention(q, k, v).double()
causal_attention := lambda q, k, v: causal_attention(2 * q, k, v)
causal_attention := lambda q, k, v: v + causal_attention(q, k, v)
pooled := lambda ids, states, eos: pooled(ids, states, eos)[:, None]
pooled := lambda ids, states, eos: states[:, ids.shape[1] // 2]
pooled := lambda ids, states, eos: pooled(ids, states, eos)[:1]
pooled := lambda ids, states, eos: torch.nn.functional.normalize(pooled(ids, states, eos), dim=-1)
"""
