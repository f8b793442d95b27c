"""Our weight files: what is written comes back, and what cannot be used is refused in one line."""

import json
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from minidiff.convert import RULES, WeightsError, load, save, to_diffusers


@dataclass(frozen=True)
class InnerConfig:
    widths: tuple[int, ...] = (3, 5)


@dataclass(frozen=True)
class ToyConfig:
    inner: InnerConfig = InnerConfig()
    name: str = "toy"
    rate: float | None = None


class Toy(nn.Module):
    def __init__(self, config: ToyConfig = ToyConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        self.linear = nn.Linear(*config.inner.widths)
        self.register_buffer("steps", torch.tensor(7))


class Other(Toy):
    pass


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    save(Toy(ToyConfig(InnerConfig((4, 2)))), tmp_path / "toy.safetensors", quality={"psnr": 28.5}, command="train toy")
    return tmp_path / "toy.safetensors"


def test_what_is_saved_comes_back(tmp_path):
    model = Toy(ToyConfig(InnerConfig((4, 2)), name="Größe", rate=0.5)).to(torch.float32)
    nn.init.normal_(model.linear.weight)
    save(model, tmp_path / "new" / "toy.safetensors")
    back = load(Toy, str(tmp_path / "new" / "toy.safetensors"), device="cpu")
    assert back.config == model.config
    assert not back.training
    assert back.steps == 7 and back.steps.dtype == torch.int64
    for ours, theirs in zip(model.parameters(), back.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        assert torch.equal(ours.half().float(), theirs)


def test_the_file_holds_half_precision_and_the_card_is_for_people(path):
    assert load_file(path)["linear.weight"].dtype == torch.float16
    card = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert card["class"] == "Toy"
    assert card["config"] == {"inner": {"widths": [4, 2]}, "name": "toy", "rate": None}
    assert card["quality"] == {"psnr": 28.5} and card["command"] == "train toy"


def test_the_same_model_gives_the_same_bytes(path):
    before = path.read_bytes()
    save(load(Toy, path), path)
    assert path.read_bytes() == before


def test_weights_need_not_be_contiguous(tmp_path):
    model = Toy()
    model.linear.weight.data = torch.randn(3, 5).T
    save(model, tmp_path / "toy.safetensors")
    assert torch.equal(load(Toy, tmp_path / "toy.safetensors").linear.weight, model.linear.weight.half().float())


@pytest.mark.parametrize("value", [65520.0, -1e5, float("inf"), float("nan")])
def test_weights_beyond_half_precision_are_refused(path, value):
    before, model = path.read_bytes(), Toy()
    model.linear.weight.data[0, 0] = value
    with pytest.raises(WeightsError, match="linear.weight has values beyond 65504 or NaN"):
        save(model, path)
    assert path.read_bytes() == before


def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def fail(*_):
        raise OSError("disk full")

    with pytest.raises(TypeError):
        save(Toy(), path, quality=object())
    monkeypatch.setattr("minidiff.convert.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(Toy(), path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def refused(path, match, cls=Toy):
    with pytest.raises(WeightsError, match=match) as info:
        load(cls, path)
    assert "\n" not in str(info.value)
    assert str(path) in str(info.value)


def test_missing(tmp_path):
    refused(tmp_path / "none.safetensors", "no weight file")
    refused(tmp_path, "no weight file")


@pytest.mark.parametrize("size", [0, 4, 30, -1])
def test_truncated(path, size):
    path.write_bytes(path.read_bytes()[:size])
    refused(path, "damaged or no safetensors file")


def test_not_safetensors(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(path, "damaged or no safetensors file")
    torch.save({"a": torch.zeros(1)}, path)
    refused(path, "damaged or no safetensors file")


def test_foreign(path):
    save_file({"linear.weight": torch.zeros(2, 4)}, path)
    refused(path, "was not written by minidiff")
    save_file({"linear.weight": torch.zeros(2, 4)}, path, {"format": "pt"})
    refused(path, "was not written by minidiff")


def test_another_class(path):
    refused(path, "holds a Toy, expected a Other", cls=Other)


def about(**config):
    return {"minidiff": json.dumps({"class": "Toy", "config": config})}


def test_tensors_that_do_not_fit_the_config(path):
    tensors = load_file(path)
    save_file(tensors, path, about(inner={"widths": [4, 3]}))
    refused(path, r"2 parameters: got \(2,\) for linear.bias, expected \(3,\)")
    save_file({"linear.weight": tensors["linear.weight"], "x": torch.zeros(1)}, path, about(inner={"widths": [4, 2]}))
    refused(path, r"3 parameters: got nothing for linear.bias, expected \(2,\)")


@pytest.mark.parametrize("config", [{"depth": 3}, {"inner": {"depth": 3}}, {"outer": {"depth": 3}}])
def test_a_config_of_another_version(path, config):
    save_file(load_file(path), path, about(**config))
    refused(path, "config of another version")


def test_renaming_keeps_every_tensor():
    state = {"layers.0.mlp.fc1.weight": torch.zeros(1), "position_embedding.weight": torch.ones(1)}
    renamed = to_diffusers(state)
    assert list(renamed) == ["encoder.layers.0.mlp.fc1.weight", "embeddings.position_embedding.weight"]
    assert all(ours is theirs for ours, theirs in zip(state.values(), renamed.values(), strict=True))
    assert len(RULES) <= 30
