"""On a GPU the same code gives the same pictures, compiled or not, and learns in half precision."""

import numpy as np
import pytest
import torch

from minidiff.data import SMALL
from minidiff.pipeline import StableDiffusion
from minidiff.train import Settings, accelerator, training_loop
from minidiff.train.objectives import UNetObjective
from minidiff.unet import UNet, UNetConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
PROMPTS = ["big fox in meadow", "fox above rocket on green"]


def drawn(pipe):
    return np.stack([np.asarray(picture, int) for picture in pipe(PROMPTS, steps=10, seed=3, progress=False)])


@pytest.fixture(scope="module")
def on_cpu():
    return drawn(StableDiffusion.from_pretrained(device="cpu"))


@pytest.mark.parametrize("compiled", [False, True])
def test_it_draws_what_the_cpu_draws(on_cpu, compiled):
    pipe = StableDiffusion.from_pretrained()
    assert pipe.device.type == "cuda", "the best there is"
    if compiled:
        pipe.unet.compile()
    difference = np.abs(drawn(pipe) - on_cpu)
    assert difference.mean() < 1 and difference.max() < 64, "of 255: sums come out in another order"


def test_half_precision_draws_nearly_the_same(on_cpu):
    pipe = StableDiffusion.from_pretrained()
    with torch.autocast("cuda", torch.float16):
        assert np.abs(drawn(pipe) - on_cpu).mean() < 4


def test_it_learns():
    parts = StableDiffusion.from_pretrained(device="cpu")
    torch.manual_seed(0)
    unet = UNet(UNetConfig(block_out_channels=(16, 32), attention=(False, True), heads=(2, 2), norm_num_groups=16))
    objective = UNetObjective(unet, parts.vae, parts.text, parts.tokenizer, 20, SMALL)
    machine = accelerator()
    assert machine.device.type == "cuda"
    losses = [step.loss for step in training_loop(objective, Settings(60, 20, 5e-3, 5), machine)]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
