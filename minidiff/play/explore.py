"""What happens on the way: a noise schedule, the steps of a drawing, and what it looks at. See `play.Panel`."""

import math
from functools import cache

import numpy as np
import torch
from PIL import Image

from minidiff import show
from minidiff.pipeline import StableDiffusion
from minidiff.play import Dials, play
from minidiff.schedule import Discrete, cosine_betas, linear_betas, noise_like, scaled_linear_betas, zero_terminal_snr
from minidiff.tokenizer import EOS
from minidiff.trace import Trace

BETAS = {
    "linear": linear_betas,
    "scaled linear": scaled_linear_betas,
    "cosine": cosine_betas,
    "zero terminal SNR": lambda T: zero_terminal_snr(scaled_linear_betas(T)),
}


def schedules(picture: Image.Image) -> Dials:
    """A picture, noised at t by a schedule of a shape and T; beside it, its alpha, sigma and log-SNR at all times.

    Linear betas run between the same two numbers whatever T is: see how far from noise a shorter schedule ends.
    """
    x0 = show.to_tensor([picture])
    eps = noise_like(x0, torch.Generator().manual_seed(0))

    def draw(time, shape, T):
        import matplotlib.pyplot as plt

        schedule, t = Discrete(BETAS[shape](T)), round(time * T)
        ts = torch.linspace(0, T, 201).round()
        (alpha, sigma), log_snr = schedule(ts), schedule.snr(ts).log10() * 10
        at = 10 * schedule.snr(t).log10().item()
        fig, (left, middle, right) = plt.subplots(1, 3, figsize=(8.4, 2.6), dpi=80, layout="none")
        fig.subplots_adjust(0.01, 0.18, 0.99, 0.88, wspace=0.2)  # a layout by matplotlib takes as long as the rest
        left.imshow(show.to_pil(schedule.add_noise(x0, eps, t))[0], interpolation="nearest")
        left.set(xticks=[], yticks=[], title=f"t = {t} of {T}")
        for curve, name, colour, style in ((alpha, "alpha", "#0072B2", "-"), (sigma, "sigma", "#D55E00", "--")):
            middle.plot(ts, curve, style, color=colour, label=name)
        middle.set(xlabel="t", title="alpha {:.3f}, sigma {:.3f}".format(*(a.item() for a in schedule(t))))
        middle.legend(frameon=False)
        right.plot(ts, log_snr.clamp(-60, 60), color="#009E73")
        right.axhline(0, color="gray", linewidth=0.8)
        right.set(xlabel="t", ylim=(-60, 60), title=f"log-SNR {at:z.1f} dB")
        for ax in (middle, right):
            ax.axvline(t, color="black", linewidth=0.8, linestyle=":")
        return fig

    return play(draw, time=[i / 20 for i in range(21)], shape=list(BETAS), T=[100, 250, 500, 1000, 2000, 4000])


def denoising(pipe: StableDiffusion, trace: Trace, picture: int = 0) -> Dials:
    """The steps of a drawing: the state, the estimate of x_0 that it gave, and the two that guidance made it of.

    trace    `pipe(..., trace=True)`, of that pipeline
    picture  which of the trace's pictures, from 0
    """

    @cache  # decoding all steps at once would take seconds
    def draw(step):
        call = trace.calls[step - 1]
        views = {
            f"state, t = {call.t:g}": call.x,
            "estimate of x_0": call.x0,
            "by the prompt alone": call.x0_cond,
            "by the negative prompt": call.x0_uncond,
        }
        views = {name: latents[picture] for name, latents in views.items() if latents is not None}
        return show.grid(pipe.decode(torch.stack(list(views.values()))), len(views), list(views), size=160)

    return play(draw, step=range(1, len(trace.calls) + 1))


def attention(pipe: StableDiffusion, trace: Trace, picture: int = 0) -> Dials:
    """Click a word: where does the picture look at it, by cross-attention layer and step?

    Beside it the estimate of x_0. The map is drawn from its smallest number, dark, to its largest, bright, which are
    written below: the share of a place's attention that the word gets, a mean over heads. Arguments: see `denoising`.
    """
    end = trace.tokens[picture].index(EOS)
    words = {"start": 0}
    for i, token in enumerate(trace.tokens[picture][1:end], 1):
        word = token.removesuffix("</w>")
        words[word if word not in words else f"{word} ({i})"] = i
    words["end"] = end
    layers = {}
    for name, maps in trace.calls[0].attention.items():
        height, width = _sides(maps, trace)
        part, *numbers = name.removesuffix(".block.attn2").replace("_block.attentions", "").split(".")
        layers[f"{part.removesuffix('_blocks')} {'.'.join(n for n in numbers if n.isdigit())}, {height}×{width}"] = name

    @cache
    def estimate(step):
        return pipe.decode(trace.calls[step - 1].x0[picture : picture + 1])[0]

    def draw(word, layer, step):
        call = trace.calls[step - 1]
        maps = call.attention[layers[layer]]
        share = maps[picture, :, words[word]].reshape(_sides(maps, trace))
        captions = [f"estimate of x_0, t = {call.t:g}", f"{word}: {share.min():.1%} to {share.max():.1%}"]
        return show.grid([estimate(step), overlay(estimate(step), share)], 2, captions, size=224)

    start = {"layer": list(layers)[-1]}  # it has the finest maps of things
    return play(draw, start=start, word=list(words), layer=list(layers), step=range(1, len(trace.calls) + 1))


def _sides(maps: torch.Tensor, trace: Trace) -> tuple[int, int]:
    """Height and width of maps (B, h * w, N): the latents', halved some times, rounded up."""
    height, width = trace.states[0].shape[2:]
    factor = round(math.sqrt(height * width / maps.shape[1]))
    return math.ceil(height / factor), math.ceil(width / factor)


def overlay(picture: Image.Image, share: torch.Tensor) -> Image.Image:
    """The picture in grey, on which a map (h, w) glows, from its smallest number, dark, to its largest, bright."""
    from matplotlib import colormaps

    heat = (share - share.min()) / (share.max() - share.min()).clamp(min=1e-9)
    heat = Image.fromarray(heat.numpy().astype("float32")).resize(picture.size, Image.Resampling.BICUBIC)
    glow = colormaps["inferno"](np.asarray(heat))[..., :3]
    grey = np.asarray(picture.convert("L"))[..., None] / 255
    return Image.fromarray((255 * (0.35 * grey + 0.65 * glow)).astype("uint8"))
