"""Lesson 11: the whole function against the pipeline, on models that the notebook does not have."""

import numpy as np
import pytest
import torch

from minidiff.checks import exercises
from minidiff.checks.lesson11.ex5_whole import parts
from minidiff.denoise import X0, V
from minidiff.pipeline import StableDiffusion
from minidiff.schedule import cosine_betas, linear_betas


@pytest.mark.parametrize("prediction, betas", [(V, cosine_betas(300)), (X0, linear_betas(500))])
def test_the_whole_function_is_the_pipeline(prediction, betas):
    given = parts(torch.Generator().manual_seed(0), prediction, betas, 4)
    pipe = StableDiffusion(given.vae, given.unet, given.text, given.tokenizer, given.schedule, given.prediction)
    images = pipe(["fox in snow", "cat"], "sketch", steps=4, guidance=3.0, seed=[5, 2], progress=False)
    ours = exercises(11)["11.5"].reference["text_to_image"](given, ["fox in snow", "cat"], "sketch", [5, 2], 4, 3.0)
    assert np.abs(ours.numpy().astype(int) - np.stack(images).astype(int)).max() <= 1
