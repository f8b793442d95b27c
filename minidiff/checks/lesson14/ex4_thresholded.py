"""14.4 dynamic thresholding."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("x0",)


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
        case(2, 6, 6, (1.0, 3.0), 0.95, dtype=torch.float32),
    ]


HINTS = """
Of each picture alone: x0.abs().flatten(1) has a row for each. torch.quantile(..., percentile, dim=1) gives one number a
row.

Where that number is below 1, nothing should happen. Then a threshold of 1 does nothing, as dividing by 1 does; but
clipping to 1 would cut the few values beyond, and that is right: pixels end at 1.

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
    This is clipping to -1 and 1, the old remedy: s has no effect.
return x0.clamp(-s, s) / s -> return (x0 / s.square()).clamp(-1, 1)
    You divide by s twice.
return x0.clamp(-s, s) / s -> return x0.clamp(-1, 1) / s
    You clip to -1 and 1 and then divide: clip to -s and s.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.flatten(1), percentile, dim=1)
    The percentile is that of the sizes, without their signs: dark values count as well.
torch.quantile(x0.abs().flatten(1), percentile, dim=1) -> torch.quantile(x0.abs().flatten(), percentile).expand(len(x0))
    All pictures share one threshold: each has its own.
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
return x0.clamp(-s, s) / s -> return torch.where(s > 1, x0.clamp(-s, s) / s, x0)
return x0.clamp(-s, s) / s -> return (x0 / s).tanh()
.clamp(min=1).view -> .clamp(max=1).view
"""

EQUIVALENT = ""
