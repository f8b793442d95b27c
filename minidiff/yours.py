"""The pipeline with a reader's answers in place of its parts.

    pipe = minidiff.yours()    every part is exchanged for the answer that stands there: see `answers.PLACES`
    pipe("fox in sea")         the same picture, and in how many places it was drawn by the reader's code
    minidiff.yours.report()    in how many it can be, in one line

The package's own functions stay as they are, for every other pipeline: the models of this one have methods of their
own, in which some names mean the reader's functions.
"""

import contextlib
import copy
import html
import inspect
import operator
import sys
import traceback
import types
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from PIL import Image
from torch import Tensor, nn

from minidiff import arguments
from minidiff.answers import NUMBERS, PLACES, WHERE, keep, kept, load, report
from minidiff.attention import Attention, attention, split_heads
from minidiff.canvas import Canvas
from minidiff.clip import SelfAttention
from minidiff.controlnet import ControlNet
from minidiff.denoise import denoiser
from minidiff.guide import cfg, controlled, inpaint
from minidiff.pipeline import SCHEDULE, StableDiffusion
from minidiff.sample import begun, ddim, ddpm, euler_ancestral
from minidiff.schedule import Discrete, Schedule, cosine_betas, noise_like, trailing, zero_terminal_snr
from minidiff.show import to_pil
from minidiff.trace import Drawing, Trace, traced_cfg
from minidiff.unet import ResnetBlock, UNet, UNetEncoder, steered, timestep_embedding
from minidiff.vae import Gaussian, SpatialAttention

__all__ = ["YourError", "Yours", "keep", "kept", "report", "yours"]


class YourError(RuntimeError):
    """A reader's function failed while it drew: exercise, function, what happened, and the line."""


class Answer:
    """A reader's function, called as f(shape, *args). YourError if it raises, or gives another shape, dtype, or NaN."""

    def __init__(self, mine: "Answers", name: str):
        self.mine, self.name, self.number = mine, name, WHERE[name]
        self.module = mine.modules[self.number]

    def __call__(self, shape: object, *args):
        with self.named() as f:
            return _fitting(f(*args), shape, *args)

    def states(self, denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator=None) -> Iterator[Tensor]:
        """Called as a sampler."""
        with self.named() as f:
            for state in f(denoise, x, schedule, ts):
                yield _fitting(state, x.shape, x)

    @contextlib.contextmanager
    def named(self) -> Iterator[Callable]:
        """Gives the function, for one call; what goes wrong in there bears its name."""
        self.mine.calls[self.number] += 1
        try:
            yield getattr(self.module, self.name)
        except YourError:
            raise
        except Exception as error:
            own = [s for s in traceback.extract_tb(error.__traceback__) if s.filename == self.module.__file__]
            where = f", in line {own[-1].lineno} of {own[-1].name}: {own[-1].line}" if own else ""
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise YourError(f"your {self.name} of {self.number} fails in the pipeline: {what}{where}") from error


class Answers:
    """The answers that are kept, by exercise, and how often the last drawing called which."""

    def __init__(self):
        self.modules, self.calls = {}, Counter()
        for number, path in kept().items():
            try:
                self.modules[number] = load(path)
            except Exception as error:  # what it imports may be gone
                arguments.warn(f"your answer to {number} is left out, as {path} does not load: {error}")

    def __call__(self, name: str, theirs: Callable | None = None) -> Callable | None:
        """A reader's function in its place; if it is not kept, `theirs`, which stands there in the package."""
        return partial(ADAPTERS[name], Answer(self, name)) if WHERE[name] in self.modules else theirs


def _fitting(out, shape, *args):
    """`out`, if it is finite and of this shape; of a list of shapes, its parts. ValueError. None is any shape."""
    flat, dtypes = _flat(out), [a.dtype for a in args if isinstance(a, Tensor) and a.is_floating_point()]
    wanted = shape if isinstance(shape, list) else [shape] * (len(flat) if shape is None else 1)
    if len(flat) != len(wanted):
        raise ValueError(f"gives {arguments.named(out)}, expected {len(wanted)} tensors")
    for each, expected in zip(flat, wanted, strict=True):
        if expected is not None and getattr(each, "shape", None) != torch.Size(expected):
            raise ValueError(f"gives {arguments.named(each)}, expected shape {tuple(expected)}")
        if expected is not None and each.is_floating_point() and each.dtype not in (dtypes[:1] or [each.dtype]):
            raise ValueError(f"gives {each.dtype}, expected {dtypes[0]}")
        if isinstance(each, Tensor) and not each.isfinite().all():
            raise ValueError("gives numbers that are not finite (nan or inf)")
    return out


def _flat(out) -> list:
    deep = isinstance(out, list | tuple) and any(isinstance(part, Tensor | list) for part in out)
    return [each for part in out for each in _flat(part)] if deep else [out]


def _causal_attention(f: Answer, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor) -> Tensor:
    q, k, v = (split_heads(y, heads).flatten(0, 1) for y in (q, k, v))  # one head each
    return f(q.shape, q, k, v).unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


def _masked_attention(f: Answer, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor) -> Tensor:
    q, k, v = (split_heads(y, heads) for y in (q, k, v))
    mask = Answer(f.mine, "causal_mask")(mask.shape, len(mask)).to(mask.device)
    return f(q.shape, q, k, v, mask).transpose(1, 2).flatten(2)


def _up_path(f: Answer, net: UNet, x: Tensor, skips: list[Tensor], temb: Tensor, context: Tensor) -> Tensor:
    def level(block: nn.Module) -> SimpleNamespace:
        layers = range(len(block.resnets))
        resnets = [lambda x, temb, i=i: block.layer(i, x, temb, context) for i in layers]
        return SimpleNamespace(resnets=resnets, upsample=block.upsample)

    shape = (len(x), net.conv_norm_out.num_channels, *skips[0].shape[2:])
    return f(shape, [level(block) for block in net.up_blocks], x, tuple(skips), temb)


def _ancestral_step(f: Answer, x: Tensor, x0: Tensor, schedule: Schedule, ts: Tensor, i: int, noise: Tensor) -> Tensor:
    (alpha, sigma), alpha_bar = schedule(ts[i]), schedule(ts.flip(0))[0] ** 2  # as if these were all times
    return f(x.shape, x, (x - alpha * x0) / sigma, len(ts) - 1 - i, alpha_bar, noise)


def _steer(f: Answer, states: list[Tensor], controls: list) -> list[Tensor]:
    *skips, middle = states
    pairs = (controls, 1.0) if isinstance(controls[0], Tensor) else controls[0]
    controls = list(zip(pairs[::2], pairs[1::2], strict=True))
    skips, middle = f([state.shape for state in states], skips, middle, controls)
    return [*skips, middle]


def _zeroed(f: Answer, conv: nn.Conv2d) -> nn.Conv2d:
    new = f(None, conv)
    new.load_state_dict(conv.state_dict())  # what it has learned since it began at zero
    return new


def _first_latents(f: Answer, like: Tensor, generators: list[torch.Generator]) -> Tensor:
    noise_like(like, generators)  # they go on behind the first noise, whoever draws it
    _, channels, height, width = like.shape
    return f(like.shape, [g.initial_seed() for g in generators], 8 * width, 8 * height, channels, 8)


# A reader's function -> how it is called where it stands: f(shape, *what the exercise says), by the arguments of what
# stands there in the package
ADAPTERS = {
    "cosine_betas": lambda f, T: f((T,), T, 0.008),
    "alpha_bars": lambda f, betas: f((len(betas) + 1,), betas),
    "add_noise": lambda f, x0, eps, t, bars: f(x0.shape, x0, eps, torch.full((len(x0),), int(t)), bars),
    "zero_terminal_snr": lambda f, betas: f(betas.shape, betas),
    "timestep_embedding": lambda f, t, dim: f((len(t), dim), t.cpu(), dim).to(t.device),
    "resnet_block": lambda f, block, x, temb: f((len(x), block.conv2.out_channels, *x.shape[2:]), block, x, temb),
    "up_path": _up_path,
    "ancestral_step": _ancestral_step,
    "reparameterise": lambda f, q, g: f(q.mean.shape, q.mean, q.logvar, noise_like(q.mean, g)),
    "to_latents": lambda f, mean, factor: f(mean.shape, mean, factor, 0.0),
    "from_latents": lambda f, z, factor: f(z.shape, z, factor, 0.0),
    "causal_attention": _causal_attention,
    "masked_attention": _masked_attention,
    "attention": lambda f, q, k, v, heads: f(q.shape, q, k, v),  # in the VAE, where there is one head
    "multi_head": lambda f, q, k, v, heads: f(q.shape, q, k, v, heads),
    "guided": lambda f, denoise, cond, uncond, scale: lambda x, t: f(
        x.shape, denoise, x, torch.full((len(x),), float(t), dtype=torch.float64), cond, uncond, scale
    ),
    "negative_prompt": lambda f, denoise, cond, uncond, scale: lambda x, t: f(
        x.shape, *denoise(torch.cat([x, x]), t, torch.cat([cond, uncond])).chunk(2), scale
    ),
    "draw_latents": lambda f, made, cond, uncond, scale: lambda x, t: f(  # its sampler's one state is the estimate
        x.shape, *made, lambda denoise, x, *_: iter([denoise(x, float(t))]), x, torch.cat([uncond, cond]),
        torch.tensor([float(t), 0.0]), scale,
    ),
    "ddim_step": lambda f, x, x0, schedule, ts, i, noise, eta: f(
        x.shape, x, x0, ts[i].item(), ts[i + 1].item(), schedule, eta, noise
    ),
    "trailing": lambda f, T, n: f((n + 1,), T, n),
    "start": lambda f, x0, eps, bars, times, strength: f([x0.shape, None], x0, eps, bars, times, strength),
    "correct": lambda f, denoise, known, mask: lambda x, t: f(x.shape, denoise(x, t), known, mask),
    "canvas": lambda f, own, inside, margins, n: f([own.pictures.shape, own.mask.shape], inside, margins, n),
    "zeroed": _zeroed,
    "encode": lambda f, net, x, temb, context, hint: f(
        None, net.conv_in, net.down_blocks, net.mid_block, x, temb, context, hint
    ),
    "steer": _steer,
    "encode_prompts": lambda f, tokenizer, encode, prompts, negatives: f(
        None, tokenizer, encode, prompts, negatives[0] if len(negatives) < len(prompts) else negatives
    ),
    "first_latents": _first_latents,
    "to_pixels": lambda f, decode, z, factor: f(None, decode, z, factor),
}  # fmt: skip


def _with(f: Callable, **names: object) -> Callable:
    """The function f, in which these global names mean something else; f itself stays as it is."""
    f = inspect.unwrap(f)
    own = types.FunctionType(f.__code__, f.__globals__ | names, f.__name__, f.__defaults__, f.__closure__)
    own.__kwdefaults__ = f.__kwdefaults__
    return own


def _steps(step: Callable, first: Callable, denoise: Callable, x: Tensor, schedule: Schedule, ts, generator=None):
    """A sampler of single steps. From pure noise, where alpha = 0, `first` takes it, as in `sample.begun`."""
    for i, s in enumerate(ts[1:]):
        if schedule(ts[i])[0] == 0:
            (x,) = first(denoise, x, schedule, ts[i : i + 2], generator=generator)
        else:
            x0, fresh = denoise(x, ts[i].item()), first is not ddim and schedule(s)[1] > 0
            x = step(x, x0, schedule, ts, i, noise_like(x, generator) if fresh else torch.zeros_like(x))
        yield x


def _controlled(unet: Callable, controlnet: ControlNet, hint: Tensor, scale: float) -> Callable:
    """`controlled`, whose residuals are (all of a ControlNet, its scale, those of the next ...) until `_steer`."""
    return controlled(unet, lambda x, t, context, hint, _: [(controlnet(x, t, context, hint), scale)], hint)


def _canvas(mine: Answers, n: int, image, mask=None, margins=None, multiple: int = 8) -> Canvas:
    own = Canvas.of(n, image, mask, margins, multiple)
    if margins is not None and mask is None and (canvas := mine("canvas")):
        (left, top, right, bottom), (height, width) = margins, own.pictures.shape[2:]
        inside = own.pictures[:, :, top : height - bottom, left : width - right]
        return Canvas(*canvas(own, inside, margins, multiple))
    return own


def _encode(
    mine: Answers, net: UNetEncoder, x: Tensor, t: Tensor, context: Tensor, hint: Tensor | float = 0.0
) -> tuple:
    own = mine("timestep_embedding", timestep_embedding)
    if isinstance(net, ControlNet) and (encode := mine("encode")):
        temb = net.time_embedding(own(t, net.config.block_out_channels[0]).to(x.dtype))
        return encode(net, x, temb, context, hint), temb
    return _with(UNetEncoder.encode, timestep_embedding=own)(net, x, t, context, hint)


def _spatial(own: Callable, layer: SpatialAttention, x: Tensor) -> Tensor:
    h = layer.group_norm(x).flatten(2).transpose(1, 2)
    return x + _with(Attention.forward, attention=own)(layer, h).transpose(1, 2).unflatten(2, x.shape[-2:])


class Yours(StableDiffusion):
    """The pipeline, drawing with a reader's answers: `mine`, whose `calls` counts, by exercise, the last drawing's.

    YourError, with exercise, function and line, if one of them fails there.
    """

    def __init__(self, *parts, **options):
        super().__init__(*parts, **options)
        mine, self._standard = Answers(), self.schedule is SCHEDULE
        self.mine = mine
        for model in (self.vae, self.unet, self.text):
            self._equip(model)
        if "11.5" in mine.modules:  # which calls other answers, by their names
            names = "encode_prompts", "first_latents", "draw_latents", "to_pixels", "trailing"
            own = {name: partial(Answer(mine, name), None) for name in names if WHERE[name] in mine.modules}
            own |= {"ddim": self._begun(ddim)} if "7.1" in mine.modules else {}
            whole = vars(mine.modules["11.5"])
            whole.update({name: own[name] for name in own.keys() & whole.keys()})

    def _equip(self, model: nn.Module) -> None:
        """Give the modules of this very model methods in which the answers stand."""
        mine, first = self.mine, True
        for layer in model.modules():
            match layer:
                case ResnetBlock() if layer.time_emb_proj is not None:
                    layer.forward = partial(mine("resnet_block", ResnetBlock.forward), layer)
                case SpatialAttention():
                    layer.forward = partial(_spatial, mine("attention", attention), layer)
                case Attention():
                    own = _with(Attention.forward, attention=mine("multi_head", attention))
                    layer.forward = partial(own, layer)
                case SelfAttention():
                    own = mine("causal_attention" if first else "masked_attention", attention)
                    layer.forward, first = partial(_with(SelfAttention.forward, attention=own), layer), False
                case UNetEncoder():
                    layer.encode = partial(_encode, mine, layer)
        if isinstance(model, UNet):
            own = SimpleNamespace(**{name: getattr(model, name) for name in ("check", "encode", "conv_norm_out")})
            own.conv_out, own.up_blocks = model.conv_out, model.up_blocks
            if up_path := mine("up_path"):
                own.up_blocks = [partial(up_path, model)]  # all of them in one
            model.forward = partial(_with(UNet.forward, steered=mine("steer", steered)), own)

    def __call__(self, prompt, negative_prompt="", **options) -> "Pictures | Trace":
        """As the pipeline's; the list of pictures also says where they were drawn by the reader's code."""
        drawn = self._whole(prompt, negative_prompt, **options) or super().__call__(prompt, negative_prompt, **options)
        return drawn if isinstance(drawn, Trace) else Pictures(drawn, self.mine)

    def draw(self, prompt, negative_prompt="", **options) -> Drawing:
        asked, mine, made = _asked(StableDiffusion.draw, self, prompt, negative_prompt, **options), self.mine, []
        negative = any(arguments.prompt_pairs(prompt, negative_prompt)[1])
        self._begin(asked)

        def own_denoiser(net: Callable, schedule: Schedule, prediction) -> Callable:
            made[:] = net, schedule, prediction.to_x0
            return denoiser(net, schedule, prediction)

        def own_cfg(denoise: Callable, *conditions) -> Callable:
            if asked.image is None and not asked.trace and (draw_latents := mine("draw_latents")):
                return draw_latents(made, *conditions)
            guided = mine("guided", cfg)
            return (mine("negative_prompt", guided) if negative else guided)(denoise, *conditions)

        names = {"begun": self._begun, "denoiser": own_denoiser, "cfg": own_cfg}
        names |= {"traced_cfg": _with(traced_cfg, cfg=own_cfg), "inpaint": mine("correct", inpaint)}
        names |= {"noise_like": mine("first_latents", noise_like), "Canvas": SimpleNamespace(of=partial(_canvas, mine))}
        if mine("steer") and not asked.trace:  # a trace has what control adds, times its scale
            names["controlled"] = _controlled
        with torch.no_grad():
            return _with(StableDiffusion.draw, **names)(self, prompt, negative_prompt, **options)

    def _whole(self, prompt, negative_prompt, **options) -> list[Image.Image] | None:
        """What 11.5 draws; None where something is asked for that the exercise is not about."""
        asked = _asked(StableDiffusion.__call__, self, prompt, negative_prompt, **options)
        more = asked.image, asked.mask, asked.margins, asked.control, asked.latents, asked.height, asked.width
        plain = self._standard and not asked.trace and (asked.sampler or self.sampler or ddim) is ddim
        if "11.5" not in self.mine.modules or not plain or more != (None,) * 7 or not isinstance(negative_prompt, str):
            return None
        settings = {"steps": asked.steps, "guidance": asked.guidance, "seed": asked.seed}
        prompts = self.draw(prompt, negative_prompt, **settings).trace.prompts  # it refuses what makes no sense
        self._begin(asked)
        n, side, seeds = (
            len(prompts),
            self.factor * self.unet.config.sample_size,
            arguments.seeds(asked.seed, len(prompts)),
        )
        draw = Answer(self.mine, "text_to_image")
        return _images(draw((n, side, side, 3), self, prompts, negative_prompt, seeds, asked.steps, asked.guidance))

    def _begin(self, asked: SimpleNamespace) -> None:
        """No call yet; and a schedule, if it is the course's own."""
        mine = self.mine
        mine.calls.clear()
        if self._standard:
            betas = mine("cosine_betas", cosine_betas)(1000)
            betas = mine("zero_terminal_snr", zero_terminal_snr)(betas)
            self.schedule = Discrete(betas)
            if alpha_bars := mine("alpha_bars"):
                self.schedule.alpha_bar = alpha_bars(betas)
            self.schedule.add_noise = partial(self._add_noise, self.schedule, asked)

    def _add_noise(self, schedule: Discrete, asked: SimpleNamespace, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        bars = schedule.alpha_bar
        if asked.mask is None and asked.margins is None and (start := self.mine("start")):
            x, left = start(x0, eps, bars, self._times, asked.strength)
            if float(left[0]) != t:
                raise YourError(
                    f"your start of 9.1 fails in the pipeline: it goes on from time {left[0]}, expected {t}"
                )
            return x
        if add_noise := self.mine("add_noise"):
            return add_noise(x0, eps, t, bars)
        return Discrete.add_noise(schedule, x0, eps, t)

    def _process(self, sampler: Callable | None, steps: int) -> tuple:
        schedule, prediction, sampler, times, *rest = super()._process(sampler, steps)
        self._times = self.mine("trailing", trailing)(schedule.T, steps) if self._standard else times
        return schedule, prediction, sampler, self._times, *rest

    def _begun(self, sampler: Callable) -> Callable:
        """The reader's sampler of that name."""
        mine, name = self.mine, getattr(sampler, "__name__", "")
        if sampler in (ddim, euler_ancestral) and (step := mine("ddim_step")):
            return partial(_steps, partial(step, eta=float(sampler is euler_ancestral)), sampler)
        if sampler is ddpm and (step := mine("ancestral_step")):
            return partial(_steps, step, ddpm)
        own = name in ("euler", "heun", "dpmpp_2m") and WHERE[name] in mine.modules
        return begun(Answer(mine, name).states if own else sampler)

    def _read(self, prompts: list[str], negatives: list[str]) -> Tensor:
        if read := self.mine("encode_prompts"):
            return read(self.tokenizer, lambda ids: self.text(ids.to(self.device)), prompts, negatives)
        return super()._read(prompts, negatives)

    def _encoded(self, pictures: Tensor, generators: list[torch.Generator]) -> Tensor:
        encode, pairs = self.vae.encode, zip(pictures, generators, strict=True)
        sample = self.mine("reparameterise", Gaussian.sample)
        latents = torch.cat([sample(encode(picture[None].to(self.device)), g) for picture, g in pairs])
        return self.mine("to_latents", operator.mul)(latents, self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        factor, decode, parts = self.vae.config.scaling_factor, self.vae.decode, latents.to(self.device).split(1)
        if not latents.isfinite().all():
            return super().decode(latents)  # which warns of it
        if to_pixels := self.mine("to_pixels"):
            return [image for z in parts for image in _images(to_pixels(decode, z, factor))]
        from_latents = self.mine("from_latents", operator.truediv)
        return to_pil(torch.cat([decode(from_latents(z, factor)) for z in parts]))

    def _hints(self, *args) -> list[tuple[ControlNet, Tensor, float]]:
        """With copies of the ControlNets, as other pipelines may use them, too."""
        hints, zeroed = super()._hints(*args), self.mine("zeroed", lambda conv: conv)
        for i, (controlnet, *rest) in enumerate(hints):
            own = copy.deepcopy(controlnet)
            own.controlnet_down_blocks = nn.ModuleList(map(zeroed, own.controlnet_down_blocks))
            own.controlnet_mid_block = zeroed(own.controlnet_mid_block)
            self._equip(own)
            hints[i] = (own, *rest)
        return hints

    def __repr__(self) -> str:
        return report()

    def _repr_html_(self) -> str:
        return drawing(set(), self.mine.modules)


class Pictures(list):
    """The pictures; and `called`, the exercises whose answers have drawn them, which a notebook shows below them."""

    def __init__(self, images: list[Image.Image], mine: Answers):
        super().__init__(images)
        self.called, self.there = [n for n in NUMBERS if mine.calls[n]], set(mine.modules)

    def __repr__(self) -> str:
        what = "this picture was" if len(self) == 1 else f"these {len(self)} pictures were"
        return f"{what} drawn by your code in {len(self.called)} of {len(NUMBERS)} places"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        page = f"<p>{self!r}</p>{drawing(self.called, self.there)}"
        display(*self, {"text/plain": f"{self!r}: {', '.join(self.called)}", "text/html": page})


def drawing(called, there) -> str:
    """The pipeline as HTML, from words to pixels: green and ticked what was called, pale what is there."""
    parts = []
    for title, names in PLACES.items():
        part = f"<b>{title}</b>"
        for number, functions in names.items():
            colours = (
                "#009E73;color:white" if number in called else "#CCEBE1;color:black" if number in there else "none"
            )
            style = f"background:{colours};border:1px solid gray;border-radius:4px;padding:1px 5px;margin:2px"
            part += f'<div style="{style}">{"✓ " * (number in called)}{number} {html.escape(functions)}</div>'
        parts.append(f"<div>{part}</div>")
    return f'<div style="display:flex;flex-wrap:wrap;gap:9px;font:12px sans-serif">{"<div>→</div>".join(parts)}</div>'


def _images(pixels: Tensor) -> list[Image.Image]:
    return [Image.fromarray(each) for each in pixels.byte().cpu().numpy()]


def _asked(method: Callable, *args, **options) -> SimpleNamespace:
    """The arguments of a call, with the defaults of those that it leaves out."""
    call = inspect.signature(method).bind(*args, **options)
    call.apply_defaults()
    return SimpleNamespace(**call.arguments)


def yours(name: str | Path = "openmoji", device: torch.device | str | None = None) -> Yours:
    """The pipeline of `StableDiffusion.from_pretrained`, with every answer that is kept in its place."""
    return Yours.from_pretrained(name, device)


class _Module(types.ModuleType):
    __call__ = staticmethod(yours)


sys.modules[__name__].__class__ = _Module  # minidiff.yours() beside minidiff.yours.report()
