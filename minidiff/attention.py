"""Attention, and the transformer block that lets a picture read a text."""

import torch.nn.functional as F
from torch import Tensor, nn


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d): each head reads its own d channels."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def check_heads(channels: int, heads: int) -> None:
    """ValueError unless every head gets as many channels as the others."""
    if heads < 1 or channels % heads:
        raise ValueError(f"{channels} channels cannot be shared by {heads} heads: give a number that divides them")


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v in each head (Vaswani et al. 2017, equation 1 and section 3.2.2).

    q (B, N, heads * d), k and v (B, M, heads * d) -> (B, N, heads * d). `mask`, broadcast to (B, heads, N, M), is
    True where a query may look, or a float added before the softmax.
    """
    q, k, v = (split_heads(x, heads) for x in (q, k, v))  # (B, heads, N or M, d)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, N, d)
    return out.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Queries from x (B, N, dim), keys and values from context (B, M, context_dim); self-attention without one."""

    def __init__(self, dim: int, heads: int, context_dim: int | None = None, bias: bool = False):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_k = nn.Linear(context_dim or dim, dim, bias=bias)
        self.to_v = nn.Linear(context_dim or dim, dim, bias=bias)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        return self.to_out(attention(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))

    def maps(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The weights softmax(q k^T / sqrt(d)) themselves, (B, heads, N, M): where each query looks. Rows sum to 1."""
        context = x if context is None else context
        q, k = split_heads(self.to_q(x), self.heads), split_heads(self.to_k(context), self.heads)
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)


class FeedForward(nn.Module):
    """GEGLU: W_out (value * gelu(gate)), with value and gate two linear maps of x (Shazeer 2020, equation 6)."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Linear(dim, 8 * dim)
        self.out = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return self.out(value * F.gelu(gate))


class TransformerBlock(nn.Module):
    """The picture looks at itself, then at the text, then thinks; each step added to its input, (B, N, dim)."""

    def __init__(self, dim: int, heads: int, context_dim: int):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(dim), Attention(dim, heads)
        self.norm2, self.attn2 = nn.LayerNorm(dim), Attention(dim, heads, context_dim)
        self.norm3, self.ff = nn.LayerNorm(dim), FeedForward(dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer2D(nn.Module):
    """Transformer blocks over the H * W positions of a feature map, added to it.

    (B, C, H, W) and context (B, M, context_dim) -> (B, C, H, W). Its projections are 1x1 convolutions in SD 1.5 and
    linear layers in SD 2.x and SDXL (`linear`); Rombach et al. 2022, appendix E.2.1. Only SDXL has several `layers`.
    """

    def __init__(
        self, channels: int, heads: int, context_dim: int, groups: int = 32, linear: bool = False, layers: int = 1
    ):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
        self.block = TransformerBlock(channels, heads, context_dim)
        self.more = nn.ModuleList(TransformerBlock(channels, heads, context_dim) for _ in range(layers - 1))
        self.proj_out = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.norm(x).flatten(2).transpose(1, 2)  # (B, H * W, C)
        h = self.block(_project(self.proj_in, h), context)
        for block in self.more:
            h = block(h, context)
        h = _project(self.proj_out, h).transpose(1, 2)  # (B, C, H * W)
        return x + h.unflatten(2, x.shape[2:])


def _project(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:
    """(B, N, C) -> (B, N, C). A 1x1 convolution is a linear layer at each position, and quicker so."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)
