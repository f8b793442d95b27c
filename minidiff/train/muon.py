"""Muon: for a matrix, the steepest step is one that turns all its directions equally (Jordan et al. 2024)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from minidiff.precision import has_bfloat16


def orthogonalized(matrices: Tensor, steps: int = 5) -> Tensor:
    """(B, m, n) -> nearly U V^T of each U S V^T: every singular value is brought to between about 0.7 and 1.2.

    The Newton-Schulz iteration X <- a X + (b A + c A^2) X, A = X X^T, in bfloat16 where the hardware has it, with the
    coefficients of Jordan's "Muon: An optimizer for hidden layers in neural networks" (2024).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(torch.bfloat16 if has_bfloat16(matrices.device) else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        A = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(A, A, A, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """W <- (1 - lr weight_decay) W - 0.2 lr sqrt(max(m, n)) orthogonalized(g + momentum (M - g)), M <- lerp(g, M).

    For weights of two dimensions or more; a convolution's (out, in, h, w) counts as a matrix (out, in h w). The factor
    0.2 sqrt(max(m, n)) gives a step the size that AdamW's has at the same rate (Liu et al. 2025, "Muon is scalable for
    LLM training", section 2.2). torch.optim.Muon is the same for matrices, and takes nothing else.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.01, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        for group in self.param_groups:
            by_shape = {}  # matrices of one shape are turned together
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                average = state["momentum"]
                average.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(average, group["momentum"]).flatten(1)
                by_shape.setdefault(update.shape, []).append((p, update))
            for shape, pairs in by_shape.items():
                updates = orthogonalized(torch.stack([update for _, update in pairs]))
                rate = 0.2 * group["lr"] * max(shape) ** 0.5
                for (p, _), update in zip(pairs, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.view_as(p), alpha=rate)


def optimizers(model: nn.Module, lr: float, weight_decay: float = 0.01) -> tuple[Muon, torch.optim.AdamW]:
    """(Muon for the model's matrices, AdamW (Loshchilov & Hutter 2019) for the rest), both at the rate `lr`.

    Muon wants what multiplies from both sides: not biases and scales, nor a table of embeddings.
    """
    tables = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.ndim > 1 and id(p) not in tables]
    rest = [p for p in model.parameters() if p.ndim <= 1 or id(p) in tables]
    return Muon(matrices, lr, weight_decay), torch.optim.AdamW(rest, lr, weight_decay=weight_decay)
