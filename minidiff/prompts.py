"""How prompts are read: what a network is told of them, its `cond`, and what guidance leads away from, its `uncond`.

A reader is called with (prompts, negatives, device, size, sizes, guidance): B texts, B or 1 negative ones, where to
compute, the picture's (height, width), `Sizes` or None, which only SDXL's takes, and a number, which FLUX is told. It
gives (uncond, cond), in which first dimensions are B, or (None, cond) where nothing is led away from.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.arguments import named, real
from minidiff.clip import CLIPText
from minidiff.denoise import Cond
from minidiff.t5 import T5, T5Tokenizer
from minidiff.tokenizer import Tokenizer

DISTILLED = 3.5  # the guidance that FLUX.1 dev is told if nobody says, as in diffusers


@dataclass(frozen=True)
class Sizes:
    """What SDXL is told of a picture, by diffusers' names: pixels, the vertical ones first. ValueError for others.

    Podell et al. 2023 (arXiv:2307.01952), section 2.2. None stands for height and width of what is drawn.
    """

    original_size: tuple[float, float] | None = None  # height and width of the file, before it was resized and cropped
    crops_coords_top_left: tuple[float, float] = (0, 0)  # what was cropped: at (0, 0) objects are not cut
    target_size: tuple[float, float] | None = None  # height and width after that
    aesthetic_score: float = 6.0  # how much people liked it, 1 to 10; the refiner is told this instead of target_size
    negative: "Sizes | None" = None  # beside the negative prompt; None: the same, of the refiner uncropped and 2.5

    def __post_init__(self):
        for name in ("original_size", "crops_coords_top_left", "target_size"):
            given = getattr(self, name)
            pair = list(given) if isinstance(given, tuple | list) else [0, 0] if given is None else []
            if len(pair) != 2 or None in map(real, pair):
                raise ValueError(f"{name} is {named(given)}, expected two numbers, the vertical one first")
        if real(self.aesthetic_score) is None:
            raise ValueError(f"aesthetic_score is {named(self.aesthetic_score)}, expected a number")

    def numbers(self, size: tuple[int, int], scored: bool) -> list[float]:
        """All six, or five and the score among them, of a picture of `size`."""
        last = [self.aesthetic_score] if scored else self.target_size or size
        return [*(self.original_size or size), *self.crops_coords_top_left, *last]


class Words:
    """The states of one text encoder, (B, N, D): Stable Diffusion 1 and 2."""

    def __init__(self, text: CLIPText, tokenizer: Tokenizer):
        self.text, self.tokenizer = text, tokenizer

    def __call__(self, prompts, negatives, device, size, sizes=None, guidance=1.0) -> tuple[Cond, Cond]:
        refuse_sizes(sizes)
        ids = torch.cat([self.tokenizer(negatives).expand(len(prompts), -1), self.tokenizer(prompts)])
        return self.text(ids.to(device)).chunk(2)


class WordsAndSizes:
    """(states, pooled text, sizes): SDXL, and its refiner, which has the second text encoder alone.

    The states are the penultimate layer's, not normalised, of all `encoders` side by side, (B, N, D_1 + D_2). The last
    one, a CLIPTextProjected, gives the pooled text. With `zeros`, both are 0 for an empty negative prompt, as the model
    learned to read none. With `scored`, an aesthetic score stands in the place of the target size.
    """

    def __init__(self, encoders: list[tuple[CLIPText, Tokenizer]], zeros: bool, scored: bool):
        self.encoders, self.zeros, self.scored = encoders, zeros, scored

    def __call__(self, prompts, negatives, device, size, sizes=None, guidance=1.0) -> tuple[Cond, Cond]:
        sizes = Sizes() if sizes is None else sizes
        if not isinstance(sizes, Sizes):
            raise ValueError(f"sizes are {named(sizes)}, expected prompts.Sizes(...)")
        usual = replace(sizes, crops_coords_top_left=(0, 0), aesthetic_score=2.5) if self.scored else sizes
        both = (sizes.negative or usual, sizes)  # as diffusers has it
        negatives = negatives * (len(prompts) // len(negatives))
        states, (*_, pooled) = side_by_side(self.encoders, [*negatives, *prompts], device)
        for i, negative in enumerate(negatives):
            if self.zeros and not negative:
                states[i], pooled[i] = 0, 0
        numbers = torch.tensor([each.numbers(size, self.scored) for each in both], dtype=torch.float32, device=device)
        told = (row.expand(len(prompts), -1) for row in numbers)
        uncond, cond = zip(states.chunk(2), pooled.chunk(2), told, strict=True)
        return uncond, cond


class WordsOfThree:
    """(states, pooled text): Stable Diffusion 3.

    The states, (B, N + 256, width), are those of both CLIPs side by side, as in SDXL, padded with zeros to the width
    of T5's, which come behind them: zeros if there is no T5. The pooled text is that of both CLIPs.
    """

    def __init__(self, encoders: list[tuple[CLIPText, Tokenizer]], t5: tuple[T5, T5Tokenizer] | None, width: int):
        self.encoders, self.t5, self.width = encoders, t5, width

    def __call__(self, prompts, negatives, device, size, sizes=None, guidance=1.0) -> tuple[Cond, Cond]:
        refuse_sizes(sizes)
        texts = [*negatives * (len(prompts) // len(negatives)), *prompts]
        states, pooled = side_by_side(self.encoders, texts, device)
        states = F.pad(states, (0, self.width - states.shape[-1]))
        behind = states.new_zeros(len(texts), 256, self.width) if self.t5 is None else by_t5(self.t5, texts, device)
        states, pooled = torch.cat([states, behind], dim=1), torch.cat(pooled, dim=-1)
        uncond, cond = zip(states.chunk(2), pooled.chunk(2), strict=True)
        return uncond, cond


class WordsAndGuidance:
    """(T5's states, (B, 512, D), CLIP's pooled text, and the guidance if it is `told`): FLUX.1 dev, or schnell.

    They draw without a negative prompt, as they were distilled. With one, even " ", they are guided away from it as
    others are, diffusers' true_cfg_scale, and dev is told its usual 3.5.
    """

    def __init__(self, clip: tuple[CLIPText, Tokenizer], t5: tuple[T5, T5Tokenizer], told: bool):
        self.clip, self.t5, self.told = clip, t5, told

    def __call__(self, prompts, negatives, device, size, sizes=None, guidance=DISTILLED) -> tuple[Cond, Cond]:
        refuse_sizes(sizes)
        led, (text, tokenizer) = any(negatives), self.clip
        texts = [*negatives * (len(prompts) // len(negatives)), *prompts] if led else prompts
        ids = tokenizer(texts).to(device)
        parts = [by_t5(self.t5, texts, device), text.pooled(ids, text(ids))]
        if self.told:
            parts.append(torch.full((len(texts),), DISTILLED if led else guidance, device=device))
        both = zip(*(part.split(len(prompts)) for part in parts), strict=True)
        uncond, cond = both if led else (None, *both)
        return uncond, cond


class WithGuidance:
    """What another reader says of the prompts, and w = guidance - 1, (B,): latent consistency models.

    They draw without a negative prompt, as guidance by w was folded into them (Luo et al. 2023, arXiv:2310.04378,
    section 4.2, where 0 is none). ValueError for one.
    """

    def __init__(self, read: Words | WordsAndSizes):
        self.read = read

    def __call__(self, prompts, negatives, device, size, sizes=None, guidance=1.0) -> tuple[Cond, Cond]:
        if any(negatives):
            raise ValueError("got a negative prompt, which this model, an LCM that is told its guidance, cannot follow")
        _, cond = self.read(prompts, negatives, device, size, sizes)
        w = torch.full((len(prompts),), guidance - 1.0, device=device)
        return None, (*(cond if isinstance(cond, tuple) else (cond,)), w)


def side_by_side(
    encoders: list[tuple[CLIPText, Tokenizer]], texts: list[str], device: torch.device
) -> tuple[Tensor, list[Tensor]]:
    """Penultimate states of CLIPs, not normalised, (B, N, D_1 + D_2), and what each pools of its last, normalised."""
    states, pooled = [], []
    for text, tokenizer in encoders:
        ids = tokenizer(texts).to(device)
        layers = text.hidden_states(ids)
        states.append(layers[-2])
        pooled.append(text.pooled(ids, text.final_layer_norm(layers[-1])))
    return torch.cat(states, dim=-1), pooled


def by_t5(t5: tuple[T5, T5Tokenizer], texts: list[str], device: torch.device) -> Tensor:
    text, tokenizer = t5
    return text(tokenizer(texts).to(device))


def refuse_sizes(sizes: Sizes | None) -> None:
    if sizes is not None:
        raise ValueError("got sizes, which this model is not told: give them to SDXL alone")
