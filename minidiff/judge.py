"""How good are the pictures? A small classifier reads captions back; Fréchet distance and edges do the rest.

`python -m minidiff.judge` prints the table of all measures.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from minidiff import controlnet, data
from minidiff.cli import Parser, number, run
from minidiff.convert import load
from minidiff.data import EVAL_SEED, OBJECTS, PLACES, POSITIONS, SIZES, STYLES, Scene, Spec, World
from minidiff.pipeline import WEIGHTS, StableDiffusion
from minidiff.sample import SAMPLERS
from minidiff.show import to_pil, to_tensor
from minidiff.unet import UNet
from minidiff.vae import VAE

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
        self.reduce = nn.Conv2d(width, 24, 1)  # few channels, every position kept: where things are matters
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
def read(judge: Judge, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """What it sees in pictures (B, 3, 128, 128) in [-1, 1]: (features (B, 128), the index of each class (B, 6))."""
    device, features, answers = next(judge.parameters()).device, [], []
    for part in pictures.split(64):
        features.append(judge.features(part.to(device)))
        answers.append(torch.stack([head(features[-1]).argmax(1) for head in judge.heads], dim=1))
    return torch.cat(features).cpu(), torch.cat(answers).cpu()


def adherence(answers: Tensor, specs: list[Spec]) -> dict[str, float]:
    """The share of pictures that show what their spec says, in [0, 1], from the answers (B, 6) of `read`.

    `objects`: all the right ones, in any order; `both`: all of them and their order or position; `right`: place and
    style as well. The other names are those of `CLASSES`.
    """
    truth = torch.tensor([labels(spec) for spec in specs])
    same = answers == truth
    out = dict(zip(CLASSES, same.float().mean(0).tolist(), strict=True))

    def objects(rows: Tensor) -> list[set]:
        return [{CLASSES["first"][a], CLASSES["second"][b]} for a, b in rows[:, :2].tolist()]

    out["objects"] = sum(a == b for a, b in zip(objects(answers), objects(truth), strict=True)) / len(specs)
    out["both"] = same[:, :3].all(1).float().mean().item()
    out["right"] = same[:, [0, 1, 2, 4, 5]].all(1).float().mean().item()
    return out


def frechet(a: Tensor, b: Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of features (N, D) and (M, D) (Heusel et al. 2017, eq. 6).

    Computed in float64. It falls with N and M, so only distances of equally many pictures compare.
    """
    a, b = a.double(), b.double()
    product = torch.cov(a.T) @ torch.cov(b.T)
    root = torch.linalg.eigvals(product).real.clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * root).item()


def edge_map(picture: np.ndarray) -> np.ndarray:
    """Where a picture (H, W, 3) uint8 has an edge, (H, W) bool: black in the hint that `controlnet.edges` makes."""
    return np.asarray(controlnet.edges(Image.fromarray(picture)).convert("L")) == 0


edges = edge_map  # lessons 03 and 10 call it so


def edge_f1(found: np.ndarray, truth: np.ndarray) -> float:
    """The harmonic mean of precision and recall of edges (H, W) bool, each found within one pixel. 1 if both are none.

    precision = share of `found` that has a true edge beside it; recall = the same the other way round.
    """
    if not found.any() or not truth.any():
        return float(found.any() == truth.any())
    near_truth, near_found = (cv2.dilate(e.astype(np.uint8), np.ones((3, 3))) > 0 for e in (truth, found))
    precision, recall = near_truth[found].mean(), near_found[truth].mean()
    return 2 * precision * recall / max(precision + recall, 1e-9)


def attention_iou(heat: Tensor, mask: Tensor) -> float:
    """|found and true| / |found or true| of a mask (H, W) bool and as many pixels, where a map (n * n,) is brightest.

    The map, row by row, is enlarged to (H, W) first, bilinearly. Chance is about a / (2 - a) for a mask of the share a.
    """
    side = math.isqrt(len(heat))
    heat = F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode="bilinear").flatten()
    found = torch.zeros(mask.numel(), dtype=torch.bool)
    found[heat.topk(int(mask.sum())).indices] = True
    found = found.reshape(mask.shape)
    return (found & mask).sum().item() / (found | mask).sum().item()


# ---------------------------------------------------------------------------------------------- the table

SINGLE, PAIR = World(pair=0.0), World(pair=1.0)


def with_other_objects(spec: Spec, rng: np.random.RandomState) -> Spec:
    """The sentence with other objects, and no combination in it that was held out."""
    while True:
        objects = tuple(list(OBJECTS)[i] for i in rng.choice(len(OBJECTS), len(spec.objects), replace=False))
        other = replace(spec, objects=objects)
        if not other.held_out:
            return other


def prompts(n: int, seed: int) -> dict[str, list[Scene]]:
    """n scenes of each kind, never trained on: their captions are the prompts, their pictures what is real."""
    rng = np.random.RandomState([seed % 2**32, 4])
    kinds = {
        "one object": [data.random_spec(rng, SINGLE) for _ in range(n)],
        "two objects": [data.random_spec(rng, PAIR) for _ in range(n)],
        "held-out": [data.random_spec(rng, held_out=True) for _ in range(n)],
    }
    kinds["seen twins"] = [with_other_objects(spec, rng) for spec in kinds["held-out"]]
    return {kind: [Scene(spec, EVAL_SEED + i) for i, spec in enumerate(specs)] for kind, specs in kinds.items()}


def draw(pipe: StableDiffusion, scenes: list[Scene], **options) -> Tensor:
    """Pictures (B, 3, 128, 128) of their captions, the i-th from seed i."""
    bar = tqdm(torch.arange(len(scenes)).split(32), "drawing", leave=False)
    parts = [pipe([scenes[i].caption for i in p.tolist()], seed=p.tolist(), progress=False, **options) for p in bar]
    return to_tensor([picture for part in parts for picture in part])


@torch.no_grad()
def measure(pipe: StableDiffusion, judge: Judge, n: int = 200, seed: int = 0, **options) -> list[tuple]:
    """Rows (measure, aim, value of drawn pictures, of real scenes through the VAE, of real scenes), None where none is.

    n prompts of each kind, drawn at random by `seed`; `options` of the pipeline: steps, guidance, sampler.
    """
    scenes = prompts(n, seed)
    real = {kind: data.batch(these) for kind, these in scenes.items()}
    decoded = {kind: reconstruct(pipe.vae, x) for kind, x in real.items()}
    drawn = {kind: draw(pipe, these, **options) for kind, these in scenes.items()}
    unguided = draw(pipe, scenes["two objects"], **options | {"guidance": 1.0})

    def shares(kind: str, pictures: Tensor) -> dict[str, float]:
        return adherence(read(judge, pictures)[1], [scene.spec for scene in scenes[kind]])

    def percent(kind: str, name: str) -> list[float]:
        return [100 * seen[kind][name] for seen in judged]

    def features(pictures: dict[str, Tensor]) -> Tensor:
        return torch.cat([read(judge, pictures[kind])[0] for kind in ("one object", "two objects")])

    judged = [{kind: shares(kind, x) for kind, x in pictures.items()} for pictures in (drawn, decoded, real)]
    others = features({kind: data.batch(these) for kind, these in prompts(n, seed + 1).items()})
    lost = 100 * (judged[0]["two objects"]["both"] - shares("two objects", unguided)["both"])
    pairs = [(to_bytes(a), to_bytes(b)) for kind in real for a, b in zip(decoded[kind], real[kind], strict=True)]

    return [
        ("VAE: PSNR, dB", "at least 30", None, float(np.mean([cv2.PSNR(*pair) for pair in pairs])), None),
        ("VAE: edge F1", "at least 0.9", None, float(np.mean([edge_f1(*map(edge_map, pair)) for pair in pairs])), None),
        ("one object: the right object, %", "at least 98", *percent("one object", "objects")),
        ("one object: the right place, %", "at least 98", *percent("one object", "place")),
        ("one object: the right style, %", "at least 98", *percent("one object", "style")),
        ("one object: the right position, %", "at least 96", *percent("one object", "layout")),
        ("two objects: both right, in the right relation, %", "at least 95", *percent("two objects", "both")),
        ("two objects: points lost at guidance 1", "at least 10", lost, None, None),
        ("seen combinations: all right, %", "", *percent("seen twins", "right")),
        ("held-out combinations: all right, %", "at most 4 lower", *percent("held-out", "right")),
        (
            "Fréchet distance to other real scenes",
            "at most 1.5 times real",
            *(frechet(features(pictures), others) for pictures in (drawn, decoded, real)),
        ),
    ]


def reconstruct(vae: VAE, x: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) encoded and decoded, in [-1, 1], on the CPU."""
    device = next(vae.parameters()).device
    return torch.cat([vae.decode(vae.encode(part.to(device)).mean).cpu() for part in x.split(8)]).clamp(-1, 1)


def to_bytes(picture: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    return np.asarray(to_pil(picture[None])[0])


def interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (0 to 1) that was counted in n: where the true one is, but for 1 time in 20."""
    z = 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def table(rows: list[tuple], n: int) -> str:
    """Rows of `measure`, n prompts of each kind, as Markdown; behind each share, 95 % intervals."""

    def cell(name: str, value: float | None) -> str:
        if value is None:
            return ""
        if not name.endswith("%"):
            return f"{value:.{1 if 'dB' in name or 'points' in name else 2}f}"
        low, high = (100 * end for end in interval(value / 100, n))
        return f"{value:.1f} ({low:.1f} to {high:.1f})"

    lines = ["| measure | aim | drawn | real, through the VAE | real |", "|---|---|---|---|---|"]
    for name, aim, *values in rows:
        lines.append(f"| {name} | {aim} | {' | '.join(cell(name, value) for value in values)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = Parser(
        "python -m minidiff.judge",
        description="Measure the pictures, the judge's word beside what it says of real scenes. Minutes, by --n.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--n", type=number(int, 20), default=200, help="prompts of each kind")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="which prompts")
    parser.add_argument("--steps", type=number(int, 1, 1000), default=25)
    parser.add_argument("--guidance", type=number(float, 0, 100), default=4.0)
    parser.add_argument("--sampler", choices=SAMPLERS, default="ddim")
    parser.add_argument("--weights", default="openmoji", metavar="FOLDER", help="whose pictures")
    parser.add_argument("--unet", type=Path, metavar="FILE", help="another U-Net than the one among the weights")
    parser.add_argument("--judge", type=Path, default=WEIGHTS / "judge.safetensors", help="whose word")
    parser.add_argument("--device", help="cpu, cuda or mps; the best there is, if not given")
    args = parser.parse_args(argv)

    pipe = StableDiffusion.from_pretrained(args.weights, device=args.device)
    judge = load(Judge, args.judge, pipe.device)
    if args.unet:
        pipe.unet = load(UNet, args.unet, pipe.device)
    options = {"steps": args.steps, "guidance": args.guidance, "sampler": SAMPLERS[args.sampler]}
    print(
        f"{args.n} prompts of each kind, seed {args.seed}; {args.sampler}, {args.steps} steps, guidance {args.guidance}"
    )
    print(table(measure(pipe, judge, args.n, args.seed, **options), args.n))


if __name__ == "__main__":
    run(main)
