"""5.5 the IoU of a map with the true mask, and chance."""

import math

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.lesson05 import blob
from minidiff.checks.parts import uniform
from minidiff.judge import attention_iou


def heat_near(g, mask, side):
    """A map that half knows the mask, and whose cut falls between two clearly different pixels."""
    while True:
        inside = F.adaptive_avg_pool2d(mask[None].float(), side).flatten()
        heat = 0.05 * (inside + uniform(g, 0, 0.9, side * side, dtype=torch.float32))
        large = F.interpolate(heat.view(1, 1, side, side), size=mask.shape, mode="bilinear")
        cut = large.flatten().topk(int(mask.sum()) + 1).values[-2:]
        if cut[0] - cut[1] > 1e-6:
            return heat


def flat(g):
    """A map and a mask whose cut falls among equally dark pixels, where it makes no difference which are marked."""
    heat = torch.zeros(8, 8)
    heat[2:5, 3:6] = uniform(g, 0.5, 1, 3, 3, dtype=torch.float32)
    mask = torch.ones(64, 64, dtype=torch.bool)
    mask[20:36, 28:40] = False  # all of it is where the map is bright, so all dark pixels are in the mask
    return heat.flatten(), mask


def cases(g):
    sizes = (8, 128, 128), (4, 64, 64), (8, 64, 96), (4, 80, 48)
    masks = [blob(g, *size) for _, *size in sizes]
    masks[-1] = ~masks[-1]  # most of the picture, so that the darkest pixels hit some of it
    maps = [heat_near(g, mask, side) for (side, *_), mask in zip(sizes, masks, strict=True)]
    return [
        *(Case("map_iou", pair) for pair in zip(maps, masks, strict=True)),
        Case("map_iou", flat(g)),
        *(Case("chance_iou", (mask,)) for mask in masks),
    ]


def among_places(heat, mask, mode="area"):
    """The IoU among places, not pixels."""
    side = math.isqrt(len(heat))
    small = (F.interpolate(mask[None, None].float(), (side, side), mode=mode) > 0.5).flatten()
    marked = torch.zeros(len(heat), dtype=torch.bool)
    marked[heat.topk(max(int(small.sum()), 1)).indices] = True
    return (marked & small).sum().item() / max((marked | small).sum().item(), 1)


HINTS = """
The places of a map are a square grid, row by row: reshape. F.interpolate wants two axes in front, batch and channels,
and mode bilinear for smoothness.

mask.sum() says how many pixels to mark. .topk on the flattened map finds the brightest: its .indices.

For two tensors of True and False, & is the intersection and | the union. A sum counts the True ones; .item() makes a
number of it.

Chance: let a be the share of the mask. Of randomly marked pixels, a share of a too, how many lie in it? Write
intersection and union as shares of the picture.
"""

MISTAKES = """
mode="bilinear" -> mode="nearest"
    The map is enlarged in blocks: each pixel takes the nearest place. In between it should be smooth.
mode="bilinear" -> mode="bicubic"
    The map is enlarged by cubic curves. Bilinear is asked for: straight lines between places.
mode="bilinear" -> mode="bilinear", align_corners=True
    The map is stretched so that the middle of its first place falls on the first pixel. Leave align_corners as it is.
size=mask.shape -> size=mask.shape[0]
    The map is enlarged to a square. The mask has a height and a width, and they may differ.
size=mask.shape -> size=mask.shape[::-1]
    The map is enlarged with height and width exchanged. The mask's shape is (height, width), and so is size.
size=mask.shape -> size=128
    The map is always enlarged to 128 pixels. The mask says how large.
marked[large.flatten().topk(int(mask.sum())).indices] = True\\n    marked = marked.reshape(mask.shape) -> marked = large > large.mean()
    You mark what is brighter than the mean. How much that is depends on the map: mark as many pixels as the mask has.
marked[large.flatten().topk(int(mask.sum())).indices] = True\\n    marked = marked.reshape(mask.shape) -> marked = large > large.max() / 2
    You mark what is brighter than half of the maximum. How much that is depends on the map: mark as many pixels as the
    mask has.
marked[large.flatten().topk(int(mask.sum())).indices] = True\\n    marked = marked.reshape(mask.shape) -> marked = large > 0.5
    You mark what is above one half. A map's numbers may all be smaller: mark as many pixels as the mask has.
large.flatten() -> (-large).flatten()
    You mark the darkest pixels: sort the other way round.
(marked & mask).sum().item() / (marked | mask).sum().item() -> (marked & mask).sum().item() / mask.sum().item()
    That is the share of the marked pixels that hit (and, both areas being equal, the Dice coefficient). IoU divides by
    the union, which is larger.
(marked | mask).sum().item() -> (marked.sum() + mask.sum()).item()
    The union is too large: you added both areas, and so counted what they share twice.
(marked | mask).sum().item() -> (marked ^ mask).sum().item()
    You divide by the pixels that only one of the two has. The union also holds those that both have.
(marked | mask).sum().item() -> mask.numel()
    You divide by all pixels of the picture: the union of the two areas is smaller.
(marked & mask).sum().item() / (marked | mask).sum().item() -> (marked == mask).double().mean().item()
    You count the pixels in which both agree. Most of them are background in both, which is no merit.
return (marked & mask).sum().item() / (marked | mask).sum().item() -> return 1 - (marked & mask).sum().item() / (marked | mask).sum().item()
    That is 1 minus the IoU: a perfect hit should be 1.
heat.reshape(1, 1, side, side) -> heat.reshape(1, 1, side, side).mT
    Rows and columns have changed places: the places of a map are counted row by row.
heat.reshape(1, 1, side, side) -> heat.reshape(1, 1, side, side).flip(2)
    The map is upside down: the first row of places is the top one.
map_iou := among_places
    You made the mask smaller. Enlarge the map: the mask has the truth in full.
map_iou := lambda heat, mask: among_places(heat, mask, "bilinear")
    You made the mask smaller. Enlarge the map: the mask has the truth in full.
map_iou := lambda heat, mask: among_places(heat, mask, "nearest")
    You made the mask smaller. Enlarge the map: the mask has the truth in full.
map_iou := from_the_last_on
    You mark every pixel that is as bright as the last one needed. Where several are equally bright, those are more than
    the mask has.
map_iou := above_the_quantile
    You mark the pixels above a quantile. Where several are equally bright, those are fewer than the mask has.
return (marked & mask).sum().item() / (marked | mask).sum().item() -> return 100 * (marked & mask).sum().item() / (marked | mask).sum().item()
    That is in percent: 1 is a perfect hit.
return (marked & mask).sum().item() / (marked | mask).sum().item() -> return (marked & mask).sum() / (marked | mask).sum()
    That is a tensor. A float is asked for: take the number out of it.
return a * a / (a + a - a * a) -> return a
    That is the share of the mask. It is how many of the random pixels hit; the union is still missing.
return a * a / (a + a - a * a) -> return a * a
    That is the intersection. It is still to be divided by the union.
return a * a / (a + a - a * a) -> return a * a / (a + a)
    The union is too large: what the two share is counted twice.
return a * a / (a + a - a * a) -> return a * a / (a + a + a * a)
    The union is too large: what the two share must be taken away once, not added.
return a * a / (a + a - a * a) -> return a * a / (a + a - 2 * a * a)
    You divide by the pixels that only one of the two has. The union also holds those that both have.
return a * a / (a + a - a * a) -> return a / (a + a - a * a)
    The intersection is too large: of the random pixels only some lie in the mask.
return a * a / (a + a - a * a) -> return 0.5
    Chance is no coin here: how likely a hit is depends on how large the mask is.
return a * a / (a + a - a * a) -> return 100 * a * a / (a + a - a * a)
    That is in percent: 1 is a perfect hit.
a = mask.double().mean().item() -> a = 1 - mask.double().mean().item()
    That is the chance of hitting the background.
a = mask.double().mean().item() -> a = mask.double().mean()
    chance_iou gives a tensor. A float is asked for: take the number out of it.
"""


def marked_where(heat, mask, bright):
    """The IoU with all pixels of the enlarged map for which this holds."""
    side = round(len(heat) ** 0.5)
    big = F.interpolate(heat.view(1, 1, side, side), mask.shape, mode="bilinear", align_corners=False)[0, 0]
    found = bright(big)
    return (found & mask).sum().item() / (found | mask).sum().item()


def from_the_last_on(heat, mask):
    return marked_where(heat, mask, lambda x: x >= x.flatten().sort(descending=True).values[int(mask.sum()) - 1])


def above_the_quantile(heat, mask):
    return marked_where(heat, mask, lambda x: x > x.quantile(1 - mask.float().mean()))


def by_ranks(heat, mask):
    return marked_where(heat, mask, lambda x: (-x).flatten().argsort().argsort().reshape(x.shape) < mask.sum())


def by_drawing(mask):
    """A mean over random sets of pixels: near, and always the same."""
    g, n = torch.Generator().manual_seed(0), mask.numel()
    drawn = [mask.flatten()[torch.randperm(n, generator=g)].reshape(mask.shape) for _ in range(50)]
    return sum(((x & mask).sum() / (x | mask).sum()).item() for x in drawn) / len(drawn)


RIGHT = """
map_iou := by_ranks
map_iou := attention_iou
chance_iou := lambda mask: 1 / (2 / mask.double().mean().item() - 1)
chance_iou := lambda mask: (a := mask.float().mean().item()) / (2 - a)
"""

EQUIVALENT = """
F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode='bilinear')[0, 0] -> F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode='bilinear')
    it is flattened anyway
F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode='bilinear')[0, 0] -> F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode='bilinear')[-1, 0]
    these two axes have the length 1
F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode='bilinear')[0, 0] -> F.interpolate(heat.reshape(1, 1, side, side), size=mask.shape, mode='bilinear')[0, -1]
    these two axes have the length 1
int(mask.sum()) -> mask.sum()
    topk takes a tensor, too
marked & mask -> mask & marked
    what both have
marked | mask -> mask | marked
    what one of them has
"""

WRONG = """
chance_iou := by_drawing
chance_iou := lambda mask: map_iou(torch.rand(16), mask)
int(mask.sum()) -> 2 * int(mask.sum())
int(mask.sum()) -> mask.numel() // 4
map_iou := lambda heat, mask: round(map_iou(heat, mask), 2)
"""
