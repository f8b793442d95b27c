"""Lesson 11, the full pipeline: what the exercises are checked against."""

import zlib
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch

from minidiff import data
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import betas, mistakes, uniform, whole
from minidiff.clip import CLIPText, TextConfig
from minidiff.denoise import EPS, X0, Prediction, V
from minidiff.guide import cfg
from minidiff.pipeline import WEIGHTS, StableDiffusion
from minidiff.sample import ddim, ddpm, dpmpp_2m, heun, plms
from minidiff.schedule import Discrete, cosine_betas, leading, linear_betas, linspace, trailing, zero_terminal_snr
from minidiff.show import to_pil
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, VAEConfig

# 11.1 Words


def _listed(prompts, negatives):
    return [negatives] * len(prompts) if isinstance(negatives, str) else negatives


def encode_prompts(tokenize, encode, prompts, negatives):
    """The reference, as in the pipeline's call."""
    return encode(tokenize(_listed(prompts, negatives) + prompts))


END = 1


def _tokenize(texts):
    """A stand-in for a tokenizer: start, a number for each word, end, and the end again as padding."""
    texts = [texts] if isinstance(texts, str) else texts
    rows = [[0, *(2 + zlib.crc32(word.encode()) % 997 for word in text.split()), END] for text in texts]
    return torch.tensor([(row + 12 * [END])[:12] for row in rows])


def _encode(ids):
    """A stand-in for a text encoder. Its states tell how large the batch was, and at which place in it a row stood."""
    place = torch.arange(1, ids.shape[1] + 1) / 10
    read = (ids.double().cumsum(1) / 300 + place)[..., None] * torch.tensor([1.0, 1.7, 2.9, 0.3])
    return (read.sin() + 0.1 * torch.arange(len(ids))[:, None, None] + 0.05 * len(ids)).float()


def _texts(order):
    """A wrong `encode_prompts`, from the list of texts that goes into the batch."""
    return lambda tokenize, encode, prompts, negatives: encode(tokenize(order(prompts, _listed(prompts, negatives))))


def _read(change):
    """A wrong `encode_prompts`, from what is done to (ids, states)."""

    def wrong(tokenize, encode, prompts, negatives):
        ids = tokenize(_listed(prompts, negatives) + prompts)
        return change(ids, encode(ids))

    return wrong


def _length(ids):
    """How many tokens each text has with start and end, (B,)."""
    return (ids == END).int().argmax(1) + 1


def _unrepeated(tokenize, encode, prompts, negatives):
    return encode(tokenize([*([negatives] if isinstance(negatives, str) else negatives), *prompts]))


def _two_calls(tokenize, encode, prompts, negatives):
    return torch.cat([encode(tokenize(texts)) for texts in (_listed(prompts, negatives), prompts)])


def _zeros(tokenize, encode, prompts, negatives):
    states = encode(tokenize(prompts))
    return torch.cat([torch.zeros_like(states), states])


def _text_cases(g):
    def captions(n):
        return [data.scene(whole(g, 0, 10**6)).caption for _ in range(n)]

    cases = []
    for n, one in ((3, False), (2, True), (4, False), (1, True)):
        first = ["teapot in space", *captions(n - 1)]  # different lengths: 3 words and more
        negatives = "blurry sketch" if one else [*captions(n - 1), "snow"]
        cases.append(Case("encode_prompts", (_tokenize, _encode, first, negatives)))
    return cases


_WORDS = Exercise(
    title="words: two texts for each picture",
    reference={"encode_prompts": encode_prompts},
    cases=_text_cases,
    mistakes=mistakes(
        "encode_prompts",
        (
            "prompts first",
            "The halves are in the other order than agreed: the negative prompts come first.",
            _texts(lambda prompts, negatives: prompts + negatives),
        ),
        (
            "in pairs",
            "You put each prompt next to its negative one. Agreed are two halves.",
            _texts(lambda prompts, negatives: [t for pair in zip(negatives, prompts, strict=True) for t in pair]),
        ),
        (
            "ignores the negatives",
            "The negative prompts are not read: the first half is the empty text, whatever they say.",
            _texts(lambda prompts, negatives: [""] * len(prompts) + prompts),
        ),
        ("prompts alone", "Only the prompts are there.", _texts(lambda prompts, negatives: prompts)),
        ("the prompts twice", "Both halves are the prompts.", _texts(lambda prompts, negatives: 2 * prompts)),
        ("the negatives twice", "Both halves are negative prompts.", _texts(lambda prompts, negatives: 2 * negatives)),
        (
            "one text of two",
            "You joined each negative prompt and its prompt to one text. Guidance needs two answers, so two texts.",
            _texts(lambda p, n: 2 * [" ".join(pair) for pair in zip(n, p, strict=True)]),
        ),
        (
            "the first negative for all",
            "All pictures got the first negative prompt: each has its own, if a list is given.",
            _texts(lambda prompts, negatives: negatives[:1] * len(prompts) + prompts),
        ),
        (
            "one row for one text",
            "A single negative prompt takes one row only: the first half must be as long as the second.",
            _unrepeated,
        ),
        (
            "letters",
            "A single negative prompt fell apart into letters. A string is a list of letters to Python.",
            lambda tokenize, encode, prompts, negatives: encode(tokenize([*negatives, *prompts])),
        ),
        (
            "two calls",
            "You called the encoder twice. One call on a batch of all texts is asked for.",
            _two_calls,
        ),
        (
            "zeros for the negatives",
            "The first half is zeros. Even the empty text has states, and the network was trained with those.",
            _zeros,
        ),
        (
            "cuts the padding",
            "The padding was cut off. The network reads it, too.",
            _read(lambda ids, states: states[:, : _length(ids).max()]),
        ),
        (
            "zeroes the padding",
            "The states of the padding are 0. Nothing masks them in Stable Diffusion: the network reads them, too.",
            _read(lambda ids, states: states * (torch.arange(ids.shape[1]) < _length(ids)[:, None])[..., None]),
        ),
        (
            "one vector a text",
            "You gave one vector for each text. The network reads the states of all tokens.",
            _read(lambda ids, states: states[torch.arange(len(ids)), _length(ids) - 1]),
        ),
        (
            "wrong axis",
            "You joined the halves along the tokens, which makes one long text. They are two parts of a batch.",
            _read(lambda ids, states: torch.cat(states.chunk(2), dim=1)),
        ),
        (
            "changes its input",
            MUTATES,
            lambda tokenize, encode, p, n: (p.insert(0, "a"), encode(tokenize(_listed(p[1:], n) + p[1:])))[1],
        ),
    ),
    hints=(
        "Write down, for two prompts and two negative ones, the four texts in the order in which they should stand.",
        "A single string has to become a list first, with as many entries as there are prompts. isinstance(x, str) "
        "tells which of the two it is.",
        "Lists are joined with +. Then one call of tokenize, and one of encode: nothing has to be done to the result.",
    ),
)

# 11.2 Noise


def _noise(seeds, shape, **options):
    each = [torch.randn(shape, generator=torch.Generator().manual_seed(seed), **options) for seed in seeds]
    return torch.stack(each)


def first_latents(seeds, width, height, channels=4, factor=8):
    """The reference: a generator for each picture, as in the pipeline."""
    return _noise(seeds, (channels, height // factor, width // factor))


def _seeded(change):
    """A wrong `first_latents`, from how the seeds are changed."""
    return lambda seeds, *sizes: first_latents(change(seeds), *sizes)


def _shaped(draw):
    """A wrong `first_latents`, from (seeds, (channels, h, w))."""
    return lambda seeds, width, height, channels=4, factor=8: draw(seeds, (channels, height // factor, width // factor))


def _uniform(seed, shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 12**0.5 - 3**0.5


_NOISE = Exercise(
    title="noise: a seed, a picture",
    reference={"first_latents": first_latents},
    cases=lambda g: [
        Case("first_latents", (torch.randperm(999, generator=g)[:n].tolist(), f * w, f * h, channels, f))
        for n, w, h, channels, f in ((3, 7, 5, 4, 8), (1, 4, 9, 3, whole(g, 4, 8)), (4, 6, 8, 16, 16))
    ],
    mistakes=mistakes(
        "first_latents",
        (
            "swaps width and height",
            "Width and height have changed places: a tensor of pictures has the height first.",
            lambda seeds, width, height, *more: first_latents(seeds, height, width, *more),
        ),
        (
            "as large as the picture",
            "The noise is as large as the picture. It is needed for the latents, which are smaller.",
            lambda seeds, width, height, channels, factor: first_latents(seeds, width, height, channels, 1),
        ),
        (
            "always eight",
            "You divide by 8 whatever the factor is.",
            lambda seeds, width, height, channels, factor: first_latents(seeds, width, height, channels),
        ),
        (
            "always four channels",
            "There are always 4 channels. Take the number that is given.",
            lambda seeds, width, height, channels, factor: first_latents(seeds, width, height, 4, factor),
        ),
        (
            "one generator",
            "One generator draws all pictures, so that a picture depends on who else is in the batch. "
            "Each has a seed of its own.",
            _shaped(lambda seeds, s: torch.randn(len(seeds), *s, generator=torch.Generator().manual_seed(seeds[0]))),
        ),
        (
            "one seed",
            "All pictures start from the same noise, that of the first seed.",
            _seeded(lambda seeds: seeds[:1] * len(seeds)),
        ),
        (
            "counts from the first",
            "You count up from the first seed. The others in the list are not used.",
            _seeded(lambda seeds: [seeds[0] + i for i in range(len(seeds))]),
        ),
        (
            "adds the place",
            "You add a picture's place in the batch to its seed. The seeds are given for each picture already.",
            _seeded(lambda seeds: [seed + i for i, seed in enumerate(seeds)]),
        ),
        ("sorts the seeds", "You sorted the seeds: the pictures have changed places.", _seeded(sorted)),
        (
            "in double precision",
            "You drew in double precision and made single precision of it. The numbers are others then, as if the seed "
            "were another one.",
            _shaped(lambda seeds, shape: _noise(seeds, shape, dtype=torch.float64).float()),
        ),
        (
            "by numpy",
            "You let numpy draw. The same seed means other numbers to it.",
            _shaped(
                lambda seeds, s: torch.from_numpy(np.stack([np.random.RandomState(i).randn(*s) for i in seeds])).float()
            ),
        ),
        (
            "uniform",
            "The noise is uniform. It should be normal.",
            _shaped(lambda seeds, shape: torch.stack([_uniform(seed, shape) for seed in seeds])),
        ),
        (
            "channels last",
            "You drew with the channels last and turned the axes. The numbers are right, but in other places.",
            _shaped(lambda seeds, s: _noise(seeds, (s[1], s[2], s[0])).permute(0, 3, 1, 2).contiguous()),
        ),
        (
            "a generator a channel",
            "The channels of a picture are all alike: you begin anew with the seed for each.",
            _shaped(lambda seeds, s: torch.stack([_noise([seed] * s[0], s[1:]) for seed in seeds])),
        ),
        (
            "takes seeds out",
            MUTATES,
            lambda seeds, *sizes: torch.cat([first_latents([seeds.pop(0)], *sizes) for _ in range(len(seeds))]),
        ),
    ),
    hints=(
        "torch.Generator().manual_seed(seed) gives a generator on the CPU; torch.randn takes it as generator=.",
        "A generator for each seed, and a tensor of one picture from each. torch.stack makes a batch of them.",
        "The latents have channels, then height, then width, the last two smaller by the factor: // divides whole "
        "numbers.",
    ),
)

# 11.3 The loop


def _denoise(net, levels, to_x0, told=lambda t, ts: t - 1):
    def denoise(x, t, context):
        alpha, sigma = (a.to(x.dtype) for a in levels(t))
        time = torch.full((len(x),), float(told(t, None)), dtype=x.dtype)
        return to_x0(x, net(x, time, context), alpha, sigma)

    return denoise


def draw_latents(net, levels, to_x0, sampler, x, states, times, guidance):
    """The reference: `guide.cfg` of a denoiser, in any sampler."""
    negative, prompt = states.chunk(2)
    *_, x = sampler(cfg(_denoise(net, levels, to_x0), prompt, negative, guidance), x, levels, times)
    return x


def _net(x, time, context):
    """A stand-in for a U-Net, row by row."""
    rows = {len(x), len(context), *([len(time)] if torch.is_tensor(time) and time.ndim else [])}
    if len(rows) > 1:
        raise ValueError(f"got {len(x)} latents and {len(context)} texts: one of each, and of the times, for a row")
    time = torch.as_tensor(time, dtype=x.dtype).reshape(-1, 1, 1, 1) / 20
    text = context.sin().mean((1, 2)).reshape(-1, 1, 1, 1).to(x)
    return torch.tanh(0.7 * x + 2 * text + 0.2 * x.roll(1, -1)) * torch.cos(time) + text * time.sin()


def _guided(change, told=lambda t, ts: t - 1):
    """A wrong `draw_latents`, from how the two answers are mixed, (negative, prompt, guidance)."""

    def wrong(net, levels, to_x0, sampler, x, states, times, guidance):
        denoise = _denoise(net, levels, to_x0, told)

        def guided(x, t):
            return change(*denoise(torch.cat([x, x]), t, states).chunk(2), guidance)

        *_, x = sampler(guided, x, levels, times)
        return x

    return wrong


def _walk(negative, prompt, guidance):
    return negative + guidance * (prompt - negative)


def _given(**changes):
    """A wrong `draw_latents`, from arguments that are changed before: each a function of all of them, by name."""
    names = ("net", "levels", "to_x0", "sampler", "x", "states", "times", "guidance")

    def wrong(*args):
        given = dict(zip(names, args, strict=True))
        return draw_latents(**given | {name: change(given) for name, change in changes.items()})

    return wrong


def _first_state(net, levels, to_x0, sampler, x, states, times, guidance):
    negative, prompt = states.chunk(2)
    return next(iter(sampler(cfg(_denoise(net, levels, to_x0), prompt, negative, guidance), x, levels, times)))


def _last_guess(net, levels, to_x0, sampler, x, states, times, guidance):
    guesses, (negative, prompt) = [], states.chunk(2)
    guided = cfg(_denoise(net, levels, to_x0), prompt, negative, guidance)
    list(sampler(lambda x, t: guesses.append(guided(x, t)) or guesses[-1], x, levels, times))
    return guesses[-1]


def _two_drawings(net, levels, to_x0, sampler, x, states, times, guidance):
    ends = []
    for text in states.chunk(2):
        *_, end = sampler(lambda x, t, text=text: _denoise(net, levels, to_x0)(x, t, text), x, levels, times)
        ends.append(end)
    return _walk(*ends, guidance)


def _mixed_texts(net, levels, to_x0, sampler, x, states, times, guidance):
    text = _walk(*states.chunk(2), guidance)
    *_, x = sampler(lambda x, t: _denoise(net, levels, to_x0)(x, t, text), x, levels, times)
    return x


def _own_ddim(denoise, x, levels, times):
    return ddim(denoise, x, levels, times)


def _loop_cases(g):
    cases = []
    samplers, predictions = (dpmpp_2m, ddim, heun, plms), (V, EPS, X0, V)
    for i, (sampler, prediction) in enumerate(zip(samplers, predictions, strict=True)):
        T = whole(g, 40, 60)
        schedule = Discrete(betas(g, T))
        steps = T * torch.cumsum(uniform(g, 0.5, 1.5, 6), 0).flip(0) / 9
        times = steps.round().unique().flip(0).clamp(2, T)
        times = torch.cat([times.unique().flip(0), torch.tensor([0.0 if i == 3 else 1.0]).double()])
        b, dtype = whole(g, 2, 3), torch.float32 if i == 1 else torch.float64
        x = torch.randn(b, 4, 3, 5, generator=g, dtype=dtype)
        states = 2 * torch.randn(2 * b, 4, 3, generator=g, dtype=dtype)
        levels, step = _as_function(schedule), _as_function(partial(sampler))
        cases.append(Case("draw_latents", (_net, levels, prediction.to_x0, step, x, states, times, uniform(g, 2, 4))))
    return cases


def _as_function(call):
    """A plain function, which copies leave as it is."""
    return lambda *args, **options: call(*args, **options)


_LOOP = Exercise(
    title="denoising: guidance in any sampler",
    reference={"draw_latents": draw_latents},
    cases=_loop_cases,
    atol=1e-7,
    mistakes=mistakes(
        "draw_latents",
        (
            "tells it the wrong time",
            "The network is told our time, where t = 0 is clean data. It counts from 0 where we count from 1.",
            _guided(_walk, lambda t, ts: t),
        ),
        (
            "one later",
            "The network is told a time that is too late: it counts from 0 where we count from 1.",
            _guided(_walk, lambda t, ts: t + 1),
        ),
        (
            "always the same time",
            "The network is told the same time at every step.",
            _guided(_walk, lambda t, ts: 0),
        ),
        (
            "swaps the halves",
            "You push away from the prompt: the negative half comes first.",
            _guided(lambda n, p, s: _walk(p, n, s)),
        ),
        ("no guidance", "That is the answer to the prompt alone: guidance is not used.", _guided(lambda n, p, s: p)),
        ("the negative alone", "That is the answer to the negative prompt alone.", _guided(lambda n, p, s: n)),
        (
            "one too strong",
            "Guidance is one too strong: 1 should give the answer to the prompt.",
            _guided(lambda n, p, s: _walk(n, p, s + 1)),
        ),
        ("the push alone", "That is the push alone: where does it start?", _guided(lambda n, p, s: s * (p - n))),
        ("the mean", "Guidance is ignored: you take the mean of both answers.", _guided(lambda n, p, s: (n + p) / 2)),
        (
            "mixes the texts",
            "You mixed the texts and asked about a text that nobody wrote. It is the answers that are mixed.",
            _mixed_texts,
        ),
        (
            "two drawings",
            "You drew two pictures, one for each text, and mixed them at the end. Guidance mixes at every step.",
            _two_drawings,
        ),
        (
            "takes the answer as it is",
            "You took what the network says for the clean latents. What its answer means, to_x0 knows.",
            _given(to_x0=lambda given: lambda x, out, alpha, sigma: out),
        ),
        (
            "swaps alpha and sigma",
            "alpha and sigma have changed places when the network's answer is translated.",
            _given(to_x0=lambda given: lambda x, out, alpha, sigma: given["to_x0"](x, out, sigma, alpha)),
        ),
        (
            "squares the levels",
            "When the network's answer is translated, alpha and sigma are squared.",
            _given(to_x0=lambda given: lambda x, out, alpha, sigma: given["to_x0"](x, out, alpha**2, sigma**2)),
        ),
        (
            "always the same sampler",
            "You always step like DDIM. The sampler that is given knows how.",
            _given(sampler=lambda given: _own_ddim),
        ),
        (
            "the first state",
            "That is the first state after the noise. The last one is asked for.",
            _first_state,
        ),
        (
            "the last guess",
            "That is the last guess of the clean latents. The last state of the sampler is asked for.",
            _last_guess,
        ),
        (
            "a step too few",
            "The last time is never reached: that is the state at the time before.",
            _given(times=lambda given: given["times"][:-1]),
        ),
        (
            "its own times",
            "The times are evenly spaced from the first to the last: take those that are given.",
            _given(times=lambda given: torch.linspace(*given["times"][[0, -1]].tolist(), len(given["times"])).double()),
        ),
        ("changes its input", MUTATES, lambda *args: args[4].copy_(draw_latents(*args))),
    ),
    hints=(
        "From the inside out: first a function of (x, t) that gives the guided guess of the clean latents. The sampler "
        "calls it as often as it needs.",
        "In it: x twice in a batch, one call of net, to_x0 with the levels at t, then take the halves apart.",
        "The network's time is a tensor with an entry for each row, torch.full((2 * len(x),), ...). Ours is one more "
        "than the one it counts.",
        "A sampler is a generator of states: *_, last = ... takes the last one.",
    ),
)

# 11.4 Pixels


def _bytes(y):
    """(B, 3, H, W) in [-1, 1] as bytes (B, H, W, 3): `show.to_pil`."""
    return torch.stack([torch.from_numpy(np.array(image)) for image in to_pil(y)])


def to_pixels(decode, latents, scaling_factor):
    """The reference: as the pipeline's `decode`."""
    return _bytes(decode(latents / scaling_factor))


def _decode(z):
    """A stand-in for a decoder. What it gives lies so that rounding is never a matter of the last digit."""
    k = (8 * z).round().repeat_interleave(2, 2).repeat_interleave(2, 3)
    k = torch.stack([5 * k[:, 0] + 90, 4 * k[:, 1] + 60 + k[:, 0], 6 * k[:, 2] + 150 - k[:, 3]], 1)
    k = k + torch.arange(k.shape[-1]) + 3 * torch.arange(k.shape[-2])[:, None]
    return (k + 0.35 * torch.sin(1 + k)) / 127.5 - 1


def _pixel_cases(g):
    cases = []
    for b, h, w, dtype in ((2, 3, 5, torch.float32), (1, 4, 4, torch.float64), (3, 5, 3, torch.float32)):
        factor = uniform(g, 0.15, 0.6)
        z = torch.randint(-24, 25, (b, 4, h, w), generator=g).to(dtype) / 8  # so that 8 z are whole numbers
        cases.append(Case("to_pixels", (_decode, factor * z, factor)))
    return cases


def _scaled(change):
    """A wrong `to_pixels`, from (latents, factor)."""
    return lambda decode, latents, factor: _bytes(decode(change(latents, factor)))


def _finished(change):
    """A wrong `to_pixels`, from what is made of the decoder's (B, 3, H, W)."""
    return lambda decode, latents, factor: change(decode(latents / factor))


def _spread_out(y):
    low, high = (f(y, dim=(1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    return _bytes(2 * (y - low) / (high - low) - 1)


_PIXELS = Exercise(
    title="pixels: decode, and the way to bytes",
    reference={"to_pixels": to_pixels},
    cases=_pixel_cases,
    mistakes=mistakes(
        "to_pixels",
        (
            "forgets the factor",
            "The latents go into the decoder as the U-Net has them: the scaling factor is forgotten.",
            _scaled(lambda z, factor: z),
        ),
        (
            "multiplies",
            "You multiplied by the scaling factor. That was done on the way in; on the way out it is undone.",
            _scaled(lambda z, factor: z * factor),
        ),
        (
            "clamps the latents",
            "You clamped the latents. They are no pixels, and reach far beyond 1.",
            _scaled(lambda z, factor: (z / factor).clamp(-1, 1)),
        ),
        (
            "scales pixels",
            "You divided the pixels by the scaling factor instead of the latents.",
            lambda decode, z, factor: _bytes(decode(z) / factor),
        ),
        (
            "takes them for 0 to 1",
            "The decoder's values are taken for 0 to 1. They go from -1 to 1, so that the dark half is black.",
            _finished(lambda y: _bytes(2 * y - 1)),
        ),
        (
            "forgets to stretch",
            "Only the upper half of the bytes is used: -1 should become black.",
            _finished(lambda y: _bytes(y.clamp(-1, 1) / 2)),
        ),
        (
            "wraps around",
            "What lies beyond -1 and 1 has wrapped around: a very bright place is dark. Clamp before you make bytes.",
            _finished(
                lambda y: ((y + 1) * 127.5).round().long().remainder(256).byte().permute(0, 2, 3, 1).contiguous()
            ),
        ),
        (
            "cuts off",
            "Bytes made from floats are cut off, not rounded: all is half a step too dark.",
            _finished(lambda y: ((y + 1) * 127.5).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()),
        ),
        (
            "256 steps",
            "You multiply as if there were 256 steps. The bytes go from 0 to 255.",
            _finished(lambda y: ((y + 1) * 128).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()),
        ),
        (
            "stretches each picture",
            "You stretch each picture from its darkest to its brightest value. -1 and 1 have a fixed meaning.",
            _finished(_spread_out),
        ),
        (
            "channels first",
            "The colours are still the second axis. Pictures as bytes have them last.",
            _finished(lambda y: _bytes(y).permute(0, 3, 1, 2).contiguous()),
        ),
        (
            "on its side",
            "Height and width have changed places: the pictures lie on their side.",
            _finished(lambda y: _bytes(y).transpose(1, 2).contiguous()),
        ),
        ("BGR", "Red and blue have changed places.", _finished(lambda y: _bytes(y).flip(-1))),
        (
            "floats",
            "You give floats from 0 to 1. Bytes are asked for.",
            _finished(lambda y: ((y + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).contiguous()),
        ),
        ("changes its input", MUTATES, lambda decode, z, factor: _bytes(decode(z.div_(factor)))),
    ),
    hints=(
        "The U-Net worked on latents that were multiplied by the factor. What does the decoder expect?",
        "-1 should become 0, and 1 should become 255: shift, then stretch.",
        "Then round, clamp to what a byte can hold, and .byte. In this order nothing wraps around.",
        "permute puts the colours last: which of the four axes goes where?",
    ),
)

# 11.5 All of it


@dataclass(eq=False)
class Parts:
    """Those of a `StableDiffusion`, without the pipeline. A copy is the thing itself, like that of a function."""

    tokenizer: Tokenizer
    text: CLIPText
    unet: UNet
    vae: VAE
    schedule: Discrete
    prediction: Prediction

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return "parts"


def text_to_image(parts, prompts, negative, seeds, steps, guidance):
    """The reference: the pipeline."""
    pipe = StableDiffusion(parts.vae, parts.unet, parts.text, parts.tokenizer, parts.schedule, parts.prediction)
    images = pipe(prompts, negative, steps=steps, guidance=guidance, seed=seeds, progress=False)
    return torch.stack([torch.from_numpy(np.array(image)) for image in images])


@cache
def _words():
    return Tokenizer.load(WEIGHTS)


def _random(g, cls, config):
    """A tiny model in which everything matters."""
    with torch.random.fork_rng([]):
        model = cls(config)
    for name, p in model.named_parameters():
        spread = 0.3 if p.ndim == 1 else p[0].numel() ** -0.5
        p.data = spread * torch.randn(p.shape, generator=g) + ("norm" in name and name.endswith("weight"))
    return model.requires_grad_(False).eval()


def _parts(g, prediction, make):
    tokenizer = _words()
    text = TextConfig(16, 1, 2, 32, vocab_size=len(tokenizer), max_position_embeddings=tokenizer.context)
    unet = UNetConfig(
        sample_size=4,
        block_out_channels=(8, 16),
        attention=(True, False),
        heads=(2, 2),
        cross_attention_dim=16,
        norm_num_groups=4,
    )
    vae = VAEConfig(block_out_channels=(8, 8), norm_num_groups=2, sample_size=8, scaling_factor=uniform(g, 0.3, 0.5))
    schedule = Discrete(zero_terminal_snr(make(whole(g, 300, 600))))
    nets = (_random(g, cls, config) for cls, config in ((CLIPText, text), (UNet, unet), (VAE, vae)))
    return Parts(tokenizer, *nets, schedule, prediction)


def _whole_cases(g):
    cases = []
    for n, prediction, make in ((3, V, cosine_betas), (2, X0, linear_betas)):
        captions = [data.scene(whole(g, 0, 10**6)).caption for _ in range(n + 1)]
        seeds = torch.randperm(999, generator=g)[:n].tolist()
        numbers = seeds, whole(g, 3, 5), uniform(g, 2, 4)
        cases.append(Case("text_to_image", (_parts(g, prediction, make), captions[1:], captions[0], *numbers)))
    return cases


@torch.no_grad()
def _drawn(
    parts,
    prompts,
    negative,
    seeds,
    steps,
    guidance,
    texts=lambda prompts, negative: [negative] * len(prompts) + prompts,
    noise=_noise,
    grid=trailing,
    told=lambda t: t - 1,
    mix=_walk,
    meaning=lambda prediction: prediction,
    sampler=ddim,
    decoded=lambda z, factor: z / factor,
    finish=lambda y: y,
):
    """A `text_to_image` in which a part of the way can be changed."""
    states = parts.text(parts.tokenizer(texts(prompts, negative)))
    x = noise(seeds, (4, parts.unet.config.sample_size, parts.unet.config.sample_size))

    def guided(x, t):
        alpha, sigma = (a.float() for a in parts.schedule(t))
        out = parts.unet(torch.cat([x, x]), torch.full((2 * len(x),), float(told(t))), states)
        return mix(*meaning(parts.prediction).to_x0(torch.cat([x, x]), out, alpha, sigma).chunk(2), guidance)

    *_, x = sampler(guided, x, parts.schedule, grid(parts.schedule.T, steps))
    return _bytes(finish(parts.vae.decode(decoded(x, parts.vae.config.scaling_factor))))


def _fresh(denoise, x, schedule, ts):
    return ddpm(denoise, x, schedule, ts, generator=torch.Generator().manual_seed(0))


def _almost(denoise, x, schedule, ts):
    return ddim(denoise, x, schedule, ts[:-1])


_WHOLE = Exercise(
    title="all of it: your own text_to_image",
    reference={"text_to_image": text_to_image},
    cases=_whole_cases,
    atol=1,
    mistakes=mistakes(
        "text_to_image",
        (
            "swaps the texts",
            "You push away from the prompts, towards the negative one: in which order do the texts stand in the batch?",
            partial(_drawn, texts=lambda prompts, negative: prompts + [negative] * len(prompts)),
        ),
        (
            "ignores the negative prompt",
            "The negative prompt has no effect: the empty text stands in its place.",
            partial(_drawn, texts=lambda prompts, negative: [""] * len(prompts) + prompts),
        ),
        (
            "the first prompt for all",
            "All pictures were drawn from the first prompt.",
            partial(_drawn, texts=lambda p, negative: [negative] * len(p) + p[:1] * len(p)),
        ),
        (
            "no guidance",
            "Guidance has no effect: that is the answer to the prompt alone.",
            partial(_drawn, mix=lambda n, p, s: p),
        ),
        (
            "one too strong",
            "Guidance is one too strong: 1 should give the answer to the prompt.",
            partial(_drawn, mix=lambda n, p, s: _walk(n, p, s + 1)),
        ),
        (
            "one seed",
            "All pictures start from the noise of the first seed.",
            partial(_drawn, noise=lambda seeds, shape: _noise(seeds[:1] * len(seeds), shape)),
        ),
        (
            "one generator",
            "One generator draws the noise of all pictures. Each has a seed, and so a generator, of its own.",
            partial(
                _drawn,
                noise=lambda seeds, s: torch.randn(len(seeds), *s, generator=torch.Generator().manual_seed(seeds[0])),
            ),
        ),
        (
            "noise in double precision",
            "The noise was drawn in double precision, which gives other numbers for the same seed.",
            partial(_drawn, noise=lambda seeds, shape: _noise(seeds, shape, dtype=torch.float64).float()),
        ),
        (
            "tells it the wrong time",
            "The network is told our time. It counts from 0 where we count from 1.",
            partial(_drawn, told=lambda t: t),
        ),
        (
            "leading times",
            "Your times are evenly spaced, but begin too early: the first should be the last of the schedule, "
            "pure noise.",
            partial(_drawn, grid=leading),
        ),
        (
            "ends at 1",
            "Your times go evenly from the last of the schedule to 1, and then to 0. The step should be the same "
            "all the way down to 0.",
            partial(_drawn, grid=linspace),
        ),
        (
            "another prediction",
            "You translate the network's answer by a fixed formula. What it means, parts.prediction knows: "
            "it is not the same for all models.",
            partial(_drawn, meaning=lambda prediction: V if prediction is X0 else X0),
        ),
        (
            "fresh noise",
            "You add fresh noise at every step. DDIM adds none, unless it is asked to.",
            partial(_drawn, sampler=_fresh),
        ),
        (
            "a step too few",
            "The state at time 0 is never reached: a step is missing at the end.",
            partial(_drawn, sampler=_almost),
        ),
        (
            "forgets the factor",
            "The scaling factor is forgotten: the decoder gets latents of another size than it was trained with.",
            partial(_drawn, decoded=lambda z, factor: z),
        ),
        (
            "multiplies",
            "You multiply by the scaling factor before decoding. On the way out it is undone.",
            partial(_drawn, decoded=lambda z, factor: z * factor),
        ),
        (
            "takes pixels for 0 to 1",
            "The decoder's values are taken for 0 to 1; they go from -1 to 1.",
            partial(_drawn, finish=lambda y: 2 * y - 1),
        ),
    ),
    hints=(
        "Four parts, in this order: words, noise, denoising, pixels. Exercises 11.1 to 11.4 are these four; you may "
        "call your own answers.",
        "Sizes: parts.unet.config has in_channels and sample_size. parts.schedule.T is the last time of the schedule.",
        "The denoiser: parts.schedule gives alpha and sigma at t, parts.prediction.to_x0 takes (x, answer, alpha, "
        "sigma). minidiff.denoise.denoiser does both, if you prefer.",
        "To find a mistake: set steps to 1 and guidance to 1 in both, yours and the pipeline, and compare. Then add "
        "one thing after the other. With trace=True the pipeline shows all its states.",
    ),
)

# 11.6 A film


def _angle(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).arccos()


def slerp(a, b, u):
    """The point that divides the arc from a to b as u does (Shoemake 1985)."""
    angle = _angle(a, b)
    return (torch.sin((1 - u) * angle) * a + torch.sin(u * angle) * b) / torch.sin(angle)


def film(noises, frames):
    """One right answer of many: arcs from noise to noise, and back to the first."""
    return _film(slerp)(noises, frames)


def _film(between, following=lambda k, n: (k + 1) % n):
    """A film, from what lies between two noises and from which comes after which."""

    def draw(noises, frames):
        n = len(noises)
        places = [(i * n // frames, i * n / frames % 1) for i in range(frames)]
        return torch.stack([between(noises[k], noises[following(k, n)], u) for k, u in places])

    return draw


def _straight(a, b, u):
    return a + u * (b - a)


def _same_size(a, b, u):
    x = _straight(a, b, u)
    return x / x.square().mean().sqrt()


def _one_way(noises, frames):
    """From the first to the last, without a way back."""
    last, out = len(noises) - 1, []
    for u in torch.linspace(0, last, frames).tolist():
        k = min(int(u), last - 1)
        out.append(slerp(noises[k], noises[k + 1], u - k))
    return torch.stack(out)


def _blurred(a, b, u):
    x = slerp(a, b, u)
    if u in (0, 1):
        return x
    x = torch.nn.functional.avg_pool2d(x[None], 3, 1, 1)[0]
    return x / x.square().mean().sqrt()


def _moved(film):
    """How far each frame is from the one before it; the first from the last."""
    return (film - film.roll(1, 0)).flatten(1).square().mean(1).sqrt()


def _distance(noises, film):
    """How far each noise is from each frame, root mean square."""
    return torch.cdist(noises.flatten(1), film.flatten(1)) / noises[0].numel() ** 0.5


def _neighbours(film):
    """The correlation of neighbours, of each frame."""
    return torch.stack([torch.corrcoef(torch.stack([x[..., 1:].flatten(), x[..., :-1].flatten()]))[0, 1] for x in film])


def _each(test):
    return lambda results: all(test(film, *case.args) for case, film in results)


_OPEN = {
    "numbers": "Some of the numbers in your film are infinite, or none at all.",
    "first": "The first frame should be the first noise itself.",
    "reached": "One of the noises is never reached: each should be a frame of the film.",
    "size": "Some frames are too quiet or too loud: the numbers of a noise have a root mean square of 1, and the "
    "network knows no other. What happens to the size half-way on a straight line?",
    "noise": "Some frames are no noise: neighbouring numbers hang together. The network would take that for a picture.",
    "loop": "The film does not close: from the last frame to the first is a jump.",
    "even": "The film does not run evenly: from some frame to the next it moves much further than on average.",
}

_FILM = Exercise(
    title="open-ended: a film",
    reference={"film": film},
    cases=lambda g: [
        Case("film", (_equal_size(torch.randn(n, 4, 32, 32, generator=g)), n * whole(g, 8, 12))) for n in (3, 2, 4)
    ],
    properties=(
        (_OPEN["numbers"], _each(lambda film, noises, frames: bool(film.isfinite().all()))),
        (_OPEN["first"], _each(lambda film, noises, frames: bool((film[0] - noises[0]).abs().max() < 1e-3))),
        (
            _OPEN["reached"],
            _each(lambda film, noises, frames: bool((_distance(noises, film).amin(1) < 0.15).all())),
        ),
        (
            _OPEN["size"],
            _each(lambda film, *_: bool(((film.flatten(1).square().mean(1).sqrt() - 1).abs() < 0.07).all())),
        ),
        (_OPEN["noise"], _each(lambda film, *_: bool((_neighbours(film).abs() < 0.2).all()))),
        (_OPEN["loop"], _each(lambda film, *_: bool(_moved(film)[0] < 1.5 * _moved(film).mean()))),
        (_OPEN["even"], _each(lambda film, *_: bool(_moved(film).max() < 1.2 * _moved(film).mean()))),
    ),
    mistakes=mistakes(
        "film",
        ("divides by nothing", _OPEN["numbers"], lambda noises, frames: _film(slerp)(noises, frames) / 0),
        ("begins at the second", _OPEN["first"], lambda noises, frames: film(noises.roll(-1, 0), frames)),
        (
            "never gets to the others",
            _OPEN["reached"],
            lambda noises, frames: film(torch.stack([noises[0], noises[0].roll(1, -1)]), frames),
        ),
        ("straight lines", _OPEN["size"], _film(_straight)),
        ("blurs", _OPEN["noise"], _film(_blurred)),
        ("one way", _OPEN["loop"], _one_way),
        ("straight lines of the same size", _OPEN["even"], _film(_same_size)),
    ),
    hints=(
        "Half-way on the straight line between two noises that have nothing to do with each other, what is the "
        "variance of a times one half plus b times one half?",
        "Look for two weights whose squares add up to 1 at every moment. At the start they are 1 and 0, at the end "
        "0 and 1.",
        "An angle that grows evenly gives even steps. With more than two noises, do the same from each to the next, "
        "and from the last to the first.",
        "Or something else: nobody says that all numbers of a frame must move at the same time.",
    ),
)


def _equal_size(x):
    return x / x.square().mean((1, 2, 3), keepdim=True).sqrt()


EXERCISES = {
    "11.1": _WORDS,
    "11.2": _NOISE,
    "11.3": _LOOP,
    "11.4": _PIXELS,
    "11.5": _WHOLE,
    "11.6": _FILM,
}
