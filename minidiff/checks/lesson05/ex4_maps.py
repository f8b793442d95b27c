"""5.4 the attention maps of a U-Net, by hooks."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole
from minidiff.unet import UNet, UNetConfig

RAN = []


class Seen(UNet):
    """A U-Net that leaves word of which copy of it was called, so that its hooks can be counted afterwards."""

    def forward(self, *args, **kwargs):
        RAN[:] = [self]
        return super().forward(*args, **kwargs)


def replaced(module):
    """How many of a module's methods are others than its class gives it."""
    put = {name: value for name, value in vars(module).items() if callable(value)}
    return sum(
        getattr(value, "__func__", None) is not getattr(type(module), name, value) for name, value in put.items()
    )


def hooks_left(maps):
    """How many hooks, and methods that were put in, are still in the U-Net that was called last; the maps' names."""
    modules = list(RAN[0].modules()) if RAN else []
    return {
        "hooks left in the U-Net": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules),
        "methods left replaced in the U-Net": sum(map(replaced, modules)),
        "names": sorted(maps),
    }


def random_unet(g, **options):
    """A tiny U-Net whose weights are all random, so that no mistake hides behind a weight of 1 or 0."""
    widths = {"block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 12, "sample_size": 8}
    unet = Seen(UNetConfig(**widths | options))
    for parameter in unet.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=g)
    return unet.eval()


def cases(g):
    with torch.random.fork_rng(devices=[]):  # making layers draws from the global generator
        unets = [
            random_unet(g, attention=(False, True), heads=(2, 4)),
            random_unet(g, attention=(True, True), heads=(4, 2)),
        ]

    def arguments(unet, B):
        tokens = whole(g, 5, 7)
        x, context = torch.randn(B, 4, 8, 8, generator=g), torch.randn(B, tokens, 12, generator=g)
        return unet, x, uniform(g, 0, 999, B, dtype=torch.float32), context

    args = [arguments(unets[0], 2), arguments(unets[1], 1), arguments(unets[0], 3)]
    return [Case("attention_maps", a) for a in args] + [Case("attention_maps", args[0], read=hooks_left)]


HINTS = """
Three steps: place a hook on every layer that reads the text, call the U-Net, remove the hooks. The maps gather in a
dictionary that the hooks share.

unet.named_modules() gives pairs of a name and a layer. layer.register_forward_hook(f) calls f(layer, args, out) after
each call, args being what went in, and gives you a handle.

In a cross-attention args are the places, (B, N, dim), and the text. layer.to_q, layer.to_k and layer.heads are what you
need of it; then it goes on as in 5.1 and 5.2, without the values.

A function made in a loop sees the loop's variable as it is at the *end*. Give the name to the hook as a default
argument, name=name.
"""

MISTAKES = """
"attn2" -> "attn1" && places, text = args -> places = text = args[0]
    These are the maps of the self-attentions: the picture looks at itself there. The other one reads the text.
"attn2" -> ("attn1", "attn2") && places, text = args -> places, text = args[0], args[-1]
    The maps of the self-attentions are there too: keep the layers that read the text.
def look(layer, args, out, name=name): -> def look(layer, args, out):
    All maps come under one name. Your hook reads the loop's variable when the U-Net runs, and by then the loop is over:
    each hook has to keep its own.
.softmax(-1) -> .softmax(-1).mean(1)
    The heads are averaged. Here each keeps its own map.
.softmax(-1) -> .softmax(-1).mean(1, keepdim=True).expand(-1, layer.heads, -1, -1)
    The heads are averaged. Here each keeps its own map.
.softmax(-1) -> .softmax(-1)[0]
    Only the maps of the first picture are there: keep the axis of the batch.
(y.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for y in (q, k)) -> (y[:, None].expand(-1, layer.heads, -1, -1) for y in (q, k))
    You computed one map with all channels. Each head compares with its own channels only.
(y.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for y in (q, k)) -> (y[:, None] for y in (q, k))
    You computed one map with all channels. Each head compares with its own channels only.
(y.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for y in (q, k)) -> (q, k)
    You computed one map with all channels. Each head compares with its own channels only.
y.unflatten(-1, (layer.heads, -1)).transpose(1, 2) -> y.reshape(len(y), layer.heads, y.shape[1], -1)
    The heads are cut by a reshape alone, so a head holds some places whole. It should hold a part of every place.
/ math.sqrt(q.shape[-1]) ->
    The scores are not divided by a square root before the softmax, as the layer does it.
math.sqrt(q.shape[-1]) -> math.sqrt(places.shape[-1])
    The square root is that of all channels. A head's dot product has as many terms as a head has channels.
.softmax(-1) ->
    These are the scores, before the softmax: a map's rows sum to 1.
.softmax(-1) -> .softmax(-2)
    The softmax runs along the places. Each place shares out its attention over the tokens.
layer.to_k(text) -> layer.to_v(text)
    You compared the queries with the values. They are compared with the keys.
layer.to_q(places) -> layer.to_q(out)
    The queries are made of what the layer gives. They are made of what goes into it.
layer.to_q(places) -> places
    The places are compared as they come in. The layer has a linear map that makes queries of them.
.softmax(-1) -> .softmax(-1).transpose(-1, -2)
    Places and tokens have changed places: the tokens come last.
return maps -> return dict([list(maps.items())[-1]])
    Only one layer is there. Does each call of your hook overwrite what the one before it kept?
(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) -> out
    You kept what the layers give, the mixed values. The maps are the weights with which they are mixed.
return maps -> return dict(enumerate(maps.values()))
    The maps are numbered. They should come under the names that the U-Net gives its layers.
return maps -> return list(maps.values())
    You gave a list. A dictionary is asked for, from the name of each layer to its map.
\\n    unet(x, t, context) -> \\n    unet(x, 0 * t, context)
    The U-Net was asked at time 0. Pass on the time you were given.
\\n    unet(x, t, context) -> \\n    unet(x, t, 0 * context)
    The U-Net was given no text. Pass on the one you were given.
handle.remove() -> pass
    The maps are right, but your hooks are still in the U-Net: from now on it would compute maps at every call, and keep
    them. Each hook comes with a handle that removes it.
attention_maps := lambda unet, x, t, context: by_replacing_forward(unet, x, t, context, and_back=False)
    The maps are right, but the layers still have your forward in the place of their own: from now on it would run at
    every call. Put theirs back.
return maps -> return {}
    The dictionary is empty: no hook was called. Were they placed before the U-Net ran, and on which layers?
"""


def by_replacing_forward(unet, x, t, context, and_back=True):
    """No hooks: for one call, each layer's forward also keeps its map."""
    maps, layers = {}, {name: layer for name, layer in unet.named_modules() if name.endswith("attn2")}

    def kept(name, layer, forward):
        def f(x, context):
            q, k = layer.to_q(x), layer.to_k(context)
            heads = zip(q.chunk(layer.heads, -1), k.chunk(layer.heads, -1), strict=True)
            maps[name] = torch.stack([(a @ b.mT / a.shape[-1] ** 0.5).softmax(-1) for a, b in heads], 1)
            return forward(x, context)

        return f

    own = {layer: layer.forward for layer in layers.values()}
    for name, layer in layers.items():
        layer.forward = kept(name, layer, layer.forward)
    unet(x, t, context)
    for layer in layers.values():
        if and_back:
            layer.forward = own[layer]
    return maps


RIGHT = """
attention_maps := by_replacing_forward
(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) -> layer.maps(*args)
.softmax(-1) -> .softmax(-1).detach()
"""

EQUIVALENT = """
k.transpose(-1, -2) -> k.transpose(-2, -1)
    which of two axes is named first makes no difference when they are swapped
k.transpose(-1, -2) -> k.transpose(-1, 2)
    the last axis but one of four is axis 2
y.unflatten(-1, (layer.heads, -1)).transpose(1, 2) -> y.unflatten(-1, (layer.heads, -1)).transpose(2, 1)
    which of two axes is named first makes no difference when they are swapped
"""


def by_hooks_left_on_the_unet(unet, x, t, context):
    """Hooks the U-Net itself and forgets about it."""
    unet.register_forward_pre_hook(lambda *_: None)
    return by_replacing_forward(unet, x, t, context)


WRONG = """
attention_maps := by_hooks_left_on_the_unet
.softmax(-1) -> .softmax(-1).mul(100).round().div(100)
.softmax(-1) -> .softmax(-1) * places.shape[1]
.softmax(-1) -> .softmax(-1)[:, :1]
.softmax(-1) -> .softmax(-1)[:1].expand(len(places), -1, -1, -1)
"""
