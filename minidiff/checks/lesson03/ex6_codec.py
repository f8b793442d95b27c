"""3.6 open-ended: a codec of your own."""

import math

import torch
import torch.nn.functional as F

from minidiff import data
from minidiff.checks import Case
from minidiff.checks.parts import whole

NUMBERS = 1024  # what the wire is meant to carry for each picture, as many as the course's latents have


def pooled(x, wire=lambda z: z):
    """The baseline: the mean colours of 18 x 18 fields, 972 numbers a picture, smoothly enlarged."""
    return F.interpolate(wire(F.adaptive_avg_pool2d(x, 18)), size=x.shape[-2:], mode="bicubic").clamp(-1, 1)


def psnr(x, y):
    """Of each picture, in dB, for values from -1 to 1."""
    return 10 * torch.log10(4 / (x - y).square().flatten(1).mean(1))


def wires(pictures):
    """Three wires, and how many numbers the first one carried for a picture.

    The first keeps what it carries, the others hand over what it kept: exactly, or nearly.
    """
    kept = []

    def rows(z):
        if len(z) != pictures:
            raise ValueError(
                f"the wire got a tensor of shape {tuple(z.shape)}, expected {pictures} rows, one a picture"
            )
        return z.to(torch.float32)

    def wire(z):
        kept[:] = [rows(z).clone()]
        return kept[0].clone()

    def exactly(z):
        rows(z)
        return kept[0].clone() if kept else z

    def nearly(z):
        """So that nothing can be found again by its numbers; whole ones are positions."""
        z = exactly(z)
        return torch.where(z == z.round(), z, z * (1 + 1e-6))

    return wire, exactly, nearly, lambda _: kept[0][0].numel() if kept else 0


def cases(g):
    """The pictures, how many numbers, the same pictures while the codec is given others, and the last picture alone."""
    first = data.EVAL_SEED + whole(g, 0, 200)
    x, others = data.batch([data.scene(first + i) for i in range(12)]).chunk(2)
    wire, exactly, nearly, numbers = wires(len(x))
    return [
        Case("codec", (x, wire)),
        Case("codec", (x, wire), read=numbers),
        Case("codec", (others, exactly)),
        Case("codec", (others, nearly)),
        Case("codec", (x[-1:], wires(1)[0])),
    ]


HINTS = """
A linear codec is a change of basis of which you keep a part: send the numbers that are usually large, and put 0 for
the others when you come back. Brightness needs more detail than colour.

Better: choose for each picture which numbers to keep. The other side then needs to know where they belong, so half of
what you send are positions.

Tensor methods for that: .topk on absolute values finds the largest and where they are, .gather reads them, .scatter
puts them back.

With the tools of the cell above: to_coefficients, then the largest of each picture; on the other side zeros, the
largest put in their places, and to_picture.
"""


def pictures(results):
    """(what should come back, what came back) of the calls that returned pictures."""
    (case, got), _, _, (_, again), (last, alone) = results
    return [(case.args[0], got), (case.args[0], again), (last.args[0], alone)]


def not_better(change):
    """A test that the pictures do not become good ones by this change."""

    def holds(results):
        x, got = pictures(results)[0]
        as_given, changed, baseline = (psnr(x, y).mean() for y in (got, change(got), pooled(x)))
        return changed < max(as_given + 1, baseline - 3)

    return holds


def grey(x):
    return x.mean(1, keepdim=True).expand_as(x)


def recognised(x, got):
    """Whether light and dark stand where they should, at any brightness."""
    x, got = grey(x), grey(got)
    plain = x.mean((1, 2, 3), keepdim=True)
    return psnr(x, got - got.mean((1, 2, 3), keepdim=True) + plain).mean() > psnr(x, plain.expand_as(x)).mean() + 1


def coloured(results):
    return all((got - grey(got)).abs().mean() > 0.3 * (x - grey(x)).abs().mean() for x, got in pictures(results)[:2])


def better(results):
    return all(psnr(x, got).mean() > psnr(x, pooled(x)).mean() + 0.3 for x, got in pictures(results)[:2])


SIZE = f"More than {NUMBERS:,} numbers go over the wire for each picture."
RANGE = "Some values that come back lie outside -1 to 1, or are no numbers: a picture has none of those."
WIRE = """What comes back depends on something else than on what went over the wire: when the wire hands over the
    numbers of other pictures, those should appear."""
NEARLY = """When the numbers of other pictures arrive a millionth off, their pictures do not come back: nothing may hang on
    the last digits of a number, such as a second one packed into it."""
TURNED = "The pictures that come back are yours turned on their side: rows and columns are swapped."
UPSIDE = "The pictures that come back are yours upside down."
MIRRORED = "The pictures that come back are yours in a mirror: left and right are swapped."
SWAPPED = "The pictures that come back have red and blue swapped."
NEGATIVE = "The pictures that come back are negatives of yours: dark is bright, and bright is dark."
SCALE = "The pictures that come back lie between 0 and 1, as if black were 0: here it is -1."
BATCH = """A picture comes back otherwise when it is alone than when it is one of several: what is found for one picture
    (its positions, its range) must not be used for another."""
NOTHING = """What comes back is further from your pictures than one plain colour for each of them would be: numbers get
    lost, or are put in the wrong places."""
COLOUR = "The colours are gone: what comes back is grey."
CLEARLY = "What comes back is not clearly better than the baseline: at least 0.3 dB more is asked for."
BRIGHTNESS = "The pictures that come back are too dark or too bright as a whole."


def compared(results):
    x, got = pictures(results)[0]
    ours, baseline = psnr(x, got).mean(), psnr(x, pooled(x)).mean()
    return f"Yours have a PSNR of {ours:.1f} dB, the baseline's {baseline:.1f} dB."


PROPERTIES = [
    (SIZE, lambda results: results[1][1] <= NUMBERS),
    (RANGE, lambda results: all(got.abs().max() <= 1 + 1e-4 for _, got in pictures(results))),
    (" ".join(WIRE.split()), lambda results: psnr(results[0][1], results[2][1]).min() > 25),
    (" ".join(NEARLY.split()), lambda results: psnr(results[0][1], results[3][1]).min() > 25),
    (TURNED, not_better(lambda x: x.mT)),
    (UPSIDE, not_better(lambda x: x.flip(2))),
    (MIRRORED, not_better(lambda x: x.flip(3))),
    (SWAPPED, not_better(lambda x: x.flip(1))),
    (NEGATIVE, not_better(lambda x: -x)),
    (SCALE, not_better(lambda x: 2 * x - 1)),
    (" ".join(BATCH.split()), lambda results: psnr(results[0][1][-1:], results[4][1]) > 40),
    (
        " ".join(NOTHING.split()),
        lambda results: all(recognised(x, got) for x, got in pictures(results)),
    ),
    (COLOUR, coloured),
    (
        BRIGHTNESS,
        lambda results: all((got - x).mean((1, 2, 3)).abs().max() < 0.1 for x, got in pictures(results)),
    ),
    (CLEARLY, better, compared),
]

MISTAKES = f"""
topk(512) -> topk(1024)
    {SIZE}
to_picture(c).clamp(-1, 1) -> 3 * to_picture(c)
    {RANGE}
return decompress(wire(compress(x))) -> return (wire(compress(x)), decompress(compress(x)))[1]
    {WIRE}
codec := looked_up
    {NEARLY}
to_picture(c).clamp(-1, 1) -> to_picture(c).clamp(-1, 1).mT
    {TURNED}
to_picture(c).clamp(-1, 1) -> to_picture(c).clamp(-1, 1).flip(2)
    {UPSIDE}
to_picture(c).clamp(-1, 1) -> to_picture(c).clamp(-1, 1).flip(3)
    {MIRRORED}
to_picture(c).clamp(-1, 1) -> to_picture(c).clamp(-1, 1).flip(1)
    {SWAPPED}
to_picture(c).clamp(-1, 1) -> -to_picture(c).clamp(-1, 1)
    {NEGATIVE}
to_picture(c).clamp(-1, 1) -> to_picture(c).clamp(-1, 1) / 2 + 0.5
    {SCALE}
where = c.abs().topk(512).indices -> where = c[:1].abs().topk(512).indices.expand(len(c), -1)
    {BATCH}
where = c.abs().topk(512).indices -> where = c.abs().mean(0).topk(512).indices.expand(len(c), -1)
    {BATCH}
values, where = z.chunk(2, dim=1) -> values, where = z.chunk(2, dim=1) && where = where.round() -> where = where[:1].expand(len(z), -1).round()
    {BATCH}
return torch.cat([c.gather(1, where), where.float()], dim=1) -> return torch.cat([c.gather(1, where), 0 * where.float()], dim=1)
    {NOTHING}
to_picture(c).clamp(-1, 1) -> to_picture(c).clamp(-1, 1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    {COLOUR}
to_picture(c).clamp(-1, 1) -> (to_picture(c) - 0.15).clamp(-1, 1)
    {BRIGHTNESS}
"""


_SEEN = {}


def looked_up(x, wire):
    """Finds each picture again by its numbers, to the last digit."""
    z = x.flatten(1)[:, ::50]
    _SEEN.update((row.numpy().tobytes(), picture) for row, picture in zip(z, x, strict=True))
    return torch.stack([_SEEN.get(row.numpy().tobytes(), 0 * x[0]) for row in wire(z)])


def low_frequencies(x, wire):
    """The lowest frequencies, fewer of them for the colours: 26 x 26, and two times 13 x 13."""
    k, i = torch.arange(128.0)[:, None], torch.arange(128) + 0.5
    w = F.normalize(torch.cos(math.pi * k * i / 128), dim=1)
    c = F.normalize(torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]]), dim=1)
    kept = torch.zeros(3, 128, 128, dtype=torch.bool)
    kept[0, :26, :26] = kept[1:, :13, :13] = True
    z = torch.zeros(x.shape)
    z[:, kept] = wire((w @ torch.einsum("ij,bjhw->bihw", c, x) @ w.T)[:, kept])
    return torch.einsum("ji,bjhw->bihw", c, w.T @ z @ w).clamp(-1, 1)


def own_basis(x, wire):
    """The principal components of these pictures, which the other side could not know."""
    basis = torch.linalg.qr(x.flatten(1).T).Q
    return (wire(x.flatten(1) @ basis) @ basis.T).view(x.shape).clamp(-1, 1)


RIGHT = """
codec := low_frequencies
"""

WRONG = """
codec := pooled
codec := own_basis
codec := lambda x, wire: (wire(x[:, 0, :30, :30]), x)[1]
codec := lambda x, wire: codec(x, lambda z: z)
codec := lambda x, wire: F.interpolate(wire(F.adaptive_avg_pool2d(x, 18)), size=128, mode="bilinear")
codec := lambda x, wire: codec(x, lambda z: wire(F.pad(z, (0, 1)))[:, :-1])
codec := lambda x, wire: codec(x, lambda z: wire(z.T).T)
codec := lambda x, wire: 0 * codec(x, wire)
codec := lambda x, wire: torch.nan * codec(x, wire)
codec := lambda x, wire: codec(x, wire)[..., ::2, ::2]
"""
