"""The pipeline with a reader's answers in place of its parts.

    pipe = minidiff.yours()    every part is exchanged for the answer that stands there: see `answers.PLACES`
    pipe("fox in sea")         the same picture, and in how many places it was drawn by the reader's code

The package's own functions stay as they are, for every other pipeline: the models of this one have methods of their
own, in which some names mean the reader's functions.
"""

import copy
import html
import inspect
import operator
import types
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import torch
from PIL import Image
from torch import Tensor, nn

from minidiff import arguments
from minidiff.answers import NUMBERS, PLACES, WHERE, Answer, Answers, report
from minidiff.arguments import begun
from minidiff.attention import Attention, attention, split_heads
from minidiff.canvas import Canvas
from minidiff.clip import SelfAttention
from minidiff.controlnet import ControlNet
from minidiff.denoise import X0
from minidiff.guide import cfg, inpaint
from minidiff.lesson import joined
from minidiff.pipeline import SCHEDULE, StableDiffusion
from minidiff.sample import ddim, ddpm, euler_ancestral
from minidiff.schedule import Discrete, Schedule, cosine_betas, noise_like, trailing, zero_terminal_snr
from minidiff.show import to_pil
from minidiff.trace import Drawing, Trace, traced_cfg
from minidiff.unet import ResnetBlock, UNet, UNetEncoder, steered, timestep_embedding
from minidiff.vae import Gaussian, SpatialAttention


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


def _steer(f: Answer, states: list[Tensor], residuals: list[Tensor]) -> list[Tensor]:
    shapes = [[state.shape for state in states[:-1]], states[-1].shape]
    skips, middle = f(shapes, states[:-1], states[-1], [(residuals, 1.0)])  # which come times their scale
    return [*skips, middle]


def _latent_mask(f: Answer, canvas: Canvas, factor: int) -> Tensor:
    ours = Canvas.redrawn_latents(canvas, factor)
    mask = f(ours.shape, canvas.mask[0, 0], factor)
    same = torch.equal(
        mask, ours
    )  # but where a block is cut: there the pipeline asks one of its pixels, like diffusers
    f.mine.calls[f.number] -= not same
    return mask if same else ours


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
    "draw_latents": lambda f, levels, denoise, cond, uncond, scale: lambda x, t: f(  # by a net that predicts x_0
        x.shape, lambda x, time, states: denoise(x, time + 1, states), levels, X0.to_x0, _estimate, x,
        torch.cat([uncond, cond]), torch.tensor([float(t), 0.0]), scale,
    ),
    "ddim_step": lambda f, x, x0, schedule, ts, i, noise, eta: f(
        x.shape, x, x0, ts[i].item(), ts[i + 1].item(), schedule, eta, noise
    ),
    "trailing": lambda f, T, n: f((n + 1,), T, n),
    "start": lambda f, x0, *args: f([x0.shape, None], x0, *args)[0],
    "correct": lambda f, denoise, known, mask: lambda x, t: f(x.shape, denoise(x, t), known, mask),
    "latent_mask": _latent_mask,
    "canvas": lambda f, own, inside, *args: f([own.pictures.shape, own.mask.shape], inside, *args),
    "zeroed": lambda f, conv: f(lambda new: new.load_state_dict(conv.state_dict()), conv),  # what it has learned since
    "encode": lambda f, exits, *args: f(exits, *args),  # the convolutions through which each of the states fits
    "steer": _steer,
    "encode_prompts": lambda f, shape, *args, negatives: f(
        shape, *args, negatives[0] if len(negatives) < shape[0] // 2 else negatives
    ),
    "first_latents": _first_latents,
    "to_pixels": lambda f, side, decode, z, factor: f(
        (len(z), side * z.shape[2], side * z.shape[3], 3), decode, z, factor
    ),
}  # fmt: skip


def _with(f: Callable, **names: object) -> Callable:
    """The function f, in which these global names mean something else; f itself stays as it is."""
    f = inspect.unwrap(f)
    own = types.FunctionType(f.__code__, f.__globals__ | names, f.__name__, f.__defaults__, f.__closure__)
    own.__kwdefaults__ = f.__kwdefaults__
    return own


def _steps(step: Callable, first: Callable, denoise: Callable, x: Tensor, schedule: Schedule, ts, generator=None):
    """A sampler of single steps. From pure noise, where alpha = 0, `first` takes it, as in `arguments.begun`."""
    for i, s in enumerate(ts[1:]):
        if schedule(ts[i])[0] == 0:
            (x,) = first(denoise, x, schedule, ts[i : i + 2], generator=generator)
        else:
            x0, fresh = denoise(x, ts[i].item()), first is not ddim and schedule(s)[1] > 0
            x = step(x, x0, schedule, ts, i, noise_like(x, generator) if fresh else torch.zeros_like(x))
        yield x


def _estimate(denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator=None) -> Iterator[Tensor]:
    """A sampler that stops at its first estimate of x_0, so that another one can go on from it."""
    yield denoise(x, ts[0].item())


def _canvas(mine: Answers, n: int, image, mask=None, margins=None, multiple: int = 8) -> Canvas:
    own = Canvas.of(n, image, mask, margins, multiple)
    if margins is not None and mask is None and (canvas := mine("canvas")):
        (left, top, right, bottom), (height, width) = margins, own.pictures.shape[2:]
        inside = own.pictures[:, :, top : height - bottom, left : width - right]
        own = Canvas(*canvas(own, inside, margins, multiple))
    own.redrawn_latents = partial(mine("latent_mask", Canvas.redrawn_latents), own)
    return own


def _encode(
    mine: Answers, net: UNetEncoder, x: Tensor, t: Tensor, context: Tensor, hint: Tensor | float = 0.0
) -> tuple:
    own = mine("timestep_embedding", timestep_embedding)
    if isinstance(net, ControlNet) and net.mid_block is not None and (encode := mine("encode")):
        temb = net.time_embedding(own(t, net.config.block_out_channels[0]).to(x.dtype))
        exits = [*net.controlnet_down_blocks, net.controlnet_mid_block]
        return encode(exits, net.conv_in, net.down_blocks, net.mid_block, x, temb, context, hint), temb
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
        mine, self._standard = Answers(ADAPTERS), self.schedule is SCHEDULE
        self._words, self.read = self.read, self._read
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
            own, up_path = copy.copy(model), mine("up_path")
            own._modules = model._modules | ({"up_blocks": [partial(up_path, model)]} if up_path else {})
            model.forward = partial(_with(UNet.forward, steered=mine("steer", steered)), own)

    def __call__(self, prompt, negative_prompt="", **options) -> "Pictures | Trace":
        """As the pipeline's; the list of pictures also says where they were drawn by the reader's code."""
        drawn = self._whole(prompt, negative_prompt, **options) or super().__call__(prompt, negative_prompt, **options)
        return drawn if isinstance(drawn, Trace) else Pictures(drawn, self.mine)

    def draw(self, prompt, negative_prompt="", **options) -> Drawing:
        call = inspect.signature(StableDiffusion.draw).bind(self, prompt, negative_prompt, **options)
        call.apply_defaults()
        asked, mine = SimpleNamespace(**call.arguments), self.mine
        negative = any(arguments.prompt_pairs(prompt, negative_prompt)[1])
        self._begin(asked)

        def own_cfg(denoise: Callable, *conditions) -> Callable:
            if asked.image is None and (draw_latents := mine("draw_latents")):
                return draw_latents(self.schedule, denoise, *conditions)
            guided = mine("guided", cfg)
            return (mine("negative_prompt", guided) if negative else guided)(denoise, *conditions)

        names = {"begun": self._begun, "cfg": own_cfg, "inpaint": mine("correct", inpaint)}
        names |= {"traced_cfg": _with(traced_cfg, cfg=own_cfg), "noise_like": mine("first_latents", noise_like)}
        names |= {"Canvas": SimpleNamespace(of=partial(_canvas, mine))}
        with torch.no_grad():
            return _with(StableDiffusion.draw, **names)(self, prompt, negative_prompt, **options)

    def _whole(self, prompt, negative_prompt, **options) -> list[Image.Image] | None:
        """What 11.5 draws; None where something is asked for that the exercise is not about."""
        plain = self._standard and options.keys() <= {"steps", "guidance", "seed", "progress"}
        if not plain or not isinstance(negative_prompt, str) or "11.5" not in self.mine.modules:
            return None
        options.pop("progress", None)
        trace, side = self.draw(prompt, negative_prompt, **options).trace, self.factor * self.unet.config.sample_size
        self._begin(None)  # that was only to refuse what makes no sense
        n, draw = len(trace.prompts), Answer(self.mine, "text_to_image")
        what = self, trace.prompts, negative_prompt, arguments.seeds(options.get("seed", 0), n), len(trace.times) - 1
        return _images(draw((n, side, side, 3), *what, options.get("guidance", self.guidance)))

    def _begin(self, asked: SimpleNamespace | None) -> None:
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
            return start(x0, eps, bars, self._times, asked.strength)
        if add_noise := self.mine("add_noise"):
            return add_noise(x0, eps, t, bars)
        return Discrete.add_noise(schedule, x0, eps, t)

    def _process(self, sampler: Callable | None, steps: int, *args) -> tuple:
        schedule, prediction, sampler, times, *rest = super()._process(sampler, steps, *args)
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

    def _read(self, prompts: list[str], negatives: list[str], *told) -> tuple[Tensor, Tensor]:
        if read := self.mine("encode_prompts"):
            encode, width = lambda ids: self.text(ids.to(self.device)), self.text.config.hidden_size
            shape = 2 * len(prompts), self.tokenizer.context, width
            return read(shape, self.tokenizer, encode, prompts, negatives=negatives).chunk(2)
        return self._words(prompts, negatives, *told)

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
            return [image for z in parts for image in _images(to_pixels(self.factor, decode, z, factor))]
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
        display(*self)
        display({"text/plain": f"{self!r}: {', '.join(self.called)}", "text/html": page}, raw=True)


def drawing(called, there) -> str:
    """The pipeline as HTML, from words to pixels: green and ticked what was called, pale what is there."""
    parts = []
    for title, names in PLACES.items():
        part = f"<b>{title}</b>"
        for number, functions in names.items():
            colours = "#CCEBE1" if number in there else "none"
            colours = "#009E73;color:white" if number in called else colours
            style = f"background:{colours};border:1px solid gray;border-radius:4px;padding:1px 5px;margin:2px"
            part += f'<div style="{style}">{"✓ " * (number in called)}{number} {html.escape(functions)}</div>'
        parts.append(f"<div>{part}</div>")
    return joined(parts)


def _images(pixels: Tensor) -> list[Image.Image]:
    return [Image.fromarray(each) for each in pixels.byte().cpu().numpy()]
