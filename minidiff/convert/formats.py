"""What diffusers' and transformers' files say of each of our models: options, their defaults, and which are ours."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from minidiff.convert.files import WeightsError


@dataclass(frozen=True)
class Format:
    """How diffusers or transformers stores one of our models."""

    stem: str  # of the file with the weights, less .safetensors
    kind: dict  # the option that says which model it is
    defaults: dict  # the others that have an effect, and what they are where config.json is silent
    read: Callable[[dict], dict]  # options -> the fields of our config that have no option of their name
    write: Callable[[object], dict]  # our config -> the options that are no field of it
    rules: list = field(default_factory=list)  # on top of RULES; read away by OLD
    unread: str = r"\bembeddings\.position_ids$"  # of what we have no use for: these, in older files, are 0, 1, 2 ...

    @property
    def options(self) -> dict:
        return self.kind | self.defaults


# Options that take no part in a result: about the file, about training, or read only with one that is refused.
HARMLESS = {
    "_diffusers_version", "_name_or_path", "architectures", "torch_dtype", "dtype", "transformers_version",
    "dropout", "attention_dropout", "initializer_factor", "initializer_range", "force_upcast", "upcast_attention",
    "addition_embed_type_num_heads", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    "mid_block_only_cross_attention", "bos_token_id", "pad_token_id", "projection_dim",
    # of T5: its decoder's, and what follows from feed_forward_proj
    "num_decoder_layers", "decoder_start_token_id", "is_encoder_decoder", "use_cache", "tie_word_embeddings",
    "scale_decoder_outputs", "dense_act_fn", "is_gated_act", "output_past", "dropout_rate", "classifier_dropout",
    # of AutoencoderTiny: its encoder's, and how it packs latents into a picture
    "encoder_block_out_channels", "num_encoder_blocks", "latent_magnitude", "latent_shift",
}  # fmt: skip

# All other options of diffusers 0.42 and transformers 5.23, with their defaults. Where our config has no such field,
# and `write` does not give the option, the default is the one value that our code implements.
ENCODER = dict(
    in_channels=4, block_out_channels=[320, 640, 1280, 1280], layers_per_block=2, norm_num_groups=32, norm_eps=1e-5,
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], mid_block_type="UNetMidBlock2DCrossAttn",
    attention_head_dim=8, num_attention_heads=None, cross_attention_dim=1280, use_linear_projection=False,
    only_cross_attention=False, transformer_layers_per_block=1, flip_sin_to_cos=True, freq_shift=0, act_fn="silu",
    downsample_padding=1, mid_block_scale_factor=1, encoder_hid_dim=None, encoder_hid_dim_type=None,
    class_embed_type=None, num_class_embeds=None, addition_embed_type=None, resnet_time_scale_shift="default",
)  # fmt: skip
UNET = ENCODER | dict(
    sample_size=None, out_channels=4, up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    center_input_sample=False, reverse_transformer_layers_per_block=None, dual_cross_attention=False,
    cross_attention_norm=None, attention_type="default", resnet_skip_time_act=False, resnet_out_scale_factor=1.0,
    time_embedding_type="positional", time_embedding_dim=None, time_embedding_act_fn=None, timestep_post_act=None,
    time_cond_proj_dim=None, conv_in_kernel=3, conv_out_kernel=3, class_embeddings_concat=False,
)  # fmt: skip
CONTROLNET = ENCODER | dict(
    conditioning_channels=3, conditioning_embedding_out_channels=[16, 32, 96, 256],
    controlnet_conditioning_channel_order="rgb", global_pool_conditions=False,
)  # fmt: skip
VAE = dict(
    in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"], up_block_types=["UpDecoderBlock2D"],
    block_out_channels=[64], layers_per_block=1, act_fn="silu", latent_channels=4, norm_num_groups=32, sample_size=32,
    scaling_factor=0.18215, shift_factor=None, latents_mean=None, latents_std=None, use_quant_conv=True,
    use_post_quant_conv=True, mid_block_add_attention=True,
)  # fmt: skip
TINY = dict(
    in_channels=3, out_channels=3, decoder_block_out_channels=[64] * 4, num_decoder_blocks=[3, 3, 3, 1], act_fn="relu",
    upsample_fn="nearest", upsampling_scaling_factor=2, latent_channels=4, scaling_factor=1.0, shift_factor=0.0,
    block_out_channels=[64] * 4,  # which it sets to those of its decoder
)  # fmt: skip
TEXT = dict(
    vocab_size=49408, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
    max_position_embeddings=77, hidden_act="quick_gelu", layer_norm_eps=1e-5, eos_token_id=49407,
)  # fmt: skip
MMDIT = dict(
    sample_size=128, patch_size=2, in_channels=16, num_layers=18, attention_head_dim=64, num_attention_heads=18,
    joint_attention_dim=4096, caption_projection_dim=1152, pooled_projection_dim=2048, out_channels=16,
    pos_embed_max_size=96, dual_attention_layers=[], qk_norm=None,
)  # fmt: skip
FLUX = dict(
    patch_size=1, in_channels=64, out_channels=None, num_layers=19, num_single_layers=38, attention_head_dim=128,
    num_attention_heads=24, joint_attention_dim=4096, pooled_projection_dim=768, guidance_embeds=False,
    axes_dims_rope=[16, 56, 56],
)  # fmt: skip
T5 = dict(
    vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, relative_attention_num_buckets=32,
    relative_attention_max_distance=128, layer_norm_epsilon=1e-6, feed_forward_proj="relu", eos_token_id=1,
    is_decoder=False,
)  # fmt: skip
VISION = dict(
    hidden_size=768, intermediate_size=3072, projection_dim=512, num_hidden_layers=12, num_attention_heads=12,
    num_channels=3, image_size=224, patch_size=32, hidden_act="quick_gelu", layer_norm_eps=1e-5,
)  # fmt: skip
# of the pictures that OpenAI trained on, as CLIPImageProcessor has them
CLIP_COLOURS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


ADDED = "addition_time_embed_dim", "projection_class_embeddings_input_dim"  # read in SDXL alone


def _read_encoder(options: dict) -> dict:
    heads = options["attention_head_dim"]  # the number of heads, whatever its name says
    layers, levels = options["transformer_layers_per_block"], len(options["block_out_channels"])
    layers = layers if isinstance(layers, list) else [layers] * levels
    no_attention = options["mid_block_type"] == "UNetMidBlock2D"
    return {
        "attention": [kind == "CrossAttnDownBlock2D" for kind in options["down_block_types"]],
        "heads": heads if isinstance(heads, list) else [heads] * levels,
        "transformer_layers": layers if set(map(type, layers)) == {int} and set(layers) != {1} else [],
        "cross_attention_dim": None if no_attention else options["cross_attention_dim"],
        **{name: options.get(name) if options["addition_embed_type"] == "text_time" else None for name in ADDED},
    }


def _read_unet(options: dict) -> dict:
    return _read_encoder(options) | {"mid_block": options["mid_block_type"] is not None}


def _write_encoder(config) -> dict:
    no_attention = config.cross_attention_dim is None
    return {
        "down_block_types": [
            "CrossAttnDownBlock2D" if level and not no_attention else "DownBlock2D" for level in config.attention
        ],
        "mid_block_type": "UNetMidBlock2D" if no_attention else "UNetMidBlock2DCrossAttn",
        "attention_head_dim": list(config.heads),
        "cross_attention_dim": 1280 if no_attention else config.cross_attention_dim,  # must be a number there
        "transformer_layers_per_block": list(config.transformer_layers) or 1,
        "addition_embed_type": None if config.addition_time_embed_dim is None else "text_time",
        **{name: getattr(config, name) for name in ADDED},
    }


def _write_unet(config) -> dict:
    options = _write_encoder(config)
    options["up_block_types"] = [kind.replace("Down", "Up") for kind in reversed(options["down_block_types"])]
    return options | ({} if config.mid_block else {"mid_block_type": None})


def _write_controlnet(config) -> dict:
    if not config.mid_block:
        raise WeightsError("diffusers has no ControlNet with mid_block_type = None: store it by convert.save")
    return _write_encoder(config)


def _write_vae(config) -> dict:
    levels = len(config.block_out_channels)
    return {
        "out_channels": config.in_channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_post_quant_conv": config.use_quant_conv,
    }


def _write_tiny(config) -> dict:
    return {"block_out_channels": list(config.decoder_block_out_channels)}


def _write_text(config) -> dict:
    # their own ids of start and padding lie outside a small vocabulary, of which transformers would warn
    return {"architectures": ["CLIPTextModel"], "bos_token_id": None, "pad_token_id": None}


def _write_projected(config) -> dict:
    return _write_text(config) | {"architectures": ["CLIPTextModelWithProjection"]}


def _read_mmdit(options: dict) -> dict:
    return {"qk_norm": options["qk_norm"] is not None}


def _write_mmdit(config) -> dict:
    width = config.attention_head_dim * config.num_attention_heads
    return {"caption_projection_dim": width, "qk_norm": "rms_norm" if config.qk_norm else None}


def _write_t5(config) -> dict:
    return {"architectures": ["T5EncoderModel"], "feed_forward_proj": "gated-gelu"}


FORMATS = {
    "UNet": Format("diffusion_pytorch_model", {"_class_name": "UNet2DConditionModel"}, UNET, _read_unet, _write_unet),
    "ControlNet": Format(
        "diffusion_pytorch_model", {"_class_name": "ControlNetModel"}, CONTROLNET, _read_encoder, _write_controlnet
    ),
    "VAE": Format("diffusion_pytorch_model", {"_class_name": "AutoencoderKL"}, VAE, lambda options: {}, _write_vae),
    "TinyDecoder": Format(
        "diffusion_pytorch_model",
        {"_class_name": "AutoencoderTiny"},
        TINY,
        lambda options: {},
        _write_tiny,
        unread=r"^encoder\.",
    ),
    "CLIPText": Format(
        "model", {"model_type": "clip_text_model"}, TEXT, lambda options: {}, _write_text, [(r"^", "text_model.")]
    ),
    "CLIPTextProjected": Format(
        "model",
        {"model_type": "clip_text_model"},
        TEXT | {"projection_dim": 512},
        lambda options: {},
        _write_projected,
        [(r"^(?!text_projection)", "text_model.")],
    ),
    "MMDiT": Format(
        "diffusion_pytorch_model", {"_class_name": "SD3Transformer2DModel"}, MMDIT, _read_mmdit, _write_mmdit
    ),
    "Flux": Format(
        "diffusion_pytorch_model", {"_class_name": "FluxTransformer2DModel"}, FLUX, lambda options: {}, lambda c: {}
    ),
    "T5": Format("model", {"model_type": "t5"}, T5, lambda options: {}, _write_t5),
    "CLIPImage": Format(
        "model", {"model_type": "clip_vision_model"}, VISION, lambda options: CLIP_COLOURS, lambda config: {}
    ),
}


def name_of(cls: type[nn.Module]) -> str:
    """Which of FORMATS: that of `cls`, or of the class that it extends."""
    return next(c.__name__ for c in cls.__mro__ if c.__name__ in FORMATS)
