"""The measures: each against a closed form, or on pictures whose faults are known."""

import numpy as np
import pytest
import torch

from minidiff import data, judge
from minidiff.data import EVAL_SEED, Scene, parse
from minidiff.judge import (
    Judge,
    adherence,
    attention_iou,
    edge_f1,
    edge_map,
    frechet,
    interval,
    labels,
    measure,
    prompts,
    read,
    table,
)
from minidiff.show import to_pil
from minidiff.vae import VAE


def test_adherence_counts_what_is_right():
    specs = [
        parse(c) for c in ("fox left of sun on blue", "sun left of fox on blue", "fox on blue", "owl at top in sea")
    ]

    def answers(*captions):
        return torch.tensor([labels(parse(caption)) for caption in captions])

    perfect = adherence(answers(*map(str, specs)), specs)
    assert set(perfect.values()) == {1.0}
    # the first pair in the wrong order, another object, another place
    wrong = answers("sun left of fox on blue", "sun left of fox on blue", "cat on blue", "owl at top in snow")
    measured = adherence(wrong, specs)
    assert measured["objects"] == 0.75 and measured["place"] == 0.75
    assert measured["both"] == 0.5 and measured["right"] == 0.25
    assert measured["layout"] == measured["style"] == 1.0


def test_frechet_distance_of_gaussians_has_a_closed_form():
    torch.manual_seed(0)
    a = torch.randn(200_000, 3) * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([1.0, 0.0, 0.0])
    b = torch.randn(200_000, 3) * torch.tensor([3.0, 2.0, 1.0]) + torch.tensor([0.0, 2.0, 0.0])
    # independent components: (mu_a - mu_b)^2 + (s_a - s_b)^2, summed
    assert frechet(a, b) == pytest.approx(5 + 4 + 0.25, rel=0.02)
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    assert frechet(a @ turn, b @ turn) == pytest.approx(frechet(a, b), rel=1e-6), "it knows no axes"
    assert frechet(a, a) == pytest.approx(0, abs=1e-6) and frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-6)
    few = torch.randn(20, 64)
    assert np.isfinite(frechet(few, few + 1)), "fewer pictures than features"


def test_edges_are_found_within_one_pixel():
    box = np.zeros((128, 128, 3), np.uint8)
    box[40:80, 40:80] = 255
    lines = edge_map(box)
    assert lines.any() and not lines[:36].any() and not lines[45:75, 45:75].any()
    assert edge_f1(lines, lines) == 1
    assert edge_f1(np.roll(lines, 1, 0), lines) == 1
    assert edge_f1(np.roll(lines, 4, (0, 1)), lines) < 0.2
    nothing = np.zeros_like(lines)
    assert edge_f1(nothing, nothing) == 1 and edge_f1(lines, nothing) == edge_f1(nothing, lines) == 0
    half = lines.copy()
    half[60:] = False
    precision, recall = 1, edge_f1(half, lines) / (2 - edge_f1(half, lines))  #  F1 = 2 r / (1 + r) at precision 1
    assert precision == 1 and 0.4 < recall < 0.6


def test_attention_iou_of_a_map_that_shows_the_mask_and_of_one_that_does_not():
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[16:48, 8:40] = True
    shows = torch.nn.functional.avg_pool2d(mask[None].float(), 8).flatten()  #  (8 * 8,)
    assert attention_iou(shows, mask) > 0.95, "but for its corners"
    assert attention_iou(-shows, mask) == 0
    a, g = mask.float().mean().item(), torch.Generator().manual_seed(0)
    chance = np.mean([attention_iou(torch.rand(64 * 64, generator=g), mask) for _ in range(50)])
    assert abs(chance - a / (2 - a)) < 0.01


def test_prompts_are_of_their_kind_and_twins_differ_in_objects_alone():
    kinds = prompts(50, seed=3)
    assert all(len(s.spec.objects) == 1 for s in kinds["one object"])
    assert all(len(s.spec.objects) == 2 for s in kinds["two objects"])
    for kind, scenes in kinds.items():
        assert all(s.spec.held_out == (kind == "held-out") and s.seed >= EVAL_SEED for s in scenes)
    for a, b in zip(kinds["held-out"], kinds["seen twins"], strict=True):
        assert (a.spec.style, a.spec.place, a.spec.where, a.spec.size) == (
            b.spec.style,
            b.spec.place,
            b.spec.where,
            b.spec.size,
        )
        assert len(a.spec.objects) == len(b.spec.objects)
    again = prompts(50, seed=3)
    assert [s.caption for s in kinds["held-out"]] == [s.caption for s in again["held-out"]]
    assert [s.caption for s in kinds["one object"]] != [s.caption for s in prompts(50, seed=4)["one object"]]


class Renderer:
    """A pipeline that knows how scenes are drawn; `fault` changes what it reads."""

    device, vae = torch.device("cpu"), VAE().eval()

    def __init__(self, fault=lambda caption, guidance: caption):
        self.fault = fault

    def __call__(self, captions, seed, progress, guidance=4.0, **options):
        specs = [parse(self.fault(caption, guidance)) for caption in captions]
        scenes = [Scene(spec, EVAL_SEED + i) for spec, i in zip(specs, seed, strict=True)]
        return to_pil(data.batch(scenes))


@pytest.fixture(scope="module")
def shipped():
    from minidiff.convert import load
    from minidiff.pipeline import WEIGHTS

    return load(Judge, WEIGHTS / "judge.safetensors")


@pytest.mark.slow
def test_perfect_pictures_get_what_real_scenes_get(shipped):
    for name, _, drawn, _, real in measure(Renderer(), shipped, 20)[2:]:
        assert drawn == (pytest.approx(real, abs=1e-6) if real is not None else 0), name


@pytest.mark.slow
def test_the_table_shows_the_fault(shipped):
    def blind(caption, guidance):  #  no place, and without guidance no relation
        spec = parse(caption)
        where = "above" if len(spec.objects) == 2 and guidance == 1 else spec.where
        return str(judge.replace(spec, place="on gray", where=where))

    rows = {name: (drawn, real) for name, _, drawn, _, real in measure(Renderer(blind), shipped, 40)}
    assert rows["one object: the right place, %"][0] < 25 < 95 < rows["one object: the right place, %"][1]
    assert rows["one object: the right position, %"][0] > 80
    assert rows["two objects: points lost at guidance 1"][0] > 50
    drawn, real = rows["Fréchet distance to other real scenes"]
    assert drawn > 1.1 * real, "80 pictures are few: most of either distance is chance"
    text = table([("a, %", "at least 1", 80.0, None, 100.0), ("b, dB", "", None, 2.0, None)], 10)
    assert text.splitlines()[-2:] == [
        "| a, % | at least 1 | 80.0 (49.0 to 94.3) |  | 100.0 (72.2 to 100.0) |",  # Wilson's, as tables give it
        "| b, dB |  |  | 2.0 |  |",
    ]


def test_an_interval_holds_the_truth_as_often_as_it_says():
    n, share = 200, 0.95
    counted = np.random.RandomState(0).binomial(n, share, 4000) / n
    held = [low <= share <= high for low, high in (interval(p, n) for p in counted)]
    assert 0.93 < np.mean(held) < 0.98


def test_the_judge_reads_real_scenes_and_held_out_ones_as_well(shipped):
    shown, right = prompts(500, 0), {}
    for kind in ("seen twins", "held-out"):
        features, answers = read(shipped, data.batch(shown[kind]))
        assert features.shape == (500, 128) and answers.shape == (500, 6)
        measured = adherence(answers, [s.spec for s in shown[kind]])
        assert min(measured[name] for name in ("objects", "layout", "place", "style")) >= 0.95, measured
        right[kind] = measured["right"]
    assert right["held-out"] > right["seen twins"] - 0.02
