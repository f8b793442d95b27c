"""Lesson 18's solutions against the package and diffusers."""

import pytest
import torch
from diffusers import LCMScheduler
from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import (
    LatentConsistencyModelPipeline,
)

from minidiff import data, sample
from minidiff.check import exercises
from minidiff.convert import load
from minidiff.denoise import EPS, V, denoiser
from minidiff.guide import cfg
from minidiff.pipeline import SCHEDULE, WEIGHTS, StableDiffusion
from minidiff.schedule import EDM, Discrete, noise_like, scaled_linear_betas, trailing
from minidiff.train.consistency import ConsistencyObjective
from minidiff.unet import UNet, guidance_embedding


def solution(name):
    return next(e.reference[name] for e in exercises(18).values() if name in e.reference)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


def says(x, t, text=None):
    return 0.3 * x + 0.1 * torch.sin(3 * x + torch.as_tensor(t).reshape(-1, 1, 1, 1) / 500)


@pytest.mark.parametrize("index", [0, 1, 259, 999])
def test_the_boundary_is_diffusers(index):
    """Theirs has eps = 0 and scales the time."""
    skip, out = LCMScheduler().get_scalings_for_boundary_condition_discrete(torch.tensor(float(index)))
    ours = solution("skips")(torch.tensor([10.0 * index]), 0.0, 0.5)
    assert abs(ours[0] - skip) < 1e-6 and abs(ours[1] - 0.5 * out) < 1e-6  # Luo 2023 leaves sigma_d out of c_out


def test_v_has_the_boundary():
    """alpha x - sigma v is a bounded network, of other skips."""
    x, t = noise(3, 4, 4, 4), torch.tensor([0.0, 300.0, 1000.0])
    ours = denoiser(says, SCHEDULE, V)(x, t)
    alpha, sigma = (a.float().reshape(-1, 1, 1, 1) for a in SCHEDULE(t))
    assert (ours - (alpha * x - sigma * says(x, t - 1))).abs().max() < 1e-6
    assert torch.equal(ours[0], x[0])


def test_the_loss_is_that_of_the_package():
    pipe = StableDiffusion.from_pretrained("openmoji", "cpu")
    student = load(UNet, WEIGHTS / "unet.safetensors")
    for p in student.parameters():
        p.requires_grad_(False).mul_(1.01)
    parts = pipe.vae, pipe.text, pipe.tokenizer, 2, data.FULL
    objective = ConsistencyObjective(student, pipe.unet, 4.0, 25, *parts)
    x0, ids, dice = noise(2, 4, 16, 16), pipe.tokenizer(["fox on green", "sun"]), [seeded(i) for i in range(2)]
    with torch.no_grad():
        theirs = objective([seeded(i) for i in range(2)], x0, ids)
        i, grid = torch.cat([torch.randint(25, (1,), generator=g) for g in dice]), trailing(1000, 25)
        eps, text = noise_like(x0, dice), pipe.text(ids)
        teacher = cfg(denoiser(pipe.unet, SCHEDULE, V), text, pipe.text(pipe.tokenizer("")), 4.0)
        f = lambda x, t: denoiser(student, SCHEDULE, V)(x, t, text)  # noqa: E731
        ours = solution("distillation_loss")(f, f, teacher, x0, eps, grid[i], grid[i + 1], SCHEDULE)
    assert (ours.mean() - theirs).abs() < 1e-4 * theirs


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_few_steps_are_the_package_s_and_diffusers(n):
    schedule, start, theirs = Discrete(scaled_linear_betas()), noise(2, 4, 8, 8), LCMScheduler(set_alpha_to_one=True)
    theirs.set_timesteps(n)
    ts, denoise = torch.tensor([*(theirs.timesteps + 1).tolist(), 0]), denoiser(says, schedule, EPS)

    def bounded(x, t):
        skip, out = theirs.get_scalings_for_boundary_condition_discrete(t - 1)
        return skip * x + out * denoise(x, t)

    g = seeded(1)
    *_, ours = solution("few_steps")(bounded, start, schedule, ts, lambda x: noise_like(x, g))
    *_, package = sample.consistency(denoise, start, schedule, ts, seeded(1), scaling=10.0)
    assert (ours - package).abs().max() < 1e-5
    x, g = start, seeded(1)
    for t in theirs.timesteps:
        x = theirs.step(says(x, t), t, x, generator=g).prev_sample
    assert (ours - x).abs().max() < 5e-5 * x.abs().max()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_stream_draws_what_the_plain_loop_draws(n):
    """Each frame by itself: its answer noised by the noise of the next time."""
    ts, noises, film = torch.linspace(3, 0.5, n).double(), noise(n, 2, 4, 4, seed=2), noise(6, 2, 4, 4, seed=3)
    f = lambda x, t: torch.tanh(x + 0.3 * torch.as_tensor(t).to(x).reshape(-1, 1, 1, 1))  # noqa: E731
    plain = []
    for z in film:
        for t, eps in zip(ts, noises, strict=True):
            z = f(EDM().add_noise(z[None], eps[None], t), t)[0]
        plain.append(z)
    waiting, found = torch.zeros(0, 2, 4, 4), []
    for i, z in enumerate(film):
        done, waiting = solution("tick")(z, waiting, f, EDM(), ts, noises)
        assert (done is None) == (i < n - 1)
        found += [done] if done is not None else []
    assert len(found) == len(film) - (n - 1)
    assert (torch.stack(found) - torch.stack(plain[: len(found)])).abs().max() < 1e-6


@pytest.mark.parametrize("dim", [8, 9, 256])
def test_guidance_is_told_as_in_diffusers_and_in_the_package(dim):
    w = torch.tensor([0.5, 3.0, 7.5])
    ours = solution("guidance_vector")(w.double(), dim)
    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, w, dim, torch.float32)
    assert (ours - theirs).abs().max() < 5e-3  # their angles, up to 7,500, are rounded to single precision
    assert torch.equal(guidance_embedding(w, dim), theirs)
    project = noise(5, dim).double()
    told = solution("told")(torch.zeros(3, 5).double(), w.double() + 1, project)
    assert (told - ours @ project.T).abs().max() < 1e-9


def test_the_filter_does_better_than_any_cosine():
    made = exercises(18)["18.6"].solution.made("pairs, marks, cosine_skip")
    now, drawn, moved = made["pairs"](200, seeded(9))

    def mark(skip):
        return made["marks"]([skip(a, b) for a, b in zip(now, drawn, strict=True)], moved)

    still, moving = mark(solution("my_skip"))
    assert still >= 0.95 and moving == 0
    for threshold in torch.linspace(0.9, 1, 41).tolist():
        still, moving = mark(made["cosine_skip"](threshold))
        assert still < 0.9 or moving > 0
