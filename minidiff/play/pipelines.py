"""The pipelines of a studio: the one that it was given, and beside the shipped one its fast one."""

from collections.abc import Callable
from functools import cached_property

from minidiff import infotext
from minidiff.adapt import LoRA
from minidiff.pipeline import WEIGHTS, StableDiffusion

STUDENT = WEIGHTS / "student.safetensors"


class Pipelines:
    """`pipelines[fast]`, of True or False, is one of them; `both` says whether there are two."""

    def __init__(self, given: StableDiffusion | None):
        """The shipped ones if none is given."""
        self.given = given or StableDiffusion.from_pretrained()
        self.both, self._hashes = given is None and STUDENT.exists(), {}

    def __getitem__(self, fast: bool) -> StableDiffusion:
        return self.given if fast == self.given.fast else self._student

    @cached_property
    def _student(self) -> StableDiffusion:
        """Loaded when it is needed."""
        pipe = StableDiffusion.from_pretrained(device=self.given.device, fast=True)
        pipe.read = Remembering(pipe.read)
        return pipe

    def with_loras(self, fast: bool, loras: dict[str, LoRA], dials: dict[str, float]) -> StableDiffusion:
        """One of them, with each LoRA as much as its dial says; one without a dial not at all."""
        pipe = self[fast]
        for name, lora in loras.items():
            if dials.get(name, 0) != pipe.loras.get(name, (lora, 0))[1]:
                pipe.load_lora(lora, dials.get(name, 0), name)
                if isinstance(pipe.read, Remembering):
                    pipe.read.forget()
        return pipe

    def hash(self, fast: bool) -> str:
        """Of the weights, taken once, as of a real model it takes seconds; "" where there are none."""
        if fast not in self._hashes:
            self._hashes[fast] = infotext.of_model(self[fast]) if self.both or fast == self.given.fast else ""
        return self._hashes[fast]


class Remembering:
    """A reader of prompts that gives once more what it gave last, if it is asked for the same: see minidiff.prompts."""

    def __init__(self, read: Callable):
        self.read, self.asked, self.given = read, None, None

    def __call__(self, *asked):
        if asked != self.asked:
            self.given, self.asked = self.read(*asked), asked
        return self.given

    def forget(self) -> None:
        self.asked = None
