"""Whatever is asked of the pipeline or the command line: pictures, or one line that says what is wrong.

Calls are drawn from a grammar, good and bad values of every argument, by a seeded generator, on a tiny random model.
"""

import random
import struct
import subprocess
import sys
import zlib
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_pipeline import command

from minidiff import data
from minidiff.adapt import LoRA
from minidiff.clip import CLIP, CLIPConfig, TextConfig, VisionConfig
from minidiff.controlnet import ControlNet
from minidiff.convert import save
from minidiff.ip_adapter import IPAdapter
from minidiff.pipeline import StableDiffusion
from minidiff.sample import SAMPLERS, ddim
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, VAEConfig

N, SIDE, PROCESSES = 200, 64, 10
SIZES = dict(num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, hidden_size=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of random weights, which draw 64 x 64 pixels, and a ControlNet, an IP-Adapter and a LoRA."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    shape = dict(block_out_channels=(16, 16), attention=(False, True), heads=(2, 2), cross_attention_dim=16)
    unet = UNet(UNetConfig(sample_size=8, norm_num_groups=8, **shape))
    controlnet = ControlNet.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    torch.nn.init.normal_(controlnet.controlnet_mid_block.weight, std=0.1)
    text, vision = TextConfig(**SIZES), VisionConfig(image_size=16, patch_size=8, **SIZES)
    models = {
        "vae": VAE(VAEConfig(block_out_channels=(8, 8, 8, 8), norm_num_groups=4)), "unet": unet, "lines": controlnet,
        "clip": CLIP(CLIPConfig(text, vision, projection_dim=8)), "ipadapter": IPAdapter.from_unet(unet, 8),
        "student": UNet(unet.config),
    }  # fmt: skip
    for name, model in models.items():
        save(model, folder / f"{name}.safetensors", words=list(data.WORDS))
    Tokenizer.train(data.WORDS).save(folder)
    lora = LoRA.new(unet, rank=2)
    for B in lora.parameters()[1::2]:
        torch.nn.init.normal_(B.detach())
    lora.save(folder / "koala.safetensors")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Picture files: name -> path. What begins with "no" is none."""
    folder = tmp_path_factory.mktemp("pictures")
    rgb, half = Image.effect_noise((SIDE, SIDE), 80).convert("RGB"), Image.new("L", (SIDE, SIDE))
    half.paste(255, (0, 0, SIDE // 2, SIDE))
    exif = Image.Exif()
    exif[0x0112] = 6
    layer = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (8, 8, 40, 40))
    pictures = {
        "rgb.png": rgb, "half.png": half, "layer.png": layer, "palette.gif": rgb.quantize(16), "phone.jpg": rgb,
        "sixteen.png": Image.fromarray(np.asarray(half).astype(np.uint16) * 257), "cmyk.jpg": rgb.convert("CMYK"),
        "float.tiff": half.convert("F"), "la.png": half.convert("LA"), "one.png": half.convert("1"),
        "wide.png": rgb.resize((128, 64)), "no-odd.png": rgb.resize((60, 64)),
        "no-large.png": Image.new("1", (4096, 2048)),
    }  # fmt: skip
    for name, picture in pictures.items():
        picture.save(folder / name, exif=exif if name == "phone.jpg" else Image.Exif())
    whole = (folder / "rgb.png").read_bytes()
    header = b"IHDR" + struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    bomb = whole[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
    broken = {"no-half.png": whole[: len(whole) // 2], "no-bomb.png": bomb, "no-text.png": b"fox", "no-bytes.jpg": b""}
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    (folder / "no-folder.png").mkdir()
    return {path.name: path for path in [*folder.iterdir(), folder / "no-such.png"]}


def chosen(rng, good, bad, share=0.06):
    return rng.choice(bad if rng.random() < share else good)


# The command line


def command_line(rng, weights, files):
    """(arguments, the picture to write)"""
    good, bad = ([f for name, f in sorted(files.items()) if name.startswith("no") == b] for b in (False, True))
    prompts = [
        "fox on green",
        "",
        "Zwölf ☃ 狐",
        "fox\non  green",
        "x" * 300,
        "fox " * 100,
        "a: b, c: d",
        "Negative prompt: a",
    ]
    prompts += ["cat \udce9", "\ud83e", "\udcff\udcfe"]
    argv = [chosen(rng, prompts[:8], prompts[8:]) for _ in range(rng.choice([0] + 15 * [1] + [2, 3]))]
    values = {
        "--seed": ([0, 3, "007", 2**63 - 1], [-1, 2**63, "1e3", "", "x", "9" * 5000, "3.0"]),
        "--steps": ([1, 2, 3], [0, 1001, "many", "2.5", "nan", "\n"]),
        "--guidance": ([0, 1, 4.5, "1e1"], ["nan", "inf", -1, 101, "four\nfive", "0x4"]),
        "--sampler": ([*SAMPLERS], ["magic", "", "DDIM", "ddim\nx"]),
        "--negative": (["cat", "", "a, b: c"], ["\udcff"]),
        "--height": ([64, 72, 128], [0, 60, -8, 10**9, "tall"]),
        "--width": ([64, 40, 128], [0, 60, -8, 2**40, "wide"]),
        "--image": (good, bad),
        "--strength": ([1, 0.9, 0.8], [0, 0.001, 2, "nan", "half"]),
        "--mask": (good, bad),
        "--control-scale": ([0, 0.5, 2], [-1, 11, "nan", ""]),
        "--lora": ([f"{weights}/koala.safetensors{weight}" for weight in ("", ":0.5", ":-1", ":0", ":1e-1")],
                   [f"{weights}/koala.safetensors:{weight}" for weight in (20, "nan", "much", "")]
                   + ["", "nowhere", "\udcff", files["rgb.png"], weights, f"{weights}/vae.safetensors:1"]),
        "--ip-image": (good, bad),
        "--ip-scale": ([0, 0.6, -1], ["nan", 11, "", "all"]),
        "--device": (["cpu"], ["cpu:x", "quantum", "", "cuda:99", "meta", "cpu:0:0", "\udcff"]),
        "--weights": ([weights], [files["rgb.png"], "nowhere", "\udcff", weights.parent]),
        "--again": ([], [files["rgb.png"], files["no-such.png"], files["no-text.png"]]),
    }  # fmt: skip
    about_pictures = {"--height", "--width", "--image", "--mask"}
    wanted = {"--steps", "--weights"} | rng.choice([{"--height", "--width"}, {"--image"}, {"--image"}, set()])
    for option, (fine, wrong) in values.items():
        if fine and (option in wanted or option not in about_pictures and rng.random() < 0.2):
            argv.append(f"{option}={chosen(rng, fine, wrong)}")
        elif rng.random() < 0.02:
            argv.append(f"{option}={rng.choice(wrong)}")
    if "--image" in wanted and rng.random() < 0.5:
        argv.append(f"--mask={chosen(rng, good, bad)}")
    if rng.random() < 0.15:
        sides = [chosen(rng, [0, 8, 16], [7, -8, 10**7, 10**30, "x"], 0.03) for _ in range(rng.choice(3 * [4] + [3]))]
        argv += ["--margins", *sides]
    if rng.random() < 0.15:
        argv.append("--fast")
    if rng.random() < 0.2:
        argv += ["--control", chosen(rng, ["lines"], ["boxes", "pose", "\udcff"], 0.1), chosen(rng, good, bad)]
    suffix = chosen(rng, ["png", "jpg", "PNG", "webp", "gif"], ["psd", "mpg", "fits", "hdf", "xbm", "", "png/"], 0.1)
    name = chosen(rng, ["fox", "☃", "a b"], ["no/such/fox", "\udcff", "x" * 300, "", "-"], 0.05)
    out = Path(f"{name}.{suffix}")
    return [str(a) for a in argv] + [f"--out={out}"], out


def right(out, code, stderr, before, after):
    """The property. Returns whether a picture was drawn."""
    lines = stderr.splitlines()
    assert "Traceback" not in stderr
    if code == 0:
        assert all(line.startswith("warning: ") for line in lines)
        assert after - before == {out}
        with Image.open(out) as picture:
            assert picture.convert("RGB").width >= 40
        out.unlink()
        return True
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: ") and before == after
    return False


def test_two_hundred_command_lines(weights, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    once = cache(StableDiffusion.from_pretrained)  # to save time

    def fresh(*args, **kwargs):
        pipe = once(*args, **kwargs)
        pipe.unload_loras()
        return pipe

    monkeypatch.setattr(StableDiffusion, "from_pretrained", fresh)
    rng, drawn = random.Random(19), 0
    for i in range(N):
        argv, out = command_line(rng, weights, files)
        before, code = set(Path().iterdir()), 0
        try:
            command(*argv)
        except SystemExit as exit:
            code = exit.code
        try:
            drawn += right(out, code, capsys.readouterr().err, before, set(Path().iterdir()))
        except BaseException as error:
            raise AssertionError(f"{i}: {argv!r}") from error
    assert N / 5 < drawn < 4 * N / 5


@pytest.mark.slow
def test_ten_of_them_as_processes(weights, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, drawn = random.Random(5), 0
    for _ in range(PROCESSES):
        argv, out = command_line(rng, weights, files)
        argv = [a.encode("utf-8", "surrogatepass" if "\ud83e" in a else "surrogateescape") for a in argv]
        done = subprocess.run([sys.executable, "-m", "minidiff", *argv], capture_output=True, timeout=120)
        drawn += right(out, done.returncode, done.stderr.decode("utf-8", "replace"), set(), set(Path().iterdir()))
    assert 0 < drawn < PROCESSES


# The pipeline


def call(rng, controlnet):
    """Arguments of a call, most of them good."""
    n = rng.choice([1, 1, 1, 2])
    noise = Image.effect_noise((SIDE, SIDE), 80)
    modes = ["RGB", "L", "1", "P", "CMYK", "YCbCr", "HSV", "I", "F", "RGBA", "LA"]
    pictures = [noise.convert(mode) for mode in modes if mode != "HSV"] + [noise.convert("RGB").convert("HSV")]
    pictures += [noise.convert("RGB").convert("RGBa"), Image.fromarray(np.asarray(noise).astype(np.uint16) * 257)]
    odd = [Image.new("RGB", (0, 0)), Image.new("RGB", (60, 64)), Image.new("LAB", (SIDE, SIDE)), "fox.png", 7, [],
           np.zeros((SIDE, SIDE, 3)), torch.zeros(1, 3, SIDE, SIDE), [noise] * 5, {1: 2}, Image, True,
           Image.fromarray(np.full((SIDE, SIDE), np.nan, np.float32)), Image.new("1", (4096, 4096))]  # fmt: skip
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:40] = True
    junk = [None, "x", b"x", [], {}, object(), float("nan"), float("inf"), -1, 10**400, 1j, np.zeros((3, 4)), "x" * 999,
            torch.ones(2, 2), [np.zeros((50, 50))] * 3, torch.nn.Linear(9, 9), abs, type, range(3), np.array("a"),
            torch.Generator(), lambda: None, ..., iter([]), "a\nb"]  # fmt: skip
    values = {
        "prompt": (["fox", "", "fox on green", "a\nb"], ["\ud800", 7, None, ["fox", None]]),
        "negative_prompt": ([None, "", "cat", ["cat"] * n], [["cat"] * 5, 3, ["\udfff"]]),
        "steps": ([1, 2, 3.0, np.int64(2), torch.tensor(2)], [0, 1001, True, 2.5, np.float32(0.5)]),
        "guidance": ([0, 1, 4, np.float32(2.5), np.float64(3), torch.tensor(1.5)], ["4", -0.1]),
        "sampler": ([None, *SAMPLERS.values(), partial(ddim, eta=1)], ["ddim", print, partial(ddim, eta=2)]),
        "seed": ([3, np.uint8(3), list(range(n)), np.arange(n), torch.arange(n), 5.0], [2**63, [1] * 5, [None], "3"]),
        "height": ([None, 64, np.int32(72)], [60, 0, 2**20, 8.5]),
        "width": ([None, 64, 40.0], [60, 0, 2**20, [64]]),
        "image": (pictures, odd),
        "strength": ([1, 0.9, np.float32(0.99)], [0, 1.01, 1e-9, "1", True - 1]),
        "mask": ([mask, mask * 1.0, mask.astype(np.uint8) * 255, Image.fromarray(mask), *pictures[:5]],
                 [mask[1:], ~mask & mask, *odd]),
        "margins": ([(8, 0, 0, 0), [0, 8, 16, 0], np.array([8, 8, 8, 8]), (8.0, 0, 0, 0)],
                    [8, (1, 0, 0, 0), (0, 0, 0, 0), (10**7, 0, 0, 0)]),
        "control": ([(controlnet, noise, 1), [(controlnet, noise, np.float32(0.5))] * 2, []],
                    [(controlnet, noise), (controlnet, "x", 1)]),
        "ip_image": ([*pictures, [noise] * n], odd),
        "ip_scale": ([0, 1, np.float32(0.5), torch.tensor(-0.5)], ["1", [1]]),
        "latents": ([torch.randn(n, 4, 8, 8), torch.randn(n, 4, 8, 5, dtype=torch.float64)],
                    [np.zeros((n, 4, 8, 8)), torch.ones(n, 4, 0, 8)]),
        "trace": ([False, True], [2]),
        "progress": ([False, np.False_, 0], ["no"]),
    }  # fmt: skip
    kind = rng.choice(["text", "text", "size", "latents", "image", "image", "mask", "margins"])
    fits = {"size": {"height", "width"}, "latents": {"latents"}, "image": {"image"}, "mask": {"image", "mask"},
            "margins": {"image", "margins"}}.get(kind, set())  # fmt: skip
    about_pictures = {"height", "width", "latents", "image", "mask", "margins"}
    out = {"prompt": "fox", "steps": 2, "progress": False}
    for name, (good, bad) in values.items():
        if name in fits or name == "steps" or name not in about_pictures and rng.random() < 0.3:
            out[name] = chosen(rng, good, rng.choice([bad, junk]), 0.05)
        elif rng.random() < 0.01:
            out[name] = rng.choice(bad + good)
    if isinstance(out["prompt"], str) and n > 1:
        out["prompt"] = [out["prompt"]] * n
    return out


@pytest.mark.filterwarnings("ignore")
def test_two_hundred_calls(weights):
    pipe = StableDiffusion.from_pretrained(weights, device="cpu")
    pipe.load_ip_adapter(weights / "ipadapter.safetensors", weights / "clip.safetensors")
    controlnet = ControlNet.from_unet(pipe.unet, conditioning_embedding_out_channels=(4, 4, 8, 8)).eval()
    rng, drawn = random.Random(19), 0
    torch.manual_seed(0)
    for i in range(N):
        arguments = call(rng, controlnet)
        try:
            out = pipe(**arguments)
        except ValueError as error:
            assert "\n" not in str(error) and 10 < len(str(error)) < 300, f"{i}: {error}"
        except BaseException as error:
            raise AssertionError(f"{i}: {arguments!r}") from error
        else:
            images = out.images if arguments.get("trace") else out
            assert images and all(isinstance(i, Image.Image) and i.mode == "RGB" for i in images)
            drawn += 1
    assert N / 5 < drawn < 4 * N / 5
