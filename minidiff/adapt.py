"""Adapters, the little that is trained beside a large model: LoRA and its files, and what a pipeline can be given."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from minidiff.arguments import named, real
from minidiff.clip import CLIP, CLIPImage
from minidiff.convert import WeightsError, load, their_name
from minidiff.convert.files import read_tensors, refuse_pickle, replacing
from minidiff.convert.single_file import unet_rules
from minidiff.dit import DiT
from minidiff.ip_adapter import IPAdapter, clip_pixels
from minidiff.pictures import one_or_each
from minidiff.tokenizer import EOS

# -------------------------------------------------------------------------------------------------- LoRA

PARTS = ("unet", "text_encoder")  # that files have LoRAs for
# What a file calls A, B and alpha of a layer, in all spellings -> ours. Older ones name the processor of an attention.
ROLES = [
    (r"\.processor\.", "."),
    (r"\bself_attn\.to_([qkv]|out)_lora\.", r"self_attn.\1_proj.lora."),
    (r"\bto_([qkv])_lora\.", r"to_\1.lora."),
    (r"\bto_out_lora\.", "to_out.0.lora."),
    (r"\.(lora_A|lora_down|lora(_linear_layer)?\.down)\.weight$", ".A"),
    (r"\.(lora_B|lora_up|lora(_linear_layer)?\.up)\.weight$", ".B"),
]
# What is not LoRA, or LoRA for another model, by names that stand in no other file.
OTHERS = {
    r"\.hada_": "a LoHa",
    r"\.lokr_": "a LoKr",
    r"dora_scale|lora_magnitude_vector": "a DoRA",
    r"\.lora_mid\b": "a LoCon with a third matrix, lora_mid",
    r"\.oft_|\.boft_": "an OFT",
    r"\.(on_input|diff|diff_b|[ab][12]\.weight)$": "an IA3, a GLoRA or a whole difference",
    r"\.lora_(B|up)\.bias$": "a LoRA with biases",
    r"^(lora_te2_|text_encoder_2\.)": "a LoRA for SDXL",
    r"^transformer\.|double_blocks|joint_blocks": "a LoRA for Flux or Stable Diffusion 3",
    r"^base_model\.": "peft's own file, whose alpha is in another: write it with diffusers' save_lora_weights",
}


def spellings(part: str, model: nn.Module) -> dict[str, str]:
    """Every name that a LoRA file may have for a linear layer or a convolution of `model` -> ours, "unet.conv_in".

    Those of diffusers or transformers come first; then those of kohya's files, with underscores, and the original
    code's, so written.
    """
    out = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight = their_name(f"{name}.weight")
            if part == "unet":
                names = [f"unet.{weight}"]
                flat = [f"lora_unet_{w}" for w in (weight, their_name(weight, unet_rules(model.config)))]
            else:
                names = [f"{part}.text_model.{weight}", f"{part}.{weight}"]
                flat = [f"lora_te_text_model_{weight}", f"lora_te1_text_model_{weight}"]
            names += [each.removesuffix(".weight").replace(".", "_") for each in flat]
            out |= {each.removesuffix(".weight"): f"{part}.{name}" for each in names}
    return out


class LoRA:
    """W + (alpha / r) B A in place of W, in some linear layers and convolutions (Hu et al. 2021, arXiv:2106.09685).

    Equation 3, with the factor of section 4.1. `layers` maps "unet.NAME" or "text_encoder.NAME" to (A, B, alpha): A is
    (r, in), of a convolution (r, in, height, width), and B (out, r). `hash` is that of its file.
    """

    def __init__(self, layers: dict[str, tuple[Tensor, Tensor, float]], hash: str = ""):
        self.layers, self.hash = layers, hash

    @classmethod
    def new(
        cls, model: nn.Module, rank: int = 4, alpha: float | None = None, where: str = r"\.to_\w+$", part: str = "unet"
    ) -> "LoRA":
        """One to train: B is 0, so that nothing changes at first; A is as a layer of that size begins.

        alpha is the rank, if not given. `where` is a pattern of layers' names; if not given, those of attention.
        """
        layers = {}
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d) and re.search(where, f".{name}"):
                A = nn.init.kaiming_uniform_(layer.weight.new_empty(rank, *layer.weight.shape[1:]), math.sqrt(5))
                B = layer.weight.new_zeros(len(layer.weight), rank)
                layers[f"{part}.{name}"] = A.requires_grad_(), B.requires_grad_(), alpha or rank
        return cls(layers)

    def parameters(self) -> list[Tensor]:
        return [matrix for A, B, _ in self.layers.values() for matrix in (A, B)]

    def changes(self, part: str) -> Iterator[tuple[str, Tensor]]:
        """(name of a parameter of that part, (alpha / r) B A as a matrix (out, in)) of each layer."""
        for key, (A, B, alpha) in self.layers.items():
            if key.startswith(f"{part}."):
                yield f"{key.removeprefix(part + '.')}.weight", alpha / len(A) * B.flatten(1) @ A.flatten(1)

    def on(self, model: nn.Module, part: str = "unet") -> Callable:
        """`model` with the changes in its weights, which themselves stay as they are: to train A and B through it."""

        def changed(*args, **kwargs):
            weights = {n: (w := model.get_parameter(n)) + change.view_as(w) for n, change in self.changes(part)}
            return functional_call(model, weights, args, kwargs)

        return changed

    @classmethod
    def load(cls, path: str | Path, parts: dict[str, nn.Module]) -> "LoRA":
        """What `save`, diffusers, peft's layers in diffusers or kohya's scripts wrote, for models of these sizes.

        alpha is that of the tensors, else of the header, else the rank. WeightsError, in one line, for what is none.
        """
        path = Path(path)
        refuse_pickle(path, "load_lora_weights and save_lora_weights")
        tensors, header = read_tensors(path)
        names = {key: value for part, model in parts.items() for key, value in spellings(part, model).items()}
        about = _options(path, header)
        found: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            layer, _, role = their_name(key, ROLES).rpartition(".")
            if layer not in names or role not in ("A", "B", "alpha"):
                others = [what for pattern, what in OTHERS.items() if any(re.search(pattern, name) for name in tensors)]
                got = f"is {others[0]}" if others else f"has {key}, which names no layer of this model"
                raise WeightsError(f"{path} {got}: give a LoRA for such a model")
            found.setdefault(layer, {})[role] = tensor.float()
        if not found:
            raise WeightsError(f"{path} holds nothing: give a LoRA for such a model")

        layers = {}
        for layer, roles in found.items():
            if not roles.keys() >= {"A", "B"}:
                raise WeightsError(f"{path} has no A, or no B, of {layer}: download it again")
            A, B = roles["A"], roles["B"]
            part, _, name = names[layer].partition(".")
            weight = parts[part].get_submodule(name).weight.flatten(1)
            if B.flatten(1).shape != (len(weight), len(A)) or A.flatten(1).shape != (len(A), weight.shape[1]):
                sizes = f"A of {tuple(A.shape)} and B of {tuple(B.shape)} for {layer}, expected {tuple(weight.shape)}"
                raise WeightsError(f"{path} has {sizes}, B times A: give a LoRA for such a model")
            alpha = roles["alpha"].item() if "alpha" in roles else about(part, layer.partition(".")[2], len(A))
            layers[names[layer]] = A, B.flatten(1), alpha
        with path.open("rb") as file:  # AUTOMATIC1111's hash of a LoRA: all but the header, which may change
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            return cls(layers, hashlib.sha256(file.read()).hexdigest()[:12])

    def save(self, path: str | Path) -> None:
        """Write a file, such as pytorch_lora_weights.safetensors, that diffusers' `load_lora_weights` reads, too."""
        path, tensors, about = Path(path), {}, {}
        for key, (A, B, alpha) in self.layers.items():
            part, _, name = key.partition(".")
            name = their_name(f"{name}.weight").removesuffix(".weight")
            full = f"{part}.{'text_model.' * (part == 'text_encoder')}{name}"
            tensors[f"{full}.lora_A.weight"] = A.detach().cpu().contiguous()
            up = B.detach().cpu().contiguous()
            tensors[f"{full}.lora_B.weight"] = up[:, :, None, None] if A.ndim > 2 else up
            about.setdefault(f"{part}.r", len(A))  # of the first layer; the patterns are those of all
            about.setdefault(f"{part}.lora_alpha", alpha)
            for option, value in (("rank_pattern", len(A)), ("alpha_pattern", alpha)):
                about.setdefault(f"{part}.{option}", {})[name] = value
            about.setdefault(f"{part}.target_modules", []).append(name)
        with replacing(path) as file:
            save_file(tensors, file, {"format": "pt", "lora_adapter_metadata": json.dumps(about)})


def _options(path: Path, header: dict[str, str]) -> Callable[[str, str, int], float]:
    """What a file's header says of alpha, by peft's options: alpha(part, layer, rank)."""
    try:
        about = dict(json.loads(header.get("lora_adapter_metadata", "{}")))
        patterns = [
            (part, re.compile(rf"(.*\.)?({pattern})$"), float(alpha))
            for part in PARTS
            for pattern, alpha in dict(about.get(f"{part}.alpha_pattern") or {}).items()
        ]
    except (TypeError, ValueError, re.error) as error:
        raise WeightsError(f"{path} has a damaged header ({error}): download it again") from error
    for name in ("use_dora", "lora_bias"):
        if any(about.get(f"{part}.{name}") for part in PARTS):
            raise WeightsError(f"{path} has {name} in its header: give a LoRA without DoRA and biases")

    def alpha(part: str, layer: str, rank: int) -> float:
        usual = about.get(f"{part}.lora_alpha", rank)
        found = next((value for of, pattern, value in patterns if of == part and pattern.match(layer)), usual)
        return found * math.sqrt(rank) if about.get(f"{part}.use_rslora") else found

    return alpha


# -------------------------------------------------------------------------------------------------- the pipeline's part


class Adaptable:
    """What a pipeline can be given besides its weights: it has unet, text, tokenizer, words and device."""

    def __init__(self):
        self.loras: dict[str, tuple[LoRA, float]] = {}
        self.originals: dict[nn.Module, dict[str, Tensor]] = {}  # the weights that LoRAs have changed, as they were
        self.ip_adapter: tuple[IPAdapter, CLIPImage] | None = None

    def load_lora(self, lora: LoRA | str | Path, weight: float = 1.0, name: str | None = None) -> None:
        """Add `weight` times a LoRA, or the one in a file, to the model's own weights. Several add up.

        Its name is the file's, if not given; of one that is there, the weight changes, and 0 takes it out.
        """
        if (given := real(weight)) is None:
            raise ValueError(f"the weight of a LoRA is {named(weight)}, expected a number; 1 is usual")
        if not isinstance(lora, LoRA):
            name = name or re.sub(r"[<>:,\n]", "_", Path(lora).stem)
            lora = LoRA.load(lora, self._parts)
        name = name or "lora"
        if name in self.loras and self.loras[name][0].hash != lora.hash:
            raise ValueError(f"a LoRA {name} is loaded already, another one: give this one another name")
        loras = self.loras | {name: (lora, given)}
        self._set_loras({name: each for name, each in loras.items() if each[1]})

    def unload_loras(self) -> None:
        """The model's own weights again, bit for bit."""
        self._set_loras({})

    @property
    def _parts(self) -> dict[str, nn.Module]:
        """WeightsError for a transformer, which we cannot adapt."""
        if isinstance(self.unet, DiT):
            raise WeightsError(f"this model has no U-Net, but a {type(self.unet).__name__}: use diffusers to adapt it")
        return dict(zip(PARTS, (self.unet, self.text), strict=True))

    @torch.no_grad()
    def _set_loras(self, loras: dict[str, tuple[LoRA, float]]) -> None:
        for model, weights in self.originals.items():
            for name, weight in weights.items():
                model.get_parameter(name).copy_(weight)
        self.loras, self.originals = loras, {}
        for lora, weight in loras.values():
            for part, model in self._parts.items():
                for name, change in lora.changes(part):
                    parameter = model.get_parameter(name)
                    self.originals.setdefault(model, {}).setdefault(name, parameter.clone())
                    parameter.add_(change.to(parameter).view_as(parameter), alpha=weight)

    def load_textual_inversion(self, path: str | Path, word: str | None = None) -> None:
        """Teach the text encoder a word by its vectors, one or several, in a file (Gal et al. 2022, arXiv:2208.01618).

        The word is the file's, if not given: diffusers' files say it, others are called so. WeightsError if the file
        is none, or for another model; ValueError if the word is known already.
        """
        path = Path(path)
        refuse_pickle(path, "load_textual_inversion, then safetensors' save_file of the new rows of the embedding")
        tensors, _ = read_tensors(path)
        if len(tensors) != 1 or (vectors := next(iter(tensors.values()))).ndim > 2:
            what = "a textual inversion for SDXL" if "clip_g" in tensors else "no textual inversion"
            raise WeightsError(f"{path} is {what}: give one with the vectors of one word")
        (key,), table = tensors, self._parts["text_encoder"].token_embedding.weight[: len(self.tokenizer)]
        vectors = vectors.reshape(-1, vectors.shape[-1]).to(table)
        if vectors.shape[1] != table.shape[1]:
            raise WeightsError(f"{path} has {vectors.shape[1]} numbers a vector, expected {table.shape[1]}")
        word = word or (path.stem if key == "emb_params" else key)
        self.tokenizer.add_word(word, len(vectors))
        self.text.token_embedding = nn.Embedding.from_pretrained(torch.cat([table.detach(), vectors]), freeze=False)
        sizes = {"vocab_size": len(self.text.token_embedding.weight)}
        if self.text.config.eos_token_id == 2:  # a text's end is not the largest id any more
            sizes["eos_token_id"] = self.tokenizer.bpe.token_to_id(EOS)
        self.text.config = replace(self.text.config, **sizes)
        if self.words is not None:
            self.words = [*self.words, *re.findall(r"[^\W\d_]+", word.lower())]

    def load_ip_adapter(self, path: str | Path, image_encoder: str | Path) -> None:
        """For `ip_image`: an IP-Adapter's file, and its picture encoder: transformers' folder, or a CLIP of ours."""
        image_encoder, adapter = Path(image_encoder), IPAdapter.load(path, self._parts["unet"])
        ours = image_encoder.suffix == ".safetensors"
        encoder = CLIPImage.of(load(CLIP, image_encoder)) if ours else CLIPImage.from_diffusers(image_encoder)
        if (got := encoder.config.projection_dim) != (expected := adapter.config.image_dim):
            raise WeightsError(f"{image_encoder} makes {got} numbers of a picture, the IP-Adapter takes {expected}")
        self.ip_adapter = adapter, encoder.to(self.device)

    def _looking_at(self, ip_image, ip_scale: float, n: int) -> Callable:
        """What makes of a net one that sees these pictures; without them, the net itself."""
        if (scale := real(ip_scale)) is None:
            raise ValueError(f"ip_scale is {named(ip_scale)}, expected a number; 1 is usual, 0 is without effect")
        if ip_image is None:
            return lambda net: net
        if self.ip_adapter is None:
            raise ValueError("got an ip_image without an IP-Adapter: call load_ip_adapter(file, image_encoder) first")
        adapter, encoder = self.ip_adapter
        pixels = clip_pixels(one_or_each("ip_image", ip_image, n), encoder.config.image_size).to(self.device)
        embeds = encoder(pixels).expand(n, -1)
        words = adapter(torch.cat([torch.zeros_like(embeds), embeds]))
        return lambda net: adapter.on(net, self.unet, words, scale)
