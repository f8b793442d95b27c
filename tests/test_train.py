"""The loop: what it computes, and that nothing is lost when it is stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from minidiff.convert import WeightsError, load
from minidiff.schedule import noise_like
from minidiff.train import Objective, Settings, accelerator, made, train
from minidiff.train.muon import Muon, orthogonalized
from minidiff.vae import VAE


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
    steps = list(train(objective, Settings(400, 32, 0.15, 20, 0.0, ema=0.9), accelerator("cpu"), tmp_path))
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
    for step in train(objective, settings, accelerator("cpu")):
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
    losses = [s.loss for s in train(whole, settings, accelerator("cpu"), tmp_path / "whole")]
    for step in train(Regression(), settings, accelerator("cpu"), tmp_path / "parts"):
        if step.step == 27:
            break
    parts = Regression()
    steps = list(train(parts, settings, accelerator("cpu"), tmp_path / "parts"))
    assert steps[0].step == 21, "the last checkpoint was at 20"
    assert [s.loss for s in steps] == losses[20:]
    assert all((a == b).all() for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    list(train(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))
    with pytest.raises(WeightsError, match="holds a run with lr = 0.05, this one has 0.1: give the same options"):
        list(train(Regression(), Settings(10, 8, 0.1), accelerator("cpu"), tmp_path))
    (tmp_path / "checkpoint.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="is damaged .*: delete it to start again"):
        list(train(Regression(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))


def test_a_loss_that_is_not_finite_stops_it(tmp_path):
    class Diverging(Regression):
        def forward(self, generator, x, y):
            return super().forward(generator, x, y) / 0

    with pytest.raises(FloatingPointError, match="the loss is inf at step 1: lower --lr"):
        list(train(Diverging(), Settings(10, 8, 0.05), accelerator("cpu"), tmp_path))
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


def test_a_batch_in_parts_is_the_same_batch():
    learned, losses = [], []
    for parts in (1, 3):
        machine = accelerator("cpu", parts)
        objective = Regression()
        losses.append([step.loss for step in train(objective, Settings(5, 9, 0.05, 1), machine)])
        learned.append(objective.model.weight.detach())
    assert losses[0] == pytest.approx(losses[1], rel=1e-2), "half precision"
    assert (learned[0] - learned[1]).abs().max() < 1e-3
    with pytest.raises(ValueError, match="got a batch of 8, expected a multiple of 3: processes times parts, 1 x 3"):
        next(train(Regression(), Settings(5, 8, 0.05, 1), machine))


# The command, in processes of its own

COMMAND = [sys.executable, *"-m minidiff.train vae --batch 4 --steps 6 --every 3 --device cpu".split()]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}


def wait_for(file, process):
    for _ in range(1200):
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
    assert killed.wait() == -signal.SIGKILL, "it had not ended by itself"
    load(VAE, tmp_path / "killed/vae.safetensors")
    for name in ("killed", "whole"):
        subprocess.run([*COMMAND, "--out", tmp_path / name], env=ENV, check=True, capture_output=True)
    a, b = (load_file(tmp_path / name / "vae.safetensors") for name in ("killed", "whole"))
    assert a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)
    assert len(list((tmp_path / "killed/samples").iterdir())) == 2
    assert not list((tmp_path / "killed").glob("*.part"))


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_exit_code_2(tmp_path):
    command = [*COMMAND, "--steps", "1000", "--out", tmp_path]
    process = subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "checkpoint.safetensors", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
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
from minidiff.train import Settings, accelerator, train
from minidiff.train.objectives import UNetObjective
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE

UNetObjective.look = lambda self: (None, {})  # which draws 76 pictures
torch.manual_seed(0)
unet = UNet(UNetConfig(block_out_channels=(16, 32), attention=(False, True), heads=(2, 2), norm_num_groups=16))
objective = UNetObjective(unet, VAE().eval(), CLIPText().eval(), Tokenizer.train(WORDS), 20, SMALL)
machine = accelerator("cpu")
assert machine.num_processes == int(sys.argv[2])
for done in train(objective, Settings(6, 8, 1e-3, 2, every=3), machine, Path(sys.argv[1])):
    if done.step == int(sys.argv[3]):
        break
machine.end_training()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_go_on_where_they_were(tmp_path):
    script = tmp_path / "small_unet.py"
    script.write_text(SMALL_UNET)
    subprocess.run([sys.executable, script, tmp_path / "one", "1", "6"], env=ENV, check=True, capture_output=True)
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
    list(train(Regression(), Settings(5, 8, 0.05), accelerator("cpu"), tmp_path, command="c", before=before))
    card = json.loads((tmp_path / "line.json").read_text())
    assert card["steps"] == 405 and card["minutes"] == 3.5
    assert history(card)[-1] == {"command": "c", "steps": 5, "minutes": 0.0, "device": "cpu"}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="forks, and counts cores")
def test_batches_made_ahead_by_other_processes_are_the_same_and_in_order():
    parts = torch.arange(60).split(4)
    make = lambda part: (os.getpid(), part, torch.stack([torch.full((2,), float(i)) for i in part]))  # noqa: E731
    here, ahead = (list(made(make, parts, torch.device(kind))) for kind in ("cpu", "cuda"))
    assert {pid for pid, *_ in here} == {os.getpid()}
    assert (len(os.sched_getaffinity(0)) == 1) == (os.getpid() in {pid for pid, *_ in ahead})
    for (_, *one), (_, *other), part in zip(here, ahead, parts, strict=True):
        assert (one[0] == part).all() and (other[0] == part).all() and (one[1] == other[1]).all()


@pytest.mark.parametrize("wrong, message", [
    (["vae", "--steps", "0"], "error: argument --steps: got 0, expected a whole number from 1; see"),
    (["vae", "--lr", "fast"], "error: argument --lr: got fast, expected a number from 1e-09 to 1; see"),
    (["vae", "--device", "quantum"], "error: device 'quantum' is not there, expected one of: cpu"),
    (["vae", "--init", "nothing.safetensors"], "error: no weight file nothing.safetensors: give the path"),
    (["vae", "--init", __file__], "is damaged or no safetensors file"),
    (["unet", "--weights", "nowhere"], "error: no weight file nowhere"),
    (["vae", "--out", f"{__file__}/runs"], "which cannot be made ([Errno 20] Not a directory"),
    (["painter"], "invalid choice: 'painter'"),
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
