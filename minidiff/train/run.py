"""One training run: the weights, their average, the optimisers, the losses so far; and the folder that holds them."""

import json
import math
import reprlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from minidiff.convert import WeightsError, save
from minidiff.convert.files import replacing

if TYPE_CHECKING:
    from minidiff.train import Objective, Settings


def update_average(average: dict[str, Tensor], weights: dict[str, Tensor], step: int, ema: float) -> None:
    """average <- d average + (1 - d) weights, d = min(ema, (1 + step) / (10 + step)), in place, after step 0, 1, ...

    So the decay is short while the weights still move fast. What is no float, such as a count, is copied.
    """
    decay = min(ema, (1 + step) / (10 + step))
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            average[name].lerp_(tensor, 1 - decay)
        else:
            average[name].copy_(tensor)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """WeightsError, in one line, if what is written inside finds no room, or may not be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        advice = "make room there, and the same command goes on from the last checkpoint"
        raise WeightsError(f"{folder} cannot be written ({error}): {advice}") from error


class Run:
    """What a training run knows, and how it is kept in a folder and found again there."""

    def __init__(self, objective: "Objective", settings: "Settings", folder: Path | None, card: dict):
        self.objective, self.settings, self.folder, self.card = objective, settings, folder, card
        self.model = objective.model
        self.average = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.optimizers = objective.optimizers(settings.lr, settings.weight_decay)
        self.losses: list[float] = []
        self.seconds = 0.0
        self.mark: str | None = None  # of the checkpoint in the folder that this run read or wrote
        # What must be the same for a checkpoint to be this run's; taken now, as `evaluate` may measure a part of it
        config = objective.result.config
        same = asdict(settings) | {f"config.{name}": value for name, value in asdict(config).items()}
        same |= {name: value for name, value in card.items() if name != "command"}
        # A checkpoint from before the config gained a field was of that field's default
        defaults = {f"config.{each.name}": each.default for each in fields(config) if each.default is not MISSING}
        self.identity, self.defaults = json.loads(json.dumps([same, defaults], default=asdict))

    def update(self, loss: float, seconds: float) -> None:
        """A step was done, with this loss; so many seconds were spent since the first one, over all sittings."""
        update_average(self.average, self.model.state_dict(), len(self.losses), self.settings.ema)
        self.losses.append(loss)
        self.seconds = seconds

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has the averaged weights and is in evaluation mode."""
        weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        self.model.eval()
        try:
            yield
        finally:
            self.model.load_state_dict(weights)
            self.model.train()

    # ------------------------------------------------------------------------------------------ the folder

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def save(self) -> None:
        """Measure the averaged weights, then write them, their card, a picture, and a checkpoint to go on from.

        A kill at any moment leaves each file as it was or as it shall be. FloatingPointError if the weights have grown
        out of half precision; WeightsError if there is no room, or if another run has written here meanwhile.
        """
        if self.folder is None:
            return
        for name, tensor in self.average.items():
            if not tensor.half().isfinite().all():
                why = f"{name} has values beyond 65504 or NaN at step {len(self.losses)}"
                raise FloatingPointError(f"{why}: lower --lr and start again")
        with self.averaged(), torch.no_grad():
            picture, measures = self.objective.evaluate()
            self._refuse_another_run()
            with writing(self.folder):
                (self.folder / "samples").mkdir(parents=True, exist_ok=True)
                name = type(self.objective.result).__name__.lower()
                save(self.objective.result, self.folder / f"{name}.safetensors", **self._card(measures))
                if picture is not None:
                    with replacing(self.folder / "samples" / f"{len(self.losses):06d}.png") as part:
                        picture.save(part, "PNG")
        with writing(self.folder), replacing(self.checkpoint) as part:
            mark = uuid.uuid4().hex
            about = {"identity": self.identity, "seconds": self.seconds, "mark": mark}
            save_file(self._state(), part, {"minidiff": json.dumps(about)})
        self.mark = mark

    def restore(self) -> None:
        """Go on from the folder's checkpoint, if there is one. WeightsError if it is damaged or of another run."""
        if self.folder is None or not self.checkpoint.exists():
            return
        about = self._about()
        old, new = self.defaults | about["identity"], self.identity
        if wrong := [name for name in old | new if old.get(name) != new.get(name)]:
            had, has = (reprlib.repr(values.get(wrong[0])) for values in (old, new))
            advice = "give the same options to go on, or another --out"
            raise WeightsError(f"{self.folder} holds a run with {wrong[0]} = {had}, this one has {has}: {advice}")

        with safe_open(self.checkpoint, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        lost = {f"{what}.{name}" for name in self.average for what in ("model", "average")} | {"losses"}
        lost -= state.keys()
        if lost:
            raise WeightsError(f"{self.checkpoint} is damaged, without {min(lost)}: delete it to start again")
        self.model.load_state_dict({name: state[f"model.{name}"] for name in self.average})
        for name, tensor in self.average.items():
            tensor.copy_(state[f"average.{name}"])
        learns = {p: each for each in self.optimizers for group in each.param_groups for p in group["params"]}
        for key, value in state.items():
            kind, _, rest = key.partition(".")
            if kind == "optimizer":
                name, what = rest.rsplit(".", 1)
                parameter = self.model.get_parameter(name)
                learns[parameter].state[parameter][what] = value if what == "step" else value.to(parameter.device)
        self.losses, self.seconds, self.mark = state["losses"].tolist(), about["seconds"], about["mark"]

    def curve(self, points: int = 100) -> list[tuple[int, float]]:
        """(step, mean loss of the steps since the point before), at most `points` of them."""
        stride = math.ceil(len(self.losses) / points)
        parts = [self.losses[i : i + stride] for i in range(0, len(self.losses), stride)]
        return [(min((i + 1) * stride, len(self.losses)), round(sum(p) / len(p), 5)) for i, p in enumerate(parts)]

    def _about(self) -> dict:
        """What the folder's checkpoint says of itself. WeightsError if it is damaged."""
        try:
            with safe_open(self.checkpoint, "pt") as file:
                about = json.loads(file.metadata()["minidiff"])
                return {name: about[name] for name in ("identity", "seconds")} | {"mark": about.get("mark")}
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise WeightsError(f"{self.checkpoint} is damaged ({error}): delete it to start again") from error

    def _refuse_another_run(self) -> None:
        """WeightsError if the folder's checkpoint is neither the one that this run read nor one that it wrote."""
        if self.checkpoint.exists() and self._about()["mark"] != self.mark:
            advice = "let one of the two go on, or give another --out"
            raise WeightsError(f"{self.folder} was written by another run since this one started: {advice}")

    def _state(self) -> dict[str, Tensor]:
        """Everything that is needed to go on, by name."""
        state = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        state |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        kept = {parameter: values for each in self.optimizers for parameter, values in each.state.items()}
        for name, parameter in self.model.named_parameters():
            state |= {f"optimizer.{name}.{key}": value for key, value in kept.get(parameter, {}).items()}
        state = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
        return state | {"losses": torch.tensor(self.losses)}

    def _card(self, measures: dict) -> dict:
        """What stands in the JSON file beside the weights."""
        before = self.card.get("before", [])  # what the weights that it started from had learned for
        device = next(self.model.parameters()).device
        return self.card | {
            "settings": asdict(self.settings),
            "steps": len(self.losses) + sum(card["steps"] for card in before),
            "minutes": round(self.seconds / 60 + sum(card["minutes"] for card in before), 1),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "cores": torch.get_num_threads(),
            "measures": measures,
            "loss_curve": self.curve(),
        }
