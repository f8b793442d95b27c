"""The autoencoder whose latents the diffusion runs in: 8 times smaller each way, of 4 channels or 16."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import convert
from minidiff.attention import Attention
from minidiff.schedule import noise_like
from minidiff.unet import ResnetBlock, Upsample

NORM_EPS = 1e-6  # of every normalisation in the VAE; the U-Net's ResNet blocks use 1e-5
TILE = 512  # width and height of a tile, in pixels, unless the VAE was trained at more
WHOLE = 768**2  # pixels of the largest picture that is not cut into tiles, unless a tile has more


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of a `VAE`, by diffusers' names. The defaults are the course's model: 128x128x3 -> 16x16x4."""

    in_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (16, 32, 64, 128)  # channels of each level, full resolution first
    layers_per_block: int = 1  # ResNet blocks a level in the encoder; one more in the decoder
    norm_num_groups: int = 4  # 16 would be one channel each, and absolute colour lost
    sample_size: int = 128  # height and width it is trained for, in pixels
    scaling_factor: float = 1.0  # 1 / standard deviation of the latents, measured after training
    shift_factor: float | None = None  # their mean, of which SD 3 and FLUX take account
    use_quant_conv: bool = True  # 1x1 convolutions around the latents, which SD 3 and FLUX do without


@dataclass(frozen=True)
class TinyDecoderConfig:
    """Sizes of a `TinyDecoder`, by diffusers' names. The defaults are the course's; of TAESD all are 64."""

    latent_channels: int = 4
    decoder_block_out_channels: tuple[int, ...] = (64, 32, 16, 8)  # channels of each level, lowest resolution first
    num_decoder_blocks: tuple[int, ...] = (3, 2, 1, 0)  # of each level


class Downsample(nn.Conv2d):
    """A 3x3 convolution of stride 2, padded at the right and bottom only, as in the original code (diffusers' too)."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class SpatialAttention(Attention):
    """One head of self-attention over the H * W positions of a feature map, added to it."""

    def __init__(self, channels: int, groups: int):
        super().__init__(channels, heads=1, bias=True)
        self.group_norm = nn.GroupNorm(groups, channels, NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        h = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H * W, C)
        return x + super().forward(h).transpose(1, 2).unflatten(2, x.shape[-2:])


class Level(nn.Module):
    """ResNet blocks at one resolution."""

    def __init__(self, in_channels: int, out_channels: int, layers: int, groups: int):
        super().__init__()
        widths = [in_channels] + [out_channels] * layers
        self.resnets = nn.ModuleList(
            ResnetBlock(i, o, groups=groups, eps=NORM_EPS) for i, o in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        return x


class DownEncoderBlock(Level):
    def __init__(self, in_channels: int, out_channels: int, layers: int, groups: int, last: bool):
        super().__init__(in_channels, out_channels, layers, groups)
        self.downsample = nn.Identity() if last else Downsample(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(super().forward(x))


class UpDecoderBlock(Level):
    def __init__(self, in_channels: int, out_channels: int, layers: int, groups: int, last: bool):
        super().__init__(in_channels, out_channels, layers, groups)
        self.upsample = nn.Identity() if last else Upsample(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(super().forward(x))


class VAEMidBlock(nn.Module):
    """ResNet, attention, ResNet at the lowest resolution."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups=groups, eps=NORM_EPS) for _ in range(2))
        self.attention = SpatialAttention(channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attention(self.resnets[0](x)))


class Encoder(nn.Module):
    """(B, 3, H, W) -> (B, 2 * latent_channels, H / 8, W / 8): mean and log-variance of each latent."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        widths, groups, last = config.block_out_channels, config.norm_num_groups, len(config.block_out_channels) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownEncoderBlock(widths[max(i - 1, 0)], width, config.layers_per_block, groups, last=i == last)
            for i, width in enumerate(widths)
        )
        self.mid_block = VAEMidBlock(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """(B, latent_channels, H / 8, W / 8) -> (B, 3, H, W)."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        widths, groups, last = (
            config.block_out_channels[::-1],
            config.norm_num_groups,
            len(config.block_out_channels) - 1,
        )
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = VAEMidBlock(widths[0], groups)
        self.up_blocks = nn.ModuleList(
            UpDecoderBlock(widths[max(i - 1, 0)], width, config.layers_per_block + 1, groups, last=i == last)
            for i, width in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.in_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution for each latent: `mean` and `logvar`, both (B, C, h, w)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = mean + exp(logvar / 2) eps: the reparameterisation trick (Kingma & Welling 2013, section 2.4)."""
        return self.mean + (self.logvar / 2).exp() * noise_like(self.mean, generator)

    def kl(self) -> Tensor:
        """KL(q || N(0, 1)) = (mean^2 + var - 1 - log var) / 2, in nats, summed over a picture (ibid., app. B). (B,)"""
        return (self.mean**2 + self.logvar.exp() - 1 - self.logvar).flatten(1).sum(1) / 2


class VAE(nn.Module):
    """The KL autoencoder of Rombach et al. 2022 (section 3.1), with the structure of diffusers' AutoencoderKL.

    Pictures are (B, 3, H, W) in [-1, 1] with H and W multiples of 8. The latents that the U-Net works on are
    `vae.encode(x).sample() * vae.config.scaling_factor`, about unit variance; divide by the factor before `decode`. If
    there is a shift_factor, it is subtracted before the one, and added after the other.

    Pictures of more than 768 x 768 pixels go through it in tiles: see `in_tiles`.
    """

    from_diffusers = classmethod(convert.from_diffusers)
    to_diffusers = convert.to_diffusers

    def __init__(self, config: VAEConfig = VAEConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        conv, latents = nn.Conv2d if config.use_quant_conv else nn.Identity, config.latent_channels
        self.quant_conv, self.post_quant_conv = conv(2 * latents, 2 * latents, 1), conv(latents, latents, 1)

    @property
    def factor(self) -> int:
        """How many pixels a latent is wide and high."""
        return 2 ** (len(self.config.block_out_channels) - 1)

    def encode(self, x: Tensor) -> Gaussian:
        factor = self.factor
        if x.shape[-1] % factor or x.shape[-2] % factor:
            got = "x".join(map(str, x.shape[-2:]))
            raise ValueError(f"pictures are {got}; the VAE takes multiples of {factor}: crop or resize them")
        moments = in_tiles(lambda tile: self.quant_conv(self.encoder(tile)), x, 1, 1 / factor, self.config.sample_size)
        mean, logvar = moments.chunk(2, dim=1)
        return Gaussian(mean, logvar.clamp(-30, 20))  # as in the original code: exp stays finite

    def decode(self, z: Tensor) -> Tensor:
        trained_at, factor = self.config.sample_size, self.factor
        return in_tiles(lambda tile: self.decoder(self.post_quant_conv(tile)), z, 1 / factor, 1, trained_at)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction from the most likely latent."""
        return self.decode(self.encode(x).mean)


class TinyBlock(nn.Module):
    """relu(x + conv(relu(conv(relu(conv(x)))))): three 3x3 convolutions around a skip, and no normalisation."""

    def __init__(self, channels: int):
        super().__init__()
        first, second, third = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv(x))


class TinyDecoder(nn.Module):
    """A VAE's decoder in little, for pictures while they are drawn: TAESD's (Boer Bohan 2023, madebyollin/taesd).

    Latents as the U-Net works on them, (B, C, H / 8, W / 8), not divided by the scaling_factor -> (B, 3, H, W), about
    in [-1, 1]. With the structure of the decoder in diffusers' AutoencoderTiny, of which it reads a folder.
    """

    from_diffusers = classmethod(convert.from_diffusers)

    def __init__(self, config: TinyDecoderConfig = TinyDecoderConfig()):  # noqa: B008  frozen, so it can be shared
        super().__init__()
        self.config, widths = config, config.decoder_block_out_channels
        layers = [nn.Conv2d(config.latent_channels, widths[0], 3, padding=1), nn.ReLU()]
        for i, (width, blocks) in enumerate(zip(widths, config.num_decoder_blocks, strict=True), 1):
            layers += [TinyBlock(width) for _ in range(blocks)]
            if i < len(widths):
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, widths[i], 3, padding=1, bias=False)]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        return 2 * self.decoder(3 * torch.tanh(z / 3)) - 1


def in_tiles(f: Callable[[Tensor], Tensor], x: Tensor, before: float, after: float, trained_at: int) -> Tensor:
    """f(x) for x (B, C, H, W), tile by tile if the picture is large; a pixel has side `before` in x, `after` in f(x).

    Tiles are 512 pixels wide and high, or what the VAE was trained at, if more: 1024 in SDXL. Neighbours share a
    quarter of that, in which one fades into the other, exactly as in diffusers' `tiled_decode` and `tiled_encode`. What
    decode of Stable Diffusion's VAE holds at once, in single precision and beside the weights: 0.8 GiB for 512 x 512
    pixels, 1.7 for 768, 3.0 for 1024; 0.9 for 1024 in tiles of 512.
    """
    height, width = (side / before for side in x.shape[2:])
    size = max(TILE, trained_at)
    if height * width <= max(WHOLE, size**2):
        return f(x)
    tile, shared = int(size * before), int(size * after) // 4
    kept = int(size * after) - shared
    rows, above = [], None
    for i in range(0, x.shape[2], tile - tile // 4):
        row = []
        for j in range(0, x.shape[3], tile - tile // 4):
            out = f(x[:, :, i : i + tile, j : j + tile])
            if above:
                out = fade(above[len(row)], out, shared, dim=2)
            if row:
                out = fade(row[-1], out, shared, dim=3)
            row.append(out)
        rows.append(torch.cat([out[:, :, :kept, :kept] for out in row], dim=3))
        above = row
    return torch.cat(rows, dim=2)


def fade(a: Tensor, b: Tensor, shared: int, dim: int) -> Tensor:
    """b, whose first `shared` rows (dim 2) or columns (dim 3) go linearly from the last ones of a to its own."""
    n = min(a.shape[dim], b.shape[dim], shared)
    share = (torch.arange(n, device=b.device, dtype=b.dtype) / n).reshape((n, 1) if dim == 2 else (n,))
    head = a.narrow(dim, a.shape[dim] - n, n) * (1 - share) + b.narrow(dim, 0, n) * share
    return torch.cat([head, b.narrow(dim, n, b.shape[dim] - n)], dim)
