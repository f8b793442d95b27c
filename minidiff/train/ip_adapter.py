"""What an IP-Adapter learns from: the objective behind `python -m minidiff.train ip_adapter`."""

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minidiff import data, judge, show
from minidiff.clip import CLIPImage
from minidiff.data import EVAL_SEED
from minidiff.ip_adapter import IPAdapter
from minidiff.train.objectives import UNetObjective, scenes
from minidiff.unet import UNet


class IPAdapterObjective(UNetObjective):
    """The U-Net's loss, its cross-attentions also looking at the scene's own picture (Ye et al. 2023, eq. 6).

    Only the adapter learns. Half of the captions are left empty, so that a picture is enough, and one picture in ten is
    left out, its embedding 0, for guidance.
    """

    empty = 0.5

    def __init__(self, model: IPAdapter, unet: UNet, encoder: CLIPImage, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        self.unet, self.encoder = unet.requires_grad_(False), encoder.requires_grad_(False)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rows, _ = self.rows(indices)
        return super().batch(indices) | {"pictures": data.batch(scenes(rows, self.world))}

    def forward(self, generator: list[torch.Generator], x0: Tensor, ids: Tensor, pictures: Tensor) -> Tensor:
        shown = [torch.rand(1, generator=g, device=x0.device) > 0.1 for g in generator]
        words = self.model(self.encoder(pictures) * torch.stack(shown))
        return self.loss(self.model.on(self.unet, self.unet, words), generator, x0, ids)

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        """Twelve pictures and what is drawn from each, without a word; of 64, what the judge says, and the cosine
        between CLIP's features of the two, beside that of a picture and what another one led to."""
        shown = scenes(torch.arange(EVAL_SEED, EVAL_SEED + 64), self.world)
        given, pipe = [Image.fromarray(scene.image) for scene in shown], self.pipeline(self.unet)
        pipe.ip_adapter = self.model, self.encoder
        drawn = pipe([""] * len(given), ip_image=given, steps=15, progress=False)
        a, b = (F.normalize(self.encoder(show.to_tensor(p).to(pipe.device)), dim=-1) for p in (given, drawn))
        measures = {"cosine": (a * b).sum(-1).mean(), "cosine_to_others": (a * b.roll(1, 0)).sum(-1).mean()}
        if self.judge is not None:
            _, answers = judge.read(self.judge, show.to_tensor(drawn))
            said = judge.adherence(answers, [scene.spec for scene in shown])
            measures |= {name: said[name] for name in ("objects", "place", "right")}
        pairs = [picture for pair in zip(given[:12], drawn, strict=False) for picture in pair]
        return show.grid(pairs, columns=6), {name: round(float(value), 4) for name, value in measures.items()}
