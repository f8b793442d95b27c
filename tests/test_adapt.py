"""LoRA, textual inversion and IP-Adapter, against peft and diffusers, on tiny models with random weights."""

import inspect
import json
import re

import diffusers
import numpy as np
import peft
import pytest
import torch
import transformers
from diffusers.utils import convert_state_dict_to_diffusers
from oracle import SMALL, build_ours, build_theirs, error, inputs, randomised, run_ours, run_theirs
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_full_pipelines import NEGATIVE, PROMPT, SD15, tiny_pipeline
from test_full_pipelines import randomised as randomised_part

from minidiff import adapt, infotext, ip_adapter
from minidiff.adapt import LoRA
from minidiff.convert import WeightsError
from minidiff.convert.models import their_name
from minidiff.convert.single_file import unet_rules
from minidiff.ip_adapter import IPAdapter, clip_pixels
from minidiff.pipeline import StableDiffusion

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


@pytest.fixture(scope="module")
def loaded(folder):
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    return StableDiffusion.from_diffusers(folder, "cpu"), theirs


@pytest.fixture
def pipes(loaded):
    """Ours and theirs, without LoRAs again afterwards."""
    yield loaded
    ours, theirs = loaded
    ours.unload_loras()
    theirs.unload_lora_weights()


def outputs(pipe) -> list:
    """What U-Net and text encoder make of a fixed input."""
    generator = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 4, 9, 7, generator=generator), torch.randn(2, 6, 32, generator=generator)
    ids, t = torch.randint(0, 900, (2, 24), generator=generator), torch.tensor([3.25, 976.75])
    with torch.no_grad():
        if isinstance(pipe, StableDiffusion):
            return [pipe.unet(x, t, context), pipe.text(ids)]
        return [pipe.unet(x, t, context).sample, pipe.text_encoder(ids).last_hidden_state]


def worst(ours, theirs) -> float:
    return error(outputs(ours), outputs(theirs))


def scaled(theirs, **weights):
    theirs.set_adapters(list(weights), list(weights.values()))
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
    about = dict(unet_lora_adapter_metadata=unet_config.to_dict(), text_encoder_lora_adapter_metadata=text_config.to_dict())
    theirs.save_lora_weights(
        path, unet, convert_state_dict_to_diffusers(text), **about if header else {}
    )
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
    weights = {part: {k: v.clone() for k, v in m.state_dict().items()} for part, m in ours._parts.items()}
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
    assert not ours.loras and not ours.own
    for part, model in ours._parts.items():
        assert all(torch.equal(v, weights[part][k]) for k, v in model.state_dict().items())


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


def kohya(pipe, path, original=False, alpha=lambda i: 2.0):
    """A random LoRA as kohya's scripts write it: for every layer, with a rank and, after `alpha`, an alpha of its own."""
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
                f"{flat}.alpha": torch.tensor(alpha(i)),
            }
            i += 1
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("original", [False, True], ids=["diffusers' names", "CompVis' names"])
def test_a_lora_of_kohya(pipes, tmp_path, original):
    ours, theirs = pipes
    file = kohya(ours, tmp_path / "kohya.safetensors", original)
    theirs.load_lora_weights(file, **{"unet_config": theirs.unet.config} if original else {})
    ours.load_lora(file, 0.6)
    assert len(ours.loras["kohya"][0].layers) > 40
    assert worst(ours, scaled(theirs, default_0=0.6)) < TOLERANCE


def test_alphas_of_kohya_differ_by_layer(pipes, tmp_path):
    ours, _ = pipes
    file = kohya(ours, tmp_path / "kohya.safetensors", alpha=lambda i: 1.0 + i % 4)
    lora = LoRA.load(file, ours._parts)
    assert [alpha for *_, alpha in lora.layers.values()] == [1.0 + i % 4 for i in range(len(lora.layers))]


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
    "lora_unet_conv_in.hada_w1_a": "a LoHa", "lora_unet_conv_in.lokr_w1": "a LoKr", "unet.conv_in.oft_R.weight": "an OFT",
    "unet.conv_in.lora_magnitude_vector.weight": "a DoRA", "lora_unet_conv_in.dora_scale": "a DoRA",
    "lora_unet_conv_in.lora_mid.weight": "a LoCon", "unet.conv_in.lora_B.bias": "a LoRA with biases",
    "lora_unet_conv_in.diff": "an IA3, a GLoRA", "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": "a LoRA for SDXL",
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
    about = json.dumps({"unet.use_dora": True})
    save_file(tensors, tmp_path / "dora.safetensors", {"lora_adapter_metadata": about})
    with pytest.raises(WeightsError, match="DoRA"):
        ours.load_lora(tmp_path / "dora.safetensors")
    for weight in ("1", None, float("nan"), [1]):
        with pytest.raises(ValueError, match="expected a number"):
            ours.load_lora(file, weight)
