"""Consistency distillation: a U-Net that draws in 1 to 4 calls learns from one that needs 25 pairs of them."""

import torch
from PIL import Image
from torch import Tensor
from torch.func import functional_call

from minidiff import judge, show
from minidiff.data import EVAL_SEED
from minidiff.denoise import V, denoiser
from minidiff.guide import cfg
from minidiff.pipeline import SCHEDULE
from minidiff.sample import consistency
from minidiff.schedule import noise_like, per_sample, trailing
from minidiff.train.objectives import UNetObjective, scenes
from minidiff.unet import UNet


class ConsistencyObjective(UNetObjective):
    """Few-step drawing: |f(x_t, t) - f(x_s, s)|, s the time after t in `grid`, x_s where the guided teacher's DDIM
    leads from x_t; f is the U-Net's guess of x_0. Song et al. 2023 (arXiv:2303.01469) eq. 7.

    The model begins as the teacher, without whose guidance it learns to do: one call a step. The target f(x_s, s) is
    that of the averaged weights, their eq. 8. The distance is pseudo-Huber, sqrt(|d|^2 + c^2) - c with c = 0.00054
    sqrt(D) of D numbers, as Song and Dhariwal 2023 (arXiv:2310.14189) found best for training without a teacher.
    """

    empty = 0.0

    def __init__(self, model: UNet, teacher: UNet, guidance: float, grid: int, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        self.teacher, self.guidance = teacher.requires_grad_(False), guidance
        self.grid = trailing(SCHEDULE.T, grid)
        self.average = dict(model.state_dict())

    def optimizers(self, lr: float, weight_decay: float) -> tuple[torch.optim.Optimizer, ...]:
        """AdamW for all: with the averaged target, of what was tried the better (docs/tried.md)."""
        return (torch.optim.AdamW(self.model.parameters(), lr, weight_decay=weight_decay),)

    def averaged(self, *inputs: Tensor) -> Tensor:
        """What the model answers with its averaged weights."""
        return functional_call(self.model, self.average, inputs)

    def forward(self, generator: list[torch.Generator], x0: Tensor, ids: Tensor) -> Tensor:
        i = torch.cat([torch.randint(len(self.grid) - 1, (1,), generator=g, device=x0.device) for g in generator]).cpu()
        t, s = self.grid[i], self.grid[i + 1]
        x_t = SCHEDULE.add_noise(x0, noise_like(x0, generator), t)
        cond, uncond = self.text(ids), self.text(self.null.to(ids.device))
        with torch.no_grad():
            guess = cfg(denoiser(self.teacher, SCHEDULE, V), cond, uncond, self.guidance)(x_t, t)
            (alpha, sigma), (alpha_s, sigma_s) = ([per_sample(a, x0) for a in SCHEDULE(time)] for time in (t, s))
            x_s = alpha_s * guess + sigma_s * (x_t - alpha * guess) / sigma
            target = denoiser(self.averaged, SCHEDULE, V)(x_s, s, cond)
        apart = (denoiser(self.model, SCHEDULE, V)(x_t, t, cond) - target).flatten(1)
        c = 0.00054 * apart.shape[1] ** 0.5
        return ((apart.square().sum(1) + c * c).sqrt() - c).mean()

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        """Twelve pictures in two calls; what the judge says of 64 captions drawn in 1, 2 and 4."""
        pipe, options = self.pipeline(self.result), {"sampler": consistency, "guidance": 1.0}
        picture = show.grid(pipe(self.prompts, steps=2, progress=False, **options), columns=6, captions=self.prompts)
        shown, measures = scenes(torch.arange(EVAL_SEED, EVAL_SEED + 64), self.world), {}
        for calls in (1, 2, 4) if self.judge is not None else ():
            _, answers = judge.read(self.judge, judge.draw(pipe, shown, steps=calls, **options))
            said = judge.adherence(answers, [scene.spec for scene in shown])
            measures |= {f"{name}_{calls}": round(said[name], 4) for name in ("objects", "both", "style", "right")}
        return picture, measures
