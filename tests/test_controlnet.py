"""ControlNet steers our U-Net as diffusers' steers theirs; new, it changes nothing."""

import dataclasses

import numpy as np
import oracle
import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets import MultiControlNetModel
from PIL import Image

from minidiff.controlnet import ControlNet, edges
from minidiff.convert import their_name
from minidiff.denoise import EPS, denoiser
from minidiff.guide import cfg, controlled
from minidiff.schedule import Discrete, linear_betas
from minidiff.unet import UNet, UNetConfig

SMALL = UNetConfig(
    sample_size=8, block_out_channels=(16, 32), attention=(False, True), heads=(1, 4), cross_attention_dim=24,
    norm_num_groups=8,
)  # fmt: skip


def pairs(seed=0):
    """((our U-Net, our ControlNet), (theirs))."""
    ours, theirs = [], []
    for cls, options in (oracle.SMALL["U-Net"], oracle.SMALL["ControlNet"]):
        theirs.append(oracle.randomised(oracle.build_theirs(cls, options), seed))
        ours.append(oracle.build_ours(cls, options, theirs[-1]))
    return ours, theirs


def batch():
    inputs = oracle.inputs(*oracle.SMALL["ControlNet"])
    return inputs["x"], inputs["t"], inputs["context"], inputs["hint"]


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_a_controlled_unet_computes_what_diffusers_does(scale):
    (unet, controlnet), (their_unet, their_controlnet) = pairs()
    x, t, context, hint = batch()
    down, middle = their_controlnet(x, t, context, hint, conditioning_scale=scale, return_dict=False)
    expected = their_unet(
        x, t, context, down_block_additional_residuals=down, mid_block_additional_residual=middle
    ).sample
    assert oracle.error(controlled(unet, controlnet, hint, scale)(x, t, context), expected) <= 5e-5
    assert oracle.error(unet(x, t, context), expected) > 0.01


@torch.no_grad()
def test_two_add_up_as_in_diffusers():
    (unet, first), (their_unet, their_first) = pairs()
    (_, second), (_, their_second) = pairs(seed=1)
    x, t, context, hint = batch()
    both = MultiControlNetModel([their_first, their_second])
    down, middle = both(x, t, context, [hint, -hint], [0.4, 0.8], return_dict=False)
    expected = their_unet(
        x, t, context, down_block_additional_residuals=down, mid_block_additional_residual=middle
    ).sample
    net = controlled(controlled(unet, first, hint, 0.4), second, -hint, 0.8)
    assert oracle.error(net(x, t, context), expected) <= 5e-5


@torch.no_grad()
@pytest.mark.parametrize("hints", [1, 2])
def test_guidance_steers_both_halves(hints):
    (unet, controlnet), _ = pairs()
    x, _, context, hint = batch()
    hint, uncond, schedule = hint[:hints], -context[:1], Discrete(linear_betas(1000))
    denoise = denoiser(controlled(unet, controlnet, hint), schedule, EPS)
    guided = cfg(denoise, context, uncond, 3.0)(x, 500)
    for i in range(2):
        alone = denoiser(controlled(unet, controlnet, hint[i % hints :][:1]), schedule, EPS)
        a, b = (alone(x[i : i + 1], 500, c) for c in (uncond, context[i : i + 1]))
        assert oracle.error(guided[i : i + 1], a + 3 * (b - a)) <= 5e-5


@torch.no_grad()
def test_a_new_one_is_the_encoder_and_changes_nothing():
    unet = oracle.randomised(UNet(SMALL))
    controlnet = ControlNet.from_unet(unet, conditioning_embedding_out_channels=(4, 8)).eval()
    own, theirs = controlnet.state_dict(), unet.state_dict()
    assert own.keys() - theirs.keys() == {name for name in own if name.startswith("controlnet_")}
    assert all(torch.equal(own[name], theirs[name]) for name in own.keys() & theirs.keys())
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([1.0, 900.0]), torch.randn(2, 5, 24)
    net = controlled(unet, controlnet, torch.randn(1, 3, 16, 16))
    assert torch.equal(net(x, t, context), unet(x, t, context))

    for parameter in controlnet.parameters():  # a copy: what it learns, the U-Net does not
        parameter += 1
    assert not torch.equal(controlnet.conv_in.weight, unet.conv_in.weight)


def test_from_unet_is_diffusers_from_unet():
    theirs = oracle.randomised(oracle.build_theirs(*oracle.SMALL["U-Net"]))
    ours = ControlNet.from_unet(oracle.build_ours(*oracle.SMALL["U-Net"], theirs))
    expected = ControlNetModel.from_unet(theirs).state_dict()
    got = {their_name(name): tensor for name, tensor in ours.state_dict().items()}
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensor.shape == got[name].shape
        assert torch.equal(tensor, got[name]) or name.startswith("controlnet_cond_embedding")


def test_zero_convolutions_learn():
    """The first step moves them alone, the second the copied encoder too; the U-Net is not trained."""
    unet = oracle.randomised(UNet(SMALL)).requires_grad_(False)
    controlnet = ControlNet.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    x, context, target = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 24), torch.randn(2, 4, 8, 8)
    net = controlled(unet, controlnet, torch.randn(2, 3, 16, 16))
    optimiser = torch.optim.SGD(controlnet.parameters(), lr=0.01)
    moved = []
    for _ in range(3):
        optimiser.zero_grad()
        (net(x, torch.tensor([1, 900]), context) - target).square().mean().backward()
        optimiser.step()
        moved.append({name for name, p in controlnet.named_parameters() if p.grad.any()})
    zero = ("controlnet_down_blocks", "controlnet_mid_block")
    assert moved[0] == {name for name, _ in controlnet.named_parameters() if name.startswith(zero)}
    assert "conv_in.weight" in moved[1] and "controlnet_cond_embedding.conv_out.weight" in moved[1]
    assert moved[2] == {name for name, _ in controlnet.named_parameters()}


def test_errors_say_what_was_expected():
    unet = UNet(SMALL)
    controlnet = ControlNet.from_unet(unet)
    x, t, context = torch.zeros(4, 4, 8, 8), torch.zeros(4), torch.zeros(4, 5, 24)
    with pytest.raises(ValueError, match="got 3 hints for a batch of 4: give one, or one for each picture"):
        controlled(unet, controlnet, torch.zeros(3, 3, 64, 64))(x, t, context)
    with pytest.raises(ValueError, match=r"the hint is \(64, 32\) high and wide, expected \(64, 64\)"):
        controlled(unet, controlnet, torch.zeros(1, 3, 64, 32))(x, t, context)
    with pytest.raises(ValueError):  # residuals of another U-Net
        unet(x, t, context, residuals=[torch.zeros(())] * 3)


def test_the_config_is_that_of_the_unet():
    controlnet = ControlNet.from_unet(UNet(SMALL), conditioning_channels=1)
    same = {field.name for field in dataclasses.fields(UNetConfig)}
    assert {name: getattr(controlnet.config, name) for name in same} == dataclasses.asdict(SMALL)
    assert controlnet.config.conditioning_channels == 1


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_edges_of_any_picture_are_a_hint(mode):
    picture = Image.new("RGB", (40, 32), "white")
    picture.paste("navy", (10, 8, 30, 24))
    hint = np.asarray(edges(picture.convert(mode)))
    assert hint.shape == (32, 40, 3) and set(np.unique(hint)) == {0, 255}
    ys, xs = np.nonzero(hint[..., 0] == 0)
    inside = (xs > 11) & (xs < 28) & (ys > 9) & (ys < 22)
    assert len(xs) > 50 and not inside.any() and xs.min() >= 9 and xs.max() <= 30 and ys.min() >= 7 and ys.max() <= 24
