"""Stable Diffusion, put together: words in, pictures out, and a trace of all that happened in between."""

import difflib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from minidiff import data
from minidiff.clip import CLIP, CLIPText
from minidiff.convert import load
from minidiff.denoise import Prediction, V, denoiser
from minidiff.guide import cfg
from minidiff.sample import ddim
from minidiff.schedule import Discrete, Schedule, cosine_betas, trailing
from minidiff.show import to_pil
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet
from minidiff.vae import VAE

WEIGHTS = Path(__file__).parent / "weights"


@dataclass
class Call:
    """One call of the denoiser on B pictures; tensors are latents, (B, 4, H / 8, W / 8), on the CPU."""

    t: float
    x: Tensor  #           the state it was given
    x0: Tensor  #          its estimate of the clean latents, guided
    x0_cond: Tensor  #     the same for the prompt alone
    x0_uncond: Tensor | None  #                       and for the negative prompt; None at guidance 1, which needs none
    attention: dict[str, Tensor] = field(default_factory=dict)
    """Cross-attention layer -> (B, h * w, N), mean over heads: how much each position looks at each token."""


@dataclass
class Trace:
    """Everything that happened while pictures were drawn."""

    prompts: list[str]
    tokens: list[list[str]]  #     of each prompt, N with start, end and padding
    context: Tensor  #             (B, N, D), the text states that the U-Net reads
    times: Tensor  #               (steps + 1,), descending to 0
    states: list[Tensor] = field(default_factory=list)  #   steps + 1 latents, from pure noise to the picture's
    calls: list[Call] = field(default_factory=list)  #      one a step, or more, by the sampler
    images: list[Image.Image] = field(default_factory=list)


class StableDiffusion:
    """Text to picture by diffusion in a VAE's latents, guided by a text encoder (Rombach et al. 2022)."""

    def __init__(
        self,
        vae: VAE,
        unet: UNet,
        text: CLIPText,
        tokenizer: Tokenizer,
        schedule: Schedule | None = None,
        prediction: Prediction = V,
        words: Sequence[str] | None = None,
    ):
        """The parts. `schedule` is the cosine one unless given; `words` are those the text was taught, if known."""
        self.vae, self.unet, self.text, self.tokenizer = vae, unet, text, tokenizer
        self.schedule = Discrete(cosine_betas(1000)) if schedule is None else schedule
        self.prediction, self.words = prediction, words

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "openmoji", device: torch.device | str | None = None
    ) -> "StableDiffusion":
        """The shipped weights, "openmoji", or a folder with vae, clip and unet.safetensors and a tokenizer.json."""
        folder = WEIGHTS if name == "openmoji" else Path(name)
        if not folder.is_dir():
            raise ValueError(f"no weights {str(name)!r}: give 'openmoji', the shipped ones, or a folder with your own")
        device = find_device(device)
        vae, unet, clip = (load(m, folder / f"{m.__name__.lower()}.safetensors", device) for m in (VAE, UNet, CLIP))
        return cls(vae, unet, clip.text_model, Tokenizer.load(folder), words=data.WORDS)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] = "",
        *,
        steps: int = 25,
        guidance: float = 4.0,
        sampler: Callable = ddim,
        seed: int | Sequence[int] = 0,
        latents: Tensor | None = None,
        progress: bool = True,
        trace: bool = False,
    ) -> list[Image.Image] | Trace:
        """One picture a prompt.

        guidance   0 ignores the prompt, 1 follows it as learned, more exaggerates it: see `guide.cfg`
        sampler    a function of minidiff.sample
        seed       picture i starts from the noise of seed + i; or a seed for each. Same seed, same picture
        latents    noise to start from instead, (B, 4, H / 8, W / 8)
        trace      return a Trace, whose .images the pictures are

        Warns of words the model was never taught, and of what does not fit into its context. ValueError for
        arguments that make no sense.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        negatives = [negative_prompt] if isinstance(negative_prompt, str) else list(negative_prompt)
        self._check(prompts, negatives, steps, guidance, sampler)
        ids = torch.cat([self.tokenizer(negatives).expand(len(prompts), -1), self.tokenizer(prompts)])
        uncond, cond = self.text(ids.to(self.device)).chunk(2)
        times = trailing(self.schedule.T, steps)
        x, generator = self._noise(len(prompts), seed, latents)

        record = Trace(prompts, [self.tokenizer.tokens(p) for p in prompts], cond.cpu(), times, states=[x.cpu()])
        denoise = denoiser(self.unet, self.schedule, self.prediction)
        if trace:
            guided = self._traced(denoise, cond, uncond, guidance, record.calls)
        else:
            guided = cfg(denoise, cond, uncond, guidance)
        states = sampler(guided, x, self.schedule, times, generator=generator)
        for x in tqdm(states, "drawing", steps, disable=not progress, leave=False):
            record.states.append(x.cpu())
        record.images = self.decode(x)
        return record if trace else record.images

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents (B, 4, H / 8, W / 8), such as a state of a Trace, as pictures."""
        parts = (latents.to(self.device) / self.vae.config.scaling_factor).split(8)  #  8 at a time, to spare memory
        return to_pil(torch.cat([self.vae.decode(part) for part in parts]))

    @property
    def device(self) -> torch.device:
        return self.unet.conv_in.weight.device

    def _noise(self, n: int, seed: int | Sequence[int], latents: Tensor | None) -> tuple[Tensor, torch.Generator]:
        """(the first state, the generator of all later noise). Drawn on the CPU, so that a seed means one picture."""
        seeds = [seed + i for i in range(n)] if isinstance(seed, int) else list(seed)
        if len(seeds) != n or not all(isinstance(s, int) and 0 <= s < 2**63 for s in seeds):
            raise ValueError(f"seed is {seed!r}, expected a whole number from 0, or a list of {n}, one for each prompt")
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        shape = (self.unet.config.in_channels, self.unet.config.sample_size, self.unet.config.sample_size)
        if latents is None:
            latents = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
            # as in training, where the last state still holds a little of the picture, unless the schedule ends in none
            latents = latents * self.schedule(self.schedule.T)[1].item()
        elif latents.ndim != 4 or len(latents) != n or latents.shape[1] != shape[0]:
            raise ValueError(f"latents are {tuple(latents.shape)}, expected ({n}, {shape[0]}, height / 8, width / 8)")
        return latents.float().to(self.device), generators[0]

    def _traced(self, denoise, cond: Tensor, uncond: Tensor, scale: float, calls: list[Call]):
        """`guide.cfg`, its two halves and the attention maps kept."""
        layers = {name: layer for name, layer in self.unet.named_modules() if name.endswith("attn2")}

        def guided(x: Tensor, t) -> Tensor:
            parts, attention = [], {}

            def parted(x, t, context):
                out = denoise(x, t, context)
                parts.extend(out.cpu().chunk(len(out) // len(cond)))
                return out

            def look(name):
                return lambda layer, args, out: attention.update({name: layer.maps(*args)[-len(cond) :].mean(1).cpu()})

            hooks = [layer.register_forward_hook(look(name)) for name, layer in layers.items()]
            try:
                x0 = cfg(parted, cond, uncond, scale)(x, t)
            finally:
                for hook in hooks:
                    hook.remove()
            calls.append(Call(float(t), x.cpu(), x0.cpu(), parts[-1], parts[0] if len(parts) == 2 else None, attention))
            return x0

        return guided

    def _check(self, prompts, negatives, steps, guidance, sampler) -> None:
        for text in (*prompts, *negatives):
            if not isinstance(text, str):
                raise ValueError(f"a prompt is {text!r}, expected text")
        if not prompts or len(negatives) not in (1, len(prompts)):
            raise ValueError(
                f"got {len(prompts)} prompts and {len(negatives)} negative ones: give one for each, or one"
            )
        if not isinstance(steps, int) or not 1 <= steps <= self.schedule.T:
            raise ValueError(f"steps is {steps!r}, expected a whole number from 1 to {self.schedule.T}")
        if not isinstance(guidance, int | float) or not math.isfinite(guidance) or guidance < 0:
            raise ValueError(f"guidance is {guidance!r}, expected a number from 0; 4 is usual, 1 is none")
        if not callable(sampler):
            raise ValueError(f"sampler is {sampler!r}, expected a function of minidiff.sample, such as ddim")
        for text in dict.fromkeys((*prompts, *negatives)):  #  stacklevel 4: the caller of the pipeline, past no_grad
            if rest := self.tokenizer.cut(text):
                warnings.warn(
                    f"the prompt is longer than {self.tokenizer.context - 2} tokens: {rest!r} is cut", stacklevel=4
                )
            unknown = [w for w in re.findall(r"[^\W\d_]+", text.lower()) if self.words and w not in self.words]
            for word in dict.fromkeys(unknown):
                close = ", ".join(difflib.get_close_matches(word, self.words, n=3, cutoff=0.0))
                warnings.warn(
                    f"the model was never taught the word {word!r}; the nearest it knows: {close}", stacklevel=4
                )


def find_device(device: torch.device | str | None = None) -> torch.device:
    """`device`, else CUDA, MPS or CPU, the first that is there. ValueError if it is not."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(name for name, available in there.items() if available))
    if not there.get(str(device).split(":")[0]):
        usable = ", ".join(name for name, available in there.items() if available)
        raise ValueError(f"device {str(device)!r} is not there, expected one of: {usable}")
    return torch.device(device)
