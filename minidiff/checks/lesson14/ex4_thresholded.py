"""14.4 dynamic thresholding."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    def case(B, H, W, scale, percentile=None, dtype=torch.float64, shift=0.0):
        x0 = torch.randn(B, 3, H, W, generator=g, dtype=dtype)
        x0 = x0 * torch.linspace(*scale, B, dtype=dtype).view(-1, 1, 1, 1) + shift
        return Case("dynamically_thresholded", (x0, *([] if percentile is None else [percentile])))

    return [
        case(3, 8, 6, (0.1, 3.0)),
        case(2, 9, 9, (2.0, 4.0), uniform(g, 0.8, 0.97)),
        case(3, 8, 8, (0.05, 0.2)),
        case(2, 7, 5, (1.0, 2.0), 0.9, shift=-1.5),
        case(4, 4, 4, (0.2, 2.0), 0.5),
        case(2, 5, 6, (3.0, 6.0), 0.3),
        case(2, 6, 6, (1.0, 3.0), 0.95, dtype=torch.float32),
    ]


HINTS = """
Of each picture alone: x0.abs().flatten(1) has a row for each. torch.quantile(..., percentile, dim=1) gives one number a
row.

Where that number is below 1, take 1. To divide by 1 changes nothing, and to clip to 1 cuts only the few values beyond:
pixels end at 1.

Clip to minus s and s, and divide by s.
"""

MISTAKES = r"""
.clamp(min=1).view -> .view
    A threshold below 1 makes a quiet picture louder: it is at least 1.
return x0.clamp(-s, s) / s -> return x0.clamp(-s, s)
    You clip and do not divide by s: the picture still reaches beyond 1.
return x0.clamp(-s, s) / s -> return x0 / s
    You divide and do not clip: the wildest pixels are still outside.
return x0.clamp(-s, s) / s -> return x0.clamp(-1, 1)
    This is clipping to -1 and 1, the old remedy: it is as if s were 1 in every picture.
return x0.clamp(-s, s) / s -> return (x0 / s.square()).clamp(-1, 1)
    You divide by s twice.
return x0.clamp(-s, s) / s -> return x0.clamp(-s, s) / s / s
    You divide by s twice.
return x0.clamp(-s, s) / s -> return torch.minimum(x0.clamp(min=0), s) / s
    Values below 0 become 0: clip them to minus s.
return x0.clamp(-s, s) / s -> return torch.where(s > 1, x0.clamp(-s, s) / s, x0)
    A picture whose s is below 1 goes out as it is: s is 1 there, and the few values beyond 1 are clipped.
.clamp(min=1).view(-1, 1, 1, 1) -> .view(-1, 1, 1, 1)\n    s = torch.ones_like(s) if s.max() <= 1 else s
    One loud picture is enough, and the quiet ones beside it become louder: s is at least 1 in each.
.clamp(min=1).view -> .clamp(max=1).view
    Your threshold is at most 1: it is at least 1.
.clamp(min=1).view(-1, 1, 1, 1) -> .view(-1, 1, 1, 1) + 1
    You add 1 to the threshold: it is at least 1, and where it is larger it stays.
return x0.clamp(-s, s) / s -> return x0.clamp(-1, 1) / s
    You clip to -1 and 1 and then divide: clip to -s and s.
return x0.clamp(-s, s) / s -> return (x0.clamp(-s, s) / s + 1) / 2
    You bring the values to 0 to 1: they stay from -1 to 1.
return x0.clamp(-s, s) / s -> return (x0 / s).clamp(-s, s)
    You divide first and clip to s then: after the division the bounds are -1 and 1.
return x0.clamp(-s, s) / s -> return torch.minimum(x0, s) / s
    Only what is above s is clipped: what is below minus s is clipped, too.
return x0.clamp(-s, s) / s -> return torch.where(x0.abs() > s, torch.zeros_like(x0), x0) / s
    What is beyond s becomes 0: it is clipped to s or minus s.
return x0.clamp(-s, s) / s -> return x0.clamp(-s.max(), s.max()) / s.max()
    All pictures share the largest threshold: each has its own.
return x0.clamp(-s, s) / s -> return x0.clamp(-s.mean(), s.mean()) / s.mean()
    All pictures share the mean threshold: each has its own.
return x0.clamp(-s, s) / s -> return x0.clamp(-s, s) / s, s
    You return the thresholds, too: only the pictures are asked for.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.flatten(1), percentile, dim=1)
    The percentile is that of the sizes, without their signs: dark values count as well.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(), percentile).expand(len(x0))
    All pictures share one threshold: each has its own.
torch.quantile(x0.abs().flatten(1), percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1) -> torch.quantile(x0.abs().flatten(2), percentile, dim=2).clamp(min=1)[..., None, None]
    Each channel has a threshold of its own, which changes the colours: a picture has one.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(2), percentile, dim=2).mean(1)
    Your threshold is the mean of the channels' percentiles: take the percentile of the whole picture.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.square().flatten(1), percentile, dim=1).sqrt()
    You take the percentile of the squares: between two of them another number is found.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.square().flatten(1), percentile, dim=1)
    Your threshold is a percentile of squares: the root is missing.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> x0.abs().flatten(1).median(1).values
    Your threshold is the median: percentile has no effect.
torch.quantile(x0.abs().flatten(1), percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1) -> torch.quantile(x0.abs(), percentile, dim=-1, keepdim=True).clamp(min=1)
    Each row of pixels has a threshold of its own: a picture has one.
torch.quantile(x0.abs().flatten(1), percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1) -> torch.quantile(x0.abs(), percentile, dim=1, keepdim=True).clamp(min=1)
    Each pixel has a threshold of its own: a picture has one.
torch.quantile(x0.abs().flatten(1), percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1) -> torch.quantile(x0.abs(), percentile, dim=0).clamp(min=1)
    The percentile is taken over the batch, at each pixel: take it over the pixels, of each picture.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(1), percentile, dim=1, interpolation="nearest")
    Your threshold is the value nearest to the percentile: a quantile may lie between two values.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> x0.abs().flatten(1).sort(1).values[:, int(percentile * x0[0].numel())]
    Your threshold is one of the values, at the place percentile times their number: a quantile counts one fewer, and may lie between two values.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(1), percentile, dim=1, interpolation="lower")
    Your threshold is the value below the percentile: a quantile may lie between two values.
return x0.clamp(-s, s) / s -> low = torch.quantile(x0.flatten(1), 1 - percentile, dim=1).clamp(max=-1).view(-1, 1, 1, 1)\n    s = torch.quantile(x0.flatten(1), percentile, dim=1).clamp(min=1).view(-1, 1, 1, 1)\n    return torch.maximum(torch.minimum(x0, s), low) / s
    Light and dark have a percentile each: one is taken, of the sizes without their signs.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> x0.abs().flatten(1).amax(1)
    Your threshold is the largest value: a single wild pixel would make the whole picture pale.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(1), 1 - percentile, dim=1)
    You take the percentile from the wrong end.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(1), 0.995, dim=1)
    percentile has no effect.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> (3 * x0.flatten(1).std(1))
    Your threshold is three deviations: a percentile is asked for.
"""

RIGHT = r"""
return x0.clamp(-s, s) / s -> return (x0 / s).clamp(-1, 1)
return x0.clamp(-s, s) / s -> return torch.minimum(torch.maximum(x0, -s), s) / s
"""

WRONG = r"""
return x0.clamp(-s, s) / s -> return (x0 / s).tanh()
"""

EQUIVALENT = ""
