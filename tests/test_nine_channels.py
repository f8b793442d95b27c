"""The U-Net that inpaints, shown mask and picture in nine channels, against diffusers' pipelines."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from test_full_pipelines import NEGATIVE, PROMPT, SD15, randomised, tiny_pipeline

from minidiff import data
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError
from minidiff.guide import inpaint9
from minidiff.pipeline import StableDiffusion

MASK = np.zeros((32, 48), np.uint8)
MASK[5:24, 4:20] = 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tiny_pipeline(tmp_path_factory.mktemp("inpainting"))
    channels(folder, 9)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionInpaintPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def channels(folder, n):
    config = diffusers.UNet2DConditionModel.load_config(folder / "unet") | {"in_channels": n}
    randomised(diffusers.UNet2DConditionModel.from_config(config)).save_pretrained(folder / "unet")


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((48, 32))


def both(folder, name, image, control=None, **call):
    """Our and their final latents and pixels."""
    config, n = SD15 | {"_class_name": name}, call.get("n", 1)
    kind, parts, hint = "StableDiffusionInpaintPipeline", {}, {}
    if control is not None:
        kind = "StableDiffusionControlNetInpaintPipeline"
        parts = {"controlnet": diffusers.ControlNetModel.from_pretrained(folder / "controlnet")}
        hint = {"control_image": control, "controlnet_conditioning_scale": 0.7}
    pipe = getattr(diffusers, kind).from_pretrained(folder, **parts, safety_checker=None)
    pipe.scheduler = getattr(diffusers, name).from_config(config)
    pipe.set_progress_bar_config(disable=True)
    theirs = []
    for output in ("latent", "np"):
        generators = [torch.Generator().manual_seed(7 + i) for i in range(n)]
        theirs.append(pipe(
            [PROMPT] * n, image=[image] * n, mask_image=Image.fromarray(MASK), height=32, width=48,
            negative_prompt=[NEGATIVE] * n, num_inference_steps=5, strength=call["strength"],
            guidance_scale=call["guidance"], generator=generators, output_type=output, **hint,
        ).images)  # fmt: skip
    ours = StableDiffusion.from_diffusers(folder, device="cpu")
    ours.scheduler_config = config
    if control is not None:
        hint = {"control": (ControlNet.from_diffusers(folder / "controlnet"), control, 0.7)}
    trace = ours([PROMPT] * n, NEGATIVE, steps=5, guidance=call["guidance"], strength=call["strength"], seed=7,
        image=image, mask=Image.fromarray(MASK), trace=True, progress=False,
        **({} if control is None else hint),
    )  # fmt: skip
    latents, pictures = theirs
    assert (trace.states[-1] - latents).abs().max() <= 2e-4 * latents.abs().max()
    for mine, other in zip(trace.images, pictures, strict=True):
        difference = np.abs(np.asarray(mine).astype(int) - (other * 255).round().astype(int))
        assert difference[MASK > 0].max() <= 1
        assert (np.asarray(mine)[MASK == 0] == np.asarray(image)[MASK == 0]).all()  # ours are the image's own
    return latents


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("strength", [0.7, 1.0])
def test_it_draws_as_diffusers(folder, image, name, strength):
    both(folder, name, image, strength=strength, guidance=4.0)


def test_without_guidance_for_two_pictures_and_from_noise_by_plms(folder, image):
    both(folder, "DDIMScheduler", image, strength=1.0, guidance=1.0, n=2)
    both(folder, "DDIMScheduler", image, strength=0.7, guidance=4.0, n=2)
    both(folder, "PNDMScheduler", image, strength=1.0, guidance=4.0)


def test_with_control(folder, image):
    plain = both(folder, "DDIMScheduler", image, strength=1.0, guidance=4.0)
    steered = both(folder, "DDIMScheduler", image, control=image, strength=1.0, guidance=4.0)
    assert (plain - steered).abs().max() > 1e-3


def test_the_net_is_shown_state_mask_and_picture_in_this_order():
    shown = []
    x, mask, masked = torch.randn(4, 4, 3, 5), torch.rand(1, 1, 3, 5), torch.randn(2, 4, 3, 5)
    inpaint9(lambda *args: shown.extend(args), mask, masked)(x, 7, "context", "residuals")
    assert shown[1:] == [7, "context", "residuals"]
    assert torch.equal(shown[0][:, :4], x)
    assert torch.equal(shown[0][:, 4:5], mask.expand(4, 1, 3, 5))
    assert torch.equal(shown[0][:, 5:], torch.cat([masked, masked]))  # both halves of [uncond, cond]


def test_margins_are_drawn_from_noise_and_the_picture_is_kept(folder, image):
    pipe = StableDiffusion.from_diffusers(folder, device="cpu")
    picture = pipe(PROMPT, image=image, margins=(8, 0, 0, 8), steps=2, progress=False)[0]
    assert picture.size == (56, 40)
    assert (np.asarray(picture)[:32, 8:] == np.asarray(image)).all()


def test_it_says_what_to_give(folder, image):
    pipe = StableDiffusion.from_diffusers(folder, device="cpu")
    for given in ({}, {"image": image}):
        with pytest.raises(ValueError, match="only inpaints: give image= and mask=, or margins="):
            pipe(PROMPT, progress=False, **given)


def test_diffusers_reads_what_ours_writes(folder, tmp_path):
    StableDiffusion.from_diffusers(folder, device="cpu").to_diffusers(tmp_path)
    assert type(diffusers.DiffusionPipeline.from_pretrained(tmp_path)).__name__ == "StableDiffusionInpaintPipeline"
    assert StableDiffusion.from_diffusers(tmp_path, device="cpu").inpaints


@pytest.mark.parametrize("n", [5, 8])
def test_other_numbers_of_channels_are_refused_by_name(folder, tmp_path, n):
    other = shutil.copytree(folder, tmp_path / "other")
    channels(other, n)
    with pytest.raises(WeightsError, match=f"in_channels = {n}, expected the VAE's 4, or 9 for inpainting"):
        StableDiffusion.from_diffusers(other)
