"""Lesson 14's solutions against diffusers, and the package's own models and pipeline."""

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from diffusers.models.embeddings import Timesteps

from minidiff import arguments
from minidiff.check import exercises
from minidiff.pipeline import SCHEDULE
from minidiff.prompts import Sizes
from minidiff.schedule import Discrete, trailing
from minidiff.unet import UNet, UNetConfig, timestep_embedding


def solution(name):
    return next(e.reference[name] for e in exercises(14).values() if name in e.reference)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_crop_is_a_piece_of_the_resized_picture_and_its_numbers_are_sdxl_s():
    picture = noise(3, 40, 60)
    square, six = solution("cropped")(picture, 20, (0.0, 0.7))
    resized = F.interpolate(picture[None], (20, 30), mode="bicubic", antialias=True)[0]
    assert torch.equal(square, resized[:, :, 7:27]) and six == (40, 60, 0, 7, 20, 20)
    told = Sizes(original_size=six[:2], crops_coords_top_left=six[2:4], target_size=six[4:])
    assert told.numbers((99, 99), scored=False) == [*six]


def test_numbers_are_embedded_as_in_diffusers():
    sizes = torch.tensor([[128.0, 256.0, 0.0, 64.0, 128.0, 128.0], [40.0, 40.0, 3.0, 0.0, 128.0, 1024.0]])
    theirs = Timesteps(16, flip_sin_to_cos=True, downscale_freq_shift=0)(sizes.flatten()).reshape(2, -1)
    assert (solution("embedded")(sizes, 16) - theirs).abs().max() < 1e-5


def test_what_is_told_is_what_the_package_s_unet_is_told():
    sizes = {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 20 + 6 * 8}
    net = UNet(UNetConfig(8, 4, 4, (16, 32), 1, (False, True), (2, 2), (), 24, **sizes))
    x, t, context = noise(2, 4, 8, 8), torch.tensor([40.0, 700.0]), (noise(2, 5, 24), noise(2, 20), 100 * noise(2, 6))
    with torch.no_grad():
        temb = net.time_embedding(timestep_embedding(t, 16))
        ours = solution("told_time")(temb, *context[1:], 8, net.add_embedding)
        assert (ours - net.encode(x, t, context)[1]).abs().max() < 1e-5


def test_noise_on_what_is_shown_is_a_schedule_s():
    betas = torch.linspace(0.01, 0.2, 20, dtype=torch.float64)
    little, eps, t = noise(3, 3, 4, 5).double(), noise(3, 3, 4, 5, seed=1).double(), torch.tensor([1, 9, 20])
    _, sigma = Discrete(betas)(t)
    noisy, level = solution("augmented")(little, sigma, eps)
    assert torch.allclose(noisy, Discrete(betas).add_noise(little, eps, t))
    assert torch.equal(level, sigma.view(3, 1, 1, 1).expand(3, 1, 4, 5))


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.995])
def test_dynamic_thresholding_is_diffusers(percentile):
    rule = DDIMScheduler(thresholding=True, dynamic_thresholding_ratio=percentile, sample_max_value=1000.0)
    x0 = noise(3, 3, 16, 12) * torch.tensor([0.2, 1.0, 4.0]).view(-1, 1, 1, 1)
    ours = solution("dynamically_thresholded")(x0, percentile)
    assert (ours - rule._threshold_sample(x0)).abs().max() < 1e-5
    assert ours.abs().max() <= 1


@pytest.mark.parametrize(("n", "share"), [(20, 0.2), (25, 0.3), (12, 0.5), (40, 0.05)])
def test_the_hand_over_is_the_pipeline_s(n, share):
    times = trailing(1000, n)
    first, last = solution("handover")(times, 1000 * share)
    assert len(first) - 1 == arguments.steps_before(share, SCHEDULE, times)
    assert torch.equal(torch.cat([first, last[1:]]), times) and first[-1] == last[0]


def test_five_shapes_keep_more_than_squares():
    made = exercises(14)["14.6"].solution.made("some_files, kept")
    for seed in range(100, 105):
        sizes = made["some_files"](seed)
        assert made["kept"](sizes, solution("my_shapes")(sizes)) > 0.93 > made["kept"](sizes, [(128, 128)]) + 0.1
