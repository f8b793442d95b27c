"""16.2 what a writer is trained on: two cross entropies, weighed."""

import torch

from minidiff.checks import Case

LEARNS = ("of_words", "of_codes")


def cases(g):
    def case(B, N, M, V, K, dtype=torch.float64):
        of_words = 2 * torch.randn(B, N - 1, V, generator=g, dtype=dtype)
        of_codes = 2 * torch.randn(B, M, K, generator=g, dtype=dtype)
        ids, codes = torch.randint(V, (B, N), generator=g), torch.randint(K, (B, M), generator=g)
        return Case("writing_loss", (of_words, of_codes, ids, codes))

    return [case(3, 5, 9, 11, 7), case(2, 4, 3, 6, 8), case(1, 7, 16, 5, 4), case(3, 4, 5, 6, 7, dtype=torch.float32)]


HINTS = """
The words: the first token is never guessed, and the answer at place i is about token i + 1. So the truth for of_words is
ids without its first column.

The codes: place j is about code j already, nothing has to be shifted.

F.cross_entropy wants the classes in dim 1. Flatten batch and places into one, or move the classes there.

Each of both is a mean of its own. Weigh the means, not the sums.
"""

MISTAKES = r"""
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids[:, :-1].flatten())
    The words are not shifted: each place is asked for the token that it has just read.
return words / 8 + 7 / 8 * F -> return 7 / 8 * words + 1 / 8 * F
    The weights are exchanged: it is the picture that counts.
return words / 8 + 7 / 8 * F -> return words + F
    Words and codes are not weighed.
return words / 8 + 7 / 8 * F -> return words / 2 + F / 2 && F / 2.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) / 2
    Words and codes have the same weight.
return words / 8 + 7 / 8 * F -> return 7 / 8 * F
    The words are not in the loss.
return words / 8 + 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> return words / 8
    The codes are not in the loss.
return words / 8 + 7 / 8 * F -> return words / 8 + F
    Only the words are weighed: the codes count 7/8.
return words / 8 + 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> return words / 8 + 7 / 8 * F.cross_entropy(of_codes[:, :-1].flatten(0, 1), codes[:, 1:].flatten())
    The codes are shifted: the logits at place j are about code j already.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
    The words are summed up: their mean is asked for.
7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten(), reduction="sum")
    The codes are summed up: their mean is asked for.
7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1).softmax(1), codes.flatten())
    The codes' softmax is taken twice: cross_entropy wants logits.
return words / 8 + 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> n, m = of_words.shape[1], of_codes.shape[1]\n    return (n * words + m * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten())) / (n + m)
    Every place has the same weight: words and codes are weighed 1 to 7, however many there are.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1).softmax(1), ids[:, 1:].flatten())
    The words' softmax is taken twice: cross_entropy wants logits.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1).softmax(1), ids[:, 1:].flatten()) && F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.flatten(0, 1).softmax(1), codes.flatten())
    The softmax is taken twice: cross_entropy wants logits.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") && F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.flatten(0, 1), codes.flatten(), reduction="sum")
    Words and codes are summed up: their means are asked for.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") / len(ids) && F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.flatten(0, 1), codes.flatten(), reduction="sum") / len(ids)
    You sum over the places and average over the batch: the mean over both is asked for.
return words / 8 + 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> return (words / 8 + 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten())) / 0.6931471805599453
    You count in bits, divided by the logarithm of 2: cross entropy as it stands is asked for.
F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.reshape(len(codes), -1, codes.shape[1]), codes)
    reshape does not move the classes to dim 1, it mixes them with the places: transpose them.
F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.reshape(len(codes), -1, codes.shape[1]), codes) && words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.reshape(len(ids), -1, of_words.shape[1]), ids[:, 1:])
    reshape does not move classes to dim 1, of words as of codes: it mixes them with the places. Transpose them.
return words / 8 + 7 / 8 * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> n, m = of_words.shape[1], of_codes.shape[1]\n    return (n * words / 8 + 7 / 8 * m * F.cross_entropy(of_codes.flatten(0, 1), codes.flatten())) / (n / 8 + 7 / 8 * m)
    One mean over all weighted places: words and codes have a mean each, and these are weighed.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)
    Token 0 is left out of the words' mean: it is one to be guessed like any other.
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0) && F.cross_entropy(of_codes.flatten(0, 1), codes.flatten()) -> F.cross_entropy(of_codes.flatten(0, 1), codes.flatten(), ignore_index=0)
    Token 0 and code 0 are left out: they are to be guessed like any other.
"""

RIGHT = r"""
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.transpose(1, 2), ids[:, 1:])
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = -of_words.log_softmax(2).gather(2, ids[:, 1:, None]).mean()
return words / 8 + 7 / 8 * F -> return 0.125 * words + 0.875 * F
"""

WRONG = r"""
return words / 8 + 7 / 8 * F -> return words / 8 - 7 / 8 * F
words = F.cross_entropy(of_words.flatten(0, 1), ids[:, 1:].flatten()) -> words = F.cross_entropy(of_words.flatten(0, 1), ids.roll(1, 1)[:, 1:].flatten())
of_codes.flatten(0, 1), codes.flatten() -> of_codes.detach().flatten(0, 1), codes.flatten()
"""

EQUIVALENT = ""
