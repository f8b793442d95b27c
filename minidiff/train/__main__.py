"""python -m minidiff.train vae|clip|judge|unet|consistency|decoder|controlnet|ip_adapter"""

import argparse
import copy
import json
import sys
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import torch
from torch import nn

from minidiff import data
from minidiff.cli import Parser, number, run
from minidiff.clip import CLIP, CLIPImage, CLIPText
from minidiff.controlnet import ControlNet, ControlNetConfig
from minidiff.convert import load, read_json, save
from minidiff.convert.files import config_of, unfilled
from minidiff.ip_adapter import IPAdapter
from minidiff.judge import CLASSES, Judge
from minidiff.pipeline import WEIGHTS
from minidiff.tokenizer import Tokenizer
from minidiff.train import Objective, Settings, accelerator, sample_generators, training_loop
from minidiff.train.consistency import ConsistencyObjective
from minidiff.train.decoder import DecoderObjective
from minidiff.train.ip_adapter import IPAdapterObjective
from minidiff.train.objectives import (
    HINTS,
    CLIPObjective,
    ControlNetObjective,
    JudgeObjective,
    TextUNetObjective,
    UNetObjective,
    VAEObjective,
)
from minidiff.train.run import writing
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, TinyDecoder, TinyDecoderConfig

# model -> settings, where no option says otherwise; the shipped weights' own are in their cards
DEFAULTS = {
    "vae": Settings(steps=6000, batch=32, lr=2e-3),
    "clip": Settings(steps=3000, batch=128, lr=1e-3, weight_decay=0.1),
    "judge": Settings(steps=6000, batch=64, lr=2e-3),
    "unet": Settings(steps=40000, batch=64, lr=1e-3),
    "consistency": Settings(steps=800, batch=24, lr=3e-4, warmup=20, ema=0.95, every=100),
    "decoder": Settings(steps=4000, batch=32, lr=2e-3),
    "controlnet": Settings(steps=4000, batch=32, lr=1e-3),
    "ip_adapter": Settings(steps=4000, batch=32, lr=1e-3),
}

# model -> MB (2**20 bytes) that its weights may have in half precision, to be shipped
LIMITS = {"vae": 8, "clip": 4, "judge": 1, "unet": 20, "consistency": 20, "controlnet": 9, "ip_adapter": 1}
LIMITS |= {"decoder": 1}

# options that are settings, and options that a run is known by, in its card
SETTINGS = ("steps", "batch", "lr", "warmup", "ema", "seed", "every")
SAME = ("scenes", "world", "noise", "style", "size", "often", "hint", "lock_text", "tune_text", "guidance", "grid")

HINT_EMBEDDING = {"conditioning_embedding_out_channels": (16, 32, 64, 96)}  # so that a ControlNet is within its limit


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "python -m minidiff.train", description="Train a model. The same command goes on where it was stopped."
    )
    commands = parser.add_subparsers(dest="model", required=True)
    for name, default in DEFAULTS.items():
        add = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter).add_argument
        count, share, out = number(int, 1), number(float, 0, 1), Path("runs") / name

        add("--steps", type=count, default=default.steps, help="optimiser steps in all")
        add("--batch", type=count, default=default.batch, help="samples a step, over all processes")
        add("--lr", type=number(float, 1e-9, 1), default=default.lr, help="highest learning rate")
        add("--warmup", type=count, default=default.warmup, help="steps until it is reached")
        add("--ema", type=share, default=default.ema, help="decay of the averaged weights, 0 to 1")
        add("--seed", type=number(int, 0), default=default.seed)
        add("--every", type=count, default=default.every, help="steps between checkpoints")

        add("--out", type=Path, default=out, help="folder for checkpoint, weights and samples")
        add("--init", type=Path, help="start from the weights in this file instead of from random ones")
        add("--config", nargs="+", default=[], metavar="NAME=VALUE", help="other sizes: block_out_channels=64,96,128")
        add("--limit", type=number(float, 0), default=LIMITS[name], help="MB of weights in half precision, at most")
        add("--parts", type=count, default=1, help="that a batch is done in, to save memory")
        add("--device", help="cpu, cuda or mps; the best there is, if not given")

        if name not in ("vae", "clip", "judge"):
            add("--weights", type=Path, default=WEIGHTS, help="folder of the models it works with")
            add("--scenes", type=count, default=30000, help="how many scenes to learn from")
            add("--world", choices=("full", "small"), default="full")
            add("--noise", type=share, default=data.FULL.noise, help="share of captions that are wrong")
            add("--style", type=share, help="share of pictures with a style, if not the world's")
            add("--size", type=share, help="share of single objects that are small or big")
            known = (*data.OBJECTS, *data.STYLES)
            add("--often", nargs="+", default=[], choices=known, metavar="NAME", help="to be seen twice as often")
        if name == "clip":
            add("--lock-text", action="store_true", help="leave the text transformer as it is in --init")
        if name == "unet":
            add("--tune-text", action="store_true", help="train its text encoder too, and write clip.safetensors")
        if name == "consistency":
            add("--guidance", type=number(float, 0, 100), default=4.0, help="the teacher's, which is folded in")
            add("--grid", type=number(int, 1, 1000), default=25, help="the teacher's steps from noise to data")
        if name == "controlnet":
            add("--hint", choices=HINTS, default="lines", help="line art and edges, or the objects' boxes")
    return parser.parse_args(argv)


# ------------------------------------------------------------------------------------------ the model and its size


def changed(config, changes: list[str]):
    """`config`, a dataclass, with changes such as "block_out_channels=64,96,128" or "text_config.hidden_size=64"."""
    values, inner = {}, {}
    for change in changes:
        path, _, text = change.partition("=")
        name, _, rest = path.partition(".")
        old = getattr(config, name, None)
        if name not in asdict(config) or is_dataclass(old) != bool(rest):
            known = [name + ".NAME" * isinstance(value, dict) for name, value in asdict(config).items()]
            raise ValueError(f"--config has {path!r}, expected one of: {', '.join(known)}")
        if rest:
            inner.setdefault(name, []).append(f"{rest}={text}")
        else:
            values[name] = _value(change, text, old)
    return replace(config, **values, **{name: changed(getattr(config, name), each) for name, each in inner.items()})


def _value(change: str, text: str, old):
    """What `text` says, of the type of the `old` value: a number, true or false, a word; or a tuple of them.

    A number is above 0, or 0 where the old value has one.
    """
    olds = (old or (1,)) if isinstance(old, tuple) else (old,)  # an empty one is of counts, a level each
    like = olds[0]
    try:
        values = json.loads(f"[{text}]")
    except json.JSONDecodeError:
        values = [text]
    kinds = (int, float) if type(like) is float else (type(like),)
    right = all(type(v) in kinds and (type(v) not in (int, float) or v > 0 or v in olds) for v in values)
    if not right or (not values if isinstance(old, tuple) else len(values) != 1):
        usual = json.dumps(old).strip('[]"').replace(" ", "")
        raise ValueError(f"--config has {change!r}, expected values as in {change.partition('=')[0]}={usual}")
    return tuple(values) if isinstance(old, tuple) else values[0]


def begin(args: argparse.Namespace, cls: type[nn.Module], config=None, make=None) -> nn.Module:
    """The model to train: the one in --init, or a new one, make(config), of `config` changed by --config.

    ValueError if both are given and differ, or if its weights are larger than --limit.
    """
    model = load(cls, args.init) if args.init else None
    config = model.config if model else config or config_of(cls)()
    wanted = changed(config, args.config)
    if model and wanted != config:
        name = next(name for name, value in asdict(config).items() if asdict(wanted)[name] != value)
        got, asked = (asdict(each)[name] for each in (config, wanted))
        raise ValueError(f"{args.init} has {name} = {got}, --config {asked}: leave out one of them")
    with unfilled():
        size = 2 * sum(tensor.numel() for tensor in cls(wanted).state_dict().values()) / 2**20
    if size > args.limit:
        advice = "give smaller sizes, or a higher --limit for weights of your own"
        raise ValueError(f"the {cls.__name__} has {size:.1f} MB in half precision, expected {args.limit:g}: {advice}")
    return model or (make or cls)(wanted)


def build(args: argparse.Namespace, settings: Settings) -> Objective:
    """What learns, and from what."""
    if args.model == "vae":
        model = begin(args, VAE)
        crops = 0 if args.init else int(0.7 * settings.steps)  # a model that has learned would unlearn whole pictures
        return VAEObjective(model, whole=crops * settings.batch)
    if args.model == "clip":
        return CLIPObjective(begin(args, CLIP), Tokenizer.train(data.WORDS), args.lock_text)
    if args.model == "judge":
        return JudgeObjective(begin(args, Judge))

    vae, clip = load(VAE, args.weights / "vae.safetensors"), load(CLIP, args.weights / "clip.safetensors")
    shares = {name: getattr(args, name) for name in ("noise", "style", "size") if getattr(args, name) is not None}
    shares["often"] = tuple(args.often)
    world = replace({"full": data.FULL, "small": data.SMALL}[args.world], **shares)
    judge = load(Judge, WEIGHTS / "judge.safetensors")
    tokenizer, cache = Tokenizer.load(args.weights), args.out / "latents.safetensors"
    frozen = vae, clip.text_model, tokenizer, args.scenes, world, cache, judge
    if args.model == "unet":
        model = begin(args, UNet)
        check_fit(model, vae, clip.text_model)
        return (TextUNetObjective if args.tune_text else UNetObjective)(model, *frozen)
    if args.model == "decoder":
        plain = TinyDecoderConfig(latent_channels=vae.config.latent_channels)
        return DecoderObjective(begin(args, TinyDecoder, plain), *frozen)

    unet = load(UNet, args.weights / "unet.safetensors")
    check_fit(unet, vae, clip.text_model)
    if args.model == "consistency":
        model = begin(args, UNet, unet.config, lambda config: copy.deepcopy(unet))
        return ConsistencyObjective(model, unet, args.guidance, args.grid, *frozen)

    own = {field.name for field in fields(ControlNetConfig)} - {field.name for field in fields(UNetConfig)}
    own = {"num_tokens"} if args.model == "ip_adapter" else own
    if alien := [change for change in args.config if change.partition("=")[0] not in own]:
        raise ValueError(f"--config has {alien[0]!r}, expected {' or '.join(sorted(own))}: the rest is the U-Net's")

    if args.model == "ip_adapter":
        plain = IPAdapter.from_unet(unet, clip.config.projection_dim).config
        model = begin(args, IPAdapter, plain, lambda c: IPAdapter.from_unet(unet, c.image_dim, c.num_tokens))
        return IPAdapterObjective(model, unet, CLIPImage.of(clip), *frozen)

    def make(config: ControlNetConfig) -> ControlNet:
        return ControlNet.from_unet(unet, **{name: getattr(config, name) for name in own})

    model = begin(args, ControlNet, ControlNetConfig(**asdict(unet.config), **HINT_EMBEDDING), make)
    return ControlNetObjective(model, unet, args.hint, *frozen)


def check_fit(unet: UNet, vae: VAE, text: CLIPText) -> None:
    """ValueError if the U-Net's sizes are not those of the latents and texts that it will see."""
    channels, factor = vae.config.latent_channels, vae.factor
    sizes = {"in_channels": channels, "out_channels": channels, "sample_size": data.SIZE // factor}
    for name, expected in (sizes | {"cross_attention_dim": text.config.hidden_size}).items():
        if (got := getattr(unet.config, name)) != expected:
            raise ValueError(f"the UNet has {name} = {got}, expected {expected}, as VAE and text encoder have it")


@torch.no_grad()
def rehearse(objective: Objective) -> None:
    """The loss of two samples. ValueError if the model's config does not fit them: now, not after hours."""
    trial, indices = copy.copy(objective).eval(), torch.arange(2)
    trial.n, trial.cache = 1, None  # of all the scenes that a `UNetObjective` encodes, one
    try:
        trial.prepare()
        batch = trial.batch(indices)
        trial(sample_generators(indices, batch, 0, torch.device("cpu")), **batch)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ValueError(f"this {type(objective.result).__name__} does not fit its samples: {error}") from error


# ------------------------------------------------------------------------------------------ the card and the command


def card_of(path: Path) -> dict:
    """What stands in the JSON file beside these weights; nothing if there is none."""
    path = path.with_suffix(".json")
    return read_json(path, "give it as training wrote it, or delete it") if path.is_file() else {}


def history(card: dict) -> list[dict]:
    """The trainings behind a card, first one first: command, steps and minutes of each, and on what."""
    before = card.get("before", [])
    if "steps" not in card:  # its weights were not written by this command
        return before
    try:
        steps, minutes = (card[name] - sum(each[name] for each in before) for name in ("steps", "minutes"))
        own = {"command": card["command"], "steps": steps, "minutes": round(minutes, 1)}
    except (KeyError, TypeError) as error:
        raise ValueError(f"the card of these weights is damaged ({error}): give it as it was, or delete it") from error
    return [*before, own | ({"device": card["device"]} if "device" in card else {})]


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    settings = replace(DEFAULTS[args.model], **{name: getattr(args, name) for name in SETTINGS})
    torch.manual_seed(settings.seed)
    objective = build(args, settings)
    rehearse(objective)

    card = {"command": " ".join(["python -m minidiff.train", *(sys.argv[1:] if argv is None else argv)])}
    if args.init and (before := history(card_of(args.init))):
        card["before"] = before
    card |= {name: value for name, value in vars(args).items() if name in SAME}
    if args.model == "clip":
        card["words"] = list(data.WORDS)  # that its texts were taught
    if args.model == "judge":
        card["classes"] = CLASSES  # what the numbers that it answers with stand for
    taught = history(card_of(args.weights / "clip.safetensors")) if card.get("tune_text") else []

    machine = accelerator(args.device, args.parts)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out is {args.out}, which cannot be made ({error}): give a folder that is yours") from error
    if args.model == "clip":
        with writing(args.out):
            objective.tokenizer.save(args.out)
    for _ in training_loop(objective, settings, machine, args.out, **card):
        pass
    machine.end_training()
    if machine.is_main_process:
        if card.get("tune_text"):
            own = history(card_of(args.out / "unet.safetensors"))[-1]
            total = {name: own[name] + sum(each[name] for each in taught) for name in ("steps", "minutes")}
            about = {"command": own["command"], "before": taught, "words": list(data.WORDS), **total}
            clip = load(CLIP, args.weights / "clip.safetensors")
            clip.text_model.load_state_dict(objective.text.state_dict())
            with writing(args.out):
                save(clip, args.out / "clip.safetensors", **about)
        print(f"{args.out / type(objective.result).__name__.lower()}.safetensors")


if __name__ == "__main__":
    run(main, interrupted="stopped; the same command goes on from the last checkpoint")
