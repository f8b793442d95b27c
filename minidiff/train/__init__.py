"""Training: one loop, which knows nothing of what it trains. `python -m minidiff.train vae|clip|judge|unet|controlnet`

A sample and its noise are functions of the seed and its index. So a run that was stopped goes on as if it had not been,
and several processes that share a batch learn what one would.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from minidiff.convert import WeightsError, save
from minidiff.pipeline import find_device
from minidiff.train.muon import Muon, has_bfloat16


@dataclass(frozen=True)
class Settings:
    """How long and how fast to learn. The learning rate warms up linearly and falls to 0 along a half cosine."""

    steps: int
    batch: int  #                 samples a step, over all processes
    lr: float
    warmup: int = 200  #          steps
    weight_decay: float = 0.01
    clip: float = 1.0  #          the gradient's norm is cut to this
    ema: float = 0.999  #         decay of the averaged weights, which are the result
    seed: int = 0
    every: int = 250  #           steps between checkpoints

    def rate(self, step: int) -> float:
        return self.lr * min(1, (step + 1) / self.warmup) * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class Step:
    """What the loop yields: steps done, the loss of the last, seconds of training over all sittings."""

    step: int
    loss: float
    seconds: float


class Objective(nn.Module):
    """What is learned from what. Only `model` learns; `forward` is the loss; `look` shows how it stands."""

    model: nn.Module

    @property
    def result(self) -> nn.Module:
        """What is written to the folder: the model, or the part of it that is wanted."""
        return self.model

    def prepare(self) -> None:
        """What is made once, before the first step; the main process does it first, so that others find it made."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The samples of these indices, (B,) integers from 0 without end, on the CPU."""
        raise NotImplementedError

    def forward(self, generator: list[torch.Generator], **batch: Tensor) -> Tensor:
        """The loss of a batch, a scalar, the mean over its samples. A sample's randomness comes from its generator."""
        raise NotImplementedError

    def look(self):
        """(a PIL picture or None, a dict of measures) of what `model`, then with the averaged weights, can do now."""
        return None, {}


def accelerator(device: str | None = None, parts: int = 1) -> Accelerator:
    """Device, processes, precision: `device`, else CUDA, MPS or CPU; bfloat16 where the hardware computes in it.

    A process does its share of a batch in `parts`, one after the other, which saves memory (gradient accumulation).
    """
    kind = find_device(device).type
    precision = "bf16" if has_bfloat16(kind) else "no"
    return Accelerator(cpu=kind == "cpu", mixed_precision=precision, gradient_accumulation_steps=parts)


def made(make: Callable, parts: Sequence, device: torch.device) -> Iterator:
    """make(part) of each part, in order; `make` must not touch the GPU.

    Beside a GPU, which is done with a batch before one core has drawn the next, other processes make them ahead, one on
    each core but one. On a CPU they would only take the cores from the training.
    """
    workers = 0
    if device.type == "cuda" and hasattr(os, "sched_getaffinity"):  #  Linux, where they are forked: nothing is copied
        workers = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1
    loader = DataLoader(
        parts,
        batch_size=None,
        collate_fn=make,
        num_workers=max(workers, 0),
        multiprocessing_context="fork" if workers > 0 else None,
    )
    return iter(loader)


def train(
    objective: Objective, settings: Settings, accelerator: Accelerator, folder: Path | None = None, **card
) -> Iterator[Step]:
    """Muon for the matrices, AdamW (Loshchilov & Hutter 2019) for the rest. Yields each step, until `settings.steps`.

    With a folder it writes there, every `settings.every` steps and at the end: the averaged weights and, as JSON beside
    them, `card` with settings, loss curve, measures, and steps and minutes, to which those of card["before"] are added;
    samples/*.png; and checkpoint.safetensors, from which the same call goes on. In the end `objective.model` holds the
    averaged weights.

    ValueError if the batch cannot be shared evenly; FloatingPointError if the loss is not finite; WeightsError if the
    folder's checkpoint is damaged or of another run.
    """
    processes, parts = accelerator.num_processes, accelerator.gradient_accumulation_steps
    if settings.batch % (processes * parts):
        why = f"processes times parts, {processes} x {parts}"
        raise ValueError(f"got a batch of {settings.batch}, expected a multiple of {processes * parts}: {why}")
    # On CPUs in bfloat16, plain attention and plain order are quicker: the fused one has a slow backward pass there. In
    # float32 the fused one is, by 4 %, and channels-last order by 5 % for the U-Net, 16 % for the VAE.
    plain = accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16"
    order = torch.contiguous_format if plain else torch.channels_last
    objective.to(accelerator.device, memory_format=order)
    with accelerator.main_process_first(), accelerator.autocast():
        objective.prepare()
    objective.model.train()
    run = Run(objective, settings, folder, card)
    run.restore()
    wrapped, *optimizers = accelerator.prepare(objective, run.muon, run.adamw)

    began, waited = time.perf_counter(), 0.0
    start = began - run.seconds
    steps = range(len(run.losses), settings.steps)
    mine = range(accelerator.process_index, settings.batch, processes)
    todo = [part for step in steps for part in (step * settings.batch + torch.tensor(mine)).chunk(parts)]
    batches = made(lambda part: (part, objective.batch(part)), todo, accelerator.device)
    name = type(objective.result).__name__
    bar = tqdm(steps, name, settings.steps, initial=len(run.losses), disable=not accelerator.is_main_process)
    for step in bar:
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = settings.rate(step)
        losses = []
        for _ in range(parts):
            asked = time.perf_counter()
            part, batch = next(batches)
            waited += time.perf_counter() - asked
            batch = {name: value.to(accelerator.device) for name, value in batch.items()}
            samples = part[: len(next(iter(batch.values())))].tolist()
            seeds = [settings.seed * 2**40 + i for i in samples]  #  the same noise, whatever process a sample is in
            generator = [torch.Generator(accelerator.device).manual_seed(seed) for seed in seeds]
            attention = sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
            with accelerator.accumulate(wrapped), attention:
                loss = wrapped(generator, **batch)
                if not loss.isfinite():
                    raise FloatingPointError(f"the loss is {loss} at step {step + 1}: lower --lr and start again")
                accelerator.backward(loss)
                if accelerator.sync_gradients:  #  the last part: before it, the optimizers do nothing
                    accelerator.clip_grad_norm_(objective.model.parameters(), settings.clip)
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
            losses.append(loss.detach())

        run.done(accelerator.reduce(torch.stack(losses).mean(), "mean").item(), time.perf_counter() - start)
        share = waited / (time.perf_counter() - began)
        shown = {"loss": f"{sum(run.losses[-50:]) / len(run.losses[-50:]):.4f}", "waiting": f"{share:.0%}"}
        bar.set_postfix(shown, refresh=False)
        if len(run.losses) % settings.every == 0 or len(run.losses) == settings.steps:
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                run.keep()
        yield Step(len(run.losses), run.losses[-1], run.seconds)
    objective.model.load_state_dict(run.average)
    objective.model.eval()


class Run:
    """What a training run knows: weights, their average, the optimiser's state, the losses so far; and its folder."""

    def __init__(self, objective: Objective, settings: Settings, folder: Path | None, card: dict):
        self.objective, self.settings, self.folder, self.card = objective, settings, folder, card
        self.model = objective.model
        self.average = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        # Muon wants what multiplies from both sides: not biases and scales, nor a table of embeddings
        tables = {id(layer.weight) for layer in self.model.modules() if isinstance(layer, nn.Embedding)}
        matrices = [p for p in self.model.parameters() if p.ndim > 1 and id(p) not in tables]
        rest = [p for p in self.model.parameters() if p.ndim <= 1 or id(p) in tables]
        self.muon = Muon(matrices, settings.lr, settings.weight_decay)
        self.adamw = torch.optim.AdamW(rest, settings.lr, weight_decay=settings.weight_decay)
        self.losses: list[float] = []
        self.seconds = 0.0
        # what must be the same for a checkpoint to be this run's; taken now, as `look` may measure a part of the config
        same = asdict(settings) | {"config": asdict(objective.result.config)} | card
        self.identity = json.loads(json.dumps({name: value for name, value in same.items() if name != "command"}))

    def done(self, loss: float, seconds: float) -> None:
        """A step was done: weights enter the average, average += (1 - ema) (weights - average)."""
        step = len(self.losses)
        decay = min(self.settings.ema, (1 + step) / (10 + step))  #  short while the weights still move fast
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)
        self.losses.append(loss)
        self.seconds = seconds

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def keep(self) -> None:
        """Write everything. A kill at any moment leaves each file as it was or as it shall be."""
        if self.folder is None:
            return
        samples = self.folder / "samples"
        samples.mkdir(parents=True, exist_ok=True)

        state = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        state |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        for name, parameter in self.model.named_parameters():
            kept = self.muon.state.get(parameter) or self.adamw.state[parameter]
            state |= {f"optimizer.{name}.{key}": value for key, value in kept.items()}
        state = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
        state["losses"] = torch.tensor(self.losses)
        about = {"identity": self.identity, "seconds": self.seconds}

        self.model.load_state_dict(self.average)
        with torch.no_grad():
            self.model.eval()
            picture, measures = self.objective.look()
            before = self.card.get("before", [])  #  what the weights that it started from had learned for
            steps = len(self.losses) + sum(card["steps"] for card in before)
            minutes = round(self.seconds / 60 + sum(card["minutes"] for card in before), 1)
            card = self.card | {"settings": asdict(self.settings), "steps": steps, "minutes": minutes}
            device = next(self.model.parameters()).device
            device = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
            card |= {"device": device, "cores": torch.get_num_threads(), "measures": measures}
            name = type(self.objective.result).__name__.lower()
            save(self.objective.result, self.folder / f"{name}.safetensors", **card, loss_curve=self.curve())
            self.model.train()
        self.model.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
        if picture is not None:
            picture.save(samples / f"{len(self.losses):06d}.png")

        part = self.checkpoint.with_suffix(".part")
        try:
            save_file(state, part, {"minidiff": json.dumps(about)})
            os.replace(part, self.checkpoint)
        finally:
            part.unlink(missing_ok=True)

    def curve(self, points: int = 100) -> list[tuple[int, float]]:
        """(step, mean loss of the steps since the point before), at most `points` of them."""
        stride = math.ceil(len(self.losses) / points)
        parts = [self.losses[i : i + stride] for i in range(0, len(self.losses), stride)]
        return [(min((i + 1) * stride, len(self.losses)), round(sum(p) / len(p), 5)) for i, p in enumerate(parts)]

    def restore(self) -> None:
        """Go on from the folder's checkpoint, if there is one. WeightsError if it is damaged or of another run."""
        if self.folder is None or not self.checkpoint.exists():
            return
        try:
            with safe_open(self.checkpoint, "pt") as file:
                about = json.loads(file.metadata()["minidiff"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        except (SafetensorError, TypeError, KeyError) as error:
            raise WeightsError(f"{self.checkpoint} is damaged ({error}): delete it to start again") from error
        old, new = about["identity"], self.identity
        if wrong := [name for name in old | new if old.get(name) != new.get(name)]:
            raise WeightsError(
                f"{self.folder} holds a run with {wrong[0]} = {old.get(wrong[0])}, this one has {new.get(wrong[0])}:"
                " give the same options to go on, or another --out"
            )
        self.model.load_state_dict({name: state[f"model.{name}"] for name in self.average})
        for name, tensor in self.average.items():
            tensor.copy_(state[f"average.{name}"])
        for key, value in state.items():
            kind, _, rest = key.partition(".")
            if kind == "optimizer":
                name, what = rest.rsplit(".", 1)
                parameter = self.model.get_parameter(name)
                optimizer = self.muon if what == "momentum" else self.adamw
                optimizer.state[parameter][what] = value if what == "step" else value.to(parameter.device)
        self.losses, self.seconds = state["losses"].tolist(), about["seconds"]
