"""A small classifier that reads a picture's caption back: does a picture show its prompt?"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.data import OBJECTS, PLACES, POSITIONS, SIZES, STYLES, Spec

# What it tells apart. A pair is read from left to right or from top to bottom, so the order holds the relation.
CLASSES = {
    "first": tuple(OBJECTS),
    "second": (None, *OBJECTS),
    "layout": (None, *POSITIONS, "left of", "above"),
    "size": (None, *SIZES),
    "style": (None, *STYLES),
    "place": PLACES,
}


def labels(spec: Spec) -> list[int]:
    """The index of each of the six classes that a scene of `spec` shows."""
    objects, where = spec.objects, spec.where
    if where in ("right of", "below"):
        objects, where = objects[::-1], {"right of": "left of", "below": "above"}[where]
    shown = (objects[0], objects[1] if len(objects) == 2 else None, where, spec.size, spec.style, spec.place)
    return [names.index(value) for names, value in zip(CLASSES.values(), shown, strict=True)]


@dataclass(frozen=True)
class JudgeConfig:
    """Channels after each halving of the resolution, 128 -> 64 -> 32 -> 16 -> 8."""

    channels: tuple[int, ...] = (24, 48, 80, 96)


class Judge(nn.Module):
    """Pictures (B, 3, 128, 128) in [-1, 1] -> logits of the six `CLASSES`, one (B, n) tensor each, in their order."""

    def __init__(self, config: JudgeConfig = JudgeConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__()
        self.config = config
        layers, width = [], 3
        for i, channels in enumerate(config.channels):
            kernel = 5 if i == 0 else 3
            layers += [nn.Conv2d(width, channels, kernel, stride=2, padding=kernel // 2, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.SiLU()]
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.SiLU()]
            width = channels
        self.backbone = nn.Sequential(*layers)
        self.reduce = nn.Conv2d(width, 24, 1)  #  few channels, every position kept: where things are matters
        self.hidden = nn.Linear(24 * 8 * 8, 128)
        self.heads = nn.ModuleList(nn.Linear(128, len(names)) for names in CLASSES.values())

    def features(self, x: Tensor) -> Tensor:
        """(B, 128): what the six answers are read from, and the space of the Fréchet distance."""
        x = self.reduce(self.backbone(x))  #                                 (B, 24, 8, 8)
        return F.silu(self.hidden(x.flatten(1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.features(x)
        return [head(features) for head in self.heads]


@torch.no_grad()
def adherence(judge: Judge, pictures: Tensor, specs: list[Spec]) -> dict[str, float]:
    """The share of pictures (B, 3, 128, 128) in [-1, 1] that show what their spec says, in [0, 1].

    `objects`: all the right ones, in any order; `right`: objects, place, style and layout all together. The other
    names are those of `CLASSES`.
    """
    answers = torch.stack([logits.argmax(1) for logits in judge.eval()(pictures)], dim=1).cpu()
    truth = torch.tensor([labels(spec) for spec in specs])
    same = answers == truth
    n = dict(zip(CLASSES, same.float().mean(0).tolist(), strict=True))

    def objects(rows: Tensor) -> list[set]:
        return [{CLASSES["first"][a], CLASSES["second"][b]} for a, b in rows[:, :2].tolist()]

    n["objects"] = sum(a == b for a, b in zip(objects(answers), objects(truth), strict=True)) / len(specs)
    n["right"] = same[:, [0, 1, 2, 4, 5]].all(1).float().mean().item()
    return n
