"""Lesson 11: wrong answers that are no named mistakes are rejected, and other right ones pass."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from answers import accepted, rejected

from minidiff.check import exercises
from minidiff.checks import lesson11
from minidiff.checks.lesson11 import draw_latents, encode_prompts, film, first_latents, slerp, text_to_image, to_pixels
from minidiff.denoise import denoiser
from minidiff.guide import cfg
from minidiff.sample import ddim, heun
from minidiff.schedule import trailing
from minidiff.show import to_pil

EXERCISES = exercises(11)


def one_of(number, answer):
    (name,) = EXERCISES[number].reference
    return number, EXERCISES[number].reference | {name: answer}


def words(change):
    """From what is done to the states."""
    return one_of("11.1", lambda *args: change(encode_prompts(*args)))


def noise(change):
    """From what is done to the noise."""
    return one_of("11.2", lambda *args: change(first_latents(*args)))


def loop(**changes):
    """From arguments that are changed before."""
    return one_of("11.3", lesson11._given(**{name: lambda given, f=f: f(given) for name, f in changes.items()}))


def guided(mix):
    return one_of("11.3", lesson11._guided(mix))


def pixels(change):
    """From what is done to the decoder's answer."""
    return one_of("11.4", lesson11._finished(change))


def drawn(**change):
    return one_of("11.5", partial(lesson11._drawn, **change))


def by_pieces(noises, frames, order=lambda n: torch.randperm(n, generator=torch.Generator().manual_seed(0))):
    """Numbers change over from one noise to the next, one by one."""
    n, out, place = len(noises), [], order(noises[0].numel()).view(noises[0].shape) / noises[0].numel()
    for i in range(frames):
        k, u = i * n // frames, i * n / frames % 1
        out.append(torch.where(place < u, noises[(k + 1) % n], noises[k]))
    return torch.stack(out)


def halved(n):
    return (torch.arange(n) - n // 2).clamp(min=0)


def with_angle(angle):
    """From how the angle, in right angles, goes from one noise to the next."""

    def between(a, b, u):
        angle_ = torch.tensor(angle(u) * torch.pi / 2)
        return angle_.cos() * a + angle_.sin() * b

    return one_of("11.6", lesson11._film(between))


WRONG = {
    "11.1 in half precision": words(lambda states: states.half()),
    "11.1 normalised": words(lambda states: F.layer_norm(states, states.shape[-1:])),
    "11.1 reversed": words(lambda states: states.flip(0)),
    "11.1 the mean negative": words(lambda s: torch.cat([s[: len(s) // 2].mean(0, True).expand_as(s[::2]), s[1::2]])),
    "11.1 ids": one_of("11.1", lambda tokenize, encode, p, n: tokenize(lesson11._listed(p, n) + p)),
    "11.1 rolled prompts": one_of(
        "11.1", lambda tokenize, encode, p, n: encode_prompts(tokenize, encode, [*p[1:], p[0] + " again"], n)
    ),
    "11.1 a call a text": one_of(
        "11.1", lambda tok, enc, p, n: torch.cat([enc(tok([text])) for text in lesson11._listed(p, n) + p])
    ),
    "11.1 upper case": one_of(
        "11.1", lambda tokenize, encode, p, n: encode_prompts(tokenize, encode, [text.upper() for text in p], n)
    ),
    "11.2 half": noise(lambda x: x.half()),
    "11.2 clamped": noise(lambda x: x.clamp(-2, 2)),
    "11.2 normalised": noise(lambda x: (x - x.mean((1, 2, 3), True)) / x.std((1, 2, 3), keepdim=True)),
    "11.2 the last first": noise(lambda x: torch.cat([x[-1:] * 1.001, x[1:]])),
    "11.2 upside down": noise(lambda x: x.flip(2)),
    "11.2 a list": one_of("11.2", lambda *args: list(first_latents(*args))),
    "11.2 rounded up": one_of("11.2", lambda s, w, h, c, f: first_latents(s, w + f, h, c, f)),
    "11.2 seeds the notebook": one_of("11.2", lambda s, w, h, c, f: torch.manual_seed(s[0]) and first_latents(s, w, h)),
    "11.3 half a push": guided(lambda n, p, s: n + s / 2 * (p - n)),
    "11.3 at most 1.5": guided(lambda n, p, s: n + min(s, 1.5) * (p - n)),
    "11.3 clamped": guided(lambda n, p, s: (n + s * (p - n)).clamp(-1, 1)),
    "11.3 rescaled": guided(lambda n, p, s: (n + s * (p - n)) * p.std() / (n + s * (p - n)).std()),
    "11.3 detours": loop(times=lambda given: given["times"][[0, 2, 3, -1]]),
    "11.3 half the noise": loop(x=lambda given: given["x"] / 2),
    "11.3 rolled texts": loop(states=lambda given: given["states"].roll(1, 0)),
    "11.3 heun for all": loop(sampler=lambda given: lambda *args: heun(*args)),
    "11.3 all states": one_of("11.3", lambda *args: torch.stack([draw_latents(*args)] * 2)),
    "11.3 float32": one_of("11.3", lambda *args: draw_latents(*args).float()),
    "11.4 tanh": pixels(lambda y: lesson11._bytes(y.tanh())),
    "11.4 rounded up": pixels(lambda y: ((y + 1) * 127.5).ceil().clamp(0, 255).byte().permute(0, 2, 3, 1)),
    "11.4 up to 254": pixels(lambda y: lesson11._bytes(y).clamp(max=254)),
    "11.4 negative": pixels(lambda y: 255 - lesson11._bytes(y)),
    "11.4 gray": pixels(lambda y: lesson11._bytes(y.mean(1, True).expand_as(y))),
    "11.4 int64": pixels(lambda y: lesson11._bytes(y).long()),
    "11.4 pictures": pixels(to_pil),
    "11.4 the factor squared": one_of("11.4", lambda decode, z, factor: to_pixels(decode, z, factor**2)),
    "11.5 the factor squared": drawn(decoded=lambda z, factor: z / factor**2),
    "11.5 quiet noise": drawn(noise=lambda seeds, shape: 0.7 * lesson11._noise(seeds, shape)),
    "11.5 a step more": drawn(grid=lambda T, n: trailing(T, n + 1)),
    "11.5 of 1000 always": drawn(grid=lambda T, n: trailing(1000, n) * T / 1000 // 1.05),
    "11.5 half a push": drawn(mix=lambda n, p, s: n + s / 2 * (p - n)),
    "11.5 pairs in another order": drawn(noise=lambda seeds, shape: lesson11._noise(seeds, shape).flip(2)),
    "11.5 gray": drawn(finish=lambda y: y.mean(1, True).expand_as(y)),
    "11.5 in another precision": one_of("11.5", lambda *args: text_to_image(*args).float()),
    "11.5 seeds from 0": one_of("11.5", lambda a, b, c, s, *more: text_to_image(a, b, c, [*range(len(s))], *more)),
    "11.6 nothing moves": one_of("11.6", lambda noises, frames: noises[:1].repeat(frames, 1, 1, 1)),
    "11.6 other noises": one_of("11.6", lambda noises, frames: film(noises + 0.5 * noises.roll(1, 3), frames)),
    "11.6 in jumps": one_of("11.6", lambda noises, frames: noises.repeat_interleave(frames // len(noises), 0)),
    "11.6 slow, then fast": with_angle(lambda u: u**2),
    "11.6 a frame too few": one_of("11.6", lambda noises, frames: film(noises, frames)[:-1]),
    "11.6 loud": one_of("11.6", lambda noises, frames: torch.cat([noises[:1], 1.2 * film(noises, frames)[1:]])),
    "11.6 back the same way": one_of("11.6", lambda noises, frames: film(noises[:2], frames)),
    "11.6 pieces, the first half at once": one_of("11.6", lambda noises, frames: by_pieces(noises, frames, halved)),
}


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def texts_in_a_loop(tokenize, encode, prompts, negatives):
    texts = []
    for i in range(2 * len(prompts)):
        side = prompts if i >= len(prompts) else [negatives] * len(prompts) if isinstance(negatives, str) else negatives
        texts.append(side[i % len(prompts)])
    return encode(torch.cat([tokenize([text]) for text in texts]))


def filled_in(seeds, width, height, channels=4, factor=8):
    x = torch.empty(len(seeds), channels, height // factor, width // factor)
    for row, seed in zip(x, seeds, strict=True):
        row.normal_(generator=torch.Generator("cpu").manual_seed(seed))
    return x


def one_after_the_other(net, levels, to_x0, sampler, x, states, times, guidance):
    """Two calls of the network, one for each half."""
    halves = states.chunk(2)

    def guided(x, t):
        n, p = (to_x0(x, net(x, torch.full((len(x),), t - 1.0).to(x), half), *levels(t)) for half in halves)
        return guidance * p + (1 - guidance) * n

    return list(sampler(guided, x, levels, times))[-1]


def as_diffusers(decode, latents, scaling_factor):
    y = (decode(latents / scaling_factor) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    return torch.from_numpy((y.numpy() * 255).round().astype(np.uint8))


def with_minidiff(parts, prompts, negative, seeds, steps, guidance):
    n, side = len(prompts), parts.unet.config.sample_size
    with torch.no_grad():
        uncond, cond = parts.text(parts.tokenizer([negative] * n + prompts)).chunk(2)
        guided = cfg(denoiser(parts.unet, parts.schedule, parts.prediction), cond, uncond, guidance)
        x, times = lesson11._noise(seeds, (4, side, side)), trailing(parts.schedule.T, steps)
        *_, x = ddim(guided, x, parts.schedule, times)
        return lesson11._bytes(parts.vae.decode(x / parts.vae.config.scaling_factor))


def picture_by_picture(parts, prompts, negative, seeds, steps, guidance):
    pairs = zip(prompts, seeds, strict=True)
    return torch.cat([with_minidiff(parts, [p], negative, [seed], steps, guidance) for p, seed in pairs])


RIGHT = {
    "11.1 in a loop": one_of("11.1", texts_in_a_loop),
    "11.2 filled in": one_of("11.2", filled_in),
    "11.3 two calls": one_of("11.3", one_after_the_other),
    "11.4 as diffusers": one_of("11.4", as_diffusers),
    "11.5 with minidiff": one_of("11.5", with_minidiff),
    "11.5 picture by picture": one_of("11.5", picture_by_picture),
    "11.6 arcs": one_of("11.6", lesson11._film(slerp)),
    "11.6 a quarter of a circle": with_angle(lambda u: u),
    "11.6 piece by piece": one_of("11.6", by_pieces),
    "11.6 row by row": one_of("11.6", partial(by_pieces, order=torch.arange)),
}


test_another_right_answer_passes = accepted(RIGHT)
