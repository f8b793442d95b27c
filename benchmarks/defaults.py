"""Which sampler, steps and guidance? Adherence and Fréchet distance against seconds: python benchmarks/defaults.py

Prompts drawn by a seed, half of one object and half of two; the judge's word. Prints two tables: the guidance at 25
steps of ddim, and every sampler at 8 to 50 steps with the guidance given by --guidance. 45 minutes on one core. With
--few only whether 8 steps of ddpm do what the default does in 25.
"""

import argparse
import time
from itertools import product

import torch

from minidiff import data, judge
from minidiff.convert import load
from minidiff.judge import Judge
from minidiff.pipeline import SCHEDULE, WEIGHTS, StableDiffusion
from minidiff.sample import SAMPLERS
from minidiff.schedule import trailing

DISTINCT = [name for name in SAMPLERS if not name.startswith("euler")]  # euler is ddim, and euler_ancestral is ddpm


def calls_a_step(sampler):
    """How often it calls the network: one that is twice as dear gets half the steps."""
    times = []
    list(sampler(lambda x, t: times.append(t) or x, torch.zeros(1), SCHEDULE, trailing(1000, 100)))
    return round(len(times) / 100)


def row(pipe, reader, scenes, others, **options):
    """(seconds a picture, both right %, all right %, Fréchet distance)"""
    start = time.perf_counter()
    pictures = judge.draw(pipe, scenes, **options)
    seconds = (time.perf_counter() - start) / len(scenes)
    features, answers = judge.read(reader, pictures)
    right = judge.adherence(answers, [scene.spec for scene in scenes])
    return seconds, 100 * right["both"], 100 * right["right"], judge.frechet(features, others)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="prompts of each kind")
    parser.add_argument("--guidance", type=float, default=4.0, help="for the table of samplers")
    parser.add_argument("--few", action="store_true", help="only the default and 8 steps of ddpm")
    args = parser.parse_args()
    pipe, reader = StableDiffusion.from_pretrained("openmoji"), load(Judge, WEIGHTS / "judge.safetensors")
    kinds, real = judge.prompts(args.n, 0), judge.prompts(args.n, 1)
    scenes = kinds["one object"] + kinds["two objects"]
    others, _ = judge.read(reader, data.batch(real["one object"] + real["two objects"]))
    print(f"{2 * args.n} prompts, {torch.get_num_threads()} cores, torch {torch.__version__}\n")

    def line(*cells):
        print(
            "|", " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells), "|", flush=True
        )

    head = ("seconds a picture", "objects and layout right, %", "all right, %", "Fréchet distance")

    def samplers(rows):
        line("sampler", "steps", *head)
        line(*["---"] * 6)
        for name, calls in rows:
            steps = calls // calls_a_step(SAMPLERS[name])
            options = {"steps": steps, "guidance": args.guidance, "sampler": SAMPLERS[name]}
            line(name, steps, *row(pipe, reader, scenes, others, **options))

    if args.few:
        samplers([("ddim", 25), ("ddpm", 8)])
        return
    line("guidance", *head)
    line(*["---"] * 5)
    for guidance in (1, 1.5, 2, 3, 4, 5, 7.5, 10):
        line(str(guidance), *row(pipe, reader, scenes, others, steps=25, guidance=float(guidance)))
    print()
    samplers(product(DISTINCT, (8, 12, 16, 25, 50)))


if __name__ == "__main__":
    main()
