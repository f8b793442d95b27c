"""What each model is shown, and what its loss and measures are."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from minidiff import data
from minidiff.clip import CLIP, CLIPConfig, CLIPText, TextConfig, VisionConfig
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError
from minidiff.data import SMALL, parse, scene
from minidiff.judge import Judge, edges, labels
from minidiff.show import to_tensor
from minidiff.tokenizer import Tokenizer
from minidiff.train import Settings, accelerator, objectives, training_loop
from minidiff.train.decoder import DecoderObjective
from minidiff.train.objectives import (
    HINTS,
    CLIPObjective,
    ControlNetObjective,
    JudgeObjective,
    TextUNetObjective,
    UNetObjective,
    VAEObjective,
)
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, TinyDecoder, TinyDecoderConfig, VAEConfig


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(data.WORDS)


def rng():
    return torch.Generator().manual_seed(0)


def test_vae_sees_crops_and_then_whole_pictures():
    objective = VAEObjective(VAE(), whole=64)
    crops = objective.batch(torch.arange(8))["x"]
    assert crops.shape == (8, 3, 64, 64)
    whole = data.batch([scene(i) for i in range(8)])
    for crop, picture in zip(crops, whole, strict=True):
        windows = picture.unfold(1, 64, 1).unfold(2, 64, 1)  #  every place it could have come from
        assert (windows == crop[:, None, None]).all(-1).all(-1).all(0).any()
    assert objective.batch(torch.arange(64, 72))["x"].shape == (2, 3, 128, 128)


def test_vae_loss_is_error_plus_weighted_kl():
    vae, x = VAE(), data.batch([scene(0)])
    losses = [VAEObjective(vae, 0, kl)(rng(), x=x).item() for kl in (0.0, 1.0)]
    q = vae.encode(x)
    error = x - vae.decode(q.sample(rng()))
    assert losses[0] == pytest.approx((error.abs().mean() + error.square().mean()).item(), rel=1e-5)
    assert losses[1] - losses[0] == pytest.approx(q.kl().item() / (4 * 16 * 16), rel=1e-3)


def test_clip_is_shown_hard_negatives(tokenizer):
    pair, single = data.Scene(parse("fox above rocket on green"), 1), data.Scene(parse("fox at left on green"), 1)
    objective = CLIPObjective(CLIP(), tokenizer)
    assert objective.swapped(pair) == "fox below rocket on green" and objective.swapped(single) == ""
    assert objective.renamed(single, "owl") == "owl at left on green"
    assert {objective.renamed(replace(pair, seed=seed), "owl") for seed in range(4)} == {
        "owl above rocket on green", "fox above owl on green",
    }  # fmt: skip
    assert objective.hard_negative(pair, pair.caption) == "fox below rocket on green", "odd seeds: the relation"
    assert objective.hard_negative(pair, "fox on green") == "", "its caption has lost its relation"
    for scene_ in (single, replace(pair, seed=2)):
        wrong, right = parse(objective.hard_negative(scene_, scene_.caption)), scene_.spec
        assert replace(wrong, objects=right.objects) == right
        assert sum(a != b for a, b in zip(wrong.objects, right.objects, strict=True)) == 1, "one other object"

    batch = objective.batch(torch.arange(64))
    for i in range(64):
        own = scene(i).noisy_caption()
        ids = tokenizer(own)[0]
        assert (batch["ids"][i] == ids[: batch["ids"].shape[1]]).all()
        assert ids.argmax() < batch["ids"].shape[1] < len(ids), "to the end of the longest"
        wrong = objective.hard_negative(scene(i), own)
        assert batch["mask"][i] == bool(wrong)
        assert not wrong or (batch["wrong"][i] == tokenizer(wrong)[0, : batch["ids"].shape[1]]).all()
    assert batch["mask"].any() and not batch["mask"].all()


def test_clip_is_shown_scenes_that_differ_in_their_objects_alone(tokenizer):
    objective, starts = CLIPObjective(CLIP(), tokenizer), range(0, 800, 8)
    shown = [objective.batch(torch.arange(start, start + 8)) for start in starts]
    own = [tokenizer([scene(i).noisy_caption() for i in range(start, start + 8)]) for start in starts]
    as_they_are = [torch.equal(b["ids"], ids[:, : b["ids"].shape[1]]) for b, ids in zip(shown, own, strict=True)]
    assert 30 < sum(as_they_are) < 70, "every second batch"

    for like in ("sketch of fox at left on green", "fox above cat in snow"):
        scenes = [data.Scene(parse(like), 0), *(scene(i) for i in range(1, 64))]
        varied = objective.vary_objects(scenes, np.random.RandomState(0))
        told = [a.spec for a, s in zip(varied, scenes, strict=True) if a != s]
        assert len(told) > 50 and not any(spec.held_out for spec in told)
        assert len({tuple(labels(spec)) for spec in told}) == len(told), "no two pictures show the same"
        assert len({(spec.style, spec.size, spec.place) for spec in told}) == 1
        names = {name for spec in told for name in spec.objects}
        assert len(names) == len(told) if len(told[0].objects) == 1 else len(names) <= 7, "few, in every order"
        assert [a.seed for a in varied] == [s.seed for s in scenes], "another picture each"


def test_clip_leaves_a_locked_text_encoder_as_it_is(tokenizer):
    objective = CLIPObjective(CLIP(), tokenizer, lock_text=True)
    before = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    for _ in training_loop(objective, Settings(steps=2, batch=4, lr=1e-2, warmup=1), accelerator("cpu")):
        pass
    moved = {name for name, tensor in objective.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert "text_projection.weight" in moved and any(name.startswith("vision_model") for name in moved)
    assert not any(name.startswith("text_model") for name in moved)


@pytest.mark.slow
def test_clip_looks_at_captions_objects_and_relations(tokenizer):
    torch.manual_seed(0)
    size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    clip = CLIP(CLIPConfig(TextConfig(**size), VisionConfig(**size), projection_dim=8)).eval()
    with torch.no_grad():
        picture, measures = CLIPObjective(clip, tokenizer).evaluate()
    assert picture is None
    assert measures["right_of_256_captions"] < 0.1 and measures["right_of_128_objects"] < 0.1, "it has learned nothing"
    assert 0.2 < measures["relation_told_from_swapped"] < 0.8, "a coin"


def test_clip_loss_reaches_every_parameter(tokenizer):
    objective = CLIPObjective(CLIP(), tokenizer)
    batch = objective.batch(torch.arange(8))
    loss = objective(rng(), **batch)
    assert 1 < loss.item() < 5 and loss.requires_grad
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.model.parameters())


@pytest.fixture
def unet_objective(tokenizer, tmp_path):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(block_out_channels=(16, 32), attention=(False, True), heads=(2, 2), norm_num_groups=16))
    vae, cache = VAE(VAEConfig(block_out_channels=(8, 8, 8, 8), norm_num_groups=4)), tmp_path / "latents.safetensors"
    objective = UNetObjective(unet, vae.eval(), CLIPText().eval(), tokenizer, 20, SMALL, cache)
    objective.prepare()
    return objective


def test_unet_learns_from_the_latents_of_the_scenes(unet_objective, tokenizer):
    latents, ids = unet_objective.latents, unet_objective.ids
    assert latents.shape == (20, 4, 16, 16) and latents.dtype == torch.float16
    x = data.batch([scene(i, SMALL) for i in range(20)])
    with torch.no_grad():
        expected = unet_objective.vae.encode(x).mean * unet_objective.vae.config.scaling_factor
    assert (latents - expected).abs().max() < 2e-3 * expected.abs().max()
    assert (ids == tokenizer([scene(i, SMALL).noisy_caption(SMALL) for i in range(20)])).all()


def test_latents_of_another_world_are_not_taken_from_the_cache(unet_objective):
    first = unet_objective.latents
    unet_objective.prepare()
    assert (unet_objective.latents == first).all()
    for change in ({"style": 1.0}, {"size": 1.0}, {"position": 1.0}, {"noise": 0.5}, {"pair": 1.0}):
        unet_objective.world = replace(SMALL, **change)
        unet_objective.prepare()
        expected = [scene(i, unet_objective.world).noisy_caption(unet_objective.world) for i in range(20)]
        assert (unet_objective.ids == unet_objective.tokenizer(expected)).all(), change


def test_the_text_encoder_learns_along_with_the_unet(unet_objective):
    frozen = unet_objective.text
    objective = TextUNetObjective(unet_objective.model, unet_objective.vae, frozen, unet_objective.tokenizer, 20, SMALL)
    objective.latents, objective.ids = unet_objective.latents, unet_objective.ids
    batch = objective.batch(torch.arange(4))
    assert objective(rng(), **batch).item() == pytest.approx(unet_objective(rng(), **batch).item(), abs=1e-6)
    assert objective.result is unet_objective.model
    before = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    for _ in training_loop(objective, Settings(steps=2, batch=4, lr=1e-3, warmup=1), accelerator("cpu")):
        pass
    moved = {name for name, tensor in objective.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == {"unet", "text"}
    assert torch.equal(objective.pipeline(objective.result).text.token_embedding.weight, frozen.token_embedding.weight)


def test_latents_are_kept_and_made_again_when_the_vae_changes(unet_objective):
    first = unet_objective.latents
    made = unet_objective.cache.stat().st_mtime_ns
    again, _ = unet_objective.encode()
    assert (first == again).all() and unet_objective.cache.stat().st_mtime_ns == made
    with torch.no_grad():
        unet_objective.vae.quant_conv.weight.mul_(1.1)
    other, _ = unet_objective.encode()
    assert (first != other).any() and unet_objective.cache.stat().st_mtime_ns > made


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None], ids=["empty", "no safetensors", "cut off"])
def test_a_damaged_cache_is_made_anew(unet_objective, damage):
    first, cache = unet_objective.latents, unet_objective.cache
    whole = cache.read_bytes()
    cache.write_bytes(whole[:-100] if damage is None else damage)
    unet_objective.prepare()
    assert (unet_objective.latents == first).all() and (load_file(cache)["latents"] == first).all()


def test_a_cache_that_cannot_be_written_is_one_line(unet_objective, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"x")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    whole, unet_objective.world = unet_objective.cache.read_bytes(), replace(SMALL, style=1.0)
    monkeypatch.setattr("minidiff.train.objectives.save_file", full)
    with pytest.raises(WeightsError, match=r"cannot be written \(I/O error: No space left .*: make room there"):
        unet_objective.prepare()
    assert unet_objective.cache.read_bytes() == whole and len(list(unet_objective.cache.parent.iterdir())) == 1


def test_one_caption_in_ten_is_left_empty(unet_objective, tokenizer):
    empty = tokenizer("")[0]
    ids = torch.cat([unet_objective.batch(torch.arange(i * 100, i * 100 + 100))["ids"] for i in range(40)])
    share = (ids == empty).all(1).float().mean().item()
    assert abs(share - 0.1) < 3 * (0.1 * 0.9 / 4000) ** 0.5, "three standard errors"


def test_strong_noise_is_drawn_more_often(unet_objective):
    t = unet_objective.times(100_000, rng(), torch.device("cpu"))
    assert t.dtype == torch.int64 and t.min() == 1 and t.max() == 1000
    shares = torch.histc(t.float(), 10, 0.5, 1000.5) / len(t)
    expected = torch.tensor([0.03] * 3 + [0.13] * 7)
    assert (shares - expected).abs().max() < 0.004, "3 in 10 anywhere, 7 in 10 above 300"


def test_unet_loss_trains_the_unet_alone(unet_objective):
    loss = unet_objective(rng(), **unet_objective.batch(torch.arange(4)))
    loss.backward()
    assert all(p.grad is not None for p in unet_objective.model.parameters())
    assert all(p.grad is None for p in (*unet_objective.text.parameters(), *unet_objective.vae.parameters()))


def test_the_loop_prepares_and_trains_it(unet_objective):
    unet_objective.cache = None  #  so that latents are made in the loop's own precision
    before = unet_objective.latents
    (step,) = training_loop(unet_objective, Settings(steps=1, batch=4, lr=1e-3, warmup=1), accelerator("cpu"))
    assert math.isfinite(step.loss) and step.loss > 0
    assert unet_objective.latents.dtype == torch.float16
    assert (unet_objective.latents - before).abs().max() < 0.05 * before.abs().max()


@pytest.fixture
def controlnet_objective(unet_objective, tokenizer):
    unet, of = unet_objective.model.eval(), unet_objective
    controlnet = ControlNet.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    objective = ControlNetObjective(controlnet, unet, "lines", of.vae, of.text, tokenizer, 20, SMALL, of.cache)
    objective.prepare()
    return objective


def test_hints_belong_to_the_scenes():
    scenes = [data.Scene(parse("fox on blue"), seed) for seed in (1, 2)]
    lines, canny = (np.asarray(HINTS["lines"](scene).convert("L")) for scene in scenes)
    assert (lines == scenes[0].lines).all(), "odd seeds: line art"
    assert ((canny == 0) == edges(scenes[1].image)).all(), "even seeds: the picture's edges"
    boxes = np.asarray(HINTS["boxes"](scenes[0]).convert("L"))
    left, top, right, bottom = scenes[0].boxes[0]
    assert (boxes[top, left:right] == 0).all() and (boxes[top:bottom, right - 1] == 0).all()
    assert boxes[top + 2 : bottom - 2, left + 2 : right - 2].min() == 255 == boxes[: top - 1].min()


def test_controlnet_sees_its_scenes_hints_and_half_of_the_captions(controlnet_objective, tokenizer):
    indices = torch.arange(400)
    batch = controlnet_objective.batch(indices)
    rows, _ = controlnet_objective.rows(indices)
    for i in range(4):
        shown = HINTS["lines"](scene(int(rows[i]), SMALL))
        assert (batch["hint"][i] * 2 - 1 - to_tensor([shown])[0]).abs().max() < 1e-6
        assert (batch["x0"][i] == controlnet_objective.latents[rows[i]]).all()
    empty = (batch["ids"] == tokenizer("")[0]).all(1).float().mean().item()
    assert abs(empty - 0.5) < 3 * (0.25 / 400) ** 0.5, "three standard errors"


def test_controlnet_begins_as_the_unet_and_learns_alone(controlnet_objective):
    unet = controlnet_objective.unet
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    batch = controlnet_objective.batch(torch.arange(4))
    plain = controlnet_objective.loss(unet, rng(), batch["x0"], batch["ids"])
    assert controlnet_objective(rng(), **batch).item() == plain.item(), "zero convolutions"
    list(training_loop(controlnet_objective, Settings(steps=3, batch=4, lr=1e-2, warmup=1), accelerator("cpu")))
    assert controlnet_objective(rng(), **batch).item() != plain.item()
    assert all((tensor == before[name]).all() for name, tensor in unet.state_dict().items()), "bit for bit"


def test_controlnet_is_measured_with_and_without_control(controlnet_objective, monkeypatch):
    controlnet_objective.judge, whole = Judge().eval(), objectives.scenes
    monkeypatch.setattr(objectives, "scenes", lambda indices, world: whole(indices[:12], world))  # of 64, to save time
    with torch.no_grad():
        picture, measures = controlnet_objective.evaluate()
    names = {"edge_f1", "objects", "place", "right"}
    assert picture.width > 6 * 128 and set(measures) == names | {f"{name}_without_control" for name in names}
    assert all(measures[name] == measures[f"{name}_without_control"] for name in names), "it has learned nothing yet"


def test_the_small_decoder_learns_scenes_from_their_latents(unet_objective):
    of, decoder = unet_objective, TinyDecoder(TinyDecoderConfig(4, (8, 8, 4, 4), (1, 1, 1, 1)))
    objective = DecoderObjective(decoder, of.vae, of.text, of.tokenizer, 20, SMALL, of.cache)
    objective.prepare()
    batch, (rows, _) = objective.batch(torch.arange(4)), objective.rows(torch.arange(4))
    assert torch.equal(batch["z"], of.latents[rows].float())
    assert torch.equal(batch["x"], data.batch([scene(i, SMALL) for i in rows.tolist()]))
    loss, error = objective(rng(), **batch), batch["x"] - decoder(batch["z"])
    assert loss.item() == pytest.approx((error.abs().mean() + error.square().mean()).item(), rel=1e-6)
    loss.backward()
    assert all(p.grad.abs().max() > 0 for p in decoder.parameters())
    assert all(p.grad is None for p in (*of.vae.parameters(), *of.text.parameters()))
    with torch.no_grad():
        picture, measures = objective.evaluate()
        _, of_vae = VAEObjective(of.vae, 0).evaluate()
    assert measures["vae_psnr_db"] == of_vae["psnr_db"] and measures["psnr_db"] < 15
    assert picture.width > 6 * 128


def test_labels_hold_the_whole_caption():
    assert labels(parse("fox right of sun on blue")) == labels(parse("sun left of fox on blue"))
    assert labels(parse("fox below sun on blue")) == labels(parse("sun above fox on blue"))
    different = [
        "fox left of sun on blue", "sun left of fox on blue", "fox above sun on blue", "fox at left on blue",
        "fox on blue", "big fox on blue", "sketch of fox on blue", "fox in sea",
    ]  # fmt: skip
    assert len({tuple(labels(parse(caption))) for caption in different}) == len(different)


def test_judge_learns_and_looks():
    objective = JudgeObjective(Judge())
    batch = objective.batch(torch.arange(8))
    assert batch["y"].tolist() == [labels(scene(i).spec) for i in range(8)]
    objective(rng(), **batch).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.model.parameters())
