"""Muon: for a matrix, the steepest step is one that turns all its directions equally (Jordan et al. 2024)."""

import torch
from torch import Tensor


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the hardware computes in bfloat16. Where it does not, torch converts: slower than float32."""
    return {
        "cpu": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "cuda": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
    }.get(torch.device(device).type, False)


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

    def __init__(self, params, lr: float, weight_decay: float = 0.01, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            alike = {}  #  matrices of one shape are turned together
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("momentum", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(average, group["momentum"]).flatten(1)
                alike.setdefault(update.shape, []).append((p, update))
            for shape, pairs in alike.items():
                updates = orthogonalized(torch.stack([update for _, update in pairs]))
                rate = 0.2 * group["lr"] * max(shape) ** 0.5
                for (p, _), update in zip(pairs, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.view_as(p), alpha=rate)
