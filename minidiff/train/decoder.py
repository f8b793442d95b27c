"""What the small decoder learns from: the objective behind `python -m minidiff.train decoder`."""

import torch
from PIL import Image
from torch import Tensor

from minidiff import data, show
from minidiff.train.objectives import UNetObjective, evaluation, psnr, scenes


class DecoderObjective(UNetObjective):
    """|x - decode(z)| + (x - decode(z))^2, means over pixels, z the VAE's latents of a scene x.

    That is what the VAE's own decoder learned. Its pictures would do as x, too, but take longer to make than to learn.
    """

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rows, _ = self.rows(indices)
        return {"z": self.latents[rows].float(), "x": data.batch(scenes(rows, self.world))}

    def forward(self, generator: list[torch.Generator], z: Tensor, x: Tensor) -> Tensor:
        error = x - self.model(z).float()
        return error.abs().mean() + error.square().mean()

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        """Twelve scenes, each with what the VAE and the small decoder make of its latents; of 64, how near both are."""
        x = data.batch(evaluation(64)).to(next(self.model.parameters()).device)
        z = torch.cat([self.vae.encode(part).mean for part in x.split(16)])
        theirs = torch.cat([self.vae.decode(part) for part in z.split(16)])
        ours = self.model(z * self.vae.config.scaling_factor)
        rows = torch.stack([x[:12], theirs[:12], ours[:12]], dim=1).flatten(0, 1)
        measures = {"psnr_db": round(psnr(x, ours), 2), "vae_psnr_db": round(psnr(x, theirs), 2)}
        return show.grid(show.to_pil(rows), columns=6), measures
