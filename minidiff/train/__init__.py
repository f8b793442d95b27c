"""Training: one loop, which knows nothing of what it trains. `python -m minidiff.train MODEL`

A sample and its noise are functions of the seed and its index. So a run that was stopped goes on as if it had not been,
and several processes that share a batch learn what one would (docs/scaling.md has two exceptions).
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from minidiff.pipeline import find_device
from minidiff.precision import autocast, has_bfloat16, memory_format
from minidiff.train import muon
from minidiff.train.run import Run


@dataclass(frozen=True)
class Settings:
    """How long and how fast to learn. The learning rate warms up linearly and falls to 0 along a half cosine."""

    steps: int
    batch: int  # samples a step, over all processes
    lr: float
    warmup: int = 200  # steps
    weight_decay: float = 0.01
    clip: float = 1.0  # the gradient's norm is cut to this
    ema: float = 0.999  # decay of the averaged weights, which are the result
    seed: int = 0
    every: int = 250  # steps between checkpoints

    def rate(self, step: int) -> float:
        return self.lr * min(1, (step + 1) / self.warmup) * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class Step:
    """What the loop yields: steps done, the loss of the last, seconds of training over all sittings."""

    step: int
    loss: float
    seconds: float


class Objective(nn.Module):
    """What is learned from what. Only `model` learns; `forward` is the loss; `evaluate` measures it.

    In `average` the loop keeps the model's averaged weights, by name, for a loss that looks at them.
    """

    model: nn.Module
    average: dict[str, Tensor]

    @property
    def result(self) -> nn.Module:
        """What is written to the folder: the model, or the part of it that is wanted."""
        return self.model

    def optimizers(self, lr: float, weight_decay: float) -> tuple[torch.optim.Optimizer, ...]:
        """What moves the model's weights, at the rate `lr` at first."""
        return muon.optimizers(self.model, lr, weight_decay)

    def prepare(self) -> None:
        """What is made once, before the first step; the main process does it first, so that others find it made."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The samples of these indices, (B,) integers from 0 without end, on the CPU."""
        raise NotImplementedError

    def forward(self, generator: list[torch.Generator], **batch: Tensor) -> Tensor:
        """The loss of a batch, a scalar, the mean over its samples. A sample's randomness comes from its generator."""
        raise NotImplementedError

    def evaluate(self) -> tuple[Image.Image | None, dict[str, float]]:
        """(a picture or None, measures by name) of what `model`, then with the averaged weights, can do now."""
        return None, {}


def accelerator(device: str | None = None, parts: int = 1) -> Accelerator:
    """Device, processes, precision: `device`, else CUDA, MPS or CPU; bfloat16 where the hardware computes in it.

    A process does its share of a batch in `parts`, one after the other, which saves memory (gradient accumulation).
    """
    found = find_device(device)
    if found.index:
        raise ValueError(f"device is {device}, expected no number: CUDA_VISIBLE_DEVICES chooses among several")
    kind = found.type
    precision = "bf16" if has_bfloat16(kind) else "no"
    return Accelerator(cpu=kind == "cpu", mixed_precision=precision, gradient_accumulation_steps=parts)


# -------------------------------------------------------------------------------------------------- the samples


def prefetch(make: Callable, parts: Sequence, device: torch.device) -> Iterator:
    """make(part) of each part, in order; `make` must not touch the GPU.

    Beside a GPU, which is done with a batch before one core has drawn the next, other processes make them ahead, one on
    each core but one. On a CPU they would only take the cores from the training.
    """
    workers = 0
    if device.type == "cuda" and hasattr(os, "sched_getaffinity"):  # Linux, where they are forked: nothing is copied
        workers = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1
    loader = DataLoader(
        parts,
        batch_size=None,
        collate_fn=make,
        num_workers=max(workers, 0),
        multiprocessing_context="fork" if workers > 0 else None,
    )
    return iter(loader)


def sample_indices(i: int, batch: int, accelerator: Accelerator) -> Tensor:
    """The samples of the i-th part since the run's first step that this process does, (n,). A step has equal parts."""
    step, part = divmod(i, accelerator.gradient_accumulation_steps)
    own = torch.arange(accelerator.process_index, batch, accelerator.num_processes)
    return step * batch + own.chunk(accelerator.gradient_accumulation_steps)[part]


def sample_generators(indices: Tensor, batch: dict[str, Tensor], seed: int, device: torch.device) -> list:
    """A generator for each sample of the batch, which may have fewer than `indices`.

    So a sample has the same noise, whatever process it is in.
    """
    samples = indices[: len(next(iter(batch.values())))].tolist()
    return [torch.Generator(device).manual_seed(seed * 2**40 + i) for i in samples]


class Stopwatch:
    """next() of an iterator; adds up the `seconds` that it was waited for."""

    def __init__(self, items: Iterator):
        self.items, self.seconds = items, 0.0

    def __next__(self):
        asked = time.perf_counter()
        item = next(self.items)
        self.seconds += time.perf_counter() - asked
        return item


# -------------------------------------------------------------------------------------------------- the loop


def training_loop(
    objective: Objective, settings: Settings, accelerator: Accelerator, folder: Path | None = None, **card
) -> Iterator[Step]:
    """Takes a step for each batch, by the objective's own optimisers. Yields each step, until `settings.steps`.

    With a folder it writes there, every `settings.every` steps and at the end: the averaged weights and, as JSON beside
    them, `card` with settings, loss curve, measures, and steps and minutes, to which those of card["before"] are added;
    samples/*.png; and checkpoint.safetensors, from which the same call goes on. In the end `objective.model` holds the
    averaged weights.

    ValueError if the batch cannot be shared evenly; FloatingPointError if the loss or the weights grow beyond all
    bounds; WeightsError if the folder's checkpoint is damaged or of another run, or the folder cannot be written.
    """
    device, parts, processes = accelerator.device, accelerator.gradient_accumulation_steps, accelerator.num_processes
    if settings.batch % (processes * parts):
        why = f"processes times parts, {processes} x {parts}"
        raise ValueError(f"got a batch of {settings.batch}, expected a multiple of {processes * parts}: {why}")

    # Model and optimisers, as they are at the start, or were when the run was stopped
    bf16 = accelerator.mixed_precision == "bf16"
    objective.to(device, memory_format=memory_format(device, bf16))
    with accelerator.main_process_first(), accelerator.autocast():
        objective.prepare()
    objective.model.train()
    run = Run(objective, settings, folder, card)
    run.restore()
    objective.average = run.average
    wrapped, *optimizers = accelerator.prepare(objective, *run.optimizers)

    # Samples, for each part of each step that is left
    def make(i: int) -> tuple[Tensor, dict[str, Tensor]]:
        indices = sample_indices(i, settings.batch, accelerator)
        return indices, objective.batch(indices)

    started, before, first = time.perf_counter(), run.seconds, len(run.losses)
    batches = Stopwatch(prefetch(make, range(first * parts, settings.steps * parts), device))
    name, silent = type(objective.result).__name__, not accelerator.is_main_process
    bar = tqdm(range(first, settings.steps), name, settings.steps, initial=first, disable=silent)
    for step in bar:
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = settings.rate(step)

        # Gradients, part by part; after the last one, weights
        losses = []
        for _ in range(parts):
            indices, batch = next(batches)
            batch = {name: value.to(device) for name, value in batch.items()}
            generator = sample_generators(indices, batch, settings.seed, device)
            with accelerator.accumulate(wrapped):
                with autocast(device, bf16):
                    loss = wrapped(generator, **batch)
                if not loss.isfinite():
                    raise FloatingPointError(f"the loss is {loss} at step {step + 1}: lower --lr and start again")
                accelerator.backward(loss)
                if accelerator.sync_gradients:  # the last part: before it, the optimizers do nothing
                    accelerator.clip_grad_norm_(objective.model.parameters(), settings.clip)
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
            losses.append(loss.detach())

        # Average of the weights
        loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
        spent = time.perf_counter() - started
        run.update(loss, before + spent)

        # What is shown and kept
        recent, waiting = run.losses[-50:], batches.seconds / spent
        bar.set_postfix(loss=f"{sum(recent) / len(recent):.4f}", waiting=f"{waiting:.0%}", refresh=False)
        if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                run.save()
        yield Step(step + 1, loss, run.seconds)
    objective.model.load_state_dict(run.average)
    objective.model.eval()


train = training_loop  # lesson 08 calls it so
