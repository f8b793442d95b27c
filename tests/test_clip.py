"""CLIP against transformers, its loss against closed forms."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
import transformers

from minidiff.clip import (
    CLIP,
    CLIPConfig,
    CLIPText,
    CLIPVision,
    TextConfig,
    VisionConfig,
    contrastive_loss,
)
from minidiff.convert import their_name

TEXT = TextConfig(
    hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40, vocab_size=50,
    max_position_embeddings=12, eos_token_id=49, layer_norm_eps=1e-3,
)  # fmt: skip
VISION = VisionConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=24, patch_size=8,
)  # fmt: skip
# Text 2 has its largest id before its first 49; text 3 ends at once.
IDS = torch.tensor([[48, 5, 7, 49, 49, 49, 49, 49], [48, 1, 2, 3, 4, 5, 6, 49], [48, 9, 49, 9, 49, 3, 3, 3]])


def randomised(model):
    """Every parameter random and large: at its initial 0 or 1, one in the wrong place would not show."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def renamed(model):
    return {their_name(name): tensor for name, tensor in model.state_dict().items()}


def load_theirs(theirs, ours):
    """Strictly; transformers before 5.6 has "text_model." before the names of a CLIPTextModel."""
    prefixed = isinstance(theirs, transformers.CLIPTextModel) and any("text_model." in k for k in theirs.state_dict())
    theirs.load_state_dict({f"text_model.{k}" if prefixed else k: v for k, v in renamed(ours).items()})
    return theirs.eval()


def their_text_config(config):
    return transformers.CLIPTextConfig(**dataclasses.asdict(config), bos_token_id=48, pad_token_id=49)


def their_clip_config(config):
    return transformers.CLIPConfig(**dataclasses.asdict(config))


@torch.no_grad()
@pytest.mark.parametrize("hidden_act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("eos_token_id", [2, 49, 9])
def test_text_equals_transformers(hidden_act, eos_token_id):
    config = dataclasses.replace(TEXT, hidden_act=hidden_act, eos_token_id=eos_token_id)
    ours = randomised(CLIPText(config))
    theirs = load_theirs(transformers.CLIPTextModel(their_text_config(config)), ours)
    ids = IDS if eos_token_id != 9 else IDS[2:]
    states, expected = ours(ids), theirs(ids)
    assert error(states, expected.last_hidden_state) <= 5e-5
    assert error(ours.pooled(ids, states), expected.pooler_output) <= 5e-5


@torch.no_grad()
@pytest.mark.parametrize("hidden_act", ["quick_gelu", "gelu"])
def test_clip_equals_transformers(hidden_act):
    text, vision = (dataclasses.replace(config, hidden_act=hidden_act) for config in (TEXT, VISION))
    config = CLIPConfig(text, vision, projection_dim=20)
    ours = randomised(CLIP(config))
    theirs = load_theirs(transformers.CLIPModel(their_clip_config(config)), ours)
    images = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    expected = theirs(input_ids=IDS, pixel_values=images)
    assert error(ours.encode_text(IDS), expected.text_embeds) <= 5e-5
    assert error(ours.encode_image(images), expected.image_embeds) <= 5e-5
    assert error(ours(images, IDS), expected.logits_per_image) <= 5e-5


@pytest.mark.parametrize(
    "config, count",
    [
        # SD 1.5: CLIP ViT-L/14. SD 2.1: OpenCLIP ViT-H/14, less its last layer.
        (TextConfig(768, 12, 12, 3072, vocab_size=49408, max_position_embeddings=77), 123_060_480),
        (TextConfig(1024, 23, 16, 4096, "gelu", vocab_size=49408, max_position_embeddings=77), 340_387_840),
    ],
)
def test_the_encoders_of_stable_diffusion_can_be_expressed(config, count):
    with torch.device("meta"):  # shapes without memory
        ours, theirs = CLIPText(config), transformers.CLIPTextModel(their_text_config(config))
    assert sum(p.numel() for p in ours.parameters()) == count
    shapes = {k.removeprefix("text_model."): v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in renamed(ours).items()} == shapes


def test_the_course_model_has_the_names_and_shapes_of_transformers():
    config = CLIPConfig()
    theirs = transformers.CLIPModel(their_clip_config(config))
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in renamed(CLIP(config)).items()} == shapes


def test_a_state_depends_on_no_later_token():
    model, ids = randomised(CLIPText(TEXT)), IDS[:1].repeat(2, 1)
    ids[1, 4] = 3
    states = model(ids)
    assert torch.equal(states[0, :4], states[1, :4])
    assert (states[0, 4:] != states[1, 4:]).any(-1).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="hidden_act is 'relu', expected one of quick_gelu, gelu"):
        TextConfig(hidden_act="relu")
    with pytest.raises(ValueError, match="got 13 ids, expected at most 12"):
        CLIPText(TEXT)(torch.zeros(1, 13, dtype=torch.long))
    with pytest.raises(ValueError, match=r"got pictures of shape \(3, 32, 32\), expected \(3, 24, 24\)"):
        CLIPVision(VISION)(torch.zeros(1, 3, 32, 32))


@torch.no_grad()
def test_a_new_model_is_ready_to_train():
    """States of size 1, and logits that favour nothing: the loss starts near chance, log n."""
    torch.manual_seed(0)
    model, ids, images = CLIP(), torch.randint(0, 1003, (16, 24)), torch.randn(16, 3, 128, 128)
    assert model.text_model(ids).std().item() == pytest.approx(1, abs=0.05)
    assert model.vision_model(images).std().item() == pytest.approx(1, abs=0.05)
    config, fc2 = model.config.text_config, model.text_model.layers[0].mlp.fc2
    std = (config.hidden_size * 2 * config.num_hidden_layers) ** -0.5
    assert fc2.weight.std().item() == pytest.approx(std, rel=0.05)
    loss = contrastive_loss(model.encode_image(images), model.encode_text(ids), model.scale())
    assert math.log(16) / 2 < loss.item() < 2 * math.log(16)


def test_the_temperature_stops_at_a_hundred_and_can_come_back():
    model = CLIP(CLIPConfig(TEXT, VISION, 20))
    assert model.scale().item() == pytest.approx(1 / 0.07)
    model.logit_scale.data.fill_(9.0)
    model.scale().backward()
    assert model.scale().item() == pytest.approx(100)
    assert model.logit_scale.grad.item() == pytest.approx(100)


def embeddings(n=5, dim=8):
    generator = torch.Generator().manual_seed(2)
    return [F.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=-1) for _ in range(3)]


def loss_written_out(images, texts, scale, negatives=None, mask=None):
    """Figure 3 of the paper, one number at a time."""
    n, total = len(images), 0.0
    for i in range(n):
        row = [math.exp(scale * float(images[i] @ texts[j])) for j in range(n)]
        column = [math.exp(scale * float(images[j] @ texts[i])) for j in range(n)]
        wrong = negatives is not None and (mask is None or bool(mask[i]))
        extra = math.exp(scale * float(images[i] @ negatives[i])) if wrong else 0.0
        total -= math.log(row[i] / (sum(row) + extra)) + math.log(column[i] / sum(column))
    return total / (2 * n)


@pytest.mark.parametrize("mask", [None, [True, False, True, True, False], [False] * 5])
def test_the_loss_equals_figure_3(mask):
    images, texts, negatives = embeddings()
    mask, scale = None if mask is None else torch.tensor(mask), torch.tensor(7.0, dtype=torch.float64)
    plain = contrastive_loss(images, texts, scale)
    assert plain.item() == pytest.approx(loss_written_out(images, texts, 7.0), rel=1e-12)
    hard = contrastive_loss(images, texts, scale, negatives, mask)
    assert hard.item() == pytest.approx(loss_written_out(images, texts, 7.0, negatives, mask), rel=1e-12)
    assert (hard == plain) if mask is not None and not mask.any() else (hard > plain)


def test_the_loss_in_closed_form():
    """Orthonormal pairs: each choice has one right answer at `scale` and n - 1 at 0. Identical ones: chance, log n."""
    scale, eye = torch.tensor(3.0, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    assert contrastive_loss(eye, eye, scale).item() == pytest.approx(math.log(1 + 5 * math.exp(-3)), rel=1e-12)
    same = torch.ones(6, 1, dtype=torch.float64)
    assert contrastive_loss(same, same, scale).item() == pytest.approx(math.log(6), rel=1e-12)


def test_a_masked_negative_has_no_gradient():
    images, texts, negatives = (x.requires_grad_() for x in embeddings())
    mask = torch.tensor([True, False, True, False, True])
    contrastive_loss(images, texts, torch.tensor(7.0), negatives, mask).backward()
    assert (negatives.grad[~mask] == 0).all() and (negatives.grad[mask] != 0).all()
    assert images.grad.isfinite().all()
