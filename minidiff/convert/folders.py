"""Whole pipelines of diffusers: which kind a folder holds, its parts, and the scheduler as that pipeline takes it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minidiff.convert.files import WeightsError, read_json, write_json
from minidiff.convert.models import check_folder
from minidiff.convert.schedulers import scheduler, scheduler_options, with_sampler
from minidiff.sample import SAMPLERS

# The pipelines that are ours, and the options that each sets in its scheduler, whatever the file says.
WHAT = ("", "Img2Img", "Inpaint")
PIPELINES = {
    "StableDiffusionPipeline": {"steps_offset": 1, "clip_sample": False},
    "StableDiffusionImg2ImgPipeline": {"steps_offset": 1, "clip_sample": False},
    "StableDiffusionInpaintPipeline": {"steps_offset": 1, "skip_prk_steps": True},
}
for family in ("StableDiffusionControlNet", "StableDiffusionXL", "StableDiffusionXLControlNet"):
    PIPELINES |= {f"{family}{what}Pipeline": {} for what in WHAT}
for family in ("StableDiffusion3", "Flux"):
    PIPELINES |= {f"{family}{what}Pipeline": {"_even": family == "Flux"} for what in WHAT}
PIPELINES |= {f"LatentConsistencyModel{what}Pipeline": {"_skipped": 0} for what in WHAT[:2]}
PARTS = {  # and their classes; of schedulers any, as `read_scheduler` says which are ours
    "vae": ("AutoencoderKL",),
    "unet": ("UNet2DConditionModel",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "scheduler": None,
}
SECOND = {"text_encoder_2": ("CLIPTextModelWithProjection",), "tokenizer_2": PARTS["tokenizer"]}
T5, T5_TOKENIZERS = ("T5EncoderModel",), ("T5Tokenizer", "T5TokenizerFast")
FLOW = {name: PARTS[name] for name in ("vae", "text_encoder", "tokenizer")}
FLOW["scheduler"] = ("FlowMatchEulerDiscreteScheduler",)
FAMILIES = {  # what the names of their pipelines begin with
    "StableDiffusionXL": PARTS | SECOND,
    "StableDiffusion3": FLOW | SECOND | {
        "transformer": ("SD3Transformer2DModel",), "text_encoder": SECOND["text_encoder_2"],
        "text_encoder_3": T5, "tokenizer_3": T5_TOKENIZERS,
    },
    "Flux": FLOW | {
        "transformer": ("FluxTransformer2DModel",), "text_encoder_2": T5, "tokenizer_2": T5_TOKENIZERS
    },
    "StableDiffusion": PARTS,
    "LatentConsistencyModel": PARTS,
}  # fmt: skip
# SDXL's refiner has the second text encoder alone, and SD 3 may do without T5
OPTIONAL = {"StableDiffusionXL": ("text_encoder", "tokenizer"), "StableDiffusion3": ("text_encoder_3", "tokenizer_3")}
# Parts that have no share in the picture, or are given as `control`.
IGNORED = ("safety_checker", "feature_extractor", "controlnet")


def read_kind(folder: str | Path) -> str:
    """Which of PIPELINES a folder holds: the class that model_index.json names. WeightsError if it is another.

    A model family is told by this name alone.
    """
    kind = _index(folder).get("_class_name")
    if not isinstance(kind, str) or kind not in PIPELINES:
        expected = "StableDiffusionPipeline, StableDiffusionXLPipeline, or Img2Img, Inpaint or ControlNet of them"
        expected += ", StableDiffusion3Pipeline, FluxPipeline, or Img2Img or Inpaint of them"
        expected += ", LatentConsistencyModelPipeline or Img2Img of it"
        raise WeightsError(f"{folder} is of _class_name {kind!r}, expected {expected}: use diffusers for it")
    return kind


def read_index(folder: str | Path) -> dict[str, tuple[str | None, str | None]]:
    """The parts of a pipeline, name -> (library, class); an absent part is (None, None).

    WeightsError for one that is missing or that minidiff does not implement.
    """
    kind, index = read_kind(folder), _index(folder).items()
    family = next(name for name in FAMILIES if kind.startswith(name))
    known = FAMILIES[family]
    parts = {name: tuple(value) for name, value in index if isinstance(value, list) and len(value) == 2}
    for name, (library, kind) in parts.items():
        ours = name in known and library in ("diffusers", "transformers") and kind in (known[name] or [kind])
        ours = ours or name in IGNORED
        if kind is not None and not ours:
            what = f"{name}, {kind} of {library}"
            raise WeightsError(f"{folder} has the part {what}, which minidiff does not implement: use diffusers for it")
    needed = [name for name in known if name not in OPTIONAL.get(family, ())]
    if missing := [name for name in needed if parts.get(name, (None, None))[1] is None]:
        raise WeightsError(f"{folder} has no {missing[0]} in its model_index.json: give a folder with all its parts")
    return parts


class Options(NamedTuple):
    """What model_index.json says of how prompts are read."""

    sizes: int  # how many numbers the U-Net is told of the picture: six in SDXL, five in its refiner, else none
    zeros: bool  # whether it is told 0 for an empty negative prompt


def read_options(folder: str | Path) -> Options:
    kind, index = read_kind(folder), _index(folder)
    scored = index.get("requires_aesthetics_score") and ("Img2Img" in kind or "Inpaint" in kind)
    return Options(6 - bool(scored) if "XL" in kind else 0, index.get("force_zeros_for_empty_prompt", True))


def read_scheduler(folder: str | Path, sampler: Callable | None = None) -> dict:
    """The config of a folder's scheduler as diffusers' pipeline takes it.

    Its class is the one that model_index.json names, or that of `sampler`, as if its scheduler had been given to
    diffusers' `from_pretrained(folder, scheduler=...)`; then the options that the pipeline sets. WeightsError, which
    names the samplers that can take its place, if none of ours does exactly what it asks for.
    """
    folder = Path(folder)
    config = read_json(folder / "scheduler" / "scheduler_config.json", "download it again")
    config |= PIPELINES[read_kind(folder)] | {"_class_name": read_index(folder)["scheduler"][1]}
    if sampler is not None:
        config = with_sampler(config, sampler)
    if error := _refusal(config):
        fitting = [own for own, sample in SAMPLERS.items() if not _refusal(with_sampler(config, sample))]
        if "beta_schedule" not in config:  # another sampler would take its class' default, which is for pixels
            fitting = []
        instead = f"; or from_diffusers(folder, sampler={' | '.join(fitting)})" if fitting else ""
        raise WeightsError(f"{folder / 'scheduler'}: {error}{instead}")
    return config


def read_sample_size(folder: str | Path) -> int:
    """Height and width of the latents if nobody says: the U-Net's `sample_size`, but 64 at least in files of diffusers
    before 0.9, which had 32 there by mistake."""
    config = read_json(Path(folder) / "unet" / "config.json", "download it again")
    size, version = config.get("sample_size"), re.match(r"(\d+)\.(\d+)", str(config.get("_diffusers_version")))
    old = version is not None and tuple(map(int, version.groups())) < (0, 9)
    return max(size, 64) if old else size


def check_fit(folder: str | Path, net, vae, *texts, sizes: int = 0) -> None:
    """WeightsError unless a network, in `folder`, is for such a VAE, text encoders and `sizes`, by their configs."""
    latents, clips = vae.latent_channels, [text for text in texts if hasattr(text, "hidden_size")]
    width = sum(clip.hidden_size for clip in clips)
    if hasattr(net, "joint_attention_dim"):
        flux, t5 = hasattr(net, "guidance_embeds"), [text.d_model for text in texts if hasattr(text, "d_model")]
        channels = 4 * latents if flux else latents
        pooled = clips[0].hidden_size if flux else sum(clip.projection_dim for clip in clips)
        # SD 3 pads the states of both CLIPs to those of T5, or to what it would be told if T5 were there
        width = t5[0] if flux else max(width, *(t5 or [net.joint_attention_dim]))
        fitting = {
            "in_channels": ((channels,), f"{channels}, for the VAE's {latents}"),
            "out_channels": ((channels, None), f"{channels}, for the VAE's {latents}"),
            "joint_attention_dim": ((width,), f"the text encoders' {width}"),
            "pooled_projection_dim": ((pooled,), f"the pooled text's {pooled}"),
        }
    else:
        added = texts[-1].projection_dim + sizes * (net.addition_time_embed_dim or 0) if sizes else None
        fitting = {
            "in_channels": ((latents, 2 * latents + 1), f"the VAE's {latents}, or {2 * latents + 1} for inpainting"),
            "out_channels": ((latents,), f"the VAE's {latents}"),
            "cross_attention_dim": ((width, None), f"the text encoder's {width}"),
            "projection_class_embeddings_input_dim": ((added,), f"{added}, of the pooled text and {sizes} sizes"),
        }
    for name, (fine, expected) in fitting.items():
        if (got := getattr(net, name)) not in fine:
            raise WeightsError(f"{folder} has {name} = {got}, expected {expected}: such a model is not implemented")


def write_index(folder: str | Path, config: dict, kind: str = "StableDiffusionPipeline") -> None:
    """The model_index.json of a Stable Diffusion pipeline, one of PIPELINES, with a scheduler of that config.

    WeightsError if diffusers would set an option of it to something else, and so draw another picture.
    """
    name, options = scheduler_options(config)
    for key, value in PIPELINES[kind].items():
        if options.get(key, value) != value:
            why = f"diffusers' {kind} sets it to {value!r}, and draws other pictures"
            raise WeightsError(f"{key} of {name} is {options[key]!r}: {why}; set it so")
    parts = {
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", name],
    }
    absent = {name: [None, None] for name in ("safety_checker", "feature_extractor", "image_encoder")}
    # diffusers asks the kind for inpainting for its version
    about = {"_class_name": kind, "_diffusers_version": "0.9.0", "requires_safety_checker": False}
    write_json(Path(folder) / "model_index.json", about | parts | absent)


def _index(folder: str | Path) -> dict:
    check_folder(Path(folder), "with the model_index.json of a Stable Diffusion pipeline")
    advice = "give the folder of a whole pipeline, with unet/, vae/ and others"
    return read_json(Path(folder) / "model_index.json", advice)


def _refusal(config: dict) -> str | None:
    """Why no sampler of ours draws by this config, or None. Of few steps, so that no refusal of many is met."""
    try:
        scheduler(config, 2, 1 if "_even" in config else None)  # others are not told how many patches there are
    except ValueError as error:
        return str(error)
    return None
