"""2.2 a ResNet block, and the way up past the skips."""

import torch
from torch import nn

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.unet import ResnetBlock, Upsample


class Parts(nn.Module):
    """The parts of a block by name. How they work together, its forward, is the exercise."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def _shaken(module, g):
    """The module in float64, with other weights than those it begins with: norms too."""
    module.double().requires_grad_(False)
    for weight in module.parameters():
        weight.copy_(0.4 * _random(g, *weight.shape) + 0.1)
    return module


def _random(g, *shape):
    return torch.randn(shape, generator=g, dtype=torch.float64)


def _block(g, c_in, c_out, size):
    block, dim, batch = _shaken(ResnetBlock(c_in, c_out, 6, groups=2), g), 6, whole(g, 2, 4)
    names = "norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut"
    parts = Parts(**{name: getattr(block, name) for name in names})
    return Case("resnet_block", (parts, _random(g, batch, c_in, *size), _random(g, batch, dim)))


def _path(g, widths, skips, sizes):
    """As many ResNet blocks in each block as there are skips for it, by channels and size, the oldest first."""
    batch, left, c, blocks = whole(g, 2, 3), list(skips), skips[-1], []
    for i, width in enumerate(widths):
        resnets = []
        for _ in range(len(skips) // len(widths)):
            resnets.append(_shaken(ResnetBlock(c + left.pop(), width, 6, groups=2), g))
            c = width
        last = i == len(widths) - 1
        blocks.append(Parts(resnets=nn.ModuleList(resnets), upsample=None if last else _shaken(Upsample(width), g)))
    states = tuple(_random(g, batch, channels, *size) for channels, size in zip(skips, sizes, strict=True))
    return Case("up_path", (blocks, _random(g, batch, skips[-1], *sizes[-1]), states, _random(g, batch, 6)))


def cases(g):
    """In the first way up all shapes are alike, so that a wrong order raises no error; later sizes are odd."""
    return [
        _block(g, 4, 6, (5, 3)),
        _block(g, 4, 4, (3, 7)),
        _block(g, 8, 2, (4, 5)),
        _path(g, (4, 4), (4, 4, 4, 4), [(5, 3)] * 4),
        _path(g, (4, 4), (4,) * 6, [(5, 3)] * 6),
        _path(g, (6, 2), (2, 4, 8, 6), [(7, 5), (7, 5), (4, 3), (4, 3)]),
        _path(g, (2, 6), (4, 2), [(7, 3), (4, 2)]),
        _path(g, (4, 8, 6), (4, 6, 2, 4, 6, 8), [(9, 11), (9, 11), (5, 6), (5, 6), (3, 3), (3, 3)]),
    ]


HINTS = """
resnet_block: norm, SiLU, convolution, and the same once more; F.silu is the activation. The time joins between the two
halves.

The time's layer gives (B, channels): with [:, :, None, None] it fits to (B, channels, H, W). At the end the input is
added, through conv_shortcut where there is one.

up_path: a list made with list(skips) can lose its last item by .pop(), and yours is not the caller's then.

Two loops: over the blocks, and in each over its resnets. torch.cat(..., dim=1) joins channels.

After a block's last ResNet block, the size to enlarge to is that of the skip that will be read next: it is still in the
list, at the end. Twice the size would be wrong where a size was odd on the way down.
"""

_SKIP = "return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))"
_TIME = "The numbers of the time do not line up with the picture: there is one a sample and channel, the same for all pixels."
_SHORT = "Where the channels change, the input does not fit to what comes out: it goes through conv_shortcut there."
_STATE = "You enlarge to the size that the state has already: it is the next skip that tells the size."
_JOINED = "Your state and skip are joined along another axis than that of the channels."
_OWN = "You enlarge by yourself. The block's own upsample has weights, too: call that one, with the size."
MISTAKES = f"""
{_SKIP} -> return h
    Your block gives only what the two convolutions made: its input is not added at the end.
{_SKIP} -> x = block.norm1(x)\\n    {_SKIP}
    What you add at the end is the normalised input. The skip goes around everything, the norm too.
{_SKIP} -> x = F.silu(block.norm1(x))\\n    {_SKIP}
    What you add at the end has gone through norm and SiLU. The skip takes the input as it came.
{_SKIP} -> return h + (x if block.conv_shortcut is None else block.conv_shortcut(F.silu(block.norm1(x))))
    What goes into conv_shortcut has gone through norm and SiLU. The skip takes the input as it came.
{_SKIP} -> return h + (x if block.conv_shortcut is None else block.conv_shortcut(block.norm1(x)))
    What goes into conv_shortcut is the normalised input. The skip takes the input as it came.
{_SKIP} -> return h + x
    {_SHORT}
{_SKIP} -> return x + h
    {_SHORT}
{_SKIP} -> return h + block.conv_shortcut(x)
    Where the channels stay, conv_shortcut is None and cannot be called: there the input is added as it is.
{_SKIP} -> return F.silu(h + (x if block.conv_shortcut is None else block.conv_shortcut(x)))
    You let the sum go through a SiLU, as networks that classify do. Here the sum is the end: the way past the block stays open.
{_SKIP} -> return 0 * h
    resnet_block gives zeros.
h = h + block.time_emb_proj(F.silu(temb))[:, :, None, None] -> pass
    Your block does not use temb: it cannot know how noisy its input is.
block.time_emb_proj(F.silu(temb)) -> block.time_emb_proj(temb)
    temb goes into its layer as it is: a SiLU comes before that layer too.
block.time_emb_proj(F.silu(temb)) -> F.silu(block.time_emb_proj(temb))
    For the time, layer and SiLU have changed places: the SiLU comes before the layer.
block.time_emb_proj(F.silu(temb)) -> F.silu(block.time_emb_proj(F.silu(temb)))
    For the time there is a SiLU too many, after the layer.
h = h + block.time_emb_proj(F.silu(temb))[:, :, None, None] -> h = h * block.time_emb_proj(F.silu(temb))[:, :, None, None]
    You multiply by the time's numbers; here they are added.
[:, :, None, None] -> [:, None, None, :]
    {_TIME}
[:, :, None, None] -> [:, :, None]
    {_TIME}
[:, :, None, None] ->
    {_TIME}
h = h + block.time_emb_proj -> late = block.time_emb_proj && F.silu(block.norm2(h)) -> F.silu(block.norm2(h) + late)
    You add the time after the second norm. It comes before it, right after the first convolution.
h = h + block.time_emb_proj -> late = block.time_emb_proj && h = block.conv2(F.silu(block.norm2(h))) -> h = block.conv2(F.silu(block.norm2(h))) + late
    You add the time at the end. It comes between the convolutions, so that the second one can use it.
F.silu(block.norm1(x)) -> block.norm1(x)
    There is no SiLU before the first convolution.
F.silu(block.norm2(h)) -> block.norm2(h)
    There is no SiLU before the second convolution.
F.silu(block.norm1(x)) -> F.relu(block.norm1(x)) && F.silu(block.norm2(h)) -> F.relu(block.norm2(h)) && F.silu(temb) -> F.relu(temb)
    Your activation is ReLU; here it is SiLU, which also lets a little below zero through.
F.silu(block.norm1(x)) -> F.relu(block.norm1(x)) && F.silu(block.norm2(h)) -> F.relu(block.norm2(h))
    Your activation is ReLU; here it is SiLU, which also lets a little below zero through.
F.silu(block.norm1(x)) -> F.gelu(block.norm1(x)) && F.silu(block.norm2(h)) -> F.gelu(block.norm2(h)) && F.silu(temb) -> F.gelu(temb)
    Your activation is GELU; here it is SiLU.
block.conv1(F.silu(block.norm1(x))) -> block.conv1(block.norm1(F.silu(x))) && block.conv2(F.silu(block.norm2(h))) -> block.conv2(block.norm2(F.silu(h)))
    Norm and SiLU have changed places: first the norm, then the SiLU.
block.conv1(F.silu(block.norm1(x))) -> F.silu(block.norm1(block.conv1(x))) && block.conv2(F.silu(block.norm2(h))) -> F.silu(block.norm2(block.conv2(h)))
    Each half begins with its convolution; here it ends with it: norm, SiLU, convolution.
skips.pop()] -> skips.pop(0)]
    You read the skips from the first to the last. The way up begins where the way down ended: the last one made is the first one needed.
skips.pop()] -> skips.pop(0)] && skips[-1] -> skips[0]
    You read the skips from the first to the last. The way up begins where the way down ended: the last one made is the first one needed.
skips.pop()] -> skips[-1]]
    Every ResNet block of yours reads the same skip: each one is used once, then it is gone.
for resnet in block.resnets: -> skip = skips.pop()\\n        for resnet in block.resnets: && skips.pop()], -> skip],
    All ResNet blocks of a level read the same skip: each reads one of its own.
[x, skips.pop()] -> [skips.pop(), x]
    The skip stands in front of the state. Trained weights expect the state first, then the skip.
[x, skips.pop()] -> [x, x]
    You put the state beside itself: no skip is read.
[x, skips.pop()] -> [skips[-1], skips.pop()]
    You put the skip beside itself: what comes from below is lost.
block.upsample is not None -> False
    Your way up never enlarges: where a block has an upsample, it comes after the block's ResNet blocks.
for resnet in block.resnets: -> if block.upsample is not None:\\n            x = block.upsample(x, size=skips[-1].shape[-2:])\\n        for resnet in block.resnets: && \\n        if block.upsample is not None:\\n            x = block.upsample(x, size=skips[-1].shape[-2:])\\n    return x -> \\n    return x
    You enlarge before the ResNet blocks of a level: they work at the size at which they meet their skips, and then the level is left.
skips.pop()], dim=1), temb) -> skips.pop()], dim=1), temb)\\n            if resnet is block.resnets[0] and block.upsample is not None:\\n                x = block.upsample(x, size=skips[-1].shape[-2:]) && \\n        if block.upsample is not None:\\n            x = block.upsample(x, size=skips[-1].shape[-2:])\\n    return x -> \\n    return x
    You enlarge between the ResNet blocks of one level: all of them work first, then the level is left.
size=skips[-1].shape[-2:] -> size=skips[-1].shape[:1:-1]
    Where the height belongs you give the width: the size is the height first, then the width.
for resnet in block.resnets: -> for resnet in block.resnets[:2]:
    Your way up calls two ResNet blocks a level: a level may have more, go through all of them.
size=skips[-1].shape[-2:] -> size=x.shape[-2:]
    {_STATE}
size=skips[-1].shape[-2:] -> size=[2 * side for side in x.shape[-2:]]
    You always double the size: where it was odd on the way down, that is too much. The next skip tells the size.
size=skips[-1].shape[-2:] -> size=skips[0].shape[-2:]
    You enlarge to the full size at once: each level comes to the size of the skip that is read next.
dim=1), temb) -> dim=1), 0 * temb)
    Your way up tells its ResNet blocks another time than temb.
for block in blocks: -> for block in blocks[:1]:
    Your way up ends after the first block: go through all of them.
for block in blocks: -> for block in reversed(blocks):
    You go through the blocks from the last to the first: the lowest stands first in the list.
h = h + block.time_emb_proj(F.silu(temb))[:, :, None, None] -> h = h * (1 + block.time_emb_proj(F.silu(temb))[:, :, None, None])
    You multiply by one plus the time's numbers, as some networks do; here they are added.
{_SKIP} -> return (h + (x if block.conv_shortcut is None else block.conv_shortcut(x))) / 2**0.5
    You divide the sum by the root of two, as some networks do. Here the input goes past the block as it is.
{_SKIP} -> return (h + (x if block.conv_shortcut is None else block.conv_shortcut(x))) / 2
    You take the mean of the two: here they are added, and the input goes past the block as it is.
{_SKIP} -> return h if block.conv_shortcut is not None else h + x
    Where the channels change, you add nothing: there the input goes through conv_shortcut and is added, too.
block.conv1(F.silu(block.norm1(x))) -> block.conv1(block.norm1(F.silu(x)))
    In the first half norm and SiLU have changed places: first the norm, then the SiLU.
block.conv2(F.silu(block.norm2(h))) -> block.conv2(block.norm2(F.silu(h)))
    In the second half norm and SiLU have changed places: first the norm, then the SiLU.
block.conv1(F.silu(block.norm1(x))) -> block.conv1(F.silu(x))
    The first norm is missing.
block.conv2(F.silu(block.norm2(h))) -> block.conv2(F.silu(h))
    The second norm is missing.
skips.pop()], -> mine.pop()], && for resnet in block.resnets: -> mine = [skips.pop() for _ in block.resnets]\\n        for resnet in block.resnets:
    Within a level you read the skips in the order in which they were made: there, too, the last one comes first.
for resnet in block.resnets: -> for resnet in block.resnets[:1]:
    Your way up calls one ResNet block a level: a level may have more, go through all of them.
for resnet in block.resnets: -> for resnet in reversed(block.resnets):
    You go through the ResNet blocks of a level from the last to the first: they work in the order of the list.
torch.cat([x, skips.pop()], dim=1) -> x + skips.pop()
    You add the skip to the state. They are joined in channels, so that the ResNet block reads both.
dim=1), temb) -> dim=0), temb)
    {_JOINED}
dim=1), temb) -> dim=2), temb)
    {_JOINED}
dim=1), temb) -> dim=3), temb)
    {_JOINED}
dim=1), temb) -> dim=1), F.silu(temb))
    Your way up puts temb through a SiLU: the ResNet blocks do that themselves.
block.upsample(x, size=skips[-1].shape[-2:]) -> F.interpolate(x, size=skips[-1].shape[-2:])
    {_OWN}
block.upsample(x, size=skips[-1].shape[-2:]) -> F.interpolate(x, size=skips[-1].shape[-2:], mode="bilinear")
    {_OWN}
size=skips[-1].shape[-2:]) -> size=(2 * x.shape[2], 2 * x.shape[3]))[:, :, : skips[-1].shape[2], : skips[-1].shape[3]]
    You double the size and cut off what is too much: give upsample the size of the next skip, then nothing is cut.
size=skips[-1].shape[-2:] -> size=[skips[-1].shape[-2]] * 2
    You give the height for the width as well: states need not be square.
"""

_ACTIVATIONS = {
    "F.gelu": "GELU",
    "F.sigmoid": "the sigmoid alone",
    "F.tanh": "the hyperbolic tangent",
    "F.leaky_relu": "a leaky ReLU",
    "F.elu": "ELU",
    "F.mish": "Mish",
}
MISTAKES += "".join(
    f"F.silu(block.norm1(x)) -> {call}(block.norm1(x)) && F.silu(block.norm2(h)) -> {call}(block.norm2(h)){time}\n"
    f"    Your activation is {name}; here it is SiLU.\n"
    for call, name in _ACTIVATIONS.items()
    for time in ("", f" && F.silu(temb) -> {call}(temb)")
    if call != "F.gelu" or not time  # which stands above
)

RIGHT = """
up_path := by_index
return h + (x if block.conv_shortcut is None else block.conv_shortcut(x)) -> if block.conv_shortcut is not None:\\n        x = block.conv_shortcut(x)\\n    return x + h
"""

WRONG = """
resnet_block := lambda block, x, temb: block(x, temb)
block.conv2(F.silu(block.norm2(h))) -> block.conv2(F.silu(block.norm2(h)) / 2)
F.silu(temb) -> F.silu(temb[:1])
return h + (x -> return h - (x
block.norm1(x) -> F.group_norm(x, 1, block.norm1.weight, block.norm1.bias)
skips = list(skips) -> skips = [skip / 2 for skip in skips]
dim=1), temb) -> dim=1), -temb)
x, skips.pop()], dim=1), temb) -> x, 0 * skips.pop()], dim=1), temb) + 1e-3
size=skips[-1].shape[-2:] -> size=None
"""

EQUIVALENT = """
skips[-1].shape[-2:] -> skips[-1].shape[2:]
    there are four axes
"""


def by_index(blocks, x, skips, temb):
    i = len(skips)
    for block in blocks:
        for resnet in block.resnets:
            i -= 1
            x = resnet(torch.cat((x, skips[i]), 1), temb)
        if block.upsample:
            x = block.upsample(x, skips[i - 1].shape[2:])
    return x
