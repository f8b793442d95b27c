"""Lesson 05, cross-attention: what the exercises are checked against."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

import minidiff.attention
from minidiff import judge
from minidiff.attention import split_heads
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import mistakes, uniform, whole
from minidiff.unet import UNet, UNetConfig

# 5.1 Attention


def attention(q, k, v):
    """The reference: torch's own."""
    return F.scaled_dot_product_attention(q, k, v)


def _scores(q, k):
    return q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])


def _by(weigh):
    """A wrong attention, from what it makes of plain dot products, given them and d."""
    return lambda q, k, v: weigh(q @ k.transpose(-1, -2), q.shape[-1]) @ v


def _qkv(g, *before, n=5, m=7, d=8, dtype=torch.float64):
    draw = (torch.randn(*before, size, d, generator=g, dtype=dtype) for size in (n, m, m))
    return tuple(2 * x for x in draw)


def _attention_cases(g):
    return [
        Case("attention", _qkv(g, 2, n=5, m=whole(g, 6, 8), d=6)),
        Case("attention", _qkv(g, 3, n=4, m=6, d=9, dtype=torch.float32)),
        Case("attention", _qkv(g, 2, 3, n=whole(g, 4, 7), m=3, d=5)),
    ]


_ATTENTION = Exercise(
    title="scaled dot-product attention",
    reference={"attention": attention},
    cases=_attention_cases,
    mistakes=mistakes(
        "attention",
        (
            "forgets the square root",
            "The scores are not divided by anything: the wider the vectors, the more a single key takes it all.",
            _by(lambda s, d: s.softmax(-1)),
        ),
        (
            "divides by d",
            "You divide by the number of channels. A typical dot product grows more slowly than that: look at its "
            "standard deviation, not at its variance.",
            _by(lambda s, d: (s / d).softmax(-1)),
        ),
        (
            "multiplies",
            "You multiply the scores where you should divide: they are too large already.",
            _by(lambda s, d: (s * math.sqrt(d)).softmax(-1)),
        ),
        (
            "counts the keys",
            "You divide by the root of the number of keys. It is the number of channels that makes scores large.",
            lambda q, k, v: (q @ k.transpose(-1, -2) / math.sqrt(k.shape[-2])).softmax(-1) @ v,
        ),
        (
            "scales too late",
            "You divide after the softmax: then the weights no longer sum to 1. The scores are what gets too large.",
            _by(lambda s, d: s.softmax(-1) / math.sqrt(d)),
        ),
        (
            "over the queries",
            "The softmax runs along the queries: then the queries compete for a key. Each query shares out its "
            "attention over the keys.",
            lambda q, k, v: _scores(q, k).softmax(-2) @ v,
        ),
        (
            "over the batch",
            "The softmax runs along the first axis, so the samples of a batch compete with each other.",
            lambda q, k, v: _scores(q, k).softmax(0) @ v,
        ),
        (
            "no softmax",
            "The softmax is missing: scores may be negative, and they do not sum to 1.",
            lambda q, k, v: _scores(q, k) @ v,
        ),
        (
            "a sigmoid",
            "You squash each score on its own. The keys of a query must compete: their weights sum to 1.",
            lambda q, k, v: _scores(q, k).sigmoid() @ v,
        ),
        (
            "only the best",
            "Each query gets the value of its best key alone. That is a dictionary, and it has no slope to learn from.",
            lambda q, k, v: F.one_hot(_scores(q, k).argmax(-1), k.shape[-2]).to(v) @ v,
        ),
        (
            "wrong sign",
            "The keys that fit worst get the largest weights: look at the sign of the scores.",
            lambda q, k, v: (-_scores(q, k)).softmax(-1) @ v,
        ),
        (
            "swaps keys and values",
            "Keys and values have changed places: queries are compared with the keys, and it is values that are mixed.",
            lambda q, k, v: attention(q, v, k),
        ),
        (
            "mixes the keys",
            "You mix the keys. They only decide how much; what comes back is a mix of the values.",
            lambda q, k, v: attention(q, k, k),
        ),
        (
            "ignores the queries",
            "Every query gets the same mean of all values: the queries are not used.",
            lambda q, k, v: attention(0 * q, k, v),
        ),
        (
            "returns the weights",
            "You return the weights. They still have to mix the values.",
            lambda q, k, v: _scores(q, k).softmax(-1),
        ),
        (
            "returns zeros",
            "You gave zeros: nothing of the values is in them.",
            lambda q, k, v: 0 * q,
        ),
        ("changes its input", MUTATES, lambda q, k, v: attention(q.mul_(1.001), k, v)),
    ),
    hints=(
        "All dot products of N queries and M keys are one matrix product, (N, d) times (d, M): so something must be "
        "turned round first.",
        ".transpose(-1, -2) swaps the last two axes, whatever comes before. @ multiplies matrices, batch by batch.",
        "Divide before the softmax. The softmax's dim is that of the keys, the last one of the scores.",
        "The weights are (..., N, M), the values (..., M, d): one more matrix product.",
    ),
)


# 5.2 Heads


def merge_heads(x):
    """The reference: the heads side by side, in torch's own words."""
    return torch.cat(x.unbind(1), dim=-1)


def _multi(split=split_heads, merge=merge_heads, weigh=lambda s: s.softmax(-1), scale=1.0):
    """A wrong multi_head, from its parts."""

    def wrong(q, k, v, heads):
        q, k, v = (split(x, heads) for x in (q, k, v))
        return merge(weigh(scale * _scores(q, k)) @ v)

    return wrong


def _head_cases(g):
    B, heads, n, d = 2, whole(g, 3, 4), 6, 5
    C = heads * d
    q, k, v = _qkv(g, B, n=n, m=6, d=C)
    return [
        Case("split_heads", (torch.randn(B, 6, C, generator=g), heads)),
        Case("split_heads", (torch.randn(3, 12, 8, generator=g), 2)),
        Case("merge_heads", (torch.randn(B, heads, n, d, generator=g),)),
        Case("merge_heads", (torch.randn(3, 2, 7, 5, generator=g),)),
        Case("multi_head", (q, k, v, heads)),
        Case("multi_head", (*_qkv(g, 3, n=6, m=4, d=20), 5)),
    ]


_HEADS = Exercise(
    title="heads: cut, attend, put together",
    reference={
        "split_heads": split_heads,
        "merge_heads": merge_heads,
        "multi_head": minidiff.attention.attention,
    },
    cases=_head_cases,
    mistakes=(
        *mistakes(
            "split_heads",
            (
                "reshapes only",
                "The shape is right, the content is not: your first head holds the first tokens whole. It should hold "
                "a part of every token.",
                lambda x, heads: x.reshape(len(x), heads, x.shape[1], -1),
            ),
            (
                "takes turns",
                "Your heads take channels in turn. Each should have a run of neighbouring channels.",
                lambda x, heads: x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2),
            ),
            (
                "forgets to swap",
                "The channels are cut, but the heads still stand behind the tokens: two axes must change places.",
                lambda x, heads: x.unflatten(-1, (heads, -1)),
            ),
            (
                "swaps too much",
                "Tokens and channels of each head have changed places: the channels come last.",
                lambda x, heads: split_heads(x, heads).transpose(2, 3),
            ),
            (
                "heads before the batch",
                "The heads stand before the batch: the batch comes first.",
                lambda x, heads: split_heads(x, heads).transpose(0, 1),
            ),
            (
                "heads into the batch",
                "Heads and batch are one axis. That works too, and older code does it, but here they are two.",
                lambda x, heads: split_heads(x, heads).flatten(0, 1),
            ),
            (
                "takes it for the size",
                "You took the number of heads for the size of one.",
                lambda x, heads: split_heads(x, x.shape[-1] // heads),
            ),
            (
                "last head first",
                "The heads come in reverse order: the first has the first channels.",
                lambda x, heads: split_heads(x, heads).flip(1),
            ),
        ),
        *mistakes(
            "merge_heads",
            (
                "reshapes only",
                "The shape is right, the content is not: tokens and heads must change places before the last two axes "
                "become one.",
                lambda x: x.reshape(len(x), x.shape[2], -1),
            ),
            (
                "takes turns",
                "The channels of the heads are interleaved: those of a head belong side by side.",
                lambda x: x.permute(0, 2, 3, 1).flatten(2),
            ),
            (
                "averages the heads",
                "You average the heads: then what one head found is mixed with the others', and most of it is lost.",
                lambda x: x.mean(1),
            ),
            (
                "the first head only",
                "Only the first head is there: all of them belong into a row.",
                lambda x: x[:, 0],
            ),
            (
                "last head first",
                "The heads come in reverse order.",
                lambda x: merge_heads(x.flip(1)),
            ),
            (
                "tokens last",
                "Tokens and channels have changed places: the channels come last.",
                lambda x: merge_heads(x).transpose(1, 2),
            ),
        ),
        *mistakes(
            "multi_head",
            (
                "a single head",
                "That is attention with one head: the number of heads makes no difference.",
                lambda q, k, v, heads: attention(q, k, v),
            ),
            (
                "scales by all channels",
                "The scores are too small: a head's dot product has as many terms as a head has channels.",
                lambda q, k, v, heads: _multi(scale=heads**-0.5)(q, k, v, heads),
            ),
            (
                "averages the weights",
                "All heads use the same weights, the mean of them: then one head would do.",
                _multi(weigh=lambda s: s.softmax(-1).mean(1, keepdim=True)),
            ),
            (
                "averages the scores",
                "All heads use the same scores, the mean of them: each head compares on its own.",
                _multi(weigh=lambda s: s.mean(1, keepdim=True).softmax(-1)),
            ),
            (
                "softmax over the heads",
                "The softmax runs along the heads: it is the keys that compete.",
                _multi(weigh=lambda s: s.softmax(1)),
            ),
            (
                "forgets to merge",
                "The heads are still apart: put them together again.",
                _multi(merge=lambda x: x),
            ),
            (
                "merges by reshaping",
                "The heads come out right, but are put together wrongly: use your merge_heads.",
                _multi(merge=lambda x: x.reshape(len(x), x.shape[2], -1)),
            ),
        ),
    ),
    hints=(
        "Cut the last axis into two, heads and channels of a head, then change the order of axes. A reshape alone "
        "never changes which number comes after which.",
        "x.reshape(B, N, heads, d) cuts, x.transpose(1, 2) swaps two axes. Look at a small tensor whose numbers say "
        "where they come from.",
        "merge_heads does the same backwards: first swap, then make one axis of two.",
        "multi_head: split all three, attention of 5.1 on what you got (it does not mind more axes in front), merge.",
    ),
)


# 5.3 Masks


def causal_mask(n):
    """The reference: torch's lower triangle."""
    return torch.ones(n, n, dtype=torch.bool).tril()


def masked_attention(q, k, v, mask):
    """The reference: torch's own."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _masked(weigh):
    """A wrong masked_attention, from what it makes of scores and mask."""
    return lambda q, k, v, mask: weigh(_scores(q, k), mask) @ v


def _mask_cases(g):
    def look(*shape):
        mask = torch.rand(*shape, generator=g) < 0.5
        mask[..., 0], mask[..., -1] = True, False  # every query may look somewhere, and not everywhere
        return mask

    n = whole(g, 5, 7)
    return [
        Case("causal_mask", (n,)),
        Case("causal_mask", (3,)),
        Case("masked_attention", (*_qkv(g, 2, n=5, m=7, d=4), look(5, 7))),
        Case("masked_attention", (*_qkv(g, 3, n=4, m=6, d=8, dtype=torch.float32), look(3, 1, 6))),
        Case("masked_attention", (*_qkv(g, 2, 3, n=n, m=n, d=4), causal_mask(n))),
    ]


_MASK = Exercise(
    title="masks: the causal one, and attention that obeys one",
    reference={"causal_mask": causal_mask, "masked_attention": masked_attention},
    cases=_mask_cases,
    mistakes=(
        *mistakes(
            "causal_mask",
            (
                "the future",
                "Your words see the later ones and not the earlier ones: it is the other triangle.",
                lambda n: causal_mask(n).T,
            ),
            (
                "not itself",
                "Your words do not see themselves, and the first one sees nothing at all. The diagonal belongs to it.",
                lambda n: causal_mask(n).tril(-1),
            ),
            (
                "one further",
                "Your words see one word too far: the next one.",
                lambda n: torch.ones(n, n, dtype=torch.bool).tril(1),
            ),
            (
                "True forbids",
                "The two values are swapped: True is where a query may look.",
                lambda n: ~causal_mask(n),
            ),
            (
                "everything",
                "Everything is allowed: no word is kept from seeing the later ones.",
                lambda n: torch.ones(n, n, dtype=torch.bool),
            ),
            (
                "only itself",
                "Each word sees only itself: then it learns nothing of the words before it.",
                lambda n: torch.eye(n, dtype=torch.bool),
            ),
            (
                "numbers",
                "These are numbers, 0 and 1. A mask is made of False and True.",
                lambda n: torch.ones(n, n).tril(),
            ),
            (
                "to be added",
                "These are numbers to be added to scores. Here a mask is made of False and True.",
                lambda n: torch.zeros(n, n).masked_fill(~causal_mask(n), -math.inf),
            ),
        ),
        *mistakes(
            "masked_attention",
            (
                "ignores the mask",
                "The mask is not used: forbidden keys are looked at as before.",
                lambda q, k, v, mask: attention(q, k, v),
            ),
            (
                "the other way round",
                "The mask is used the wrong way round: what may be looked at is forbidden.",
                lambda q, k, v, mask: masked_attention(q, k, v, ~mask),
            ),
            (
                "after the softmax",
                "Forbidden weights become 0 after the softmax, and what they had is lost: rows no longer sum to 1.",
                _masked(lambda s, mask: s.softmax(-1) * mask),
            ),
            (
                "zero is not nothing",
                "Forbidden scores become 0, but the softmax of a score of 0 is not 0: they are still looked at.",
                _masked(lambda s, mask: (s * mask).softmax(-1)),
            ),
            (
                "minus one",
                "Forbidden scores are lowered, but not enough: they are still looked at.",
                _masked(lambda s, mask: s.masked_fill(~mask, -1.0).softmax(-1)),
            ),
            (
                "adds the mask",
                "The mask is added as 0 and 1: what is allowed becomes likelier, and nothing is forbidden.",
                _masked(lambda s, mask: (s + mask.to(s)).softmax(-1)),
            ),
            (
                "after the softmax, with infinity",
                "Minus infinity comes after the softmax: it belongs to the scores, before it.",
                _masked(lambda s, mask: s.softmax(-1).masked_fill(~mask, -math.inf)),
            ),
            (
                "forgets the square root",
                "The mask is right. But the scores are not divided by the root of the number of channels.",
                lambda q, k, v, mask: masked_attention(q * math.sqrt(q.shape[-1]), k, v, mask),
            ),
            (
                "zeroes the values",
                "You set values to 0 where their key may not be looked at by the first query. "
                "The weight of a forbidden key still counts in the sum, and queries differ.",
                lambda q, k, v, mask: attention(q, k, v * mask[..., :1, :].transpose(-1, -2)),
            ),
            (
                "the first row for all",
                "All queries use the first row of the mask: each has a row of its own.",
                lambda q, k, v, mask: masked_attention(q, k, v, mask[..., :1, :]),
            ),
            ("changes its input", MUTATES, lambda q, k, v, mask: masked_attention(q, k, v, mask.fill_(True))),
        ),
    ),
    hints=(
        "causal_mask: row i, column j is True where j comes no later than i. torch has a method for the lower triangle "
        "of a matrix.",
        "The softmax turns a score into e to that power. Which score becomes exactly 0?",
        "scores.masked_fill(where, value) puts a value where a mask is True. Yours is True where nothing is to happen.",
        "The rest is 5.1: scores, divided; then the mask; then the softmax; then the values.",
    ),
)


# 5.4 The maps of a U-Net


def attention_maps(unet, x, t, context):
    """The reference: hooks, and `Attention.maps`."""
    return _read(unet, x, t, context)


def _read(unet, x, t, context, f=lambda layer, args, out: layer.maps(*args), end="attn2", remove=True):
    maps = {}
    hooks = [
        layer.register_forward_hook(lambda layer, args, out, name=name: maps.update({name: f(layer, args, out)}))
        for name, layer in unet.named_modules()
        if name.endswith(end)
    ]
    unet(x, t, context)
    for hook in hooks if remove else ():
        hook.remove()
    return maps


def _maps(f=lambda layer, args, out: layer.maps(*args), then=lambda maps: maps, **options):
    """A wrong attention_maps, from what each hook keeps and what becomes of all."""
    return lambda unet, x, t, context: then(_read(unet, x, t, context, f, **options))


def _dots(layer, args, key="to_k"):
    q, k = (split_heads(y, layer.heads) for y in (layer.to_q(args[0]), getattr(layer, key)(args[1])))
    return q @ k.transpose(-1, -2)


def _scale(layer, args):
    return math.sqrt(args[0].shape[-1] // layer.heads)


_RAN = []


class _Seen(UNet):
    """A U-Net that leaves word of which copy of it was called, so that its hooks can be counted afterwards."""

    def forward(self, *args):
        _RAN[:] = [self]
        return super().forward(*args)


def _hooks_left(maps):
    """How many hooks are still in the U-Net that was called last, beside the maps' names."""
    left = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in _RAN[0].modules()] if _RAN else []
    return {"hooks left in the U-Net": sum(left), "names": sorted(maps)}


def _random_unet(g, **options):
    """A tiny U-Net whose weights are all random, so that no mistake hides behind a weight of 1 or 0."""
    widths = {"block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 12, "sample_size": 8}
    unet = _Seen(UNetConfig(**widths | options))
    for parameter in unet.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=g)
    return unet.eval()


def _map_cases(g):
    with torch.random.fork_rng(devices=[]):  # making layers draws from the global generator
        unets = [
            _random_unet(g, attention=(False, True), heads=(2, 4)),
            _random_unet(g, attention=(True, True), heads=(4, 2)),
        ]

    def arguments(unet, B):
        tokens = whole(g, 5, 7)
        x, context = torch.randn(B, 4, 8, 8, generator=g), torch.randn(B, tokens, 12, generator=g)
        return unet, x, uniform(g, 0, 999, B, dtype=torch.float32), context

    args = [arguments(unets[0], 2), arguments(unets[1], 1), arguments(unets[0], 3)]
    return [Case("attention_maps", a) for a in args] + [Case("attention_maps", args[0], read=_hooks_left)]


_MAPS = Exercise(
    title="the attention maps of a U-Net, by hooks",
    reference={"attention_maps": attention_maps},
    cases=_map_cases,
    mistakes=mistakes(
        "attention_maps",
        (
            "self-attention",
            "These are the maps of the self-attentions: the picture looks at itself there. The other one reads the "
            "text.",
            lambda unet, x, t, context: _read(unet, x, t, context, lambda layer, args, out: layer.maps(*args), "attn1"),
        ),
        (
            "both attentions",
            "The maps of the self-attentions are there too: keep the layers that read the text.",
            lambda unet, x, t, context: _read(
                unet, x, t, context, lambda layer, args, out: layer.maps(*args), ("attn1", "attn2")
            ),
        ),
        (
            "averages the heads",
            "The heads are averaged. Here each keeps its own map.",
            _maps(lambda layer, args, out: layer.maps(*args).mean(1)),
        ),
        (
            "ignores the heads",
            "You computed one map with all channels. Each head compares with its own channels only.",
            _maps(
                lambda layer, args, out: (
                    _scores(layer.to_q(args[0]), layer.to_k(args[1])).softmax(-1)[:, None].repeat(1, layer.heads, 1, 1)
                )
            ),
        ),
        (
            "forgets the square root",
            "The scores are not divided by a square root before the softmax, as the layer does it.",
            _maps(lambda layer, args, out: _dots(layer, args).softmax(-1)),
        ),
        (
            "scales by all channels",
            "The square root is that of all channels. A head's dot product has as many terms as a head has channels.",
            _maps(lambda layer, args, out: (_dots(layer, args) / math.sqrt(args[0].shape[-1])).softmax(-1)),
        ),
        (
            "scores",
            "These are the scores, before the softmax: a map's rows sum to 1.",
            _maps(lambda layer, args, out: _dots(layer, args) / _scale(layer, args)),
        ),
        (
            "places compete",
            "The softmax runs along the places. Each place shares out its attention over the tokens.",
            _maps(lambda layer, args, out: (_dots(layer, args) / _scale(layer, args)).softmax(-2)),
        ),
        (
            "values for keys",
            "You compared the queries with the values. They are compared with the keys.",
            _maps(lambda layer, args, out: (_dots(layer, args, "to_v") / _scale(layer, args)).softmax(-1)),
        ),
        (
            "tokens before places",
            "Places and tokens have changed places: the tokens come last.",
            _maps(then=lambda maps: {name: m.transpose(-1, -2) for name, m in maps.items()}),
        ),
        (
            "one layer",
            "Only one layer is there. Does each call of your hook overwrite what the one before it kept?",
            _maps(then=lambda maps: dict([list(maps.items())[-1]])),
        ),
        (
            "the output",
            "You kept what the layers give, the mixed values. The maps are the weights with which they are mixed.",
            _maps(lambda layer, args, out: out),
        ),
        (
            "always the same time",
            "The U-Net was asked at time 0. Pass on the time you were given.",
            lambda unet, x, t, context: attention_maps(unet, x, 0 * t, context),
        ),
        (
            "leaves its hooks",
            "The maps are right, but your hooks are still in the U-Net: from now on it would compute maps at every "
            "call, and keep them. Each hook comes with a handle that removes it.",
            _maps(remove=False),
        ),
        (
            "an empty dictionary",
            "The dictionary is empty: no hook was called. Were they placed before the U-Net ran, and on which layers?",
            lambda unet, x, t, context: {},
        ),
    ),
    hints=(
        "Three steps: place a hook on every layer that reads the text, call the U-Net, remove the hooks. The maps "
        "gather in a dictionary that the hooks share.",
        "unet.named_modules() gives pairs of a name and a layer. layer.register_forward_hook(f) calls "
        "f(layer, args, out) after each call, args being what went in, and gives you a handle.",
        "In a cross-attention args are the places, (B, N, dim), and the text. layer.to_q, layer.to_k and layer.heads "
        "are what you need of it; then it goes on as in 5.1 and 5.2, without the values.",
        "A function made in a loop sees the loop's variable as it is at the *end*. Give the name to the hook as a "
        "default argument, name=name.",
    ),
)


# 5.5 How good is a map?


map_iou = judge.attention_iou


def chance_iou(mask):
    """The reference: a random set of a share a of all pixels meets a true one of that share in a^2 of them."""
    a = mask.double().mean().item()
    return a**2 / (a + a - a**2)


def _enlarged(heat, mask, mode="bilinear", turn=lambda heat: heat, **options):
    side = math.isqrt(len(heat))
    heat = turn(heat.reshape(side, side))
    return F.interpolate(heat[None, None], size=mask.shape, mode=mode, **options)[0, 0]


def _brightest(heat, mask, sign=1):
    out = torch.zeros(mask.numel(), dtype=torch.bool)
    out[(sign * heat.flatten()).topk(int(mask.sum())).indices] = True
    return out.reshape(mask.shape)


def _overlap(a, b, measure=lambda both, a, b: both / (a + b - both)):
    return float(measure(*(x.sum().item() for x in (a & b, a, b))))


def _judged(mark=_brightest, measure=lambda both, a, b: both / (a + b - both), **options):
    """A wrong map_iou, from how it marks pixels, measures, and enlarges."""
    return lambda heat, mask: _overlap(mark(_enlarged(heat, mask, **options), mask), mask, measure)


def _small(heat, mask):
    """The IoU among places, not pixels."""
    side = math.isqrt(len(heat))
    small = F.adaptive_avg_pool2d(mask[None].float(), side)[0] > 0.5
    return _overlap(_brightest(heat.reshape(side, side), small), small) if small.any() else 0.0


def _blob(g, size, low=0.15, high=0.3):
    """A random ellipse in a picture of size x size: bool."""
    centre, radius = uniform(g, 0.3, 0.7, 2), uniform(g, low, high, 2)
    y, x = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    return ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1


def _heat_near(g, mask, side):
    """A map that half knows the mask, and whose cut falls between two clearly different pixels."""
    while True:
        inside = F.adaptive_avg_pool2d(mask[None].float(), side).flatten()
        heat = 0.05 * (inside + uniform(g, 0, 0.9, side * side, dtype=torch.float32))
        cut = _enlarged(heat, mask).flatten().topk(int(mask.sum()) + 1).values[-2:]
        if cut[0] - cut[1] > 1e-6:
            return heat


def _iou_cases(g):
    sizes = (8, 128), (4, 64), (8, 64)
    masks = [_blob(g, size) for _, size in sizes]
    maps = [_heat_near(g, mask, side) for (side, _), mask in zip(sizes, masks, strict=True)]
    cases = [Case("map_iou", pair) for pair in zip(maps, masks, strict=True)]
    return cases + [Case("chance_iou", (mask,)) for mask in masks]


_IOU = Exercise(
    title="the IoU of a map with the true mask, and chance",
    reference={"map_iou": map_iou, "chance_iou": chance_iou},
    cases=_iou_cases,
    mistakes=(
        *mistakes(
            "map_iou",
            (
                "blocks",
                "The map is enlarged in blocks: each pixel takes the nearest place. In between it should be smooth.",
                _judged(mode="nearest"),
            ),
            (
                "corner to corner",
                "The map is stretched so that the middle of its first place falls on the first pixel. Leave "
                "align_corners as it is.",
                _judged(align_corners=True),
            ),
            (
                "above the mean",
                "You mark what is brighter than the mean. How much that is depends on the map: mark as many pixels as "
                "the mask has.",
                _judged(mark=lambda heat, mask: heat > heat.mean()),
            ),
            (
                "above half",
                "You mark what is brighter than half of the maximum. How much that is depends on the map: mark as many "
                "pixels as the mask has.",
                _judged(mark=lambda heat, mask: heat > heat.max() / 2),
            ),
            (
                "the darkest",
                "You mark the darkest pixels: sort the other way round.",
                _judged(mark=lambda heat, mask: _brightest(heat, mask, -1)),
            ),
            (
                "the share of hits",
                "That is the share of the marked pixels that hit (and, both areas being equal, the Dice coefficient). "
                "IoU divides by the union, which is larger.",
                _judged(measure=lambda both, a, b: both / a),
            ),
            (
                "counts the overlap twice",
                "The union is too large: you added both areas, and so counted what they share twice.",
                _judged(measure=lambda both, a, b: both / (a + b)),
            ),
            (
                "the symmetric difference",
                "You divide by the pixels that only one of the two has. The union also holds those that both have.",
                _judged(measure=lambda both, a, b: both / max(a + b - 2 * both, 1)),
            ),
            (
                "all pixels",
                "You divide by all pixels of the picture: the union of the two areas is smaller.",
                lambda heat, mask: _judged(measure=lambda both, a, b: both / mask.numel())(heat, mask),
            ),
            (
                "agreement",
                "You count the pixels in which both agree. Most of them are background in both, which is no merit.",
                lambda heat, mask: float((_brightest(_enlarged(heat, mask), mask) == mask).float().mean()),
            ),
            (
                "turned",
                "Rows and columns have changed places: the places of a map are counted row by row.",
                _judged(turn=lambda heat: heat.T),
            ),
            (
                "among places",
                "You made the mask smaller. Enlarge the map: the mask has the truth in full.",
                _small,
            ),
            ("in percent", "That is in percent: 1 is a perfect hit.", lambda heat, mask: 100 * map_iou(heat, mask)),
        ),
        *mistakes(
            "chance_iou",
            (
                "the share itself",
                "That is the share of the mask. It is how many of the random pixels hit; the union is still missing.",
                lambda mask: mask.double().mean().item(),
            ),
            (
                "the intersection",
                "That is the intersection. It is still to be divided by the union.",
                lambda mask: mask.double().mean().item() ** 2,
            ),
            (
                "counts the overlap twice",
                "The union is too large: what the two share is counted twice.",
                lambda mask: mask.double().mean().item() / 2,
            ),
            (
                "adds the overlap",
                "The union is too large: what the two share must be taken away once, not added.",
                lambda mask: (a := mask.double().mean().item()) / (2 + a),
            ),
            (
                "a half",
                "Chance is no coin here: how likely a hit is depends on how large the mask is.",
                lambda mask: 0.5,
            ),
            ("nothing", "Even random pixels hit something.", lambda mask: 0.0),
            ("in percent", "That is in percent: 1 is a perfect hit.", lambda mask: 100 * chance_iou(mask)),
        ),
    ),
    hints=(
        "The places of a map are a square grid, row by row: reshape. F.interpolate wants two axes in front, batch and "
        "channels, and mode bilinear for smoothness.",
        "mask.sum() says how many pixels to mark. .topk on the flattened map finds the brightest: its .indices.",
        "For two tensors of True and False, & is the intersection and | the union. A sum counts the True ones; .item() "
        "makes a number of it.",
        "Chance: let a be the share of the mask. Of randomly marked pixels, a share of a too, how many lie in it? "
        "Write intersection and union as shares of the picture.",
    ),
)


# 5.6 Finding a word


@dataclass(frozen=True)
class _Planted(Case):
    """A call with maps that were made up, so that it is known where the word and another word belong."""

    mask: Tensor | None = None
    other: Tensor | None = None


def plain(maps, word, words):
    """The baseline: the mean over layers and heads."""
    return torch.cat([_grid16(layer[:, :, word]) for layer in maps]).mean(0)


def find(maps, word, words):
    """One right answer of many: how much more than the other words, as logarithms, the mean over layers and heads."""
    out = []
    for layer in maps:
        heat = layer.clamp(min=1e-12).log()
        others = heat[:, :, [i for i in words if i != word]].mean(-1)
        out.append(_grid16(heat[:, :, word] - others))
    return torch.cat(out).mean(0)


def _grid16(heat):
    """(heads, n * n) as (heads, 256)."""
    n = math.isqrt(heat.shape[-1])
    return F.interpolate(heat.reshape(-1, 1, n, n), size=16, mode="bilinear").flatten(1)


def planted(g, layers=((4, 8), (4, 4), (4, 8)), tokens=12):
    """(maps, [two words], all words, their masks): see the text of the exercise."""
    while True:
        masks = [_blob(g, 128, 0.12, 0.25) for _ in range(2)]
        if not (masks[0] & masks[1]).any():
            break
    words, objects, maps = [1, 2, 3, 4, 5], [1, 3], []
    for heads, side in layers:
        scores = torch.zeros(heads, side * side, tokens)
        scores[..., 0], scores[..., 6:] = 3.0, 1.0  # start, end and padding take most
        glow = F.interpolate(torch.randn(heads, 1, 3, 3, generator=g), size=side, mode="bilinear").flatten(1)
        scores[..., words] += 3 * glow[..., None]  # where this head looks, whichever word it reads
        good = 3 * (torch.rand(heads, generator=g) < 0.35)
        for word, mask in zip(objects, masks, strict=True):
            scores[..., word] += good[:, None] * F.adaptive_avg_pool2d(mask[None].float(), side).flatten()
        scores += 0.3 * torch.randn(scores.shape, generator=g)
        maps.append(scores.softmax(-1))
    return maps, objects, words, masks


def _planted_cases(g):
    cases = []
    for _ in range(12):
        maps, (first, second), words, (a, b) = planted(g)
        case = _Planted("find", (maps, first, words), mask=a, other=b)
        cases += [case, replace(case, args=(maps, second, words), mask=b, other=a)]
    return cases


def _mean_iou(results, which):
    return sum(map_iou(*which(case, got)) for case, got in results) / len(results)


def _turned(heat):
    return heat.reshape(16, 16).T.flatten()


_FIND = {
    "finite": "Some numbers of your maps are infinite or no numbers: is something divided by 0, or a logarithm "
    "taken of it?",
    "word": "Your map is the same for two words of one caption: it must depend on the word that is looked for.",
    "dark": "Your maps are darkest where the word belongs: look at the sign.",
    "turned": "Your maps fit better when rows and columns change places: the places are counted row by row.",
    "other": "Your maps find the other object: are words and positions mixed up?",
    "better": "Your maps find the words no better than the mean over all layers and heads: "
    "a mean IoU at least 0.08 higher is asked for.",
}


def _differ(results):
    return all((a[1] - b[1]).abs().max() > 1e-6 for a, b in zip(results[::2], results[1::2], strict=True))


_READINGS = {
    "as given": lambda case, got: (got, case.mask),
    "dark": lambda case, got: (-got, case.mask),
    "turned": lambda case, got: (_turned(got), case.mask),
    "other": lambda case, got: (got, case.other),
}


def _not_best_as(reading):
    """A test that of all readings of the maps it is not this one that fits best."""
    return lambda results: max(_READINGS, key=lambda name: _mean_iou(results, _READINGS[name])) != reading


_OPEN = Exercise(
    title="open-ended: find a word in many maps",
    reference={"find": find},
    cases=_planted_cases,
    properties=(
        (_FIND["finite"], lambda results: all(got.isfinite().all() for _, got in results)),
        (_FIND["word"], _differ),
        (_FIND["dark"], _not_best_as("dark")),
        (_FIND["turned"], _not_best_as("turned")),
        (_FIND["other"], _not_best_as("other")),
        (
            _FIND["better"],
            lambda results: (
                _mean_iou(results, _READINGS["as given"])
                > _mean_iou(results, lambda case, _: (plain(*case.args), case.mask)) + 0.08
            ),
        ),
    ),
    mistakes=mistakes(
        "find",
        ("takes a logarithm of 0", _FIND["finite"], lambda maps, word, words: (0 * find(maps, word, words)).log()),
        ("ignores the word", _FIND["word"], lambda maps, word, words: plain(maps, words[0], words)),
        ("wrong sign", _FIND["dark"], lambda maps, word, words: -find(maps, word, words)),
        ("swaps rows and columns", _FIND["turned"], lambda maps, word, words: _turned(find(maps, word, words))),
        ("the other object", _FIND["other"], lambda maps, word, words: find(maps, 4 - word, words)),
        ("is the baseline", _FIND["better"], plain),
    ),
    hints=(
        "What do all words of a caption have in common in one head? Whatever it is, it says nothing of your word.",
        "Take it out: compare the word's map with the mean of the other words' maps, head by head. You may subtract, "
        "or divide; logarithms turn one into the other.",
        "Some heads know nothing. Look at how much a head's map of this word differs from its maps of the others, and "
        "give heads that differ more a larger say.",
        "In code: for each layer, layer[:, :, word] and layer[:, :, others] are (heads, places) and (heads, places, "
        "number of others). Combine, enlarge with grid16, and take the mean over all heads of all layers.",
    ),
)


EXERCISES = {
    "5.1": _ATTENTION,
    "5.2": _HEADS,
    "5.3": _MASK,
    "5.4": _MAPS,
    "5.5": _IOU,
    "5.6": _OPEN,
}
