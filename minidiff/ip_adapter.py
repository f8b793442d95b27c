"""IP-Adapter: a picture as a prompt, beside the text, through keys and values of its own in every cross-attention."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from minidiff.attention import Attention, attention
from minidiff.convert import WeightsError
from minidiff.convert.files import fill, read_tensors, refuse_pickle, unfilled
from minidiff.show import to_tensor
from minidiff.trace import uncompiled
from minidiff.unet import UNet

# Other kinds of IP-Adapters, by a name in their files
OTHERS = {"image_proj.latents": "Plus", "image_proj.proj.3.weight": "Full Face", "image_proj.norm.weight": "FaceID"}
OTHERS |= {"image_proj.perceiver_resampler.proj_in.weight": "FaceID Plus"}


@dataclass(frozen=True)
class IPAdapterConfig:
    """Sizes of an `IPAdapter`: of the picture's embedding, of the U-Net's text states, and of its cross-attentions."""

    image_dim: int = 128
    cross_attention_dim: int = 128
    num_tokens: int = 4
    widths: tuple[int, ...] = (128, 160, 160, 160, 128, 128, 160)  # in the order of `cross_attentions`


def cross_attentions(unet: UNet) -> list[Attention]:
    """In the order in which the files number them: on the way down, on the way up, in the middle."""
    layers = [(name, layer) for name, layer in unet.named_modules() if name.endswith("attn2")]
    return [layer for _, layer in sorted(layers, key=lambda each: each[0].startswith("mid_block"))]


class IPAdapter(nn.Module):
    """out = attention(q, text) + scale attention(q, picture), with keys and values of its own (Ye et al. 2023, eq. 5).

    arXiv:2308.06721, section 3.2. A picture's embedding (B, image_dim) -> the words that it stands for, (B, 4, D). Its
    parameters have the names of real files.
    """

    def __init__(self, config: IPAdapterConfig = IPAdapterConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__()
        self.config, width = config, config.cross_attention_dim
        project, norm = nn.Linear(config.image_dim, config.num_tokens * width), nn.LayerNorm(width)
        self.image_proj = nn.ModuleDict({"proj": project, "norm": norm})
        pairs = [{f"to_{x}_ip": nn.Linear(width, w, bias=False) for x in "kv"} for w in config.widths]
        self.ip_adapter = nn.ModuleDict({str(2 * i + 1): nn.ModuleDict(pair) for i, pair in enumerate(pairs)})

    @classmethod
    def from_unet(cls, unet: UNet, image_dim: int, num_tokens: int = 4) -> "IPAdapter":
        """One to train for `unet`: its keys and values begin as those for the text."""
        adapter, layers = cls(_config_for(unet, image_dim, num_tokens)), cross_attentions(unet)
        for layer, pair in zip(layers, adapter.ip_adapter.values(), strict=True):
            pair["to_k_ip"].load_state_dict(layer.to_k.state_dict())
            pair["to_v_ip"].load_state_dict(layer.to_v.state_dict())
        return adapter

    @classmethod
    def load(cls, path: str | Path, unet: UNet) -> "IPAdapter":
        """What `convert.save` wrote, or a real file for such a U-Net. WeightsError for Plus, FaceID, or another one."""
        path = Path(path)
        refuse_pickle(path, "torch.load(file, weights_only=True) and safetensors.torch.save_file")
        tensors, _ = read_tensors(path)
        if not tensors.keys() >= {"image_proj.proj.weight", "image_proj.norm.weight"}:
            kind = next((f"an IP-Adapter {kind}" for name, kind in OTHERS.items() if name in tensors), "no IP-Adapter")
            raise WeightsError(f"{path} is {kind}: give a plain one, such as ip-adapter_sd15.safetensors")
        (out, image_dim), width = tensors["image_proj.proj.weight"].shape, len(tensors["image_proj.norm.weight"])
        with unfilled():
            adapter = cls(_config_for(unet, image_dim, out // width))
        fill(adapter, tensors, path, "give one for this U-Net")
        return adapter.to(unet.conv_in.weight.device).eval()

    def forward(self, embeds: Tensor) -> Tensor:
        words = self.image_proj["proj"](embeds).unflatten(-1, (self.config.num_tokens, -1))  # (B, 4, D)
        return self.image_proj["norm"](words)

    def on(self, net: Callable, unet: UNet, words: Tensor, scale: float = 1.0) -> Callable:
        """net(x, t, context), in which the cross-attentions of `unet` look at `words`, too: give it to `denoiser`.

        The last len(x) of the words (n, 4, D) count: of [without, with a picture] both for a guided batch, else the
        latter.
        """

        def look(pair: nn.ModuleDict) -> Callable:
            def hook(layer: Attention, args: tuple, out: Tensor) -> Tensor:
                seen = words[-len(out) :]
                k, v = pair["to_k_ip"](seen), pair["to_v_ip"](seen)
                # before the last projection, which is linear, but for its bias
                return out + scale * F.linear(attention(layer.to_q(args[0]), k, v, layer.heads), layer.to_out.weight)

            return hook

        def looking(x: Tensor, t, context: Tensor | None = None, residuals: list[Tensor] | None = None) -> Tensor:
            pairs = zip(cross_attentions(unet), self.ip_adapter.values(), strict=True)
            hooks = [layer.register_forward_hook(look(pair)) for layer, pair in pairs]
            try:
                with uncompiled():
                    return net(x, t, context, residuals)
            finally:
                for hook in hooks:
                    hook.remove()

        return looking


def _config_for(unet: UNet, image_dim: int, num_tokens: int) -> IPAdapterConfig:
    widths = tuple(layer.to_k.out_features for layer in cross_attentions(unet))
    return IPAdapterConfig(image_dim, unet.config.cross_attention_dim, num_tokens, widths)


def clip_pixels(pictures: list[Image.Image], size: int) -> Tensor:
    """As CLIPImageProcessor: the shorter side becomes `size`, bicubic; of that the middle, (B, 3, size, size)."""
    out = []
    for picture in pictures:
        width, height = (int(size * side / min(picture.size)) for side in picture.size)
        left, top = (width - size) // 2, (height - size) // 2
        resized = picture.resize((width, height), Image.Resampling.BICUBIC)
        out.append(resized.crop((left, top, left + size, top + size)))
    return to_tensor(out)
