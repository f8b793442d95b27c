"""Lesson 05: chance is what random pixels reach."""

import torch

from minidiff.check import exercises
from minidiff.checks.lesson05 import blob


def test_the_chance_is_that_of_random_pixels():
    map_iou, chance_iou = exercises(5)["5.5"].reference.values()
    g = torch.Generator().manual_seed(0)
    mask = blob(g, 64, 64)
    drawn = [map_iou(torch.rand(64 * 64, generator=g), mask) for _ in range(50)]
    assert abs(sum(drawn) / len(drawn) - chance_iou(mask)) < 0.005
