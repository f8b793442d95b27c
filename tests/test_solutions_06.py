"""Lesson 06's solutions: guidance rescale is diffusers' own, and no constant guidance passes 6.6."""

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from minidiff.check import exercises
from minidiff.checks.solution import Solution


def test_guidance_rescale_is_diffusers():
    rescale, g = exercises(6)["6.4"].reference["rescale"], torch.Generator().manual_seed(0)
    for shape in ((2, 4, 8, 8), (3, 1, 2, 5)):
        v_cfg, v_cond = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        for phi in (0.0, 0.3, 0.7, 1.0):
            assert (rescale(3 * v_cfg, v_cond, phi) - rescale_noise_cfg(3 * v_cfg, v_cond, phi)).abs().max() < 1e-14


def test_no_constant_guidance_comes_as_near_as_6_6_asks():
    distance = Solution.of("6.6").made("distance")["distance"]
    for scale in (1.0, 1.3, 1.6, 1.9, 2.2, 3.0):
        assert distance(torch.full((25,), scale)) > 0.07
