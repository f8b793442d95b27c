"""minidiff against diffusers, same weights, same steps, same pictures: python benchmarks/against_diffusers.py

Each task is done by both in turn, round by round, so that a slow minute of a shared machine hits both; medians and
their ratio. Beside them the share of the processor's matrix-product rate, measured in the same run, that the floating
point operations of torch's counter make. Then each task in a process of its own, for its peak memory, and the cold
start: a whole process from nothing to a picture in a file. "In fewer steps" is minidiff's picture by ddpm
against diffusers' usual one. About 4 minutes on two cores; with --compile, which needs a C++ compiler, 4 more.
"""

import argparse
import copy
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

PROMPT, STEPS, GUIDANCE = "big fox in meadow", 25, 4.0
FEWER = 8  # steps of ddpm; python benchmarks/defaults.py --few --n 250 measures that they draw as well
os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # --compile: weights become constants, in the order that suits each layer

COLD = {
    "minidiff": [sys.executable, "-m", "minidiff", PROMPT, "--steps", str(STEPS), "--out"],
    "diffusers": [sys.executable, "-c", f"""
import sys
from diffusers import StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1], safety_checker=None)
out = pipe({PROMPT!r}, num_inference_steps={STEPS}, guidance_scale={GUIDANCE}, height=128, width=128)
out.images[0].save(sys.argv[2])
"""],
}  # fmt: skip


def noise(n):
    return torch.randn(n, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def training(unet, predict, bf16):
    """A step of a batch of 32. `predict`: (x, t, context) -> the U-Net's answer."""
    optimizer = torch.optim.AdamW(unet.parameters(), 1e-9)  # the weights stay what they are
    x, target, context = noise(32), noise(32), torch.randn(32, 24, 128, generator=torch.Generator().manual_seed(1))
    t = torch.linspace(0, 999, 32)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.mse_loss(predict(x, t, context).float(), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def tasks(draw, fast, train, vae, decode, compiled):
    """By name. `draw`: n -> pictures; `fast`: calls -> a picture; `train`: whether in bfloat16 -> a step."""
    latents = noise(16) / vae.config.scaling_factor
    return {
        "one picture": lambda: draw(1),
        "one picture, in fewer steps": lambda: draw(1, FEWER),
        "one picture, by the student in 4 calls": lambda: fast(4),
        "one picture, by the student in 2 calls": lambda: fast(2),
        "batch of 16": lambda: draw(16),
        "training step, float32": lambda: train(False)(),
        "training step, bfloat16": lambda: train(True)(),
        "VAE decode of 16": torch.no_grad()(lambda: decode(latents)),
    } | ({"one picture, compiled": lambda: draw(1, compiled=True)} if compiled else {})


def ours(pipe, compiled=False):
    from minidiff.pipeline import StableDiffusion
    from minidiff.sample import ddim, ddpm

    parts, student = copy.copy(pipe), StableDiffusion.from_pretrained("openmoji", "cpu", fast=True)
    if compiled:
        parts.unet = torch.compile(pipe.unet)

    def draw(n, steps=STEPS, compiled=False):
        options = {"steps": steps, "guidance": GUIDANCE, "sampler": ddpm if steps == FEWER else ddim}
        return (parts if compiled else pipe)([PROMPT] * n, **options, latents=noise(n), progress=False)

    def fast(calls):
        return student(PROMPT, steps=calls, latents=noise(1), progress=False)

    @cache
    def train(bf16):  # memory format and attention as in minidiff.train on a CPU
        unet = copy.deepcopy(pipe.unet).to(memory_format=torch.contiguous_format if bf16 else torch.channels_last)

        def predict(*inputs):
            with sdpa_kernel(SDPBackend.MATH) if bf16 else nullcontext():
                return unet(*inputs)

        return training(unet, predict, bf16)

    return tasks(draw, fast, train, pipe.vae, pipe.vae.decode, compiled)


def theirs(folder, compiled=False):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    plain, options = pipe.unet, {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "height": 128, "width": 128}
    other = torch.compile(plain) if compiled else None

    def draw(n, steps=STEPS, compiled=False):  # always its usual steps
        pipe.unet = other if compiled else plain
        return pipe([PROMPT] * n, latents=noise(n), **options).images

    @cache
    def train(bf16):
        return training(plain, lambda *inputs: plain(*inputs).sample, bf16)

    return tasks(draw, lambda calls: draw(1), train, pipe.vae, lambda z: pipe.vae.decode(z).sample, compiled)


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def matrix_rate():
    """Floating point operations a second of a matrix product of 1024 x 1024."""
    a, b = torch.randn(2, 1024, 1024)
    return 2 * 1024**3 / min(timed(lambda: a @ b) for _ in range(20))


def operations(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def whole(command):
    """Seconds of a process, from nothing, and its peak memory in MiB."""
    # asked by a process between: one that is forked from here would begin with this one's peak
    usage = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)"
    usage += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", usage, *command], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(out.stdout)


def processor():
    """Its name, as far as the system says."""
    cpuinfo = Path("/proc/cpuinfo")
    named = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return named[0].split(": ")[1] if named else platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="also with both U-Nets compiled")
    parser.add_argument("--who", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.who == "diffusers":
        theirs(args.folder, args.compile)[args.task]()
        return

    from minidiff.pipeline import StableDiffusion

    pipe = StableDiffusion.from_pretrained("openmoji", "cpu")
    if args.who == "minidiff":
        ours(pipe, args.compile)[args.task]()
        return

    import diffusers

    with tempfile.TemporaryDirectory() as folder:
        pipe.to_diffusers(folder)
        sides = {"minidiff": ours(pipe, args.compile), "diffusers": theirs(folder, args.compile)}
        a, b = (np.asarray(sides[who]["one picture"]()[0], int) for who in sides)
        versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
        print(f"{processor()}, {torch.get_num_threads()} threads; {versions}")
        print(f"the two pictures differ by at most {np.abs(a - b).max()} of 255; {args.rounds} rounds\n")

        seconds = {task: {who: [] for who in sides} for task in sides["minidiff"]}
        rates = []
        for round_ in tqdm(range(args.rounds + 1)):  # the first warms up
            rates.append(matrix_rate())
            for task, kept in seconds.items():
                for who in sides if round_ % 2 else reversed(sides):
                    kept[who].append(timed(sides[who][task]))
        rate = max(rates)
        print(f"matrix products: {rate / 1e9:.0f} GFLOP/s\n")
        print("| task | minidiff, s | diffusers, s | ratio | of the matrix rate | memory, MiB |")
        print("|---|---|---|---|---|---|")
        for task, kept in seconds.items():
            mine, other = (statistics.median(kept[who][1:]) for who in sides)
            ratio = statistics.median(t / m for m, t in zip(*(kept[who][1:] for who in sides), strict=True))
            shares = " against ".join(
                f"{operations(sides[who][task]) / median / rate:.2f}"
                for who, median in zip(sides, (mine, other), strict=True)
            )
            alone = [[sys.executable, __file__, "--who", who, "--task", task, "--folder", folder] for who in sides]
            alone = [command + ["--compile"] * args.compile for command in alone]
            memory = " against ".join(f"{whole(command)[1]:,}" for command in alone)
            print(f"| {task} | {mine:.3f} | {other:.3f} | {ratio:.2f} | {shares} | {memory} |", flush=True)
        picture = str(Path(folder) / "cold.png")
        commands = {"minidiff": [*COLD["minidiff"], picture], "diffusers": [*COLD["diffusers"], folder, picture]}
        starts = {who: [] for who in sides}
        for _ in range(args.rounds):
            for who, command in commands.items():
                starts[who].append(whole(command))
        mine, other = (statistics.median(s for s, _ in starts[who]) for who in sides)
        memory = " against ".join(f"{max(m for _, m in starts[who]):,}" for who in sides)
        print(f"| cold start to a picture | {mine:.2f} | {other:.2f} | {other / mine:.2f} | | {memory} |")


if __name__ == "__main__":
    main()
