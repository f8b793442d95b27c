"""Lesson 02, a pixel DDPM: what the exercises are checked against."""

import math
import re
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from minidiff import denoise, sample
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.lesson01 import alpha_bars
from minidiff.checks.parts import methods, mistakes, random_alpha_bars, uniform, whole
from minidiff.schedule import Discrete, linear_betas, scaled_linear_betas
from minidiff.unet import ResnetBlock, UpBlock, Upsample, timestep_embedding


def _columns(a, x):
    """The numbers a, (B,), one a sample: shaped to multiply x of shape (B, ...)."""
    return a.to(x).reshape(-1, *[1] * (x.ndim - 1))


def _in_order(numbers, found, tolerance):
    """Whether `numbers` stand among those found, one after another."""
    rest = iter(found)
    return all(any(abs(f - n) <= tolerance or math.isnan(f) and math.isnan(n) for f in rest) for n in numbers)


def _table(*wanted):
    """Reads a printed table: for each (label, numbers, tolerance), whether a line has them, else what stands there."""

    def read(text):
        lines = text.lower().replace(",", "").replace("_", "").splitlines()
        rows = [(line, [float(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?|\bnan\b", line)]) for line in lines]
        return [_found(rows, *row) for row in wanted]

    return read


def _found(rows, label, numbers, tolerance):
    of_label = [found for line, found in rows if label in line]
    if any(_in_order(numbers, found, tolerance) for found in of_label):
        return f"a line with {label!r} and its numbers"
    return f"{label!r} with " + " or ".join(" ".join(f"{n:.10g}" for n in found) for found in of_label) or "nothing"


# 2.1 The time, told as waves


def _waves(t, dim, *, base=10000, over=lambda dim: dim // 2, power=-1, scale=1):
    """The angles of the embedding, (B, dim / 2), with changes."""
    return scale * t.float()[:, None] * base ** (power * torch.arange(dim // 2) / over(dim))


def _told(**changes):
    def wrong(t, dim):
        angles = _waves(t, dim, **changes)
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    return wrong


_EMBEDDING = Exercise(
    title="tell a network the time: sines and cosines",
    reference={"timestep_embedding": timestep_embedding},
    cases=lambda g: [
        Case("timestep_embedding", (torch.cat([torch.tensor([0, 999]), torch.randint(1, 999, (3,), generator=g)]), 8)),
        Case("timestep_embedding", (uniform(g, 0, 1000, 7).float(), 14)),
        Case("timestep_embedding", (uniform(g, 0, 1000, 1).float(), 2 * whole(g, 8, 16))),
    ],
    atol=2e-3,  # an angle of 999 has five digits after the point in float32, the last ones lost
    mistakes=mistakes(
        "timestep_embedding",
        (
            "sines first",
            "Your two halves have changed places: here, as in Stable Diffusion, the cosines come first.",
            lambda t, dim: timestep_embedding(t, dim).roll(dim // 2, -1),
        ),
        (
            "alternates",
            "You let cosines and sines alternate; here all the cosines come first, then all the sines.",
            lambda t, dim: timestep_embedding(t, dim).unflatten(-1, (2, -1)).mT.flatten(1),
        ),
        (
            "counts to dim",
            "Your waves slow down only half as much as they should: "
            "there are half of dim frequencies, and i counts through those.",
            _told(over=lambda dim: dim),
        ),
        (
            "reaches the slowest wave",
            "Your last wave has exactly one ten-thousandth of the first one's frequency. "
            "Here it would be the next one that has: you divided by one too few.",
            _told(over=lambda dim: dim // 2 - 1),
        ),
        (
            "forgets the minus",
            "Your frequencies grow instead of falling: the waves should get slower from one to the next.",
            _told(power=1),
        ),
        (
            "base e",
            "Your frequencies fall too little: the base is 10000, and yours is e.",
            _told(base=math.e),
        ),
        (
            "one frequency",
            "All your waves have the same frequency, so t and t plus one turn look alike.",
            _told(power=0),
        ),
        (
            "whole turns",
            "Your waves are faster by one factor: the angle is t times a frequency, in radians, without two pi.",
            _told(scale=2 * math.pi),
        ),
        (
            "thousandths",
            "You made t small first. It comes as it is, from 0 to some hundreds.",
            _told(scale=1e-3),
        ),
        (
            "only cosines",
            "Your second half holds cosines again: without the sines, many times look alike.",
            lambda t, dim: timestep_embedding(t, dim)[:, : dim // 2].repeat(1, 2),
        ),
        (
            "returns the angles",
            "You gave the angles themselves; take their cosines and sines.",
            lambda t, dim: _waves(t, dim).repeat(1, 2),
        ),
        (
            "wrong axis",
            "Each column of yours is one sample. A batch comes first: one row a sample.",
            lambda t, dim: timestep_embedding(t, dim).mT,
        ),
        (
            "returns zeros",
            "You gave zeros: then the network cannot know what time it is.",
            lambda t, dim: torch.zeros(len(t), dim),
        ),
    ),
    hints=(
        "First the frequencies, dim // 2 of them. torch.arange counts i = 0, 1, 2, ...",
        "A column of times against a row of frequencies: t[:, None] * w has the shape (B, dim // 2).",
        "Times may be whole numbers or fractions: .float() makes both float32. "
        "A power of 10000 falls when its exponent is negative.",
        "torch.cat([..., ...], dim=-1) puts two halves side by side.",
    ),
)


# 2.2 A ResNet block, and the way up


class Parts(nn.Module):
    """The parts of a block by name. How they work together, its forward, is the exercise."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def resnet_block(block, x, temb):
    """The reference: the forward of `ResnetBlock`."""
    return ResnetBlock.forward(block, x, temb)


def up_path(blocks, x, skips, temb):
    """The reference: the forward of each `UpBlock`."""
    skips = list(skips)
    for block in blocks:
        up = UpBlock.__new__(UpBlock)
        nn.Module.__init__(up)
        up.resnets, up.attentions, up.upsample = block.resnets, nn.ModuleList(), block.upsample
        x = up(x, skips, temb, None)
    return x


def _shaken(module, g):
    """The module in float64, with other weights than those it begins with: norms too."""
    module.double().requires_grad_(False)
    for weight in module.parameters():
        weight.copy_(0.4 * torch.randn(weight.shape, generator=g, dtype=torch.float64) + 0.1)
    return module


def _parts(block):
    names = ("norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut")
    return Parts(**{name: getattr(block, name) for name in names})


def _random(g, *shape):
    return torch.randn(shape, generator=g, dtype=torch.float64)


def _resnet_case(g, c_in, c_out, size):
    block, dim, batch = _shaken(ResnetBlock(c_in, c_out, 6, groups=2), g), 6, whole(g, 2, 4)
    return Case("resnet_block", (_parts(block), _random(g, batch, c_in, *size), _random(g, batch, dim)))


def _up_case(g, widths, skips, sizes):
    """Blocks of two ResNet blocks each; `skips` are channels, four numbers, oldest first, `sizes` theirs."""
    n, batch, left, c, blocks = len(widths), whole(g, 2, 3), list(skips), skips[-1], []
    for i, width in enumerate(widths):
        resnets = []
        for _ in range(2):
            resnets.append(_shaken(ResnetBlock(c + left.pop(), width, 6, groups=2), g))
            c = width
        last = i == n - 1
        blocks.append(Parts(resnets=nn.ModuleList(resnets), upsample=None if last else _shaken(Upsample(width), g)))
    states = tuple(_random(g, batch, channels, *size) for channels, size in zip(skips, sizes, strict=True))
    return Case("up_path", (blocks, _random(g, batch, skips[-1], *sizes[-1]), states, _random(g, batch, 6)))


def _block_cases(g):
    # Two groups of each: in the first cases of up_path all shapes are alike, so that a wrong order raises no error and
    # can be recognised; those at the end have odd sizes and other channels everywhere.
    return [
        _resnet_case(g, 4, 6, (5, 3)),
        _resnet_case(g, 4, 4, (3, 7)),
        _up_case(g, (4, 4), (4, 4, 4, 4), [(5, 3)] * 4),
        _resnet_case(g, 8, 2, (4, 5)),
        _up_case(g, (6, 2), (2, 4, 8, 6), [(7, 5), (7, 5), (4, 3), (4, 3)]),
        _up_case(g, (4, 8, 6), (4, 6, 2, 4, 6, 8), [(9, 11), (9, 11), (5, 6), (5, 6), (3, 3), (3, 3)]),
    ]


def _wrong_block(
    *,
    acts=(F.silu, F.silu, F.silu),
    norm_last=False,
    join=lambda h, time: h + time,
    late=None,
    skip=lambda h, x: h + x,
    of=lambda block, x: x,
):
    """A wrong resnet_block: other activations (first, time's, second), time elsewhere, another skip."""
    first, of_time, second = acts

    def wrong(block, x, temb):
        time = block.time_emb_proj(of_time(temb))[:, :, None, None]
        h = block.conv1(block.norm1(F.silu(x)) if norm_last else first(block.norm1(x)))
        h = join(h, time) if late is None else h
        h = block.norm2(second(h)) if norm_last else block.norm2(h)
        h = h + time if late == "after norm2" else h
        h = block.conv2(h if norm_last else second(h))
        h = h + time if late == "at the end" else h
        shortcut = block.conv_shortcut or (lambda x: x)
        return skip(h, shortcut(of(block, x)))

    return wrong


def _same(x):
    return x


def _wrong_path(*, take=lambda skips: skips.pop(), join=lambda x, skip: [x, skip], early=False, up=True, time=1):
    """A wrong up_path: takes or joins the skips otherwise, enlarges too early or never, forgets the time."""

    def wrong(blocks, x, skips, temb):
        skips = list(skips)
        for block in blocks:
            for n, resnet in enumerate(block.resnets):
                x = resnet(torch.cat(join(x, take(skips)), dim=1), time * temb)
                if up and block.upsample is not None and n == (0 if early else len(block.resnets) - 1):
                    x = block.upsample(x, size=skips[-1].shape[-2:])
        return x

    return wrong


_BLOCKS = Exercise(
    title="a ResNet block, and the way up past the skips",
    reference={"resnet_block": resnet_block, "up_path": up_path},
    cases=_block_cases,
    mistakes=(
        *mistakes(
            "resnet_block",
            (
                "forgets the skip",
                "Your block gives only what the two convolutions made: its input is not added at the end.",
                _wrong_block(skip=lambda h, x: h),
            ),
            (
                "skips from the norm",
                "What you add at the end is the normalised input. The skip goes around everything, the norm too.",
                _wrong_block(of=lambda block, x: block.norm1(x)),
            ),
            (
                "skips from the activation",
                "What you add at the end has gone through norm and SiLU. The skip takes the input as it came.",
                _wrong_block(of=lambda block, x: F.silu(block.norm1(x))),
            ),
            (
                "forgets the time",
                "Your block does not use temb: it cannot know how noisy its input is.",
                _wrong_block(join=lambda h, time: h),
            ),
            (
                "time without SiLU",
                "temb goes into its layer as it is: a SiLU comes before that layer too.",
                _wrong_block(acts=(F.silu, _same, F.silu)),
            ),
            (
                "time after the second norm",
                "You add the time after the second norm. It comes before it, right after the first convolution.",
                _wrong_block(late="after norm2"),
            ),
            (
                "time at the end",
                "You add the time at the end. It comes between the convolutions, so that the second one can use it.",
                _wrong_block(late="at the end"),
            ),
            (
                "multiplies by the time",
                "You multiply by the time's numbers; here they are added.",
                _wrong_block(join=lambda h, time: h * time),
            ),
            (
                "no first SiLU",
                "There is no SiLU before the first convolution.",
                _wrong_block(acts=(_same, F.silu, F.silu)),
            ),
            (
                "no second SiLU",
                "There is no SiLU before the second convolution.",
                _wrong_block(acts=(F.silu, F.silu, _same)),
            ),
            (
                "ReLU",
                "Your activation is ReLU; here it is SiLU, which also lets a little below zero through.",
                _wrong_block(acts=(F.relu, F.relu, F.relu)),
            ),
            (
                "norm after SiLU",
                "Norm and SiLU have changed places: first the norm, then the SiLU.",
                _wrong_block(norm_last=True),
            ),
            (
                "SiLU after the sum",
                "You let the sum go through a SiLU, as networks that classify do. "
                "Here the sum is the end: the way past the block stays open.",
                _wrong_block(skip=lambda h, x: F.silu(h + x)),
            ),
            (
                "returns zeros",
                "resnet_block gives zeros.",
                _wrong_block(skip=lambda h, x: torch.zeros_like(h)),
            ),
            (
                "changes its input",
                MUTATES,
                lambda block, x, temb: resnet_block(block, x, temb.mul_(2)),
            ),
        ),
        *mistakes(
            "up_path",
            (
                "oldest skip first",
                "You read the skips from the first to the last. "
                "The way up begins where the way down ended: the last one made is the first one needed.",
                _wrong_path(take=lambda skips: skips.pop(0)),
            ),
            (
                "always the same skip",
                "Every ResNet block of yours reads the same skip: each one is used once, then it is gone.",
                _wrong_path(take=lambda skips: skips[-1]),
            ),
            (
                "skip in front",
                "The skip stands in front of the state. Trained weights expect the state first, then the skip.",
                _wrong_path(join=lambda x, skip: [skip, x]),
            ),
            (
                "state twice",
                "You put the state beside itself: no skip is read.",
                _wrong_path(join=lambda x, skip: [x, x]),
            ),
            (
                "skip twice",
                "You put the skip beside itself: what comes from below is lost.",
                _wrong_path(join=lambda x, skip: [skip, skip]),
            ),
            (
                "never enlarges",
                "Your way up never enlarges: where a block has an upsample, it comes after the block's ResNet blocks.",
                _wrong_path(up=False),
            ),
            (
                "enlarges too early",
                "You enlarge between the ResNet blocks of one level: all of them work first, then the level is left.",
                _wrong_path(early=True),
            ),
            (
                "forgets the time",
                "Your way up tells its ResNet blocks another time than temb.",
                _wrong_path(time=0),
            ),
            (
                "stops early",
                "Your way up ends after the first block: go through all of them.",
                lambda blocks, x, skips, temb: _wrong_path()(blocks[:1], x, skips, temb),
            ),
            ("returns zeros", "up_path gives zeros.", lambda *args: torch.zeros_like(up_path(*args))),
        ),
    ),
    hints=(
        "resnet_block: norm, SiLU, convolution, and the same once more; F.silu is the activation. "
        "The time joins between the two halves.",
        "The time's layer gives (B, channels): with [:, :, None, None] it fits to (B, channels, H, W). "
        "At the end the input is added, through conv_shortcut where there is one.",
        "up_path: a list made with list(skips) can lose its last item by .pop(), and yours is not the caller's then.",
        "Two loops: over the blocks, and in each over its resnets. torch.cat(..., dim=1) joins channels.",
        "After a block's last ResNet block, the size to enlarge to is that of the skip that will be read next: "
        "it is still in the list, at the end. Twice the size would be wrong where a size was odd on the way down.",
    ),
)


# 2.3 The loss


def _schedule(alpha_bar):
    return Discrete(1 - alpha_bar[1:] / alpha_bar[:-1])


def ddpm_loss(net, x0, t, eps, alpha_bar):
    """The reference: the mean of `minidiff.denoise.loss`."""
    schedule = _schedule(alpha_bar)
    return denoise.loss(lambda x, time, _: net(x, time), x0, t, None, schedule, denoise.EPS, eps=eps).mean()


def _net(g, dtype):
    """A network of one weight, which wants to be told the times as a network is; and that weight."""
    a, b, c = (uniform(g, 0.5, 1) for _ in range(3))
    weight = torch.tensor(c, dtype=dtype, requires_grad=True)

    def net(x, time):
        time = torch.as_tensor(time)
        if time.shape != x.shape[:1]:
            got, expected = tuple(time.shape), tuple(x.shape[:1])
            raise ValueError(f"a net is told one time for each sample, shape {expected}; got shape {got}")
        return weight * torch.tanh(x + a) + torch.sin(_columns(time, x) / 3 + b)

    return net, weight


def _gradient(weight):
    """Reads from a loss what the weight would be told."""

    def read(loss):
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            return "a loss without a gradient, from which a net learns nothing"
        return torch.autograd.grad(loss.sum(), weight)[0]

    return read


def _loss_cases(g):
    cases = []
    for shape, dtype, learns in (
        ((4, 3, 2, 5), torch.float32, False),
        ((3, 2, 7), torch.float64, False),
        ((5, 2), torch.float32, False),
        ((4, 2, 3, 2), torch.float64, True),
    ):
        net, weight = _net(g, dtype)
        x0, eps = (torch.randn(shape, generator=g, dtype=dtype) + m for m in (0.7, 0))
        t = torch.cat([torch.tensor([1, 20]), torch.randint(2, 20, (shape[0] - 2,), generator=g)])
        args = net, x0, t, eps, random_alpha_bars(g, 20)
        cases.append(Case("ddpm_loss", args, read=_gradient(weight) if learns else None))
    return cases


def _wrong_loss(
    *,
    signal=torch.sqrt,
    noise=lambda a: (1 - a).sqrt(),
    early=0,
    told=lambda t, a: t - 1,
    target=lambda x0, eps, x_t: eps,
    error=lambda d: d.square().mean(),
    seen=lambda x0, x_t: x_t,
    t_of=lambda t: t,
):
    def wrong(net, x0, t, eps, alpha_bar):
        t = t_of(t)
        a = alpha_bar[t - early]
        x_t = _columns(signal(a), x0) * x0 + _columns(noise(a), x0) * eps
        return error(net(seen(x0, x_t), told(t, a)) - target(x0, eps, x_t))

    return wrong


_LOSS = Exercise(
    title="the loss: how wrong is the guessed noise?",
    reference={"ddpm_loss": ddpm_loss},
    cases=_loss_cases,
    mistakes=mistakes(
        "ddpm_loss",
        (
            "sums",
            "You sum the squares: then the loss, and every gradient, depends on how large batch and pictures are.",
            _wrong_loss(error=lambda d: d.square().sum()),
        ),
        (
            "no mean",
            "You give one number for every pixel: the loss is their mean, a single number.",
            _wrong_loss(error=torch.square),
        ),
        (
            "one loss a sample",
            "You give one loss for every sample. Here one number is asked for: the mean over everything.",
            _wrong_loss(error=lambda d: d.square().flatten(1).mean(1)),
        ),
        (
            "absolute errors",
            "You average absolute errors; the loss of DDPM averages their squares.",
            _wrong_loss(error=lambda d: d.abs().mean()),
        ),
        (
            "takes the root",
            "You took a square root at the end: the mean of the squares is the loss itself.",
            _wrong_loss(error=lambda d: d.square().mean().sqrt()),
        ),
        (
            "halves",
            "Your loss is half of what it should be: there is no factor in front.",
            _wrong_loss(error=lambda d: d.square().mean() / 2),
        ),
        (
            "no squares",
            "You average the errors themselves: those above and those below cancel, so a bad net looks good.",
            _wrong_loss(error=torch.mean),
        ),
        (
            "asks for the picture",
            "You compare with x_0: this net is asked for the noise.",
            _wrong_loss(target=lambda x0, eps, x_t: x0),
        ),
        (
            "asks for the noisy picture",
            "You compare with what the net was shown: it is asked for the noise in it.",
            _wrong_loss(target=lambda x0, eps, x_t: x_t),
        ),
        (
            "wrong sign",
            "You add prediction and noise where you should take their difference.",
            _wrong_loss(target=lambda x0, eps, x_t: -eps),
        ),
        (
            "shows the clean picture",
            "Your net is shown the clean picture: then there is no noise in it to find.",
            _wrong_loss(seen=lambda x0, x_t: x0),
        ),
        (
            "tells t",
            "Your net is told t. Networks count from 0, as in diffusers: our t minus one.",
            _wrong_loss(told=lambda t, a: t),
        ),
        (
            "tells alpha-bar",
            "Your net is told alpha-bar; it wants to hear which step it is.",
            _wrong_loss(told=lambda t, a: a),
        ),
        (
            "one time for all",
            "All your samples have the time of the first one: each has its own t.",
            _wrong_loss(t_of=lambda t: t[:1].expand_as(t)),
        ),
        (
            "schedule one step early",
            "You read the schedule one step early: alpha_bar begins with the clean one, so t is the index. "
            "Only what the net is told is one less.",
            _wrong_loss(early=1),
        ),
        (
            "forgets both roots",
            "You multiplied picture and noise by powers; each is multiplied by an amplitude.",
            _wrong_loss(signal=lambda a: a, noise=lambda a: 1 - a),
        ),
        (
            "forgets the root of the signal",
            "The noise is right; the picture is multiplied by a power where an amplitude belongs.",
            _wrong_loss(signal=lambda a: a),
        ),
        (
            "forgets the root of the noise",
            "The picture is right; the noise is multiplied by a variance where a standard deviation belongs.",
            _wrong_loss(noise=lambda a: 1 - a),
        ),
        (
            "swaps picture and noise",
            "Picture and noise have changed places in x_t: at small t it should be nearly clean.",
            _wrong_loss(signal=lambda a: (1 - a).sqrt(), noise=torch.sqrt),
        ),
        (
            "cuts the gradient off",
            "The number is right, but no gradient leads from it to the net: "
            "something detaches, and training would change nothing.",
            lambda *args: ddpm_loss(*args).detach(),
        ),
        ("returns zero", "Your loss is always 0.", lambda net, x0, *_: (0 * net(x0, torch.zeros(len(x0)))).mean()),
    ),
    hints=(
        "Three lines: make x_t, let the net guess, compare.",
        "alpha_bar[t] picks one number a sample. Reshape it to (B, 1, 1, ...), with as many axes as x0 has, "
        "and give it the dtype of x0.",
        "The net is told one time for each sample, counted from 0. It answers with its guess of eps.",
        "Nothing random here: the noise is an argument. "
        "Keep to torch's functions and away from .item() and torch.no_grad(), so that the gradient finds its way back.",
    ),
)


# 2.4 Sampling


def _noises(noises):
    """Lets the sampler draw these, one after another."""
    return mock.patch.object(sample, "noise_like", lambda x, generator: next(noises))


def ancestral_step(x_t, eps_hat, t, alpha_bar, noise):
    """The reference: one step of `minidiff.sample.ddpm`, which draws this very noise."""
    schedule = _schedule(alpha_bar)
    denoiser = denoise.denoiser(lambda *_: eps_hat, schedule, denoise.EPS)
    with _noises(iter([noise])):
        return next(iter(sample.ddpm(denoiser, x_t, schedule, [t, t - 1])))


def ddpm_sample(net, x, alpha_bar, noises):
    """The reference: `minidiff.sample.ddpm`, which draws these very noises."""
    schedule = _schedule(alpha_bar)
    denoiser = denoise.denoiser(lambda x, time, _: net(x, time), schedule, denoise.EPS)
    with _noises(iter(noises)):
        *_, x = sample.ddpm(denoiser, x, schedule, range(schedule.T, -1, -1))
    return x


def _step_cases(g):
    def step(t, T, shape, dtype):
        x, eps, noise = (m * torch.randn(shape, generator=g, dtype=dtype) for m in (2, 1, 1))
        return Case("ancestral_step", (x, eps, t, random_alpha_bars(g, T), noise))

    def draw(T, shape, dtype):
        net, _ = _net(g, dtype)
        x, noises = torch.randn(shape, generator=g, dtype=dtype), torch.randn(T, *shape, generator=g, dtype=dtype)
        return Case("ddpm_sample", (net, x, random_alpha_bars(g, T), noises))

    return [
        step(whole(g, 4, 11), 12, (2, 3, 4, 5), torch.float64),
        step(15, 15, (3, 2), torch.float32),
        step(2, 9, (2, 5), torch.float64),
        step(1, 10, (3, 1, 2, 4), torch.float64),
        draw(whole(g, 6, 9), (3, 2, 4, 5), torch.float64),
        draw(5, (4, 2), torch.float32),
    ]


def _wrong_step(
    *,
    early=0,
    sign=-1,
    grow=lambda a, a_s: (a / a_s) ** -0.5,
    share=lambda a, a_s: (1 - a / a_s) / (1 - a).sqrt(),
    std=lambda a, a_s: ((1 - a_s) / (1 - a) * (1 - a / a_s)).sqrt(),
):
    def wrong(x_t, eps_hat, t, alpha_bar, noise):
        a, a_s = (alpha_bar[i - early].to(x_t) for i in (t, t - 1))
        return grow(a, a_s) * (x_t + sign * share(a, a_s) * eps_hat) + std(a, a_s) * noise

    return wrong


def _no_noise(a, a_s):
    return torch.zeros_like(a)


def _beta_std(a, a_s):
    return (1 - a / a_s).sqrt()


def _clipped(x_t, eps_hat, t, alpha_bar, noise):
    a = alpha_bar[t].to(x_t)
    x0 = ((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()).clamp(-1, 1)
    return ancestral_step(x_t, (x_t - a.sqrt() * x0) / (1 - a).sqrt(), t, alpha_bar, noise)


def _ddim(x_t, eps_hat, t, alpha_bar, noise):
    a, a_s = (alpha_bar[i].to(x_t) for i in (t, t - 1))
    return (a_s / a).sqrt() * (x_t - (1 - a).sqrt() * eps_hat) + (1 - a_s).sqrt() * eps_hat


def _wrong_loop(
    *,
    order=lambda T: range(T, 0, -1),
    told=lambda t: t - 1,
    noise=lambda noises, i, t: noises[i],
    seen=lambda x, x_T: x,
):
    def wrong(net, x, alpha_bar, noises):
        x_T = x
        for i, t in enumerate(order(len(noises))):
            eps_hat = net(seen(x, x_T), torch.full((len(x),), told(t)))
            x = ancestral_step(x, eps_hat, t, alpha_bar, noise(noises, i, t))
        return x

    return wrong


_SAMPLE = Exercise(
    title="one step back, and all of them: ancestral sampling",
    reference={"ancestral_step": ancestral_step, "ddpm_sample": ddpm_sample},
    cases=_step_cases,
    mistakes=(
        *mistakes(
            "ancestral_step",
            (
                "variance beta",
                "Your fresh noise has the variance beta, at the last step too, so the finished picture is noisy. "
                "Here the smaller variance, beta-tilde, is asked for.",
                _wrong_step(std=_beta_std),
            ),
            (
                "variance beta but at the last step",
                "Your last step is right. In the others the fresh noise has the variance beta, "
                "which the paper also tried; here it is the smaller one, beta-tilde.",
                _wrong_step(std=lambda a, a_s: _beta_std(a, a_s) * (a_s < 1)),
            ),
            (
                "variance for deviation",
                "You multiply the noise by its variance; a standard deviation belongs there.",
                _wrong_step(std=lambda a, a_s: (1 - a_s) / (1 - a) * (1 - a / a_s)),
            ),
            (
                "no fresh noise",
                "There is no fresh noise in your step: that is the mean of what x may be, not a draw.",
                _wrong_step(std=_no_noise),
            ),
            (
                "all the noise",
                "Your fresh noise comes in full strength: it has a standard deviation of its own, a small one.",
                _wrong_step(std=lambda a, a_s: torch.ones_like(a)),
            ),
            (
                "wrong sign",
                "You add the guessed noise: it is in x_t, so it has to come out.",
                _wrong_step(sign=1),
            ),
            (
                "does not grow back",
                "The noise is taken out, but what is left is not enlarged: on the way there each step shrank it.",
                _wrong_step(grow=lambda a, a_s: torch.ones_like(a)),
            ),
            (
                "grows by alpha-bar",
                "You divide by the root of alpha-bar, which undoes all the steps at once; undo only this one.",
                _wrong_step(grow=lambda a, a_s: a**-0.5),
            ),
            (
                "share of one step",
                "You divide by the noise of this one step. eps_hat stands for all the noise in x_t: "
                "under the root belongs one minus alpha-bar.",
                _wrong_step(share=lambda a, a_s: _beta_std(a, a_s)),
            ),
            (
                "takes all the noise out",
                "You take out all the noise of all the steps, and then undo the shrinking of one step only.",
                _wrong_step(share=lambda a, a_s: (1 - a).sqrt()),
            ),
            (
                "jumps to the picture",
                "You jump to the guessed clean picture at once. One step is asked for: most of the noise stays.",
                _wrong_step(grow=lambda a, a_s: a**-0.5, share=lambda a, a_s: (1 - a).sqrt(), std=_no_noise),
            ),
            (
                "schedule one step early",
                "You read the schedule one step early: alpha_bar begins with the clean one, so t is the index.",
                _wrong_step(early=1),
            ),
            (
                "clips",
                "You clipped the guessed picture to the range from -1 to 1. Many programs do; it is not asked for, "
                "and data need not lie there.",
                _clipped,
            ),
            (
                "is DDIM",
                "That is a step of DDIM: it puts the guessed noise back in. Here fresh noise comes in.",
                _ddim,
            ),
            (
                "returns zeros",
                "ancestral_step gives zeros.",
                lambda x_t, *_: torch.zeros_like(x_t),
            ),
            ("changes its input", MUTATES, lambda x_t, *args: x_t.copy_(ancestral_step(x_t, *args))),
        ),
        *mistakes(
            "ddpm_sample",
            (
                "tells t",
                "Your net is told t; it counts from 0, so the time of step t is one less.",
                _wrong_loop(told=lambda t: t),
            ),
            (
                "runs forward",
                "Your times rise from 1 to T. Drawing begins in the noise, at T, and comes down.",
                _wrong_loop(order=lambda T: range(1, T + 1)),
            ),
            (
                "stops early",
                "Your loop ends before the last step, from t = 1 to 0: what you return is still a little noisy.",
                _wrong_loop(order=lambda T: range(T, 1, -1)),
            ),
            (
                "starts late",
                "Your loop leaves the first step out: x comes from time T.",
                _wrong_loop(order=lambda T: range(T - 1, 0, -1)),
            ),
            (
                "always asks about the start",
                "Your net is always shown the x that you began with: show it what the last step gave.",
                _wrong_loop(seen=lambda x, x_T: x_T),
            ),
            (
                "one noise for all",
                "Every step of yours adds the same noise: fresh means another one each time.",
                _wrong_loop(noise=lambda noises, i, t: noises[0]),
            ),
            (
                "noises backwards",
                "Your first step takes the last of the noises; they are to be used from the first on.",
                _wrong_loop(noise=lambda noises, i, t: noises[t - 1]),
            ),
            (
                "no fresh noise",
                "Your loop does not use the noises.",
                _wrong_loop(noise=lambda noises, i, t: torch.zeros_like(noises[i])),
            ),
            (
                "one step only",
                "Your loop ends after its first step: is a return inside it?",
                _wrong_loop(order=lambda T: [T]),
            ),
            ("returns zeros", "ddpm_sample gives zeros.", lambda net, x, *_: torch.zeros_like(x)),
        ),
    ),
    hints=(
        "beta_t and alpha_t = 1 - beta_t are in alpha_bar: alpha_t is one of its entries over the one before.",
        "The mean has three parts: take a share of eps_hat out of x_t, then divide by the root of alpha_t. "
        "Under the share's fraction stands the noise of all the steps up to t.",
        "beta-tilde is beta times two amounts of noise, one over the other: that before this step and that after it. "
        "At t = 1 it is 0 by itself, because alpha_bar[0] = 1.",
        "The loop: t goes down from T, one less than the length of alpha_bar, and each step takes its own noise.",
        "The net wants a time for each sample, counted from 0: torch.full gives as many as x has.",
    ),
)


# 2.5 DiffusionEvaluator

_BINS = {f"{low}-{low + 49}": (low, low + 50) for low in (0, 50, 100, 150)}


class DiffusionEvaluator:
    """The reference, from minidiff's schedule. Its t is 0-based: ours minus one."""

    betas = staticmethod(lambda T: linear_betas(T, 1e-4, 0.02))

    def __init__(self, T=200, n_samples=50, img_shape=(1, 32, 32), seed=42):
        self.generator = torch.Generator().manual_seed(seed)
        self.x0, self.eps = (torch.randn(n_samples, *img_shape, generator=self.generator) for _ in range(2))
        self.t = torch.randint(0, T, (n_samples,), generator=self.generator)
        self.alpha_bars = alpha_bars(self.betas(T))[1:]
        self.xt = Discrete(self.betas(T)).add_noise(self.x0, self.eps, self.t + 1)

    def zero_predictor(self, xt, t):
        return torch.zeros_like(xt)

    def random_predictor(self, xt, t):
        return torch.randn(xt.shape, generator=self.generator)

    def perfect_predictor(self, xt, t):
        noise_at = dict(zip(self.t.tolist(), self.eps, strict=True))
        return torch.stack([noise_at[i] for i in t.tolist()])

    def evaluate_predictor(self, predictor, name):
        errors = (predictor(self.xt, self.t) - self.eps).square().flatten(1).mean(1)
        means = {bin: errors[(self.t >= low) & (self.t < high)].mean().item() for bin, (low, high) in _BINS.items()}
        return {"name": name, **means}

    def run_evaluation(self):
        for name in _NAMES:
            print(*self.evaluate_predictor(getattr(self, f"{name}_predictor"), name).values())


_NAMES = ("zero", "random", "perfect")


def best_predictor(xt, alpha_bar):
    """The reference: E[eps | x_t] = sigma x_t where x_0 and eps are both N(0, 1)."""
    return _columns((1 - alpha_bar).sqrt(), xt) * xt


def _probe(xt, t):
    """A predictor that depends on all that it is given, and on which sample is which."""
    return 0.7 * xt * _columns(torch.as_tensor(t) / 90 - 1, xt) + 0.3


def _halves(xt, t):
    return xt / 2


def _evaluator_cases(g):
    def case(method, made_with, *args, **kwargs):
        return Case(f"DiffusionEvaluator.{method}", args, made_with=made_with, **kwargs)

    def rows(made_with):
        evaluator, wanted = DiffusionEvaluator(*made_with), []
        for name in _NAMES:
            _, *means = evaluator.evaluate_predictor(getattr(evaluator, f"{name}_predictor"), name).values()
            wanted.append((name, means, 0.2 if name == "random" else 0.0062))  # one by one it draws other numbers
        return _table(*wanted)

    seeds = [whole(g, 1, 10**6) for _ in range(5)]
    shared = (12, 40, (2, 3), seeds[0])  # 40 samples, 12 timesteps
    many = (200, 800, (2, 1, 3), seeds[1])  # all timesteps
    short = (90, 30, (3, 2), seeds[2])  # two bins are empty
    large = (200, 60, (4, 16, 16))  # so many pixels that the mean over a bin hardly varies
    pick = torch.randint(0, 40, (7,), generator=g)
    x, t = torch.randn(7, 2, 3, generator=g), DiffusionEvaluator(*shared).t[pick]
    return [
        case("zero_predictor", shared, x, t),
        case("zero_predictor", short, torch.randn(4, 3, 2, generator=g), torch.arange(4)),
        case("random_predictor", shared, x, t),
        case("random_predictor", short, torch.randn(4, 3, 2, generator=g), torch.arange(4)),
        case("evaluate_predictor", many, _probe, "probe"),
        case("evaluate_predictor", short, _halves, "halves"),
        case("evaluate_predictor", (200, 50, (1, 5, 4), 42), _probe, "another"),
        case("evaluate_predictor", (), _probe, "default"),
        case("perfect_predictor", shared, x, t),
        case("perfect_predictor", shared, x.flip(0), t.flip(0)),
        *(
            case("run_evaluation", made, printed=rows(made))
            for made in ((*large, seeds[3]), (90, *large[1:], seeds[4]), ())
        ),
        *(
            Case("best_predictor", (torch.randn(shape, generator=g), uniform(g, 0.05, 0.95, shape[0])))
            for shape in ((4, 3, 2, 4), (5, 2))
        ),
    ]


def _made(name, sentence, init):
    """A mistake in the constructor: `init(self)` changes what the right one made."""

    def wrong(self, T=200, n_samples=50, img_shape=(1, 32, 32), seed=42):
        DiffusionEvaluator.__init__(self, T, n_samples, img_shape, seed)
        init(self, T, n_samples, img_shape, seed)

    return name, sentence, wrong


def _mix(self, signal, noise):
    a = _columns(self.alpha_bars[self.t], self.x0)
    self.xt = signal(a) * self.x0 + noise(a) * self.eps


def _draw(self, n, shape, seed, order):
    g = torch.Generator().manual_seed(seed)
    for name in order:
        drawn = torch.randint(0, len(self.alpha_bars), (n,), generator=g) if name == "t" else None
        setattr(self, name, torch.randn(n, *shape, generator=g) if drawn is None else drawn)
    self.generator = g
    _mix(self, torch.sqrt, lambda a: (1 - a).sqrt())


def _other_betas(self, betas):
    schedule = Discrete(betas)
    self.alpha_bars, self.xt = schedule.alpha_bar[1:], schedule.add_noise(self.x0, self.eps, self.t + 1)


def _evaluates(
    *,
    error=lambda d: d.square(),
    bins=_BINS,
    inside=lambda t, low, high: (t >= low) & (t < high),
    empty=math.nan,
    given=lambda self: (self.xt, self.t),
    truth=lambda self: self.eps,
    total=torch.mean,
):
    def wrong(self, predictor, name):
        errors = error(predictor(*given(self)) - truth(self))
        means = {}
        for bin, (low, high) in bins.items():
            chosen = errors[inside(self.t, low, high)]
            means[bin] = total(chosen).item() if len(chosen) else empty
        return {"name": name, **means}

    return wrong


_EVALUATOR = Exercise(
    title="DiffusionEvaluator: what is a loss worth?",
    reference={"DiffusionEvaluator": DiffusionEvaluator, "best_predictor": best_predictor},
    cases=_evaluator_cases,
    mistakes=(
        *methods(
            DiffusionEvaluator,
            "zero_predictor",
            (
                "returns its input",
                "zero_predictor gives the noisy picture back: it should guess that there is no noise at all.",
                lambda self, xt, t: xt.clone(),
            ),
            (
                "returns ones",
                "zero_predictor gives ones.",
                lambda self, xt, t: torch.ones_like(xt),
            ),
        ),
        *methods(
            DiffusionEvaluator,
            "random_predictor",
            (
                "the same numbers again",
                "random_predictor gives the numbers of x0 once more: a second generator with the same seed repeats "
                "the first. Go on with the one that you have.",
                lambda self, xt, t: _again(self, xt),
            ),
            (
                "not normal",
                "random_predictor draws evenly between 0 and 1; noise is normally distributed.",
                lambda self, xt, t: torch.rand(xt.shape, generator=self.generator),
            ),
            (
                "one for all",
                "random_predictor gives every sample the same noise.",
                lambda self, xt, t: torch.randn(xt.shape[1:], generator=self.generator).expand_as(xt),
            ),
            (
                "knows the noise",
                "random_predictor adds its noise to the picture; it should not look at the picture at all.",
                lambda self, xt, t: xt + torch.randn(xt.shape, generator=self.generator),
            ),
        ),
        *methods(
            DiffusionEvaluator,
            "perfect_predictor",
            (
                "first one wins",
                "Where two samples share a timestep, perfect_predictor should give the noise of the later one.",
                lambda self, xt, t: torch.stack([self.eps[(self.t == i).int().argmax()] for i in t]),
            ),
            (
                "the noisy picture",
                "perfect_predictor keeps the noisy pictures; the noise in them is what it should give.",
                lambda self, xt, t: torch.stack([dict(zip(self.t.tolist(), self.xt, strict=True))[int(i)] for i in t]),
            ),
            (
                "the clean picture",
                "perfect_predictor keeps the clean pictures; the noise is what it should give.",
                lambda self, xt, t: torch.stack([dict(zip(self.t.tolist(), self.x0, strict=True))[int(i)] for i in t]),
            ),
            (
                "by its place in the batch",
                "perfect_predictor goes by the place in the batch; "
                "the tutorial's looks up by timestep, and is handed other batches here.",
                lambda self, xt, t: self.eps[: len(xt)],
            ),
            (
                "one for all",
                "perfect_predictor looks only at the first t: each sample has its own.",
                lambda self, xt, t: DiffusionEvaluator.perfect_predictor(self, xt, t[:1].expand_as(t)),
            ),
        ),
        *methods(
            DiffusionEvaluator,
            "evaluate_predictor",
            ("sums", "evaluate_predictor sums the squares; a mean is asked for.", _evaluates(total=torch.sum)),
            (
                "absolute errors",
                "evaluate_predictor averages absolute errors, not their squares.",
                _evaluates(error=torch.abs),
            ),
            (
                "takes the root",
                "evaluate_predictor takes a square root at the end: the mean of the squares is asked for.",
                _evaluates(total=lambda e: e.mean().sqrt()),
            ),
            (
                "against the picture",
                "evaluate_predictor compares with x0: the truth here is the noise.",
                _evaluates(truth=lambda self: self.x0),
            ),
            (
                "against the noisy picture",
                "evaluate_predictor compares with xt: the truth here is the noise.",
                _evaluates(truth=lambda self: self.xt),
            ),
            (
                "shows the clean pictures",
                "evaluate_predictor shows the predictor clean pictures: it should see the noisy ones.",
                _evaluates(given=lambda self: (self.x0, self.t)),
            ),
            (
                "counts from one",
                "evaluate_predictor tells the predictor times that are one too high: here t is 0-based.",
                _evaluates(given=lambda self: (self.xt, self.t + 1)),
            ),
            (
                "upper edge inside",
                "A timestep of exactly 50, 100 or 150 is in the wrong bin: it begins a new one.",
                _evaluates(inside=lambda t, low, high: (t > low - (low == 0)) & (t <= high)),
            ),
            (
                "last timestep missing",
                "The last timestep of each bin, 49 for the first, is left out.",
                _evaluates(inside=lambda t, low, high: (t >= low) & (t < high - 1)),
            ),
            (
                "one bin",
                "All four of your bins hold the same number: each has its own samples.",
                _evaluates(inside=lambda t, low, high: t >= 0),
            ),
            (
                "up to here",
                "Your bins hold everything up to their upper end; each begins where the one before it stops.",
                _evaluates(inside=lambda t, low, high: t < high),
            ),
            (
                "zero if empty",
                "An empty bin gives 0, as if the predictor were perfect there: nothing is known, so give nan.",
                _evaluates(empty=0.0),
            ),
        ),
        *methods(
            DiffusionEvaluator,
            "run_evaluation",
            (
                "leaves one out",
                "run_evaluation does not print all three predictors.",
                lambda self: _print_rows(self, _NAMES[:2]),
            ),
            (
                "whole numbers",
                "run_evaluation prints too few digits: two after the point, at least.",
                lambda self: [
                    print(name, *(f"{v:.0f}" for v in list(row.values())[1:])) for name, row in _rows_of(self)
                ],
            ),
            (
                "the mean of the bins",
                "run_evaluation prints one number a predictor: the four bins are asked for.",
                lambda self: [print(name, sum(list(row.values())[1:]) / 4) for name, row in _rows_of(self)],
            ),
        ),
        *methods(
            DiffusionEvaluator,
            "__init__",
            _made(
                "noise first",
                "You drew eps before x0: with one seed the order matters, and x0 comes first.",
                lambda self, T, n, shape, seed: _draw(self, n, shape, seed, ("eps", "x0", "t")),
            ),
            _made(
                "times first",
                "You drew t first: with one seed the order matters, and t comes last.",
                lambda self, T, n, shape, seed: _draw(self, n, shape, seed, ("t", "x0", "eps")),
            ),
            _made(
                "ignores the seed",
                "Your numbers do not depend on the seed that is given.",
                lambda self, T, n, shape, seed: _draw(self, n, shape, 42, ("x0", "eps", "t")),
            ),
            _made(
                "picture for noise",
                "Your x0 and eps are the same numbers: draw twice from one generator.",
                lambda self, T, n, shape, seed: (
                    setattr(self, "eps", self.x0),
                    _mix(self, torch.sqrt, lambda a: (1 - a).sqrt()),
                ),
            ),
            _made(
                "forgets both roots",
                "xt is mixed with powers; picture and noise are multiplied by amplitudes.",
                lambda self, *_: _mix(self, lambda a: a, lambda a: 1 - a),
            ),
            _made(
                "forgets the root of the noise",
                "In xt the noise is multiplied by its variance, where a standard deviation belongs.",
                lambda self, *_: _mix(self, torch.sqrt, lambda a: 1 - a),
            ),
            _made(
                "does not accumulate",
                "xt has the noise of one single step: alpha_bars are products of all the alphas so far.",
                lambda self, T, *_: _mix_with(self, 1 - linear_betas(T, 1e-4, 0.02)),
            ),
            _made(
                "keeps the clean start",
                "xt is one step too clean: with the 0-based t of this exercise, t = 0 is after the first step.",
                lambda self, T, *_: _mix_with(self, alpha_bars(linear_betas(T, 1e-4, 0.02))),
            ),
            _made(
                "scaled-linear",
                "Your betas are not linear: here they go in a straight line from 1e-4 to 0.02.",
                lambda self, T, *_: _other_betas(self, scaled_linear_betas(T, 1e-4, 0.02)),
            ),
            _made(
                "always 200 steps",
                "Your betas do not depend on T.",
                lambda self, *_: _other_betas(self, linear_betas(200, 1e-4, 0.02)),
            ),
        ),
        *mistakes(
            "best_predictor",
            (
                "returns its input",
                "best_predictor takes all of x_t for noise. Part of it is the picture: how large is the noise's part?",
                lambda xt, alpha_bar: xt.clone(),
            ),
            (
                "the share of the picture",
                "best_predictor is large where x_t is clean: you took the picture's amplitude for that of the noise.",
                lambda xt, alpha_bar: _columns(alpha_bar.sqrt(), xt) * xt,
            ),
            (
                "a variance",
                "best_predictor multiplies by the noise's variance; what eps and x_t have in common is its amplitude.",
                lambda xt, alpha_bar: _columns(1 - alpha_bar, xt) * xt,
            ),
            (
                "divides",
                "best_predictor acts as if x_t were all noise and divides by its amplitude: "
                "the less noise there is, the wilder its guess.",
                lambda xt, alpha_bar: xt / _columns((1 - alpha_bar).sqrt(), xt),
            ),
            (
                "one for all",
                "best_predictor uses the first alpha-bar for all samples: each has its own.",
                lambda xt, alpha_bar: (1 - alpha_bar[0]).sqrt().to(xt) * xt,
            ),
            (
                "returns zeros",
                "best_predictor gives zeros: it can do better than that.",
                lambda xt, alpha_bar: torch.zeros_like(xt),
            ),
        ),
    ),
    hints=(
        "The constructor: one torch.Generator, seeded and kept as an attribute. torch.randn and torch.randint take it "
        "as generator=. torch.manual_seed would change the random numbers of the whole notebook.",
        "xt: exercise 1.3 again, with alpha_bars[t], because t is 0-based here and alpha_bars has no clean entry.",
        "perfect_predictor: a dictionary from a timestep, int(t), to the noise of its sample. "
        "torch.stack makes a batch of a list.",
        "evaluate_predictor: one error for each sample first, then a mask of the samples in a bin. "
        "The mean of no numbers is nan by itself. .item() makes a float of a tensor.",
        "best_predictor: x_0 and eps are independent, both with variance 1, so x_t has variance 1 too. "
        "How much of x_t goes along with eps? The best straight line through (x_t, eps) has that slope.",
    ),
)


def _mix_with(self, levels):
    a = _columns(levels[self.t], self.x0)
    self.xt = a.sqrt() * self.x0 + (1 - a).sqrt() * self.eps


def _again(self, xt):
    return self.x0.flatten()[: xt.numel()].reshape(xt.shape)


def _rows_of(self):
    return [(name, self.evaluate_predictor(getattr(self, f"{name}_predictor"), name)) for name in _NAMES]


def _print_rows(self, names):
    for name in names:
        print(*self.evaluate_predictor(getattr(self, f"{name}_predictor"), name).values())


# 2.6 UNetAnalyzer


def _count(*layers):
    return sum(weight.numel() for layer in layers for weight in layer.parameters())


class UNetAnalyzer:
    """The reference: torch's own layers, on tensors without memory."""

    def __init__(self, in_ch, channel_config):
        self.in_ch, self.channel_config = in_ch, channel_config

    def conv_params(self, c_in, c_out, kernel=3):
        with torch.device("meta"):
            return _count(nn.Conv2d(c_in, c_out, kernel))

    def analyze(self, input_res=64):
        levels, skips = [], []

        def add(name, x, *layers):
            numbers = {"channels": x.shape[1], "resolution": x.shape[-1], "params": _count(*layers)}
            levels.append({"name": name, **numbers, "activation_bytes": x.numel() * x.element_size()})
            return x

        with torch.device("meta"):
            x = torch.empty(1, self.in_ch, input_res, input_res)
            for i, width in enumerate(self.channel_config, 1):
                conv = nn.Conv2d(x.shape[1], width, 3, padding=1)
                skips.append(add(f"encoder {i}", conv(x), conv))
                x = F.avg_pool2d(skips[-1], 2)
            conv = nn.Conv2d(x.shape[1], x.shape[1], 3, padding=1)
            x = add("bottleneck", conv(x), conv)
            for i, width in reversed(list(enumerate(self.channel_config, 1))):
                up = nn.ConvTranspose2d(x.shape[1], width, 4, stride=2, padding=1)
                conv = nn.Conv2d(2 * width, width, 3, padding=1)
                x = add(f"decoder {i}", conv(torch.cat([up(x), skips.pop()], dim=1)), up, conv)
        return levels

    def print_analysis(self, input_res=64):
        levels = self.analyze(input_res)
        _print_levels(levels, _total(levels, "params"), _total(levels, "activation_bytes"), _peak(levels))


def _total(levels, key):
    return sum(level[key] for level in levels)


def _peak(levels):
    return max(level["activation_bytes"] for level in levels)


def _print_levels(levels, params, activations, peak):
    for level in levels:
        print(*level.values())
    print("total", params, activations)
    print("peak", peak)


def _levels(
    *,
    first=None,
    up_kernel=4,
    up_from="below",
    skip=True,
    up=True,
    early=0,
    bottom=1,
    double=1,
    size=4,
    power=2,
    order=1,
    merge=True,
):
    """analyze by hand, with changes; without any it is right, and quicker than the reference."""

    def analyze(self, input_res=64):
        widths, levels, c = self.channel_config, [], self.in_ch if first is None else self.channel_config[first]

        def add(name, c, res, params):
            numbers = {"channels": c, "resolution": res, "params": params}
            levels.append({"name": name, **numbers, "activation_bytes": size * c * res**power})

        def conv(c_in, c_out, kernel=3):
            return (c_in * kernel**2 + 1) * c_out

        for i, width in enumerate(widths):
            add(f"encoder {i + 1}", width, input_res >> (i + early), conv(c, width))
            c = width
        add("bottleneck", double * c, input_res >> (len(widths) - 1 + bottom), conv(c, double * c))
        c *= double
        for i, width in reversed(list(enumerate(widths))):
            middle = width if up_from == "below" else c
            params = conv(c, middle, up_kernel) if up else 0
            params += conv(middle + width if skip else middle, width) if merge else 0
            add(f"decoder {i + 1}", width, input_res >> (i + early), params)
            c = width
        n = len(widths) + 1
        return levels[:n] + levels[n:][::order]

    return analyze


def _analyzer_cases(g):
    def case(method, made_with, *args, **kwargs):
        return Case(f"UNetAnalyzer.{method}", args, made_with=made_with, **kwargs)

    def printed(made_with, *args):
        levels = UNetAnalyzer(*made_with).analyze(*args)
        rows = [(level["name"], [level["params"]], 0.5) for level in levels]
        totals = [("total", [_total(levels, key)], 0.5) for key in ("params", "activation_bytes")]
        wanted = *rows, *totals, ("peak", [_peak(levels)], 0.5)
        return case("print_analysis", made_with, *args, printed=_table(*wanted))

    three, four = (3, [64, 128, 256]), (1, [32, 64, 128, 256])
    own = (whole(g, 2, 6), sorted(whole(g, 3, 40) for _ in range(3)))
    return [
        case("conv_params", three, whole(g, 2, 9), whole(g, 10, 20)),
        case("conv_params", three, whole(g, 10, 20), whole(g, 2, 9), 4),
        case("conv_params", three, 5, 7, 1),
        case("analyze", own, 8 * whole(g, 3, 9)),
        case("analyze", three),
        case("analyze", four, 32),
        printed(three),
        printed(four, 96),
    ]


def _prints(*, params=None, activations=None, peak=None, rows=slice(None)):
    def wrong(self, input_res=64):
        levels = self.analyze(input_res)
        n = len(self.channel_config)
        _print_levels(
            levels[rows],
            _total(levels if params is None else params(levels, n), "params"),
            _total(levels if activations is None else activations(levels, n), "activation_bytes"),
            _peak(levels) if peak is None else peak(levels),
        )

    return wrong


_ANALYZER = Exercise(
    title="UNetAnalyzer: where the parameters are, and where the memory goes",
    reference={"UNetAnalyzer": UNetAnalyzer},
    cases=_analyzer_cases,
    mistakes=(
        *methods(
            UNetAnalyzer,
            "conv_params",
            (
                "forgets the bias",
                "conv_params counts only the kernels: each channel that comes out also has a bias.",
                lambda self, c_in, c_out, kernel=3: c_in * c_out * kernel**2,
            ),
            (
                "one bias",
                "conv_params counts a single bias for all channels: each that comes out has its own.",
                lambda self, c_in, c_out, kernel=3: c_in * c_out * kernel**2 + 1,
            ),
            (
                "bias of the input",
                "conv_params has a bias for each channel that goes in: it belongs to those that come out.",
                lambda self, c_in, c_out, kernel=3: c_in * c_out * kernel**2 + c_in,
            ),
            (
                "a row for a square",
                "conv_params counts one row of each kernel: a kernel is a square.",
                lambda self, c_in, c_out, kernel=3: c_in * c_out * kernel + c_out,
            ),
            (
                "ignores the kernel",
                "conv_params does not use the kernel's size.",
                lambda self, c_in, c_out, kernel=3: c_in * c_out * 9 + c_out,
            ),
            (
                "one kernel a channel",
                "conv_params has one kernel for each channel that comes out: "
                "each needs one for every channel that goes in.",
                lambda self, c_in, c_out, kernel=3: c_out * kernel**2 + c_out,
            ),
        ),
        *methods(
            UNetAnalyzer,
            "analyze",
            (
                "forgets the skip",
                "The decoder's 3×3 convolution reads only what was enlarged: beside it stands the skip.",
                _levels(skip=False),
            ),
            (
                "up-convolution 3×3",
                "The up-convolution of the decoder has kernels of 4×4.",
                _levels(up_kernel=3),
            ),
            (
                "no up-convolution",
                "The decoder enlarges without parameters: the up-convolution has some.",
                _levels(up=False),
            ),
            (
                "only the up-convolution",
                "Your decoder has no 3×3 convolution after the up-convolution.",
                _levels(merge=False),
            ),
            (
                "the up-convolution keeps the channels",
                "The up-convolution of the decoder keeps its channels; it should come down to those of its level.",
                _levels(up_from="above"),
            ),
            (
                "ignores in_ch",
                "The first convolution does not read in_ch channels.",
                _levels(first=0),
            ),
            (
                "halves too early",
                "Your first level has half the resolution: it works before anything is halved.",
                _levels(early=1),
            ),
            (
                "bottleneck not halved",
                "Your bottleneck has the last encoder level's resolution: halve once more before it.",
                _levels(bottom=0),
            ),
            (
                "bottleneck doubles",
                "Your bottleneck doubles the channels, as the first U-Net did. Here it keeps the last width.",
                _levels(double=2),
            ),
            (
                "counts numbers",
                "Your activation_bytes are numbers, not bytes: a float32 has several.",
                _levels(size=1),
            ),
            (
                "float64",
                "Your activation_bytes are twice too many: float32 is half as long as float64.",
                _levels(size=8),
            ),
            (
                "a row for a picture",
                "Your activation_bytes hold one row of the picture: it is as high as it is wide.",
                _levels(power=1),
            ),
            (
                "decoder upside down",
                "Your decoder is in the wrong order: it begins at the bottleneck and ends at full resolution.",
                _levels(order=-1),
            ),
        ),
        *methods(
            UNetAnalyzer,
            "print_analysis",
            (
                "peak is the total",
                "What print_analysis calls the peak is the total: the peak is the largest level.",
                _prints(peak=lambda levels: _total(levels, "activation_bytes")),
            ),
            (
                "peak is the bottleneck",
                "What print_analysis calls the peak is the bottleneck: most channels, but few pixels.",
                _prints(peak=lambda levels: levels[len(levels) // 2]["activation_bytes"]),
            ),
            (
                "total without the decoder",
                "The totals of print_analysis stop before the decoder.",
                _prints(
                    params=lambda levels, n: levels[: n + 1],
                    activations=lambda levels, n: levels[: n + 1],
                ),
            ),
            (
                "total without the bottleneck",
                "The totals of print_analysis leave the bottleneck out.",
                _prints(
                    params=lambda levels, n: levels[:n] + levels[n + 1 :],
                    activations=lambda levels, n: levels[:n] + levels[n + 1 :],
                ),
            ),
            (
                "leaves the last level out",
                "print_analysis leaves the last level out.",
                _prints(rows=slice(None, -1)),
            ),
            (
                "ignores its resolution",
                "print_analysis does not use input_res.",
                lambda self, input_res=64: UNetAnalyzer.print_analysis(self, 64),
            ),
        ),
    ),
    hints=(
        "conv_params: for each channel that comes out, a kernel on every channel that goes in, and a bias. "
        "An up-convolution has just as many.",
        "Encoder: a loop over channel_config that remembers how many channels the level before gave. "
        "Level i, counted from 0, has the resolution input_res // 2**i.",
        "Decoder: the same levels backwards. Its up-convolution reads what comes from below and gives the width of its "
        "level; with the skip beside it, the 3×3 convolution reads twice that width.",
        "Activation: what one level gives, channels × height × width numbers of 4 bytes.",
        "print_analysis: call analyze, then print; sum and max with a generator do the totals and the peak.",
    ),
)


# 2.7 A U-Net within a budget


class _Quick(UNetAnalyzer):
    analyze = _levels()


def _cost(in_ch, input_res, widths):
    """Parameters, and the bytes of the largest level."""
    levels = _Quick(in_ch, widths).analyze(input_res)
    return _total(levels, "params"), _peak(levels)


def my_channels(in_ch, input_res, levels, max_params, max_bytes):
    """One right answer: of all geometric rows of widths that fit, the one with most parameters."""
    best, most = [8] * levels, 0
    for first in range(8, 129, 8):
        for step in range(120):
            widths = [8 * round(first * (1.4 + step / 40) ** i / 8) for i in range(levels)]
            params, peak = _cost(in_ch, input_res, widths)
            if most < params <= max_params and peak <= max_bytes and widths[-1] >= 2 * first:
                best, most = widths, params
    return best


def _budgets(g):
    """Budgets that can be met: a share of what the memory allows."""
    cases = []
    for levels in (3, 4, 3):
        in_ch, res, most = whole(g, 1, 4), 16 * whole(g, 2, 5), 8 * whole(g, 2, 6)
        params, _ = _cost(in_ch, res, [most * 2**i for i in range(levels)])
        max_bytes = int(4 * res**2 * most * uniform(g, 1, 1.1))
        cases.append(Case("my_channels", (in_ch, res, levels, int(params * uniform(g, 0.3, 0.9)), max_bytes)))
    return cases


def _each(holds):
    """A property of every single result: `holds` gets the case's arguments and the widths."""
    return lambda results: all(holds(case.args, widths) for case, widths in results)


def _whole_widths(args, widths):
    return all(isinstance(width, int) and width > 0 and width % 8 == 0 for width in widths)


_OPEN = {
    "eight": "Every width must be a whole number that 8 divides, so that a GroupNorm of 8 groups fits.",
    "rise": "A level of yours is narrower than the one above it: where pixels get fewer, let channels get more.",
    "double": "Your last level should be at least twice as wide as the first.",
    "params": "Your U-Net has more parameters than allowed.",
    "bytes": "A level of yours needs more memory than allowed: look for the one with the largest activation.",
    "use": "Less than 70 % of the parameters that are allowed are used: a level could be wider.",
}


def _memory_only(in_ch, input_res, levels, max_params, max_bytes):
    return [8 * int(max_bytes / (32 * input_res**2)) * 4**i for i in range(levels)]


def _wide_first(in_ch, res, levels, max_params, max_bytes):
    first = 8 * (1 + max_bytes // (32 * res**2))
    return [first] + [2 * first] * (levels - 1)


_DESIGN = Exercise(
    title="open-ended: a U-Net within a budget",
    reference={"my_channels": my_channels},
    cases=_budgets,
    properties=(
        (_OPEN["eight"], _each(_whole_widths)),
        (_OPEN["rise"], _each(lambda _, widths: sorted(widths) == list(widths))),
        (_OPEN["double"], _each(lambda _, widths: widths[-1] >= 2 * widths[0])),
        (_OPEN["bytes"], _each(lambda args, widths: _cost(*args[:2], widths)[1] <= args[4])),
        (_OPEN["params"], _each(lambda args, widths: _cost(*args[:2], widths)[0] <= args[3])),
        (_OPEN["use"], _each(lambda args, widths: _cost(*args[:2], widths)[0] >= 0.7 * args[3])),
    ),
    mistakes=mistakes(
        "my_channels",
        ("widths of 4", _OPEN["eight"], lambda *args: [4, *my_channels(*args)[1:]]),
        ("halves going down", _OPEN["rise"], lambda *args: my_channels(*args)[::-1]),
        ("all alike", _OPEN["double"], lambda in_ch, res, levels, *_: [8] * levels),
        ("too wide at the top", _OPEN["bytes"], _wide_first),
        ("counts only memory", _OPEN["params"], _memory_only),
        ("the smallest", _OPEN["use"], lambda in_ch, res, levels, *_: [8] * (levels - 1) + [16]),
    ),
    hints=(
        "Let UNetAnalyzer, or a few lines like it, tell you for some widths how many parameters there are, "
        "and how large the largest level is.",
        "The first level has most pixels: the memory allowed tells how wide it may be.",
        "Then search. One way: widths that grow by one factor from level to level, rounded to multiples of 8; "
        "try many first widths and many factors, and keep the one with most parameters among those that fit.",
        "Another way: begin with 8, 8, ..., 16 and widen one level by 8 wherever all budgets still hold.",
    ),
)


EXERCISES = {
    "2.1": _EMBEDDING,
    "2.2": _BLOCKS,
    "2.3": _LOSS,
    "2.4": _SAMPLE,
    "2.5": _EVALUATOR,
    "2.6": _ANALYZER,
    "2.7": _DESIGN,
}
