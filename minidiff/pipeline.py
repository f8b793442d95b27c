"""Stable Diffusion, put together: words in, pictures out, and a trace of all that happened in between."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from minidiff import arguments, convert, parts
from minidiff.adapt import Adaptable
from minidiff.arguments import begun, named
from minidiff.canvas import Canvas, size
from minidiff.clip import CLIPText
from minidiff.controlnet import ControlNet
from minidiff.denoise import Prediction, V, clipped, denoiser
from minidiff.dit import DiT
from minidiff.guide import cfg, controlled, inpaint, inpaint9
from minidiff.pictures import one_or_each
from minidiff.precision import find_device
from minidiff.prompts import Sizes, Words
from minidiff.sample import consistency, ddim, plms
from minidiff.schedule import Discrete, Schedule, cosine_betas, noise_like, trailing, zero_terminal_snr
from minidiff.show import to_pil, to_tensor
from minidiff.tokenizer import Tokenizer
from minidiff.trace import Drawing, Trace, traced_cfg
from minidiff.unet import UNet, text_of
from minidiff.vae import VAE, WHOLE, TinyDecoder

WEIGHTS = parts.WEIGHTS
# The shipped U-Net's. It ends in pure noise: at the plain cosine's end, sigma / alpha = 20,000 multiplies every slope
SCHEDULE = Discrete(zero_terminal_snr(cosine_betas(1000)))


class StableDiffusion(Adaptable):
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
        scheduler_config: dict | None = None,
        sampler: Callable | None = None,
        read: Callable | None = None,
        device: torch.device | None = None,
        fast: bool = False,
        decoder: TinyDecoder | None = None,
    ):
        """The parts; `unet` is the network, a transformer in SD 3 and FLUX. `words` are those the text was taught, if
        known. `sampler` draws where a call names none. `read` is how prompts are read, one of minidiff.prompts; if
        none, by `text` and `tokenizer`. `device` is where to compute, if not where the network is. `fast` says that the
        network is a student, of `train.consistency`, which draws in few steps and without guidance. The small `decoder`
        draws what is shown on the way to a picture; if none, the VAE does.

        With `scheduler_config`, of one of diffusers' schedulers, schedule and prediction are that one's, and so is the
        sampler, unless one is given.
        """
        super().__init__()
        self.vae, self.unet, self.text, self.tokenizer, self.words = vae, unet, text, tokenizer, words
        self.schedule, self.prediction, self.fast, self._device = schedule, prediction, fast, device
        self.read, self.decoder = read or Words(text, tokenizer), decoder
        self.sampler = sampler or (consistency if fast else None)
        self.steps, self.guidance = (2, 1.0) if fast else (25, 4.0)  # where a call does not say
        if scheduler_config is not None:
            if sampler is not None:
                scheduler_config = convert.with_sampler(scheduler_config, sampler)
            self.schedule, self.prediction, *_ = convert.scheduler(scheduler_config, 1, 1)  # the same for any
        self.scheduler_config = scheduler_config

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "openmoji", device: torch.device | str | None = None, fast: bool = False
    ) -> "StableDiffusion":
        """The shipped weights, "openmoji", or a folder with vae, clip and unet.safetensors and a tokenizer.json.

        With `fast`, student.safetensors takes the unet's place: it draws by `consistency`, in 2 steps without guidance,
        unless a call asks for another sampler, or for 1 to 8 steps.
        """
        return cls(**parts.from_weights(parts.find_weights(name), find_device(device), fast), fast=fast)

    @classmethod
    def from_diffusers(
        cls,
        folder: str | Path,
        device: torch.device | str | None = None,
        sampler: Callable | None = None,
        config: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
        offload: bool = False,
    ) -> "StableDiffusion":
        """What `save_pretrained` of diffusers wrote: a folder of Stable Diffusion 1, 2, XL, Turbo, LCM, 3, 3.5, FLUX.1.

        Or one .safetensors file with all weights by the original code's names, as most community models are: sizes,
        tokenizer and scheduler are then those of `config`, a folder for the same model, as in `from_single_file` there.

        It then draws as diffusers does: the scheduler in the folder gives schedule, times and prediction, and the
        sampler, unless another is asked for. `sampler` takes the place of a scheduler that minidiff does not have, as
        `from_pretrained(folder, scheduler=...)` does there. WeightsError, in one line and before any weight is read,
        for what is missing or not implemented.

        `dtype` is the precision of network and text encoders: float32, float16 or bfloat16; the VAE keeps single
        precision, as its activations overflow float16. With `offload`, a part is on the device only while it works, and
        in the memory of the CPU otherwise; the last one stays until another comes.
        """
        return cls(**parts.from_diffusers(Path(folder), find_device(device), sampler, config, dtype, offload))

    def to_diffusers(self, folder: str | Path) -> None:
        """Write a folder from which diffusers draws the same pictures. WeightsError for SDXL, SD 3 and FLUX."""
        parts.to_diffusers(self, Path(folder))

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = "",
        *,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: Callable | None = None,
        seed: int | Sequence[int] = 0,
        height: int | None = None,
        width: int | None = None,
        image: Image.Image | Sequence[Image.Image] | None = None,
        strength: float = 0.8,
        mask: Image.Image | np.ndarray | None = None,
        margins: tuple[int, int, int, int] | None = None,
        control: tuple | list[tuple] | None = None,
        sizes: Sizes | None = None,
        refiner: tuple["StableDiffusion", float] | None = None,
        ip_image: Image.Image | Sequence[Image.Image] | None = None,
        ip_scale: float = 1.0,
        latents: Tensor | None = None,
        progress: bool = True,
        trace: bool = False,
    ) -> list[Image.Image] | Trace:
        """One picture a prompt.

        steps      if none, 25; of a fast pipeline 2, and at most 8
        guidance   if none, 4, of a fast pipeline 1; 0 ignores the prompt, 1 follows it as learned, more exaggerates it:
                   see `guide.cfg`; what LCMs and FLUX make of it, `prompts` says
        sampler    a function like those of minidiff.sample; if none, ddim, or the folder's; if fast, consistency
        seed       picture i starts from the noise of seed + i; or a seed for each. Same seed, same picture
        height     in pixels, a multiple of 8, as is the width, of 16 in SD 3 and FLUX; if none, what it was trained at
        image      redraw this one, or one for each prompt, instead of drawing from nothing (Meng et al. 2022, SDEdit)
        strength   the share of the steps that are done on it, in (0, 1]: small keeps it, 1 all but forgets it
        mask       of the image, white (or True, or 1) is redrawn; all else is kept, pixel for pixel
        margins    (left, top, right, bottom) pixels to add around the image, drawn from nothing, as if masked
        control    (controlnet, hint, scale) or a list of them; the hint a picture such as it was trained on, or a list
                   of one for each prompt
        sizes      what SDXL is told of the picture, `prompts.Sizes`; if none, the size that is drawn, and no crop
        refiner    (pipeline, share): another one's U-Net, told the prompts in its way, draws that last share of time
        ip_image   what the picture shows, one or one for each prompt, through the IP-Adapter of `load_ip_adapter`
        ip_scale   how much that counts beside the prompt: 0 not at all
        latents    noise to start from instead, (B, 4 or 16, H / 8, W / 8); not with an image
        trace      return a Trace, whose .images the pictures are

        All of them combine; but `mask` and `margins` need an image, and `latents` go without one. Pictures may be of
        any kind: `pictures` says how they are read. Warns of words the model was never taught, and of what does not fit
        into its context. ValueError, in one line, for arguments that make no sense, before anything is drawn.
        """
        arguments.check_flags(progress=progress)
        drawing = self.draw(
            prompt, negative_prompt, steps=steps, guidance=guidance, sampler=sampler, seed=seed, height=height,
            width=width, image=image, strength=strength, mask=mask, margins=margins, control=control, sizes=sizes,
            refiner=refiner, ip_image=ip_image, ip_scale=ip_scale, latents=latents, trace=trace,
        )  # fmt: skip
        for _ in tqdm(drawing, "drawing", len(drawing.trace.times) - 1, disable=not progress, leave=False):
            pass
        drawing.trace.images = drawing.images()
        return drawing.trace if trace else drawing.trace.images

    @torch.no_grad()
    def draw(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = "",
        *,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: Callable | None = None,
        seed: int | Sequence[int] = 0,
        height: int | None = None,
        width: int | None = None,
        image: Image.Image | Sequence[Image.Image] | None = None,
        strength: float = 0.8,
        mask: Image.Image | np.ndarray | None = None,
        margins: tuple[int, int, int, int] | None = None,
        control: tuple | list[tuple] | None = None,
        sizes: Sizes | None = None,
        refiner: tuple["StableDiffusion", float] | None = None,
        ip_image: Image.Image | Sequence[Image.Image] | None = None,
        ip_scale: float = 1.0,
        latents: Tensor | None = None,
        trace: bool = False,
    ) -> Drawing:
        """The same step by step: a generator of (state, estimate of x_0), latents (B, 4, H / 8, W / 8) both.

        Its `images()` are the pictures so far. Arguments are checked at once, not at the first step.
        """
        # What is refused is refused here, and what is not has one form from here on
        arguments.check_flags(trace=trace)
        prompts, negatives = arguments.prompt_pairs(prompt, negative_prompt)
        n = len(prompts)
        most = self.schedule.T if self.scheduler_config is None else math.inf  # which `convert.scheduler` checks
        steps = arguments.step_count(self.steps if steps is None else steps, arguments.FEW if self.fast else most)
        guidance = arguments.guidance_scale(self.guidance if guidance is None else guidance)
        if self.fast:
            arguments.check_unguided(guidance, negatives)
        if sampler is not None and not callable(sampler):
            raise ValueError(f"sampler is {named(sampler)}, expected a function of minidiff.sample, such as ddim")
        # they draw on the CPU, so that a seed means one picture everywhere
        generators = [torch.Generator().manual_seed(s) for s in arguments.seeds(seed, n)]
        arguments.check_image(image, mask, margins, latents, self.inpaints)
        share = None if image is None else strength if margins is None else 1.0
        margins, multiple = None if margins is None else arguments.sides(margins), self.factor * self.unet.patch
        canvas = None if image is None else Canvas.of(n, image, mask, margins, multiple)
        arguments.check_latents(latents, n, self.vae.config.latent_channels, self.factor)
        fixed = None if latents is None else ("the latents", [self.factor * side for side in latents.shape[2:]])
        fixed = fixed if canvas is None else ("the image, with its margins", canvas.pictures.shape[2:])
        usual = self.factor * self.unet.config.sample_size
        height, width = arguments.picture_size(height, width, multiple, usual, fixed)
        patches = (height // multiple) * (width // multiple)
        schedule, prediction, sampler, times, start, clip, skipped = self._process(sampler, steps, patches, share)
        from_noise = image is None or (self.inpaints and not skipped)
        if (refiner or not from_noise) and self.scheduler_config is not None and sampler is plms:
            raise ValueError("diffusers' PNDM does not start from an image, or midway, as others do: give sampler=ddim")
        control, times = self._hints(control, n, height, width), times[skipped:]
        looking = self._looking_at(ip_image, ip_scale, n)
        match refiner:
            case None:
                other, handover = None, len(times) - 1
            case (StableDiffusion() as other, share) if other.device == self.device:
                handover = arguments.steps_before(share, schedule, times)
            case _:
                expected = f"(pipeline on {self.device}, share of the time)"
                raise ValueError(f"refiner is {named(refiner)}, expected {expected}")
        _, longest = getattr(self.read, "t5", None) or (None, self.tokenizer)  # T5 reads what CLIP cuts
        arguments.warn_of_words(prompts + negatives, longest, self.words)

        # Words
        told = prompts, negatives, self.device, (height, width), sizes, guidance
        uncond, cond = self.read(*told)
        refined = other and (other.unet, other.unet, other.prediction, *other.read(*told))

        # Noise, or a noisy picture
        net, known, redrawn = self.unet, None, None
        if self.inpaints:
            x, net = self._inpainting(canvas, schedule, times[0], generators, None if skipped else start)
        elif canvas is not None:
            x, known, redrawn = self._noised(canvas, schedule, times[0], generators)
        elif latents is not None:
            x = latents.float().to(self.device)
        else:
            shape = (n, self.vae.config.latent_channels, height // self.factor, width // self.factor)
            x = (start * noise_like(torch.empty(shape), generators)).to(self.device)
        tokens = [self.tokenizer.tokens(p) for p in prompts]
        record = Trace(prompts, tokens, text_of(cond, x).cpu(), times, states=[x.cpu()])

        # The denoiser
        for controlnet, hint, scale in reversed(control):  # the first is asked first
            net = controlled(net, controlnet, hint, scale)
        controlnets, estimates, sample = [controlnet for controlnet, _, _ in control], [], begun(sampler)

        def states(x, times, unet, net, prediction, uncond, cond) -> Iterator[Tensor]:
            denoise, scale = denoiser(net, schedule, prediction), 1.0 if uncond is None else guidance
            if trace:
                denoise = traced_cfg(denoise, cond, uncond, scale, unet, controlnets, record.calls)
            else:
                denoise = cfg(denoise, cond, uncond, scale)
            denoise = clipped(denoise, clip)
            if redrawn is not None:
                denoise = inpaint(denoise, known, redrawn)

            def watched(x: Tensor, t) -> Tensor:
                estimates[:] = [denoise(x, t)]
                return estimates[0]

            return sample(watched, x, schedule, times, generator=generators)

        # All of it, step by step
        first = states(x, times[: handover + 1], self.unet, looking(net), prediction, uncond, cond)

        def last() -> Iterator[Tensor]:  # the sampler begins anew, as what it remembers is of another net
            if refined:
                yield from states(record.states[-1].to(self.device), times[handover:], *refined)

        @torch.no_grad()
        def steps_done() -> Iterator[tuple[Tensor, Tensor]]:
            for i, x in enumerate(chain(first, last()), 1):
                if redrawn is not None and i == len(times) - 1:  # Stable Diffusion's times end at 1, not at 0
                    x = redrawn * x + (1 - redrawn) * known
                record.states.append(x.cpu())
                yield x, estimates[0]

        return Drawing(steps_done(), record, self.decode, self.preview, canvas)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents (B, 4, H / 8, W / 8), such as a state of a Trace, as pictures."""
        if not latents.isfinite().all():
            arguments.warn("the picture is not finite: lower the guidance or the scale of control, or try other steps")
        at_once = max(1, min(8, WHOLE // (self.factor**2 * latents[0, 0].numel())))  # to spare memory
        config = self.vae.config
        parts = (latents.to(self.device) / config.scaling_factor + (config.shift_factor or 0)).split(at_once)
        return to_pil(torch.cat([self.vae.decode(part) for part in parts]))

    @torch.no_grad()
    def preview(self, latents: Tensor) -> list[Image.Image]:
        """The same in a fraction of the time and not as sharp, by the small decoder, if there is one."""
        return self.decode(latents) if self.decoder is None else to_pil(self.decoder(latents.to(self.device)))

    @property
    def factor(self) -> int:
        """How many pixels a latent is wide and high."""
        return self.vae.factor

    @property
    def inpaints(self) -> bool:
        """Whether the U-Net is one that learned to inpaint, and does nothing else: `guide.inpaint9`."""
        return self.unet.config.in_channels == 2 * self.vae.config.latent_channels + 1

    @property
    def device(self) -> torch.device:
        return self._device or next(self.unet.parameters()).device

    def _process(self, sampler: Callable | None, steps: int, patches: int, share: float | None) -> tuple:
        """(schedule, prediction, sampler, times, scale of the first noise, limit of x_0, steps that an image skips)"""
        sampler, config = sampler or self.sampler, self.scheduler_config
        config = config if None in (config, sampler) else convert.with_sampler(config, sampler)
        last = self.schedule.T
        if self.fast and share is not None:  # as diffusers' LCMs: all steps, in that share of the time
            last, skipped = max(steps, last - arguments.skipped_steps(last, share)), 0
        else:
            config, skipped = convert.of_image(config, steps, share, up=isinstance(self.unet, DiT))
        if config is None:
            # as in training, where the last state still holds a little of the picture, unless the schedule ends in none
            times, start = trailing(last, steps), self.schedule(self.schedule.T)[1].item()
            return self.schedule, self.prediction, sampler or ddim, times, start, math.inf, skipped
        schedule, prediction, own, times, clip = convert.scheduler(config, steps, patches)
        sampler = own if sampler in (None, getattr(own, "func", own)) else sampler  # LCM's `consistency` has an option
        return schedule, prediction, sampler, times, convert.init_noise_sigma(config, steps), clip, skipped

    def _hints(self, control, n: int, height: int, width: int) -> list[tuple[ControlNet, Tensor, float]]:
        """`control` as a list of (controlnet, hints, scale), hints a tensor (1 or n, 3, height, width) in [0, 1]."""
        own, out = replace(self.unet.config, in_channels=self.vae.config.latent_channels), []
        for item in control if isinstance(control, list) else [] if control is None else [control]:
            match item:
                case (ControlNet() as controlnet, hint, scale) if (scale := arguments.real(scale)) is not None:
                    controlnet.check_fits(own)
                case _:
                    raise ValueError(f"control is {named(item)}, expected (controlnet, hint, scale), or a list of them")
            hints = to_tensor(one_or_each("the hint", hint, n))
            if size(hints) != f"{width}x{height}":
                raise ValueError(f"the hint is {size(hints)} pixels, expected the picture's {width}x{height}")
            out.append((controlnet, ((hints + 1) / 2).to(self.device), scale))
        return out

    def _noised(
        self, canvas: Canvas, schedule: Schedule, t: Tensor, generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(the state at time t, the canvas's latents, where they are redrawn), the mask at the latents' size."""
        known = self._encoded(canvas.pictures, generators)
        eps = noise_like(known, generators)
        x = schedule.add_noise(known, eps, t)
        if canvas.mask is None:
            return x, known, None
        redrawn = canvas.redrawn_latents(self.factor).to(known)
        if t == schedule.T:  # strength 1: what is redrawn starts from nothing
            x = redrawn * eps + (1 - redrawn) * x
        return x, known, redrawn

    def _inpainting(
        self, canvas: Canvas, schedule: Schedule, t: Tensor, generators: list[torch.Generator], start: float | None
    ) -> tuple[Tensor, Callable]:
        """(the state at time t, the net) of a U-Net that inpaints, as diffusers: no latent is kept but by the net.

        With `start`, the picture is not in the state, which is so many times noise.
        """
        redrawn = canvas.redrawn_latents(self.factor).to(self.device)
        if start is not None:
            shape = (len(generators), self.vae.config.latent_channels, *redrawn.shape[2:])
            x = start * noise_like(torch.empty(shape, device=self.device), generators)
        else:
            known = self._encoded(canvas.pictures, generators)
            x = schedule.add_noise(known, noise_like(known, generators), t)
        masked = self._encoded(canvas.pictures * ~canvas.mask, generators)
        return x, inpaint9(self.unet, redrawn, masked)

    def _encoded(self, pictures: Tensor, generators: list[torch.Generator]) -> Tensor:
        pairs = zip(pictures, generators, strict=True)
        latents = torch.cat([self.vae.encode(picture[None].to(self.device)).sample(g) for picture, g in pairs])
        return (latents - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor
