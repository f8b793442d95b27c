"""Lesson 09: what the solutions are besides what their notebook shows."""

import pytest
import torch
from PIL import Image

from minidiff.canvas import Canvas
from minidiff.checks import exercises
from minidiff.pipeline import SCHEDULE
from minidiff.schedule import EDM, Flow

canvas, step_up = (exercises(9)[number].reference[name] for number, name in (("9.4", "canvas"), ("9.5", "step_up")))


@pytest.mark.parametrize("schedule, s, t", [(SCHEDULE, 100, 1000), (Flow(), 0.2, 0.9), (EDM(), 0.5, 8.0)])
def test_a_step_up_ends_in_the_noise_of_its_time(schedule, s, t):
    (alpha_s, sigma_s), (alpha_t, sigma_t) = ([float(a) for a in schedule(u)] for u in (s, t))
    one, zero = torch.ones(()), torch.zeros(())
    signal = step_up(alpha_s * one, zero, alpha_s, sigma_s, alpha_t, sigma_t)
    noises = [step_up(sigma_s * a, b, alpha_s, sigma_s, alpha_t, sigma_t) for a, b in ((one, zero), (zero, one))]
    assert abs(signal - alpha_t) < 1e-6 and abs(sum(n * n for n in noises) - sigma_t**2) < 1e-4 * sigma_t**2


def test_the_canvas_is_the_pipelines():
    picture = Image.effect_noise((24, 32), 80).convert("RGB")
    made = Canvas.of(1, picture, margins=(8, 0, 16, 24))
    pictures, mask = canvas(Canvas.of(1, picture).pictures, (8, 0, 16, 24), 8)
    assert torch.equal(pictures, made.pictures) and torch.equal(mask, made.mask)
