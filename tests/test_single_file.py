"""Models in one file, by the names of the original code, against diffusers' `from_single_file`."""

import re

import diffusers
import oracle
import pytest
import torch
import transformers
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file

from minidiff import data
from minidiff.clip import CLIPText
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError, read_config, their_name
from minidiff.convert.models import RULES
from minidiff.convert.single_file import PARTS
from minidiff.pipeline import StableDiffusion
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet
from minidiff.vae import VAE

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()


def original_state(model, second: bool) -> dict:
    """The tensors of one of our models under the names of the original code, in the form that it has them."""
    name = type(model).__name__
    prefix, rules = list(PARTS[name].items())[-1 if second else 0]
    if name == "CLIPText" and not second:
        prefix += "text_model."
    state = {}
    for own, tensor in model.state_dict().items():
        key = prefix + their_name(own, RULES + rules(model.config))
        state[key] = tensor[..., None, None] if ".attn_1." in key and tensor.ndim == 2 else tensor
    for key in [key for key in state if ".attn.q_proj." in key]:
        fused = torch.cat([state.pop(key.replace("q_proj", f"{x}_proj")) for x in "qkv"])
        state[key.replace("q_proj.", "in_proj_")] = fused
    return state


REAL = {
    "SD 1": {UNet: oracle.SD_UNET, VAE: oracle.SD_VAE, CLIPText: oracle.SD_TEXT},
    "SD 2": {
        cls: oracle.REAL[f"SD 2.1 {part}"][1] for cls, part in ((UNet, "U-Net"), (VAE, "VAE"), (CLIPText, "text"))
    },
}


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("cls", [UNet, VAE, CLIPText])
def test_the_real_names_and_shapes_are_those_that_diffusers_converts(kind, cls):
    """Ours -> the original -> diffusers, by its own functions: every name and shape of its model, and no other."""
    options = REAL[kind][cls]
    with torch.device("meta"):
        ours, theirs = cls(read_config(cls, options)), oracle.build_theirs(cls, options)
    state = original_state(ours, kind == "SD 2")
    if cls is UNet:
        assert len(state) == 686
        converted = single_file_utils.convert_ldm_unet_checkpoint(dict(state), theirs.config)
    elif cls is VAE:
        assert len(state) == 248
        converted = single_file_utils.convert_ldm_vae_checkpoint(dict(state), theirs.config)
    elif kind == "SD 1":
        assert len(state) == 196
        converted = single_file_utils.convert_ldm_clip_checkpoint(dict(state))
    else:
        converted = single_file_utils.convert_open_clip_checkpoint(theirs, dict(state))
    converted = {name.removeprefix("text_model."): tuple(tensor.shape) for name, tensor in converted.items()}
    assert converted == {name: tuple(tensor.shape) for name, tensor in oracle.their_state(theirs).items()}


def small(kind: str, cls) -> dict:
    """The real config with small widths; all else, layers too, is as it is there."""
    heads = {"attention_head_dim": 4 if kind == "SD 1" else [1, 2, 2, 4]}
    widths = dict(block_out_channels=[16, 32, 32, 32], norm_num_groups=8, sample_size=8, cross_attention_dim=32)
    widths["_diffusers_version"] = "0.42.0"  # older ones are drawn at 64, whatever they say
    return REAL[kind][cls] | {
        UNet: widths | heads,
        VAE: dict(block_out_channels=[8, 16, 16, 16], norm_num_groups=8, sample_size=64),
        CLIPText: dict(hidden_size=32, intermediate_size=48, num_attention_heads=4, max_position_embeddings=24,
            vocab_size=1005, projection_dim=32),
    }[cls]  # fmt: skip


EXTRA = {
    "betas": 1000, "alphas_cumprod": 1000, "model_ema.decay": 1, "model_ema.diffusion_modeltime_embed0weight": 3,
    "global_step": 1, "first_stage_model.loss.logvar": 1, "cond_stage_model.logit_scale": 1,
}  # fmt: skip


@pytest.fixture(scope="module", params=["SD 1", "SD 2"])
def checkpoint(request, tmp_path_factory):
    """(a random model in one file, a folder of diffusers with its configs, diffusers' model)"""
    folder, second = tmp_path_factory.mktemp("single"), request.param == "SD 2"
    Tokenizer.train(data.WORDS).save(folder / "tokens")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(
        folder / "tokens", pad_token="!" if second else "<|endoftext|>"
    )
    theirs = {cls: oracle.randomised(oracle.build_theirs(cls, small(request.param, cls))) for cls in REAL["SD 1"]}
    options = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False, prediction_type="v_prediction" if second else "epsilon")  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        theirs[VAE], theirs[CLIPText], tokenizer, theirs[UNet], diffusers.DDIMScheduler(**options), None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    state = {name: torch.randn(size) for name, size in EXTRA.items()}
    for cls, model in theirs.items():
        state |= original_state(oracle.build_ours(cls, small(request.param, cls), model), second)
    if second:  # the layer that is not read
        last = [name for name in state if ".resblocks.22." in name]
        state |= {name.replace(".22.", ".23."): torch.randn_like(state[name]) for name in last}
        state["cond_stage_model.model.text_projection"] = torch.randn(32, 32)
        state["cond_stage_model.model.attn_mask"] = torch.randn(24, 24)
    else:
        state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(24)[None]
    file = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    return file, folder, pipe


def test_it_draws_as_diffusers_draws_from_the_same_file(checkpoint):
    file, folder, pipe = checkpoint
    single = diffusers.StableDiffusionPipeline.from_single_file(str(file), config=str(folder), local_files_only=True)
    ours = StableDiffusion.from_diffusers(file, device="cpu", config=folder)
    call = dict(negative_prompt="cat in snow", num_inference_steps=4, guidance_scale=4.0, output_type="latent")
    trace = ours("fox on green", "cat in snow", steps=4, guidance=4.0, seed=7, trace=True, progress=False)
    for theirs in (single, pipe):
        theirs.set_progress_bar_config(disable=True)
        latents = theirs("fox on green", generator=torch.Generator().manual_seed(7), **call).images
        assert oracle.error(trace.states[-1], latents) <= 2e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_merges_without_the_prefix_of_the_text(checkpoint, tmp_path, dtype):
    file, folder, pipe = checkpoint
    state = {name.replace(".text_model.", "."): tensor.to(dtype) for name, tensor in load_file(file).items()}
    save_file(state, tmp_path / "half.safetensors")
    ours = StableDiffusion.from_diffusers(tmp_path / "half.safetensors", "cpu", config=str(folder))
    for mine, theirs in ((ours.unet, pipe.unet), (ours.vae, pipe.vae), (ours.text, pipe.text_encoder)):
        expected = oracle.their_state(theirs)
        for name, tensor in mine.state_dict().items():
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, expected[their_name(name)].to(dtype).float()), name


def refused(path, match, config=None):
    with pytest.raises(WeightsError, match=match) as info:
        StableDiffusion.from_diffusers(path, device="cpu", config=config)
    assert "\n" not in str(info.value) and str(path) in str(info.value)


@pytest.mark.parametrize("prefix, part", [("first_stage_model.", "VAE"), ("cond_stage_model.", "CLIPText"),
    ("model.diffusion_model.", "UNet")])  # fmt: skip
def test_a_part_that_is_missing_is_named(checkpoint, tmp_path, prefix, part):
    file, folder, _ = checkpoint
    state = load_file(file)
    save_file({k: v for k, v in state.items() if not k.startswith(prefix)}, tmp_path / "part.safetensors")
    refused(tmp_path / "part.safetensors", rf"has no {part}, no names {re.escape(prefix)}", folder)


def test_what_does_not_fit_is_refused(checkpoint, tmp_path):
    file, folder, _ = checkpoint
    repo = "stable-diffusion-2-1" if "cond_stage_model.model.ln_final.bias" in load_file(file) else "v1-5"
    refused(file, rf"holds weights alone: give config=FOLDER.*{repo} --include '\*.json' '\*.txt' --local-dir FOLDER")
    refused(folder, "is no .safetensors file, which config= is for", folder)
    state, path = load_file(file), tmp_path / "other.safetensors"
    first = "model.diffusion_model.input_blocks.0.0.weight"
    save_file(state | {first: torch.zeros(16, 9, 3, 3)}, path)
    refused(
        path, r"got \(16, 9, 3, 3\) for input_blocks.0.0.weight, expected \(16, 4, 3, 3\); give the config of", folder
    )
    save_file(state | {"model.diffusion_model.label_emb.0.0.weight": torch.zeros(2)}, path)
    refused(path, "for label_emb.0.0.weight, expected nothing", folder)
    path.write_bytes(file.read_bytes()[:-1])
    refused(path, "damaged or no safetensors file", folder)
    with pytest.raises(WeightsError, match="has no ControlNet"):
        save_file(state, path)
        (tmp_path / "config.json").write_text('{"_class_name": "ControlNetModel"}')
        ControlNet.from_diffusers(tmp_path, file=path)


OTHERS = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "a LoRA",
    "unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": "a LoRA",
    "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": "SDXL",
    "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias": "Stable Diffusion 3",
    "double_blocks.0.img_attn.norm.key_norm.scale": "Flux",
    "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale": "Flux",
    "control_model.time_embed.0.weight": "a ControlNet",
    "controlnet_cond_embedding.conv_in.weight": "a ControlNet",
    "emb_params": "a textual inversion",
    "decoder.conv_in.weight": "a VAE alone",
    "down_blocks.0.resnets.0.conv1.weight": "one part of a folder of diffusers",
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_kinds_are_refused_by_what_they_are(name, tmp_path):
    common = {"model.diffusion_model.input_blocks.0.0.weight": 1, "first_stage_model.decoder.conv_in.weight": 1}
    state = {name: torch.zeros(1)} | ({key: torch.zeros(1) for key in common} if OTHERS[name] == "SDXL" else {})
    save_file(state, tmp_path / "file.safetensors")
    refused(tmp_path / "file.safetensors", f"is {OTHERS[name]}")


def test_a_file_of_nothing_known(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "file.safetensors")
    refused(tmp_path / "file.safetensors", "has no UNet, no names model.diffusion_model.")
