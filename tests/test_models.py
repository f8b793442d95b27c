"""The models have diffusers' and transformers' parameters, and compute, and learn, what theirs do."""

import dataclasses
import time
from resource import RUSAGE_SELF, getrusage

import oracle
import pytest
import torch

from minidiff import vae
from minidiff.clip import CLIPText
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError, read_config, their_name, write_config
from minidiff.dit import Flux, FluxConfig, MMDiT, MMDiTConfig
from minidiff.guide import controlled
from minidiff.t5 import T5, T5Config
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, Gaussian, VAEConfig

COURSE = {
    "U-Net": (UNet, UNetConfig()),
    "U-Net of pixels": (UNet, UNetConfig(in_channels=3, out_channels=3, cross_attention_dim=None)),
    "VAE": (VAE, VAEConfig()),
    "ControlNet": (ControlNet, ControlNet().config),
    "text": (CLIPText, CLIPText().config),
    "MMDiT": (MMDiT, MMDiTConfig()),
    "Flux": (Flux, FluxConfig()),
    "T5": (T5, T5Config()),
}


def shapes(state) -> dict:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_shapes(cls, options):
    with torch.device("meta"):  # shapes without memory
        ours, theirs = cls(read_config(cls, options)), oracle.build_theirs(cls, options)
    renamed = {their_name(name): tensor for name, tensor in ours.state_dict().items()}
    assert shapes(renamed) == shapes(oracle.their_state(theirs))


@pytest.mark.parametrize("name", oracle.REAL)
def test_real_checkpoints_can_be_expressed(name):
    check_shapes(*oracle.REAL[name])


@pytest.mark.parametrize("name", COURSE)
def test_the_course_models_have_their_keys_and_shapes(name):
    cls, config = COURSE[name]
    options = write_config(cls, config)
    check_shapes(cls, options)
    assert write_config(cls, read_config(cls, options)) == options


@torch.no_grad()
@pytest.mark.parametrize("name", oracle.SMALL)
def test_ours_computes_what_theirs_does(name):
    cls, options = oracle.SMALL[name]
    theirs = oracle.randomised(oracle.build_theirs(cls, options))
    ours = oracle.build_ours(cls, options, theirs)
    for batch in (oracle.inputs(cls, options), oracle.inputs(cls, options, size=(8, 4), residuals=False)):
        assert oracle.error(oracle.run_ours(ours, batch), oracle.run_theirs(theirs, batch)) <= oracle.tolerance(cls)


@pytest.mark.parametrize("name", ["U-Net", "VAE", "text", "ControlNet"])
def test_ours_learns_what_theirs_does(name):
    """Gradients, and the outputs after three steps of AdamW; in float64, where small gradients are no noise."""
    cls, options = oracle.SMALL[name]
    theirs = oracle.randomised(oracle.build_theirs(cls, options)).double()
    ours = oracle.build_ours(cls, options, theirs, assign=False).double()
    ours.load_state_dict({name: oracle.their_state(theirs)[their_name(name)] for name in ours.state_dict()})
    batch = oracle.inputs(cls, options, torch.float64)
    for model, run in ((ours, oracle.run_ours), (theirs, oracle.run_theirs)):
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for step in range(3):
            optimiser.zero_grad()
            sum((out / out.detach().std()).square().mean() + out.sin().mean() for out in run(model, batch)).backward()
            if step == 0:
                model.first_gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
            optimiser.step()
    gradients = {name.removeprefix("text_model."): grad for name, grad in theirs.first_gradients.items()}
    largest = max(grad.abs().max() for grad in gradients.values())
    for name, grad in ours.first_gradients.items():
        reference = gradients[their_name(name)]
        # 1e-9 of the largest: the bias of attention's keys has no effect, and so a gradient of rounding errors
        assert (grad - reference).abs().max() <= 5e-5 * reference.abs().max() + 1e-9 * largest, name
    with torch.no_grad():
        assert oracle.error(oracle.run_ours(ours, batch), oracle.run_theirs(theirs, batch)) <= 5e-5


@torch.no_grad()
@pytest.mark.slow
def test_the_full_size_unet_computes_what_diffusers_does():
    """860 million random parameters, which both models share."""
    cls, options = oracle.REAL["SD 1.5 U-Net"]
    start = time.perf_counter()
    with torch.device("meta"):
        theirs = oracle.build_theirs(cls, options)
    oracle.randomised(theirs.to_empty(device="cpu"))
    with torch.device("meta"):
        ours = oracle.build_ours(cls, options, theirs, assign=True)
    batch = oracle.inputs(cls, options, size=(16, 16), residuals=False)
    error = oracle.error(oracle.run_ours(ours, batch), oracle.run_theirs(theirs, batch))
    seconds, gigabytes = time.perf_counter() - start, getrusage(RUSAGE_SELF).ru_maxrss / 2**20
    print(f"SD 1.5 U-Net: error {error:.1e}, {seconds:.0f} s, {gigabytes:.1f} GB")
    assert error <= 5e-5
    assert sum(p.numel() for p in ours.parameters()) == 859_520_964


def test_sampling_a_latent_is_the_reparameterisation_of_torchs_normal():
    mean, logvar = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    q = Gaussian(mean, logvar)
    reference = torch.distributions.Normal(mean, (logvar / 2).exp())
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    z = q.sample(torch.Generator().manual_seed(5))
    assert (z - (reference.mean + reference.stddev * eps)).abs().max() < 1e-6
    kl = torch.distributions.kl_divergence(reference, torch.distributions.Normal(0, 1)).flatten(1).sum(1)
    assert (q.kl() - kl).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (60, 100), (100, 44), (36, 200)])
@pytest.mark.parametrize("tile, trained_at", [(32, 16), (16, 32)])
def test_large_pictures_go_through_the_vae_in_tiles_as_in_diffusers(size, tile, trained_at, monkeypatch):
    options = oracle.SMALL_VAE | {"sample_size": trained_at}
    theirs = oracle.randomised(oracle.build_theirs(VAE, options))
    ours, x = oracle.build_ours(VAE, options, theirs), torch.randn(2, 3, *size)
    z = torch.randn(2, 4, size[0] // 4, size[1] // 4)
    batch = {"x": x, "z": z}
    whole = oracle.run_ours(ours, batch)
    assert oracle.error(whole, oracle.run_theirs(theirs, batch)) <= 3e-4
    monkeypatch.setattr(vae, "TILE", tile)
    monkeypatch.setattr(vae, "WHOLE", 48 * 48)
    theirs.enable_tiling()
    theirs.tile_sample_min_size, theirs.tile_latent_min_size = 32, 8
    tiled = oracle.run_ours(ours, batch)
    assert oracle.error(tiled, oracle.run_theirs(theirs, batch)) <= 3e-4
    assert all(oracle.error(a, b) > 1e-3 for a, b in zip(tiled, whole, strict=True))


@torch.no_grad()
def test_the_divergence_is_diffusers():
    theirs = oracle.randomised(oracle.build_theirs(*oracle.SMALL["VAE"]))
    ours, x = oracle.build_ours(*oracle.SMALL["VAE"], theirs), oracle.inputs(*oracle.SMALL["VAE"])["x"]
    assert oracle.error(ours.encode(x).kl(), theirs.encode(x).latent_dist.kl()) <= 3e-4


def test_parts_of_another_size_are_refused_in_one_line():
    unet = UNet(UNetConfig(block_out_channels=(16, 32), attention=(False, True), heads=(1, 1), cross_attention_dim=8))
    x, text, hint = torch.zeros(2, 4, 8, 8), torch.zeros(1, 3, 8).expand(2, -1, -1), torch.zeros(1, 3, 64, 64)
    for change, match in (
        (
            {"block_out_channels": (16, 48)},
            r"residuals are 5 of \[16, 48\] channels, expected 5 of \[16, 32\] channels",
        ),
        ({"layers_per_block": 2}, r"residuals are 7 of \[16, 32\] channels, expected 5 of"),
        ({"cross_attention_dim": 16}, "text states are 8 wide, this ControlNet reads 16"),
        ({"in_channels": 3}, "x has 4 channels, this ControlNet takes 3"),
    ):
        other = ControlNet.from_unet(UNet(dataclasses.replace(unet.config, **change)))
        with pytest.raises(ValueError, match=match):
            controlled(unet, other, hint)(x, 5, text)
    with pytest.raises(ValueError, match="text states are 9 wide, this UNet reads 8"):
        unet(x, 5, torch.zeros(2, 3, 9))
    with pytest.raises(ValueError, match="x has 9 channels, this UNet takes 4"):
        unet(torch.zeros(2, 9, 8, 8), 5, text)
    middle = UNet(dataclasses.replace(unet.config, mid_block=False))
    ControlNet.from_unet(middle)(x, 5, text, hint)
    with pytest.raises(WeightsError, match="diffusers has no ControlNet with mid_block_type = None"):
        ControlNet.from_unet(middle).to_diffusers("nowhere")


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="heads has 2 entries, block_out_channels 3"):
        UNetConfig(heads=(1, 2))
    with pytest.raises(ValueError, match="pictures are 60x64; the VAE takes multiples of 8"):
        VAE().encode(torch.zeros(1, 3, 60, 64))
