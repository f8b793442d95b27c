"""Lesson 05: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import math

import torch
import torch.nn.functional as F
from answers import accepted, one_of, rejected

from minidiff.attention import split_heads
from minidiff.checks import lesson05
from minidiff.checks.lesson05 import attention, attention_maps, chance_iou, find, map_iou, masked_attention, plain


def weighed(weigh):
    return lambda q, k, v: weigh(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])) @ v


def multi(q, k, v, heads, f=attention, out=lambda x: x):
    q, k, v = (split_heads(x, heads) for x in (q, k, v))
    return out(f(q, k, v).transpose(1, 2).flatten(2))


def changed(f):
    return lambda *args: {name: f(m) for name, m in attention_maps(*args).items()}


def by_hooks_left_on_the_unet(unet, x, t, context):
    """Right, but it also hooks the U-Net itself and forgets about it."""
    unet.register_forward_pre_hook(lambda *_: None)
    return attention_maps(unet, x, t, context)


def on_one(unet, x, t, context):
    return {name: m.expand(len(x), -1, -1, -1) for name, m in attention_maps(unet, x[:1], t[:1], context[:1]).items()}


def smoothed(heat, mask):
    return F.avg_pool2d(lesson05._enlarged(heat, mask)[None], 5, 1, 2)[0]


def marked(heat, mask, n):
    out = torch.zeros(mask.numel(), dtype=torch.bool)
    out[heat.flatten().topk(n).indices] = True
    return lesson05._overlap(out.reshape(mask.shape), mask)


WRONG = {
    "5.1 hyperbolic": one_of("5.1", attention=weighed(lambda s: (s.tanh()).softmax(-1))),
    "5.1 twice the root": one_of("5.1", attention=weighed(lambda s: (s / 2).softmax(-1))),
    "5.1 squares": one_of("5.1", attention=weighed(lambda s: s.square() / s.square().sum(-1, keepdim=True))),
    "5.1 softplus": one_of("5.1", attention=weighed(lambda s: F.normalize(F.softplus(s), p=1, dim=-1))),
    "5.1 powers of two": one_of("5.1", attention=weighed(lambda s: (s * math.log(2)).softmax(-1))),
    "5.1 cosine": one_of("5.1", attention=lambda q, k, v: attention(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v)),
    "5.1 the first key twice": one_of("5.1", attention=lambda q, k, v: attention(q, k[..., :1, :].expand_as(k), v)),
    "5.1 causal": one_of("5.1", attention=lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    "5.1 log weights": one_of("5.1", attention=weighed(lambda s: s.log_softmax(-1))),
    "5.1 float64": one_of("5.1", attention=lambda q, k, v: attention(q.double(), k.double(), v.double())),
    "5.1 adds the query": one_of("5.1", attention=lambda q, k, v: q + attention(q, k, v)),
    "5.2 a view of all": one_of("5.2", split_heads=lambda x, h: x.reshape(len(x), -1, h, x.shape[1]).transpose(1, 2)),
    "5.2 always two": one_of("5.2", split_heads=lambda x, h: split_heads(x, 2)),
    "5.2 tokens reversed": one_of("5.2", split_heads=lambda x, h: split_heads(x, h).flip(2)),
    "5.2 the largest head": one_of("5.2", merge_heads=lambda x: x.amax(1)),
    "5.2 doubles": one_of("5.2", merge_heads=lambda x: x.transpose(1, 2).flatten(2).double()),
    "5.2 no scale": one_of("5.2", multi_head=lambda *a: multi(*a, f=lambda q, k, v: (q @ k.mT).softmax(-1) @ v)),
    "5.2 sums": one_of("5.2", multi_head=lambda *a: multi(*a, out=lambda x: 2 * x)),
    "5.2 swaps": one_of("5.2", multi_head=lambda *a: multi(*a, f=lambda q, k, v: attention(q, v, k))),
    "5.2 channels last to first": one_of("5.2", multi_head=lambda *a: multi(*a, out=lambda x: x.flip(-1))),
    "5.3 anti-diagonal": one_of("5.3", causal_mask=lambda n: torch.ones(n, n, dtype=torch.bool).tril().flip(0)),
    "5.3 a row": one_of("5.3", causal_mask=lambda n: torch.ones(n, dtype=torch.bool)),
    "5.3 one back": one_of("5.3", causal_mask=lambda n: (m := torch.ones(n, n, dtype=torch.bool)).tril() & m.triu(-1)),
    "5.3 a list": one_of("5.3", causal_mask=lambda n: [[j <= i for j in range(n)] for i in range(n)]),
    "5.3 minus five": one_of("5.3", masked_attention=lesson05._masked(lambda s, m: (s - 5.0 * ~m).softmax(-1))),
    "5.3 nan for zero": one_of("5.3", masked_attention=lesson05._masked(lambda s, m: (s * m / m).softmax(-1))),
    "5.3 everywhere": one_of("5.3", masked_attention=lambda q, k, v, m: masked_attention(q, k, v, m | True)),
    "5.3 drops the last": one_of(
        "5.3", masked_attention=lambda q, k, v, m: attention(q, k[..., :-1, :], v[..., :-1, :])
    ),
    "5.3 a mean": one_of("5.3", masked_attention=lesson05._masked(lambda s, m: m / m.sum(-1, keepdim=True) + 0 * s)),
    "5.4 rounded": one_of("5.4", attention_maps=changed(lambda m: (100 * m).round() / 100)),
    "5.4 sums to the places": one_of("5.4", attention_maps=changed(lambda m: m * m.shape[2])),
    "5.4 the first head": one_of("5.4", attention_maps=changed(lambda m: m[:, :1])),
    "5.4 of the first picture": one_of("5.4", attention_maps=on_one),
    "5.4 a list": one_of("5.4", attention_maps=lambda *a: [*attention_maps(*a).values()]),
    "5.4 other names": one_of("5.4", attention_maps=lambda *a: {n[:-6]: m for n, m in attention_maps(*a).items()}),
    "5.4 in squares": one_of("5.4", attention_maps=changed(lambda m: m.unflatten(2, (math.isqrt(m.shape[2]), -1)))),
    "5.4 a hook on the whole": one_of("5.4", attention_maps=by_hooks_left_on_the_unet),
    "5.4 no text": one_of("5.4", attention_maps=lambda unet, x, t, context: attention_maps(unet, x, t, 0 * context)),
    "5.5 bicubic": one_of("5.5", map_iou=lesson05._judged(mode="bicubic")),
    "5.5 smoothed": one_of("5.5", map_iou=lambda h, m: marked(smoothed(h, m), m, int(m.sum()))),
    "5.5 twice as many": one_of("5.5", map_iou=lambda h, m: marked(lesson05._enlarged(h, m), m, 2 * int(m.sum()))),
    "5.5 a quarter": one_of("5.5", map_iou=lambda h, m: marked(lesson05._enlarged(h, m), m, m.numel() // 4)),
    "5.5 rounded": one_of("5.5", map_iou=lambda h, m: round(map_iou(h, m), 2)),
    "5.5 a tensor": one_of("5.5", map_iou=lambda h, m: torch.tensor(map_iou(h, m))),
    "5.5 chance of the rest": one_of("5.5", chance_iou=lambda m: chance_iou(~m)),
    "5.5 chance in a draw": one_of("5.5", chance_iou=lambda m: map_iou(torch.rand(m.numel()), m)),
    "5.5 chance of two": one_of("5.5", chance_iou=lambda m: 2 * chance_iou(m)),
    "5.6 the first layer": one_of("5.6", find=lambda maps, w, words: plain(maps[:1], w, words)),
    "5.6 the start token": one_of(
        "5.6", find=lambda maps, w, words: plain(maps, 0, words) + 1e-3 * plain(maps, w, words)
    ),
    "5.6 zeros": one_of("5.6", find=lambda maps, w, words: 0 * plain(maps, w, words)),
    "5.6 small": one_of("5.6", find=lambda maps, w, words: find(maps, w, words)[:64]),
    "5.6 square": one_of("5.6", find=lambda maps, w, words: find(maps, w, words).reshape(16, 16)),
    "5.6 upside down": one_of("5.6", find=lambda maps, w, words: find(maps, w, words).flip(0)),
    "5.6 nan": one_of("5.6", find=lambda maps, w, words: torch.nan * find(maps, w, words)),
}


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def in_loops(q, k, v):
    if q.ndim > 2:
        return torch.stack([in_loops(*rows) for rows in zip(q, k, v, strict=True)])
    rows = []
    for query in q:
        w = (k @ query / query.numel() ** 0.5).exp()
        rows.append((w[:, None] * v).sum(0) / w.sum())
    return torch.stack(rows)


def one_head_at_a_time(q, k, v, heads):
    parts = zip(*(x.chunk(heads, -1) for x in (q, k, v)), strict=True)
    return torch.cat([attention(*part) for part in parts], -1)


def renormalised(q, k, v, mask):
    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask
    return w / w.sum(-1, keepdim=True) @ v


def by_replacing_forward(unet, x, t, context):
    """No hooks: for one call, each layer's forward also keeps its map."""
    maps, layers = {}, {name: layer for name, layer in unet.named_modules() if name.endswith("attn2")}

    def kept(name, layer, forward):
        def f(x, context):
            q, k = layer.to_q(x), layer.to_k(context)
            heads = zip(q.chunk(layer.heads, -1), k.chunk(layer.heads, -1), strict=True)
            maps[name] = torch.stack([(a @ b.mT / a.shape[-1] ** 0.5).softmax(-1) for a, b in heads], 1)
            return forward(x, context)

        return f

    for name, layer in layers.items():
        layer.forward = kept(name, layer, layer.forward)
    unet(x, t, context)
    for layer in layers.values():
        del layer.forward
    return maps


def by_threshold(heat, mask):
    side = round(len(heat) ** 0.5)
    big = F.interpolate(heat.view(1, 1, side, side), mask.shape, mode="bilinear", align_corners=False)[0, 0]
    found = big >= big.flatten().sort(descending=True).values[int(mask.sum()) - 1]
    return (found & mask).sum().item() / (found | mask).sum().item()


def shares(maps, word, words):
    return torch.cat([lesson05._grid16(m[:, :, word] / m[:, :, words].sum(-1)) for m in maps]).mean(0)


def by_contrast(maps, word, words):
    """Standard scores less those of the other words, heads weighed by how much is left."""
    out = 0
    for m in maps:
        z = (m - m.mean(1, keepdim=True)) / m.std(1, keepdim=True)
        left = z[:, :, word] - z[:, :, [i for i in words if i != word]].mean(-1)
        out = out + (left.square().mean(1, keepdim=True) ** 2 * lesson05._grid16(left)).sum(0)
    return out


RIGHT = {
    "5.1 in loops": one_of("5.1", attention=in_loops),
    "5.2 by chunks": one_of(
        "5.2",
        split_heads=lambda x, heads: torch.stack(x.chunk(heads, -1), 1),
        merge_heads=lambda x: x.permute(0, 2, 1, 3).reshape(len(x), x.shape[2], -1),
        multi_head=one_head_at_a_time,
    ),
    "5.3 by comparing": one_of(
        "5.3",
        causal_mask=lambda n: torch.arange(n)[None] <= torch.arange(n)[:, None],
        masked_attention=renormalised,
    ),
    "5.3 a large number": one_of("5.3", masked_attention=lesson05._masked(lambda s, m: (s - 1e9 * ~m).softmax(-1))),
    "5.4 without hooks": one_of("5.4", attention_maps=by_replacing_forward),
    "5.5 by threshold": one_of(
        "5.5", map_iou=by_threshold, chance_iou=lambda m: 1 / (2 / m.double().mean().item() - 1)
    ),
    "5.6 shares": one_of("5.6", find=shares),
    "5.6 by contrast": one_of("5.6", find=by_contrast),
}


test_another_right_answer_passes = accepted(RIGHT)


def test_the_chance_is_that_of_random_pixels():
    g = torch.Generator().manual_seed(0)
    mask = lesson05._blob(g, 64)
    drawn = [map_iou(torch.rand(64 * 64, generator=g), mask) for _ in range(50)]
    assert abs(sum(drawn) / len(drawn) - chance_iou(mask)) < 0.005
