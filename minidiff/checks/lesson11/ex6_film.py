"""11.6 open-ended: a film."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    cases = []
    for n, each in ((3, whole(g, 8, 12)), (2, whole(g, 8, 12)), (4, whole(g, 8, 12)), (3, 4)):
        noises = torch.randn(n, 4, 32, 32, generator=g)
        noises = noises / noises.square().mean((1, 2, 3), keepdim=True).sqrt()
        cases.append(Case("film", (noises, n * each)))
    return cases


HINTS = """
Half-way on the straight line between two noises that have nothing to do with each other, what is the variance of a times
one half plus b times one half?

Look for two weights whose squares add up to 1 at every moment. At the start they are 1 and 0, at the end 0 and 1.

An angle that grows evenly gives even steps. With more than two noises, do the same from each to the next, and from the
last to the first.

Or something else: nobody says that all numbers of a frame must move at the same time.
"""


def _moved(film):
    """How far each frame is from the one before it; the first from the last."""
    return (film - film.roll(1, 0)).flatten(1).square().mean(1).sqrt()


def _closes(film, *_):
    """Whether the way from the last frame to the first is no jump, where all other steps are even."""
    back, steps = _moved(film)[0], _moved(film)[1:]
    return bool(back <= 1.2 * _moved(film).mean()) or bool(steps.max() > 1.2 * steps.mean())


def _reached(film, noises, frames):
    distance = torch.cdist(noises.flatten(1), film.flatten(1)) / noises[0].numel() ** 0.5
    return bool((distance.amin(1) < 0.15).all())


def _independent(film, *_):
    """Whether neighbouring numbers have nothing to do with each other."""
    pairs = (torch.stack([x[..., 1:].flatten(), x[..., :-1].flatten()]) for x in film)
    return all(abs(torch.corrcoef(pair)[0, 1]) < 0.2 for pair in pairs)


def _even(film, *_):
    return bool(_moved(film).max() < 1.2 * _moved(film).mean())


def _stops(film, *_):
    """Whether a frame is as the one before it, while others are not."""
    moved = _moved(film)
    return bool(moved.min() < 1e-4 < moved.max())


def _each(test):
    return lambda results: all(test(film, *case.args) for case, film in results)


NUMBERS = "Some of the numbers in your film are infinite, or none at all."
FIRST = "The first frame should be the first noise itself."
REACHED = "One of the noises is never reached: each should be a frame of the film."
SIZE = (
    "Some frames are too quiet or too loud: the numbers of a noise have a root mean square of 1, and the network knows \
no other. What happens to the size half-way on a straight line?"
)
NOISE = "Some frames are no noise: neighbouring numbers hang together. The network would take that for a picture."
LOOP = "The film does not close: from the last frame to the first is a jump."
EVEN = "The film does not run evenly: from some frame to the next it moves much further than on average."
TWICE = "A frame stands twice in a row, where the film stops. Where does one piece end, and where does the next begin?"
FAR = "From frame to frame your film jumps about as far as from noise to noise. On a path each frame is near the one \
before it."
PROPERTIES = [
    (NUMBERS, _each(lambda film, noises, frames: bool(film.isfinite().all()))),
    (FIRST, _each(lambda film, noises, frames: bool((film[0] - noises[0]).abs().max() < 1e-3))),
    (SIZE, _each(lambda film, *_: bool(((film.flatten(1).square().mean(1).sqrt() - 1).abs() < 0.07).all()))),
    (NOISE, _each(_independent)),
    (REACHED, _each(_reached)),
    (LOOP, _each(_closes)),
    (TWICE, lambda results: _each(_even)(results) or not _each(_stops)(results)),
    (EVEN, _each(_even)),
    (FAR, _each(lambda film, *_: bool(_moved(film).max() < 1))),
]

MISTAKES = f"""
torch.stack(out) -> torch.stack(out) / 0
    {NUMBERS}
torch.stack(out) -> torch.stack(out[::-1])
    {FIRST}
film := lambda noises, frames: film(noises.roll(-1, 0), frames)
    {FIRST}
film := lambda noises, frames: film(torch.stack([noises[0], noises[0].roll(7, -1)]), frames)
    {REACHED}
angle.cos() * noises[k] + angle.sin() * -> (1 - u) * noises[k] + u *
    {SIZE}
film := lambda noises, frames: torch.cat([noises[:1], 1.2 * film(noises, frames)[1:]])
    {SIZE}
film := blurred
    {NOISE}
film := one_way
    {LOOP}
angle.cos() * noises[k] + angle.sin() * -> (1 - u).sqrt() * noises[k] + u.sqrt() *
    {EVEN}
angle = u * torch.pi / 2 -> angle = u**2 * torch.pi / 2
    {EVEN}
angle = u * torch.pi / 2 -> angle = 0 * u
    {TWICE}
film := both_ends
    {TWICE}
film := lambda noises, frames: noises.repeat(frames // len(noises), 1, 1, 1)
    {FAR}

"""

RIGHT = """
film := slerp
film := by_pieces(lambda size: torch.randperm(size, generator=torch.Generator().manual_seed(0)))
film := by_pieces(torch.arange)
"""

WRONG = """
film := lambda noises, frames: noises[:1].repeat(frames, 1, 1, 1)
film := lambda noises, frames: film(noises + 0.5 * noises.roll(1, 3), frames)
film := lambda noises, frames: film(noises, frames)[:-1]
film := lambda noises, frames: film(noises[:2], frames)
film := by_pieces(lambda size: (torch.arange(size) - size // 2).clamp(min=0))
angle = u * torch.pi / 2 -> angle = (3 * u**2 - 2 * u**3) * torch.pi / 2
torch.stack(out) -> torch.stack(out).double()
"""


def arcs(noises, places):
    """Frames at these places: k + u is on the arc from noise k to the next."""
    out = []
    for place in places:
        k, u = int(place), place % 1
        a, b = noises[k % len(noises)], noises[(k + 1) % len(noises)]
        angle = torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).arccos()
        out.append((torch.sin((1 - u) * angle) * a + torch.sin(u * angle) * b) / torch.sin(angle))
    return torch.stack(out)


def slerp(noises, frames):
    """Shoemake 1985."""
    return arcs(noises, [i * len(noises) / frames for i in range(frames)])


def one_way(noises, frames):
    """From the first to the last, without a way back."""
    return arcs(noises, torch.linspace(0, len(noises) - 1, frames).tolist())


def blurred(noises, frames):
    film = slerp(noises, frames)
    soft = torch.nn.functional.avg_pool2d(film, 3, 1, 1)
    soft = soft / soft.square().mean((1, 2, 3), keepdim=True).sqrt()
    kept = torch.arange(frames)[:, None, None, None] * len(noises) % frames == 0
    return torch.where(kept, film, soft)


def by_pieces(order):
    """Numbers change over from one noise to the next, one by one, in this order."""

    def answer(noises, frames):
        n, out = len(noises), []
        place = order(noises[0].numel()).view(noises[0].shape) / noises[0].numel()
        for i in range(frames):
            k, u = i * n // frames, i * n / frames % 1
            out.append(torch.where(place < u, noises[(k + 1) % n], noises[k]))
        return torch.stack(out)

    return answer


def both_ends(noises, frames):
    """Each piece with its first and its last noise, so that each noise is there twice."""
    n = len(noises)
    places = torch.linspace(0, 1, frames // n)
    return arcs(noises, [k + float(u) for k in range(n) for u in places])
