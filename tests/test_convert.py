"""Weight files, ours and theirs: what is written comes back, and what cannot be used is refused in one line."""

import inspect
import json
import logging
from dataclasses import dataclass

import diffusers
import oracle
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from minidiff.clip import CLIPText, CLIPTextProjected
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError, load, read_config, save, their_name
from minidiff.convert.formats import FORMATS, HARMLESS
from minidiff.convert.models import OLD, RULES
from minidiff.t5 import T5
from minidiff.unet import UNet
from minidiff.vae import VAE, TinyDecoder


@dataclass(frozen=True)
class InnerConfig:
    widths: tuple[int, ...] = (3, 5)


@dataclass(frozen=True)
class ToyConfig:
    inner: InnerConfig = InnerConfig()
    name: str = "toy"
    rate: float | None = None


class Toy(nn.Module):
    def __init__(self, config: ToyConfig = ToyConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        self.linear = nn.Linear(*config.inner.widths)
        self.register_buffer("steps", torch.tensor(7))


class Other(nn.Module):
    pass


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    save(Toy(ToyConfig(InnerConfig((4, 2)))), tmp_path / "toy.safetensors", quality={"psnr": 28.5}, command="train toy")
    return tmp_path / "toy.safetensors"


def test_what_is_saved_comes_back(tmp_path):
    model = Toy(ToyConfig(InnerConfig((4, 2)), name="Größe", rate=0.5)).to(torch.float32)
    nn.init.normal_(model.linear.weight)
    save(model, tmp_path / "new" / "toy.safetensors")
    back = load(Toy, str(tmp_path / "new" / "toy.safetensors"), device="cpu")
    assert back.config == model.config
    assert not back.training
    assert back.steps == 7 and back.steps.dtype == torch.int64
    for ours, theirs in zip(model.parameters(), back.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        assert torch.equal(ours.half().float(), theirs)


def test_the_file_holds_half_precision_and_the_card_is_for_people(path):
    assert load_file(path)["linear.weight"].dtype == torch.float16
    card = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert card["class"] == "Toy"
    assert card["config"] == {"inner": {"widths": [4, 2]}, "name": "toy", "rate": None}
    assert card["quality"] == {"psnr": 28.5} and card["command"] == "train toy"


def test_the_same_model_gives_the_same_bytes(path):
    before = path.read_bytes()
    save(load(Toy, path), path)
    assert path.read_bytes() == before


def test_weights_need_not_be_contiguous(tmp_path):
    model = Toy()
    model.linear.weight.data = torch.randn(3, 5).T
    save(model, tmp_path / "toy.safetensors")
    assert torch.equal(load(Toy, tmp_path / "toy.safetensors").linear.weight, model.linear.weight.half().float())


@pytest.mark.parametrize("value", [65520.0, -1e5, float("inf"), float("nan")])
def test_weights_beyond_half_precision_are_refused(path, value):
    before, model = path.read_bytes(), Toy()
    model.linear.weight.data[0, 0] = value
    with pytest.raises(WeightsError, match="linear.weight has values beyond 65504 or NaN"):
        save(model, path)
    assert path.read_bytes() == before


def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def fail(*_):
        raise OSError("disk full")

    with pytest.raises(TypeError):
        save(Toy(), path, quality=object())
    monkeypatch.setattr("minidiff.convert.files.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(Toy(), path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def refused(path, match, cls=Toy):
    with pytest.raises(WeightsError, match=match) as info:
        load(cls, path)
    assert "\n" not in str(info.value)
    assert str(path) in str(info.value)


def test_missing(tmp_path):
    refused(tmp_path / "none.safetensors", "no weight file")
    refused(tmp_path, "no weight file")


@pytest.mark.parametrize("size", [0, 4, 30, -1])
def test_truncated(path, size):
    path.write_bytes(path.read_bytes()[:size])
    refused(path, "damaged or no safetensors file")


def test_not_safetensors(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(path, "is a pointer of git-lfs, not the file itself: run `git lfs pull`")
    torch.save({"a": torch.zeros(1)}, path)
    refused(path, "damaged or no safetensors file")


def test_foreign(path):
    save_file({"linear.weight": torch.zeros(2, 4)}, path)
    refused(path, "was not written by minidiff")
    save_file({"linear.weight": torch.zeros(2, 4)}, path, {"format": "pt"})
    refused(path, "was not written by minidiff")


def test_another_class(path):
    refused(path, "holds a Toy, expected a Other", cls=Other)


class Extended(Toy):
    def __init__(self, config, scale=2.0):
        super().__init__(config)
        self.scale = scale


def test_a_subclass_reads_what_its_class_wrote_and_not_the_other_way_round(path):
    extended = load(Extended, path)
    assert extended.scale == 2 and torch.equal(extended.linear.weight, load(Toy, path).linear.weight)
    save(extended, path)
    assert load(Extended, path).config == extended.config
    refused(path, "holds a Extended, expected a Toy")


def about(**config):
    return {"minidiff": json.dumps({"class": "Toy", "config": config})}


def test_tensors_that_do_not_fit_the_config(path):
    tensors = load_file(path)
    save_file(tensors, path, about(inner={"widths": [4, 3]}))
    refused(path, r"2 parameters: got \(2,\) for linear.bias, expected \(3,\)")
    save_file({"linear.weight": tensors["linear.weight"], "x": torch.zeros(1)}, path, about(inner={"widths": [4, 2]}))
    refused(path, r"3 parameters: got nothing for linear.bias, expected \(2,\)")


@pytest.mark.parametrize("config", [{"depth": 3}, {"inner": {"depth": 3}}, {"outer": {"depth": 3}}])
def test_a_config_of_another_version(path, config):
    save_file(load_file(path), path, about(**config))
    refused(path, "config of another version")


def test_rules_follow_one_another():
    assert their_name("layers.0.mlp.fc1.weight") == "encoder.layers.0.mlp.fc1.weight"
    assert their_name("token_embedding.weight") == "embeddings.token_embedding.weight"
    assert their_name("mid_block.attention.to_out.bias") == "mid_block.attentions.0.to_out.0.bias"
    assert len(RULES + OLD) <= 30


# ---- diffusers and transformers

SMALL = ["U-Net", "VAE", "text", "ControlNet"]


@pytest.fixture
def warned(caplog):
    """What diffusers and transformers warn of."""
    for library in (diffusers, transformers):
        library.utils.logging.enable_propagation()
    yield lambda: [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    for library in (diffusers, transformers):
        library.utils.logging.disable_propagation()


@pytest.mark.parametrize("name", [name for name in oracle.SMALL if name != "TAESD"])  # half of theirs
def test_theirs_read_what_ours_write(name, tmp_path, warned):
    cls, options = oracle.SMALL[name]
    theirs = oracle.randomised(oracle.build_theirs(cls, options))
    ours = oracle.build_ours(cls, options, theirs)
    ours.to_diffusers(tmp_path / "part")
    back, info = oracle.THEIRS[cls].from_pretrained(tmp_path / "part", output_loading_info=True)
    assert not any(info.values()) and not warned()
    batch = oracle.inputs(cls, options)
    with torch.no_grad():
        assert oracle.error(oracle.run_theirs(back.eval(), batch), oracle.run_theirs(theirs, batch)) == 0
        again = cls.from_diffusers(tmp_path / "part")
        assert oracle.error(oracle.run_ours(again, batch), oracle.run_ours(ours, batch)) == 0
    assert again.config == ours.config and not again.training
    again.to_diffusers(tmp_path / "part")  # over the file it came from
    assert oracle.error(list(cls.from_diffusers(tmp_path / "part").parameters()), list(ours.parameters())) == 0


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_a_readers_own_subclass_is_stored_and_read_as_its_class(name, tmp_path):
    cls, options = oracle.SMALL[name]

    class Mine(cls):
        def __init__(self, config):
            super().__init__(config)
            self.seen = True

    theirs = oracle.randomised(oracle.build_theirs(cls, options))
    theirs.save_pretrained(tmp_path / "theirs")
    mine = Mine.from_diffusers(tmp_path / "theirs")
    assert type(mine) is Mine and mine.seen and same(mine, theirs)
    mine.to_diffusers(tmp_path / "mine")
    assert same(cls.from_diffusers(tmp_path / "mine"), theirs)
    assert not any(oracle.THEIRS[cls].from_pretrained(tmp_path / "mine", output_loading_info=True)[1].values())
    save(mine, tmp_path / "mine.safetensors")
    assert load(Mine, tmp_path / "mine.safetensors").seen


def folder_of(name, path, **kwargs):
    cls, options = oracle.SMALL[name]
    theirs = oracle.randomised(oracle.build_theirs(cls, options))
    theirs.save_pretrained(path, **kwargs)
    return cls, theirs, path


def same(ours, theirs):
    expected = oracle.their_state(theirs)
    names = [their_name(name) for name in ours.state_dict()]
    return sorted(names) == sorted(expected) and all(
        tensor.dtype == torch.float32 and torch.equal(tensor, expected[name].float())
        for name, tensor in zip(names, ours.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", [*SMALL, "TAESD"])
def test_ours_read_what_theirs_write(name, tmp_path):
    cls, theirs, folder = folder_of(name, tmp_path)
    assert same(cls.from_diffusers(str(folder), device="cpu"), theirs)


@pytest.mark.parametrize("name", SMALL)
def test_shards(name, tmp_path):
    cls, theirs, folder = folder_of(name, tmp_path, max_shard_size="40KB")
    assert len(list(folder.glob("*-of-*.safetensors"))) > 1
    assert same(cls.from_diffusers(folder), theirs)
    shard = sorted(folder.glob("*-of-*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(WeightsError, match=f"{shard.name} is missing"):
        cls.from_diffusers(folder)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("name", ["U-Net", "text"])
def test_half_precision(name, sharded, tmp_path):
    size = {"max_shard_size": "40KB"} if sharded else {}
    cls, theirs, folder = folder_of(name, tmp_path)
    theirs.half().save_pretrained(folder, variant="fp16", **size)
    assert not same(cls.from_diffusers(folder), theirs)  # single precision is there too
    (folder / f"{FORMATS[cls.__name__].stem}.safetensors").unlink()
    assert same(cls.from_diffusers(folder), theirs)


def rewrite(folder, change, stem="diffusion_pytorch_model"):
    path = folder / f"{stem}.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_text_of_any_age(prefix, tmp_path):
    cls, theirs, folder = folder_of("text", tmp_path)

    def older(state):
        state = {prefix + name.removeprefix("text_model."): tensor for name, tensor in state.items()}
        return state | {prefix + "embeddings.position_ids": torch.arange(12)[None]}

    rewrite(folder, older, "model")
    assert same(cls.from_diffusers(folder), theirs)


def test_a_vae_with_the_old_names_of_attention(tmp_path):
    cls, theirs, folder = folder_of("VAE", tmp_path)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def older(state):
        for new, name in old.items():
            state = {key.replace(f".{new}.", f".{name}."): tensor for key, tensor in state.items()}
        return state

    rewrite(folder, older)
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in load_file(
        folder / "diffusion_pytorch_model.safetensors"
    )
    assert same(cls.from_diffusers(folder), theirs)


def not_read(cls, folder, match):
    with pytest.raises(WeightsError, match=match) as info:
        cls.from_diffusers(folder)
    assert "\n" not in str(info.value)


def test_every_name_and_shape_must_fit(tmp_path):
    cls, _, folder = folder_of("VAE", tmp_path)
    rewrite(folder, lambda state: state | {"encoder.more": torch.zeros(3)})
    not_read(cls, folder, r"1 parameters: got \(3,\) for encoder.more, expected nothing")
    rewrite(folder, lambda state: {k: v for k, v in state.items() if "more" not in k and k != "quant_conv.bias"})
    not_read(cls, folder, r"1 parameters: got nothing for quant_conv.bias, expected \(8,\)")
    rewrite(folder, lambda state: state | {"quant_conv.bias": torch.zeros(7)})
    not_read(cls, folder, r"1 parameters: got \(7,\) for quant_conv.bias, expected \(8,\)")
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"none")
    not_read(cls, folder, "damaged or no safetensors file")


def test_folders_that_cannot_be_read(tmp_path):
    not_read(UNet, "runwayml/stable-diffusion-v1-5", "`hf download runwayml/stable-diffusion-v1-5 --local-dir FOLDER`")
    not_read(UNet, tmp_path / "none", r"no folder .*none: give the folder with the config.json of a UNet")
    not_read(UNet, tmp_path, r"config.json cannot be read .*: give another folder")
    (tmp_path / "model_index.json").touch()
    not_read(UNet, tmp_path, r"config.json cannot be read .*: give one of its parts, such as unet/")
    (tmp_path / "config.json").write_text("{")
    not_read(UNet, tmp_path, "config.json cannot be read")
    (tmp_path / "config.json").write_text(json.dumps(oracle.SMALL_UNET))
    not_read(UNet, tmp_path, "no diffusion_pytorch_model.safetensors in .*: download it again")


@pytest.mark.parametrize("file", ["diffusion_pytorch_model.bin", "model.ckpt", "model.pt"])
def test_pickles_are_not_read(file, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(oracle.SMALL_UNET))
    torch.save({}, tmp_path / file)
    not_read(UNet, tmp_path, f"{file} is a pickle, which .* let diffusers convert it, .*save_pretrained")
    not_read(UNet, tmp_path / file, f"{file} is a pickle")


TRANSFORMERS = dict.fromkeys((CLIPText, CLIPTextProjected), transformers.CLIPTextConfig) | {T5: transformers.T5Config}
THEIR_CONFIG = oracle.THEIRS | TRANSFORMERS


@pytest.mark.parametrize("cls", THEIR_CONFIG, ids=lambda cls: cls.__name__)
def test_every_option_of_theirs_is_known_with_its_default(cls):
    if cls in TRANSFORMERS:
        theirs = {k: v for k, v in inspect.signature(TRANSFORMERS[cls]).parameters.items() if k != "kwargs"}
        common = inspect.signature(transformers.PreTrainedConfig).parameters
        theirs = {k: v for k, v in theirs.items() if k not in common or k in FORMATS[cls.__name__].options}
    else:
        theirs = {k: v for k, v in inspect.signature(THEIR_CONFIG[cls].__init__).parameters.items() if k != "self"}
    known = FORMATS[cls.__name__].defaults
    if cls is TinyDecoder:  # which registers it itself
        theirs["block_out_channels"] = theirs["decoder_block_out_channels"]
    harmless = HARMLESS - {"projection_dim"} if cls is CLIPTextProjected else HARMLESS
    assert theirs.keys() - harmless == known.keys()
    for name in theirs.keys() - harmless:
        default = theirs[name].default
        assert known[name] == (list(default) if isinstance(default, tuple) else default), name
    assert not harmless & known.keys()


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_harmless_options_change_no_result(name):
    cls, options = oracle.SMALL[name]
    signature = inspect.signature(transformers.CLIPTextConfig if cls is CLIPText else THEIR_CONFIG[cls].__init__)
    harmless = {key: value.default for key, value in signature.parameters.items() if key in HARMLESS and key != "dtype"}
    changed = {}
    for key, default in harmless.items():
        changed[key] = not default if isinstance(default, bool) else 0.5 if isinstance(default, float) else 3
    assert len(changed) > (0 if cls is VAE else 3)
    theirs, other = (oracle.randomised(oracle.build_theirs(cls, o)) for o in (options, options | changed))
    batch = oracle.inputs(cls, options)
    assert oracle.error(oracle.run_theirs(other, batch), oracle.run_theirs(theirs, batch)) == 0


def refused_options():
    """Each option of each model with a value that no model has."""
    for cls, options in (oracle.SMALL[name] for name in SMALL):
        for name in FORMATS[cls.__name__].options.keys() - {"down_block_types", "attention_head_dim"}:
            yield cls, options, name, "other"
        yield cls, options, "new_option", None
    for cls in (UNet, ControlNet):
        options = oracle.SMALL_UNET if cls is UNet else oracle.SMALL_CONTROLNET
        yield cls, options, "down_block_types", ["CrossAttnDownBlock2D", "AttnDownBlock2D"]
        yield cls, options, "mid_block_type", "UNetMidBlock2DSimpleCrossAttn"
        yield cls, options, "transformer_layers_per_block", [1, [2, 2]]
        yield cls, options, "cross_attention_dim", [24, 32]
        yield cls, options, "num_attention_heads", 4
        yield cls, options, "norm_eps", 1e-6
        yield cls, options, "class_embed_type", "timestep"
    yield UNet, oracle.SMALL_UNET, "_class_name", "UNet2DModel"
    yield ControlNet, oracle.SMALL_CONTROLNET, "mid_block_type", None
    yield UNet, oracle.SMALL_UNET, "up_block_types", ["CrossAttnUpBlock2D"] * 2
    yield UNet, oracle.SMALL_UNET, "sample_size", None
    yield ControlNet, oracle.SMALL_CONTROLNET, "controlnet_conditioning_channel_order", "bgr"
    yield ControlNet, oracle.SMALL_CONTROLNET, "global_pool_conditions", True
    yield VAE, oracle.SMALL_VAE, "down_block_types", ["DownEncoderBlock2D"] * 2
    yield VAE, oracle.SMALL_VAE, "out_channels", 4
    yield VAE, oracle.SMALL_VAE, "use_post_quant_conv", False
    yield VAE, oracle.SMALL_VAE, "latents_mean", [0.1, 0.2, 0.3, 0.4]
    yield CLIPText, oracle.SMALL_TEXT, "hidden_act", "gelu_new"
    yield CLIPText, oracle.SMALL_TEXT, "eos_token_id", [2, 3]


def test_what_is_not_implemented_is_refused_by_name():
    refused = 0
    for cls, options, name, value in refused_options():
        with pytest.raises(WeightsError, match=rf"\b{name}\b") as info:
            read_config(cls, options | {name: value}, "config.json")
        assert repr(value) in str(info.value) and "use diffusers for it" in str(info.value)
        assert "\n" not in str(info.value)
        refused += 1
    assert refused > 100


def test_another_model_is_refused_for_what_it_is():
    with pytest.raises(WeightsError, match="_class_name = 'AutoencoderKL', a UNet takes 'UNet2DConditionModel' only"):
        read_config(UNet, oracle.SMALL_VAE)


def test_one_value_may_stand_for_a_list():
    several = {
        "attention_head_dim": [4, 4],
        "transformer_layers_per_block": [1, 1],
        "only_cross_attention": [False] * 2,
    }
    assert read_config(UNet, oracle.SMALL_UNET | several) == read_config(UNet, oracle.SMALL_UNET)
