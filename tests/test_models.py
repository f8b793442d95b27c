"""The U-Net and the VAE have diffusers' parameters, by name and shape, and compute what diffusers' do."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from minidiff.convert import to_diffusers
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, VAEConfig

PIXEL = UNetConfig(sample_size=32, in_channels=3, out_channels=3, cross_attention_dim=None)
SD15 = UNetConfig(
    sample_size=64,
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
    attention=(True, True, True, False),
    heads=(8, 8, 8, 8),
    cross_attention_dim=768,
    norm_num_groups=32,
)
SD15_VAE = VAEConfig(
    block_out_channels=(128, 256, 512, 512), layers_per_block=2, norm_num_groups=32, sample_size=512,
    scaling_factor=0.18215,
)  # fmt: skip


def their_unet(c: UNetConfig) -> UNet2DConditionModel:
    cross = [a and c.cross_attention_dim is not None for a in c.attention]
    return UNet2DConditionModel(
        sample_size=c.sample_size,
        in_channels=c.in_channels,
        out_channels=c.out_channels,
        block_out_channels=c.block_out_channels,
        layers_per_block=c.layers_per_block,
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in cross],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in cross[::-1]],
        mid_block_type="UNetMidBlock2D" if c.cross_attention_dim is None else "UNetMidBlock2DCrossAttn",
        attention_head_dim=c.heads,  #  the number of heads, whatever its name says
        cross_attention_dim=c.cross_attention_dim or 1280,
        use_linear_projection=c.use_linear_projection,
        norm_num_groups=c.norm_num_groups,
    )


def their_vae(c: VAEConfig) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=c.block_out_channels,
        down_block_types=["DownEncoderBlock2D"] * len(c.block_out_channels),
        up_block_types=["UpDecoderBlock2D"] * len(c.block_out_channels),
        layers_per_block=c.layers_per_block,
        norm_num_groups=c.norm_num_groups,
        latent_channels=c.latent_channels,
    )


def shapes(state) -> dict:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("config", [UNetConfig(), PIXEL, SD15], ids=["course", "pixel", "sd15"])
def test_unet_has_diffusers_keys_and_shapes(config):
    with torch.device("meta"):
        assert shapes(to_diffusers(UNet(config).state_dict())) == shapes(their_unet(config).state_dict())


@pytest.mark.parametrize("config", [VAEConfig(), SD15_VAE], ids=["course", "sd15"])
def test_vae_has_diffusers_keys_and_shapes(config):
    with torch.device("meta"):
        assert shapes(to_diffusers(VAE(config).state_dict())) == shapes(their_vae(config).state_dict())


def randomised(model):
    """Every parameter random, and large enough that a mistake shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = p[0].numel() ** -0.5 if p.ndim > 1 else 0.3
            p.copy_(torch.randn(p.shape, generator=generator) * scale + ("norm" in name and name.endswith("weight")))
    return model.eval()


def error(ours, theirs) -> float:
    """Largest difference over the largest value of the reference."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (10, 14)], ids=str)
def test_unet_computes_what_diffusers_does(linear, size):
    config = UNetConfig(use_linear_projection=linear, layers_per_block=1 + linear)
    ours, theirs = randomised(UNet(config)), their_unet(config).eval()
    theirs.load_state_dict(to_diffusers(ours.state_dict()))
    generator = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 4, *size, generator=generator), torch.randn(2, 24, 128, generator=generator)
    t = torch.tensor([3.25, 976.0])
    assert error(ours(x, t, context), theirs(x, t, context).sample) <= 5e-5


@torch.no_grad()
def test_pixel_unet_computes_what_diffusers_does():
    ours, theirs = randomised(UNet(PIXEL)), their_unet(PIXEL).eval()
    theirs.load_state_dict(to_diffusers(ours.state_dict()))
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0.0, 999.0])
    assert error(ours(x, t), theirs(x, t, encoder_hidden_states=None).sample) <= 5e-5


@torch.no_grad()
def test_vae_computes_what_diffusers_does():
    ours, theirs = randomised(VAE()), their_vae(VAEConfig()).eval()
    theirs.load_state_dict(to_diffusers(ours.state_dict()))
    x = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    q, p = ours.encode(x), theirs.encode(x).latent_dist
    assert error(q.mean, p.mean) <= 3e-4
    assert error(q.logvar, p.logvar) <= 3e-4
    assert error(q.kl(), p.kl()) <= 3e-4
    assert error(ours.decode(q.mean), theirs.decode(p.mean).sample) <= 3e-4
    assert error(ours(x), theirs(x).sample) <= 3e-4


def test_sampling_a_latent_is_the_reparameterisation_of_torchs_normal():
    mean, logvar = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    from minidiff.vae import Gaussian

    q = Gaussian(mean, logvar)
    reference = torch.distributions.Normal(mean, (logvar / 2).exp())
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    z = q.sample(torch.Generator().manual_seed(5))
    assert (z - (reference.mean + reference.stddev * eps)).abs().max() < 1e-6
    kl = torch.distributions.kl_divergence(reference, torch.distributions.Normal(0, 1)).flatten(1).sum(1)
    assert (q.kl() - kl).abs().max() < 1e-4


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="heads has 2 entries, block_out_channels 3"):
        UNetConfig(heads=(1, 2))
    with pytest.raises(ValueError, match="pictures are 60x64; the VAE takes multiples of 8"):
        VAE().encode(torch.zeros(1, 3, 60, 64))
