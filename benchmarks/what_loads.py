"""How large is what loads, and how long takes a step? python benchmarks/what_loads.py

Prints README's table. GB are the parameters of the real configs by 4 bytes or 2, the VAE's by 4. A step is the network
alone, in single precision, with random weights, at the size that it was trained at: one picture with and without the
prompt, as guidance asks, or in FLUX, which needs none, with it alone. Networks of more than 5 billion parameters do not
fit into 24 GB: of these one block of each kind is timed, times their number. Half an hour on two cores, and 13 GB.
"""

import argparse
import sys
import time
from functools import cache
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import oracle  # noqa: E402

from minidiff import convert  # noqa: E402
from minidiff.dit import Flux, JointBlock, SingleBlock, rotary  # noqa: E402
from minidiff.unet import UNet  # noqa: E402

CLIPS, T5 = ("SD 3 text", "SDXL and SD 3 text 2"), ("SD 3 and FLUX.1 text, T5 XXL",)
XL, ANY = ("SD 1.5 text", "SDXL and SD 3 text 2"), "text, image to image, inpainting"
MODELS = {  # -> what it draws, and its network, VAE and text encoders in oracle.REAL
    "Stable Diffusion 1, BK-SDM, LCM": (ANY, "SD 1.5 U-Net", "SD 1.5 VAE", "SD 1.5 text"),
    "Stable Diffusion 2, SD-Turbo": (ANY, "SD 2.1 U-Net", "SD 2.1 VAE", "SD 2.1 text"),
    "SDXL, SDXL-Turbo": (ANY + ", before its refiner", "SDXL U-Net", "SDXL VAE", *XL),
    "SDXL's refiner": ("image to image, inpainting, after the base", "SDXL refiner U-Net", "SDXL VAE", *XL[1:]),
    "Stable Diffusion 3 medium": (ANY, "SD 3 medium", "SD 3 VAE", *CLIPS, *T5),
    "the same without T5 (`text_encoder_3`)": (ANY, "SD 3 medium", "SD 3 VAE", *CLIPS),
    "Stable Diffusion 3.5 medium": (ANY, "SD 3.5 medium", "SD 3 VAE", *CLIPS, *T5),
    "Stable Diffusion 3.5 large": (ANY, "SD 3.5 large", "SD 3 VAE", *CLIPS, *T5),
    "FLUX.1 dev, schnell": (ANY, "FLUX.1 dev", "FLUX.1 VAE", "SD 1.5 text", *T5),
}
MOST = 5e9  # parameters that are made as a whole


def empty(name):
    """The model of that name in oracle.REAL, without memory for its parameters."""
    cls, options = oracle.REAL[name]
    with torch.device("meta"):
        return cls(convert.read_config(cls, options))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def filled(model):
    """`model`, with random weights, small enough that nothing overflows."""
    model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.normal_(0, 0.02)
    return model


@torch.no_grad()
def seconds(call):
    """Of the quickest of several calls: as many as fit into 20 seconds, one at least."""
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() + min(times) < start + 20:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def told(config, tokens):
    """Text states of a guided pair, and whatever else the network is told."""
    if (pooled := getattr(config, "pooled_projection_dim", None)) is not None:
        return torch.randn(2, tokens, config.joint_attention_dim), torch.randn(2, pooled)
    states, dim = torch.randn(2, tokens, config.cross_attention_dim), config.addition_time_embed_dim
    if dim is None:
        return states
    sizes = torch.full((2, 5 if config.cross_attention_dim == 1280 else 6), 1024.0)
    return states, torch.randn(2, config.projection_class_embeddings_input_dim - sizes[0].numel() * dim), sizes


@cache
def step(name):
    """Seconds of a step of a network; of one that is too large, of its blocks, times their number."""
    net = empty(name)
    config = net.config
    if parameters(net) < MOST:
        x = torch.randn(2, config.in_channels, config.sample_size, config.sample_size)
        cond = told(config, 77 if isinstance(net, UNet) else 333)
        filled(net)
        return seconds(lambda: net(x, torch.tensor(500.0), cond))
    dim, heads, flux = net.dim, config.num_attention_heads, isinstance(net, Flux)
    n, words, patches = (1, 512, 64) if flux else (2, 333, config.sample_size // config.patch_size)
    x, context, temb = torch.randn(n, patches**2, dim), torch.randn(n, words, dim), torch.randn(n, dim)
    places = torch.cartesian_prod(*(torch.arange(side) for side in (1, patches, patches)))
    places = torch.cat([torch.zeros(words, 3), places])
    angles = rotary(places, config.axes_dims_rope) if flux else None
    block = filled(JointBlock(dim, heads))
    total = config.num_layers * seconds(lambda: block(x, context, temb, angles))
    if flux:
        block, x = filled(SingleBlock(dim, heads)), torch.cat([context, x], dim=1)
        total += config.num_single_layers * seconds(lambda: block(x, temb, angles))
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="models with this in their name")
    parser.add_argument("--no-time", action="store_true", help="their size alone")
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} cores, torch {torch.__version__}\n", file=sys.stderr)
    print("| model | draws | single | half | largest part, half | seconds a step |\n|---|---|---|---|---|---|")
    for model, (draws, name, vae, *texts) in MODELS.items():
        if args.only and args.only not in model:
            continue
        rest, kept = [parameters(empty(part)) for part in (name, *texts)], 4 * parameters(empty(vae))
        sizes = (4 * sum(rest) + kept, 2 * sum(rest) + kept, 2 * max(rest))
        took = "" if args.no_time else f"{step(name):.0f}" + ", by its blocks" * (rest[0] > MOST)
        print("|", model, "|", draws, "|", *(f"{size / 1e9:.1f} |" for size in sizes), took, "|", flush=True)


if __name__ == "__main__":
    main()
