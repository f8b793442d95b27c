"""What each model learns from what: the objectives behind `python -m minidiff.train vae|clip|judge|unet|controlnet`."""

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, permutations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from minidiff import data, judge, show
from minidiff.clip import CLIP, CLIPText, contrastive_loss
from minidiff.controlnet import ControlNet, edges
from minidiff.data import EVAL_SEED, OBJECTS, OPPOSITE, RELATIONS, Scene, World
from minidiff.denoise import V, loss
from minidiff.guide import controlled
from minidiff.judge import Judge
from minidiff.pipeline import SCHEDULE, StableDiffusion
from minidiff.schedule import noise_like
from minidiff.tokenizer import Tokenizer
from minidiff.train import Objective, prefetch
from minidiff.train.run import replacing, writing
from minidiff.unet import UNet
from minidiff.vae import VAE


def scenes(indices: Tensor, world: World = data.FULL) -> list[Scene]:
    """The training scenes of these indices."""
    return [data.scene(i, world) for i in indices.tolist()]


def evaluation(n: int) -> list[Scene]:
    """n scenes that are never trained on."""
    return scenes(torch.arange(EVAL_SEED, EVAL_SEED + n))


def read_cache(path: Path, source: dict[str, str]) -> dict[str, Tensor] | None:
    """The tensors in a file that was made from this `source`; None if there is none, or a damaged one."""
    try:
        with safe_open(path, "pt") as file:
            return {n: file.get_tensor(n) for n in file.keys()} if file.metadata() == source else None  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def psnr(x: Tensor, y: Tensor) -> float:
    """10 log10(4 / mean squared error) of pictures (B, 3, H, W) in [-1, 1], in dB: the mean over them."""
    return 10 * torch.log10(4 / (x - y.clamp(-1, 1)).square().flatten(1).mean(1)).mean().item()


class VAEObjective(Objective):
    """|x - decode(z)| + (x - decode(z))^2 + kl KL, means over pixels and latents, z sampled (Kingma & Welling 2013).

    Learns on crops of 64 pixels, which cost a quarter, and from index `whole` on whole pictures, a quarter as many.
    """

    def __init__(self, model: VAE, whole: int, kl: float = 1e-4):
        super().__init__()
        self.model, self.whole, self.kl = model, whole, kl

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        if indices[0] >= self.whole:
            return {"x": data.batch(scenes(indices[::4]))}
        x = data.batch(scenes(indices))
        corners = np.random.RandomState(int(indices[0])).randint(0, data.SIZE - 64 + 1, (len(x), 2))
        return {"x": torch.stack([p[:, i : i + 64, j : j + 64] for p, (i, j) in zip(x, corners, strict=True)])}

    def forward(self, generator: list[torch.Generator], x: Tensor) -> Tensor:
        q = self.model.encode(x)
        error = x - self.model.decode(q.sample(generator)).float()
        return error.abs().mean() + error.square().mean() + self.kl * q.kl().mean() / q.mean[0].numel()

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        x = data.batch(evaluation(64)).to(next(self.model.parameters()).device)
        z = torch.cat([self.model.encode(part).mean for part in x.split(16)])
        # the U-Net wants latents of unit variance
        self.model.config = replace(self.model.config, scaling_factor=round(1 / z.std().item(), 4))
        y = torch.cat([self.model.decode(part) for part in z.split(16)])
        pairs = torch.stack([x[:18], y[:18]], dim=1).flatten(0, 1)  # each picture, then what came back
        return show.grid(show.to_pil(pairs), columns=6), {"psnr_db": round(psnr(x, y), 2)}


class CLIPObjective(Objective):
    """The contrastive loss; a hard negative, a caption with one thing wrong, is one more choice where there is one.

    Every second batch, by lot, is of scenes that differ in their objects alone. Without it, what the captions of a
    batch differ in is mostly colour, place and position, and a tree comes to mean a crocodile.
    """

    def __init__(self, model: CLIP, tokenizer: Tokenizer, lock_text: bool = False):
        """With `lock_text` the text transformer stays as it is; the picture's is fitted to it (Zhai et al. 2022)."""
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        model.text_model.requires_grad_(not lock_text)

    @staticmethod
    def swapped(scene: Scene) -> str:
        """The caption with its relation turned around; empty where it has none."""
        where = scene.spec.where
        return str(replace(scene.spec, where=OPPOSITE[where])) if where in OPPOSITE else ""

    @staticmethod
    def renamed(scene: Scene, name: str) -> str:
        """The caption with `name` in place of one of its objects: of two, of the one that the seed says."""
        objects = list(scene.spec.objects)
        objects[scene.seed // 2 % len(objects)] = name
        return str(replace(scene.spec, objects=tuple(objects)))

    def hard_negative(self, scene: Scene, caption: str) -> str:
        """The caption with one thing wrong, relation or object; empty where it is not this scene's own."""
        if caption != scene.caption:
            return ""
        if scene.seed % 2 and self.swapped(scene):
            return self.swapped(scene)
        others = [name for name in OBJECTS if name not in scene.spec.objects]
        return self.renamed(scene, others[np.random.RandomState([scene.seed % 2**32, 5]).randint(len(others))])

    @staticmethod
    def vary_objects(shown: list[Scene], rng: np.random.RandomState) -> list[Scene]:
        """The same scenes, all with the first one's caption but for its objects; a held-out one stays as it was.

        Each has another object. Of two, there are but few, in every order: each scene shows a pair of them beside or
        above each other as no other one does.
        """
        spec, names = shown[0].spec, rng.permutation(list(OBJECTS)).tolist()
        if len(spec.objects) == 1:
            specs = [replace(spec, objects=(name,)) for name in names]
        else:
            n = next(k for k in range(2, len(names)) if 2 * k * (k - 1) >= len(shown))  # objects, for pairs enough
            pairs = rng.permutation(list(permutations(names[:n], 2))).tolist()
            relations = RELATIONS[rng.randint(2) :: 2]  # to the left and above, or to the right and below
            specs = [replace(spec, objects=tuple(pair), where=where) for pair in pairs for where in relations]
        varied = [Scene(spec, scene.seed) for spec, scene in zip(cycle(specs), shown, strict=False)]
        return [scene if other.spec.held_out else other for scene, other in zip(shown, varied, strict=True)]

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        shown, rng = scenes(indices), np.random.RandomState(int(indices[0]))
        if rng.uniform() < 0.5:
            shown = self.vary_objects(shown, rng)
        captions = [scene.noisy_caption() for scene in shown]
        wrong = [self.hard_negative(*pair) for pair in zip(shown, captions, strict=True)]
        ids, mask = self.tokenizer([*captions, *wrong]), torch.tensor([bool(w) for w in wrong])
        ids = ids[:, : ids.argmax(1).max() + 1]  # what follows the end of the longest is not looked at
        ids, wrong_ids = ids.chunk(2)
        return {"x": data.batch(shown), "ids": ids, "wrong": wrong_ids, "mask": mask}

    def forward(self, generator: list[torch.Generator], x: Tensor, ids: Tensor, wrong: Tensor, mask: Tensor) -> Tensor:
        texts = self.model.encode_text(torch.cat([ids, wrong[mask]])).float()
        text, negatives = texts[: len(ids)], torch.zeros_like(texts[: len(ids)])
        negatives[mask] = texts[len(ids) :]
        return contrastive_loss(self.model.encode_image(x).float(), text, self.model.scale(), negatives, mask)

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        """Of 256 captions, which is this picture's? Of the 128 objects, which one fits into its caption? Is a caption
        told from the one with its relation swapped?"""
        shown, device = evaluation(256), self.model.logit_scale.device

        def texts(captions: list[str]) -> Tensor:
            return self.model.encode_text(self.tokenizer(captions).to(device)).cpu()

        pictures = self.model.encode_image(data.batch(shown).to(device)).cpu()
        captions = texts([scene.caption for scene in shown])
        pairs = [i for i, scene in enumerate(shown) if self.swapped(scene)]
        turned = texts([self.swapped(shown[i]) for i in pairs])
        named = [
            list(OBJECTS)[(texts([self.renamed(scene, name) for name in OBJECTS]) @ picture).argmax()]
            for scene, picture in zip(shown[:128], pictures, strict=False)
        ]
        measures = {
            "right_of_256_captions": (pictures @ captions.T).argmax(1) == torch.arange(256),
            "right_of_128_objects": torch.tensor(
                [self.renamed(scene, name) == scene.caption for scene, name in zip(shown, named, strict=False)]
            ),
            "relation_told_from_swapped": (pictures * captions).sum(1)[pairs] > (pictures[pairs] * turned).sum(1),
        }
        return None, {name: round(right.float().mean().item(), 4) for name, right in measures.items()}


class JudgeObjective(Objective):
    """Cross-entropy of the six classes, on clean labels and on pictures with a little noise and shift of colour.

    A ruler has to be straight everywhere: alone of all models it learns from scenes of all combinations, those that
    are held out of the others' training too. It never sees a picture that was drawn by a network.
    """

    def __init__(self, model: Judge):
        super().__init__()
        self.model = model

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        shown = [data.scene(i, held_out=None) for i in indices.tolist()]
        return {"x": data.batch(shown), "y": torch.tensor([judge.labels(scene.spec) for scene in shown])}

    def forward(self, generator: list[torch.Generator], x: Tensor, y: Tensor) -> Tensor:
        # what it will read is drawn by a network, not by a renderer
        x = x + 0.05 * noise_like(x, generator) + 0.03 * noise_like(x[..., :1, :1], generator)
        logits = self.model(x)
        return sum(F.cross_entropy(a.float(), b) for a, b in zip(logits, y.unbind(1), strict=True))

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        measures = {}
        for held_out in (False, True):
            shown = [data.scene(EVAL_SEED + i, held_out=held_out) for i in range(1024)]
            _, answers = judge.read(self.model, data.batch(shown))
            measured = judge.adherence(answers, [scene.spec for scene in shown])
            measures |= {"held_out_" * held_out + name: round(value, 4) for name, value in measured.items()}
        return None, measures


class UNetObjective(Objective):
    """The v-prediction loss on latents, text by a frozen CLIP; one caption in ten is left empty, for guidance.

    Noise is drawn rather strong than weak, see `times`. The latents and captions of `n` scenes are made once. With
    `cache`, a file, they are kept there for the next start. With `judge`, what it says of pictures of 64 captions that
    were not trained on is among the measures.
    """

    empty = 0.1  # share of the captions that are left out

    prompts = (
        "red apple on white", "fox in meadow", "big sun at top in sea", "small green apple on pink",
        "sketch of dog on yellow", "silhouette of giraffe in desert", "pixel art of castle in space", "cat in snow",
        "fox above rocket on green", "rocket above fox on green", "banana left of crown on gray", "pizza on purple",
    )  # fmt: skip

    def __init__(
        self,
        model: UNet,
        vae: VAE,
        text: CLIPText,
        tokenizer: Tokenizer,
        n: int,
        world: World,
        cache: Path | None = None,
        judge: Judge | None = None,
    ):
        super().__init__()
        self.model, self.vae, self.text, self.tokenizer = model, vae, text, tokenizer
        self.judge = judge
        for frozen in filter(None, (vae, text, judge)):
            frozen.requires_grad_(False)
        self.n, self.world, self.cache = n, world, cache
        self.null = tokenizer("")

    def prepare(self) -> None:
        self.latents, self.ids = self.encode()

    def encode(self) -> tuple[Tensor, Tensor]:
        """(latents (n, 4, 16, 16) in half precision, ids (n, N)) of the training scenes."""
        weights = str(sum(p.double().sum().item() for p in self.vae.parameters()))
        source = {"n": str(self.n), "world": repr(self.world), "vae": weights}
        if self.cache is not None and (found := read_cache(self.cache, source)):
            return found["latents"], found["ids"].long()

        device, latents, ids = next(self.vae.parameters()).device, [], []
        with torch.no_grad():
            parts = torch.arange(self.n).split(64)
            bar = tqdm(prefetch(self.pictures_and_ids, parts, device), "latents", len(parts), disable=len(parts) == 1)
            for x, tokens in bar:
                z = self.vae.encode(x.to(device)).mean * self.vae.config.scaling_factor
                latents.append(z.float().cpu())
                ids.append(tokens)
        latents, ids = torch.cat(latents).half().contiguous(), torch.cat(ids)
        if self.cache is not None:
            with writing(self.cache.parent), replacing(self.cache) as part:
                save_file({"latents": latents, "ids": ids.int()}, part, source)
        return latents, ids

    def pictures_and_ids(self, part: Tensor) -> tuple[Tensor, Tensor]:
        """What these scenes show, (B, 3, 128, 128), and what their captions say, (B, N)."""
        shown = scenes(part, self.world)
        return data.batch(shown), self.tokenizer([scene.noisy_caption(self.world) for scene in shown])

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rows, dropped = self.rows(indices)
        return {"x0": self.latents[rows].float(), "ids": torch.where(dropped[:, None], self.null, self.ids[rows])}

    def rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the scenes these samples are, and whether their captions are left out, both (B,)."""
        dice = [np.random.RandomState([i % 2**32, 6]) for i in indices.tolist()]
        rows = torch.tensor([rng.randint(self.n) for rng in dice])
        return rows, torch.tensor([rng.uniform() < self.empty for rng in dice])

    def forward(self, generator: list[torch.Generator], x0: Tensor, ids: Tensor) -> Tensor:
        return self.loss(self.result, generator, x0, ids)

    def loss(self, net: Callable, generator: list[torch.Generator], x0: Tensor, ids: Tensor) -> Tensor:
        t = self.times(len(x0), generator, x0.device)
        return loss(net, x0, t, self.text(ids), SCHEDULE, V, generator=generator).mean()

    def times(self, n: int, generator, device: torch.device) -> Tensor:
        """n times, (n,) whole numbers: 7 in 10 from the upper 70 %, the others from all of 1 ... T.

        Below, what is drawn has long been decided, and most of the loss is fine grain that nobody sees. `generator` is
        one, or a list of n, as for `schedule.noise_like`.
        """
        if isinstance(generator, list):
            anywhere, share = torch.stack([torch.rand(2, generator=g, device=device) for g in generator], dim=1)
        else:
            anywhere, share = torch.rand(2, n, generator=generator, device=device)
        low = torch.where(anywhere < 0.3, 0, 3 * SCHEDULE.T // 10)
        return 1 + low + (share * (SCHEDULE.T - low)).long()

    def pipeline(self, unet: UNet) -> StableDiffusion:
        return StableDiffusion(self.vae, unet, self.text, self.tokenizer)

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        pipe = self.pipeline(self.result)
        pictures = pipe(self.prompts, steps=20, progress=False)
        picture = show.grid(pictures, columns=6, captions=self.prompts)
        if self.judge is None:
            return picture, {}
        shown = scenes(torch.arange(EVAL_SEED, EVAL_SEED + 64), self.world)
        _, answers = judge.read(self.judge, judge.draw(pipe, shown, steps=20))
        measured = judge.adherence(answers, [scene.spec for scene in shown])
        return picture, {name: round(value, 4) for name, value in measured.items()}


class TextUNet(nn.Module):
    """A U-Net and the text encoder that it reads, to learn together."""

    def __init__(self, unet: UNet, text: CLIPText):
        super().__init__()
        self.unet, self.text = unet, text


class TextUNetObjective(UNetObjective):
    """The U-Net's loss, from which its text encoder learns too, as in the first latent diffusion model that read texts
    (Rombach et al. 2022, section 4.3.1)."""

    def __init__(self, model: UNet, vae: VAE, text: CLIPText, *args, **kwargs):
        super().__init__(model, vae, text, *args, **kwargs)
        self.model = TextUNet(model, text.requires_grad_())

    @property
    def result(self) -> UNet:
        return self.model.unet


def _lines(scene: Scene) -> Image.Image:
    """Line art of every second scene, the edges of the others: a scribble will do as a hint, and so will a picture."""
    return Image.fromarray(scene.lines).convert("RGB") if scene.seed % 2 else edges(Image.fromarray(scene.image))


HINTS = {"lines": _lines, "boxes": lambda scene: Image.fromarray(scene.layout).convert("RGB")}


class ControlNetObjective(UNetObjective):
    """The U-Net's loss, its states steered by a ControlNet that sees a hint (Zhang et al. 2023, eq. 5).

    Only the ControlNet learns. `hint` is one of HINTS. Half of the captions are left empty (section 3.3), so that it
    learns to say what the hint shows.
    """

    empty = 0.5

    def __init__(self, model: ControlNet, unet: UNet, hint: str, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        self.unet, self.hint = unet.requires_grad_(False), HINTS[hint]

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rows, _ = self.rows(indices)
        hints = show.to_tensor([self.hint(scene) for scene in scenes(rows, self.world)])
        return super().batch(indices) | {"hint": (hints + 1) / 2}

    def forward(self, generator: list[torch.Generator], x0: Tensor, ids: Tensor, hint: Tensor) -> Tensor:
        return self.loss(controlled(self.unet, self.model, hint), generator, x0, ids)

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        """Twelve hints and what is drawn from them; of 64 scenes, how well the edges agree, and what the judge says,
        with control and without."""
        shown = scenes(torch.arange(EVAL_SEED, EVAL_SEED + 64), self.world)
        captions, hints = [scene.caption for scene in shown], [self.hint(scene) for scene in shown]
        truth, pipe = [judge.edge_map(scene.image) for scene in shown], self.pipeline(self.unet)
        drawn = {
            "": pipe(captions, steps=15, progress=False, control=(self.model, hints, 1.0)),
            "_without_control": pipe(captions, steps=15, progress=False),
        }
        measures = {}
        for how, pictures in drawn.items():
            pairs = zip(pictures, truth, strict=True)
            measures[f"edge_f1{how}"] = np.mean([judge.edge_f1(judge.edge_map(np.array(p)), e) for p, e in pairs])
            if self.judge is not None:
                _, answers = judge.read(self.judge, show.to_tensor(pictures))
                said = judge.adherence(answers, [scene.spec for scene in shown])
                measures |= {f"{name}{how}": said[name] for name in ("objects", "place", "right")}
        measures = {name: round(float(value), 4) for name, value in measures.items()}
        pairs = [picture for pair in zip(hints[:12], drawn[""], strict=False) for picture in pair]
        return show.grid(pairs, columns=6), measures
