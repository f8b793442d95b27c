"""LoRA, textual inversion and IP-Adapter, against peft and diffusers, on tiny models with random weights."""

import copy
import hashlib
import inspect
import json
import re
from pathlib import Path

import diffusers
import numpy as np
import peft
import pytest
import torch
import transformers
from diffusers.utils import convert_state_dict_to_diffusers
from oracle import SD_UNET, SMALL, UNet, build_ours, build_theirs, error, inputs, randomised, run_ours, run_theirs
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_full_pipelines import NEGATIVE, PROMPT, SD15, tiny_pipeline
from test_full_pipelines import randomised as randomised_part
from test_fuzz import files, weights  # noqa: F401  fixtures
from test_pipeline import command

from minidiff import adapt, data, infotext, ip_adapter
from minidiff.__main__ import lora as lora_option
from minidiff.adapt import LoRA
from minidiff.clip import CLIP, CLIPConfig, CLIPImage, TextConfig, VisionConfig
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError, read_config, save
from minidiff.convert.models import their_name
from minidiff.convert.single_file import unet_rules
from minidiff.ip_adapter import IPAdapter, clip_pixels
from minidiff.pipeline import StableDiffusion
from minidiff.train import Settings, accelerator, training_loop
from minidiff.train import ip_adapter as training_ip
from minidiff.train.ip_adapter import IPAdapterObjective

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()

# diffusers gives tensors to numpy in a way that numpy 2 deprecates; peft warns of patterns that are for another part
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore::RuntimeWarning")

TOLERANCE = 5e-5
UNET = "to_q to_k to_v to_out.0 ff.net.0.proj ff.net.2 proj_in proj_out conv1 conv2 conv_in conv_out conv_shortcut"
UNET = [*UNET.split(), "time_embedding.linear_1", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
PATTERNS = {"rank_pattern": {"to_q": 2, "conv1": 5, "fc1": 3}, "alpha_pattern": {"to_v": 7.0, "conv_in": 0.5, "fc2": 9}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("stable-diffusion"))


def both(folder):
    """Ours and theirs."""
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    return StableDiffusion.from_diffusers(folder, "cpu"), theirs


@pytest.fixture(scope="module")
def loaded(folder):
    return both(folder)


@pytest.fixture
def pipes(loaded):
    """Ours and theirs, without LoRAs again afterwards."""
    yield loaded
    ours, theirs = loaded
    ours.unload_loras()
    theirs.unload_lora_weights()


def outputs(pipe) -> list:
    """What U-Net and text encoder make of a fixed input, in double precision: with two LoRAs errors of single grow."""
    generator = torch.Generator().manual_seed(1)
    x, context = (torch.randn(*size, generator=generator).double() for size in ((2, 4, 9, 7), (2, 6, 32)))
    ids, t = torch.randint(0, 900, (2, 24), generator=generator), torch.tensor([3.25, 976.75])
    own = isinstance(pipe, StableDiffusion)
    unet, text = (copy.deepcopy(model).double() for model in (pipe.unet, pipe.text if own else pipe.text_encoder))
    with torch.no_grad():
        return [unet(x, t, context), text(ids)] if own else [unet(x, t, context).sample, text(ids).last_hidden_state]


def worst(ours, theirs) -> float:
    return error(outputs(ours), outputs(theirs))


def scaled(theirs, **adapters):
    theirs.set_adapters(list(adapters), list(adapters.values()))
    return theirs


def made(model, seed, targets, r=4, alpha=3.0, patterns=PATTERNS) -> tuple[dict, peft.LoraConfig]:
    """(tensors, config) of a random LoRA that peft makes of `model`, diffusers' or transformers'."""
    config = peft.LoraConfig(r=r, lora_alpha=alpha, target_modules=targets, **patterns)
    model.add_adapter(config, "made")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_" in key:
                p.copy_(torch.randn(p.shape, generator=generator) * (1 if "lora_B" in key else p[0].numel() ** -0.5))
    tensors = get_peft_model_state_dict(model, adapter_name="made")
    model.delete_adapters("made") if hasattr(model, "delete_adapters") else model.delete_adapter("made")
    return tensors, config


def written(theirs, path, seed=0, header=True, **options):
    """A LoRA of U-Net and text encoder that diffusers wrote into the folder `path`."""
    unet, unet_config = made(theirs.unet, seed, UNET, **options)
    text, text_config = made(theirs.text_encoder, seed + 1, TEXT, **options)
    configs = {"unet": unet_config, "text_encoder": text_config}
    about = {f"{part}_lora_adapter_metadata": config.to_dict() for part, config in configs.items()}
    theirs.save_lora_weights(path, unet, convert_state_dict_to_diffusers(text), **about if header else {})
    return path / "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def file(loaded, tmp_path_factory):
    return written(loaded[1], tmp_path_factory.mktemp("lora"))


# LoRA


@pytest.mark.parametrize("scale", [0, 0.6, 1])
def test_a_lora_of_peft_at_any_scale(pipes, file, scale):
    ours, theirs = pipes
    before = outputs(ours)
    theirs.load_lora_weights(file, adapter_name="a")
    ours.load_lora(file, scale)
    assert worst(ours, scaled(theirs, a=scale)) < TOLERANCE
    changed = [error(a, b) for a, b in zip(outputs(ours), before, strict=True)]
    assert max(changed) == 0 if scale == 0 else min(changed) > 0.1


def test_two_at_once_and_none_again_bit_for_bit(pipes, file, tmp_path):
    ours, theirs = pipes
    own = {part: {k: v.clone() for k, v in m.state_dict().items()} for part, m in ours._parts.items()}
    other = written(theirs, tmp_path, seed=5, r=3, alpha=8.0, patterns={})
    theirs.load_lora_weights(file, adapter_name="a")
    theirs.load_lora_weights(other, adapter_name="b")
    ours.load_lora(file, 0.6)
    ours.load_lora(other, -0.8, name="other")
    assert worst(ours, scaled(theirs, a=0.6, b=-0.8)) < TOLERANCE
    ours.load_lora(file, 1)
    assert [weight for _, weight in ours.loras.values()] == [1, -0.8]
    assert worst(ours, scaled(theirs, a=1.0, b=-0.8)) < TOLERANCE
    with pytest.raises(ValueError, match="another one: give this one another name"):
        ours.load_lora(other, name=file.stem)
    ours.unload_loras()
    assert not ours.loras and not ours.originals
    for part, model in ours._parts.items():
        assert all(torch.equal(v, own[part][k]) for k, v in model.state_dict().items())


def test_without_a_header_alpha_is_the_rank(pipes, tmp_path):
    ours, theirs = pipes
    file = written(theirs, tmp_path, header=False)
    assert "lora_adapter_metadata" not in safe_open(file, "pt").metadata()
    theirs.load_lora_weights(file)
    ours.load_lora(file)
    assert worst(ours, theirs) < TOLERANCE


@pytest.mark.parametrize("how", ["rslora", "down", "processor"])
def test_other_spellings_and_scales(pipes, file, tmp_path, how):
    ours, theirs = pipes
    tensors, header = load_file(file), safe_open(file, "pt").metadata()
    if how == "rslora":
        about = json.loads(header["lora_adapter_metadata"])
        header["lora_adapter_metadata"] = json.dumps(about | {"unet.use_rslora": True})
    else:  # as diffusers writes them, and as it did in 2023
        spelled = [(r"\.lora_A\.", ".lora.down."), (r"\.lora_B\.", ".lora.up.")]
        if how == "processor":
            spelled += [(r"\.(attn\d)\.to_out\.0\.lora\.", r".\1.processor.to_out_lora."),
                        (r"\.(attn\d)\.to_(.)\.lora\.", r".\1.processor.to_\2_lora."),
                        (r"self_attn\.(q|k|v|out)_proj\.lora_linear_layer\.", r"self_attn.to_\1_lora.")]  # fmt: skip
        tensors = {their_name(name, spelled): t for name, t in tensors.items() if ".to_" in name or "self_attn" in name}
        header = {}
    save_file(tensors, tmp_path / "a.safetensors", header)
    theirs.load_lora_weights(tmp_path / "a.safetensors")
    ours.load_lora(tmp_path / "a.safetensors")
    assert worst(ours, theirs) < TOLERANCE


def kohya(pipe, path, original=False, alpha=lambda i, layer: 2.0):
    """A random LoRA as kohya's scripts write it: for every layer, of ranks 2 to 4."""
    generator, tensors, i = torch.Generator().manual_seed(3), {}, 0
    for part, model in pipe._parts.items():
        for name, layer in model.named_modules():
            if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) or (original and "upsample" in name):
                continue
            weight = their_name(name + ".weight")
            weight = their_name(weight, unet_rules(model.config)) if original and part == "unet" else weight
            prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
            flat, rank = prefix + weight.removesuffix(".weight").replace(".", "_"), 2 + i % 3
            shape = layer.weight.shape
            down, up = (rank, *shape[1:]), (shape[0], rank, *([1] * (len(shape) - 2)))
            tensors |= {
                f"{flat}.lora_down.weight": torch.randn(down, generator=generator) * shape[1:].numel() ** -0.5,
                f"{flat}.lora_up.weight": torch.randn(up, generator=generator),
                f"{flat}.alpha": torch.tensor(alpha(i, layer)),
            }
            i += 1
    save_file(tensors, path)
    return path


def of_convolutions(i, layer):
    """LyCORIS' conv_alpha."""
    return 1.0 if layer.weight.shape[2:] == (3, 3) else 4.0


@pytest.mark.parametrize("original, alpha", [(False, lambda i, layer: 2.0), (True, lambda i, layer: 2.0),
                                             (False, of_convolutions)],
                         ids=["diffusers' names", "CompVis' names", "convolutions apart"])  # fmt: skip
def test_a_lora_of_kohya(pipes, tmp_path, original, alpha):
    ours, theirs = pipes
    file = kohya(ours, tmp_path / "kohya.safetensors", original, alpha)
    theirs.load_lora_weights(file, **{"unet_config": theirs.unet.config} if original else {})
    ours.load_lora(file, 0.6)
    assert len(ours.loras["kohya"][0].layers) > 40
    assert worst(ours, scaled(theirs, default_0=0.6)) < TOLERANCE


def test_alphas_of_kohya_differ_by_layer(pipes, tmp_path):
    """By the formula: diffusers 0.42 takes one layer's alpha for others here, in attention and in the text encoder."""
    ours, _ = pipes
    file = kohya(ours, tmp_path / "kohya.safetensors", alpha=lambda i, layer: 1.0 + i % 4)
    layers = [layer for model in ours._parts.values() for layer in model.modules()
              if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]  # fmt: skip
    before = [layer.weight.clone() for layer in layers]
    ours.load_lora(file, 0.5)
    tensors, names = load_file(file), sorted(adapt.spellings("unet", ours.unet), key=len)
    assert len(names) > len(layers)
    for i, (layer, weight) in enumerate(zip(layers, before, strict=True)):
        part = "unet" if i < len(layers) - 12 else "text_encoder"
        name = next(n for n, m in ours._parts[part].named_modules() if m is layer)
        flat = ("lora_unet_" if part == "unet" else "lora_te_text_model_") + re.sub(
            r"\.", "_", their_name(name + ".weight").removesuffix(".weight")
        )
        up, down = tensors[f"{flat}.lora_up.weight"], tensors[f"{flat}.lora_down.weight"]
        change = 0.5 * (1.0 + i % 4) / len(down) * (up.flatten(1) @ down.flatten(1)).view_as(weight)
        assert error(layer.weight.detach(), weight + change) < 1e-6


@pytest.mark.parametrize("name", ["U-Net", "U-Net, linear, 9 channels", "U-Net, BK-SDM small"])
def test_what_we_write_is_read_by_diffusers_and_by_us(name, tmp_path):
    cls, options = SMALL[name]
    theirs = randomised(build_theirs(cls, options))
    ours, batch = build_ours(cls, options, theirs), inputs(cls, options)
    torch.manual_seed(0)
    lora = LoRA.new(ours, rank=3, alpha=5.0, where=".")
    for i, (key, (A, B, alpha)) in enumerate(lora.layers.items()):
        lora.layers[key] = A, torch.randn(B.shape), alpha + i % 2
    lora.save(tmp_path / "pytorch_lora_weights.safetensors")
    theirs.load_lora_adapter(tmp_path, prefix="unet", use_safetensors=True)
    again = LoRA.load(tmp_path / "pytorch_lora_weights.safetensors", {"unet": ours})
    with torch.no_grad():
        expected, plain = run_theirs(theirs, batch), run_ours(ours, batch)
        assert error([lora.on(ours)(**batch)], expected) < TOLERANCE
        assert error([again.on(ours)(**batch)], expected) < TOLERANCE and error(plain, expected) > 0.1


def test_training_moves_only_a_and_b(pipes):
    ours, _ = pipes
    before = outputs(ours)[0]
    lora = LoRA.new(ours.unet, rank=2)
    x, t, context = torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 3, 32)
    assert torch.equal(lora.on(ours.unet)(x, t, context), ours.unet(x, t, context)), "B is 0 at first"
    for p in ours.unet.parameters():
        p.requires_grad_(False)
    lora.on(ours.unet)(x, t, context).square().mean().backward()
    grads = [p.grad.abs().max() > 0 for p in lora.parameters()]
    assert grads == [False, True] * (len(grads) // 2), "A learns once B is not 0"
    assert torch.equal(outputs(ours)[0], before)


REFUSED = {
    "lora_unet_conv_in.hada_w1_a": "a LoHa", "lora_unet_conv_in.lokr_w1": "a LoKr",
    "unet.conv_in.oft_R.weight": "an OFT",
    "unet.conv_in.lora_magnitude_vector.weight": "a DoRA", "lora_unet_conv_in.dora_scale": "a DoRA",
    "lora_unet_conv_in.lora_mid.weight": "a LoCon", "unet.conv_in.lora_B.bias": "a LoRA with biases",
    "lora_unet_conv_in.diff": "an IA3, a GLoRA",
    "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": "a LoRA for SDXL",
    "transformer.x.lora_A.weight": "a LoRA for Flux", "base_model.model.conv_in.lora_A.weight": "peft's own file",
    "unet.nowhere.lora_A.weight": "has unet.nowhere.lora_A.weight, which names no layer",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_lora_for_this_model_is_refused_by_name(pipes, tmp_path, name):
    ours, _ = pipes
    file = kohya(ours, tmp_path / "kohya.safetensors")
    save_file(load_file(file) | {name: torch.ones(2, 2)}, file)
    with pytest.raises(WeightsError, match=re.escape(REFUSED[name])) as refusal:
        ours.load_lora(file)
    assert "\n" not in str(refusal.value) and not ours.loras


def test_other_files_are_refused_in_one_line(pipes, file, tmp_path):
    ours, _ = pipes
    tensors = load_file(file)
    name = next(n for n in tensors if "lora_A" in n)
    cases = {
        "wide": tensors | {name: torch.ones(4, 7)}, "half": {name: tensors[name]}, "empty": {},
    }  # fmt: skip
    for case, content in cases.items():
        save_file(content, tmp_path / f"{case}.safetensors")
    (tmp_path / "lora.bin").write_bytes(b"x")
    for case, message in (("wide.safetensors", "expected"), ("half.safetensors", "no A, or no B"),
                          ("empty.safetensors", "holds nothing"), ("lora.bin", "is a pickle"),
                          ("no.safetensors", "missing")):  # fmt: skip
        with pytest.raises(WeightsError, match=message):
            ours.load_lora(tmp_path / case)
    for about, message in (('{"unet.use_dora": true}', "DoRA"), ("{", "damaged"), ("[1]", "damaged"),
                           ('{"unet.alpha_pattern": {"(": 1}}', "damaged")):  # fmt: skip
        save_file(tensors, tmp_path / "header.safetensors", {"lora_adapter_metadata": about})
        with pytest.raises(WeightsError, match=message):
            ours.load_lora(tmp_path / "header.safetensors")
    for weight in ("1", None, float("nan"), [1]):
        with pytest.raises(ValueError, match="expected a number"):
            ours.load_lora(file, weight)


# Textual inversion


@pytest.mark.parametrize("word, n", [("<Cat-Toy>", 1), ("<cat-toy>", 3)])
def test_a_word_of_one_vector_or_several(folder, tmp_path, word, n):
    """Of several vectors of a word with capitals, diffusers finds the first alone."""
    ours, vectors = StableDiffusion.from_diffusers(folder, "cpu"), torch.randn(n, 32)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    save_file({word: vectors if n > 1 else vectors[0]}, tmp_path / "learned_embeds.safetensors")
    theirs.load_textual_inversion(tmp_path, weight_name="learned_embeds.safetensors")
    ours.load_textual_inversion(tmp_path / "learned_embeds.safetensors")
    for prompt in (f"a {word} above fox", word, "<cat-toy> in snow", "fox", "fox " * 21 + f"{word} on green"):
        ids = theirs.tokenizer(
            theirs.maybe_convert_prompt(prompt, theirs.tokenizer), padding="max_length", max_length=24, truncation=True,
            return_tensors="pt",
        ).input_ids  # fmt: skip
        assert torch.equal(ours.tokenizer(prompt), ids), prompt
        with torch.no_grad():
            states = ours.text(ids)
            assert error(states, theirs.text_encoder(ids).last_hidden_state) < TOLERANCE
        end = (ids == ours.tokenizer("")[0, 1]).int().argmax(1)
        assert torch.equal(ours.text.pooled(ids, states), states[[0], end]), "the end is found behind new ids"
    with pytest.raises(ValueError, match="a token already"):
        ours.load_textual_inversion(tmp_path / "learned_embeds.safetensors")


def test_a_textual_inversion_of_automatic1111_is_called_as_its_file(pipe, tmp_path):
    save_file({"emb_params": torch.randn(2, 128)}, tmp_path / "lighthouse.safetensors")
    pipe.load_textual_inversion(tmp_path / "lighthouse.safetensors")
    assert pipe.tokenizer.tokens("lighthouse on blue")[1:5] == ["lighthouse", "lighthouse_1", "on</w>", "blue</w>"]
    assert "lighthouse" in pipe.words, "of which nobody warns"


@pytest.mark.parametrize("content, message", [
    ({"clip_g": torch.ones(2, 8), "clip_l": torch.ones(2, 8)}, "for SDXL"), ({"x": torch.ones(2, 9)}, "expected 32"),
    ({"x": torch.ones(2, 9, 9)}, "no textual inversion"), ({}, "no textual inversion"), (None, "is a pickle"),
])  # fmt: skip
def test_other_textual_inversions_are_refused(pipes, tmp_path, content, message):
    path = tmp_path / ("words.safetensors" if content is not None else "words.pt")
    path.write_bytes(b"x") if content is None else save_file(content, path)
    with pytest.raises(WeightsError, match=message) as refusal:
        pipes[0].load_textual_inversion(path)
    assert "\n" not in str(refusal.value)


# IP-Adapter


def with_ip_adapter(folder):
    """A random picture encoder and IP-Adapter beside the tiny Stable Diffusion, as the real ones are laid out."""
    torch.manual_seed(0)
    encoder = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, image_size=32, patch_size=8,
        projection_dim=20, hidden_act="gelu",
    ))  # fmt: skip
    randomised_part(encoder).save_pretrained(folder / "models" / "image_encoder")
    unet = StableDiffusion.from_diffusers(folder, "cpu").unet
    adapter = randomised_part(IPAdapter.from_unet(unet, 20))
    save_file(adapter.state_dict(), folder / "models" / "ip-adapter_sd15.safetensors")
    return folder


def both_looking(ip_folder):
    ours, theirs = both(ip_folder)
    theirs.load_ip_adapter(ip_folder, subfolder="models", weight_name="ip-adapter_sd15.safetensors")
    ours.load_ip_adapter(ip_folder / "models" / "ip-adapter_sd15.safetensors", ip_folder / "models" / "image_encoder")
    return ours, theirs


@pytest.fixture(scope="module")
def ip_folder(folder):
    return with_ip_adapter(folder)


@pytest.fixture(scope="module")
def looking(ip_folder):
    return both_looking(ip_folder)


VIT_H = {
    "architectures": ["CLIPVisionModelWithProjection"], "attention_dropout": 0.0, "dropout": 0.0, "hidden_act": "gelu",
    "hidden_size": 1280, "image_size": 224, "initializer_factor": 1.0, "initializer_range": 0.02,
    "intermediate_size": 5120, "layer_norm_eps": 1e-05, "model_type": "clip_vision_model", "num_attention_heads": 16,
    "num_channels": 3, "num_hidden_layers": 32, "patch_size": 14, "projection_dim": 1024, "torch_dtype": "float16",
}  # fmt: skip
PICTURE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (70, 45, 3), dtype=np.uint8))


def test_the_files_have_the_names_of_real_ones(ip_folder):
    names = list(load_file(ip_folder / "models" / "ip-adapter_sd15.safetensors"))
    assert {"image_proj.proj.weight", "image_proj.proj.bias", "image_proj.norm.weight", "image_proj.norm.bias"} < set(
        names
    )
    numbered = {f"ip_adapter.{i}.to_{x}_ip.weight" for i in (1, 3, 5, 7) for x in "kv"}
    assert {n for n in names if n.startswith("ip_adapter")} == numbered


def test_the_real_ones_have_these_sizes():
    with torch.device("meta"):
        unet, theirs = UNet(read_config(UNet, SD_UNET)), diffusers.UNet2DConditionModel.from_config(SD_UNET)
        adapter = IPAdapter.from_unet(unet, 1024)
        vit_h = CLIPImage(read_config(CLIPImage, VIT_H))
        encoder = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**VIT_H))
    order = [name.removesuffix(".processor") for name in theirs.attn_processors if "attn2" in name]
    names = {layer: their_name(name) for name, layer in unet.named_modules()}
    assert [names[layer] for layer in ip_adapter.cross_attentions(unet)] == order and len(order) == 16
    assert list(adapter.ip_adapter) == [str(i) for i in range(1, 33, 2)]
    shapes = {name: tuple(p.shape) for name, p in adapter.state_dict().items()}
    assert shapes["image_proj.proj.weight"] == (3072, 1024) and shapes["ip_adapter.31.to_k_ip.weight"] == (1280, 768)
    ours = {their_name(name): tuple(p.shape) for name, p in vit_h.state_dict().items()}
    assert ours == {name: tuple(p.shape) for name, p in encoder.state_dict().items() if "position_ids" not in name}


@pytest.mark.parametrize("size", [(70, 45), (45, 70), (32, 32), (31, 33), (128, 128)])
def test_pictures_are_read_as_by_clip(looking, size):
    ours, theirs = looking
    picture = PICTURE.resize(size)
    with torch.no_grad():
        expected = theirs.image_encoder(
            theirs.feature_extractor(picture, return_tensors="pt").pixel_values
        ).image_embeds
        assert error(ours.ip_adapter[1](clip_pixels([picture], 32)), expected) < TOLERANCE


def drawn(looking, scale, guidance):
    """Our and their final latents."""
    ours, theirs = looking
    theirs.scheduler = diffusers.DDIMScheduler.from_config(SD15)
    ours.scheduler_config = SD15 | {"_class_name": "DDIMScheduler"}
    theirs.set_ip_adapter_scale(scale)
    expected = theirs(
        PROMPT, negative_prompt=NEGATIVE, ip_adapter_image=PICTURE, num_inference_steps=4, guidance_scale=guidance,
        generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    call = dict(steps=4, guidance=guidance, seed=7, progress=False, trace=True)
    return ours(PROMPT, NEGATIVE, ip_image=PICTURE, ip_scale=scale, **call).states[-1], expected


@pytest.mark.parametrize("scale, guidance", [(0, 4.0), (0.6, 4.0), (1, 4.0), (1, 1.0)])
def test_a_picture_as_prompt(looking, scale, guidance):
    assert error(*drawn(looking, scale, guidance)) < TOLERANCE


def test_a_picture_counts_and_combines_with_everything(looking):
    ours, _ = looking
    call = dict(steps=3, progress=False, seed=[1, 1])
    plain = ours([PROMPT, PROMPT], **call)
    one = ours([PROMPT, PROMPT], ip_image=PICTURE, **call)
    two = ours([PROMPT, PROMPT], ip_image=[PICTURE, PICTURE.rotate(90, expand=True).resize(PICTURE.size)], **call)
    assert (
        np.array_equal(one[0], two[0]) and not np.array_equal(one[1], two[1]) and not np.array_equal(plain[0], one[0])
    )
    assert not any(layer._forward_hooks for layer in ours.unet.modules()), "nothing is left behind"
    controlnet = ControlNet.from_unet(ours.unet, conditioning_embedding_out_channels=(4, 8))
    mask = np.zeros((32, 32), bool)
    mask[8:24] = True
    picture = PICTURE.resize((32, 32))
    trace = ours(PROMPT, steps=3, progress=False, image=picture, mask=mask, ip_image=PICTURE, trace=True,
                 control=(controlnet.eval(), picture, 1.0))  # fmt: skip
    assert len(trace.calls[0].attention) == 4 and trace.calls[0].attention.popitem()[1].shape[-1] == 24


def test_without_an_adapter_and_with_other_arguments(loaded, looking):
    with pytest.raises(ValueError, match="load_ip_adapter"):
        loaded[0](PROMPT, ip_image=PICTURE)
    for wrong in ({"ip_scale": "1"}, {"ip_scale": None}, {"ip_image": "fox.png"}, {"ip_image": [PICTURE] * 3},
                  {"ip_image": Image.new("RGB", (0, 9))}):  # fmt: skip
        with pytest.raises(ValueError):
            looking[0](PROMPT, **{"ip_image": PICTURE} | wrong)


PROJ = {"image_proj.proj.0.weight": torch.ones(2, 2), "image_proj.norm.weight": torch.ones(2)}


@pytest.mark.parametrize("kind, content", {
    "Plus": {"image_proj.latents": torch.ones(1, 16, 4), "image_proj.proj_out.weight": torch.ones(4, 4)},
    "Full Face": PROJ | {"image_proj.proj.3.weight": torch.ones(2)}, "FaceID": PROJ,
    "FaceID Plus": {"image_proj.perceiver_resampler.proj_in.weight": torch.ones(2, 2)},
    "no IP-Adapter": {"x": torch.ones(1)},
}.items())  # fmt: skip
def test_other_adapters_are_refused_by_name(ip_folder, loaded, tmp_path, kind, content):
    save_file(content, tmp_path / "ip.safetensors")
    with pytest.raises(WeightsError, match=f"{kind}: give a plain one"):
        IPAdapter.load(tmp_path / "ip.safetensors", loaded[0].unet)
    (tmp_path / "ip.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match="is a pickle"):
        IPAdapter.load(tmp_path / "ip.bin", loaded[0].unet)


# Mistakes that the tests above see

PLANTED_LORA = [
    ("alpha / len(A)", "1"), ("alpha / len(A)", "alpha"), ("alpha / len(A)", "alpha / len(A) ** 0.5"),
    ("A.flatten(1)", "A.flip(0).flatten(1)"),
]  # fmt: skip
PLANTED_IP = [
    ("on", "scale * F.linear", "F.linear"), ("on", "layer.to_out.weight)", "layer.to_out.weight, layer.to_out.bias)"),
    ("on", "words[-len(out) :]", "words[: len(out)]"), ("on", "layer.to_q(args[0])", "args[0]"),
    ("on", 'pair["to_v_ip"]', 'pair["to_k_ip"]'), ("forward", 'self.image_proj["norm"](words)', "words"),
]  # fmt: skip


def replanted(monkeypatch, module, owner, name, old, new):
    """The method with `old` replaced by `new` in its source."""
    source = inspect.cleandoc("\n" + inspect.getsource(getattr(owner, name)))
    assert source.count(old) == 1
    space = dict(vars(module))
    exec("from __future__ import annotations\n" + source.replace(old, new), space)
    monkeypatch.setattr(owner, name, space[name])


@pytest.mark.parametrize("old, new", PLANTED_LORA)
def test_a_planted_mistake_in_lora_is_seen(pipes, file, monkeypatch, old, new):
    ours, theirs = pipes
    replanted(monkeypatch, adapt, LoRA, "changes", old, new)
    theirs.load_lora_weights(file, adapter_name="a")
    ours.load_lora(file)
    assert worst(ours, scaled(theirs, a=1.0)) > 100 * TOLERANCE


@pytest.mark.parametrize("name, old, new", PLANTED_IP)
def test_a_planted_mistake_in_the_ip_adapter_is_seen(looking, monkeypatch, name, old, new):
    replanted(monkeypatch, ip_adapter, IPAdapter, name, old, new)
    assert error(*drawn(looking, 0.6, 1.0)) > 100 * TOLERANCE


def test_the_order_of_the_layers_is_seen(looking, monkeypatch):
    middle_second = lambda unet: [layer for name, layer in unet.named_modules() if name.endswith("attn2")]  # noqa: E731
    monkeypatch.setattr(ip_adapter, "cross_attentions", lambda unet: middle_second(unet)[::-1])
    with pytest.raises(RuntimeError):
        drawn(looking, 0.6, 4.0)


# The command line


def test_a_picture_says_which_adapters_drew_it_and_is_drawn_again(weights, files, tmp_path, capsys):  # noqa: F811
    pipe = StableDiffusion.from_pretrained(weights, device="cpu")
    torch.manual_seed(3)
    for name in ("one", "two"):
        lora = LoRA.new(pipe.unet, rank=2, where="conv")
        for _, B, _ in lora.layers.values():
            torch.nn.init.normal_(B.detach())
        lora.save(tmp_path / f"{name}.safetensors")
    one, two = (str(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    save(randomised_part(IPAdapter.from_unet(pipe.unet, 8)), weights / "ipadapter.safetensors")
    rgb, out = files["rgb.png"], tmp_path / "out.png"

    def drawn(*argv):
        command(*argv, "--steps", 2, "--weights", weights, "--out", out)
        with Image.open(out) as picture:
            return np.asarray(picture), infotext.parse(picture.text["parameters"]), picture.text

    first, said, text = drawn("fox on green", "cat on blue", "--lora", f"{one}:0.5", "--lora", two, "--ip-image", rgb)
    assert said["Prompt"] == "fox on green <lora:one:0.5> <lora:two:1>" and said["IP-Adapter weight"] == "1"
    data = (tmp_path / "one.safetensors").read_bytes()
    digest = hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()[:12]
    assert said["Lora hashes"].startswith(f"one: {digest}, two: ")
    plain, without, _ = drawn("fox on green", "cat on blue")
    assert said["Model hash"] == without["Model hash"] and not np.array_equal(first, plain)

    drawn("fox on green", "cat on blue", "--lora", f"{one}:0.5", "--lora", two, "--ip-image", rgb)
    out.replace(tmp_path / "first.png")
    again = "--again", tmp_path / "first.png"
    same, _, other = drawn(*again, "--lora", one, "--lora", two, "--ip-image", rgb)
    assert np.array_equal(same, first) and other == text
    changed, said, _ = drawn(*again, "--lora", f"{one}:-2", "--lora", two, "--ip-image", rgb, "--ip-scale", 0)
    assert said["Prompt"] == "fox on green <lora:one:-2> <lora:two:1>" and not np.array_equal(changed, first)
    capsys.readouterr()
    for option, argv in {
        "--lora": ["--lora", one, "--ip-image", rgb], "--ip-image": ["--lora", one, "--lora", two],
    }.items():  # fmt: skip
        with pytest.raises(SystemExit):
            drawn(*again, *argv)
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and f"give it by {option}" in err
    for wrong in (["--lora", "nowhere"], ["--lora", f"{one}:20"], ["--lora", f"{one}:nan"], ["--ip-image", "no.png"],
                  ["--lora", str(files["rgb.png"])], ["--ip-scale", "much"]):  # fmt: skip
        with pytest.raises(SystemExit):
            drawn("fox", *wrong)
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text, expected", [
    ("a.safetensors", ("a.safetensors", None)), ("a.safetensors:0.8", ("a.safetensors", 0.8)),
    ("C:\\a", ("C:\\a", None)),
    ("C:\\a:-1", ("C:\\a", -1.0)), ("a:b.safetensors:2e-1", ("a:b.safetensors", 0.2)),
])  # fmt: skip
def test_a_file_and_its_weight(text, expected):
    assert lora_option(text) == (Path(expected[0]), expected[1])


# Training


@pytest.fixture(scope="module")
def objective(pipe, tmp_path_factory):
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    vision = VisionConfig(patch_size=32, **sizes)
    encoder = CLIPImage.of(CLIP(CLIPConfig(TextConfig(vocab_size=9, **sizes), vision, projection_dim=8)))
    adapter, cache = IPAdapter.from_unet(pipe.unet, 8), tmp_path_factory.mktemp("cache") / "latents.safetensors"
    objective = IPAdapterObjective(
        adapter, pipe.unet, encoder, pipe.vae, pipe.text, pipe.tokenizer, 8, data.SMALL, cache
    )
    objective.prepare()
    return objective


def test_an_adapter_sees_its_scenes_and_learns_alone(objective):
    indices = torch.arange(64)
    batch = objective.batch(indices)
    rows, _ = objective.rows(indices)
    assert torch.equal(batch["pictures"][5], data.batch([data.scene(int(rows[5]), data.SMALL)])[0])
    assert 16 < (batch["ids"] == objective.null[0]).all(1).sum() < 48, "half of the captions are empty"
    before = {name: tensor.clone() for name, tensor in objective.unet.state_dict().items()}
    few = {name: tensor[:4] for name, tensor in batch.items()}

    def loss(pictures):
        generators = [torch.Generator().manual_seed(i) for i in range(4)]
        with torch.no_grad():
            return objective(generators, **few | {"pictures": pictures}).item()

    first = loss(few["pictures"])
    assert first == loss(few["pictures"]) != loss(few["pictures"].flip(0))
    list(training_loop(objective, Settings(steps=3, batch=4, lr=1e-2, warmup=1), accelerator("cpu")))
    assert loss(few["pictures"]) != first
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.unet.state_dict().items())


def test_one_picture_in_ten_is_left_out(objective, monkeypatch):
    seen = []
    monkeypatch.setattr(objective.model, "forward", lambda embeds: seen.append(embeds) or 1 / 0)
    generators = [torch.Generator().manual_seed(i) for i in range(1000)]
    monkeypatch.setattr(objective.encoder, "forward", lambda pictures: torch.ones(len(pictures), 8))
    with pytest.raises(ZeroDivisionError):
        objective(generators, torch.zeros(1000, 4, 1, 1), torch.zeros(1000, 1).long(), torch.zeros(1000, 1))
    left_out = (seen[0] == 0).all(1).float().mean().item()
    assert abs(left_out - 0.1) < 3 * (0.1 * 0.9 / 1000) ** 0.5 and seen[0].unique().tolist() == [0, 1]


def test_an_adapter_is_measured_and_written(objective, monkeypatch, tmp_path):
    whole = training_ip.scenes
    monkeypatch.setattr(training_ip, "scenes", lambda indices, world: whole(indices[:12], world))  # of 64, to save time
    with torch.no_grad():
        picture, measures = objective.evaluate()
    assert picture.width > 6 * 128 and measures.keys() == {"cosine", "cosine_to_others"}
    save(objective.model, tmp_path / "ipadapter.safetensors")
    again = IPAdapter.load(tmp_path / "ipadapter.safetensors", objective.unet)
    assert all(torch.equal(t.half().float(), again.state_dict()[n]) for n, t in objective.model.state_dict().items())
