"""Stable Diffusion, put together: words in, pictures out, and a trace of all that happened in between."""

import difflib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from minidiff import convert, data
from minidiff.canvas import Canvas, one_or_each, size
from minidiff.clip import CLIP, CLIPText
from minidiff.convert import WeightsError, load
from minidiff.denoise import Prediction, V, denoiser
from minidiff.guide import cfg, controlled, inpaint
from minidiff.sample import ddim, plms
from minidiff.schedule import Discrete, Schedule, cosine_betas, noise_like, trailing, zero_terminal_snr
from minidiff.show import to_pil, to_tensor
from minidiff.tokenizer import Tokenizer
from minidiff.trace import Trace, traced_cfg
from minidiff.unet import UNet
from minidiff.vae import VAE

WEIGHTS = Path(__file__).parent / "weights"
PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
# Parts of a checkpoint that have no share in the picture, or are given as `control`.
IGNORED = ("safety_checker", "feature_extractor", "controlnet")
# The shipped U-Net's. It ends in pure noise: at the plain cosine's end, sigma / alpha = 20,000 multiplies every slope
SCHEDULE = Discrete(zero_terminal_snr(cosine_betas(1000)))


class StableDiffusion:
    """Text to picture by diffusion in a VAE's latents, guided by a text encoder (Rombach et al. 2022)."""

    def __init__(
        self,
        vae: VAE,
        unet: UNet,
        text: CLIPText,
        tokenizer: Tokenizer,
        schedule: Schedule = SCHEDULE,
        prediction: Prediction = V,
        words: Sequence[str] | None = None,
        scheduler: dict | None = None,
    ):
        """The parts. `words` are those the text was taught, if known.

        With `scheduler`, the config of one of diffusers' schedulers, schedule and prediction are that one's.
        """
        self.vae, self.unet, self.text, self.tokenizer = vae, unet, text, tokenizer
        self.schedule, self.prediction, self.words, self.scheduler = schedule, prediction, words, scheduler
        if scheduler is not None:
            self.schedule, self.prediction, *_ = convert.scheduler(scheduler, 10)  #  the same for any number of steps

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "openmoji", device: torch.device | str | None = None
    ) -> "StableDiffusion":
        """The shipped weights, "openmoji", or a folder with vae, clip and unet.safetensors and a tokenizer.json."""
        folder, device = find_weights(name), find_device(device)
        vae, unet, clip = (load(m, folder / f"{m.__name__.lower()}.safetensors", device) for m in (VAE, UNet, CLIP))
        return cls(_quick(vae), _quick(unet), clip.text_model, Tokenizer.load(folder), words=data.WORDS)

    @classmethod
    def from_diffusers(cls, folder: str | Path, device: torch.device | str | None = None) -> "StableDiffusion":
        """What `save_pretrained` of diffusers wrote, such as a folder of Stable Diffusion 1.5 or 2.1.

        It then draws as diffusers does: the scheduler in the folder gives schedule, times and prediction, and the
        sampler, unless another is asked for. WeightsError, in one line, for what is missing or not implemented.
        """
        folder, device = Path(folder), find_device(device)
        for part, (_, kind) in convert.read_index(folder).items():
            if kind is not None and part not in (*PARTS, *IGNORED):
                raise WeightsError(
                    f"{folder} has a {part}, {kind}, which minidiff does not implement: give another one"
                )
        vae = VAE.from_diffusers(folder / "vae", device)
        unet = UNet.from_diffusers(folder / "unet", device)
        text = CLIPText.from_diffusers(folder / "text_encoder", device)
        if unet.config.in_channels != vae.config.latent_channels:
            got = f"in_channels = {unet.config.in_channels}, expected the VAE's {vae.config.latent_channels}"
            raise WeightsError(f"{folder / 'unet'} has {got}: the kind for inpainting alone is not implemented")
        scheduler = convert.read_json(folder / "scheduler" / "scheduler_config.json", "download it again")
        return cls(_quick(vae), _quick(unet), text, Tokenizer.load(folder / "tokenizer"), scheduler=scheduler)

    def to_diffusers(self, folder: str | Path) -> None:
        """Write a folder from which diffusers' `StableDiffusionPipeline.from_pretrained` draws the same pictures."""
        folder = Path(folder)
        self.vae.to_diffusers(folder / "vae")
        self.unet.to_diffusers(folder / "unet")
        self.text.to_diffusers(folder / "text_encoder")
        self.tokenizer.save(folder / "tokenizer")
        scheduler = self.scheduler or convert.ddim_config(self.schedule, self.prediction)
        convert.write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
        convert.write_index(folder)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] = "",
        *,
        steps: int = 25,
        guidance: float = 4.0,
        sampler: Callable | None = None,
        seed: int | Sequence[int] = 0,
        image: Image.Image | Sequence[Image.Image] | None = None,
        strength: float = 0.8,
        mask: Image.Image | np.ndarray | None = None,
        margins: tuple[int, int, int, int] | None = None,
        control: tuple | list[tuple] | None = None,
        latents: Tensor | None = None,
        progress: bool = True,
        trace: bool = False,
    ) -> list[Image.Image] | Trace:
        """One picture a prompt.

        guidance   0 ignores the prompt, 1 follows it as learned, more exaggerates it: see `guide.cfg`
        sampler    a function of minidiff.sample; if none, ddim, or the one of the folder's scheduler
        seed       picture i starts from the noise of seed + i; or a seed for each. Same seed, same picture
        image      redraw this one, or one for each prompt, instead of drawing from nothing (Meng et al. 2022, SDEdit)
        strength   the share of the steps that are done on it, in (0, 1]: small keeps it, 1 all but forgets it
        mask       of the image, white (or True, or 1) is redrawn; all else is kept, pixel for pixel
        margins    (left, top, right, bottom) pixels to add around the image, drawn from nothing, as if masked
        control    (controlnet, hint, scale) or a list of them; the hint a picture such as it was trained on, or a list
                   of one for each prompt
        latents    noise to start from instead, (B, 4, H / 8, W / 8); not with an image
        trace      return a Trace, whose .images the pictures are

        All of them combine, but for `mask` and `margins`, which need an image. Warns of words the model was never
        taught, and of what does not fit into its context. ValueError for arguments that make no sense.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        negatives = [negative_prompt] if isinstance(negative_prompt, str) else list(negative_prompt)
        self._check(prompts, negatives, steps, guidance, sampler)
        generators = self._generators(seed, len(prompts))
        canvas = None if image is None else Canvas.of(len(prompts), image, mask, margins, self.factor)
        if image is None and (mask is not None or margins is not None):
            raise ValueError("got a mask or margins without an image: give the picture that they belong to")

        ids = torch.cat([self.tokenizer(negatives).expand(len(prompts), -1), self.tokenizer(prompts)])
        uncond, cond = self.text(ids.to(self.device)).chunk(2)
        schedule, prediction, sampler, times, start = self._process(sampler, steps)
        if canvas is None:
            x = self._noise(generators, latents, start)
        else:
            if latents is not None:
                raise ValueError("got latents and an image, expected one of them: the noise is added to the image")
            if self.scheduler is not None and sampler is plms:
                raise ValueError("diffusers' PNDM does not start from an image as others do: give sampler=ddim")
            times = times[self._skipped(steps, 1.0 if margins else strength) :]
            x, known, redrawn = self._noised(canvas, schedule, times[0], generators)

        record = Trace(prompts, [self.tokenizer.tokens(p) for p in prompts], cond.cpu(), times, states=[x.cpu()])
        control = self._hints(control, x)
        net = self.unet
        for controlnet, hint, scale in reversed(control):  #  the first is asked first
            net = controlled(net, controlnet, hint, scale)
        denoise = denoiser(net, schedule, prediction)
        if trace:
            controlnets = [controlnet for controlnet, _, _ in control]
            guided = traced_cfg(denoise, cond, uncond, guidance, self.unet, controlnets, record.calls)
        else:
            guided = cfg(denoise, cond, uncond, guidance)
        if canvas is not None and canvas.mask is not None:
            guided = inpaint(guided, known, redrawn)
        states = sampler(guided, x, schedule, times, generator=generators)
        for x in tqdm(states, "drawing", len(times) - 1, disable=not progress, leave=False):
            record.states.append(x.cpu())
        if canvas is not None and canvas.mask is not None:
            x = redrawn * x + (1 - redrawn) * known  #  Stable Diffusion's times end at 1, not at 0
            record.states[-1] = x.cpu()
        record.images = self.decode(x)
        if canvas is not None:
            record.images = canvas.paste(record.images)
        return record if trace else record.images

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents (B, 4, H / 8, W / 8), such as a state of a Trace, as pictures."""
        parts = (latents.to(self.device) / self.vae.config.scaling_factor).split(8)  #  8 at a time, to spare memory
        return to_pil(torch.cat([self.vae.decode(part) for part in parts]))

    @property
    def factor(self) -> int:
        """How many pixels a latent is wide and high."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def device(self) -> torch.device:
        return self.unet.conv_in.weight.device

    def _generators(self, seed: int | Sequence[int], n: int) -> list[torch.Generator]:
        """One a picture. They draw on the CPU, so that a seed means one picture everywhere."""
        seeds = [seed + i for i in range(n)] if isinstance(seed, int) else list(seed)
        if len(seeds) != n or not all(isinstance(s, int) and 0 <= s < 2**63 for s in seeds):
            raise ValueError(f"seed is {seed!r}, expected a whole number from 0, or a list of {n}, one for each prompt")
        return [torch.Generator().manual_seed(s) for s in seeds]

    def _process(self, sampler: Callable | None, steps: int) -> tuple:
        """(schedule, prediction, sampler, times, scale of the first state's noise)"""
        if self.scheduler is None:
            # as in training, where the last state still holds a little of the picture, unless the schedule ends in none
            start = self.schedule(self.schedule.T)[1].item()
            return self.schedule, self.prediction, sampler or ddim, trailing(self.schedule.T, steps), start
        config = self.scheduler
        if sampler is not None:
            config = convert.with_sampler(config, sampler)
        schedule, prediction, own, times, _ = convert.scheduler(config, steps)
        return schedule, prediction, sampler or own, times, convert.init_noise_sigma(config, steps)

    def _noise(self, generators: list[torch.Generator], latents: Tensor | None, start: float) -> Tensor:
        """The first state, where there is nothing to start from: noise, `start` times as large as in N(0, 1)."""
        config, n = self.unet.config, len(generators)
        if latents is None:
            shape = (n, config.in_channels, config.sample_size, config.sample_size)
            latents = start * noise_like(torch.empty(shape), generators)
        elif latents.ndim != 4 or len(latents) != n or latents.shape[1] != config.in_channels:
            raise ValueError(
                f"latents are {tuple(latents.shape)}, expected ({n}, {config.in_channels}, height / 8, width / 8)"
            )
        return latents.float().to(self.device)

    @staticmethod
    def _skipped(steps: int, strength: float) -> int:
        """How many of the steps an image stands for."""
        if not isinstance(strength, int | float) or not 0 < strength <= 1:
            raise ValueError(f"strength is {strength!r}, expected a number above 0, to 1")
        if (done := int(steps * strength)) == 0:
            raise ValueError(f"strength {strength} of {steps} steps is no step: give at least {1 / steps:.3g}")
        return steps - done

    def _noised(
        self, canvas: Canvas, schedule: Schedule, t: Tensor, generators
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(the state at time t, the canvas's latents, where they are redrawn), the mask at the latents' size."""
        pairs = zip(canvas.pictures, generators, strict=True)
        known = torch.cat([self.vae.encode(picture[None].to(self.device)).sample(g) for picture, g in pairs])
        known = known * self.vae.config.scaling_factor
        eps = noise_like(known, generators)
        x = schedule.add_noise(known, eps, t)
        if canvas.mask is None:
            return x, known, None
        redrawn = F.interpolate(canvas.mask.float(), size=known.shape[2:]).to(self.device)
        if not redrawn.any():  #  of each latent's pixels, the upper left one is asked, as in diffusers
            warnings.warn("the mask is so thin that no latent is redrawn: make it 8 pixels wide or more", stacklevel=4)
        if t == schedule.T:  #  strength 1: what is redrawn starts from nothing
            x = redrawn * eps + (1 - redrawn) * x
        return x, known, redrawn

    def _hints(self, control, x: Tensor) -> list[tuple]:
        """`control` as a list of (controlnet, hints, scale), hints a tensor (1 or B, 3, H, W) in [0, 1], checked."""
        expected, out = f"{self.factor * x.shape[3]}x{self.factor * x.shape[2]}", []
        for item in control if isinstance(control, list) else [] if control is None else [control]:
            match item:
                case (controlnet, hint, float() | int() as scale) if callable(controlnet) and math.isfinite(scale):
                    pass
                case _:
                    raise ValueError(f"control is {item!r}, expected (controlnet, hint, scale), or a list of them")
            hints = to_tensor(one_or_each("the hint", hint, len(x)))
            if size(hints) != expected:
                raise ValueError(f"the hint is {size(hints)} pixels, expected the picture's {expected}")
            out.append((controlnet, ((hints + 1) / 2).to(self.device), scale))
        return out

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
        if sampler is not None and not callable(sampler):
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


def _quick(model: nn.Module) -> nn.Module:
    """The model with its weights in channels-last order, in which convolutions are quicker."""
    return model.to(memory_format=torch.channels_last)


def find_weights(name: str | Path) -> Path:
    """The folder of the shipped weights, "openmoji", or another one. ValueError if it is not there."""
    folder = WEIGHTS if name == "openmoji" else Path(name)
    if not folder.is_dir():
        raise ValueError(f"no weights {str(name)!r}: give 'openmoji', the shipped ones, or a folder with your own")
    return folder


def find_device(device: torch.device | str | None = None) -> torch.device:
    """`device`, else CUDA, MPS or CPU, the first that is there. ValueError if it is not."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(name for name, available in there.items() if available))
    if not there.get(str(device).split(":")[0]):
        usable = ", ".join(name for name, available in there.items() if available)
        raise ValueError(f"device {str(device)!r} is not there, expected one of: {usable}")
    return torch.device(device)
