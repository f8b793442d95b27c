"""From a prompt to a picture: with the shipped weights, and with small random ones where only the wiring counts."""

import copy
import inspect
import json
import subprocess
import sys
import warnings
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import data
from minidiff.cli import run
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError, load, save
from minidiff.guide import cfg
from minidiff.pipeline import WEIGHTS, StableDiffusion, find_device
from minidiff.sample import SAMPLERS, consistency, ddim, ddpm
from minidiff.schedule import trailing
from minidiff.show import to_pil
from minidiff.trace import traced_cfg
from minidiff.vae import TinyDecoder

PROMPTS = ["fox above rocket on green", "red apple in snow"]


def pixels(images):
    return torch.stack([torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).int() for image in images])


def difference(a, b) -> int:
    return (pixels(a) - pixels(b)).abs().max().item()


def test_same_seed_same_picture(pipe):
    first, again = (pipe(PROMPTS[0], seed=3, steps=3, progress=False) for _ in range(2))
    assert isinstance(first, list) and first[0].size == (128, 128) and first[0].mode == "RGB"
    assert difference(first, again) == 0
    assert difference(first, pipe(PROMPTS[0], seed=4, steps=3, progress=False)) > 0


def test_a_list_is_drawn_as_each_alone(pipe):
    together = pipe(PROMPTS, seed=5, steps=3, progress=False)
    alone = [pipe(prompt, seed=5 + i, steps=3, progress=False)[0] for i, prompt in enumerate(PROMPTS)]
    assert difference(together, alone) <= 1
    ancestral = [pipe(p, seed=[5, 6][: len(p)], steps=3, sampler=ddpm, progress=False) for p in (PROMPTS, PROMPTS[:1])]
    assert difference(ancestral[0][:1], ancestral[1]) <= 1, "the noise added on the way is each picture's own, too"
    assert difference(pipe(PROMPTS, seed=[9, 5], steps=3, progress=False)[1:], pipe(PROMPTS[1], seed=5, steps=3)) <= 1


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_every_sampler_draws(pipe, sampler):
    first, again = (pipe(PROMPTS[0], steps=4, sampler=sampler, progress=False) for _ in range(2))
    assert difference(first, again) == 0


@pytest.mark.parametrize("guidance", [0, 1, 4.0])
def test_a_trace_holds_what_happened(pipe, guidance):
    trace = pipe(PROMPTS, "cat on blue", steps=3, guidance=guidance, seed=1, progress=False, trace=True)
    assert (
        difference(trace.images, pipe(PROMPTS, "cat on blue", steps=3, guidance=guidance, seed=1, progress=False)) == 0
    )
    assert trace.times.tolist() == [1000, 667, 333, 0] and len(trace.states) == 4 and len(trace.calls) == 3
    assert trace.tokens[1][:6] == ["<|startoftext|>", "red</w>", "apple</w>", "in</w>", "snow</w>", "<|endoftext|>"]
    with torch.no_grad():
        assert (trace.context - pipe.text(pipe.tokenizer(PROMPTS))).abs().max() < 1e-6
        decoded = pipe.vae.decode(trace.states[-1] / pipe.vae.config.scaling_factor)
    assert difference(trace.images, [Image.fromarray(p) for p in to_uint8(decoded)]) <= 1
    for call, state, t in zip(trace.calls, trace.states, trace.times, strict=False):
        assert call.t == t and (call.x == state).all()
        if guidance == 1:
            assert call.x0_uncond is None and (call.x0 == call.x0_cond).all()
        else:
            mixed = call.x0_uncond + guidance * (call.x0_cond - call.x0_uncond)
            assert (call.x0 - mixed).abs().max() < 1e-5
            assert (call.x0_cond - call.x0_uncond).abs().max() > 1e-3
        assert len(call.attention) == 7, "one map for each transformer block"
        for layer, maps in call.attention.items():
            assert layer.endswith("attn2") and maps.shape[0] == 2 and maps.shape[2] == 24
            assert (maps.sum(-1) - 1).abs().max() < 1e-5


def test_conditions_may_be_tuples():
    """cfg and its trace treat each tensor of a tuple alike, of one sample or of all."""

    def net(x, t, cond):
        assert all(len(c) == len(x) for c in (cond[0], *cond[1]))
        return x * cond[0] + cond[1][0].mean((1, 2))[:, None] * t + cond[1][1]

    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, generator=g)
    conds = [(torch.randn(3, 2, generator=g), (torch.randn(1, 4, 5, generator=g), torch.randn(3, 1, generator=g)))]
    conds += [(torch.randn(1, 2, generator=g), (torch.randn(3, 4, 5, generator=g), torch.randn(1, 1, generator=g)))]

    def of_all(cond):
        return cond[0].expand(3, 2), tuple(c.expand(3, *c.shape[1:]) for c in cond[1])

    with_prompt, without = (net(x, 5, of_all(cond)) for cond in conds)
    calls = []
    for scale in (0, 1, 4.0):
        expected = without + scale * (with_prompt - without)
        assert (cfg(net, *conds, scale)(x, 5) - expected).abs().max() < 1e-5
        assert (traced_cfg(net, *conds, scale, torch.nn.Identity(), [], calls)(x, 5) - expected).abs().max() < 1e-5
        assert (calls[-1].x0_cond - with_prompt).abs().max() < 1e-5
        assert calls[-1].x0_uncond is None if scale == 1 else (calls[-1].x0_uncond - without).abs().max() < 1e-5


def to_uint8(x):
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def test_a_trace_leaves_nothing_in_the_network(pipe):
    pipe(PROMPTS[0], steps=1, progress=False, trace=True)
    assert not any(module._forward_hooks for module in pipe.unet.modules())


@pytest.mark.slow
def test_a_compiled_network_draws_the_same_and_can_be_traced(pipe):
    plain = pipe(PROMPTS[0], steps=2, progress=False, trace=True)
    compiled = copy.deepcopy(pipe)
    compiled.unet.compile(backend="aot_eager")  #  traced and replayed; what turns it into C++ would take a minute
    assert difference(compiled(PROMPTS[0], steps=2, progress=False), plain.images) <= 1
    traced = compiled(PROMPTS[0], steps=2, progress=False, trace=True)
    for call, expected in zip(traced.calls, plain.calls, strict=True):
        assert call.attention.keys() == expected.attention.keys() and len(call.attention) == 7
        for name, maps in call.attention.items():
            assert (maps - expected.attention[name]).abs().max() < 1e-4


def test_given_latents_are_where_it_starts(pipe):
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    trace = pipe(PROMPTS, latents=latents, steps=2, progress=False, trace=True)
    assert (trace.states[0] == latents).all()
    wide = pipe(PROMPTS[0], latents=torch.randn(1, 4, 8, 24), steps=2, progress=False)
    assert wide[0].size == (192, 64)


@pytest.mark.parametrize("arguments, message", [
    (dict(prompt=7), "a prompt is 7, expected text"),
    (dict(prompt=["fox", None]), "a prompt is None, expected text"),
    (dict(prompt=[]), "got 0 prompts"),
    (dict(prompt="fox \udcff"), "a prompt is 'fox .udcff', which is no valid Unicode"),
    (dict(negative_prompt=["a", "b"]), "got 1 prompts and 2 negative ones"),
    (dict(steps=0), "steps is 0, expected a whole number from 1 to 1000"),
    (dict(steps=2.5), "steps is 2.5, expected a whole number"),
    (dict(steps="3"), "steps is '3', expected a whole number"),
    (dict(steps=np.array([3, 4])), "steps is ndarray of shape .2,., expected a whole number"),
    (dict(guidance=float("nan")), "guidance is nan, expected a number from 0"),
    (dict(guidance=-1), "guidance is -1, expected a number from 0"),
    (dict(guidance=2 + 1j), "guidance is .2.1j., expected a number from 0"),
    (dict(guidance=torch.ones(300)), "guidance is Tensor of shape .300,., expected a number from 0"),
    (dict(trace=torch.ones(2)), "trace is Tensor of shape .2,., expected True or False"),
    (dict(sampler="ddim"), "sampler is 'ddim', expected a function of minidiff.sample"),
    (dict(sampler=torch.nn.Linear(3, 3)), "sampler is Linear.*, expected a function of minidiff.sample"),
    (dict(sampler=print), "sampler is <built-in function print>, expected a function of minidiff.sample"),
    (dict(seed=-1), "seed is -1, expected a whole number from 0"),
    (dict(seed=2**63), "seed is 9223372036854775808, expected a whole number from 0"),
    (dict(seed=[1, 2]), "seed is .1, 2., expected a whole number from 0, or a list of 1"),
    (dict(seed=None), "seed is None, expected a whole number: for a new picture each time, random.randrange"),
    (dict(seed=torch.Generator()), "seed is a torch.Generator, expected a whole number: give its initial_seed"),
    (dict(seed=[torch.zeros(2, 2)]), "seed is .Tensor of shape .2, 2.., expected a whole number"),
    (dict(height=100), "the picture is 128x100 pixels, expected multiples of 8"),
    (dict(width=0), "the picture is 0x128 pixels, expected multiples of 8"),
    (dict(width="128"), "width is '128', expected a whole number of pixels"),
    (dict(height=8192, width=1024), "the picture is 1024x8192 pixels, expected at most 2048x2048"),
    (dict(latents=torch.zeros(1, 4, 16, 16), width=64), "width is 64, expected that of the latents, 128"),
    (dict(latents=torch.zeros(4, 16, 16)), "latents are Tensor of shape .4, 16, 16., expected a tensor of .1, 4, h"),
    (dict(latents=np.zeros((1, 4, 16, 16))), "latents are ndarray of shape .1, 4, 16, 16., expected a tensor"),
    (dict(latents=torch.full((1, 4, 16, 16), torch.inf)), "expected a tensor of .* finite numbers"),
])  # fmt: skip
def test_arguments_that_make_no_sense(pipe, arguments, message):
    for call in (pipe, pipe.draw):
        with pytest.raises(ValueError, match=message) as caught:
            call(**{"prompt": "fox"} | arguments)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.fixture(scope="module")
def fast(pipe):
    return StableDiffusion(pipe.vae, pipe.unet, pipe.text, pipe.tokenizer, words=pipe.words, fast=True)


def test_a_fast_pipeline_has_steps_guidance_and_a_sampler_of_its_own(pipe, fast):
    usual = pipe(PROMPTS[0], seed=3, progress=False)
    assert difference(usual, pipe(PROMPTS[0], seed=3, steps=25, guidance=4, sampler=ddim, progress=False)) == 0
    drawn = fast(PROMPTS[0], seed=3, progress=False)
    few = dict(seed=3, steps=2, guidance=1, progress=False)
    assert difference(drawn, pipe(PROMPTS[0], sampler=consistency, **few)) == 0
    assert difference(fast(PROMPTS[0], sampler=ddim, **few), pipe(PROMPTS[0], sampler=ddim, **few)) == 0
    assert difference(drawn, fast(PROMPTS[0], seed=3, steps=8, progress=False)) > 0


@pytest.mark.parametrize("strength, steps, last", [(1, 2, 1000), (0.5, 2, 500), (0.3, 1, 300), (0.001, 4, 4)])
def test_of_an_image_it_does_all_steps_in_a_share_of_the_time(fast, strength, steps, last):
    image = Image.effect_noise((128, 128), 60)
    trace = fast(PROMPTS[0], image=image, strength=strength, steps=steps, progress=False, trace=True)
    assert (trace.times == trailing(last, steps)).all() and len(trace.states) == steps + 1


@pytest.mark.parametrize("arguments, message", [
    (dict(guidance=4), "got guidance 4: a fast pipeline draws without guidance; leave it out, or draw without fast"),
    (dict(guidance=0), "got guidance 0: a fast pipeline draws without guidance"),
    (dict(negative_prompt="cat"), "got a negative prompt: a fast pipeline draws without guidance"),
    (dict(steps=9), "steps is 9, expected a whole number from 1 to 8"),
])  # fmt: skip
def test_what_a_student_did_not_learn_is_refused(fast, arguments, message):
    with pytest.raises(ValueError, match=message):
        fast(PROMPTS[0], **arguments, progress=False)


def test_a_fast_pipeline_is_not_written_for_diffusers(fast, tmp_path):
    with pytest.raises(WeightsError, match="write the one without fast"):
        fast.to_diffusers(tmp_path)


def test_numbers_of_any_library_are_numbers(pipe):
    image = Image.effect_noise((128, 128), 60)
    options = dict(steps=4, guidance=2.5, seed=3, image=image, strength=0.5, margins=(8, 0, 0, 8), width=136)
    expected = pipe(PROMPTS[0], None, **options, progress=False)
    for whole, real in ((np.int64, np.float32), (float, np.float64), (torch.tensor, torch.tensor), (np.uint8, float)):
        given = {name: whole(n) for name, n in options.items() if name in ("steps", "seed", "width")}
        given |= {name: real(options[name]) for name in ("guidance", "strength")}
        given["margins"] = [whole(n) for n in options["margins"]]
        assert difference(pipe(PROMPTS[0], **options | given, progress=False), expected) == 0
    seeds = pipe([PROMPTS[0]] * 2, steps=1, seed=np.array([5, 9]), progress=False)
    assert difference(seeds, pipe([PROMPTS[0]] * 2, steps=1, seed=[5, 9], progress=False)) == 0


def test_height_and_width(pipe):
    wide = pipe(PROMPTS[0], height=64, width=192, steps=1, progress=False)[0]
    assert wide.size == (192, 64)
    assert pipe(PROMPTS[0], height=64, steps=1, progress=False)[0].size == (128, 64)
    latents = torch.randn(1, 4, 8, 24, generator=torch.Generator().manual_seed(0))
    assert difference(pipe(PROMPTS[0], latents=latents, width=192, steps=1, progress=False), [wide]) == 0


def test_drawing_step_by_step_is_drawing(pipe):
    """What `pipe` draws, its states, and the clean latents that the denoiser expected at each of them."""
    for options in (
        dict(sampler=SAMPLERS["heun"]),
        dict(image=Image.effect_noise((128, 128), 60), margins=(8, 0, 0, 0)),
    ):
        whole = pipe(PROMPTS, steps=3, trace=True, progress=False, **options)
        drawing = pipe.draw(PROMPTS, steps=3, **options)
        first = next(drawing)[0]
        early = drawing.images()
        steps = [(first, None), *drawing]
        assert all((state == seen).all() for (state, _), seen in zip(steps, whole.states[1:], strict=True))
        assert drawing.images() == whole.images != early
        _, x0 = steps[-1]
        assert x0.shape == first.shape and "image" in options or (x0 == whole.calls[-1].x0).all()


def test_step_by_step_it_takes_the_same_arguments():
    whole, steps = (inspect.signature(f).parameters for f in (StableDiffusion.__call__, StableDiffusion.draw))
    assert {name: str(p) for name, p in steps.items()} == {n: str(p) for n, p in whole.items() if n != "progress"}


def test_words_it_was_never_taught_are_named(pipe):
    with pytest.warns(UserWarning) as caught:
        images = pipe("a foxx on green", steps=1, progress=False)
    assert len(images) == 1
    assert all(w.filename == __file__ for w in caught), "said where it was asked for"
    said = [str(w.message) for w in caught]
    assert [s.split(";")[0] for s in said] == [
        "the model was never taught the word 'a'", "the model was never taught the word 'foxx'",
    ]  # fmt: skip
    assert said[1].split(": ")[1].split(", ")[0] == "fox"


def test_many_words_it_was_never_taught_are_a_few_lines(pipe):
    words = [f"x{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300)]
    with pytest.warns(UserWarning) as caught:
        pipe(" ".join(words) + " fox on green", steps=1, progress=False)
    said = [str(w.message) for w in caught]
    assert len(said) == 10 and max(map(len, said)) < 250
    assert said[-1] == "nor was it taught 292 other words of this prompt"


def test_a_picture_that_is_not_finite_is_said_to_be(pipe):
    with pytest.warns(UserWarning, match="the picture is not finite: lower the guidance"):
        pipe("fox on green", steps=2, guidance=1e38, progress=False)


def test_the_words_come_with_the_weights(tmp_path):
    for file in {*WEIGHTS.iterdir()} - {WEIGHTS / "clip.json"}:
        (tmp_path / file.name).symlink_to(file)
    card = tmp_path / "clip.json"
    card.write_text(json.dumps({"words": ["fox", "on"]}))
    with pytest.warns(UserWarning, match="never taught the word 'blue'; the nearest it knows: "):
        StableDiffusion.from_pretrained(tmp_path, device="cpu")("fox on blue", steps=1, progress=False)
    for text in ("{}", None):
        card.write_text(text) if text else card.unlink()
        assert StableDiffusion.from_pretrained(tmp_path, device="cpu").words is None
    for wrong in ('{"words": 5}', '{"words": [5]}', '["fox"]', "{"):
        card.write_text(wrong)
        with pytest.raises(WeightsError, match="clip.json"):
            StableDiffusion.from_pretrained(tmp_path, device="cpu")
    assert set(StableDiffusion.from_pretrained("openmoji").words) == set(data.WORDS)


def test_what_does_not_fit_is_named(pipe):
    with pytest.warns(UserWarning, match="longer than 22 tokens: 'moon in snow' is cut"):
        pipe("fox " * 21 + "sun moon in snow", steps=1, progress=False)


def test_known_prompts_are_no_cause_for_a_warning(pipe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe([str(data.scene(seed).spec) for seed in range(20)], steps=1, progress=False)


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    for name in ("quantum", "", "cpu:x", "cpu:0:0") + (() if torch.cuda.is_available() else ("cuda", "cuda:0")):
        with pytest.raises(ValueError, match="is not there(, expected one of: .*cpu|: Invalid device)"):
            find_device(name)


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="no weights 'stable-diffusion': give 'openmoji'"):
        StableDiffusion.from_pretrained("stable-diffusion")
    with pytest.raises(ValueError, match="no weight file .*vae.safetensors"):
        StableDiffusion.from_pretrained(tmp_path)


# The command line, with the shipped weights


def command(*arguments, **options):
    from minidiff.__main__ import main

    run(lambda: main([str(a) for a in arguments]), **options)


def test_shipped_weights_draw_the_same_from_python_and_from_the_command_line(tmp_path, capsys):
    command(PROMPTS[0], "--seed", 3, "--steps", 4, "--out", tmp_path / "fox.png")
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'fox.png'}  1 picture in ")
    pipe = StableDiffusion.from_pretrained("openmoji", device="cpu")
    shown = Image.open(tmp_path / "fox.png")
    assert difference([shown], pipe(PROMPTS[0], seed=3, steps=4, progress=False)) == 0


def test_a_picture_is_redrawn_from_the_command_line_as_from_python(tmp_path):
    image = Image.effect_noise((128, 128), 60)
    mask = Image.new("L", (128, 128))
    mask.paste(255, (32, 32, 96, 96))
    image.save(tmp_path / "image.png"), mask.save(tmp_path / "mask.png")
    files = ["--image", tmp_path / "image.png", "--mask", tmp_path / "mask.png"]
    pipe = StableDiffusion.from_pretrained("openmoji", device="cpu")
    lines = load(ControlNet, WEIGHTS / "lines.safetensors")
    for options, given in (
        (["--control", "lines", tmp_path / "image.png", "--control-scale", 0.5], {"control": (lines, image, 0.5)}),
        (files[:2] + ["--strength", 0.5], {"image": image, "strength": 0.5}),
        (files, {"image": image, "mask": mask}),
        (files[:2] + ["--margins", 8, 0, 16, 0], {"image": image, "margins": (8, 0, 16, 0)}),
    ):
        command(PROMPTS[0], *options, "--steps", 4, "--out", tmp_path / "out.png")
        expected = pipe(PROMPTS[0], steps=4, progress=False, **given)
        assert difference([Image.open(tmp_path / "out.png")], expected) == 0


def test_a_preview_is_there_while_it_forms(tmp_path, monkeypatch):
    out, seen = tmp_path / "fox.png", []

    def watched(draws):
        def images(pipe, latents):
            seen.append(Image.open(out).copy() if out.exists() else None)
            return draws(pipe, latents)

        return images

    for name in ("decode", "preview"):
        monkeypatch.setattr(StableDiffusion, name, watched(getattr(StableDiffusion, name)))
    command(PROMPTS[0], "--seed", 3, "--steps", 5, "--preview", 2, "--out", out)
    assert seen[0] is None and len(seen) == 3, "after steps 2 and 4, and at the end"
    assert difference([seen[1]], [seen[2]]) > 0 and "parameters" not in seen[1].info
    drawn = Image.open(out)
    assert difference([drawn], [seen[2]]) > 0 and "parameters" in drawn.info
    monkeypatch.undo()
    command(PROMPTS[0], "--seed", 3, "--steps", 5, "--out", tmp_path / "same.png")
    assert difference([Image.open(tmp_path / "same.png")], [drawn]) == 0


def test_a_small_decoder_draws_what_is_shown_on_the_way_and_not_the_picture(tmp_path):
    folder = copytree(WEIGHTS, tmp_path / "weights", ignore=ignore_patterns("lines.*", "boxes.*", "decoder.*"))
    torch.manual_seed(0)
    plain = StableDiffusion.from_pretrained(folder, "cpu").draw(PROMPTS[0], steps=2)
    save(TinyDecoder(), folder / "decoder.safetensors")
    small = load(TinyDecoder, folder / "decoder.safetensors")
    drawing = StableDiffusion.from_pretrained(folder, "cpu").draw(PROMPTS[0], steps=2)
    for (_, x0), (_, same) in zip(drawing, plain, strict=True):
        assert torch.equal(x0, same)
    assert difference(drawing.images(), plain.images()) == 0
    assert plain.images(x0) == plain.images(), "the last estimate is the picture"
    with torch.no_grad():
        assert difference(drawing.images(x0), to_pil(small(x0))) <= 1
    assert difference(drawing.images(x0), drawing.images()) > 20


def test_several_prompts_make_a_grid(tmp_path):
    command(*PROMPTS, "sun on blue", "--steps", 1, "--out", tmp_path / "grid.jpg")
    width, height = Image.open(tmp_path / "grid.jpg").size
    assert width > 2 * 128 and height > 2 * 128
    assert [p.name for p in tmp_path.iterdir()] == ["grid.jpg"]


@pytest.mark.parametrize("wrong, message", [
    ([], "error: the following arguments are required: prompt; see python -m minidiff --help"),
    (["fox", "--steps", "0"], "error: argument --steps: got 0, expected a whole number from 1 to 1000; see"),
    (["fox", "--steps", "many"], "error: argument --steps: got many, expected a whole number from 1 to 1000; see"),
    (["fox", "--guidance", "nan"], "error: argument --guidance: got nan, expected a number from 0 to 100; see"),
    (["fox", "--seed", "-1"], "error: argument --seed: got -1, expected a whole number from 0"),
    (["fox", "--sampler", "magic"], "error: --sampler is magic, expected one of ddim, ddpm, "),
    (["fox", "--device", "quantum"], "error: device 'quantum' is not there, expected one of: "),
    (["fox", "--out", "fox"], "error: --out is fox, expected a picture file: name it .png or .jpg"),
    (["fox", "--out", "fox.psd"], "error: --out is fox.psd, expected a picture file: name it .png or .jpg"),
    (["fox", "--out", "fox.hdf"], "error: --out is fox.hdf, expected a picture file: name it .png or .jpg"),
    (["fox", "--out", "fox.xbm"], "error: --out is fox.xbm, expected a picture file: name it .png or .jpg"),
    (["fox", "--out", "x" * 300 + ".png"], "cannot be written: give a file in a folder that exists"),
    (["fox", "--seed", "1\n2"], "error: argument --seed: got 1 2, expected a whole number"),
    (["fox", "--device", "cpu:x"], "error: device 'cpu:x' is not there: Invalid device string"),
    (["fox \udcff"], "error: a prompt is 'fox \\udcff', which is no valid Unicode"),
    (["fox", "--negative", "\ud83d"], "error: a prompt is '\\ud83d', which is no valid Unicode"),
    (["fox", "--height", "100"], "error: the picture is 128x100 pixels, expected multiples of 8"),
    (["fox", "--width", "10000000"], "error: the picture is 10000000x128 pixels, expected at most 2048x2048"),
    (["fox", "--again", "fox.png"], "error: --again is fox.png, and there is no such file"),
    (["fox", "--out", "no/such/folder/fox.png"], "cannot be written: give a file in a folder that exists"),
    (["fox", "--image", "fox.png"], "error: --image is fox.png, and there is no such file"),
    (["fox", "--mask", __file__], "which cannot be read as a picture: cannot identify"),
    (["fox", "--margins", "8", "0", "8"], "error: argument --margins: expected 4 arguments"),
    (["fox", "--margins", "8", "0", "8", "0"], "error: got a mask or margins without an image"),
    (["fox", "--strength", "2"], "error: argument --strength: got 2, expected a number from 0 to 1"),
    (["fox", "--control", "lines"], "error: argument --control: expected 2 arguments"),
    (["fox", "--control", "pose", "fox.png"], "error: argument --control: got pose, expected lines or boxes, and a"),
    (["fox", "--control", "lines", "fox.png"], "error: --control is fox.png, and there is no such file"),
    (["fox", "--fast", "--weights", "nowhere"], "error: no weights 'nowhere': give 'openmoji'"),
    (["fox", "--weights", "nowhere"], "error: no weights 'nowhere': give 'openmoji'"),
])  # fmt: skip
def test_bad_options_are_one_line_and_exit_code_2(wrong, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        command(*wrong)
    err = capsys.readouterr().err
    assert exit.value.code == 2 and err.count("\n") == 1 and message in err
    assert not any(tmp_path.iterdir()), "nothing half-written"


def test_damaged_weights_are_one_line_and_exit_code_2(tmp_path, capsys):
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(SystemExit) as exit:
        command("fox", "--weights", tmp_path, "--out", tmp_path / "fox.png")
    err = capsys.readouterr().err
    assert exit.value.code == 2 and err.count("\n") == 1 and "vae.safetensors is damaged" in err
    assert not (tmp_path / "fox.png").exists()


def test_drawing_imports_only_what_it_needs(tmp_path):
    """A cold process loads neither the oracles nor the notebook nor the training loop nor torch's compiler, which alone
    takes a second; and asks no network."""
    code = (
        "import sys, socket; socket.socket.connect = None;"
        "from minidiff.__main__ import main; main(['fox on blue', '--steps', '1', '--out', sys.argv[1]]);"
        "print(*{name.split('.')[0] for name in sys.modules}, *{'torch._dynamo'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, tmp_path / "fox.png"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, timeout=300).stdout
    loaded = set(out.split())
    assert {"torch", "minidiff"} <= loaded
    notebook = {"matplotlib", "jupyterlab", "IPython"}
    assert loaded.isdisjoint({"diffusers", "transformers", "accelerate", "torch._dynamo"} | notebook)


def test_a_wrong_argument_is_refused_before_torch_is_imported_and_help_names_the_samplers(tmp_path, capsys):
    code = (
        "import sys; from minidiff.__main__ import main; from minidiff.cli import run\n"
        "try: run(lambda: main(['fox', '--sampler', 'heun', '--image', 'no.png']))\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert process.stdout.strip() == "False" and "--image is no.png" in process.stderr
    with pytest.raises(SystemExit):
        command("--help")
    assert f"Samplers: {', '.join(SAMPLERS)}\n" in capsys.readouterr().out
