"""Latent consistency models, whole and as LoRA, against diffusers' own pipelines, on tiny random weights."""

import json

import diffusers
import numpy as np
import pytest
import torch
from diffusers import LCMScheduler
from oracle import error
from safetensors.torch import save_file
from test_full_pipelines import NEGATIVE, PROMPT, image, randomised, tiny_pipeline  # noqa: F401  fixture

from minidiff import sample
from minidiff.controlnet import ControlNet
from minidiff.convert import their_name
from minidiff.pipeline import StableDiffusion

# diffusers gives tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore::RuntimeWarning")

PROMPTS = [PROMPT, "cat in snow"]
LCM, STABLE = "LatentConsistencyModel", "StableDiffusion"
SCHEDULER = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", original_inference_steps=50, steps_offset=1
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_lcm(tmp_path_factory.mktemp("lcm"))


def tiny_lcm(folder):
    """A tiny Stable Diffusion and ControlNet; in lcm/ one that is told its guidance, and the same in sd/."""
    stable = diffusers.StableDiffusionPipeline.from_pretrained(tiny_pipeline(folder))
    unet = diffusers.UNet2DConditionModel.from_config(dict(stable.unet.config) | {"time_cond_proj_dim": 10})
    parts = stable.vae, stable.text_encoder, stable.tokenizer, randomised(unet), LCMScheduler(**SCHEDULER)
    for kind, name in ((LCM, "lcm"), (STABLE, "sd")):
        pipe = getattr(diffusers, f"{kind}Pipeline")(*parts, None, None, requires_safety_checker=False)
        pipe.save_pretrained(folder / name)
    return folder


def theirs(folder, kind, steps, guidance, **call):
    """(final latents, pixels) of two prompts, each by its own generator."""
    parts = {}
    if "Control" in kind:
        parts["controlnet"] = diffusers.ControlNetModel.from_pretrained(folder.parent / "controlnet")
    pipe, states = getattr(diffusers, f"{kind}Pipeline").from_pretrained(folder, safety_checker=None, **parts), []
    pipe.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 8)]
    call |= {"callback_on_step_end": lambda pipe, i, t, tensors: states.append(tensors["latents"]) or {}}
    call |= {"num_inference_steps": steps, "guidance_scale": guidance, "generator": generators, "output_type": "np"}
    return pipe(PROMPTS, **call).images, states[-1]


def apart(expected, folder, steps, guidance, **call):
    """(error of our final latents, largest difference of pixels, of 255)"""
    pixels, latents = expected
    pipe = StableDiffusion.from_diffusers(folder, "cpu")
    trace = pipe(PROMPTS, steps=steps, guidance=guidance, seed=7, trace=True, progress=False, **call)
    ours = np.stack([np.asarray(each) for each in trace.images]).astype(int)
    return error(trace.states[-1], latents), np.abs(ours - (pixels * 255).round().astype(int)).max()


def assert_draws_as(*args, **call):
    latents, pixels = apart(*args, **call)
    assert latents < 2e-4 and pixels <= 1


@pytest.mark.parametrize("steps, guidance", [(1, 8.5), (2, 7.3), (4, 8.5), (4, 1.0), (8, 2.0)])
@pytest.mark.parametrize("kind, name", [(LCM, "lcm"), (STABLE, "sd"), (STABLE, "lcm")])
def test_text_to_image(folder, kind, name, steps, guidance):
    assert_draws_as(theirs(folder / name, kind, steps, guidance), folder / name, steps, guidance)


@pytest.mark.parametrize("steps, strength", [(1, 0.5), (2, 0.3), (4, 0.8), (4, 1.0), (8, 0.55)])
def test_image_to_image_does_all_steps(folder, image, steps, strength):  # noqa: F811
    call = {"image": [image, image.rotate(90)], "strength": strength}
    expected = theirs(folder / "lcm", f"{LCM}Img2Img", steps, 8.5, **call)
    assert_draws_as(expected, folder / "lcm", steps, 8.5, **call)


@pytest.mark.parametrize("steps, strength", [(2, 0.5), (4, 0.8), (8, 1.0)])
def test_image_to_image_of_stable_diffusion_skips_steps(folder, image, steps, strength):  # noqa: F811
    call = {"image": [image, image.rotate(90)], "strength": strength}
    assert_draws_as(theirs(folder / "sd", f"{STABLE}Img2Img", steps, 8.5, **call), folder / "sd", steps, 8.5, **call)


def test_a_controlnet_is_not_told_the_guidance(folder, image):  # noqa: F811
    expected = theirs(
        folder / "lcm", f"{STABLE}ControlNet", 4, 8.5, image=[image] * 2, controlnet_conditioning_scale=0.7
    )
    control = ControlNet.from_diffusers(folder / "controlnet"), image, 0.7
    assert_draws_as(expected, folder / "lcm", 4, 8.5, control=control)


@pytest.mark.parametrize("name", ["lcm", "sd"])
def test_what_is_written_again_draws_the_same(folder, tmp_path, name):
    StableDiffusion.from_diffusers(folder / name, "cpu").to_diffusers(tmp_path / name)
    kinds = [json.loads((path / name / "model_index.json").read_text())["_class_name"] for path in (folder, tmp_path)]
    assert kinds[0] == kinds[1]
    assert_draws_as(theirs(tmp_path / name, kinds[0].removesuffix("Pipeline"), 4, 8.5), folder / name, 4, 8.5)


def test_what_it_cannot_do_is_said_in_one_line(folder, image):  # noqa: F811
    pipe = StableDiffusion.from_diffusers(folder / "lcm", "cpu")
    for message, call in {
        "got a negative prompt, which this model, an LCM": {"negative_prompt": NEGATIVE},
        "original_inference_steps of LCMScheduler is 50, with 51 steps: 50 times are left": {"steps": 51},
        "with 4 steps: 3 times are left, expected 4 to 1000": {"steps": 4, "image": image, "strength": 0.07},
        "strength 0.01 of 50 steps is no step: give at least 0.02": {"image": image, "strength": 0.01},
    }.items():
        with pytest.raises(ValueError, match=message) as refusal:
            pipe(PROMPT, progress=False, **call)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match=r"got 1 .*, this UNet reads 2: give it \(text states, guidance - 1\)"):
        pipe.unet(torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1, 3, 32))
    copy = ControlNet.from_unet(pipe.unet)
    assert copy.config.time_cond_proj_dim is None and copy.time_embedding.cond_proj is None
    index = json.loads((folder / "lcm" / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "LCMScheduler"]


# LCM-LoRA, for any model: as `latent-consistency/lcm-lora-sdv1-5` names its layers, ranks and alphas

TARGETS = "to_q to_k to_v to_out.0 proj_in proj_out ff.net.0.proj ff.net.2 conv1 conv2 conv_shortcut time_emb_proj"
TARGETS = (*TARGETS.split(), "downsamplers.0.conv", "upsamplers.0.conv")


def lcm_lora(unet, path, flat=False):
    """In half precision; with `flat`, the matrices of 1x1 convolutions have two dimensions, as some scripts write."""
    generator, tensors = torch.Generator().manual_seed(3), {}
    for name, layer in unet.named_modules():
        name = their_name(f"{name}.weight").removesuffix(".weight")
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and name.endswith(TARGETS):
            out, *size = layer.weight.shape
            size, beside = (size[:1], ()) if flat and size[1:] == [1, 1] else (size, (1,) * len(size[1:]))
            A = torch.randn(4, *size, generator=generator) * np.prod(size) ** -0.5
            B = torch.randn(out, 4, *beside, generator=generator)
            name = f"lora_unet_{name.replace('.', '_')}"
            tensors |= {f"{name}.lora_down.weight": A.half(), f"{name}.lora_up.weight": B.half()}
            tensors[f"{name}.alpha"] = torch.tensor(2.0).half()
    save_file(tensors, path / "lcm.safetensors")
    return path / "lcm.safetensors"


@pytest.mark.parametrize("steps, guidance, flat", [(1, 1.0, False), (4, 1.0, False), (4, 1.8, False), (4, 1.0, True)])
def test_lcm_lora(folder, tmp_path, steps, guidance, flat):
    latents, same, expected = with_lcm_lora(folder, tmp_path, steps, guidance, flat)
    assert error(latents, expected) < 2e-4 and error(same, expected) < 2e-4


def with_lcm_lora(folder, tmp_path, steps, guidance, flat=False):
    """Final latents: ours, the sampler named in the call; ours, named before; theirs."""
    ours = StableDiffusion.from_diffusers(folder, "cpu")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.load_lora_weights(lcm_lora(ours.unet, tmp_path))
    ours.load_lora(lcm_lora(ours.unet, tmp_path, flat))
    assert len(ours.loras["lcm"][0].layers) > 30
    call = dict(num_inference_steps=steps, guidance_scale=guidance, generator=torch.Generator().manual_seed(7))
    expected = pipe(PROMPT, negative_prompt=NEGATIVE, output_type="latent", **call).images
    call = dict(steps=steps, guidance=guidance, seed=7, sampler=sample.consistency, trace=True, progress=False)
    same = StableDiffusion.from_diffusers(folder, "cpu", sampler=sample.consistency)
    same.load_lora(tmp_path / "lcm.safetensors")
    drawn = ours(PROMPT, NEGATIVE, **call), same(PROMPT, NEGATIVE, **call | {"sampler": None})
    return *(trace.states[-1] for trace in drawn), expected
