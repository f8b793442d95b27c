"""Transformers in the place of the U-Net: the MMDiT of Stable Diffusion 3 and 3.5, and FLUX.1."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import convert
from minidiff.attention import attention, check_heads
from minidiff.t5 import RMSNorm
from minidiff.unet import SizeError, TimestepEmbedding, timestep_embedding, zero


@dataclass(frozen=True)
class MMDiTConfig:
    """Sizes of an `MMDiT`, by diffusers' names. The defaults are the course's text-to-image model."""

    sample_size: int = 16  # height and width it is trained at, in latents
    patch_size: int = 2
    in_channels: int = 4
    out_channels: int = 4
    num_layers: int = 5
    attention_head_dim: int = 48
    num_attention_heads: int = 4
    joint_attention_dim: int = 128  # width of the text states
    pooled_projection_dim: int = 128  # width of the pooled text
    pos_embed_max_size: int = 16  # patches that the largest picture is high and wide
    qk_norm: bool = True  # queries and keys are RMS-normed, as in SD 3.5; not in SD 3
    dual_attention_layers: tuple[int, ...] = ()  # blocks in which the picture also looks at itself alone: SD 3.5 medium


@dataclass(frozen=True)
class FluxConfig:
    """Sizes of a `Flux`, by diffusers' names. The defaults are a model about as large as the course's MMDiT."""

    in_channels: int = 16  # of a patch, which is 2x2 latents
    out_channels: int | None = None  # None: as many
    num_layers: int = 3  # blocks of two streams
    num_single_layers: int = 4  # blocks of one
    attention_head_dim: int = 48
    num_attention_heads: int = 4
    joint_attention_dim: int = 128
    pooled_projection_dim: int = 128
    guidance_embeds: bool = False  # True: it is told the guidance that it was distilled from, as FLUX.1 dev
    axes_dims_rope: tuple[int, ...] = (16, 16, 16)  # channels of a head that turn with each axis of a place
    sample_size: int = 128  # height and width of the latents if nobody says, as in diffusers: no file has it

    def __post_init__(self):
        if len(got := self.axes_dims_rope) != 3 or sum(got) != self.attention_head_dim:
            raise ValueError(f"axes_dims_rope is {got}, expected 3 that add up to attention_head_dim")


class PatchEmbedding(nn.Module):
    """Each patch as a vector, plus sines and cosines of its column and row; of the largest picture's, the middle."""

    def __init__(self, config: MMDiTConfig, dim: int):
        super().__init__()
        self.side, patch = config.pos_embed_max_size, config.patch_size
        self.proj = nn.Conv2d(config.in_channels, dim, patch, stride=patch)
        # the largest picture spans as many units as one of sample_size has patches
        places = torch.arange(self.side) * (config.sample_size // patch / self.side)
        table = timestep_embedding(places, dim // 2).roll(dim // 4, dims=-1)  # sines first
        rows, columns = table[:, None].expand(-1, self.side, -1), table.expand(self.side, -1, -1)
        self.register_buffer("pos_embed", torch.cat([columns, rows], dim=-1).flatten(0, 1)[None])

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x)  #                                                                      (B, D, h, w)
        height, width = x.shape[2:]
        if max(height, width) > self.side:
            raise SizeError(f"x is {height}x{width} patches, this MMDiT takes at most {self.side}: draw a smaller one")
        top, left = (self.side - height) // 2, (self.side - width) // 2
        table = self.pos_embed.unflatten(1, (self.side, self.side))[:, top : top + height, left : left + width]
        return x.flatten(2).transpose(1, 2) + table.flatten(1, 2)  #                             (B, h * w, D)


def unpatched(x: Tensor, height: int, size: int) -> Tensor:
    """Patches (B, N, C * size * size), row by row -> (B, C, H, W), of which each is size x size; H = height * size."""
    return F.pixel_shuffle(x.transpose(1, 2).unflatten(2, (height, -1)), size)


def rotary(places: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Angles p 10000^(-2i / d), i < d / 2, of each coordinate p of a place, which has d channels of its own.

    Su et al. 2021 (arXiv:2104.09864), equation 15. (N, axes) -> (N, sum(dims) / 2).
    """
    exponents = [torch.arange(0, d, 2, device=places.device) / d for d in dims]
    return torch.cat([p[:, None] * 10000.0**-e for p, e in zip(places.T, exponents, strict=True)], dim=1)


def rotated(x: Tensor, angles: Tensor | None) -> Tensor:
    """Channels 2i and 2i + 1 of each head, a point of the plane, turned by angle i. (B, N, D), (N, d / 2) -> (B, N, D).

    A query times a key then depends on how far apart they stand, not on where.
    """
    if angles is None:
        return x
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]  #                                   (N, 1, d / 2)
    a, b = x.float().unflatten(-1, (-1, angles.shape[1], 2)).unbind(-1)  #                       (B, N, heads, d / 2)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(2).to(x.dtype)


class Modulation(nn.Module):
    """n shifts, scales and gates of temb, 0 before training: adaLN-zero (Peebles & Xie 2022, arXiv:2212.09748)."""

    def __init__(self, dim: int, n: int):
        super().__init__()
        self.n, self.linear = n, zero(nn.Linear(dim, n * dim))

    def forward(self, temb: Tensor) -> tuple[Tensor, ...]:
        return self.linear(temb)[:, None].chunk(self.n, dim=-1)  #                               n times (B, 1, D)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) norm(x) + shift, of x (B, N, D); `norm` has no weights of its own."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class MLP(nn.Module):
    """Two layers, on each position alone."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj, self.out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.gelu(self.proj(x), approximate="tanh"))


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence (B, N, D) to itself; a joint block uses its parts, `qkv` and `to_out`.

    With qk_norm, queries and keys have a mean square of 1 in each head, times a weight: otherwise their products may
    grow until training in half precision breaks (Esser et al. 2024, section 5.3.2).
    """

    def __init__(self, dim: int, heads: int, qk_norm: bool, out: bool = True):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_q, self.norm_k = (RMSNorm(dim // heads, 1e-6) if qk_norm else nn.Identity() for _ in range(2))
        self.to_out = nn.Linear(dim, dim) if out else None

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k = (h.unflatten(-1, (self.heads, -1)) for h in (self.to_q(x), self.to_k(x)))  #      (B, N, heads, d)
        return self.norm_q(q).flatten(2), self.norm_k(k).flatten(2), self.to_v(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_out(attention(*self.qkv(x), self.heads))


class Stream(nn.Module):
    """What one of a joint block's two sequences has of its own. The text of the `last` block is read, and stays."""

    def __init__(self, dim: int, heads: int, qk_norm: bool, dual: bool = False, last: bool = False):
        super().__init__()
        self.norm1 = Modulation(dim, 9 if dual else 2 if last else 6)
        self.attn = SelfAttention(dim, heads, qk_norm, out=not last)
        self.attn2 = SelfAttention(dim, heads, qk_norm) if dual else None
        self.ff = None if last else MLP(dim)

    def add(self, x: Tensor, read: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """x, what it `read` in the joint attention and, if `dual`, in one of its own, and what it makes of that."""
        if self.ff is None:
            return x
        _, _, gate, mlp_shift, mlp_scale, mlp_gate, *own = modulation
        h = x + gate * self.attn.to_out(read)
        if self.attn2 is not None:
            shift, scale, gate = own
            h = h + gate * self.attn2(modulated(x, shift, scale))
        return h + mlp_gate * self.ff(modulated(h, mlp_shift, mlp_scale))


class JointBlock(nn.Module):
    """Picture x (B, N, D) and text context (B, M, D): own weights, one attention over both (Esser et al., fig. 2b)."""

    def __init__(self, dim: int, heads: int, qk_norm: bool = True, dual: bool = False, last: bool = False):
        super().__init__()
        self.image, self.text = Stream(dim, heads, qk_norm, dual), Stream(dim, heads, qk_norm, last=last)

    def forward(self, x: Tensor, context: Tensor, temb: Tensor, angles: Tensor | None = None) -> tuple[Tensor, Tensor]:
        of_x, of_text = self.image.norm1(temb), self.text.norm1(temb)  #                         each (B, 1, D)
        shift, scale = of_text[::-1] if len(of_text) == 2 else of_text[:2]  # the last block has its scale first
        parts = self.text.attn.qkv(modulated(context, shift, scale)), self.image.attn.qkv(modulated(x, *of_x[:2]))
        q, k, v = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))  #               (B, M + N, D)
        read = attention(rotated(q, angles), rotated(k, angles), v, self.text.attn.heads)  #     (B, M + N, D)
        text, image = read.split([context.shape[1], x.shape[1]], dim=1)
        return self.image.add(x, image, of_x), self.text.add(context, text, of_text)


class SingleBlock(nn.Module):
    """x + gate W [attention(h), gelu(V h)], h modulated x (B, M + N, D): text, then picture (Dehghani et al. 2023)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm = Modulation(dim, 3)
        self.attn = SelfAttention(dim, heads, qk_norm=True, out=False)
        self.proj_mlp, self.proj_out = nn.Linear(dim, 4 * dim), nn.Linear(5 * dim, dim)

    def forward(self, x: Tensor, temb: Tensor, angles: Tensor) -> Tensor:
        shift, scale, gate = self.norm(temb)  #                                                  each (B, 1, D)
        h = modulated(x, shift, scale)  #                                                        (B, M + N, D)
        q, k, v = self.attn.qkv(h)
        read = attention(rotated(q, angles), rotated(k, angles), v, self.attn.heads)  #          (B, M + N, D)
        h = torch.cat([read, F.gelu(self.proj_mlp(h), approximate="tanh")], dim=-1)  #           (B, M + N, 5 D)
        return x + gate * self.proj_out(h)


class DiT(nn.Module):
    """What both models begin and end with. They are told text states, pooled text and perhaps the guidance."""

    from_diffusers = classmethod(convert.from_diffusers)
    to_diffusers = convert.to_diffusers

    def __init__(self, config: MMDiTConfig | FluxConfig, channels: int, patch: int, out: int, guidance: bool = False):
        super().__init__()
        self.config, self.channels, self.patch = config, channels, patch
        self.dim = config.attention_head_dim * config.num_attention_heads
        self.timestep_embedder = TimestepEmbedding(256, self.dim)
        self.guidance_embedder = TimestepEmbedding(256, self.dim) if guidance else None
        self.text_embedder = TimestepEmbedding(config.pooled_projection_dim, self.dim)
        self.context_embedder = nn.Linear(config.joint_attention_dim, self.dim)
        self.norm_out, self.proj_out = Modulation(self.dim, 2), zero(nn.Linear(self.dim, out))

    def begin(self, x: Tensor, t: Tensor, cond: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """x, the text (B, M, D), and temb (B, D), which moves every block: time, pooled text and guidance, added up.

        All in the precision of the weights. SizeError for what belongs to another model.
        """
        config, name, dtype = self.config, type(self).__name__, self.proj_out.weight.dtype
        if x.shape[1] != self.channels or any(side % self.patch for side in x.shape[2:]):
            expected = f"{self.channels} channels, height and width multiples of {self.patch}"
            raise SizeError(f"x is {tuple(x.shape[1:])}, this {name} takes {expected}: crop or pad it")
        got, widths = [c.shape[-1] for c in cond[:2]], [config.joint_attention_dim, config.pooled_projection_dim]
        if len(cond) != (parts := 2 + (self.guidance_embedder is not None)) or got != widths:
            expected = f"{parts} tensors, text and pooled text {widths} wide"
            raise SizeError(f"got {len(cond)}, the first {got} wide; this {name} is told {expected}: give those")
        states, pooled, *guidance = (c.expand(len(x), *c.shape[1:]) for c in cond)
        t = torch.as_tensor(t, device=x.device).expand(len(x))
        temb = self.timestep_embedder(timestep_embedding(t, 256).to(dtype)) + self.text_embedder(pooled.to(dtype))
        for scale in guidance:
            temb = temb + self.guidance_embedder(timestep_embedding(1000 * scale, 256).to(dtype))
        return x.to(dtype), self.context_embedder(states.to(dtype)), F.silu(temb)

    def end(self, x: Tensor, temb: Tensor) -> Tensor:
        scale, shift = self.norm_out(temb)  # in this order, unlike those of the blocks
        return self.proj_out(modulated(x, shift, scale))


class MMDiT(DiT):
    """The network of Stable Diffusion 3 (Esser et al. 2024, arXiv:2403.03206): diffusers' SD3Transformer2DModel.

    Noisy latents (B, in_channels, H, W), network times (B,) in 0 ... 1000 and a tuple of text states (B, M,
    joint_attention_dim) and pooled text (B, pooled_projection_dim) -> eps - x_0, (B, out_channels, H, W).
    """

    def __init__(self, config: MMDiTConfig = MMDiTConfig()):  # noqa: B008  frozen, so it can be shared
        n, dual, patch = config.num_layers, config.dual_attention_layers, config.patch_size
        super().__init__(config, config.in_channels, patch, patch**2 * config.out_channels)
        self.pos_embed = PatchEmbedding(config, self.dim)
        self.transformer_blocks = nn.ModuleList(
            JointBlock(self.dim, config.num_attention_heads, config.qk_norm, dual=i in dual, last=i == n - 1)
            for i in range(n)
        )

    def forward(self, x: Tensor, t: Tensor, cond: tuple[Tensor, Tensor]) -> Tensor:
        height = x.shape[2] // self.patch
        x, context, temb = self.begin(x, t, cond)
        x = self.pos_embed(x)  #                                                                 (B, N, D)
        for block in self.transformer_blocks:
            x, context = block(x, context, temb)
        x = self.end(x, temb).unflatten(-1, (-1, self.config.out_channels))  #                   (B, N, p * p, C)
        return unpatched(x.transpose(2, 3).flatten(2), height, self.patch)


class Flux(DiT):
    """FLUX.1 of Black Forest Labs (2024), dev or schnell: diffusers' FluxTransformer2DModel.

    Like an `MMDiT`, but latents have in_channels / 4 channels, and dev is told a third tensor: guidance (B,), as 3.5.
    """

    def __init__(self, config: FluxConfig = FluxConfig()):  # noqa: B008
        out, heads, n = config.out_channels or config.in_channels, config.num_attention_heads, config.num_single_layers
        super().__init__(config, config.in_channels // 4, 2, out, config.guidance_embeds)
        self.x_embedder = nn.Linear(config.in_channels, self.dim)
        self.transformer_blocks = nn.ModuleList(JointBlock(self.dim, heads) for _ in range(config.num_layers))
        self.single_transformer_blocks = nn.ModuleList(SingleBlock(self.dim, heads) for _ in range(n))

    def forward(self, x: Tensor, t: Tensor, cond: tuple[Tensor, ...]) -> Tensor:
        x, context, temb = self.begin(x, t, cond)
        height, width, words = x.shape[2] // 2, x.shape[3] // 2, context.shape[1]
        grid = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in (1, height, width)))
        angles = rotary(F.pad(grid, (0, 0, words, 0)), self.config.axes_dims_rope)  # all words at 0: (M + N, d / 2)
        x = self.x_embedder(F.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2))  #               (B, N, D)
        for block in self.transformer_blocks:
            x, context = block(x, context, temb, angles)
        x = torch.cat([context, x], dim=1)  #                                                    (B, M + N, D)
        for block in self.single_transformer_blocks:
            x = block(x, temb, angles)
        return unpatched(self.end(x[:, words:], temb), height, 2)
