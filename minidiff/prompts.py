"""How prompts are read: what a network is told of them, its `cond`, and what guidance leads away from, its `uncond`.

A reader is called with B prompts, B or 1 negative ones, the device, the picture's (height, width), and `Sizes` or None,
which only SDXL's takes; it gives (uncond, cond), in which first dimensions are B.
"""

from dataclasses import dataclass, replace

import torch

from minidiff.arguments import named, real
from minidiff.clip import CLIPText
from minidiff.denoise import Cond
from minidiff.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sizes:
    """What SDXL is told of a picture, by diffusers' names: pixels, the vertical ones first. ValueError for others.

    Podell et al. 2023 (arXiv:2307.01952), section 2.2. None stands for height and width of what is drawn.
    """

    original_size: tuple[float, float] | None = None  # height and width of the file, before it was resized and cropped
    crops_coords_top_left: tuple[float, float] = (0, 0)  # what was cropped: at (0, 0) objects are not cut
    target_size: tuple[float, float] | None = None  # height and width after that
    aesthetic_score: float = 6.0  # how much people liked it, 1 to 10; the refiner is told this instead of target_size
    negative: "Sizes | None" = None  # beside the negative prompt; None: the same, but a score of 2.5

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

    def __call__(
        self, prompts: list[str], negatives: list[str], device: torch.device, size: tuple, sizes: Sizes | None = None
    ) -> tuple[Cond, Cond]:
        if sizes is not None:
            raise ValueError("got sizes, which this model is not told: give them to SDXL alone")
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

    def __call__(
        self,
        prompts: list[str],
        negatives: list[str],
        device: torch.device,
        size: tuple[int, int],
        sizes: Sizes | None = None,
    ) -> tuple[Cond, Cond]:
        sizes = Sizes() if sizes is None else sizes
        if not isinstance(sizes, Sizes):
            raise ValueError(f"sizes are {named(sizes)}, expected prompts.Sizes(...)")
        both = (sizes.negative or replace(sizes, aesthetic_score=2.5), sizes)
        negatives = negatives * (len(prompts) // len(negatives))
        states = []
        for text, tokenizer in self.encoders:
            ids = tokenizer([*negatives, *prompts]).to(device)
            layers = text.hidden_states(ids)
            states.append(layers[-2])
        states, pooled = torch.cat(states, dim=-1), text.pooled(ids, text.final_layer_norm(layers[-1]))
        for i, negative in enumerate(negatives):
            if self.zeros and not negative:
                states[i], pooled[i] = 0, 0
        numbers = torch.tensor([each.numbers(size, self.scored) for each in both], dtype=torch.float32, device=device)
        told = (row.expand(len(prompts), -1) for row in numbers)
        uncond, cond = zip(states.chunk(2), pooled.chunk(2), told, strict=True)
        return uncond, cond
