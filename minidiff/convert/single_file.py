"""Single-file checkpoints: all weights of a Stable Diffusion 1 or 2 in one file, by the names of the original code."""

import re
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from minidiff.convert.files import WeightsError, open_tensors

# Other kinds of files, by names that stand in no Stable Diffusion 1 or 2.
OTHERS = {
    r"^(lora|lycoris)_|\.lora_": "a LoRA, a change of another model's weights",
    r"^conditioner\.": "SDXL",
    r"\bjoint_blocks\.": "Stable Diffusion 3",
    r"\bdouble_blocks\.": "Flux",
    r"^(control_model|controlnet_\w+|input_hint_block)\.": "a ControlNet",
    r"^(string_to_param|emb_params)\b": "a textual inversion",
    r"^(encoder|decoder)\.": "a VAE alone",
    r"^(down|up)_blocks\.|^text_model\.": "one part of a folder of diffusers",
}
# Inside the parts, what is no parameter of ours: buffers, and what only training read. Outside them nothing has a share
# in a picture: betas, averages of the weights (model_ema.), the step that training was at.
UNUSED = re.compile(r"\b(position_ids|logit_scale|text_projection|attn_mask)$|^(loss|model_ema)\.")


def check_single_file(path: str | Path, part: str) -> None:
    """WeightsError, from the names in it, for a file that holds no whole Stable Diffusion 1 or 2, or no `part`."""
    with open_tensors(Path(path)) as file:
        names = list(file.keys())
    missing = [name for name in (*PARTS, part) if _prefix(names, name) is None]
    others = [what for pattern, what in OTHERS.items() if any(re.search(pattern, name) for name in names)]
    if missing:
        got = f"is {others[0]}" if others else f"has no {missing[0]}, no names {' or '.join(PARTS.get(missing[0], ''))}"
        raise WeightsError(f"{path} {got}: give a file with all of a Stable Diffusion 1 or 2")


def config_folder(path: Path, config: str | Path | None) -> Path:
    """`config`, the folder that says of a single file what it does not: sizes, tokenizer and scheduler.

    WeightsError for a file that holds no Stable Diffusion 1 or 2, or if there is no folder, with how to get one.
    """
    check_single_file(path, "UNet")
    if config is None:
        with open_tensors(path) as file:
            two = any(name.startswith("cond_stage_model.model.") for name in file.keys())
        name = "stabilityai/stable-diffusion-2-1" if two else "stable-diffusion-v1-5/stable-diffusion-v1-5"
        get = f"`hf download {name} --include '*.json' '*.txt' --local-dir FOLDER` gets one"
        raise WeightsError(f"{path} holds weights alone: give config=FOLDER, of diffusers, of the same model; {get}")
    return Path(config)


def original_part(tensors: dict[str, Tensor], part: str, config) -> tuple[dict[str, Tensor], list]:
    """The tensors of one part of a single file, by their names below its prefix, and the rules from diffusers' names.

    Query, key and value that are one matrix are split, and 1x1 convolutions of a VAE's attention become linear.
    """
    prefix, own = _prefix(tensors, part), {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix) or UNUSED.search(name := name.removeprefix(prefix)):
            continue
        if ".attn_1." in name and tensor.ndim > 2:
            tensor = tensor.flatten(1)
        if ".in_proj_" in name:
            own |= {name.replace("in_proj_", f"{x}_proj."): t for x, t in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            own[name] = tensor
    if part == "CLIPText":  # OpenCLIP's last layer, which Stable Diffusion 2 does not read
        own = {name: t for name, t in own.items() if f".resblocks.{config.num_hidden_layers}." not in name}
    return own, PARTS[part][prefix](config)


def _prefix(names: Iterable[str], part: str) -> str | None:
    """What stands before the names of a part's parameters."""
    return next((prefix for prefix in PARTS.get(part, ()) if any(name.startswith(prefix) for name in names)), None)


# Names of diffusers and transformers -> the original ones, as `models.RULES`, which come first.


def unet_rules(config) -> list:
    n, attention = config.layers_per_block + 1, config.attention[::-1]

    def block(name: str, first: int, place: str):  # counted through all levels there
        return lambda found: f"{name}.{n * int(found[1]) + int(found[2]) + first}.{place}"

    def upsample(found):  # the last of its block
        return f"output_blocks.{n * int(found[1]) + n - 1}.{1 + attention[int(found[1])]}"

    return [
        (r"^time_embedding\.linear_1\b", "time_embed.0"),
        (r"^time_embedding\.linear_2\b", "time_embed.2"),
        (r"^conv_in\b", "input_blocks.0.0"),
        (r"^conv_norm_out\b", "out.0"),
        (r"^conv_out\b", "out.2"),
        (r"(resnets\.\d+)\.norm1\b", r"\1.in_layers.0"),
        (r"(resnets\.\d+)\.conv1\b", r"\1.in_layers.2"),
        (r"(resnets\.\d+)\.norm2\b", r"\1.out_layers.0"),
        (r"(resnets\.\d+)\.conv2\b", r"\1.out_layers.3"),
        (r"\btime_emb_proj\b", "emb_layers.1"),
        (r"\bconv_shortcut\b", "skip_connection"),
        (r"^down_blocks\.(\d+)\.resnets\.(\d+)", block("input_blocks", 1, "0")),
        (r"^down_blocks\.(\d+)\.attentions\.(\d+)", block("input_blocks", 1, "1")),
        (r"^down_blocks\.(\d+)\.downsamplers\.(0)\.conv", block("input_blocks", n, "0.op")),
        (r"^mid_block\.resnets\.(\d+)", lambda found: f"middle_block.{2 * int(found[1])}"),
        (r"^mid_block\.attentions\.0", "middle_block.1"),
        (r"^up_blocks\.(\d+)\.resnets\.(\d+)", block("output_blocks", 0, "0")),
        (r"^up_blocks\.(\d+)\.attentions\.(\d+)", block("output_blocks", 0, "1")),
        (r"^up_blocks\.(\d+)\.upsamplers\.0", upsample),
    ]


def vae_rules(config) -> list:
    top = len(config.block_out_channels) - 1
    return [
        (r"\bdown_blocks\b", "down"),
        (r"\bup_blocks\.(\d+)", lambda found: f"up.{top - int(found[1])}"),  # counted from full resolution there
        (r"\bmid_block\.resnets\.(\d+)", lambda found: f"mid.block_{int(found[1]) + 1}"),
        (r"\bmid_block\.attentions\.0\b", "mid.attn_1"),
        (r"\bgroup_norm\b", "norm"),
        (r"\bto_([qkv])\b", r"\1"),
        (r"\bto_out\.0\b", "proj_out"),
        (r"\bresnets\b", "block"),
        (r"\b(down|up)samplers\.0\b", r"\1sample"),
        (r"\bconv_shortcut\b", "nin_shortcut"),
        (r"\bconv_norm_out\b", "norm_out"),
    ]


def clip_rules(config) -> list:
    return []  # the original code of Stable Diffusion 1 uses transformers' own


def open_clip_rules(config) -> list:
    return [
        (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
        (r"^embeddings\.", ""),
        (r"^encoder\.layers\b", "transformer.resblocks"),
        (r"\blayer_norm(\d)", r"ln_\1"),
        (r"\bself_attn\b", "attn"),
        (r"\bmlp\.fc1\b", "mlp.c_fc"),
        (r"\bmlp\.fc2\b", "mlp.c_proj"),
        (r"^final_layer_norm\b", "ln_final"),
    ]


# What stands before the names of each of our models -> its rules.
PARTS = {
    "UNet": {"model.diffusion_model.": unet_rules},
    "VAE": {"first_stage_model.": vae_rules},
    "CLIPText": {"cond_stage_model.transformer.": clip_rules, "cond_stage_model.model.": open_clip_rules},
}
