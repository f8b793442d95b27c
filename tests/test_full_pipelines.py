"""Whole pipelines against diffusers' own, on a tiny random Stable Diffusion that diffusers wrote."""

import json
import shutil
import warnings

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from minidiff import data, sample
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError
from minidiff.pipeline import StableDiffusion
from minidiff.tokenizer import Tokenizer

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()

SD15 = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
    steps_offset=1, timestep_spacing="leading", skip_prk_steps=True,
)  # fmt: skip
PROMPT, NEGATIVE = "fox above rocket on green", "cat in snow"


def randomised(model):
    """Every parameter random, so large that a mistake anywhere shows."""
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        spread = 0.3 if p.ndim == 1 else p[0].numel() ** -0.5
        p.data = noise * spread + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("stable-diffusion"))


def tiny_pipeline(folder):
    """`folder`, with a random Stable Diffusion and ControlNet in it, as diffusers writes them."""
    Tokenizer.train(data.WORDS).save(folder / "tokens")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokens")
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=24, eos_token_id=2, bos_token_id=0, pad_token_id=1,
    ))  # fmt: skip
    blocks = dict(
        block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), layers_per_block=1,
        cross_attention_dim=32, attention_head_dim=4, norm_num_groups=16,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(sample_size=16, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **blocks)
    controlnet = diffusers.ControlNetModel(conditioning_embedding_out_channels=(8, 16), **blocks)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=8, scaling_factor=0.5,
    )  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        randomised(vae), randomised(text), tokenizer, randomised(unet), diffusers.DDIMScheduler(**{
            key: value for key, value in SD15.items() if key != "skip_prk_steps"
        }), None, None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    randomised(controlnet).save_pretrained(folder / "controlnet")
    return folder


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((32, 32))


def theirs(kind, folder, scheduler, call):
    """(final latents, pixels) of diffusers' pipeline `kind` with `scheduler`."""
    parts = (
        {"controlnet": diffusers.ControlNetModel.from_pretrained(folder / "controlnet")} if "Control" in kind else {}
    )
    pipe = getattr(diffusers, kind).from_pretrained(folder, **parts, safety_checker=None)
    pipe.scheduler = scheduler
    pipe.set_progress_bar_config(disable=True)
    out = []
    for output in ("latent", "np"):
        out.append(pipe(PROMPT, negative_prompt=NEGATIVE, output_type=output, **call()).images)
    return out


def ours(folder, config, call):
    pipe = StableDiffusion.from_diffusers(folder, device="cpu")
    pipe.scheduler_config = config
    trace = pipe(PROMPT, NEGATIVE, trace=True, progress=False, **call)
    return trace.states[-1], np.asarray(trace.images[0])


SCHEDULERS = {
    "DDIMScheduler": {}, "EulerDiscreteScheduler": {}, "HeunDiscreteScheduler": {}, "PNDMScheduler": {},
    "DPMSolverMultistepScheduler": {}, "EulerDiscreteScheduler linspace": {"timestep_spacing": "linspace"},
    "DPMSolverMultistepScheduler karras": {"use_karras_sigmas": True},
    "DDIMScheduler v": {
        "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"
    },
}  # fmt: skip


def both(folder, kind, name, options, image=None, **call):
    """Our and their final latents and pixels, for the same arguments."""
    config = SD15 | {"_class_name": name} | options
    scheduler = getattr(diffusers, name).from_config(config)
    steps, guidance = call.get("steps", 5), call.get("guidance", 4.0)

    def arguments():
        out = dict(num_inference_steps=steps, guidance_scale=guidance, generator=torch.Generator().manual_seed(7))
        if "Img2Img" in kind or "Inpaint" in kind:
            out |= {"image": image, "strength": call["strength"]}
        if "Inpaint" in kind:
            out |= {"mask_image": call["mask"], "height": 32, "width": 32}
        if kind == "StableDiffusionControlNetPipeline":
            out |= {"image": image, "controlnet_conditioning_scale": 0.7}
        return out

    mine = {"steps": steps, "guidance": guidance, "seed": 7}
    if "Img2Img" in kind or "Inpaint" in kind:
        mine |= {"image": image, "strength": call["strength"]}
    if "Inpaint" in kind:
        mine |= {"mask": call["mask"]}
    if kind == "StableDiffusionControlNetPipeline":
        mine |= {"control": (ControlNet.from_diffusers(folder / "controlnet"), image, 0.7)}
    return ours(folder, config, mine), theirs(kind, folder, scheduler, arguments)


def assert_equal(ours, theirs, limit, mask=None):
    (latents, picture), (their_latents, their_picture) = ours, theirs
    assert (latents - their_latents).abs().max() <= limit * their_latents.abs().max()
    difference = np.abs(picture.astype(int) - (their_picture[0] * 255).round().astype(int))
    if mask is not None:
        difference = difference[mask]
    assert difference.max() <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_text_to_image(folder, name, guidance):
    result = both(folder, "StableDiffusionPipeline", name.split()[0], SCHEDULERS[name], guidance=guidance)
    assert_equal(*result, 1e-3 if "PNDM" in name else 2e-4)


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if "PNDM" not in name])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_image_to_image(folder, image, name, strength):
    kind = "StableDiffusionImg2ImgPipeline"
    assert_equal(*both(folder, kind, name.split()[0], SCHEDULERS[name], image, strength=strength), 2e-4)


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_inpainting(folder, image, name):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 4:20] = 255
    result = both(folder, "StableDiffusionInpaintPipeline", name, {}, image, strength=0.7, mask=Image.fromarray(mask))
    assert_equal(*result, 2e-4, mask > 0)  #  outside, ours are the image's own pixels


@pytest.mark.parametrize("name", ["DDIMScheduler", "PNDMScheduler"])
def test_control(folder, image, name):
    assert_equal(*both(folder, "StableDiffusionControlNetPipeline", name, {}, image), 1e-3 if "PNDM" in name else 2e-4)


def test_the_folders_own_scheduler_draws_unless_another_is_asked_for(folder):
    pipe = StableDiffusion.from_diffusers(folder, device="cpu")
    pipe.scheduler_config = pipe.scheduler_config | {"_class_name": "PNDMScheduler", "skip_prk_steps": True}
    latents = [
        pipe(PROMPT, steps=4, sampler=sampler, progress=False, trace=True).states[-1]
        for sampler in (None, sample.plms, sample.ddim, sample.dpmpp_2m)
    ]
    assert (latents[0] == latents[1]).all()
    assert all((latents[0] - other).abs().max() > 1e-3 for other in latents[2:])


def test_a_prompt_that_is_too_long_is_cut_as_diffusers_cuts_it(folder):
    long = "fox above rocket on green " * 6
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    expected, _ = pipe.encode_prompt(long, "cpu", 1, False)
    mine = StableDiffusion.from_diffusers(folder, device="cpu")
    with pytest.warns(UserWarning, match="is cut"):
        trace = mine(long, steps=1, progress=False, trace=True)
    assert (trace.context - expected).abs().max() <= 5e-5 * expected.abs().max()


def test_the_shipped_weights_draw_the_same_in_diffusers(tmp_path):
    mine = StableDiffusion.from_pretrained("openmoji", device="cpu")
    mine.to_diffusers(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    for steps, guidance in ((10, 4.0), (5, 1.0)):
        trace = mine(PROMPT, NEGATIVE, steps=steps, guidance=guidance, seed=3, trace=True, progress=False)
        generator = torch.Generator().manual_seed(3)
        call = dict(negative_prompt=NEGATIVE, num_inference_steps=steps, guidance_scale=guidance, generator=generator)
        picture = pipe(PROMPT, output_type="np", **call).images[0]
        difference = np.abs(np.asarray(trace.images[0]).astype(int) - (picture * 255).round().astype(int))
        assert difference.max() <= 1
    again = StableDiffusion.from_diffusers(tmp_path, device="cpu")
    same = again(PROMPT, NEGATIVE, steps=5, guidance=1.0, seed=3, progress=False)[0]
    assert np.abs(np.asarray(same).astype(int) - np.asarray(trace.images[0])).max() <= 1


def test_what_is_not_implemented_is_refused_by_name(folder, tmp_path):
    index = json.loads((folder / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(
        json.dumps(index | {"image_encoder": ["transformers", "CLIPVisionModel"]})
    )
    with pytest.raises(WeightsError, match="image_encoder, CLIPVisionModel"):
        StableDiffusion.from_diffusers(tmp_path)
    with pytest.raises(WeightsError, match="hf download runwayml/stable-diffusion-v1-5 --local-dir"):
        StableDiffusion.from_diffusers("runwayml/stable-diffusion-v1-5")
    nine = shutil.copytree(folder, tmp_path / "nine")
    config = diffusers.UNet2DConditionModel.load_config(folder / "unet") | {"in_channels": 9}
    diffusers.UNet2DConditionModel.from_config(config).save_pretrained(nine / "unet")
    with pytest.raises(WeightsError, match="in_channels = 9, expected the VAE's 4: the kind for inpainting alone"):
        StableDiffusion.from_diffusers(nine)
    pipe = StableDiffusion.from_diffusers(folder, device="cpu")
    pipe.scheduler_config = SD15 | {"_class_name": "PNDMScheduler"}
    with pytest.raises(ValueError, match="PNDM does not start from an image"):
        pipe(PROMPT, image=Image.new("RGB", (32, 32)), progress=False)
    pipe.scheduler_config = SD15 | {"_class_name": "UniPCMultistepScheduler"}
    with pytest.raises(ValueError, match="UniPCMultistepScheduler"):
        pipe(PROMPT, progress=False)
