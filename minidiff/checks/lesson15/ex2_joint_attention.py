"""15.2 one attention for words and picture."""

import torch

from minidiff.attention import attention  # noqa: F401  the edits use it
from minidiff.checks import Case

LEARNS = ("text", "image")


def cases(g):
    def case(B, M, N, D, heads, dtype=torch.float64):
        text, image = ([torch.randn(B, n, D, generator=g, dtype=dtype) for _ in range(3)] for n in (M, N))
        return Case("joint_attention", (text, image, heads))

    return [case(2, 3, 5, 8, 2), case(3, 6, 4, 12, 3), case(1, 4, 4, 6, 1), case(2, 2, 9, 16, 4, dtype=torch.float32)]


HINTS = """
Three times the same: the q of words and patches after each other along dim 1, then the k, then the v. zip(text, image)
gives the three pairs.

attention returns one row for each query, words first, as they went in.

How many rows belong to the words? As many as their q has.
"""

MISTAKES = r"""
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read[:, text[0].shape[1] :], read[:, : text[0].shape[1]]
    You return what the patches have read first: the words come first.
for pair in zip(text, image, strict=True)) -> for pair in zip(image, text, strict=True))
    You put the patches first, and cut as if the words were.
read = attention(q, k, v, heads) -> read = attention(q, k, v, 1)
    There is one head only: heads has no effect.
read = attention(q, k, v, heads) -> read = torch.cat([attention(*text, heads), attention(*image, heads)], dim=1)
    Words read words alone and patches read patches alone: nothing is joint.
read = attention(q, k, v, heads) -> read = torch.cat([attention(text[0], *image[1:], heads), attention(image[0], *text[1:], heads)], dim=1)
    Each reads the other alone: everything reads everything.
read = attention(q, k, v, heads) -> read = torch.cat([attention(*text, heads), attention(image[0], k, v, heads)], dim=1)
    The words do not read the patches.
read = attention(q, k, v, heads) -> read = torch.cat([attention(text[0], k, v, heads), attention(*image, heads)], dim=1)
    The patches do not read the words.
read = attention(q, k, v, heads) -> read = torch.cat([attention(text[0], k, v, heads), attention(image[0], *text[1:], heads)], dim=1)
    The patches do not read each other: this is cross-attention.
read = attention(q, k, v, heads) -> read = attention(k, q, v, heads)
    Queries and keys have changed places.
read = attention(q, k, v, heads) -> read = attention(q, v, k, heads)
    Keys and values have changed places.
read = attention(q, k, v, heads) -> read = attention(text[0], *text[1:], heads) + attention(text[0], *image[1:], heads)\n    read = torch.cat([read, attention(image[0], *text[1:], heads) + attention(image[0], *image[1:], heads)], dim=1)
    Words and patches are read by two softmaxes, and both added: one softmax runs over all of them, so they compete.
read = attention(q, k, v, heads) -> read = attention(q, k, v, heads, torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril())
    Each looks only at what stands before it: there is no mask here.
"""

RIGHT = r"""
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read.split([text[0].shape[1], image[0].shape[1]], dim=1)
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (heads, d)).transpose(1, 2) for x in (q, k, v))\n    read = ((q @ k.mT / d**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
"""

WRONG = r"""
read = attention(q, k, v, heads) -> read = attention(q.detach(), k, v, heads)
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read[:, : image[0].shape[1]], read[:, image[0].shape[1] :]
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read, read
"""

EQUIVALENT = """
zip(text, image, strict=True) -> zip(text, image)
    both are (q, k, v)
zip(text, image, strict=True) -> zip(text, image, strict=False)
    both are (q, k, v)
text[0] -> text[1]
    there are as many keys as queries
text[0] -> text[-1]
    there are as many values as queries
"""
