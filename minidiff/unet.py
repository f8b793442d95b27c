"""The denoising network: a U-Net of ResNet blocks that is told the time and, where it has attention, reads a text."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import convert
from minidiff.attention import Transformer2D
from minidiff.denoise import Cond


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a `UNet`, by diffusers' names. The defaults are the course's text-to-image model."""

    sample_size: int = 16  # height and width it is trained at, in latents or pixels
    in_channels: int = 4
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (96, 128, 160)  # channels of each level, full resolution first
    layers_per_block: int = 1  # ResNet blocks a level going down; one more going up
    attention: tuple[bool, ...] = (False, True, True)  # levels with transformer blocks
    heads: tuple[int, ...] = (4, 4, 4)  # attention heads of each level
    transformer_layers: tuple[int, ...] = ()  # transformer blocks in a row, of each level; (): one each
    cross_attention_dim: int | None = 128  # width of the text states; None: no attention anywhere
    use_linear_projection: bool = False
    norm_num_groups: int = 16
    mid_block: bool = True  # False: nothing between the way down and the way up, as in BK-SDM small and tiny
    addition_time_embed_dim: int | None = None  # of SDXL, width of each embedded size; None: it is told no sizes
    projection_class_embeddings_input_dim: int | None = None  # width of the pooled text and all embedded sizes
    time_cond_proj_dim: int | None = None  # width of the embedded guidance that an LCM is told; None: it is told none

    def __post_init__(self):
        levels = len(self.block_out_channels)
        for name in ("attention", "heads", "transformer_layers"):
            if (given := len(getattr(self, name))) != levels and (given or name != "transformer_layers"):
                raise ValueError(f"{name} has {given} entries, block_out_channels {levels}: give one for each level")
        if (self.addition_time_embed_dim is None) != (self.projection_class_embeddings_input_dim is None):
            raise ValueError("addition_time_embed_dim and projection_class_embeddings_input_dim go together: give both")


def skip_channels(config: UNetConfig) -> list[int]:
    """The channels of each state on the way down, one for each skip."""
    widths, n = config.block_out_channels, config.layers_per_block
    return [widths[0]] + [width for width in widths for _ in range(n + 1)][:-1]  # the last level is not halved


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """[cos(t w_i), sin(t w_i)] w_i = 10000^(-i / (dim / 2)) (Vaswani et al. 2017, section 3.5). (B,) -> (B, dim)."""
    half = dim // 2
    w = torch.exp(-math.log(10000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * w
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def guidance_embedding(w: Tensor, dim: int) -> Tensor:
    """[sin(1000 w w_i), cos(1000 w w_i)], w_i = 10000^(-i / (dim / 2 - 1)), as an LCM is told it. (B,) -> (B, dim)."""
    half = dim // 2
    step = torch.tensor(10000.0).log() / (half - 1)  # in single precision, as theirs: the angles are large
    angles = (1000 * w.float())[:, None] * (torch.arange(half, device=w.device) * -step).exp()
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, dim % 2))


class TimestepEmbedding(nn.Module):
    """Two layers that turn the timestep embedding into what every ResNet block adds to its channels.

    With `told`, another embedding of that width is added before them, through a layer of its own.
    """

    def __init__(self, dim: int, out: int, told: int | None = None):
        super().__init__()
        self.cond_proj = nn.Linear(told, dim, bias=False) if told else None
        self.linear_1 = nn.Linear(dim, out)
        self.linear_2 = nn.Linear(out, out)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        x = x if told is None else x + self.cond_proj(told)
        return self.linear_2(F.silu(self.linear_1(x)))


def text_of(context: Cond, like: Tensor) -> Tensor | None:
    """The text states, which are all that a U-Net is told, or come first; in the precision of `like`."""
    text = context[0] if isinstance(context, tuple) else context
    return None if text is None else text.to(like.dtype)


class ResnetBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + time))): two 3x3 convolutions around a skip (Ho et al. 2020, app. B).

    (B, in_channels, H, W) -> (B, out_channels, H, W). Without `temb_channels` it knows no time, as in the VAE.
    """

    def __init__(
        self, in_channels: int, out_channels: int, temb_channels: int | None = None, groups: int = 32, eps: float = 1e-5
    ):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb_channels, out_channels) if temb_channels else None
        self.norm2 = nn.GroupNorm(groups, out_channels, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None:
            h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Upsample(nn.Conv2d):
    """Nearest-neighbour enlargement to `size` (twice, if not given), then a 3x3 convolution that smooths it."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        size = size or (2 * x.shape[-2], 2 * x.shape[-1])
        return super().forward(F.interpolate(x, size=size, mode="nearest"))


def transformer(config: UNetConfig, level: int) -> Transformer2D:
    """A new one, as those of this level."""
    channels, heads, layers = config.block_out_channels[level], config.heads[level], config.transformer_layers
    groups, linear = config.norm_num_groups, config.use_linear_projection
    return Transformer2D(channels, heads, config.cross_attention_dim, groups, linear, layers[level] if layers else 1)


class Block(nn.Module):
    """One level of the U-Net: ResNet blocks, each followed by a transformer where the level has attention."""

    def __init__(self, config: UNetConfig, level: int, channels: list[tuple[int, int]], temb_channels: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(i, o, temb_channels, config.norm_num_groups) for i, o in channels)
        has_attention = config.attention[level] and config.cross_attention_dim is not None
        self.attentions = nn.ModuleList(transformer(config, level) for _ in channels if has_attention)

    def layer(self, i: int, x: Tensor, temb: Tensor, context: Tensor | None) -> Tensor:
        x = self.resnets[i](x, temb)
        return self.attentions[i](x, context) if len(self.attentions) else x


class DownBlock(Block):
    """Returns every state on its way down: the skips that the way up will read."""

    def __init__(self, config: UNetConfig, level: int, in_channels: int, temb_channels: int, last: bool):
        out = config.block_out_channels[level]
        super().__init__(
            config, level, [(in_channels, out)] + [(out, out)] * (config.layers_per_block - 1), temb_channels
        )
        self.downsample = None if last else nn.Conv2d(out, out, 3, stride=2, padding=1)

    def forward(self, x: Tensor, temb: Tensor, context: Tensor | None) -> list[Tensor]:
        states = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, temb, context)
            states.append(x)
        if self.downsample is not None:
            states.append(self.downsample(x))
        return states


class MidBlock(nn.Module):
    """The lowest resolution: ResNet, transformer, ResNet; without attention a single ResNet block."""

    def __init__(self, config: UNetConfig, temb_channels: int):
        super().__init__()
        channels, groups = config.block_out_channels[-1], config.norm_num_groups
        n = 1 if config.cross_attention_dim is None else 2
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, temb_channels, groups) for _ in range(n))
        self.attentions = nn.ModuleList(transformer(config, -1) for _ in range(n - 1))

    def forward(self, x: Tensor, temb: Tensor, context: Tensor | None) -> Tensor:
        x = self.resnets[0](x, temb)
        for attention, resnet in zip(self.attentions, self.resnets[1:], strict=True):
            x = resnet(attention(x, context), temb)
        return x


class UpBlock(Block):
    """Reads one skip before each ResNet block: concatenated behind the state, [state, skip]."""

    def __init__(
        self, config: UNetConfig, level: int, in_channels: int, skips: list[int], temb_channels: int, last: bool
    ):
        out = config.block_out_channels[level]
        inputs = [in_channels] + [out] * (len(skips) - 1)
        super().__init__(config, level, [(i + s, out) for i, s in zip(inputs, skips, strict=True)], temb_channels)
        self.upsample = None if last else Upsample(out)

    def forward(self, x: Tensor, skips: list[Tensor], temb: Tensor, context: Tensor | None) -> Tensor:
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], dim=1), temb, context)
        if self.upsample is not None:
            x = self.upsample(x, size=skips[-1].shape[-2:])  # the skip's size, so that odd sizes fit
        return x


def zero(layer: nn.Module) -> nn.Module:
    """`layer`, made to return 0. It learns all the same: the gradient of its weight is its input's, which is not 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class SizeError(ValueError, RuntimeError):
    """A tensor that does not fit a model: a wrong value to us, an error of running to torch, and to who catches its."""


class UNetEncoder(nn.Module):
    """The half of a U-Net that looks: the way down and the lowest level. A ControlNet is a copy of it."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        widths, temb_channels = config.block_out_channels, 4 * config.block_out_channels[0]
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], temb_channels, config.time_cond_proj_dim)
        if (added := config.projection_class_embeddings_input_dim) is not None:
            self.add_embedding = TimestepEmbedding(added, temb_channels)
        self.down_blocks = nn.ModuleList(
            DownBlock(config, i, widths[max(i - 1, 0)], temb_channels, last=i == len(widths) - 1)
            for i in range(len(widths))
        )
        self.mid_block = MidBlock(config, temb_channels) if config.mid_block else None

    def check(self, x: Tensor, context: Cond) -> None:
        """SizeError if x or what the model is told is for another one."""
        config, name = self.config, type(self).__name__
        if x.shape[1] != config.in_channels:
            raise SizeError(f"x has {x.shape[1]} channels, this {name} takes {config.in_channels}: give one that fits")
        text, dim = text_of(context, x), config.addition_time_embed_dim
        if text is not None and text.shape[-1] != (config.cross_attention_dim or text.shape[-1]):
            got, expected = text.shape[-1], config.cross_attention_dim
            raise SizeError(f"text states are {got} wide, this {name} reads {expected}: give one that fits the text")
        parts = ["text states", *["pooled text", "sizes"] * (dim is not None)]
        parts += ["guidance - 1"] * (config.time_cond_proj_dim is not None)
        if (got := len(context) if isinstance(context, tuple) else 1) != (expected := len(parts)):
            what = f"({', '.join(parts)})" if parts[1:] else "text states alone"
            raise SizeError(f"got {got} of what a model is told, this {name} reads {expected}: give it {what}")
        if dim is not None:
            got = context[1].shape[-1] + dim * context[2].shape[-1]
            if got != (expected := config.projection_class_embeddings_input_dim):
                raise SizeError(f"pooled text and sizes are {got} wide, this {name} reads {expected}: give others")

    def encode(self, x: Tensor, t: Tensor, context: Cond, hint: Tensor | float = 0.0) -> tuple[list[Tensor], Tensor]:
        """Every state on the way down and, last, that of the lowest level; and the time embedding, (B, D).

        To SDXL's is added what it makes of pooled text and sizes (Podell et al. 2023, arXiv:2307.01952, section 2.2),
        and to an LCM's, before its layers, what it makes of the guidance (Luo et al. 2023, arXiv:2310.04378).
        """
        x, text = x.to(self.conv_in.weight.dtype), text_of(context, self.conv_in.weight)
        t = torch.as_tensor(t, device=x.device).expand(len(x))
        embedded, told = timestep_embedding(t, self.config.block_out_channels[0]).to(x.dtype), None
        if (dim := self.config.time_cond_proj_dim) is not None:
            told = guidance_embedding(context[-1].expand(len(x)), dim).to(x.dtype)
        temb = self.time_embedding(embedded, told)
        if self.config.addition_time_embed_dim is not None:
            pooled, sizes = (part.expand(len(x), -1) for part in context[1:3])
            sizes = timestep_embedding(sizes.flatten(), self.config.addition_time_embed_dim).reshape(len(x), -1)
            temb = temb + self.add_embedding(torch.cat([pooled.to(x.dtype), sizes.to(x.dtype)], dim=-1))
        states = [self.conv_in(x) + hint]
        for block in self.down_blocks:
            states += block(states[-1], temb, text)
        lowest = states[-1] if self.mid_block is None else self.mid_block(states[-1], temb, text)
        return [*states, lowest], temb


def steered(states: list[Tensor], residuals: list[Tensor]) -> list[Tensor]:
    """Each state with what a ControlNet adds to it. ValueError if that one belongs to another U-Net."""
    got, expected = ([c for part in parts for c in part.shape[1:2]] for parts in (residuals, states))
    if got != expected:
        got, expected = (f"{len(widths)} of {sorted(set(widths))} channels" for widths in (got, expected))
        raise ValueError(f"residuals are {got}, expected {expected}: give a ControlNet made for this U-Net")
    return [state + residual.to(state.dtype) for state, residual in zip(states, residuals, strict=True)]


class UNet(UNetEncoder):
    """The network of Rombach et al. 2022 (section 3.2), with the structure of diffusers' UNet2DConditionModel.

    (B, in_channels, H, W) noisy pictures or latents, (B,) network times (0 ... T - 1, fractions allowed) and text
    states (B, M, cross_attention_dim) -> (B, out_channels, H, W): the prediction its loss asked for. SDXL's is told
    (text states, pooled text (B, P), sizes (B, 6)), an LCM, of any kind, at last guidance - 1, (B,), too.
    `residuals`, which a ControlNet returns, are added to the states of `encode`. It computes in its weights' precision.
    """

    patch = 1  # height and width of what it reads as one, in latents: a transformer reads more
    from_diffusers = classmethod(convert.from_diffusers)
    to_diffusers = convert.to_diffusers

    def __init__(self, config: UNetConfig = UNetConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__(config)
        widths, n, last = config.block_out_channels, config.layers_per_block, len(config.block_out_channels) - 1
        skips = skip_channels(config)
        self.up_blocks = nn.ModuleList(
            UpBlock(
                config, i, widths[min(i + 1, last)], [skips.pop() for _ in range(n + 1)], 4 * widths[0], last=i == 0
            )
            for i in reversed(range(len(widths)))
        )
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, context: Cond = None, residuals: list[Tensor] | None = None) -> Tensor:
        self.check(x, context)
        states, temb = self.encode(x, t, context)
        if residuals is not None:
            states = steered(states, residuals)
        *skips, x = states
        text = text_of(context, self.conv_in.weight)
        for block in self.up_blocks:
            x = block(x, skips, temb, text)
        return self.conv_out(F.silu(self.conv_norm_out(x)))
