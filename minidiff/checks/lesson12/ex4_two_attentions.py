"""12.4 a second pair of keys and values."""

import torch
from torch import nn

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("embeds", "proj", "norm", "q", "k", "v", "k_image", "v_image")


def cases(g):
    def draw(*shape, dtype=torch.float64):
        return torch.randn(shape, generator=g, dtype=dtype)

    cases = []
    for B, E, D, n, dtype in ((3, 5, 4, 2, torch.float64), (2, 6, 3, 4, torch.float64), (1, 4, 8, 3, torch.float32)):
        proj, norm = nn.utils.skip_init(nn.Linear, E, n * D, dtype=dtype), nn.LayerNorm(D, dtype=dtype)
        with torch.no_grad():
            for parameter in (*proj.parameters(), *norm.parameters()):
                parameter.copy_(draw(*parameter.shape, dtype=dtype))
        cases.append(Case("image_words", (draw(B, E, dtype=dtype), proj, norm, n)))
    for B, heads, N, T, n, d, dtype in (
        (2, 2, 5, 4, 3, 3, torch.float64),
        (1, 3, 4, 4, 4, 4, torch.float64),
        (2, 1, 3, 6, 2, 5, torch.float32),
    ):
        pairs = [draw(B, heads, count, d, dtype=dtype) for count in (T, T, n, n)]
        for scale in (uniform(g, 0.3, 0.8), uniform(g, 1.2, 2.0), 0.0, uniform(g, -0.8, -0.3)):
            cases.append(Case("two_attentions", (1.5 * draw(B, heads, N, d, dtype=dtype), *pairs, scale)))
    return cases


HINTS = """
The linear layer gives (B, n D) numbers, word after word: unflatten the last dimension into n words before the norm.

Write the attention of the text first, as in lesson 05: products of queries and keys over the root of d, a softmax over
the words, the mean of the values. Then the same with the picture's keys and values, and the same queries.

The scale stands before the second attention, outside its softmax, and nowhere else.
"""

MISTAKES = r"""
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return proj(embeds).unflatten(-1, (n, -1))
    The words are not normalised.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).unflatten(-1, (-1, n)).mT)
    You take the numbers of the words in turns: word after word they come.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).unflatten(-1, (n, -1))).flip(1)
    The words come in the opposite order.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).unflatten(-1, (n, -1))).flatten(1)
    Each picture has one long row: n words of D numbers are asked for.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return nn.functional.layer_norm(proj(embeds), proj(embeds).shape[-1:]).unflatten(-1, (n, -1)) * norm.weight + norm.bias
    You normalise all numbers of a picture together: each word has a mean and a deviation of its own.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return nn.functional.layer_norm(proj(embeds).unflatten(-1, (n, -1)), norm.normalized_shape)
    You normalise without the norm's own weight and bias, which learn.
return text + scale * image -> return text + image
    The scale is not used.
return text + scale * image -> return scale * text + image
    The scale is at the text: it belongs to the picture.
return text + scale * image -> return scale * (text + image)
    The scale is at both: the text always counts once.
return text + scale * image -> return (1 - scale) * text + scale * image
    What the picture gains the text loses in yours: the text always counts once.
return text + scale * image -> return (text + scale * image) / (1 + scale)
    You divide by the sum of the weights: the text always counts once.
return text + scale * image -> return text - scale * image
    The picture is taken away: it is added.
return text + scale * image -> return text
    The picture is not looked at.
return text + scale * image -> return scale * image
    The text is not looked at.
image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> image = (scale * q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image && text + scale * image -> text + image
    The scale is inside the softmax, where it makes the choice among the picture's words sharper: it stands before the
    whole second attention.
image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> image = (q @ k_image.mT).softmax(-1) @ v_image
    The picture's products are not divided by the root of d.
text = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v -> text = (q @ k.mT).softmax(-1) @ v
    The text's products are not divided by the root of d.
text = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v -> text = (q @ k.mT).softmax(-1) @ v && image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> image = (q @ k_image.mT).softmax(-1) @ v_image
    The products are not divided by the root of d.
text = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v -> text = (q @ k.mT / q.shape[-1]).softmax(-1) @ v && image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> image = (q @ k_image.mT / q.shape[-1]).softmax(-1) @ v_image
    The products are divided by d: by its root was asked.
text = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v -> text = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-2) @ v && image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-2) @ v_image
    The softmax runs over the queries: it runs over the words.
two_attentions := joined
    You put all words into one softmax, where they share a whole: each attention has a softmax of its own.
two_attentions := lambda q, k, v, k_image, v_image, scale: attention(q, k, v) + scale * attention(attention(q, k, v), k_image, v_image)
    You ask the picture with what the text has answered: both are asked with the same queries.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(nn.functional.normalize(embeds, dim=-1)).unflatten(-1, (n, -1)))
    You bring the embeddings to length 1 first: they are taken as they are.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm((embeds @ proj.weight.T).unflatten(-1, (n, -1)))
    The linear layer's bias is missing: call the layer.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).unflatten(-1, (n, -1))[:, :1]).expand(-1, n, -1)
    All words of a picture are the first one.
image_words := lambda embeds, proj, norm, n: by_hand(embeds, proj, norm, n, lambda x: x.std(-1, keepdim=True) + norm.eps)
    The deviation of a word is that of a sample, over D - 1: a layer norm's is over D, and its eps stands under the root.
image_words := lambda embeds, proj, norm, n: by_hand(embeds, proj, norm, n, lambda x: (x.var(-1, keepdim=True) + norm.eps).sqrt())
    The variance of a word is that of a sample, over D - 1: a layer norm's is over D.
image_words := lambda embeds, proj, norm, n: by_hand(embeds, proj, norm, n, lambda x: x.std(-1, keepdim=True, correction=0))
    The norm's eps is missing, which stands beside the variance under the root. norm itself does all of it.
two_attentions := lambda q, k, v, k_image, v_image, scale: attention(q, k, v) + attention(q, k_image, v_image, scale=scale)
    The scale stands inside the softmax, in the place of one over the root of d. That is what scaled_dot_product_attention
    calls scale; here it stands before the whole second attention.
text = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v -> text = (q @ k.mT / (q.shape[1] * q.shape[-1]) ** 0.5).softmax(-1) @ v && image = (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> image = (q @ k_image.mT / (q.shape[1] * q.shape[-1]) ** 0.5).softmax(-1) @ v_image
    You divide by the root of the width of all heads together: d is that of one head.
return text + scale * image -> return text + max(scale, 0) * image
    Below 0 your scale does nothing: there the picture is taken away.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).reshape(n, len(embeds), -1)).transpose(0, 1)
    Words of one picture have come to another: the numbers of a picture lie together, word after word, so its axis comes
    first.
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).reshape(n, len(embeds), -1).transpose(0, 1))
    Words of one picture have come to another: the numbers of a picture lie together, word after word, so its axis comes
    first.
return text + scale * image -> return text + abs(scale) * image
    The sign of the scale is lost: below 0 the picture is taken away.
return text + scale * image -> return text + min(max(scale, 0.0), 1.0) * image
    The scale is kept between 0 and 1. It may be any number.
return text + scale * image -> return text + min(scale, 1.0) * image
    A scale above 1 counts as 1. It may be any number.
return text + scale * image -> return text + scale**2 * image
    The scale counts twice.
return text + scale * image -> return text + float(scale > 0) * image
    The picture is there or not in yours: the scale says how much of it.
(q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) -> (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-2)
    The picture's softmax runs over the queries: over the words it runs.
(q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) -> (q @ k_image.mT / q.shape[-1] ** 0.5)
    The picture's products go without a softmax.
(q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_image -> (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) @ k_image
    The picture's keys stand in the place of its values.
(q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) -> (q @ k_image.mT / k_image.shape[2] ** 0.5).softmax(-1)
    The picture's products are divided by the root of the number of its words: d is the width of a head.
(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) -> (q @ k.mT / k.shape[2] ** 0.5).softmax(-1) && (q @ k_image.mT / q.shape[-1] ** 0.5).softmax(-1) -> (q @ k_image.mT / k_image.shape[2] ** 0.5).softmax(-1)
    The products are divided by the root of the number of words: d is the width of a head.
"""

RIGHT = r"""
two_attentions := lambda q, k, v, k_image, v_image, scale: attention(q, k, v) + scale * attention(q, k_image, v_image)
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds).reshape(len(embeds), n, -1))
return text + scale * image -> return torch.add(text, image, alpha=scale)
"""

WRONG = r"""
return norm(proj(embeds).unflatten(-1, (n, -1))) -> return norm(proj(embeds.flip(0)).unflatten(-1, (n, -1)))
@ v_image -> @ k_image
two_attentions := lambda q, k, v, k_image, v_image, scale: attention(q, k, v) + scale * attention(q, v_image, k_image)
two_attentions := lambda q, k, v, k_image, v_image, scale: attention(q, k, v) + scale * attention(q, k, v)
return text + scale * image -> return text * (1 + scale * image)
return text + scale * image -> return text + scale * image.mean(-2, keepdim=True)
"""

EQUIVALENT = """
proj(embeds).unflatten(-1, (n, -1)) -> proj(embeds).unflatten(1, (n, -1))
    the last dimension of an embedding is the second
"""


def attention(q, k, v, **options):
    return nn.functional.scaled_dot_product_attention(q, k, v, **options)


def by_hand(embeds, proj, norm, n, deviation):
    x = proj(embeds).unflatten(-1, (n, -1))
    return (x - x.mean(-1, keepdim=True)) / deviation(x) * norm.weight + norm.bias


def joined(q, k, v, k_image, v_image, scale):
    return attention(q, torch.cat([k, k_image], -2), torch.cat([v, scale * v_image], -2))
