"""11.5 all of it: your own text_to_image."""

from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType

import torch

from minidiff import data
from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole
from minidiff.checks.solution import Solution
from minidiff.clip import CLIPText, TextConfig
from minidiff.denoise import X0, Prediction, V
from minidiff.pipeline import WEIGHTS
from minidiff.sample import ddim
from minidiff.schedule import Discrete, cosine_betas, leading, linear_betas, linspace, zero_terminal_snr
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, VAEConfig

ATOL = 1  # of 255


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


def parts(g, prediction, betas, channels):
    tokenizer = _words()
    text = TextConfig(16, 1, 2, 32, vocab_size=len(tokenizer), max_position_embeddings=tokenizer.context)
    unet = UNetConfig(
        sample_size=4,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        attention=(True, False),
        heads=(2, 2),
        cross_attention_dim=16,
        norm_num_groups=4,
    )
    vae = VAEConfig(
        latent_channels=channels,
        block_out_channels=(8, 8),
        norm_num_groups=2,
        sample_size=8,
        scaling_factor=uniform(g, 0.3, 0.5),
    )
    nets = (_random(g, cls, config) for cls, config in ((CLIPText, text), (UNet, unet), (VAE, vae)))
    return Parts(tokenizer, *nets, Discrete(zero_terminal_snr(betas)), prediction)


def _brightness(pictures):
    """Their mean, in tenths of a step: what is cut off instead of rounded is half a step too dark."""
    return 10 * pictures.double().mean() if isinstance(pictures, torch.Tensor) else pictures


def cases(g):
    cases = []
    kinds = (3, 4, V, cosine_betas, 4, uniform(g, 2, 4)), (2, 3, X0, linear_betas, 3, uniform(g, 0.2, 0.7))
    for n, steps, prediction, make, channels, guidance in kinds:
        captions = [data.scene(whole(g, 0, 10**6)).caption for _ in range(n + 1)]
        T = steps * whole(g, 80, 140) + 1  # which the steps do not divide
        seeds = (
            (2 + torch.randperm(999, generator=g)[:n]).sort(descending=True).values.roll(n - 2).tolist()
        )  # in no order
        args = parts(g, prediction, make(T), channels), captions[1:], captions[0], seeds, steps, guidance
        cases.append(Case("text_to_image", args))
    return [*cases, Case("text_to_image", cases[0].args, read=_brightness)]


HINTS = """
Four parts, in this order: words, noise, denoising, pixels. Exercises 11.1 to 11.4 are these four; you may call your own
answers.

Sizes: parts.unet.config has in_channels and sample_size. parts.schedule.T is the last time of the schedule.

The denoiser: parts.schedule gives alpha and sigma at t, parts.prediction.to_x0 takes (x, answer, alpha, sigma).
minidiff.denoise.denoiser does both, if you prefer.

To find a mistake: set steps to 1 and guidance to 1 in both, yours and the pipeline, and compare. Then add one thing
after the other. With trace=True the pipeline shows all its states.
"""

MISTAKES = """
text_to_image := using(encode_prompts=swapped)
    You push away from the prompts, towards the negative one: in which order do the texts stand in the batch?
prompts, negative) -> prompts, "")
    The negative prompt has no effect: the empty text stands in its place.
prompts, negative) -> prompts[:1] * len(prompts), negative)
    All pictures were drawn from the first prompt.
times, guidance) -> times, 1.0)
    Guidance has no effect: that is the answer to the prompt alone.
times, guidance) -> times, guidance + 1)
    Guidance is one too strong: 1 should give the answer to the prompt.
times, guidance) -> times, guidance - 1)
    Guidance is one too weak: 1 should give the answer to the prompt.
first_latents(seeds, -> first_latents(seeds[:1] * len(seeds),
    All pictures start from the noise of the first seed.
first_latents(seeds, -> first_latents([seeds[0] + i for i in range(len(seeds))],
    You count up from the first seed. The others in the list are not used.
first_latents(seeds, -> first_latents(range(len(seeds)),
    You took a picture's place in the batch for its seed. The seeds are given.
text_to_image := using(first_latents=noise(lambda seeds, s: torch.randn(len(seeds), *s, generator=generator(seeds[0]))))
    One generator draws the noise of all pictures. Each has a seed, and so a generator, of its own.
text_to_image := using(first_latents=noise(lambda seeds, s: torch.stack([torch.randn(s, generator=generator(i), dtype=torch.float64) for i in seeds]).float()))
    The noise was drawn in double precision, which gives other numbers for the same seed.
config.in_channels, 1) -> 4, 1)
    The latents have 4 channels whatever the model is: the U-Net's config says how many it takes.
config.sample_size, config.sample_size, -> 16, 16,
    The latents are 16 wide whatever the model is: the U-Net's config says how wide they are.
draw_latents(parts.unet, -> draw_latents(lambda x, t, states: parts.unet(x, t + 1, states),
    The network is told our time. It counts from 0 where we count from 1.
trailing(parts.schedule.T, steps) -> trailing(1000, steps)
    Your times begin at 1000, whatever the schedule is: take its own last time.
text_to_image := using(trailing=leading)
    Your times are evenly spaced, but begin too early: the first should be the last of the schedule, pure noise.
text_to_image := using(trailing=lambda T, n: torch.arange(n, -1, -1).double() * (T // n))
    Your times begin a little too early: the first should be the last of the schedule, pure noise.
text_to_image := using(trailing=linspace)
    Your times go evenly from the last of the schedule to 1, and then to 0. The step should be the same all the way down
    to 0.
text_to_image := using(trailing=lambda T, n: torch.linspace(T, 0, n + 1).double())
    Your times are no whole numbers: those of trailing are rounded.
trailing(parts.schedule.T, steps) -> trailing(parts.schedule.T, steps - 1)
    There is one step too few.
trailing(parts.schedule.T, steps) -> trailing(parts.schedule.T, steps + 1)
    There is one step too many.
parts.prediction.to_x0 -> lambda x, answer, a, s: a * x - s * answer
    You take what the network says for a velocity. What it means, parts.prediction knows: it is not the same for all.
parts.prediction.to_x0 -> lambda x, answer, a, s: answer
    You take what the network says for the clean latents. What it means, parts.prediction knows: it is not the same for all.
parts.prediction.to_x0 -> lambda x, answer, a, s: (x - s * answer) / max(float(a), 1e-4)
    You take what the network says for the noise. What it means, parts.prediction knows: it is not the same for all.
text_to_image := using(ddim=lambda *args: ddim(*args, eta=1.0, generator=generator(0)))
    You add fresh noise at every step. DDIM adds none, unless it is asked to.
text_to_image := using(ddim=lambda f, x, levels, ts: ddim(f, x, levels, ts[:-1]))
    The state at time 0 is never reached: a step is missing at the end.
parts.vae.config.scaling_factor -> 1
    The scaling factor is forgotten: the decoder gets latents of another size than it was trained with.
parts.vae.config.scaling_factor -> 1 / parts.vae.config.scaling_factor
    You multiply by the scaling factor before decoding. On the way out it is undone.
parts.vae.config.scaling_factor -> 0.18215
    The scaling factor is that of Stable Diffusion 1, whatever the model is: its VAE's config has its own.
text_to_image := finished(lambda y: as_bytes(2 * y - 1))
    The decoder's values are taken for 0 to 1; they go from -1 to 1.
text_to_image := finished(lambda y: ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 1))
    What lies beyond -1 and 1 has wrapped around: clamp before you make bytes.
text_to_image := finished(lambda y: ((y + 1) * 127.5).clamp(0, 255).byte().permute(0, 2, 3, 1))
    Bytes made from floats are cut off, not rounded: all is half a step too dark.
text_to_image := finished(lambda y: as_bytes(y).permute(0, 3, 1, 2))
    The colours are still the second axis. Pictures as bytes have them last.
return to_pixels(parts.vae.decode, x, parts.vae.config.scaling_factor) -> return x
    Those are the latents. The pictures are what the VAE's decoder makes of them.
text_to_image := using(ddim=lambda f, x, levels, ts: ddim(lambda x, t: f(x, t).clamp(-1, 1), x, levels, ts))
    The guess of the latents is cut off at -1 and 1. Colours end there, latents do not.
times, guidance) -> times, guidance if guidance > 1 else 1.0)
    Guidance of less than 1 gives the answer to the prompt alone, as in diffusers. Here 0 gives that to the negative
    one, and between the two lies a mixture.
text_to_image := using(first_latents=lambda *args: sized(first_latents(*args), (1, 2, 3)))
    You bring each picture's noise to size 1. As it is drawn it is wanted: a little larger or smaller by chance.
text_to_image := using(first_latents=lambda *args: sized(first_latents(*args), (0, 1, 2, 3)))
    You bring the noise to size 1. As it is drawn it is wanted: a little larger or smaller by chance.
text_to_image := using(to_pixels=lambda decode, z, factor: to_pixels(decode, z.clamp(-1, 1), factor))
    The last latents are cut off at -1 and 1. Colours end there, latents do not.
text_to_image := using(to_pixels=lambda decode, z, factor: to_pixels(lambda z: decode(z.clamp(-1, 1)), z, factor))
    What the decoder gets is cut off at -1 and 1. Colours end there, latents do not.
first_latents(seeds, -> first_latents(sorted(seeds),
    You sorted the seeds: the pictures have changed places.
trailing(parts.schedule.T, steps) -> trailing(parts.schedule.T, steps)[1:]
    The first step is left out: the times begin at the last of the schedule.
times, guidance) -> times, 7.5)
    Guidance is 7.5 whatever is given.
return to_pixels( -> return 255 - to_pixels(
    The pictures are negatives: -1 is black, and 1 is white.
"""

RIGHT = """
text_to_image := picture_by_picture
config.sample_size, config.sample_size, config.in_channels, 1) -> 8 * config.sample_size, 8 * config.sample_size, config.in_channels)
"""

WRONG = """
parts.vae.config.scaling_factor -> parts.vae.config.scaling_factor**2
times, guidance) -> times, guidance / 2)
first_latents(seeds, -> 0.7 * first_latents(seeds,
to(device)\\n -> to(device).flip(2)\\n
text_to_image := finished(lambda y: as_bytes(y.mean(1, True).expand_as(y)))
text_to_image := finished(lambda y: as_bytes(y).float())
text_to_image := finished(lambda y: list(as_bytes(y)))
text_to_image := finished(lambda y: as_bytes(y).flip(1))
text_to_image := using(trailing=lambda T, n: torch.linspace(T, 0, n + 1).double().floor())
"""

EQUIVALENT = """
ids.to(device) -> ids
    the models of a check are on the CPU, where the ids are
first_latents(seeds, config.sample_size, config.sample_size, config.in_channels, 1).to(device) -> first_latents(seeds, config.sample_size, config.sample_size, config.in_channels, 1)
    the models of a check are on the CPU, where the noise is
"""


def using(**names):
    """The solution, with other things under these names."""
    solution = Solution.of("11.5")
    return FunctionType(solution.answers["text_to_image"].__code__, solution.namespace | names)


def as_bytes(y):
    return ((y + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def finished(change):
    """From what is made of the decoder's (B, 3, H, W)."""
    return using(to_pixels=lambda decode, z, factor: change(decode(z / factor)))


def noise(draw):
    """From the noise that seeds and the shape of one picture give."""
    return lambda seeds, width, height, channels, factor: draw(seeds, (channels, height // factor, width // factor))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def swapped(tokenize, encode, prompts, negative):
    return encode(tokenize(prompts + [negative] * len(prompts)))


def picture_by_picture(parts, prompts, negative, seeds, steps, guidance):
    draw = partial(using(), parts, negative=negative, steps=steps, guidance=guidance)
    return torch.cat([draw(prompts=[text], seeds=[seed]) for text, seed in zip(prompts, seeds, strict=True)])


def sized(x, axes):
    """With standard deviation 1 along these axes."""
    return x / x.std(axes, keepdim=True)
