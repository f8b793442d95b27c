"""Whole pipelines against diffusers' own, on a tiny random Stable Diffusion that diffusers wrote."""

import json
import re
import shutil
import warnings
from functools import cache, partial

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from minidiff import convert, data, sample
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError
from minidiff.convert.schedulers import SCHEDULERS as CLASSES
from minidiff.pipeline import StableDiffusion
from minidiff.tokenizer import Tokenizer

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()

# diffusers gives tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

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


@cache  # the models of a folder are read once
def their_pipeline(kind, folder):
    parts = (
        {"controlnet": diffusers.ControlNetModel.from_pretrained(folder / "controlnet")} if "Control" in kind else {}
    )
    pipe = getattr(diffusers, kind).from_pretrained(folder, **parts, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@cache
def our_pipeline(folder):
    return StableDiffusion.from_diffusers(folder, "cpu"), ControlNet.from_diffusers(folder / "controlnet")


def theirs(kind, folder, scheduler, call):
    """(final latents, pixels) of diffusers' pipeline `kind` with `scheduler`."""
    pipe, states = their_pipeline(kind, folder), []
    pipe.scheduler = scheduler
    call["callback_on_step_end"] = lambda pipe, i, t, tensors: states.append(tensors["latents"]) or {}
    picture = pipe(PROMPT, negative_prompt=NEGATIVE, output_type="np", **call).images
    return states[-1], picture


def ours(folder, config, call):
    pipe, _ = our_pipeline(folder)
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

    other = dict(num_inference_steps=steps, guidance_scale=guidance, generator=torch.Generator().manual_seed(7))
    mine = {"steps": steps, "guidance": guidance, "seed": 7}
    if "Img2Img" in kind or "Inpaint" in kind:
        other |= {"image": image, "strength": call["strength"]}
        mine |= {"image": image, "strength": call["strength"]}
    if "Inpaint" in kind:
        other |= {"mask_image": call["mask"], "height": 32, "width": 32}
        mine |= {"mask": call["mask"]}
    if kind == "StableDiffusionControlNetPipeline":
        other |= {"image": image, "controlnet_conditioning_scale": 0.7}
        mine |= {"control": (our_pipeline(folder)[1], image, 0.7)}
    return ours(folder, config, mine), theirs(kind, folder, scheduler, other)


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
    for steps, guidance in ((4, 4.0), (2, 1.0)):
        trace = mine(PROMPT, NEGATIVE, steps=steps, guidance=guidance, seed=3, trace=True, progress=False)
        generator = torch.Generator().manual_seed(3)
        call = dict(negative_prompt=NEGATIVE, num_inference_steps=steps, guidance_scale=guidance, generator=generator)
        picture = pipe(PROMPT, output_type="np", **call).images[0]
        difference = np.abs(np.asarray(trace.images[0]).astype(int) - (picture * 255).round().astype(int))
        assert difference.max() <= 1
    again = StableDiffusion.from_diffusers(tmp_path, device="cpu")
    same = again(PROMPT, NEGATIVE, steps=2, guidance=1.0, seed=3, progress=False)[0]
    assert np.abs(np.asarray(same).astype(int) - np.asarray(trace.images[0])).max() <= 1


# Folders as people have them


OLD = {  # of 2022: what is missing or wrong in them, diffusers' pipelines set right
    "Stable Diffusion 1.4": {"_class_name": "PNDMScheduler", "skip_prk_steps": True},
    "DDIM": {"_class_name": "DDIMScheduler", "timestep_values": None, "tensor_format": "pt", "clip_sample": True},
    "DDPM": {"_class_name": "DDPMScheduler", "clip_sample": True, "steps_offset": 0},
    "Euler": {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading", "disable_corrector": []},
    "DPM-Solver++": {"_class_name": "DPMSolverMultistepScheduler", "timestep_spacing": "leading", "solver_type": "bh2"},
}  # fmt: skip
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"


def changed(folder, target, files):
    """A copy of the folder in which the JSON files have these options; a scheduler's are all that it has."""
    shutil.copytree(folder, target)
    for name, options in files.items():
        old = {} if name == SCHEDULER else json.loads((target / name).read_text())
        (target / name).write_text(json.dumps(old | options))
    return target


def with_scheduler(folder, target, config, kind="StableDiffusionPipeline", **options):
    """A copy of the folder, of the pipeline `kind`, with this scheduler."""
    index = {"_class_name": kind, "scheduler": ["diffusers", options.pop("scheduler", config["_class_name"])]}
    return changed(folder, target, {INDEX: index, SCHEDULER: BETAS | config})


def drawn(pipe, steps):
    """Final latents of diffusers' pipeline, and its arguments as ours."""
    pipe.set_progress_bar_config(disable=True)
    call = dict(negative_prompt=NEGATIVE, num_inference_steps=steps, guidance_scale=4.0, output_type="latent")
    return pipe(PROMPT, generator=torch.Generator().manual_seed(7), **call).images


def assert_draws_as(pipe, theirs, steps, sampler=None, limit=2e-4):
    trace = pipe(PROMPT, NEGATIVE, steps=steps, seed=7, sampler=sampler, trace=True, progress=False)
    expected = drawn(theirs, steps)
    assert trace.states[-1].shape == expected.shape
    assert (trace.states[-1] - expected).abs().max() <= limit * expected.abs().max()


@pytest.mark.parametrize("what", OLD)
def test_old_schedulers_draw_as_in_diffusers(folder, tmp_path, what):
    old = with_scheduler(folder, tmp_path / "old", OLD[what])
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(old, safety_checker=None)
    assert_draws_as(StableDiffusion.from_diffusers(old, "cpu"), theirs, 4, limit=1e-3 if "1.4" in what else 2e-4)


def test_the_scheduler_is_of_the_class_that_the_index_names(folder, tmp_path):
    other = with_scheduler(folder, tmp_path / "other", OLD["DDIM"], scheduler="EulerDiscreteScheduler")
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(other, safety_checker=None)
    assert isinstance(theirs.scheduler, diffusers.EulerDiscreteScheduler)
    assert_draws_as(StableDiffusion.from_diffusers(other, "cpu"), theirs, 4)


@pytest.mark.parametrize("kind", [kind for kind in convert.folders.PIPELINES if not re.search("XL|3|Flux", kind)])
@pytest.mark.parametrize("name", ["PNDMScheduler", "DDPMScheduler", "HeunDiscreteScheduler"])
def test_each_pipeline_sets_what_diffusers_sets(folder, tmp_path, kind, name):
    config = {
        "_class_name": name,
        "steps_offset": 0,
        "skip_prk_steps": kind.endswith("NetPipeline"),
        "clip_sample": True,
        "set_alpha_to_one": True,
    }
    other = with_scheduler(folder, tmp_path / "other", config, kind)
    options = (
        {"controlnet": diffusers.ControlNetModel.from_pretrained(folder / "controlnet")} if "Control" in kind else {}
    )
    theirs = getattr(diffusers, kind).from_pretrained(other, safety_checker=None, **options).scheduler.config
    try:
        mine = convert.read_scheduler(other)
    except WeightsError as error:
        assert name == "PNDMScheduler" and not theirs["skip_prk_steps"] and "skip_prk_steps" in str(error)
    else:
        assert {key: mine.get(key, default) for key, default in CLASSES[name][1].items()}.items() <= dict(
            theirs
        ).items()


UNKNOWN = ["DEISMultistepScheduler", "TCDScheduler", "UniPCMultistepScheduler", "KDPM2DiscreteScheduler"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_scheduler_that_is_not_ours_can_be_replaced(folder, tmp_path, name):
    spacing = {"timestep_spacing": "leading", "steps_offset": 1, "clip_sample": False}
    other = with_scheduler(folder, tmp_path / "other", {"_class_name": name} | spacing)
    with pytest.raises(WeightsError, match=rf"_class_name is '{name}', .*; or from_diffusers\(folder, sampler=ddim"):
        StableDiffusion.from_diffusers(other)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(other, safety_checker=None)
    config = theirs.scheduler.config
    pipe = StableDiffusion.from_diffusers(other, "cpu", sampler=sample.ddim)
    theirs.scheduler = diffusers.DDIMScheduler.from_config(config)
    assert_draws_as(pipe, theirs, 5)
    theirs.scheduler = diffusers.EulerDiscreteScheduler.from_config(config)
    assert_draws_as(pipe, theirs, 5, sampler=sample.euler)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m"])
def test_a_replaced_scheduler_of_an_old_file_is_set_right_too(folder, tmp_path, sampler):
    """As `from_pretrained(folder, scheduler=...)` does; after it, diffusers would no longer look at the options."""
    other = with_scheduler(folder, tmp_path / "other", {"_class_name": "UniPCMultistepScheduler"})
    own = sample.SAMPLERS[sampler]
    kind = getattr(diffusers, convert.with_sampler({}, own)["_class_name"])
    scheduler = kind.from_pretrained(other, subfolder="scheduler")
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(other, scheduler=scheduler, safety_checker=None)
    assert_draws_as(StableDiffusion.from_diffusers(other, "cpu", sampler=own), theirs, 5)


def test_a_sampler_given_with_its_options_stays_as_given(folder):
    pipe = StableDiffusion.from_diffusers(folder, "cpu", sampler=partial(sample.ddim, eta=1.0))
    states = [
        pipe(PROMPT, steps=3, sampler=sampler, progress=False, trace=True).states[-1]
        for sampler in (None, partial(sample.ddim, eta=1.0), sample.ddim)
    ]
    assert (states[0] == states[1]).all() and (states[0] - states[2]).abs().max() > 1e-2


@pytest.mark.parametrize("version", ["0.2.2", "0.8.1", "0.9.0.dev0", "0.10.2", None])
@pytest.mark.parametrize("size", [16, 96])
def test_sizes_of_files_before_0_9(folder, tmp_path, version, size):
    options = {"_diffusers_version": version, "sample_size": size} if version else {"sample_size": size}
    old = changed(folder, tmp_path / "old", {"unet/config.json": options})
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(old, safety_checker=None)
    assert StableDiffusion.from_diffusers(old, "cpu").unet.config.sample_size == theirs.unet.config.sample_size


def test_a_scheduler_that_diffusers_would_set_otherwise_is_not_written(folder, tmp_path):
    """A ControlNet pipeline leaves steps_offset as it is, the one that is written sets it to 1."""
    config = {"_class_name": "EulerDiscreteScheduler", "steps_offset": 0, "timestep_spacing": "leading"}
    other = with_scheduler(folder, tmp_path / "other", config, "StableDiffusionControlNetPipeline")
    with pytest.raises(WeightsError, match="steps_offset of EulerDiscreteScheduler is 0: .* sets it to 1"):
        StableDiffusion.from_diffusers(other, "cpu").to_diffusers(tmp_path / "new")


def test_flow_matching_draws_in_as_many_steps_as_are_asked_for(folder, tmp_path):
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    pipe = StableDiffusion.from_diffusers(with_scheduler(folder, tmp_path / "flow", config), "cpu")
    assert len(pipe(PROMPT, steps=4, progress=False, trace=True).states) == 5
    with pytest.raises(ValueError, match="steps is 1001, expected a whole number from 1 to 1000"):
        pipe(PROMPT, steps=1001, progress=False)


@pytest.mark.parametrize("index", [{"weight_map": [1]}, {"weight_map": {"a": 5}}, {}])
def test_an_index_of_shards_that_is_none_is_said_to_be(folder, tmp_path, index):
    bad = shutil.copytree(folder, tmp_path / "bad")
    (bad / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (bad / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="index.json has no weight_map of names and files"):
        StableDiffusion.from_diffusers(bad)
    index = {"weight_map": {"a": "lost.safetensors"}}
    (bad / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="lost.safetensors is missing"):
        StableDiffusion.from_diffusers(bad)


def test_what_is_written_again_keeps_its_scheduler(folder, tmp_path):
    old = with_scheduler(folder, tmp_path / "old", OLD["Euler"])
    StableDiffusion.from_diffusers(old, "cpu").to_diffusers(tmp_path / "new")
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "new", safety_checker=None)
    assert isinstance(theirs.scheduler, diffusers.EulerDiscreteScheduler)
    assert_draws_as(StableDiffusion.from_diffusers(old, "cpu"), theirs, 3)


# Refusals


def without(name):
    return {INDEX: {name: [None, None]}}


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4f1a\nsize 3438167540\n"
REFUSED = {
    "_class_name 'DDPMPipeline', expected StableDiffusionPipeline, ": {INDEX: {"_class_name": "DDPMPipeline"}},
    "has no text_encoder_2 in its model_index.json": {INDEX: {"_class_name": "StableDiffusionXLPipeline"}},
    "_class_name 'FluxKontextPipeline'": {INDEX: {"_class_name": "FluxKontextPipeline"}},
    r"_class_name \['mine', 'Pipe'\]": {INDEX: {"_class_name": ["mine", "Pipe"]}},
    "_class_name None": {INDEX: {"_class_name": None}},
    "has the part image_encoder, Some of transformers": {INDEX: {"image_encoder": ["transformers", "Some"]}},
    "has the part scheduler, DDIMScheduler of mine": {INDEX: {"scheduler": ["mine", "DDIMScheduler"]}},
    "has no vae in its model_index.json": without("vae"),
    "has no scheduler in its model_index.json": without("scheduler"),
    "in_channels = 8, expected the VAE's 4": {"unet/config.json": {"in_channels": 8}},
    "out_channels = 8, expected the VAE's 4": {"unet/config.json": {"out_channels": 8}},
    "cross_attention_dim = 48, expected the text encoder's 32": {"unet/config.json": {"cross_attention_dim": 48}},
    "'AutoencoderTiny'": {"vae/config.json": {"_class_name": "AutoencoderTiny"}},
    "_class_name is 'LMSDiscreteScheduler'": {INDEX: {"scheduler": ["diffusers", "LMSDiscreteScheduler"]}},
    "unknown option zoom of DDIMScheduler": {SCHEDULER: BETAS | {"zoom": 1}},
    r"steps by 500, .*; or from_diffusers\(folder, sampler=ddpm": {SCHEDULER: BETAS | {"timestep_spacing": "linspace"}},
    "num_train_timesteps of DDIMScheduler is 'many'": {SCHEDULER: BETAS | {"num_train_timesteps": "many"}},
    "has the part vae, AutoencoderTiny of diffusers": {INDEX: {"vae": ["diffusers", "AutoencoderTiny"]}},
    "has the part text_encoder, T5EncoderModel of": {INDEX: {"text_encoder": ["transformers", "T5EncoderModel"]}},
    "makes no UNet .32 channels cannot be shared by 7": {"unet/config.json": {"attention_head_dim": 7}},
    "text_encoder.config.json makes no CLIPText": {"text_encoder/config.json": {"num_attention_heads": 5}},
    "makes no UNet .num_channels": {"unet/config.json": {"norm_num_groups": 7}},
    "norm_num_groups = 0, a UNet takes int": {"unet/config.json": {"norm_num_groups": 0}},
    "sample_size = True, a UNet takes int": {"unet/config.json": {"sample_size": True}},
    "sample_size = -1, a UNet takes int": {"unet/config.json": {"sample_size": -1}},
    "vae.diffusion_pytorch_model.safetensors is a pointer of git-lfs": "vae/diffusion_pytorch_model.safetensors",
    "unet.config.json is a pointer of git-lfs": "unet/config.json",
    "model_index.json is a pointer of git-lfs": INDEX,
    "scheduler_config.json is a pointer of git-lfs": SCHEDULER,
    "tokenizer.json is a pointer of git-lfs": "tokenizer/tokenizer.json",
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_come_in_one_line_before_any_weight_is_read(folder, tmp_path, message, monkeypatch):
    files = REFUSED[message]
    bad = changed(folder, tmp_path / "bad", {} if isinstance(files, str) else files)
    if isinstance(files, str):
        (bad / files).write_text(POINTER)
    monkeypatch.setattr(convert.models, "read_tensors", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(WeightsError, match=message) as info:
        StableDiffusion.from_diffusers(bad, "cpu")
    assert "\n" not in str(info.value)


def test_the_index_comes_first_then_the_models_then_the_scheduler(folder, tmp_path):
    wrong = {INDEX: {"_class_name": "X"}, "unet/config.json": {"in_channels": 8}, SCHEDULER: {"zoom": 1}}
    for i, message in enumerate(["_class_name 'X'", "in_channels = 8", "zoom"]):
        bad = changed(folder, tmp_path / str(i), dict(list(wrong.items())[i:]))
        with pytest.raises(WeightsError, match=message):
            StableDiffusion.from_diffusers(bad)


def test_what_is_not_implemented_is_refused_by_name(folder, tmp_path):
    with pytest.raises(WeightsError, match="hf download runwayml/stable-diffusion-v1-5 --local-dir"):
        StableDiffusion.from_diffusers("runwayml/stable-diffusion-v1-5")
    pipe = StableDiffusion.from_diffusers(folder, device="cpu")
    pipe.scheduler_config = SD15 | {"_class_name": "PNDMScheduler"}
    with pytest.raises(ValueError, match="PNDM does not start from an image"):
        pipe(PROMPT, image=Image.new("RGB", (32, 32)), progress=False)
    pipe.scheduler_config = SD15 | {"_class_name": "UniPCMultistepScheduler"}
    with pytest.raises(ValueError, match="UniPCMultistepScheduler"):
        pipe(PROMPT, progress=False)
