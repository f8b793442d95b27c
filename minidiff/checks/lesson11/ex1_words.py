"""11.1 words: two texts for each picture."""

import zlib

import torch

from minidiff import data
from minidiff.checks import Case
from minidiff.checks.parts import whole

END = 1


def tokenize(texts):
    """A stand-in for a tokenizer: start, a number for each word, end, and the end again as padding."""
    texts = [texts] if isinstance(texts, str) else texts
    rows = [[0, *(2 + zlib.crc32(word.encode()) % 997 for word in text.split()), END] for text in texts]
    return torch.tensor([(row + 12 * [END])[:12] for row in rows])


def encode(ids):
    """A stand-in for a text encoder. Its states tell how large the batch was, and at which place in it a row stood."""
    place = torch.arange(1, ids.shape[1] + 1) / 10
    read = (ids.double().cumsum(1) / 300 + place)[..., None] * torch.tensor([1.0, 1.7, 2.9, 0.3])
    return (read.sin() + 0.1 * torch.arange(len(ids))[:, None, None] + 0.05 * len(ids)).float()


def cases(g):
    def captions(n):
        return [data.scene(whole(g, 0, 10**6)).caption for _ in range(n)]

    cases = []
    for n, one in ((3, False), (2, True), (4, False), (1, True)):
        prompts = ["teapot in space", *captions(n - 1)]  # different lengths: 3 words and more
        negatives = ("" if n == 1 else "blurry sketch") if one else [*captions(n - 1), "snow"]
        cases.append(Case("encode_prompts", (tokenize, encode, prompts, negatives)))
    return cases


HINTS = """
Write down, for two prompts and two negative ones, the four texts in the order in which they should stand.

A single string has to become a list first, with as many entries as there are prompts. isinstance(x, str) tells which of
the two it is.

Lists are joined with +. Then one call of tokenize, and one of encode: nothing has to be done to the result.
"""

MISTAKES = """
negatives + prompts -> prompts + negatives
    The halves are in the other order than agreed: the negative prompts come first.
negatives + prompts -> [text for pair in zip(negatives, prompts) for text in pair]
    You put each prompt next to its negative one. Agreed are two halves.
negatives + prompts -> [text for pair in zip(prompts, negatives) for text in pair]
    You put each prompt next to its negative one, the prompt first. Agreed are two halves, the negative ones first.
negatives + prompts -> [""] * len(prompts) + prompts
    The negative prompts are not read: the first half is the empty text, whatever they say.
negatives + prompts -> prompts
    Only the prompts are there.
negatives + prompts -> negatives
    Only the negative prompts are there.
negatives + prompts -> 2 * prompts
    Both halves are the prompts.
negatives + prompts -> 2 * negatives
    Both halves are negative prompts.
negatives + prompts -> 2 * [" ".join(pair) for pair in zip(negatives, prompts)]
    You joined each negative prompt and its prompt to one text. Guidance needs two answers, so two texts.
negatives + prompts -> negatives[:1] * len(prompts) + prompts
    All pictures got the first negative prompt: each has its own, if a list is given.
[negatives] * len(prompts) if -> [negatives] if
    A single negative prompt takes one row only: the first half must be as long as the second.
[negatives] * len(prompts) if isinstance(negatives, str) else negatives -> list(negatives)
    A single negative prompt fell apart into letters. A string is a list of letters to Python.
[negatives] * len(prompts) if isinstance(negatives, str) else negatives -> negatives
    A single negative prompt is a string, which cannot be joined with a list. Make a list of it first.
encode(tokenize(negatives + prompts)) -> torch.cat([encode(tokenize(negatives)), encode(tokenize(prompts))])
    You called the encoder twice. One call on a batch of all texts is asked for.
encode(tokenize(negatives + prompts)) -> torch.cat([encode(tokenize([text])) for text in negatives + prompts])
    You called the encoder once for each text. One call on a batch of all texts is asked for.
encode(tokenize(negatives + prompts)) -> torch.cat([0 * encode(tokenize(prompts)), encode(tokenize(prompts))])
    The first half is zeros. Even the empty text has states, and the network was trained with those.
negatives + prompts)) -> negatives + prompts)).chunk(2)
    You gave the two halves apart. One tensor with both is asked for.
negatives + prompts)) -> negatives + prompts)).unflatten(0, (2, -1))
    The halves stand along an axis of their own. They are two parts of one batch.
encode_prompts := states(lambda ids, states: states[:, : length(ids).max()])
    The padding was cut off. The network reads it, too.
encode_prompts := states(lambda ids, states: states * (torch.arange(12) < length(ids)[:, None])[..., None])
    The states of the padding are 0. Nothing masks them in Stable Diffusion: the network reads them, too.
encode_prompts := states(lambda ids, states: states[torch.arange(len(ids)), length(ids) - 1])
    You gave one vector for each text, that of its end. The network reads the states of all tokens.
negatives + prompts)) -> negatives + prompts)).mean(1)
    You gave one vector for each text, the mean of its states. The network reads the states of all tokens.
encode_prompts := states(lambda ids, states: torch.cat(states.chunk(2), dim=1))
    You joined the halves along the tokens, which makes one long text. They are two parts of a batch.
encode(tokenize(negatives + prompts)) -> tokenize(negatives + prompts)
    You gave the ids of the tokens. The states are what the encoder makes of them.
[negatives] * len(prompts) if isinstance(negatives, str) else negatives -> list(negatives)[: len(prompts)]
    A single negative prompt fell apart into letters. A string is a list of letters to Python.
encode_prompts := one_by_itself
    A single negative prompt was encoded by itself, and the encoder called twice. One call on a batch of all texts is
    asked for.
encode_prompts := one_row
    A single negative prompt takes one row in the call, and is repeated after it. It should be in the batch as often as
    there are prompts.
encode(tokenize(negatives + prompts)) -> encode(tokenize(prompts + negatives)).roll(len(negatives), 0)
    The halves come out right, but the encoder gets them the other way round: the negative prompts come first there,
    too.
encode_prompts := no_empty(lambda states: states)
    An empty negative prompt is left out. It is a text, too: the network was trained with its states.
encode_prompts := no_empty(lambda states: torch.cat([0 * states, states]))
    For an empty negative prompt there are zeros. It is a text, too: the network was trained with its states.
encode_prompts := no_empty(lambda states: torch.cat([states, states]))
    For an empty negative prompt the prompts stand in both halves. It is a text, too: the network was trained with its
    states.
"""

RIGHT = """
tokenize(negatives + prompts) -> torch.cat([tokenize([text]) for text in negatives + prompts])
isinstance(negatives, str) -> not isinstance(negatives, list)
"""

WRONG = """
negatives + prompts)) -> negatives + prompts)).half()
negatives + prompts)) -> negatives + prompts)).flip(0)
negatives + prompts)) -> negatives + prompts)) / 2
negatives + prompts -> negatives + [*prompts[1:], prompts[0] + " again"]
negatives + prompts -> negatives + [text.upper() for text in prompts]
"""


def length(ids):
    """How many tokens each text has with start and end, (B,)."""
    return (ids == END).int().argmax(1) + 1


def states(change):
    """From what is done to (ids, states)."""

    def answer(tokenize, encode, prompts, negatives):
        ids = tokenize(([negatives] * len(prompts) if isinstance(negatives, str) else negatives) + prompts)
        return change(ids, encode(ids))

    return answer


def one_by_itself(tokenize, encode, prompts, negatives):
    if not isinstance(negatives, str):
        return encode(tokenize(negatives + prompts))
    one = encode(tokenize([negatives]))
    return torch.cat([one.expand(len(prompts), -1, -1), encode(tokenize(prompts))])


def one_row(tokenize, encode, prompts, negatives):
    if not isinstance(negatives, str):
        return encode(tokenize(negatives + prompts))
    found = encode(tokenize([negatives, *prompts]))
    return torch.cat([found[:1].expand(len(prompts), -1, -1), found[1:]])


def no_empty(change):
    """Where the negative prompt is empty, from what is made of the prompts' states."""

    def answer(tokenize, encode, prompts, negatives):
        if not negatives:
            return change(encode(tokenize(prompts)))
        return encode(tokenize(([negatives] * len(prompts) if isinstance(negatives, str) else negatives) + prompts))

    return answer
