"""The reference: models of diffusers and transformers, and ours of the same config.json and the same parameters."""

import inspect
import re

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    FluxPipeline,
    FluxTransformer2DModel,
    LatentConsistencyModelPipeline,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from minidiff.clip import CLIPText, CLIPTextProjected
from minidiff.controlnet import ControlNet
from minidiff.convert import read_config, their_name
from minidiff.dit import Flux, MMDiT
from minidiff.t5 import T5
from minidiff.unet import UNet
from minidiff.vae import VAE, TinyDecoder

THEIRS = {
    UNet: UNet2DConditionModel,
    VAE: AutoencoderKL,
    TinyDecoder: AutoencoderTiny,
    CLIPText: CLIPTextModel,
    CLIPTextProjected: CLIPTextModelWithProjection,
    ControlNet: ControlNetModel,
    MMDiT: SD3Transformer2DModel,
    Flux: FluxTransformer2DModel,
    T5: T5EncoderModel,
}

# What the files on the Hub say.
SD_UNET = {
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu", "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": False, "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4, "layers_per_block": 2,
    "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}  # fmt: skip
UNET_ONLY = {"center_input_sample", "out_channels", "sample_size", "up_block_types"}
SD_CONTROLNET = {name: value for name, value in SD_UNET.items() if name not in UNET_ONLY} | {
    "_class_name": "ControlNetModel", "class_embed_type": None, "only_cross_attention": False, "num_class_embeds": None,
    "conditioning_embedding_out_channels": [16, 32, 96, 256], "controlnet_conditioning_channel_order": "rgb",
    "projection_class_embeddings_input_dim": None, "resnet_time_scale_shift": "default", "upcast_attention": False,
    "use_linear_projection": False,
}  # fmt: skip
SD_VAE = {
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu", "sample_size": 512,
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4, "in_channels": 3,
    "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
SD3_VAE = SD_VAE | {
    "_diffusers_version": "0.29.0.dev0", "force_upcast": True, "latent_channels": 16, "latents_mean": None,
    "latents_std": None, "sample_size": 1024, "scaling_factor": 1.5305, "shift_factor": 0.0609,
    "use_post_quant_conv": False, "use_quant_conv": False,
}  # fmt: skip
TAESD = {
    "_class_name": "AutoencoderTiny", "_diffusers_version": "0.20.0.dev0", "act_fn": "relu", "force_upcast": False,
    "decoder_block_out_channels": [64] * 4, "encoder_block_out_channels": [64] * 4, "in_channels": 3,
    "latent_channels": 4, "latent_magnitude": 3, "latent_shift": 0.5, "num_decoder_blocks": [3, 3, 3, 1],
    "num_encoder_blocks": [1, 3, 3, 3], "out_channels": 3, "scaling_factor": 1.0, "upsampling_scaling_factor": 2,
}  # fmt: skip
SD_TEXT = {
    "_name_or_path": "openai/clip-vit-large-patch14", "architectures": ["CLIPTextModel"], "attention_dropout": 0.0,
    "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768,
    "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12,
    "pad_token_id": 1, "projection_dim": 768, "torch_dtype": "float32", "transformers_version": "4.22.0.dev0",
    "vocab_size": 49408,
}  # fmt: skip
SDXL_TEXT_2 = SD_TEXT | {
    "_name_or_path": None, "architectures": ["CLIPTextModelWithProjection"], "hidden_act": "gelu", "hidden_size": 1280,
    "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32, "projection_dim": 1280,
    "torch_dtype": "float16",
}  # fmt: skip
SD3_MMDIT = {
    "_class_name": "SD3Transformer2DModel", "_diffusers_version": "0.29.0.dev0", "attention_head_dim": 64,
    "caption_projection_dim": 1536, "in_channels": 16, "joint_attention_dim": 4096, "num_attention_heads": 24,
    "num_layers": 24, "out_channels": 16, "patch_size": 2, "pooled_projection_dim": 2048, "pos_embed_max_size": 192,
    "sample_size": 128,
}  # fmt: skip
FLUX = {
    "_class_name": "FluxTransformer2DModel", "_diffusers_version": "0.30.0.dev0", "attention_head_dim": 128,
    "guidance_embeds": True, "in_channels": 64, "joint_attention_dim": 4096, "num_attention_heads": 24,
    "num_layers": 19, "num_single_layers": 38, "patch_size": 1, "pooled_projection_dim": 768,
}  # fmt: skip
T5_XXL = {
    "_name_or_path": "google/t5-v1_1-xxl", "architectures": ["T5EncoderModel"], "classifier_dropout": 0.0,
    "d_ff": 10240, "d_kv": 64, "d_model": 4096, "decoder_start_token_id": 0, "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu", "initializer_factor": 1.0,
    "is_encoder_decoder": True, "is_gated_act": True, "layer_norm_epsilon": 1e-06, "model_type": "t5",
    "num_decoder_layers": 24, "num_heads": 64, "num_layers": 24, "output_past": True, "pad_token_id": 0,
    "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "transformers_version": "4.43.3", "use_cache": True, "vocab_size": 32128,
}  # fmt: skip
SD2 = {
    "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True,
    "upcast_attention": True, "num_class_embeds": None, "only_cross_attention": False,
}  # fmt: skip
SDXL_UNET = SD_UNET | {
    "_diffusers_version": "0.19.0.dev0", "addition_embed_type": "text_time", "addition_embed_type_num_heads": 64,
    "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
    "class_embed_type": None, "class_embeddings_concat": False, "conv_in_kernel": 3, "conv_out_kernel": 3,
    "cross_attention_dim": 2048, "cross_attention_norm": None,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], "dual_cross_attention": False,
    "encoder_hid_dim": None, "encoder_hid_dim_type": None, "mid_block_only_cross_attention": None,
    "mid_block_type": "UNetMidBlock2DCrossAttn", "num_attention_heads": None, "num_class_embeds": None,
    "only_cross_attention": False, "projection_class_embeddings_input_dim": 2816, "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False, "resnet_time_scale_shift": "default", "sample_size": 128, "time_cond_proj_dim": None,
    "time_embedding_act_fn": None, "time_embedding_dim": None, "time_embedding_type": "positional",
    "timestep_post_act": None, "transformer_layers_per_block": [1, 2, 10], "upcast_attention": None,
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": True,
}  # fmt: skip
REFINER_UNET = SDXL_UNET | {
    "attention_head_dim": [6, 12, 24, 24], "block_out_channels": [384, 768, 1536, 1536], "cross_attention_dim": 1280,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "projection_class_embeddings_input_dim": 2560, "transformer_layers_per_block": 4,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
SDXL_CONTROLNET = {name: value for name, value in SDXL_UNET.items() if name in SD_CONTROLNET or "addition" in name} | {
    "_class_name": "ControlNetModel", "conditioning_embedding_out_channels": [16, 32, 96, 256],
    "controlnet_conditioning_channel_order": "rgb", "global_pool_conditions": False, "conditioning_channels": 3,
    "transformer_layers_per_block": [1, 2, 10],
}  # fmt: skip
BK_SDM = SD_UNET | {"layers_per_block": 1, "mid_block_type": None, "class_embed_type": None}
BK_SDM_TINY = {"block_out_channels": [320, 640, 1280], "down_block_types": ["CrossAttnDownBlock2D"] * 3,
    "up_block_types": ["CrossAttnUpBlock2D"] * 3}  # fmt: skip
REAL = {
    "SD 1.5 U-Net": (UNet, SD_UNET),
    "BK-SDM base U-Net": (UNet, BK_SDM | {"mid_block_type": "UNetMidBlock2DCrossAttn"}),
    "BK-SDM small U-Net": (UNet, BK_SDM),
    "BK-SDM tiny U-Net": (UNet, BK_SDM | BK_SDM_TINY),
    "BK-SDM v2 tiny U-Net": (UNet, BK_SDM | SD2 | BK_SDM_TINY | {"attention_head_dim": [5, 10, 20]}),
    "SD 1.5 inpainting U-Net": (UNet, SD_UNET | {"in_channels": 9}),
    "SD 1.5 ControlNet": (ControlNet, SD_CONTROLNET),
    "SD 1.5 VAE": (VAE, SD_VAE),
    "SD 1.5 text": (CLIPText, SD_TEXT),
    "SD 2.1 U-Net": (UNet, SD_UNET | SD2 | {"dual_cross_attention": False, "sample_size": 96}),
    "SD 2.1 ControlNet": (ControlNet, SD_CONTROLNET | SD2),
    "SD 2.1 VAE": (VAE, SD_VAE | {"sample_size": 768, "scaling_factor": 0.18215}),
    "SD 2.1 text": (CLIPText, SD_TEXT | {"eos_token_id": 2, "hidden_act": "gelu", "hidden_size": 1024,
        "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 23, "projection_dim": 512}),
    "SD-Turbo U-Net": (UNet, SD_UNET | SD2 | {"sample_size": 64, "addition_embed_type": None,
        "addition_time_embed_dim": None, "projection_class_embeddings_input_dim": None}),
    "LCM U-Net": (UNet, SD_UNET | {"time_cond_proj_dim": 256}),
    "SDXL U-Net": (UNet, SDXL_UNET),
    "LCM SDXL U-Net": (UNet, SDXL_UNET | {"time_cond_proj_dim": 256}),
    "SDXL refiner U-Net": (UNet, REFINER_UNET),
    "SDXL-Turbo U-Net": (UNet, SDXL_UNET | {"sample_size": 64}),
    "SDXL inpainting U-Net": (UNet, SDXL_UNET | {"in_channels": 9}),
    "SDXL ControlNet": (ControlNet, SDXL_CONTROLNET),
    "SDXL VAE": (VAE, SD_VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True,
        "latents_mean": None, "latents_std": None}),
    "SD 3 VAE": (VAE, SD3_VAE),
    "FLUX.1 VAE": (VAE, SD3_VAE | {"scaling_factor": 0.3611, "shift_factor": 0.1159, "sample_size": 1024}),
    "TAESD": (TinyDecoder, TAESD),
    "SDXL and SD 3 text 2": (CLIPTextProjected, SDXL_TEXT_2),
    "SD 3 text": (CLIPTextProjected, SD_TEXT),
    "SD 3 and FLUX.1 text, T5 XXL": (T5, T5_XXL),
    "SD 3 medium": (MMDiT, SD3_MMDIT),
    "SD 3.5 medium": (MMDiT, SD3_MMDIT | {"dual_attention_layers": list(range(13)), "pos_embed_max_size": 384,
        "qk_norm": "rms_norm"}),
    "SD 3.5 large": (MMDiT, SD3_MMDIT | {"caption_projection_dim": 2432, "dual_attention_layers": [],
        "num_attention_heads": 38, "num_layers": 38, "qk_norm": "rms_norm"}),
    "FLUX.1 dev": (Flux, FLUX),
    "FLUX.1 schnell": (Flux, FLUX | {"guidance_embeds": False}),
}  # fmt: skip


def levels(widths, attention, **options) -> dict:
    """Options of a small U-Net or ControlNet."""
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention]
    return {"block_out_channels": widths, "down_block_types": down, "norm_num_groups": 8} | options


def unet(*args, **options) -> dict:
    options = {"sample_size": 8} | levels(*args, **options)
    return options | {"up_block_types": [name.replace("Down", "Up") for name in options["down_block_types"][::-1]]}


SMALL_UNET = unet([32, 64], [True, False], layers_per_block=2, attention_head_dim=4, cross_attention_dim=24)
ADDED = {"addition_embed_type": "text_time", "addition_time_embed_dim": 6}
SMALL_SDXL = unet([16, 32, 48], [False, True, True], attention_head_dim=[1, 2, 3], cross_attention_dim=40,
    transformer_layers_per_block=[1, 2, 4], use_linear_projection=True, projection_class_embeddings_input_dim=56,
    **ADDED)  # fmt: skip
SMALL_VAE = SD_VAE | {"block_out_channels": [8, 16, 32], "norm_num_groups": 4, "layers_per_block": 2, "sample_size": 16,
    "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3}  # fmt: skip
SMALL_LEVELS = ("block_out_channels", "down_block_types", "layers_per_block", "norm_num_groups", "up_block_types")
SMALL_TEXT = SD_TEXT | {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
    "vocab_size": 50, "max_position_embeddings": 12}  # fmt: skip
SMALL_MMDIT = {"sample_size": 10, "patch_size": 2, "in_channels": 3, "out_channels": 3, "num_layers": 3,
    "attention_head_dim": 8, "num_attention_heads": 3, "caption_projection_dim": 24, "joint_attention_dim": 20,
    "pooled_projection_dim": 12, "pos_embed_max_size": 14}  # fmt: skip
SMALL_FLUX = {"in_channels": 12, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 16,
    "num_attention_heads": 2, "joint_attention_dim": 20, "pooled_projection_dim": 12, "guidance_embeds": True,
    "axes_dims_rope": [2, 6, 8]}  # fmt: skip
SMALL_T5 = T5_XXL | {"d_ff": 40, "d_kv": 6, "d_model": 24, "num_heads": 3, "num_layers": 3, "vocab_size": 50}
SMALL_CONTROLNET = levels([32, 64], [True, False], layers_per_block=2, attention_head_dim=4, cross_attention_dim=24,
    conditioning_embedding_out_channels=[4, 8, 12])  # fmt: skip
SMALL = {
    "U-Net": (UNet, SMALL_UNET),
    "U-Net, linear, 9 channels": (
        UNet,
        unet([16, 32, 64], [False, True, True], layers_per_block=1, attention_head_dim=[1, 2, 8],
            cross_attention_dim=40, use_linear_projection=True, in_channels=9),
    ),
    "U-Net, attention in the middle alone": (
        UNet, unet([8, 24], [False, False], attention_head_dim=[1, 3], cross_attention_dim=16, out_channels=8)
    ),
    "U-Net without attention": (
        UNet, unet([16, 24, 32], [False] * 3, mid_block_type="UNetMidBlock2D", in_channels=3, out_channels=3)
    ),
    "U-Net, BK-SDM small": (
        UNet, unet([16, 32, 32, 32], [True, True, True, False], layers_per_block=1, attention_head_dim=4,
            cross_attention_dim=24, mid_block_type=None),
    ),
    "U-Net, BK-SDM tiny": (
        UNet, unet([16, 32, 32], [True] * 3, layers_per_block=1, attention_head_dim=[2, 4, 8], cross_attention_dim=24,
            mid_block_type=None, use_linear_projection=True),
    ),
    "U-Net, SDXL": (UNet, SMALL_SDXL),
    "U-Net, SDXL refiner": (
        UNet, unet([16, 24, 32, 32], [False, True, True, False], attention_head_dim=[2, 3, 4, 4],
            cross_attention_dim=24, transformer_layers_per_block=3, use_linear_projection=True,
            projection_class_embeddings_input_dim=50, layers_per_block=1, **ADDED),
    ),
    "U-Net, LCM": (UNet, SMALL_UNET | {"time_cond_proj_dim": 9}),
    "U-Net, LCM of SDXL": (UNet, SMALL_SDXL | {"time_cond_proj_dim": 12}),
    "VAE": (VAE, SMALL_VAE),
    "VAE of SD 3": (VAE, SD3_VAE | {name: SMALL_VAE[name] for name in SMALL_LEVELS}),
    "VAE, one level, gray": (
        VAE,
        {"block_out_channels": [16], "norm_num_groups": 8, "latent_channels": 3, "in_channels": 1, "out_channels": 1},
    ),
    "TAESD": (TinyDecoder, TAESD | {"decoder_block_out_channels": [24] * 3, "block_out_channels": [24] * 3,
        "num_decoder_blocks": [2, 1, 3], "latent_channels": 16}),
    "text": (CLIPText, SMALL_TEXT),
    "text, gelu, one head, first end": (CLIPText, SMALL_TEXT | {"hidden_act": "gelu", "num_attention_heads": 1,
        "layer_norm_eps": 1e-3, "eos_token_id": 9}),
    "text, projected": (CLIPTextProjected, SMALL_TEXT | {"projection_dim": 20, "hidden_act": "gelu"}),
    "T5": (T5, SMALL_T5),
    "T5, few buckets": (T5, SMALL_T5 | {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 20,
        "layer_norm_epsilon": 1e-4, "num_heads": 1}),
    "MMDiT": (MMDiT, SMALL_MMDIT),
    "MMDiT, dual, normed": (MMDiT, SMALL_MMDIT | {"dual_attention_layers": [0, 1], "qk_norm": "rms_norm",
        "patch_size": 1, "pos_embed_max_size": 20}),
    "Flux, guided": (Flux, SMALL_FLUX),
    "Flux": (Flux, SMALL_FLUX | {"guidance_embeds": False, "num_attention_heads": 3, "out_channels": 8}),
    "ControlNet": (ControlNet, SMALL_CONTROLNET),
    "ControlNet, SDXL": (
        ControlNet,
        levels([16, 32], [False, True], attention_head_dim=[1, 2], cross_attention_dim=40, use_linear_projection=True,
            transformer_layers_per_block=[1, 3], projection_class_embeddings_input_dim=56, layers_per_block=1,
            conditioning_embedding_out_channels=[8, 4], **ADDED),
    ),
    "ControlNet, linear, gray hint": (
        ControlNet,
        levels([16, 32, 48], [False, True, True], layers_per_block=1, attention_head_dim=[1, 2, 6],
            cross_attention_dim=40, use_linear_projection=True, conditioning_channels=1,
            conditioning_embedding_out_channels=[8, 4]),
    ),
}  # fmt: skip

# What adds to a state that a normalisation reads. If it is small, the epsilon of that normalisation shows. Weights that
# read such a state need not be made smaller still.
SMALL_WRITERS = re.compile(
    r"^(encoder\.|decoder\.)?conv_in|conv1|conv2|time_emb_proj|proj_in|to_out|ff\.net\.2|out_proj|fc2|_embedding\.weight"
    r"|x_embedder|context_embedder|pos_embed\.proj|\.o\.|\.wo\.|shared|cond_embedding\.conv_out|(samplers.*|conv_shortcut|proj_out|controlnet_.*block.*)\.bias"
)


def randomised(model, seed=0):
    """Every parameter random, those too that start at 0 or 1, and large enough that a mistake shows."""
    generator = torch.Generator().manual_seed(seed)
    normed = any("norm_q" in name for name, _ in model.named_parameters())
    with torch.no_grad():
        for name, p in model.named_parameters():
            fan_in = p[0].numel() if p.ndim > 1 else 9
            p.copy_(torch.randn(p.shape, generator=generator) * fan_in**-0.5)
            if "norm" in name and p.ndim == 1 and name.endswith("weight"):
                p += 1
            elif SMALL_WRITERS.search(name) and not name.startswith("transformer_blocks"):
                p *= 0.01
            elif normed and re.search(r"\b(to_[qk]|add_[qk]_proj)\.", name):
                p *= 0.03
            if name == "quant_conv.bias":
                p *= 100  #  log-variances beyond the clamp
    return model.eval()


def build_theirs(cls, options):
    if cls is T5:
        return T5EncoderModel(T5Config(**options))
    return THEIRS[cls](CLIPTextConfig(**options)) if issubclass(cls, CLIPText) else THEIRS[cls].from_config(options)


def their_state(theirs) -> dict:
    """transformers before 5.6 has "text_model." before the names of a CLIPTextModel; T5's embedding has two names."""
    state = {name.removeprefix("text_model."): tensor for name, tensor in theirs.state_dict().items()}
    no_parts = r"^encoder\.embed_tokens" if "shared.weight" in state else r"^encoder\.layers\.\d+\.(conv\.|weight|bias)"
    return {name: tensor for name, tensor in state.items() if not re.search(no_parts, name)}


def build_ours(cls, options, theirs, **kwargs):
    """Our model with the parameters of `theirs`: not one missing, not one left over."""
    ours, state = cls(read_config(cls, options)), their_state(theirs)
    ours.load_state_dict({name: state.pop(their_name(name)) for name in ours.state_dict()}, **kwargs)
    assert not state
    return ours.eval()


IDS = torch.tensor([[48, 5, 7, 49, 49, 49, 49, 49], [48, 1, 2, 3, 4, 5, 6, 49], [48, 9, 49, 9, 49, 3, 3, 3]])


def inputs(cls, options, dtype=torch.float32, size=(9, 7), residuals=True) -> dict:
    """Odd sizes, times that are no whole numbers, and for a U-Net the `residuals` of a ControlNet."""
    generator = torch.Generator().manual_seed(1)

    def randn(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    if issubclass(cls, CLIPText):
        return {"ids": IDS}
    if cls is T5:
        return {"ids": torch.randint(0, 50, (2, 150), generator=generator)}
    if cls in (MMDiT, Flux):
        channels = options["in_channels"] // (4 if cls is Flux else 1)
        cond = randn(2, 5, options["joint_attention_dim"]), randn(2, options["pooled_projection_dim"])
        guidance = (torch.tensor([3.5, 1.25]).to(dtype),) if options.get("guidance_embeds") else ()
        x, t = randn(2, channels, 2 * size[0], 2 * size[1]), torch.tensor([3.25, 976.75])
        return {"x": x, "t": t, "cond": cond + guidance}
    if cls is TinyDecoder:
        return {"z": 4 * randn(2, options["latent_channels"], *size)}
    if cls is VAE:
        return {"x": randn(2, options["in_channels"], 24, 16), "z": randn(2, options["latent_channels"], 6, 4)}
    has_text = options.get("mid_block_type") != "UNetMidBlock2D"
    batch = {
        "x": randn(2, options.get("in_channels", 4), *size),
        "t": torch.tensor([3.25, 976.75]),
        "context": randn(2, 6, options["cross_attention_dim"]) if has_text else None,
    }
    if options.get("addition_embed_type"):
        sizes = 5 if options["projection_class_embeddings_input_dim"] == 50 else 6
        sizes = torch.tensor([[1024.0, 768, 0, 13, 640, 512], [256, 300, 31, 0, 1000, 6]])[:, :sizes]
        batch["context"] = batch["context"], randn(2, 20), sizes
    if options.get("time_cond_proj_dim"):
        text = batch["context"] if isinstance(batch["context"], tuple) else (batch["context"],)
        batch["context"] = (*text, torch.tensor([7.5, 0.3]))
    if cls is ControlNet:
        factor = 2 ** (len(options["conditioning_embedding_out_channels"]) - 1)
        batch["hint"] = randn(2, options.get("conditioning_channels", 3), size[0] * factor, size[1] * factor)
    elif residuals:
        batch["residuals"] = [0.01 * randn(*shape) for shape in state_shapes(options, size)]
    return batch


def state_shapes(options, size) -> list[tuple]:
    """The shapes of the U-Net's states on the way down, and of its lowest level's."""
    widths, n = options["block_out_channels"], options.get("layers_per_block", 2)
    shapes = [(2, widths[0], *size)]
    for width, following in zip(widths, [*widths[1:], None], strict=True):
        shapes += [(2, width, *size)] * n
        if following:
            size = [(side + 1) // 2 for side in size]
            shapes.append((2, width, *size))
    return [*shapes, shapes[-1]]


def run_ours(model, batch) -> list:
    """Every output of one of our models."""
    if isinstance(model, CLIPText):
        states = model(batch["ids"])
        return [states, model.pooled(batch["ids"], states), *model.hidden_states(batch["ids"])]
    if isinstance(model, T5):
        return [model(batch["ids"])]
    if isinstance(model, VAE):
        q = model.encode(batch["x"])
        return [q.mean, q.logvar, model.decode(batch["z"]), model(batch["x"])]
    out = model(**batch, scale=0.7) if isinstance(model, ControlNet) else model(**batch)
    return out if isinstance(out, list) else [out]


def run_theirs(model, batch) -> list:
    if isinstance(model, CLIPTextModel | CLIPTextModelWithProjection):
        out = model(batch["ids"], output_hidden_states=True)
        pooled = out.pooler_output if isinstance(model, CLIPTextModel) else out.text_embeds
        return [out.last_hidden_state, pooled, *out.hidden_states]
    if isinstance(model, T5EncoderModel):
        return [model(batch["ids"]).last_hidden_state]
    if isinstance(model, SD3Transformer2DModel):
        return [model(batch["x"], *batch["cond"], batch["t"]).sample]
    if isinstance(model, FluxTransformer2DModel):
        return [run_flux(model, **batch)]
    if isinstance(model, AutoencoderKL):
        q = model.encode(batch["x"]).latent_dist
        return [q.mean, q.logvar, model.decode(batch["z"]).sample, model(batch["x"]).sample]
    if isinstance(model, AutoencoderTiny):
        return [model.decode(batch["z"]).sample]
    text, *rest = batch["context"] if isinstance(batch["context"], tuple) else [batch["context"]]
    added = told = None
    if dim := getattr(model.config, "time_cond_proj_dim", None):
        told = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, rest.pop(), dim).to(batch["x"].dtype)
    if rest:
        added = {"text_embeds": rest[0], "time_ids": rest[1]}
    if isinstance(model, ControlNetModel):
        out = model(batch["x"], batch["t"], text, batch["hint"], conditioning_scale=0.7, added_cond_kwargs=added)
        return [*out.down_block_res_samples, out.mid_block_res_sample]
    *down, middle = batch.get("residuals") or [None, None]
    return [model(
        batch["x"], batch["t"], text, added_cond_kwargs=added, timestep_cond=told,
        down_block_additional_residuals=None if middle is None else down, mid_block_additional_residual=middle,
    ).sample]  # fmt: skip


def edited(module, old, new) -> dict:
    """What is in `module` after an edit of its source, which must be possible in one place alone."""
    source, names = inspect.getsource(module), {"__name__": module.__name__}
    assert source.count(old) == 1, f"{source.count(old)} times {old!r} in {module.__name__}"
    exec(compile(source.replace(old, new), module.__name__, "exec"), names)
    return names


def run_flux(model, x, t, cond):
    """With what the pipeline does before and after: patches, places, times of 1, guidance."""
    b, c, h, w = x.shape
    places = FluxPipeline._prepare_latent_image_ids(b, h // 2, w // 2, x.device, x.dtype)
    out = model(
        FluxPipeline._pack_latents(x, b, c, h, w), cond[0], cond[1], t / 1000, places, x.new_zeros(cond[0].shape[1], 3),
        guidance=cond[2] if len(cond) > 2 else None,
    ).sample  # fmt: skip
    return FluxPipeline._unpack_latents(out, 8 * h, 8 * w, 8)


def error(ours, theirs) -> float:
    """Largest difference over the largest value of the reference; the worst of several."""
    if isinstance(ours, list):
        return max(error(a, b) for a, b in zip(ours, theirs, strict=True))
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def tolerance(cls) -> float:
    return 3e-4 if cls is VAE else 5e-5
