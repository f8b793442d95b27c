"""The loop: what it computes, and that nothing is lost when it is stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from minidiff.cli import CONTROLS
from minidiff.clip import CLIP, CLIPConfig, TextConfig
from minidiff.convert import WeightsError, load, save
from minidiff.data import WORDS
from minidiff.judge import Judge, JudgeConfig
from minidiff.pipeline import WEIGHTS
from minidiff.precision import autocast, memory_format
from minidiff.schedule import noise_like
from minidiff.train import Objective, Settings, accelerator, prefetch, sample_indices, training_loop
from minidiff.train.muon import Muon, optimizers, orthogonalized
from minidiff.train.run import Run
from minidiff.unet import UNetConfig
from minidiff.vae import VAE, TinyDecoder, TinyDecoderConfig, VAEConfig


@dataclass(frozen=True)
class LineConfig:
    inputs: int = 3


class Line(nn.Linear):
    def __init__(self, config: LineConfig = LineConfig()):  # noqa: B008
        super().__init__(config.inputs, 1)
        self.config = config


class Regression(Objective):
    """y = x w + 1, seen with noise."""

    w = torch.tensor([[2.0], [-1.0], [0.5]])

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = Line()

    def batch(self, indices):
        x = torch.stack([torch.randn(3, generator=torch.Generator().manual_seed(i)) for i in indices.tolist()])
        return {"x": x, "y": x @ self.w + 1}

    def forward(self, generator, x, y):
        noise = 0.01 * noise_like(y, generator)
        return (self.model(x).float() - y - noise).square().mean()


def test_it_learns_a_line(tmp_path):
    objective = Regression()
    steps = list(training_loop(objective, Settings(400, 32, 0.15, 20, 0.0, ema=0.9), accelerator("cpu"), tmp_path))
    assert [s.step for s in steps] == list(range(1, 401))
    assert (objective.model.weight.T - Regression.w).abs().max() < 0.05 and abs(objective.model.bias.item() - 1) < 0.05
    kept = load(Line, tmp_path / "line.safetensors")
    assert (kept.weight - objective.model.weight).abs().max() < 2e-3, "half precision of the same"
    card = json.loads((tmp_path / "line.json").read_text())
    assert card["steps"] == 400 and card["settings"]["lr"] == 0.15
    curve = card["loss_curve"]
    assert len(curve) == 100 and curve[-1][0] == 400 and curve[0][1] > 10 * curve[-1][1]
    assert sum(loss for _, loss in curve) / 100 == pytest.approx(sum(s.loss for s in steps) / 400, abs=1e-4)


def test_averaged_weights_and_rate_follow_their_formulas():
    objective, settings = Regression(), Settings(30, 8, 0.05, 10, 0.0, ema=0.8)
    average = {k: v.clone().double() for k, v in objective.model.state_dict().items()}
    for step in training_loop(objective, settings, accelerator("cpu")):
        decay = min(0.8, step.step / (9 + step.step))
        if step.step < 30:
            for name, value in objective.model.state_dict().items():
                average[name] = decay * average[name] + (1 - decay) * value.double()
            before = {k: v.clone() for k, v in objective.model.state_dict().items()}
    # after the end the model holds the average; in the last step the rate was nearly 0, so the weights hardly moved
    for name, value in objective.model.state_dict().items():
        expected = 30 / 39 * average[name] + 9 / 39 * before[name].double()
        assert (value - expected).abs().max() < 1e-4
    rates = [settings.rate(step) for step in range(31)]
    assert rates[0] == pytest.approx(0.005) and max(rates) < 0.05 and rates[30] == pytest.approx(0)
    assert rates[20] == pytest.approx(0.05 * 0.25), "two thirds through, a half cosine is at a quarter"


def test_it_goes_on_from_where_it_stopped(tmp_path):
    settings = Settings(40, 8, 0.05, 10, ema=0.9, every=10)
    whole = Regression()
    losses = [s.loss for s in training_loop(whole, settings, accelerator("cpu"), tmp_path / "whole")]
    for step in training_loop(Regression(), settings, accelerator("cpu"), tmp_path / "parts"):
        if step.step == 27:
            break
    parts = Regression()
    steps = list(training_loop(parts, settings, accelerator("cpu"), tmp_path / "parts"))
    assert steps[0].step == 21, "the last checkpoint was at 20"
    assert [s.loss for s in steps] == losses[20:]
    assert all((a == b).all() for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    list(training_loop(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))
    with pytest.raises(WeightsError, match="holds a run with lr = 0.05, this one has 0.1: give the same options"):
        list(training_loop(Regression(), Settings(10, 8, 0.1), accelerator("cpu"), tmp_path))
    (tmp_path / "checkpoint.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="is damaged .*: delete it to start again"):
        list(training_loop(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))


def test_a_checkpoint_goes_on_when_the_config_has_gained_a_field(tmp_path):
    """The model of then is the model of the field's default; of another value it is another model."""

    @dataclass(frozen=True)
    class Wider(LineConfig):
        layers: tuple[int, ...] = (1, 1)

    settings = Settings(10, 8, 0.05, every=5)
    for step in training_loop(Regression(), settings, accelerator("cpu"), tmp_path):
        if step.step == 7:
            break
    objective = Regression()
    objective.model.config = Wider()
    assert [s.step for s in training_loop(objective, settings, accelerator("cpu"), tmp_path)] == [6, 7, 8, 9, 10]
    objective.model.config = Wider(layers=(2, 1))
    with pytest.raises(WeightsError, match="holds a run with config.layers = .1, 1., this one has .2, 1."):
        list(training_loop(objective, settings, accelerator("cpu"), tmp_path))


@pytest.mark.parametrize("about", ["{", "{}", "[]"])
def test_a_checkpoint_that_says_nothing_of_itself_is_damaged(tmp_path, about):
    save_file({"losses": torch.zeros(1)}, tmp_path / "checkpoint.safetensors", {"minidiff": about})
    with pytest.raises(WeightsError, match="is damaged .*: delete it to start again"):
        list(training_loop(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))
    with pytest.raises(WeightsError, match="was not written by minidiff: give a file that"):
        load(VAE, tmp_path / "checkpoint.safetensors")


def test_a_checkpoint_without_all_of_its_tensors_is_damaged(tmp_path):
    list(training_loop(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        about, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file({name: tensor for name, tensor in state.items() if name != "losses"}, path, about)
    with pytest.raises(WeightsError, match="is damaged, without losses: delete it"):
        list(training_loop(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))


@contextmanager
def disk_of(size):
    """No file grows beyond so many bytes: what a full disk does to whoever writes, without one."""
    resource = pytest.importorskip("resource", reason="a limit that POSIX has")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("size", [100, 300, 700], ids=["weights", "card", "checkpoint"])
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, size, monkeypatch):
    settings = Settings(4, 8, 0.05, 2, every=2)
    for step in training_loop(Regression(), settings, accelerator("cpu"), tmp_path):
        if step.step == 3:
            break
    names = ["line.safetensors", "line.json", "checkpoint.safetensors"]
    weights, card, checkpoint = ((tmp_path / name).stat().st_size for name in names)
    assert 100 < weights < 300 < card < 700 < checkpoint
    kept = (tmp_path / "checkpoint.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", disk_of(size)(Run.save))  # not around the loop, whose bar pytest writes to a file
        with pytest.raises(WeightsError, match="cannot be written .*: make room there") as error:
            list(training_loop(Regression(), settings, accelerator("cpu"), tmp_path))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.part")) and load(Line, tmp_path / "line.safetensors")
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept
    assert [s.step for s in training_loop(Regression(), settings, accelerator("cpu"), tmp_path)] == [3, 4]


@pytest.mark.parametrize("where", ["train.run.save", "train.run.save_file", "convert.files.os.replace"])
def test_an_interrupt_while_it_saves_leaves_a_folder_to_go_on_from(tmp_path, where, monkeypatch):
    settings = Settings(4, 8, 0.05, 2, every=2)
    whole = [s.loss for s in training_loop(Regression(), settings, accelerator("cpu"))]
    run = training_loop(Regression(), settings, accelerator("cpu"), tmp_path)
    losses = [next(run).loss for _ in range(3)]

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    (tmp_path / "checkpoint.safetensors.part").write_bytes(b"what a killed process left")
    with monkeypatch.context() as patch:
        patch.setattr(f"minidiff.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(run)
    rest = [s.loss for s in training_loop(Regression(), settings, accelerator("cpu"), tmp_path)]
    assert losses[:2] + rest == whole
    assert {file.name for file in tmp_path.iterdir()} == {
        "checkpoint.safetensors", "line.safetensors", "line.json", "samples",
    }  # fmt: skip


def test_of_two_runs_in_a_folder_the_second_to_save_stops(tmp_path):
    settings = Settings(20, 8, 0.05, 10, every=5)
    first, second = (training_loop(Regression(), settings, accelerator("cpu"), tmp_path) for _ in range(2))
    for _ in range(4):
        next(first), next(second)
    next(first)
    kept = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(WeightsError, match="was written by another run since this one started: let one of the two go"):
        next(second)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == kept
    third = training_loop(Regression(), settings, accelerator("cpu"), tmp_path)  # goes on from the first one's
    assert next(third).step == 6
    assert [s.step for s in first][-1] == 20, "the first has the folder to the end"
    with pytest.raises(WeightsError, match="another run"):
        list(third)


def test_a_loss_that_is_not_finite_stops_it(tmp_path):
    class Diverging(Regression):
        def forward(self, generator, x, y):
            return super().forward(generator, x, y) / 0

    with pytest.raises(FloatingPointError, match="the loss is inf at step 1: lower --lr"):
        list(training_loop(Diverging(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))
    assert not any(tmp_path.iterdir())


def test_weights_that_grow_beyond_half_precision_stop_it_before_they_are_kept(tmp_path):
    class Growing(Regression):
        def forward(self, generator, x, y):
            with torch.no_grad():
                self.model.weight.mul_(100)
            return super().forward(generator, x, y)

    expected = "weight has values beyond 65504 or NaN at step 5: lower --lr and start again"
    with pytest.raises(FloatingPointError, match=expected):
        list(training_loop(Growing(), Settings(10, 8, 0.05, every=5), accelerator("cpu"), tmp_path))
    assert not any(tmp_path.iterdir())


def test_muon_is_torchs_on_matrices_and_takes_convolutions_as_one():
    torch.manual_seed(0)
    shapes = [(16, 40), (40, 16), (16, 40), (24, 3, 5, 5)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().flatten(1).clone()) for p in ours]
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9}
    a, b = Muon(ours, **settings), torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.flatten(1).clone()
        a.step(), b.step()
    for p, q, shape in zip(ours, theirs, shapes, strict=True):
        moved = 5 * 0.02 * 0.2 * max(q.shape) ** 0.5
        assert (p.flatten(1) - q).abs().max() < 0.01 * moved, f"{shape}: bfloat16's rounding, five times"


def test_a_step_of_muon_turns_all_directions_alike():
    matrices = torch.randn(3, 20, 50) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    values = torch.linalg.svdvals(orthogonalized(matrices))
    assert 0.6 < values.min() and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrices[1], full_matrices=False)
    assert torch.cosine_similarity(orthogonalized(matrices)[1].flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_muon_computes_in_the_precision_of_the_hardware(monkeypatch):
    matrices = torch.randn(2, 30, 40)
    turned = {}
    for has in (True, False):
        monkeypatch.setattr("minidiff.train.muon.has_bfloat16", lambda device, has=has: has)
        turned[has] = orthogonalized(matrices)
        assert turned[has].dtype == matrices.dtype
    difference = (turned[True] - turned[False]).abs().max()
    assert 0 < difference < 0.05, "rounding to 8 bits, in five rounds"


def test_muon_gets_the_matrices_and_adamw_the_rest():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Conv2d(3, 2, 1))
    model.scale = nn.Parameter(torch.tensor(1.0))
    muon, adamw = optimizers(model, 0.02, weight_decay=0.3)
    given = [{id(p) for p in optimizer.param_groups[0]["params"]} for optimizer in (muon, adamw)]
    assert given[0] == {id(model[1].weight), id(model[2].weight)}
    assert given[0] | given[1] == {id(p) for p in model.parameters()} and not given[0] & given[1]
    for optimizer in (muon, adamw):
        assert optimizer.param_groups[0]["lr"] == 0.02 and optimizer.param_groups[0]["weight_decay"] == 0.3


@pytest.mark.parametrize("device, bf16, plain", [("cpu", True, True), ("cpu", False, False), ("cuda", True, False)])
def test_only_a_cpu_in_bfloat16_takes_plain_attention_and_plain_order(device, bf16, plain):
    assert memory_format(device, bf16) == (torch.contiguous_format if plain else torch.channels_last)
    before = [flag() for flag in (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.math_sdp_enabled)]
    with warnings.catch_warnings(action="ignore"), autocast(device, bf16):  # torch warns where there is no CUDA
        assert torch.backends.cuda.flash_sdp_enabled() != plain and torch.backends.cuda.math_sdp_enabled()
        if device == "cpu":
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if bf16 else torch.float32)
    assert before == [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()]


def test_a_run_knows_its_samples_without_a_list_of_them():
    """Of 10 million steps, in any number of processes and parts, each sample once."""
    for processes, parts in ((1, 1), (2, 3), (3, 2)):
        seen = []
        for rank in range(processes):
            machine = SimpleNamespace(process_index=rank, num_processes=processes, gradient_accumulation_steps=parts)
            step = 10_000_000
            seen += [sample_indices(step * parts + part, 12, machine) for part in range(parts)]
        assert {len(each) for each in seen} == {12 // (processes * parts)}
        assert sorted(torch.cat(seen).tolist()) == list(range(12 * step, 12 * step + 12))


def test_a_batch_in_parts_is_the_same_batch():
    learned, losses = [], []
    for parts in (1, 3):
        machine = accelerator("cpu", parts)
        objective = Regression()
        losses.append([step.loss for step in training_loop(objective, Settings(5, 9, 0.05, 1), machine)])
        learned.append(objective.model.weight.detach())
    assert losses[0] == pytest.approx(losses[1], rel=1e-2), "half precision"
    assert (learned[0] - learned[1]).abs().max() < 1e-3
    with pytest.raises(ValueError, match="got a batch of 8, expected a multiple of 3: processes times parts, 1 x 3"):
        next(training_loop(Regression(), Settings(5, 8, 0.05, 1), machine))


# The command, in processes of its own

COMMAND = [sys.executable, *"-m minidiff.train vae --batch 4 --steps 6 --every 3 --device cpu".split()]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}


def wait_for(file, process):
    end = time.monotonic() + 300  # a busy machine imports torch for half a minute
    while time.monotonic() < end:
        if file.exists():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError(file)


@pytest.mark.slow
def test_a_kill_loses_nothing_but_the_steps_since_the_last_checkpoint(tmp_path):
    killed = subprocess.Popen([*COMMAND, "--out", tmp_path / "killed"], env=ENV, stderr=subprocess.PIPE)
    wait_for(tmp_path / "killed/checkpoint.safetensors", killed)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL, "it had not ended by itself"
    load(VAE, tmp_path / "killed/vae.safetensors")
    for name in ("killed", "whole"):
        subprocess.run([*COMMAND, "--out", tmp_path / name], env=ENV, check=True, capture_output=True, timeout=300)
    a, b = (load_file(tmp_path / name / "vae.safetensors") for name in ("killed", "whole"))
    assert a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)
    assert len(list((tmp_path / "killed/samples").iterdir())) == 2
    assert not list((tmp_path / "killed").glob("*.part"))


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_exit_code_2(tmp_path):
    command = [*COMMAND, "--steps", "1000", "--out", tmp_path]
    hears = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731, where `make test &` taught it not to
    process = subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE, text=True, preexec_fn=hears)
    wait_for(tmp_path / "checkpoint.safetensors", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.rstrip().endswith("stopped; the same command goes on from the last checkpoint")
    assert "Traceback" not in err and not list(tmp_path.glob("*.part"))


def two_processes(*command):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--nproc_per_node", "2", "--master_addr", "127.0.0.1", "--master_port", port]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *options, *command]
    out = subprocess.run(torchrun, env=ENV, capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr
    return out.stdout


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    said = two_processes(*COMMAND[1:], "--out", tmp_path)
    assert said.count("vae.safetensors") == 1, "one process speaks"
    assert json.loads((tmp_path / "vae.json").read_text())["steps"] == 6
    load(VAE, tmp_path / "vae.safetensors")


SMALL_UNET = """
import sys
from pathlib import Path
import torch
from minidiff.clip import CLIPText
from minidiff.data import SMALL, WORDS
from minidiff.tokenizer import Tokenizer
from minidiff.train import Settings, accelerator, training_loop
from minidiff.train.objectives import UNetObjective
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE

UNetObjective.evaluate = lambda self: (None, {})  # which draws 76 pictures
torch.manual_seed(0)
unet = UNet(UNetConfig(block_out_channels=(16, 32), attention=(False, True), heads=(2, 2), norm_num_groups=16))
objective = UNetObjective(unet, VAE().eval(), CLIPText().eval(), Tokenizer.train(WORDS), 20, SMALL)
machine = accelerator("cpu")
assert machine.num_processes == int(sys.argv[2])
for done in training_loop(objective, Settings(6, 8, 1e-3, 2, every=3), machine, Path(sys.argv[1])):
    if done.step == int(sys.argv[3]):
        break
machine.end_training()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_go_on_where_they_were(tmp_path):
    script = tmp_path / "small_unet.py"
    script.write_text(SMALL_UNET)
    alone = [sys.executable, script, tmp_path / "one", "1", "6"]
    subprocess.run(alone, env=ENV, check=True, capture_output=True, timeout=300)
    for stop in ("3", "6"):
        two_processes(script, tmp_path / "two", "2", stop)
    one, two = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one["losses"]) == len(two["losses"]) == 6
    assert (one["losses"] - two["losses"]).abs().max() < 2e-3 * one["losses"].max(), "half precision, other sums"
    one, two = (torch.cat([each[n].flatten() for n in each if n.startswith("model.")]) for each in (one, two))
    assert (one - two).norm() < 0.01 * one.norm()


def test_a_card_adds_up_all_sittings(tmp_path):
    from minidiff.train.__main__ import history

    first = {"command": "a", "steps": 30, "minutes": 1.5}
    second = {"command": "b", "steps": 400, "minutes": 3.5, "before": [first]}
    before = history(second)
    assert before == [first, {"command": "b", "steps": 370, "minutes": 2.0}]
    list(training_loop(Regression(), Settings(5, 8, 0.05), accelerator("cpu"), tmp_path, command="c", before=before))
    card = json.loads((tmp_path / "line.json").read_text())
    assert card["steps"] == 405 and card["minutes"] == 3.5
    assert history(card)[-1] == {"command": "c", "steps": 5, "minutes": 0.0, "device": "cpu"}


def test_a_card_says_nothing_of_weights_that_were_not_trained_by_the_command(tmp_path):
    from minidiff.train.__main__ import card_of, history

    save(Line(), tmp_path / "line.safetensors")  # as a notebook does
    assert history(card_of(tmp_path / "line.safetensors")) == history(card_of(tmp_path / "nothing")) == []
    (tmp_path / "line.json").write_text("{")
    with pytest.raises(WeightsError, match="line.json cannot be read"):
        card_of(tmp_path / "line.safetensors")


def test_weights_stay_within_their_budget():
    from minidiff.train.__main__ import LIMITS

    sizes = {file.stem: file.stat().st_size / 2**20 for file in WEIGHTS.glob("*.safetensors")}
    assert set(sizes) == {"vae", "clip", "unet", "judge", "ipadapter", "student", "decoder", *CONTROLS}
    limits = LIMITS | dict.fromkeys(CONTROLS, LIMITS["controlnet"])
    limits |= {"ipadapter": LIMITS["ip_adapter"], "student": LIMITS["consistency"]}
    assert all(size <= limits[name] for name, size in sizes.items()) and sum(sizes.values()) <= 90
    for name in sizes:
        assert (WEIGHTS / f"{name}.json").exists(), "each file has its card"


def test_other_sizes_come_from_the_command_line():
    from minidiff.train.__main__ import changed

    config = changed(UNetConfig(), ["block_out_channels=64,96", "attention=false,true", "heads=2,4", "sample_size=8"])
    assert (config.block_out_channels, config.attention, config.heads) == ((64, 96), (False, True), (2, 4))
    assert config == UNetConfig(8, block_out_channels=(64, 96), attention=(False, True), heads=(2, 4))
    clip = changed(CLIPConfig(), ["text_config.hidden_size=64", "text_config.hidden_act=gelu", "projection_dim=32"])
    assert clip.text_config == TextConfig(hidden_size=64, hidden_act="gelu") and clip.projection_dim == 32
    assert clip.vision_config == CLIPConfig().vision_config
    assert changed(VAEConfig(), ["scaling_factor=2"]).scaling_factor == 2
    assert changed(JudgeConfig(), []) == JudgeConfig()


@pytest.mark.parametrize("model, size", [
    ("vae", "block_out_channels=16,32,64"),
    ("clip", "text_config.num_hidden_layers=1"),
    ("judge", "channels=8,8,16,16"),
])  # fmt: skip
def test_another_width_is_trained_from_the_command_line(model, size, tmp_path, capsys, monkeypatch):
    from minidiff.train import objectives
    from minidiff.train.__main__ import main

    cls = {"vae": VAE, "clip": CLIP, "judge": Judge}[model]
    monkeypatch.setattr(getattr(objectives, f"{cls.__name__}Objective"), "evaluate", Objective.evaluate)
    command = [model, "--config", size, "--steps", "2", "--batch", "4", "--device", "cpu", "--out", str(tmp_path)]
    main(command)
    path, card = tmp_path / f"{model}.safetensors", json.loads((tmp_path / f"{model}.json").read_text())
    assert capsys.readouterr().out == f"{path}\n"
    name, *inner = size.partition("=")[0].split(".")
    text, config = size.partition("=")[2], getattr(load(cls, path).config, name)
    for part in inner:
        config = getattr(config, part)
    assert config == (tuple(map(int, text.split(","))) if "," in text else int(text))
    assert (card.get("words") == list(WORDS)) == (model == "clip"), "the words its texts were taught"
    with pytest.raises(ValueError, match=f"holds a run with config.{name} = "):
        main([model, *command[3:]])
    with pytest.raises(ValueError, match=r"has \w+ = .*, --config .*: leave out one of them"):
        other = size.replace("layers=1", "layers=2").replace("=8,", "=16,").replace("=16,32", "=32,32")
        main([model, "--config", other, "--init", str(path), "--out", str(tmp_path / "more")])
    main([*command[:-1], str(tmp_path / "more"), "--init", str(path)])
    assert json.loads((tmp_path / f"more/{model}.json").read_text())["steps"] == 4


def test_a_text_encoder_that_learned_along_is_written_with_its_words(tmp_path, monkeypatch):
    from minidiff.train.__main__ import main
    from minidiff.train.objectives import UNetObjective

    monkeypatch.setattr(UNetObjective, "evaluate", Objective.evaluate)
    sizes = ["block_out_channels=32,32,32", "heads=1,1,1"]
    fast = ["--steps", "1", "--batch", "2", "--warmup", "1", "--ema", "0", "--scenes", "2", "--device", "cpu"]
    main(["unet", "--tune-text", "--config", *sizes, *fast, "--out", str(tmp_path)])
    before, after = (load(CLIP, folder / "clip.safetensors").state_dict() for folder in (WEIGHTS, tmp_path))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("text_model.") for name in moved)
    card, first = (json.loads((folder / "clip.json").read_text()) for folder in (tmp_path, WEIGHTS))
    assert card["words"] == list(WORDS) and card["steps"] == first["steps"] + 1
    assert card["before"][-1]["command"] == first["command"] and "--tune-text" in card["command"]


def test_a_small_decoder_is_trained_from_the_command_line(tmp_path, monkeypatch):
    from minidiff.train.__main__ import main
    from minidiff.train.decoder import DecoderObjective

    monkeypatch.setattr(DecoderObjective, "evaluate", Objective.evaluate)
    main(["decoder", "--steps", "1", "--batch", "2", "--scenes", "2", "--device", "cpu", "--out", str(tmp_path)])
    assert (tmp_path / "tinydecoder.safetensors").stat().st_size < 2**20
    decoder = load(TinyDecoder, tmp_path / "tinydecoder.safetensors")
    assert decoder(torch.zeros(2, 4, 3, 5)).shape == (2, 3, 24, 40)


def test_a_few_step_student_learns_from_its_average_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    from minidiff.train.__main__ import main
    from minidiff.train.consistency import ConsistencyObjective
    from minidiff.unet import UNet

    monkeypatch.setattr(ConsistencyObjective, "evaluate", Objective.evaluate)
    command = ["consistency", "--batch", "2", "--scenes", "2", "--device", "cpu", "--warmup", "1", "--every", "1"]
    given = []  # the averaged weights, as the loss saw them
    loss = ConsistencyObjective.averaged
    seen = lambda self, *inputs: given.append(self.average["conv_in.bias"].clone()) or loss(self, *inputs)  # noqa: E731
    monkeypatch.setattr(ConsistencyObjective, "averaged", seen)
    main([*command, "--steps", "3", "--out", str(tmp_path / "whole")])
    first, *averages = given[1:]  # the first of all is the rehearsal's
    assert torch.equal(first, load(UNet, WEIGHTS / "unet.safetensors").conv_in.bias)
    assert len(averages) == 2 and not torch.equal(first, averages[0]) and not torch.equal(*averages)

    class Stopped(Exception):
        pass

    def stop(self, *inputs):
        if len(given) == 7:
            raise Stopped
        return seen(self, *inputs)

    given.clear()
    given.extend([None] * 4)
    monkeypatch.setattr(ConsistencyObjective, "averaged", stop)
    with pytest.raises(Stopped):
        main([*command, "--steps", "3", "--out", str(tmp_path / "parts")])
    monkeypatch.setattr(ConsistencyObjective, "averaged", seen)
    main([*command, "--steps", "3", "--out", str(tmp_path / "parts")])
    whole, parts = (load(UNet, tmp_path / name / "unet.safetensors").state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="forks, and counts cores")
def test_batches_made_ahead_by_other_processes_are_the_same_and_in_order():
    parts = torch.arange(60).split(4)
    make = lambda part: (os.getpid(), part, torch.stack([torch.full((2,), float(i)) for i in part]))  # noqa: E731
    here, ahead = (list(prefetch(make, parts, torch.device(kind))) for kind in ("cpu", "cuda"))
    assert {pid for pid, *_ in here} == {os.getpid()}
    assert (len(os.sched_getaffinity(0)) == 1) == (os.getpid() in {pid for pid, *_ in ahead})
    for (_, *one), (_, *other), part in zip(here, ahead, parts, strict=True):
        assert (one[0] == part).all() and (other[0] == part).all() and (one[1] == other[1]).all()


@pytest.mark.parametrize("config", [VAEConfig(), CLIPConfig(), JudgeConfig(), UNetConfig(), TinyDecoderConfig()])
def test_each_size_may_be_given_as_it_is(config):
    from minidiff.train.__main__ import changed

    def said(values, path=""):
        for name, value in values.items():
            if isinstance(value, dict):
                yield from said(value, f"{path}{name}.")
            elif value != ():
                yield f"{path}{name}={json.dumps(value).strip('[]')}"

    assert changed(config, list(said(asdict(config)))) == config


def test_a_size_that_is_empty_may_be_given():
    from minidiff.train.__main__ import changed

    assert UNetConfig().transformer_layers == ()
    assert changed(UNetConfig(), ["transformer_layers=1,1,2"]).transformer_layers == (1, 1, 2)


@pytest.mark.parametrize("wrong, message", [
    (["vae", "--steps", "0"], "error: argument --steps: got 0, expected a whole number from 1; see"),
    (["vae", "--lr", "fast"], "error: argument --lr: got fast, expected a number from 1e-09 to 1; see"),
    (["vae", "--device", "quantum"], "error: device 'quantum' is not there, expected one of: cpu"),
    (["vae", "--init", "nothing.safetensors"], "error: no weight file nothing.safetensors: give the path"),
    (["vae", "--init", __file__], "is damaged or no safetensors file"),
    (["unet", "--weights", "nowhere"], "error: no weight file nowhere"),
    (["vae", "--out", f"{__file__}/runs"], "which cannot be made ([Errno 20] Not a directory"),
    (["painter"], "invalid choice: 'painter'"),
    (["vae", "--config", "width=3"], "error: --config has 'width', expected one of: in_channels, latent_channels"),
    (["clip", "--config", "text_config=3"], "expected one of: text_config.NAME, vision_config.NAME, projection_dim"),
    (["vae", "--config", "block_out_channels=16,x"], "expected values as in block_out_channels=16,32,64,128"),
    (["vae", "--config", "layers_per_block=0"], "expected values as in layers_per_block=1"),
    (["vae", "--config", "layers_per_block=1,2"], "expected values as in layers_per_block=1"),
    (["unet", "--config", "attention=1,1,1"], "expected values as in attention=false,true,true"),
    (["unet", "--config", "heads=4,4"], "error: heads has 2 entries, block_out_channels 3: give one for each level"),
    (["unet", "--config", "heads=5,5,5"], "error: 128 channels cannot be shared by 5 heads: give a number that"),
    (["unet", "--config", "block_out_channels=100,128,160"], "must be divisible by num_groups"),
    (["unet", "--config", "block_out_channels=320,640,1280"], "MB in half precision, expected 20: give smaller sizes"),
    (["vae", "--limit", "1"], "error: the VAE has 5.2 MB in half precision, expected 1: give smaller sizes"),
    (["unet", "--config", "in_channels=8"], "error: the UNet has in_channels = 8, expected 4, as VAE and text encoder"),
    (["unet", "--config", "cross_attention_dim=96"], "the UNet has cross_attention_dim = 96, expected 128, as VAE and"),
    (["judge", "--config", "channels=8,8"], "error: this Judge does not fit its samples: "),
    (["controlnet", "--config", "heads=2,2,2"], "expected conditioning_channels or conditioning_embedding_out"),
    (["controlnet", "--config", "conditioning_embedding_out_channels=16,32"], "error: this ControlNet does not fit"),
])  # fmt: skip
def test_bad_options_are_one_line_and_exit_code_2(wrong, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from minidiff.cli import run
    from minidiff.train.__main__ import main

    with pytest.raises(SystemExit) as exit:
        run(lambda: main(wrong))
    err = capsys.readouterr().err
    assert exit.value.code == 2 and err.count("\n") == 1 and message in err
    assert not any(tmp_path.iterdir()), "nothing half-written"
