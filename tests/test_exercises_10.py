"""Lesson 10: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import copy

import numpy as np
import oracle
import torch
import torch.nn.functional as F
from answers import accepted, one_of, rejected
from PIL import Image
from torch import nn

from minidiff.checks.lesson10 import encode, gradients, my_hint, scales, steer, zeroed
from minidiff.guide import controlled
from minidiff.unet import timestep_embedding


def conv(change):
    """From what is done to a copy of the convolution, in place."""

    def answer(given):
        new = copy.deepcopy(given)
        with torch.no_grad():
            return change(new) or new

    return one_of("10.1", zeroed=answer)


def one_weight_left(conv):
    conv.bias.zero_()
    conv.weight.view(-1)[1:] = 0


def another_stride(conv):
    new = zeroed(conv)
    new.stride = (3, 3)
    return new


def bias_learns(conv):
    new = zeroed(conv)
    new.weight.requires_grad_(False)
    return new


def gradient(**wrong):
    """From the right three, some of them changed."""

    def answer(x, weight, dy):
        right = dict(zip(("dW", "db", "dx"), gradients(x, weight, dy), strict=True))
        return tuple((right | {name: f(right[name]) for name, f in wrong.items()}).values())

    return one_of("10.2", gradients=answer)


def wired(f):
    """From what is done to the right states."""
    return one_of("10.3", encode=lambda *args: f(encode(*args)))


def steered(f):
    return one_of("10.4", steer=f)


def during(f):
    """From steps, scale, start and end."""
    return one_of("10.5", scales=f)


def hint(f):
    return one_of("10.6", my_hint=f)


def without_time(conv_in, down_blocks, mid_block, x, temb, context, hint):
    """Only the lowest level is told no time."""
    states = encode(conv_in, down_blocks, mid_block, x, temb, context, hint)[:-1]
    return [*states, mid_block(states[-1], 0 * temb, context)]


def changed_list(skips, middle, controls):
    new, middle = steer(skips, middle, controls)
    skips[:] = new
    return skips, middle


WRONG = {
    "10.1 one weight left": conv(one_weight_left),
    "10.1 another stride": conv(another_stride),
    "10.1 the bias alone learns": conv(bias_learns),
    "10.1 the weights": one_of("10.1", zeroed=lambda c: torch.zeros_like(c.weight)),
    "10.1 a function": one_of("10.1", zeroed=lambda c: lambda x: 0 * c(x)),
    "10.1 float32": one_of("10.1", zeroed=lambda c: zeroed(c).half()),
    "10.2 twice": gradient(dW=lambda g: 2 * g),
    "10.2 the bias twice": gradient(db=lambda g: 2 * g),
    "10.2 the bias's sign": gradient(db=lambda g: -g),
    "10.2 x twice": gradient(dx=lambda g: 2 * g),
    "10.2 with 1x1": gradient(dW=lambda g: g[..., None, None]),
    "10.2 float32": gradient(dW=lambda g: g.half()),
    "10.2 another order": one_of("10.2", gradients=lambda *a: gradients(*a)[::-1]),
    "10.2 two of them": one_of("10.2", gradients=lambda *a: gradients(*a)[:2]),
    "10.3 zeros": wired(lambda states: [0 * s for s in states]),
    "10.3 half the last": wired(lambda states: [*states[:-1], states[-1] / 2]),
    "10.3 no time below": one_of("10.3", encode=without_time),
    "10.3 the last state": wired(lambda states: states[-1]),
    "10.3 one more": wired(lambda states: [*states, states[-1]]),
    "10.4 half": steered(lambda s, m, c: steer(s, m, [(r, x / 2) for r, x in c])),
    "10.4 clamps the scale": steered(lambda s, m, c: steer(s, m, [(r, min(x, 1.0)) for r, x in c])),
    "10.4 two at most": steered(lambda s, m, c: steer(s, m, c[:2])),
    "10.4 one list": steered(lambda s, m, c: [*steer(s, m, c)[0], steer(s, m, c)[1]]),
    "10.4 as they were": steered(lambda s, m, c: (list(s), m.clone())),
    "10.4 the first skip not": steered(lambda s, m, c: ([s[0], *steer(s, m, c)[0][1:]], steer(s, m, c)[1])),
    "10.4 changes the list": steered(changed_list),
    "10.5 one step late": during(lambda n, s, a, b: [0.0, *scales(n, s, a, b)[:-1]]),
    "10.5 a tensor": during(lambda *a: torch.tensor(scales(*a))),
    "10.5 one too many": during(lambda n, *a: [*scales(n, *a), 0.0]),
    "10.5 always ten": during(lambda n, *a: scales(10, *a)),
    "10.5 rounded": during(lambda n, s, a, b: [s * (round(a * n) <= i < round(b * n)) for i in range(n)]),
    "10.5 whole numbers": during(lambda n, s, a, b: [int(x) for x in scales(n, s, a, b)]),
    "10.6 minus 1 to 1": hint(lambda p: 2 * my_hint(p) - 1),
    "10.6 the picture itself": hint(lambda p: p.clone()),
    "10.6 in gray": hint(lambda p: p.mean(0, keepdim=True).expand_as(p).clone()),
    "10.6 very pale": hint(lambda p: 1 - 0.01 * (1 - my_hint(p))),
    "10.6 noise": hint(lambda p: torch.rand_like(p)),
    "10.6 one channel": hint(lambda p: my_hint(p)[:1]),
    "10.6 an image": hint(lambda p: Image.new("RGB", (128, 128))),
    "10.6 nan": hint(lambda p: my_hint(p) / 0 * 0),
    "10.6 a frame": hint(lambda p: F.pad(torch.ones_like(p)[:, 2:-2, 2:-2], [2] * 4, value=0.0)),
    "10.6 everywhere gray": hint(lambda p: 0.9 * my_hint(p)),
    "10.6 a smaller page": hint(lambda p: my_hint(p)[:, ::2, ::2]),
    "10.6 changes the picture": hint(lambda p: p.copy_(my_hint(p))),
}  # fmt: skip


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def by_parameter(given):
    new = copy.deepcopy(given)
    new.weight, new.bias = (nn.Parameter(torch.zeros_like(p)) for p in (given.weight, given.bias))
    return new


def by_hand(x, weight, dy):
    """dW, db and dx from matrix products at all places at once."""
    columns, rows = x.movedim(1, -1).flatten(0, -2), dy.movedim(1, -1).flatten(0, -2)
    dx = (rows @ weight).reshape(*x.movedim(1, -1).shape).movedim(-1, 1)
    return rows.T @ columns, rows.sum(0), dx


def by_loop(conv_in, down_blocks, mid_block, x, temb, context, hint):
    states = [hint + conv_in(x)]
    for block in down_blocks:
        states = states + list(block(states[-1], temb, context))
    states.append(mid_block(states[-1], temb, context))
    return states


def by_sums(skips, middle, controls):
    new = [skip + sum(scale * residuals[i] for residuals, scale in controls) for i, skip in enumerate(skips)]
    return new, middle + sum(scale * residuals[-1] for residuals, scale in controls)


def by_products(steps, scale, start, end):
    eps = 1e-9
    return [scale if start * steps - eps <= i <= end * steps - 1 + eps else 0.0 for i in range(steps)]


def silhouette(picture):
    """Gray where the picture is not as its corner."""
    there = (picture - picture[:, :1, -1:]).abs().amax(0, keepdim=True) > 0.1
    return (1 - 0.6 * there.float()).expand_as(picture).clone()


def slopes(picture):
    """How steep a picture is, not as lines but in shades of gray."""
    gray = picture.mean(0)
    dy, dx = F.pad(gray, (0, 0, 0, 1))[1:] - gray, F.pad(gray, (0, 1))[:, 1:] - gray
    dy[-1], dx[:, -1] = 0, 0
    return (1 - (dx**2 + dy**2).sqrt().clamp(max=1)).expand_as(picture).clone()


def thick(picture):
    return -F.max_pool2d(-my_hint(picture), 5, 1, 2)


def box(picture):
    """The frame around what is not as the corner."""
    there = ((picture - picture[:, :1, -1:]).abs().amax(0) > 0.1).numpy()
    out = torch.ones_like(picture)
    if there.any():
        ys, xs = np.nonzero(there)
        out[:, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = 0
        out[:, ys.min() + 2 : ys.max() - 1, xs.min() + 2 : xs.max() - 1] = 1
    return out


RIGHT = {
    "10.1 new parameters": one_of("10.1", zeroed=by_parameter),
    "10.1 in place": conv(lambda c: [p.zero_() for p in c.parameters()][2:]),
    "10.2 by hand": one_of("10.2", gradients=by_hand),
    "10.3 by a loop": one_of("10.3", encode=by_loop),
    "10.3 a tuple": wired(tuple),
    "10.4 by sums": steered(by_sums),
    "10.5 by products": during(by_products),
    "10.6 a silhouette": hint(silhouette),
    "10.6 slopes": hint(slopes),
    "10.6 thick lines": hint(thick),
    "10.6 a box": hint(box),
}


test_another_right_answer_passes = accepted(RIGHT)


@torch.no_grad()
def test_the_exercises_together_are_a_controlled_unet():
    """10.3 and 10.4, put into a U-Net, steer it as `guide.controlled` does."""
    unet, *nets = (
        oracle.build_ours(*oracle.SMALL[name], oracle.randomised(oracle.build_theirs(*oracle.SMALL[name]), seed))
        for name, seed in (("U-Net", 0), ("ControlNet", 1), ("ControlNet", 2))
    )
    x, t, context, hint = (oracle.inputs(*oracle.SMALL["ControlNet"])[name] for name in ("x", "t", "context", "hint"))
    controls = []
    for net, scale in zip(nets, (0.5, 0.8), strict=True):
        parts = net.conv_in, net.down_blocks, net.mid_block
        temb = net.time_embedding(timestep_embedding(t, net.config.block_out_channels[0]))
        states = encode(*parts, x, temb, context, net.controlnet_cond_embedding(hint))
        zeros = [*net.controlnet_down_blocks, net.controlnet_mid_block]
        controls.append(([zero(state) for zero, state in zip(zeros, states, strict=True)], scale))
    own = unet.encode
    states, temb = own(x, t, context)
    skips, middle = steer(states[:-1], states[-1], controls)
    unet.encode = lambda *_: ([*skips, middle], temb)
    got = unet(x, t, context)
    unet.encode = own
    net = controlled(controlled(unet, nets[0], hint, 0.5), nets[1], hint, 0.8)
    assert oracle.error(got, net(x, t, context)) <= 5e-5
    assert oracle.error(got, unet(x, t, context)) > 0.01


def test_the_parts_of_the_way_are_those_of_diffusers():
    """As in StableDiffusionControlNetPipeline: `controlnet_keep` of the shares in steps that fit exactly."""
    assert scales(10, 2.0, 0.0, 0.3) == [2.0] * 3 + [0.0] * 7
    assert scales(10, 2.0, 0.7, 1.0) == [0.0] * 7 + [2.0] * 3
    assert scales(3, 1.0, 0.0, 1.0) == [1.0] * 3
