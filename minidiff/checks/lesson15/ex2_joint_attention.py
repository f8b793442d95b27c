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
read = attention(q, k, v, heads) -> read = attention(text[0], *text[1:], heads) + attention(text[0], *image[1:], heads)\n    read = torch.cat([read, attention(image[0], *text[1:], heads) + attention(image[0], *image[1:], heads)], dim=1) / 2
    Words and patches are read by two softmaxes, and the mean is taken: one softmax runs over all of them, so they compete.
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (heads, d)).transpose(1, 2) for x in (q, k, v))\n    read = ((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2)
    The logits are not divided by the root of a head's channels.
read = attention(q, k, v, heads) -> read = attention(q / (q.shape[-1] // heads) ** 0.5, k, v, heads)
    The logits are divided by the root of a head's channels twice: attention does it.
read = attention(q, k, v, heads) -> read = attention(q / q.shape[-1] ** 0.5, k, v, heads)
    You divide the queries by a root: attention divides the logits itself.
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (heads, d)).transpose(1, 2) for x in (q, k, v))\n    read = ((q @ k.mT / (d * heads) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
    The logits are divided by the root of all channels: it is the root of one head's.
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (heads, d)).transpose(1, 2) for x in (q, k, v))\n    read = ((q @ k.mT / d**0.5).softmax(-2) @ v).transpose(1, 2).flatten(2)
    Your softmax runs over the queries: each query shares its attention among the keys.
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (heads, d)).transpose(1, 2) for x in (q, k, v))\n    read = (q @ k.mT / d**0.5 @ v).transpose(1, 2).flatten(2)
    There is no softmax.
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (d, heads)).permute(0, 3, 1, 2) for x in (q, k, v))\n    read = ((q @ k.mT / d**0.5).softmax(-1) @ v).permute(0, 2, 3, 1).flatten(2)
    Your heads have every so-many-th channel: each has its channels in a row.
read = attention(q, k, v, heads) -> read = attention(q, k, v, heads) + q
    The queries are added to what is read: only what is read goes out.
read = attention(q, k, v, heads) -> read = attention(q, k, torch.cat([image[2], text[2]], dim=1), heads)
    The values stand in another order than the keys: words first in both.
read = attention(q, k, v, heads) -> read = attention(q, *text[1:], heads)
    Nobody reads the patches.
read = attention(q, k, v, heads) -> read = attention(q, *image[1:], heads)
    Nobody reads the words.
read = attention(q, k, v, heads) -> read = attention(q, k, v, q.shape[-1] // heads)
    You take as many heads as a head has channels.
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    read = attention(q, k, v, heads).unflatten(2, (heads, d)).transpose(1, 2).reshape(q.shape)
    The heads are put together without bringing them beside each other again: rows of different words are mixed.
read = attention(q, k, v, heads) -> B, L, D = q.shape\n    q, k, v = (x.reshape(B, heads, L, D // heads) for x in (q, k, v))\n    read = ((q @ k.mT / (D // heads) ** 0.5).softmax(-1) @ v).transpose(1, 2).reshape(B, L, D)
    The heads are cut from the sequence: each head has some channels of every word.
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read
    What is read is not cut: words and patches are given back apart.
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read[:, text[0].shape[1] :]
    You return what the patches have read alone: the words' comes first.
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read[:, : text[0].shape[1]], read[:, : text[0].shape[1]]
    You return what the words have read twice.
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read[:, : image[0].shape[1]], read[:, image[0].shape[1] :]
    You cut after as many rows as there are patches: the words come first.
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read.chunk(2, dim=1)
    You cut in the middle: words and patches need not be equally many.
"""

RIGHT = r"""
return read[:, : text[0].shape[1]], read[:, text[0].shape[1] :] -> return read.split([text[0].shape[1], image[0].shape[1]], dim=1)
read = attention(q, k, v, heads) -> d = q.shape[-1] // heads\n    q, k, v = (x.unflatten(2, (heads, d)).transpose(1, 2) for x in (q, k, v))\n    read = ((q @ k.mT / d**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
"""

WRONG = r"""
read = attention(q, k, v, heads) -> read = attention(q.detach(), k, v, heads)
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
