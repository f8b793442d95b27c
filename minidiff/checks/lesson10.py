"""Lesson 10, ControlNet: what the exercises are checked against."""

import copy
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from minidiff import data
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import mistakes, uniform, whole
from minidiff.controlnet import edges, zero
from minidiff.unet import UNetConfig, UNetEncoder

# 10.1 A zero convolution


def zeroed(conv):
    """The reference: minidiff's `zero`, on a copy."""
    return zero(copy.deepcopy(conv))


def _filled(weight=0.0, bias=0.0):
    """A wrong `zeroed`, its weights and its bias multiplied by these."""

    def wrong(conv):
        conv = copy.deepcopy(conv)
        with torch.no_grad():
            conv.weight *= weight
            conv.bias *= bias
        return conv

    return wrong


def _added(amount):
    def wrong(conv):
        conv = zeroed(conv)
        with torch.no_grad():
            for parameter in conv.parameters():
                parameter += amount
        return conv

    return wrong


class _Times(nn.Module):
    """A module around another: its output is changed on its way out."""

    def __init__(self, conv, change):
        super().__init__()
        self.conv, self.change = copy.deepcopy(conv), change

    def forward(self, x):
        return self.change(self.conv(x))


def _point(conv):
    """A 1x1 convolution of zeros, whatever was given."""
    new = nn.utils.skip_init(nn.Conv2d, conv.in_channels, conv.out_channels, 1, dtype=conv.weight.dtype)
    return zero(new)


def _no_bias(conv):
    conv = zeroed(conv)
    conv.bias = None
    return conv


def _frozen(conv):
    return zeroed(conv).requires_grad_(False)


def _tried(conv):
    """What a convolution gives, how its parameters' gradients look, and what it gives after one step of learning."""
    if not isinstance(conv, nn.Module):
        raise TypeError(f"got a {type(conv).__name__}, expected a convolution")
    parameters = list(conv.parameters())
    shape = (2, parameters[0].shape[1], 8, 8)
    x = torch.arange(2 * shape[1] * 64, dtype=parameters[0].dtype).reshape(shape).mul(0.7).cos()
    with torch.enable_grad():
        y = conv(x)
        if y.requires_grad:
            (y * (y.detach().numel() / 100 + torch.arange(y.numel()).reshape(y.shape).sin())).sum().backward()
    learned = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    with torch.no_grad():
        for p, grad in zip(parameters, learned, strict=True):
            p -= 0.01 * grad
        after = conv(x)
    return {
        "output": y.detach(),
        "learns": [p.requires_grad for p in parameters],
        "hangs together": y.requires_grad,
        "gradients": learned,
        "output after one step": after,
    }


def _conv_cases(g):
    cases = []
    for kernel, stride, dtype in ((1, 1, torch.float64), (3, 1, torch.float32), (3, 2, torch.float64)):
        shape = whole(g, 3, 5), whole(g, 2, 6)
        conv = nn.utils.skip_init(nn.Conv2d, *shape, kernel, stride=stride, padding=kernel // 2, dtype=dtype)
        with torch.no_grad():
            for parameter in conv.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=g))
        cases.append(Case("zeroed", (conv,), read=_tried))
    return cases


_ZERO = Exercise(
    title="a zero convolution",
    reference={"zeroed": zeroed},
    cases=_conv_cases,
    mistakes=mistakes(
        "zeroed",
        (
            "keeps the bias",
            "Its output is not 0 yet. A convolution has two parameters.",
            _filled(bias=1.0),
        ),
        (
            "keeps the weights",
            "Its output depends on its input from the start: its weights are still those that were given.",
            _filled(weight=1.0),
        ),
        ("a plain copy", "That is a copy, and nothing in it is 0.", copy.deepcopy),
        (
            "nearly zero",
            "Its output is small, but not 0. A thousandth of noise is still noise: the promise is exactly nothing.",
            _filled(weight=1e-3, bias=1e-3),
        ),
        ("ones", "Its parameters are all 1, so it sums its input up.", _added(1.0)),
        (
            "is frozen",
            "It gives 0 and always will: its parameters want no gradient.",
            _frozen,
        ),
        (
            "times zero",
            "It gives 0 and always will: multiply an output by 0, and every gradient behind it is multiplied by 0 too. "
            "It is the parameters that should be 0.",
            lambda conv: _Times(conv, lambda y: 0 * y),
        ),
        (
            "cuts the gradient",
            "It gives 0, but its output does not hang together with its parameters: no gradient can reach them.",
            lambda conv: _Times(conv, lambda y: torch.zeros_like(y)),
        ),
        (
            "always one by one",
            "That is a 1x1 convolution. Keep the kernel, stride and padding of the one that was given.",
            _point,
        ),
        (
            "drops the bias",
            "It has lost its bias. The bias starts at 0 too, but it should learn.",
            _no_bias,
        ),
        ("changes its input", MUTATES, zero),
    ),
    hints=(
        "Copy the module first: copy.deepcopy(conv).",
        "module.parameters() gives all of its parameters; there may be more than one.",
        "nn.init has a function that fills a parameter in place with zeros, and leaves it one that learns.",
    ),
)

# 10.2 Its gradient


def gradients(x, weight, dy):
    """The reference: autograd of a 1x1 convolution."""
    with torch.enable_grad():
        x, weight = (tensor.detach().clone().requires_grad_() for tensor in (x, weight))
        bias = torch.zeros(len(weight), dtype=weight.dtype, requires_grad=True)
        y = F.conv2d(x, weight[:, :, None, None], bias)
        return torch.autograd.grad(y, (weight, bias, x), dy)


def _but(**wrong):
    """A wrong `gradients`: the right three but for dW, db or dx, from x, weight and dy."""

    def answer(x, weight, dy):
        right = dict(zip(("dW", "db", "dx"), gradients(x, weight, dy), strict=True))
        return tuple((right | {name: f(x, weight, dy) for name, f in wrong.items()}).values())

    return answer


def _dW(x, dy):
    return torch.einsum("bohw,bihw->oi", dy, x)


def _gradient_cases(g):
    cases = []
    for blank, dtype in ((True, torch.float64), (False, torch.float64), (False, torch.float32)):
        b, i, o, h, w = (whole(g, *ends) for ends in ((2, 3), (4, 5), (2, 3), (2, 3), (4, 6)))
        x, dy = (torch.randn(b, n, h, w, generator=g, dtype=dtype) for n in (i, o))
        weight = torch.randn(o, i, generator=g, dtype=dtype)
        cases.append(Case("gradients", (x + 0.5, 0 * weight if blank else weight, dy)))
    return cases


_GRADIENT = Exercise(
    title="the gradient of a zero convolution",
    reference={"gradients": gradients},
    cases=_gradient_cases,
    mistakes=mistakes(
        "gradients",
        (
            "zero weights, zero gradient",
            "You gave 0 for the weights' gradient. Look at the formula again: is there a weight in it?",
            _but(dW=lambda x, weight, dy: torch.zeros_like(weight)),
        ),
        (
            "times the weights",
            "The weights themselves are a factor of their gradient in your answer. y is linear in them, so they fall "
            "out when you derive.",
            _but(dW=lambda x, weight, dy: weight * _dW(x, dy)),
        ),
        (
            "mean over the places",
            "The weights' gradient is too small by the number of places: the same weight works everywhere, and what "
            "it does everywhere adds up.",
            _but(dW=lambda x, weight, dy: _dW(x, dy) / dy[0, 0].numel()),
        ),
        (
            "mean over the batch",
            "The weights' gradient is too small by the size of the batch: over the batch, too, it is a sum.",
            _but(dW=lambda x, weight, dy: _dW(x, dy) / len(dy)),
        ),
        (
            "the first picture",
            "Only the first picture of the batch is in the weights' gradient.",
            _but(dW=lambda x, weight, dy: _dW(x[:1], dy[:1])),
        ),
        (
            "sums before it multiplies",
            "You summed x and dy over the places first and multiplied the sums. Multiply at each place, then sum.",
            _but(dW=lambda x, weight, dy: torch.einsum("bo,bi->oi", dy.sum((2, 3)), x.sum((2, 3)))),
        ),
        (
            "forgets dy",
            "The weights' gradient does not ask what the loss wants: dy is missing.",
            _but(dW=lambda x, weight, dy: x.sum((0, 2, 3)).expand_as(weight).clone()),
        ),
        (
            "inputs in rows",
            "The weights' gradient lies on its side: its rows are the outputs, as in the weights.",
            _but(dW=lambda x, weight, dy: _dW(x, dy).T.clone()),
        ),
        (
            "the wrong sign",
            "The weights' gradient has the wrong sign: a gradient points uphill, and the optimiser subtracts it.",
            _but(dW=lambda x, weight, dy: -_dW(x, dy)),
        ),
        (
            "no gradient for the bias",
            "The bias has a gradient too: it is added at every place.",
            _but(db=lambda x, weight, dy: torch.zeros(len(weight), dtype=dy.dtype)),
        ),
        (
            "the bias's mean",
            "The bias's gradient is a sum over the batch and all places, not a mean.",
            _but(db=lambda x, weight, dy: dy.mean((0, 2, 3))),
        ),
        (
            "passes dy on",
            "What goes back to x has the channels of dy, not those of x. On the way back, too, it passes the weights.",
            _but(dx=lambda x, weight, dy: dy.clone()),
        ),
        (
            "nothing goes back",
            "You gave 0 for the gradient of x. That is so only while the weights are 0.",
            _but(dx=lambda x, weight, dy: torch.zeros_like(x)),
        ),
        (
            "ignores the weights",
            "The gradient of x is not 0 although the weights are. What reaches x has to pass them.",
            _but(dx=lambda x, weight, dy: dy.sum(1, keepdim=True).expand_as(x).clone()),
        ),
        (
            "changes its input",
            MUTATES,
            lambda x, weight, dy: gradients(x, weight, dy.mul_(1.5)),
        ),
    ),
    hints=(
        "At one place it is a matrix times a vector: y_o = sum over i of W_oi x_i + b_o. Derive y_o by W_oi, by b_o, "
        "by x_i.",
        "Chain rule: multiply by dy_o. Then sum over everything that the result has no index for: the batch and the "
        "places for W and b, the outputs for x.",
        'torch.einsum says such sums directly: torch.einsum("bohw,bihw->oi", ...) multiplies, and sums over what is '
        "missing on the right.",
    ),
)

# 10.3 The encoder's wiring

WIDTHS = (8, 12)
SMALL = UNetConfig(
    sample_size=4, block_out_channels=WIDTHS, attention=(False, True), heads=(1, 2), cross_attention_dim=6,
    norm_num_groups=4,
)  # fmt: skip


@cache
def _small():
    with torch.random.fork_rng(devices=[]):
        return UNetEncoder(SMALL).double().eval().requires_grad_(False)


class _Given(nn.Module):
    """Stands in the place of a time embedding that is known already."""

    def __init__(self, temb):
        super().__init__()
        self.temb = temb

    def forward(self, _):
        return self.temb


def encode(conv_in, down_blocks, mid_block, x, temb, context, hint):
    """The reference: `UNetEncoder.encode` of these parts."""
    encoder = copy.copy(_small())
    encoder._modules = {
        "conv_in": conv_in,
        "time_embedding": _Given(temb),
        "down_blocks": down_blocks,
        "mid_block": mid_block,
    }
    return encoder.encode(x, 0, context, hint)[0]


def _wired(
    enter=lambda first, hint: first + hint,
    first=lambda entered, first, hint: entered,
    kept=lambda states: states,
    temb=lambda temb: temb,
    context=lambda context: context,
    middle=lambda block, x, temb, context: block(x, temb, context),
    order=lambda states, middle: [*states, middle],
):
    """A wrong `encode`, from what enters the blocks, the first state, what is kept of a block, and so on."""

    def wrong(conv_in, down_blocks, mid_block, x, t, text, hint):
        x0 = conv_in(x)
        x = enter(x0, hint)
        states = [first(x, x0, hint)]
        for block in down_blocks:
            new = block(x, temb(t), context(text))
            states += kept(new)
            x = new[-1]
        return order(states, middle(mid_block, x, temb(t), context(text)))

    return wrong


def _after(conv_in, down_blocks, mid_block, x, temb, context, hint):
    """The hint comes at the end, made as small and as wide as the lowest state."""
    states = encode(conv_in, down_blocks, mid_block, x, temb, context, torch.zeros_like(hint))[:-1]
    small = F.adaptive_avg_pool2d(hint, states[-1].shape[2:]).mean(1, keepdim=True)
    return [*states, mid_block(states[-1] + small, temb, context)]


def _encoder_cases(g):
    cases, parts = [], copy.deepcopy(_small())
    for parameter in parts.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=g) * (0.5 if parameter.ndim == 1 else 0.2))
    for size in (4, 6):
        n = whole(g, 1, 2)
        x = torch.randn(n, 4, size, size, generator=g, dtype=torch.float64)
        temb, context, hint = (
            torch.randn(n, *shape, generator=g, dtype=torch.float64)
            for shape in ((4 * WIDTHS[0],), (3, 6), (WIDTHS[0], size, size))
        )
        cases.append(Case("encode", (parts.conv_in, parts.down_blocks, parts.mid_block, x, temb, context, hint)))
    return cases


_ENCODER = Exercise(
    title="the encoder's wiring",
    reference={"encode": encode},
    cases=_encoder_cases,
    mistakes=mistakes(
        "encode",
        (
            "forgets the hint",
            "The hint is not used: this is the encoder of the plain U-Net.",
            _wired(enter=lambda x, hint: x),
        ),
        (
            "the hint alone",
            "The hint has replaced the noisy picture. The copy has to see both.",
            _wired(enter=lambda x, hint: hint),
        ),
        (
            "hint after the blocks",
            "The hint comes in after the blocks, so they have never seen it. It joins at the entrance.",
            _after,
        ),
        (
            "the blocks do not see it",
            "The hint is in the first state and nowhere else: the blocks go on from what was there before it.",
            _wired(enter=lambda x, hint: x, first=lambda x, x0, hint: x0 + hint),
        ),
        (
            "the first state without it",
            "The blocks see the hint, but the first state that you keep is the one from before.",
            _wired(first=lambda x, x0, hint: x0),
        ),
        (
            "hint twice",
            "The hint is added twice.",
            _wired(enter=lambda x, hint: x + 2 * hint),
        ),
        ("times the hint", "The hint is multiplied, not added.", _wired(enter=lambda x, hint: x * hint)),
        (
            "forgets the time",
            "The blocks are told no time: temb is not used, or replaced by zeros.",
            _wired(temb=torch.zeros_like),
        ),
        (
            "forgets the text",
            "The blocks read no text: context is not used, or replaced by zeros.",
            _wired(context=torch.zeros_like),
        ),
        (
            "one state a block",
            "A block returns several states, one for each skip. You kept only its last.",
            _wired(kept=lambda states: states[-1:]),
        ),
        (
            "the first of each block",
            "A block returns several states, one for each skip. You kept only its first.",
            _wired(kept=lambda states: states[:1]),
        ),
        (
            "blocks without the entrance",
            "The first state is missing: what conv_in gives, with the hint, is a skip too.",
            _wired(order=lambda states, middle: [*states[1:], middle]),
        ),
        (
            "without the lowest level",
            "The state of the lowest level is missing at the end.",
            _wired(order=lambda states, middle: states),
        ),
        (
            "the lowest level first",
            "The lowest level is the last state, not the first.",
            _wired(order=lambda states, middle: [middle, *states]),
        ),
        (
            "from the bottom up",
            "All the right states, in the wrong order: from the entrance down, please.",
            _wired(order=lambda states, middle: [middle, *states[::-1]]),
        ),
        (
            "skips the middle block",
            "The last state is that of the last block again: mid_block was not called.",
            _wired(middle=lambda block, x, temb, context: x.clone()),
        ),
        (
            "the middle twice",
            "mid_block is called twice.",
            _wired(middle=lambda block, x, temb, context: block(block(x, temb, context), temb, context)),
        ),
        (
            "changes its input",
            MUTATES,
            lambda conv_in, down, mid, x, temb, context, hint: encode(
                conv_in, down, mid, x, temb, context, hint.add_(conv_in(x)) - conv_in(x)
            ),
        ),
    ),
    hints=(
        "Keep a list of states. Its first entry is what conv_in gives, plus the hint.",
        "A block takes the newest state, the time and the text, and returns a list of states. Append all of them.",
        "At the end mid_block, which takes the same three things, makes one more state out of the newest.",
    ),
)

# 10.4 Steering


def steer(skips, middle, controls):
    """The reference: every control adds its residuals, each times its scale."""
    states = [*skips, middle]
    for residuals, scale in controls:
        states = [state + scale * residual for state, residual in zip(states, residuals, strict=True)]
    return states[:-1], states[-1]


def _steered(weigh=lambda state, residual, scale: state + scale * residual, seen=lambda controls: controls):
    """A wrong `steer`, from how a residual joins a state, and which controls are seen."""

    def wrong(skips, middle, controls):
        states = [*skips, middle]
        for residuals, scale in seen(controls):
            states = [weigh(state, residual, scale) for state, residual in zip(states, residuals, strict=True)]
        return states[:-1], states[-1]

    return wrong


def _summed_scales(skips, middle, controls):
    total = sum(scale for _, scale in controls)
    return steer(skips, middle, [(residuals, total) for residuals, _ in controls])


def _mean(skips, middle, controls):
    return steer(skips, middle, [(residuals, scale / max(1, len(controls))) for residuals, scale in controls])


def _turned(skips, middle, controls):
    """Skips and their residuals from opposite ends, as far as their shapes agree (here they all do)."""
    return steer(skips, middle, [([*residuals[-2::-1], residuals[-1]], scale) for residuals, scale in controls])


def _shifted(skips, middle, controls):
    return steer(skips, middle, [([residuals[-1], *residuals[:-1]], scale) for residuals, scale in controls])


def _added_in_place(skips, middle, controls):
    for residuals, scale in controls:
        for state, residual in zip([*skips, middle], residuals, strict=True):
            state += scale * residual
    return skips, middle


def _steer_cases(g):
    cases = []
    for n, dtype in ((1, torch.float64), (2, torch.float32), (0, torch.float64), (3, torch.float64)):
        shape = whole(g, 1, 2), whole(g, 2, 4), whole(g, 2, 4), whole(g, 2, 4)
        states = [torch.randn(shape, generator=g, dtype=dtype) for _ in range(whole(g, 4, 6))]
        controls = [
            ([torch.randn(shape, generator=g, dtype=dtype) for _ in states], uniform(g, 0.3, 0.7) + (i == 1))
            for i in range(n)
        ]
        cases.append(Case("steer", (states[:-1], states[-1], controls)))
    return cases


_STEER = Exercise(
    title="adding the residuals",
    reference={"steer": steer},
    cases=_steer_cases,
    mistakes=mistakes(
        "steer",
        (
            "ignores the scale",
            "The scale is not used: all residuals come in at full strength.",
            _steered(lambda state, residual, scale: state + residual),
        ),
        (
            "scales the state too",
            "The scale is on the U-Net's own states as well. At scale 0 the U-Net should be as it was, not silent.",
            _steered(lambda state, residual, scale: scale * (state + residual)),
        ),
        (
            "scales the state",
            "The scale is on the U-Net's states instead of on the residuals.",
            _steered(lambda state, residual, scale: scale * state + residual),
        ),
        (
            "a blend",
            "You blend from the state to the residual. A residual is added: the state stays whole.",
            _steered(lambda state, residual, scale: (1 - scale) * state + scale * residual),
        ),
        (
            "replaces the states",
            "The residuals stand in the place of the states. They are added to them.",
            _steered(lambda state, residual, scale: scale * residual),
        ),
        (
            "subtracts",
            "The residuals have the wrong sign.",
            _steered(lambda state, residual, scale: state - scale * residual),
        ),
        (
            "the scale squared",
            "The scale is applied twice.",
            _steered(lambda state, residual, scale: state + scale**2 * residual),
        ),
        (
            "multiplies",
            "The residuals are multiplied in. They are added.",
            _steered(lambda state, residual, scale: state * (1 + scale * residual)),
        ),
        (
            "forgets the middle",
            "The skips are steered, but not the lowest level: the last residual is for it.",
            lambda skips, middle, controls: (steer(skips, middle, controls)[0], middle.clone()),
        ),
        (
            "the middle alone",
            "Only the lowest level is steered, and the skips are not.",
            lambda skips, middle, controls: (list(skips), steer(skips, middle, controls)[1]),
        ),
        (
            "from the other end",
            "Skips and residuals are paired from opposite ends. Both lists run from the entrance down.",
            _turned,
        ),
        (
            "shifted by one",
            "Residuals and states are shifted by one: the last residual is that of the lowest level.",
            _shifted,
        ),
        (
            "the first control",
            "Only the first control has an effect. There may be several.",
            _steered(seen=lambda controls: controls[:1]),
        ),
        (
            "the last control",
            "Only the last control has an effect. There may be several.",
            _steered(seen=lambda controls: controls[-1:]),
        ),
        ("their mean", "Two controls are averaged. They add up, each at its own scale.", _mean),
        ("one scale for all", "Each control comes in at the sum of all scales instead of at its own.", _summed_scales),
        ("changes the states", MUTATES, _added_in_place),
    ),
    hints=(
        "The skips and the lowest level together are as many states as there are residuals: put them into one list.",
        "For each control, make a new list: zip the states with the residuals. A new tensor each, not +=.",
        "With no controls the loop does nothing, and the states come out as they went in.",
    ),
)

# 10.5 Control for a part of the way


def scales(steps, scale, start, end):
    """The reference: the rule of diffusers' pipelines, `controlnet_keep`."""
    return [scale * (1.0 - float(i / steps < start or (i + 1) / steps > end)) for i in range(steps)]


def _window(inside):
    """A wrong `scales`, from whether step i of n is in the part from start to end."""
    return lambda steps, scale, start, end: [
        float(scale * inside(i, steps, start, end)) for i in range(steps)
    ]  # fmt: skip


def _scales_cases(g):
    cases = [Case("scales", (10, 0.75, 0.0, 0.3)), Case("scales", (20, 1.5, 0.75, 1.0))]
    for low, high in ((0.0, 0.45), (0.35, 0.8), (0.55, 1.0)):
        start, end = (min(1.0, max(0.0, edge + uniform(g, -0.05, 0.05))) for edge in (low, high))
        cases.append(Case("scales", (whole(g, 14, 30), uniform(g, 0.4, 0.9), start, end)))
    return cases


_SCALES = Exercise(
    title="control for a part of the way",
    reference={"scales": scales},
    cases=_scales_cases,
    mistakes=mistakes(
        "scales",
        (
            "always",
            "Every step has the scale: start and end are not used.",
            _window(lambda i, n, start, end: True),
        ),
        (
            "the other part",
            "The control is off where it should be on, and on where it should be off.",
            _window(lambda i, n, start, end: i / n < start or (i + 1) / n > end),
        ),
        (
            "ignores the end",
            "The control never stops: end is not used.",
            _window(lambda i, n, start, end: i / n >= start),
        ),
        (
            "ignores the start",
            "The control is on from the first step: start is not used.",
            _window(lambda i, n, start, end: (i + 1) / n <= end),
        ),
        (
            "on or off",
            "The right steps, but always at 1: the scale is not used.",
            lambda steps, scale, start, end: scales(steps, 1.0, start, end),
        ),
        (
            "begun is enough",
            "A step that only begins before the end is in your part. It has to be over by then.",
            _window(lambda i, n, start, end: i / n >= start and i / n < end),
        ),
        (
            "over is enough",
            "A step that began before the start is in your part. It has to lie inside from its beginning.",
            _window(lambda i, n, start, end: (i + 1) / n > start and (i + 1) / n <= end),
        ),
        (
            "steps for shares",
            "You compared the number of the step with start and end. They are shares of the way, from 0 to 1.",
            _window(lambda i, n, start, end: start <= i <= end),
        ),
        (
            "counts from the end",
            "Your way runs backwards: the first step of the list is the first that is done, in much noise.",
            lambda *args: scales(*args)[::-1],
        ),
        (
            "fades",
            "The control fades in your part. It is at full scale, or off.",
            lambda steps, scale, start, end: [
                s * (1 - i / steps) for i, s in enumerate(scales(steps, scale, start, end))
            ],
        ),
        (
            "zeros",
            "The control is off at every step.",
            _window(lambda i, n, start, end: False),
        ),
    ),
    hints=(
        "Step i of n covers the way from i / n to (i + 1) / n.",
        "It counts if that whole stretch lies between start and end. Two comparisons.",
        "A list of n floats: the scale where both hold, 0.0 elsewhere.",
    ),
)

# 10.6 A hint of your own


def my_hint(picture):
    """One right answer of many: the edges (Canny 1986) that the shipped ControlNet knows."""
    found = edges(Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy()))
    return torch.from_numpy(np.array(found)).permute(2, 0, 1).float() / 255


def _picture(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255


@cache
def _shown(seed):
    """A picture (3, H, 128) of one object, at its left, on a flat colour."""
    rng = np.random.RandomState(seed % 2**32)
    name = ("cat", "house", "mushroom", "fish", "castle", "car", "bell", "owl")[rng.randint(8)]
    spec = data.Spec((name,), ("on white", "on gray", "on purple")[rng.randint(3)], where="at left")
    scene = data.Scene(spec, seed)
    return _picture(scene.image[: 8 * rng.randint(14, 17)])


def _hint_cases(g):
    cases = [Case("my_hint", (_shown(whole(g, 0, 10**6)),)) for _ in range(3)]
    colour = uniform(g, 0.2, 0.9, 3, dtype=torch.float32)
    blank = colour[:, None, None].expand(3, 8 * whole(g, 12, 15), 128).clone()
    return [*cases, Case("my_hint", (blank,))]


def _ink(hint):
    """How dark each place is, (H, W), from 0 to 1."""
    return 1 - hint.mean(0)


def _object(picture):
    """(H, W) bool: where a picture is not as its corner."""
    return (picture - picture[:, :1, -1:]).abs().amax(0) > 0.1


def _blank(picture):
    return bool((picture == picture[:, :1, :1]).all())


def _each(test, blank):
    return lambda results: all(test(case.args[0], hint) for case, hint in results if _blank(case.args[0]) == blank)


def _in_range(picture, hint):
    return bool(hint.isfinite().all()) and hint.min() >= 0 and hint.max() <= 1


def _box(marked):
    ys, xs = marked.nonzero().T
    return xs.min().item(), ys.min().item(), xs.max().item() + 1, ys.max().item() + 1


def _covers(picture, hint):
    """Whether the box of what is dark in the hint is about that of the object."""
    dark, there = _ink(hint) > 0.25, _object(picture)
    if not dark.any():
        return False
    (a, b, c, d), (e, f, g, h) = _box(dark), _box(there)
    both = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
    return both / ((c - a) * (d - b) + (g - e) * (h - f) - both) >= 0.6


_OPEN = {
    "range": "A hint has values from 0, black, to 1, white, and nothing else.",
    "nothing": "A picture of a single colour shows nothing, so its hint should be white all over. Where is nothing in "
    "a picture? Where it does not change.",
    "something": "Your hint is white, or nearly: it does not say that there is an object.",
    "elsewhere": "Most of what is dark in your hint lies where no object is.",
    "where": "From your hint one cannot tell where the object is and how large: what is dark does not reach from one "
    "of its ends to the other.",
    "solid": "More than three quarters of your hint are dark. A drawing is mostly paper.",
}


def _upper_half(picture):
    """What is dark in the hint, down to the middle of it."""
    hint = my_hint(picture)
    rows = (_ink(hint) > 0.5).any(1).nonzero()[:, 0].tolist() or [0]
    hint[:, (rows[0] + rows[-1]) // 2 :] = 1
    return hint


def _mostly_inside(picture, hint):
    ink, (left, top, right, bottom) = _ink(hint), _box(_object(picture))
    return ink[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4].sum() >= 0.8 * ink.sum()


_HINT = Exercise(
    title="open-ended: a hint of your own",
    reference={"my_hint": my_hint},
    cases=_hint_cases,
    properties=(
        (_OPEN["range"], lambda results: all(_in_range(case.args[0], hint) for case, hint in results)),
        (_OPEN["nothing"], _each(lambda picture, hint: bool((hint > 0.95).all()), blank=True)),
        (_OPEN["something"], _each(lambda picture, hint: _ink(hint).mean() > 0.002, blank=False)),
        (_OPEN["solid"], _each(lambda picture, hint: _ink(hint).mean() < 0.75, blank=False)),
        (_OPEN["elsewhere"], _each(_mostly_inside, blank=False)),
        (_OPEN["where"], _each(_covers, blank=False)),
    ),
    mistakes=mistakes(
        "my_hint",
        ("0 to 255", _OPEN["range"], lambda picture: 255 * my_hint(picture)),
        ("white on black", _OPEN["nothing"], lambda picture: 1 - my_hint(picture)),
        ("an empty page", _OPEN["something"], lambda picture: torch.ones_like(picture)),
        (
            "somewhere else",
            _OPEN["elsewhere"],
            lambda picture: my_hint(picture).flip(2),
        ),
        (
            "the upper half",
            _OPEN["where"],
            _upper_half,
        ),
        (
            "all black",
            _OPEN["solid"],
            lambda picture: torch.ones_like(picture) * float(_blank(picture)),
        ),
    ),
    hints=(
        "Where does a picture change? Compare each pixel with its neighbours, the one to the right and the one below.",
        "A threshold turns differences into lines. F.max_pool2d of the lines makes them thicker, F.avg_pool2d softer.",
        "Lines are dark: 1 minus what you found. One channel repeated three times is enough.",
    ),
)

EXERCISES = {
    "10.1": _ZERO,
    "10.2": _GRADIENT,
    "10.3": _ENCODER,
    "10.4": _STEER,
    "10.5": _SCALES,
    "10.6": _HINT,
}
