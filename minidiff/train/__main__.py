"""python -m minidiff.train vae|clip|judge|unet|controlnet"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from minidiff import data
from minidiff.cli import Parser, number, run
from minidiff.clip import CLIP
from minidiff.controlnet import ControlNet
from minidiff.convert import load, save
from minidiff.judge import Judge
from minidiff.pipeline import WEIGHTS
from minidiff.tokenizer import Tokenizer
from minidiff.train import Settings, accelerator, train
from minidiff.train.objectives import (
    HINTS,
    CLIPObjective,
    ControlNetObjective,
    JudgeObjective,
    TextUNetObjective,
    UNetObjective,
    VAEObjective,
)
from minidiff.unet import UNet
from minidiff.vae import VAE

# model -> settings, where no option says otherwise; the shipped weights' own are in their cards
DEFAULTS = {
    "vae": Settings(steps=6000, batch=32, lr=2e-3),
    "clip": Settings(steps=3000, batch=128, lr=1e-3, weight_decay=0.1),
    "judge": Settings(steps=6000, batch=64, lr=2e-3),
    "unet": Settings(steps=40000, batch=64, lr=1e-3),
    "controlnet": Settings(steps=4000, batch=32, lr=1e-3),
}

# options that a run is known by, in its card
SAME = ("scenes", "world", "noise", "style", "size", "hint", "lock_text", "tune_text")

HINT_EMBEDDING = {"conditioning_embedding_out_channels": (16, 32, 64, 96)}  #  two ControlNets must fit into 18 MB


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "python -m minidiff.train", description="Train a model. The same command goes on where it was stopped."
    )
    commands = parser.add_subparsers(dest="model", required=True)
    for name, default in DEFAULTS.items():
        p = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        p.add_argument("--steps", type=number(int, 1), default=default.steps, help="optimiser steps in all")
        p.add_argument("--batch", type=number(int, 1), default=default.batch, help="samples a step, over all processes")
        p.add_argument("--lr", type=number(float, 1e-9, 1), default=default.lr, help="highest learning rate")
        p.add_argument("--warmup", type=number(int, 1), default=default.warmup, help="steps until it is reached")
        p.add_argument(
            "--ema", type=number(float, 0, 1), default=default.ema, help="decay of the averaged weights, 0 to 1"
        )
        p.add_argument("--seed", type=number(int, 0), default=default.seed)
        p.add_argument("--every", type=number(int, 1), default=default.every, help="steps between checkpoints")
        p.add_argument(
            "--out", type=Path, default=Path("runs") / name, help="folder for checkpoint, weights and samples"
        )
        p.add_argument("--init", type=Path, help="start from the weights in this file instead of from random ones")
        p.add_argument("--parts", type=number(int, 1), default=1, help="that a batch is done in, to save memory")
        p.add_argument("--device", help="cpu, cuda or mps; the best there is, if not given")
        if name in ("unet", "controlnet"):
            p.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the models it works with")
            p.add_argument("--scenes", type=number(int, 1), default=30000, help="how many scenes to learn from")
            p.add_argument("--world", choices=("full", "small"), default="full")
            p.add_argument(
                "--noise", type=number(float, 0, 1), default=data.FULL.noise, help="share of captions that are wrong"
            )
            p.add_argument(
                "--style", type=number(float, 0, 1), help="share of pictures with a style, if not the world's"
            )
            p.add_argument("--size", type=number(float, 0, 1), help="share of single objects that are small or big")
        if name == "clip":
            p.add_argument("--lock-text", action="store_true", help="leave the text transformer as it is in --init")
        if name == "unet":
            p.add_argument(
                "--tune-text", action="store_true", help="train its text encoder too, and write clip.safetensors"
            )
        if name == "controlnet":
            p.add_argument("--hint", choices=HINTS, default="lines", help="line art and edges, or the objects' boxes")
    return parser.parse_args(argv)


def card_of(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def history(card: dict) -> list[dict]:
    """The trainings behind a card, first one first: command, steps and minutes of each, and on what."""
    before = card.get("before", [])
    steps, minutes = (card[name] - sum(each[name] for each in before) for name in ("steps", "minutes"))
    own = {"command": card["command"], "steps": steps, "minutes": round(minutes, 1)}
    return [*before, own | ({"device": card["device"]} if "device" in card else {})]


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    base = DEFAULTS[args.model]
    settings = Settings(
        args.steps, args.batch, args.lr, args.warmup, base.weight_decay, base.clip, args.ema, args.seed, args.every
    )
    torch.manual_seed(settings.seed)
    if args.model == "vae":
        model = load(VAE, args.init) if args.init else VAE()
        crops = 0 if args.init else int(0.7 * settings.steps)  #  a model that has learned would unlearn whole pictures
        objective = VAEObjective(model, whole=crops * settings.batch)
    elif args.model == "clip":
        model = load(CLIP, args.init) if args.init else CLIP()
        tokenizer = Tokenizer.train(data.WORDS)
        objective = CLIPObjective(model, tokenizer, args.lock_text)
    elif args.model == "judge":
        objective = JudgeObjective(load(Judge, args.init) if args.init else Judge())
    else:
        vae, clip = load(VAE, args.weights / "vae.safetensors"), load(CLIP, args.weights / "clip.safetensors")
        shares = {name: getattr(args, name) for name in ("noise", "style", "size") if getattr(args, name) is not None}
        world = replace({"full": data.FULL, "small": data.SMALL}[args.world], **shares)
        judge = load(Judge, WEIGHTS / "judge.safetensors")
        tokenizer, cache = Tokenizer.load(args.weights), args.out / "latents.safetensors"
        frozen = vae, clip.text_model, tokenizer, args.scenes, world, cache
        if args.model == "unet":
            model = load(UNet, args.init) if args.init else UNet()
            objective = (TextUNetObjective if args.tune_text else UNetObjective)(model, *frozen, judge)
        else:
            unet = load(UNet, args.weights / "unet.safetensors")
            model = load(ControlNet, args.init) if args.init else ControlNet.from_unet(unet, **HINT_EMBEDDING)
            objective = ControlNetObjective(model, unet, args.hint, *frozen, judge)

    card = {"command": " ".join(["python -m minidiff.train", *(sys.argv[1:] if argv is None else argv)])}
    if args.init and args.init.with_suffix(".json").is_file():
        card["before"] = history(card_of(args.init))
    card |= {name: value for name, value in vars(args).items() if name in SAME}
    machine = accelerator(args.device, args.parts)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out is {args.out}, which cannot be made ({error}): give a folder that is yours") from error
    if args.model == "clip":
        tokenizer.save(args.out)
    for _ in train(objective, settings, machine, args.out, **card):
        pass
    machine.end_training()
    if machine.is_main_process:
        if card.get("tune_text"):
            before, own = history(card_of(args.weights / "clip")), history(card_of(args.out / "unet"))[-1]
            total = {name: own[name] + sum(each[name] for each in before) for name in ("steps", "minutes")}
            save(clip, args.out / "clip.safetensors", command=own["command"], before=before, **total)
        print(f"{args.out / args.model}.safetensors")


if __name__ == "__main__":
    run(main, interrupted="stopped; the same command goes on from the last checkpoint")
