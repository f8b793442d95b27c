"""Lesson 17's solutions against rotations, integrals, diffusers' schedule, and a library that reads the file."""

import io
import json
import math
from pathlib import Path

import pytest
import torch
import trimesh
from diffusers import DDPMScheduler

from minidiff.check import exercises
from minidiff.schedule import Discrete, linear_betas

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "17_text_to_3d.ipynb"


def solution(name):
    return next(e.reference[name] for e in exercises(17).values() if name in e.reference)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of_lesson(*names):
    """What cells of the lesson define, by name; `names` are functions."""
    found, code = {"torch": torch, "F": torch.nn.functional, "math": math}, []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        for name in names:
            if cell["cell_type"] == "code" and f"def {name}(" in source:
                code.append(source[source.index(f"def {name}(") :].split("\n\n\n")[0])
    exec("\n\n".join(code), found)
    return [found[name] for name in names]


def test_the_gradient_is_that_of_diffusers_noise_and_equal_to_a_pull_towards_the_guess():
    x, eps, t = noise(4, 3, 2, 2), noise(4, 3, 2, 2, seed=1), torch.tensor([1, 200, 700, 999])
    guess = torch.tanh
    theirs = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, clip_sample=False)
    alpha_bar = theirs.alphas_cumprod.double()[t - 1].view(-1, 1, 1, 1)
    x_t = theirs.add_noise(x, eps, t - 1)
    eps_hat = (x_t - alpha_bar.sqrt() * guess(x_t)) / (1 - alpha_bar).sqrt()
    ours = solution("sds_gradient")(lambda x, t: guess(x), x, t.double(), eps, Discrete(linear_betas()))
    assert (ours - (1 - alpha_bar) * (eps_hat - eps)).abs().max() < 1e-5
    assert (ours - (alpha_bar * (1 - alpha_bar)).sqrt() * (x - guess(x_t))).abs().max() < 1e-5


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
def test_rays_are_a_rotation_of_a_still_cameras(degrees):
    a = math.radians(degrees)
    rows = [math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]
    turn = torch.tensor(rows, dtype=torch.float64)
    still, turned = solution("rays")(torch.tensor([0.0, a], dtype=torch.float64), 5, 7)
    assert (still @ turn.T - turned).abs().max() < 1e-12
    assert still.shape == (7, 5, 5, 3) and still[0, 0, 0].tolist() == pytest.approx([-0.8, -0.8, -6 / 7])


def test_even_fog_lets_through_what_the_integral_says():
    density = 3 * torch.rand(2, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights, left = solution("composite")(1 - torch.exp(-density / 20))
    assert torch.allclose(left, torch.exp(-density.sum(1) / 20))
    assert torch.allclose(weights.sum(1) + left, torch.ones_like(left))
    passed = torch.exp(-(density.cumsum(1) - density) / 20)
    assert torch.allclose(weights, passed * (1 - torch.exp(-density / 20)))


def test_what_is_pushed_aside_is_perpendicular_to_the_words():
    plain, words, unwanted = noise(3, 4, 2, 2), noise(3, 4, 2, 2, seed=1), noise(3, 4, 2, 2, seed=2)
    perp_neg = solution("perp_neg")
    aside = perp_neg(plain, words, unwanted, 5.0, 1.0) - perp_neg(plain, words, unwanted, 5.0, 0.0)
    assert ((words - plain) * aside).flatten(1).sum(1).abs().max() < 1e-9
    assert torch.allclose(perp_neg(plain, words, unwanted, 5.0, 0.0), plain + 5 * (words - plain))


def test_the_lessons_mesh_is_closed_and_trimesh_reads_its_file_as_it_was_written():
    surface, content, described = of_lesson("surface", "content", "described")
    u = torch.linspace(-1, 1, 24)
    z, y, x = torch.meshgrid(u, u, u, indexing="ij")
    corners, triangles = surface(0.8 - (1.6 * x**2 + y**2 + (z - 0.1) ** 2).sqrt())
    corners = corners / 23 * 2 - 1
    assert content(corners, triangles) == pytest.approx(4 / 3 * math.pi * 0.8**3 / 1.6**0.5, rel=0.02)
    colours = torch.rand(len(corners), 3, generator=torch.Generator().manual_seed(2))
    file = io.BytesIO(solution("glb")(*described(corners, triangles, colours)))
    (read,) = trimesh.load_scene(file, file_type="glb", process=False).geometry.values()
    assert read.is_watertight and read.volume == pytest.approx(content(corners, triangles), rel=1e-4)
    assert (torch.tensor(read.vertices) - corners * torch.tensor([1, -1, -1])).abs().max() < 1e-5
    assert torch.equal(torch.tensor(read.faces), triangles)
    light = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    assert (torch.tensor(read.visual.vertex_attributes["color"]) - light).abs().max() < 1e-6


def test_the_noise_that_was_found_keeps_the_cloud_and_fresh_noise_does_not():
    made = exercises(17)["17.6"].solution.made("score_of, fresh")
    assert made["score_of"](solution("my_cloud")) < 0.004 < made["score_of"](made["fresh"])
