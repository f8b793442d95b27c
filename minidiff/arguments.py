"""Arguments as people give them: numbers of any library, and how a message names what was given instead."""

import difflib
import inspect
import math
import operator
import re
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FEW = 8  # steps of a fast pipeline, at most
MOST_PIXELS = 2048 * 2048  # pixels of a picture; the work of attention grows by their square


class _Short(reprlib.Repr):
    """repr in few letters; of an array or a tensor its shape."""

    def repr1(self, value: Any, level: int) -> str:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and shape:
            return f"{type(value).__name__} of shape {tuple(shape)}"
        return super().repr1(value, level)


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = 60


def named(value: Any) -> str:
    """What was given, for a message: one line of at most 100 letters."""
    text = " ".join(_short.repr(value).split())
    return text if len(text) <= 100 else text[:99] + "…"


def whole(value: Any, low: float = 0, high: float = math.inf) -> int | None:
    """The whole number that `value` is without loss (3, 3.0, NumPy's and torch's), if from low to high; else None."""
    if isinstance(value, bool) or getattr(value, "shape", ()):  # an array, of one number even, is none
        return None
    try:
        number = operator.index(value)
    except (TypeError, ValueError):  # not of a type for whole numbers
        number = real(value)
        number = int(number) if number is not None and number.is_integer() else None
    return number if number is not None and low <= number <= high else None


def real(value: Any, low: float = -math.inf, high: float = math.inf) -> float | None:
    """The finite float that `value` is without loss, Python's, NumPy's or torch's, if from low to high; else None."""
    try:
        if isinstance(value, bool | str | bytes | bytearray) or getattr(value, "shape", ()):
            return None
        number = float(value)
        same = bool(value == number)  # of a complex number only the real part is left
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if same and math.isfinite(number) and low <= number <= high else None


def check_flags(**given: bool) -> None:
    """ValueError if one of them is neither True nor False, of whatever library; 1 and 0 will do."""
    for name, value in given.items():
        if not isinstance(value, bool) and whole(value, 0, 1) is None:
            raise ValueError(f"{name} is {named(value)}, expected True or False")


def texts(given: str | Sequence[str]) -> list[str]:
    """Prompts: one or several."""
    several = [given] if isinstance(given, str) or not _iterable(given) else list(given)
    for text in several:
        if not isinstance(text, str):
            raise ValueError(f"a prompt is {named(text)}, expected text")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"a prompt is {named(text)}, which is no valid Unicode: type it again")
    return several


def prompt_pairs(prompt: str | Sequence[str], negative_prompt: str | Sequence[str] | None) -> tuple[list, list]:
    """(prompts, negative ones): as many of these, or one; None is none, as in diffusers."""
    prompts, negatives = texts(prompt), texts("" if negative_prompt is None else negative_prompt)
    if not prompts or len(negatives) not in (1, len(prompts)):
        raise ValueError(f"got {len(prompts)} prompts and {len(negatives)} negative ones: give one for each, or one")
    return prompts, negatives


def warn_of_words(prompts: list[str], tokenizer: Any, taught: Sequence[str] | None) -> None:
    """Warnings of what does not fit into the context, and of words that are not among those `taught`, if known."""
    for text in dict.fromkeys(prompts):
        if rest := tokenizer.cut(text):
            warn(f"the prompt is longer than {tokenizer.context - 2} tokens: {named(rest)} is cut")
        unknown = [word for word in re.findall(r"[^\W\d_]+", text.lower()) if taught and word not in taught]
        several = list(dict.fromkeys(unknown))
        for word in several[:8]:
            close = ", ".join(difflib.get_close_matches(word, taught, n=3, cutoff=0.0))
            warn(f"the model was never taught the word {named(word)}; the nearest it knows: {close}")
        if several[8:]:
            warn(f"nor was it taught {len(several) - 8} other words of this prompt")


def warn(message: str) -> None:
    """A warning that points at the line, outside of this package, that asked for the picture."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in ("minidiff", "torch"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def seeds(seed: int | Sequence[int], n: int) -> list[int]:
    """One for each of n pictures: seed + i for picture i, or those that are given."""
    if seed is None:
        raise ValueError("seed is None, expected a whole number: for a new picture each time, random.randrange(2**32)")
    if hasattr(seed, "initial_seed"):
        raise ValueError("seed is a torch.Generator, expected a whole number: give its initial_seed()")
    if (first := whole(seed)) is not None:
        several = [first + i for i in range(n)]
    else:
        several = [whole(s) for s in seed] if _iterable(seed) else []
    if len(several) != n or any(s is None or s >= 2**63 for s in several):
        expected = f"a whole number from 0, or a list of {n}, one for each prompt"
        raise ValueError(f"seed is {named(seed)}, expected {expected}")
    return several


def sides(margins: Sequence[int]) -> tuple[int, ...]:
    """(left, top, right, bottom) pixels, from 0, not all 0."""
    several = tuple(whole(m) for m in margins) if _iterable(margins) else ()
    if len(several) != 4 or None in several or not any(several):
        raise ValueError(f"margins are {named(margins)}, expected (left, top, right, bottom) pixels, not all 0")
    return several


def check_size(what: str, width: int, height: int, multiple: int, advice: str) -> None:
    """ValueError unless both sides are multiples, and all pixels at most MOST_PIXELS."""
    size = f"{named(width)}x{named(height)} pixels"
    if min(width, height) < multiple or width % multiple or height % multiple:
        raise ValueError(f"{what} is {size}, expected multiples of {multiple}: {advice}")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{what} is {size}, expected at most 2048x2048, or as many: {advice}")


def check_latents(latents: "Tensor | None", n: int, channels: int, factor: int) -> None:
    """ValueError unless they are latents of n pictures, or None."""
    if latents is None:
        return
    shape = getattr(latents, "shape", ())
    fine = hasattr(latents, "is_complex") and len(shape) == 4 and tuple(shape[:2]) == (n, channels)
    if not fine or latents.is_complex() or not latents.isfinite().all():
        expected = f"a tensor of ({n}, {channels}, height / {factor}, width / {factor}) finite numbers"
        raise ValueError(f"latents are {named(latents)}, expected {expected}")


def picture_size(
    height: int | None, width: int | None, multiple: int, usual: int, fixed: tuple[str, Sequence[int]] | None
) -> tuple[int, ...]:
    """(height, width) of the pictures, in pixels: those of what is `fixed` (its name, its sides), with which the
    arguments must agree; else the arguments; else the `usual`, what the network was trained at."""
    if fixed is not None:
        found, what = fixed[1], f"that of {fixed[0]}"
    else:
        found, what = [usual if side is None else whole(side) for side in (height, width)], "a whole number of pixels"
    for name, asked, side in zip(("height", "width"), (height, width), found, strict=True):
        if asked is not None and (side is None or whole(asked) != side):
            raise ValueError(f"{name} is {named(asked)}, expected {what}" + (f", {side}" if side else ""))
    check_size("the picture", found[1], found[0], multiple, "give another height or width")
    return tuple(found)


def step_count(steps: int, most: float) -> int:
    """A whole number from 1 to `most`."""
    if (given := whole(steps, 1, most)) is None:
        raise ValueError(f"steps is {named(steps)}, expected a whole number from 1" + f" to {most}" * (most < math.inf))
    return given


def begun(sampler: Callable) -> Callable:
    """`sampler`, called as one of `minidiff.sample`. If it is none of those, it is spared pure noise, where alpha = 0.

    Most formulas divide by alpha; but there eps is x, so that the step needs none: x_s = alpha_s x_0 + sigma_s x, which
    `ddim` takes. Of several generators it gets the first, as torch takes one. ValueError for what cannot be called so.
    """
    from minidiff.sample import SAMPLERS, ddim  # with torch, which nothing else here needs

    def states(denoise: Callable, x: "Tensor", schedule: Any, ts: "Tensor", generator: Any) -> Iterator:
        if schedule(ts[0])[0] == 0:
            (x,) = ddim(denoise, x, schedule, ts[:2])
            yield x
            ts = ts[1:]
        if len(ts) > 1:
            yield from sampler(denoise, x, schedule, ts, generator=generator)

    def start(denoise: Callable, x: "Tensor", schedule: Any, ts: "Tensor", generator: Any = None) -> Iterator:
        try:
            takes = getattr(sampler, "forward", sampler)  # the call of a torch.nn.Module takes anything
            inspect.signature(takes).bind(denoise, x, schedule, ts, generator=generator)
        except (TypeError, ValueError) as error:  # ValueError: of some built-in functions none is known
            expected = "expected a function of minidiff.sample, such as ddim"
            raise ValueError(f"sampler is {named(sampler)}, {expected}: {error}") from error
        if getattr(sampler, "func", sampler) in SAMPLERS.values():  # perhaps a functools.partial
            return sampler(denoise, x, schedule, ts, generator=generator)
        return states(denoise, x, schedule, ts, generator[0] if isinstance(generator, list) else generator)

    return start


def guidance_scale(guidance: float) -> float:
    """A number from 0."""
    if (given := real(guidance, 0)) is None:
        raise ValueError(f"guidance is {named(guidance)}, expected a number from 0; 4 is usual, 1 is none")
    return given


def check_unguided(guidance: float, negatives: list[str]) -> None:
    """ValueError for what asks a student for guidance: its teacher's is in its weights."""
    if guidance != 1 or any(negatives):
        got = f"guidance {guidance:g}" if guidance != 1 else "a negative prompt"
        raise ValueError(f"got {got}: a fast pipeline draws without guidance; leave it out, or draw without fast")


def check_image(image: Any, mask: Any, margins: Any, latents: Any, inpaints: bool) -> None:
    """ValueError unless these go together; `inpaints` says that the network does nothing else."""
    if image is None and (mask is not None or margins is not None):
        raise ValueError("got a mask or margins without an image: give the picture that they belong to")
    if image is not None and latents is not None:
        raise ValueError("got latents and an image, expected one of them: the noise is added to the image")
    if inpaints and (image is None or (mask is None and margins is None)):
        raise ValueError("this model's U-Net only inpaints: give image= and mask=, or margins=")


def skipped_steps(steps: int, strength: float, up: bool = False) -> int:
    """How many of the steps an image stands for: all but int(steps * strength), as in diffusers; but of SD 3 and FLUX
    it rounds `up` what is left.

    ValueError unless strength is in (0, 1] and a step is left.
    """
    if not (share := real(strength, 0, 1)):
        raise ValueError(f"strength is {named(strength)}, expected a number above 0, to 1")
    if (done := steps - int(steps - steps * share) if up else int(steps * share)) == 0:
        unit = 10 ** (2 - math.floor(math.log10(1 / steps)))  # three digits, rounded up
        enough = math.ceil(unit / steps) / unit
        raise ValueError(f"strength {share} of {steps} steps is no step: give at least {enough:g}")
    return steps - done


def steps_before(share: float, schedule: Any, times: "Tensor") -> int:
    """How many of the steps come before the last share of time, a refiner's: diffusers' denoising_end is 1 - share.

    ValueError unless it is in (0, 1], and leaves a step to both.
    """
    if not (given := real(share, 0, 1)):
        raise ValueError(f"the refiner's share is {named(share)}, expected a number above 0, to 1")
    steps, most = len(times) - 1, max(schedule.T, schedule.network_time(schedule.T).item())  # of `Flow`, T is 1
    before = int((schedule.network_time(times[:-1]) >= round(given * most)).sum())
    if not 0 < before < steps:
        raise ValueError(f"the refiner's share, {given}, leaves {before} of {steps} steps to the first: change it")
    return before


def _iterable(value: Any) -> bool:
    return isinstance(value, Iterable) and getattr(value, "shape", None) != ()  # an array without dimensions is not
