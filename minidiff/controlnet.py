"""ControlNet: a copy of a U-Net's encoder that reads a picture, such as line art, and steers the U-Net by it."""

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from minidiff import convert
from minidiff.denoise import Cond
from minidiff.unet import UNet, UNetConfig, UNetEncoder, skip_channels, zero


@dataclass(frozen=True)
class ControlNetConfig(UNetConfig):
    """Sizes of a `ControlNet`, by diffusers' names: those of the U-Net it steers, and of the hint's embedding."""

    conditioning_channels: int = 3
    conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256)  # the hint is halved between two of them


class HintEmbedding(nn.Module):
    """Convolutions that bring the hint to the size of the latents: (B, 3, 8 H, 8 W) -> (B, out_channels, H, W)."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in zip(widths, widths[1:], strict=False):
            self.blocks += [nn.Conv2d(narrow, narrow, 3, padding=1), nn.Conv2d(narrow, wide, 3, stride=2, padding=1)]
        self.conv_out = zero(nn.Conv2d(widths[-1], out_channels, 3, padding=1))

    def forward(self, hint: Tensor) -> Tensor:
        x = F.silu(self.conv_in(hint))
        for conv in self.blocks:
            x = F.silu(conv(x))
        return self.conv_out(x)


class ControlNet(UNetEncoder):
    """Zhang et al. 2023 (arXiv:2302.05543), figure 3, with the structure of diffusers' ControlNetModel.

    x, t and context as for the `UNet`, and the hint (B, 3, 8 H, 8 W) in [0, 1] -> the `residuals` that the U-Net adds,
    each times `scale`. They leave through convolutions that start at zero: a new ControlNet changes nothing.
    """

    from_diffusers = classmethod(convert.from_diffusers)
    to_diffusers = convert.to_diffusers

    def __init__(self, config: ControlNetConfig = ControlNetConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__(config)
        self.controlnet_cond_embedding = HintEmbedding(
            config.conditioning_channels, config.conditioning_embedding_out_channels, config.block_out_channels[0]
        )
        self.controlnet_down_blocks = nn.ModuleList(zero(nn.Conv2d(c, c, 1)) for c in skip_channels(config))
        lowest = config.block_out_channels[-1]
        self.controlnet_mid_block = zero(nn.Conv2d(lowest, lowest, 1))

    @classmethod
    def from_unet(cls, unet: UNet, **sizes) -> "ControlNet":
        """One to train for `unet`: its encoder, copied, and new zero convolutions. `sizes` are of the hint's embedding,
        by their names in `ControlNetConfig`."""
        controlnet = cls(ControlNetConfig(**dataclasses.asdict(unet.config) | {"time_cond_proj_dim": None}, **sizes))
        own = controlnet.state_dict()
        controlnet.load_state_dict(own | {name: p for name, p in unet.state_dict().items() if name in own})
        return controlnet.to(unet.conv_in.weight)

    def check_fits(self, config: UNetConfig) -> None:
        """ValueError unless it can steer a U-Net of that config."""
        for name in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"):
            if (got := getattr(self.config, name)) != (expected := getattr(config, name, None)):
                raise ValueError(f"the ControlNet is for another U-Net, {name} {got}: give one for {expected}")

    def forward(self, x: Tensor, t: Tensor, context: Cond, hint: Tensor, scale: float = 1.0) -> list[Tensor]:
        if isinstance(context, tuple) and len(context) % 2 == 0:
            context = context[:-1]  # without the guidance, which an LCM's U-Net is told last, and a ControlNet never is
        self.check(x, context)
        factor = 2 ** (len(self.config.conditioning_embedding_out_channels) - 1)
        got, expected = tuple(hint.shape[-2:]), tuple(factor * side for side in x.shape[-2:])
        if got != expected:
            raise ValueError(f"the hint is {got} high and wide, expected {expected}, the picture's size: resize it")
        hint = self.controlnet_cond_embedding(hint.to(self.conv_in.weight.dtype))
        states, _ = self.encode(x, t, context, hint)
        convs = [*self.controlnet_down_blocks, self.controlnet_mid_block]
        return [scale * conv(state) for conv, state in zip(convs, states, strict=True)]


def edges(image: Image.Image) -> Image.Image:
    """A hint from any picture: its edges (Canny 1986, by OpenCV), one pixel wide, black on white, RGB."""
    found = cv2.Canny(np.asarray(image.convert("L")), 100, 200)
    return Image.fromarray(255 - found).convert("RGB")
