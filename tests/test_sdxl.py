"""SDXL, its refiner and both Turbos, on tiny random folders that diffusers wrote, against its own pipelines."""

import shutil
from functools import cache

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from test_full_pipelines import PROMPT, SCHEDULER, changed, randomised, tiny_pipeline, with_scheduler

from minidiff import arguments, data, parts, prompts
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError
from minidiff.pipeline import StableDiffusion
from minidiff.prompts import Sizes
from minidiff.tokenizer import Tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

NEGATIVE, INDEX = "cat in snow", "model_index.json"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
EULER = BETAS | {"timestep_spacing": "leading", "steps_offset": 1}  # as in the real folders
TURBO = BETAS | {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}


def blocks(sizes: int, width: int) -> dict:
    return dict(
        block_out_channels=(16, 32), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), layers_per_block=1,
        transformer_layers_per_block=[1, 3], cross_attention_dim=width, attention_head_dim=(2, 4), norm_num_groups=8,
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=6,
        projection_class_embeddings_input_dim=20 + 6 * sizes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tiny_sdxl(tmp_path_factory.mktemp("sdxl"))


def tiny_sdxl(root):
    """`root`, with base/, refiner/, inpainting/ of nine channels, turbo/ and controlnet/ in it, random all of them."""
    Tokenizer.train(data.WORDS).save(root / "tokens")
    tokenizers = [
        transformers.CLIPTokenizer.from_pretrained(root / "tokens", pad_token=pad) for pad in ("<|endoftext|>", "!")
    ]
    sizes = dict(vocab_size=len(tokenizers[0]), num_hidden_layers=3, max_position_embeddings=24, eos_token_id=2,
        bos_token_id=0, pad_token_id=1)  # fmt: skip
    first = transformers.CLIPTextConfig(hidden_size=16, intermediate_size=32, num_attention_heads=2, **sizes)
    second = transformers.CLIPTextConfig(hidden_size=24, intermediate_size=48, num_attention_heads=3, projection_dim=20,
        hidden_act="gelu", **sizes)  # fmt: skip
    vae = randomised(diffusers.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.13025, force_upcast=True,
    ))  # fmt: skip
    texts = randomised(transformers.CLIPTextModel(first)), randomised(transformers.CLIPTextModelWithProjection(second))

    def unet(sizes, width, **options):
        up = {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
        return randomised(diffusers.UNet2DConditionModel(sample_size=16, **up, **blocks(sizes, width) | options))

    def write(kind, name, net, texts, tokenizers, scheduler, **options):
        pipe = kind(vae, *texts, *tokenizers, net, scheduler, add_watermarker=False, **options)
        pipe.save_pretrained(root / name)

    euler, xl = diffusers.EulerDiscreteScheduler(**EULER), diffusers.StableDiffusionXLPipeline
    write(xl, "base", unet(6, 40), texts, tokenizers, euler)
    refiner = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
    last = (None, texts[1]), (None, tokenizers[1])
    write(diffusers.StableDiffusionXLImg2ImgPipeline, "refiner", unet(5, 24), *last, euler, **refiner)
    shutil.copytree(root / "base", root / "inpainting")
    unet(6, 40, in_channels=9).save_pretrained(root / "inpainting" / "unet")
    controlnet = diffusers.ControlNetModel(conditioning_embedding_out_channels=(8, 16), **blocks(6, 40))
    randomised(controlnet).save_pretrained(root / "controlnet")
    changed(root / "base", root / "turbo", {SCHEDULER: TURBO,
        INDEX: {"scheduler": ["diffusers", TURBO["_class_name"]]}})  # fmt: skip
    return root


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((48, 32))


MASK = np.zeros((32, 48), np.uint8)
MASK[5:24, 4:20] = 255


@cache  # the models of a folder are read once
def our_pipeline(folder):
    return StableDiffusion.from_diffusers(folder, "cpu")


@cache
def their_pipeline(folder, kind, **parts):
    pipe = getattr(diffusers, f"StableDiffusionXL{kind}Pipeline").from_pretrained(folder, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ours(folder, prompt=PROMPT, **call):
    return our_pipeline(folder)(prompt, seed=7, trace=True, progress=False, **{"steps": 4} | call)


def theirs(folder, kind="", prompt=PROMPT, steps=4, guidance=4.0, parts=(), **call):
    n = 1 if isinstance(prompt, str) else len(prompt)
    generators = [torch.Generator().manual_seed(7 + i) for i in range(n)]
    generator = {"generator": generators if n > 1 else generators[0], "output_type": "latent"}
    call = {"num_inference_steps": steps, "guidance_scale": guidance} | generator | call
    return their_pipeline(folder, kind, **dict(parts))(prompt, **call).images


def assert_equal(trace, latents):
    got = trace.states[-1]
    assert got.shape == latents.shape
    assert (got - latents).abs().max() <= 2e-4 * latents.abs().max()


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_text_to_image(root, guidance):
    call = {"height": 32, "width": 48, "guidance": guidance}
    assert_equal(ours(root / "base", **call), theirs(root / "base", **call))
    expected = theirs(root / "base", negative_prompt=NEGATIVE, **call)
    assert_equal(ours(root / "base", negative_prompt=NEGATIVE, **call), expected)
    if guidance == 1:
        assert_equal(ours(root / "base", **call), expected)


def test_several_prompts(root):
    two = [PROMPT, "bee on blue"]
    trace = ours(root / "base", two, negative_prompt=[NEGATIVE, "owl in sea"], guidance=5.0)
    assert_equal(trace, theirs(root / "base", prompt=two, negative_prompt=[NEGATIVE, "owl in sea"], guidance=5.0))
    assert trace.context.shape == (2, 24, 40) and len(trace.images) == 2
    assert len(trace.calls[0].attention) == 3 * 4  # of three blocks each: down, middle, twice up
    alone = ours(root / "base", two[0], negative_prompt=NEGATIVE, guidance=5.0)
    assert (alone.states[-1] - trace.states[-1][:1]).abs().max() < 1e-4


def test_an_lcm_is_told_its_guidance(root, tmp_path):
    index = {"scheduler": ["diffusers", "LCMScheduler"]}
    files = {SCHEDULER: BETAS | {"_class_name": "LCMScheduler"}, INDEX: index}
    lcm = changed(root / "base", tmp_path / "lcm", files | {"unet/config.json": {"time_cond_proj_dim": 12}})
    unet = diffusers.UNet2DConditionModel
    randomised(unet.from_config(unet.load_config(lcm / "unet"))).save_pretrained(lcm / "unet")
    for guidance in (1.0, 8.0):
        assert_equal(ours(lcm, guidance=guidance), theirs(lcm, guidance=guidance))


def test_an_empty_negative_prompt_is_zeros_where_the_folder_says_so(root, tmp_path):
    told = changed(root / "base", tmp_path / "told", {INDEX: {"force_zeros_for_empty_prompt": False},
        SCHEDULER: EULER | {"_class_name": "EulerDiscreteScheduler"}})  # fmt: skip
    zeros, words = theirs(root / "base"), theirs(told)
    assert (zeros - words).abs().max() > 1e-2
    for negative in ("", None):
        assert_equal(ours(root / "base", negative_prompt=negative), zeros)
        assert_equal(ours(told, negative_prompt=negative), words)
    assert_equal(ours(root / "base", negative_prompt=" "), words)
    two = ours(root / "base", [PROMPT, PROMPT], negative_prompt=["", NEGATIVE])
    assert_equal(ours(root / "base"), two.states[-1][:1])


SIZES = {"original_size": (256, 300), "crops_coords_top_left": (31, 7), "target_size": (1024, 640)}
NEGATIVE_SIZES = {"original_size": (99, 100), "crops_coords_top_left": (5, 6), "target_size": (77, 88)}


def test_sizes_and_crops(root, image):
    plain = ours(root / "base")
    for name, value in SIZES.items():
        trace = ours(root / "base", sizes=Sizes(**{name: value}))
        assert (trace.states[-1] - plain.states[-1]).abs().max() > 1e-3, name
        assert_equal(trace, theirs(root / "base", **{name: value}))
    negative = {f"negative_{name}": value for name, value in NEGATIVE_SIZES.items()}
    sizes = Sizes(**SIZES, negative=Sizes(**NEGATIVE_SIZES))
    assert_equal(ours(root / "base", sizes=sizes), theirs(root / "base", **SIZES, **negative))
    call = {"image": image, "strength": 0.5}
    expected = theirs(root / "refiner", "Img2Img", **SIZES, **negative, **call, aesthetic_score=7.5,
        negative_aesthetic_score=1.5)  # fmt: skip
    sizes = Sizes(**SIZES, aesthetic_score=7.5, negative=Sizes(**NEGATIVE_SIZES, aesthetic_score=1.5))
    assert_equal(ours(root / "refiner", sizes=sizes, **call), expected)
    cropped = {"crops_coords_top_left": (31, 7), "aesthetic_score": 7.5}  # the negative prompt's is not, in theirs
    expected = theirs(root / "refiner", "Img2Img", **cropped, **call)
    assert_equal(ours(root / "refiner", sizes=Sizes(**cropped), **call), expected)


@pytest.mark.parametrize("name, guidance", [("base", 5.0), ("base", 1.0), ("refiner", 5.0)])
def test_image_to_image(root, image, name, guidance):
    call = {"image": image, "strength": 0.6, "guidance": guidance}
    assert_equal(ours(root / name, **call), theirs(root / name, "Img2Img", **call))


@pytest.mark.parametrize("name, strength", [("base", 0.7), ("inpainting", 0.7), ("inpainting", 1.0)])
def test_inpainting(root, image, name, strength):
    call, mask = {"image": image, "strength": strength}, Image.fromarray(MASK)
    expected = theirs(root / name, "Inpaint", mask_image=mask, height=32, width=48, **call)
    trace = ours(root / name, mask=mask, **call)
    assert_equal(trace, expected)
    assert (np.asarray(trace.images[0])[MASK == 0] == np.asarray(image)[MASK == 0]).all()


def test_control(root, image):
    controlnet = diffusers.ControlNetModel.from_pretrained(root / "controlnet")
    expected = theirs(root / "base", "ControlNet", parts=(("controlnet", controlnet),), image=image,
        controlnet_conditioning_scale=0.7)  # fmt: skip
    assert_equal(ours(root / "base", control=(ControlNet.from_diffusers(root / "controlnet"), image, 0.7),
        height=32, width=48), expected)  # fmt: skip


def test_pixels(root):
    picture = theirs(root / "base", output_type="np")[0]
    difference = np.asarray(ours(root / "base").images[0]).astype(int) - (picture * 255).round().astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("steps", [1, 3])
def test_the_turbos(root, tmp_path, steps):
    """Without guidance, which diffusers writes as 0; SD-Turbo is a Stable Diffusion 2 with Euler's trailing times."""
    assert_equal(ours(root / "turbo", guidance=1.0, steps=steps), theirs(root / "turbo", guidance=0.0, steps=steps))
    euler = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "steps_offset": 1}
    turbo = with_scheduler(tiny_pipeline(tmp_path / "sd"), tmp_path / "turbo", euler)
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(turbo, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    generator = {"generator": torch.Generator().manual_seed(7), "output_type": "latent"}
    latents = pipe(PROMPT, num_inference_steps=steps, guidance_scale=0.0, **generator).images
    assert_equal(ours(turbo, guidance=1.0, steps=steps), latents)


@pytest.mark.parametrize("scheduler", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_base_then_refiner(root, tmp_path, scheduler):
    folders = []
    for name in ("base", "refiner"):
        index = {"scheduler": ["diffusers", scheduler]}
        config = EULER | {"_class_name": scheduler}
        folders.append(changed(root / name, tmp_path / name, {INDEX: index, SCHEDULER: config}))
    base, refiner = folders
    half = theirs(base, steps=6, denoising_end=0.6, guidance=5.0, negative_prompt=NEGATIVE)
    call = {"image": half, "guidance": 5.0, "negative_prompt": NEGATIVE}
    expected = theirs(refiner, "Img2Img", steps=6, denoising_start=0.6, **call)
    mine = {"steps": 6, "guidance": 5.0, "negative_prompt": NEGATIVE}
    trace = ours(base, refiner=(our_pipeline(refiner), 0.4), **mine)
    assert_equal(trace, expected)
    assert (ours(base, **mine).states[-1] - expected).abs().max() > 1e-2
    assert len(trace.states) == 7 and len(trace.calls) == 6


def test_diffusers_reads_a_unet_that_ours_writes(root, tmp_path):
    our_pipeline(root / "base").unet.to_diffusers(tmp_path)
    folders = (root / "base" / "unet", tmp_path)
    right, written = (diffusers.UNet2DConditionModel.from_pretrained(folder).state_dict() for folder in folders)
    assert right.keys() == written.keys() and all(torch.equal(right[name], written[name]) for name in right)


def test_half_precision(root):
    right = ours(root / "base").states[-1]
    for dtype, limit in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
        pipe = StableDiffusion.from_diffusers(root / "base", "cpu", dtype=dtype)
        assert {p.dtype for model in (pipe.unet, pipe.text) for p in model.parameters()} == {dtype}
        assert {p.dtype for p in pipe.vae.parameters()} == {torch.float32}
        trace = pipe(PROMPT, seed=7, steps=4, trace=True, progress=False)
        assert trace.states[-1].dtype == torch.float32
        assert 0 < (trace.states[-1] - right).abs().max() <= limit * right.abs().max()
    with pytest.raises(ValueError, match="dtype is 'half', expected torch.float32"):
        StableDiffusion.from_diffusers(root / "base", "cpu", dtype="half")


class Traveller(torch.nn.Linear):
    def to(self, where):
        self.places.append(str(where))
        return super().to("cpu")


def test_offloaded_parts_are_on_the_device_only_while_they_work(root):
    pipe = StableDiffusion.from_diffusers(root / "base", "cpu", offload=True)
    trace = pipe(PROMPT, seed=7, steps=4, trace=True, progress=False)
    assert torch.equal(trace.states[-1], ours(root / "base").states[-1])

    a, b = Traveller(1, 1), Traveller(1, 1)
    a.places, b.places, device = [], [], torch.device("cuda")
    parts._working.pop(device, None)
    parts.one_at_a_time([a, b], device)
    for model in (a, a, b, a):
        model(torch.zeros(1))
    assert a.places == ["cuda", "cpu", "cuda"] and b.places == ["cuda", "cpu"]


# Mistakes in how a prompt is read: (pipe, monkeypatch) -> None


def read(change):
    def mistake(pipe, patch):
        right = pipe.read
        patch.setattr(pipe, "read", lambda *asked: tuple(change(*told) for told in right(*asked)))

    return mistake


def layers(i, change):
    def mistake(pipe, patch):
        text, _ = pipe.read.encoders[i]
        right = text.hidden_states
        patch.setattr(text, "hidden_states", lambda ids: change(text, right(ids)))

    return mistake


def padded_alike(pipe, patch):
    (first, tokenizer), (second, _) = pipe.read.encoders
    patch.setattr(pipe.read, "encoders", [(first, tokenizer), (second, tokenizer)])


def pooled_at_the_end(pipe, patch):
    text, _ = pipe.read.encoders[1]
    patch.setattr(text, "pooled", lambda ids, states: text.text_projection(states[:, -1]))


def pooled_not_normalised(pipe, patch):
    patch.setitem(pipe.read.encoders[1][0]._modules, "final_layer_norm", torch.nn.Identity())


def only_states_are_zeros(pipe, patch):
    right = pipe.read

    def mistaken(*asked):
        (states, _, sizes), cond = right(*asked)
        (_, pooled, _), _ = prompts.WordsAndSizes(right.encoders, zeros=False, scored=False)(*asked)
        return (states, pooled, sizes), cond

    patch.setattr(pipe, "read", mistaken)


MISTAKES = {
    "the first encoder's last states": layers(0, lambda text, states: [states[-1]] * 2),
    "the second encoder's last states": layers(1, lambda text, states: [states[-1]] * 2),
    "penultimate states normalised": layers(1, lambda text, states: [text.final_layer_norm(states[-2]), states[-1]]),
    "the second encoder first": read(lambda states, *rest: (states.roll(24, -1), *rest)),
    "the second tokenizer pads as the first": padded_alike,
    "pooled where the padding ends": pooled_at_the_end,
    "pooled from states that are not normalised": pooled_not_normalised,
    "the words for an empty negative prompt": lambda pipe, patch: patch.setattr(pipe.read, "zeros", False),
    "zeros for its states alone": only_states_are_zeros,
    "width before height": read(lambda states, pooled, sizes: (states, pooled, sizes[:, [1, 0, 3, 2, 5, 4]])),
    "the crop first": read(lambda states, pooled, sizes: (states, pooled, sizes[:, [2, 3, 0, 1, 4, 5]])),
    "sizes in latents": read(lambda states, pooled, sizes: (states, pooled, sizes / 2)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_shows(root, mistake, monkeypatch):
    call = {"steps": 2, "guidance": 5.0}
    latents, pipe = theirs(root / "base", **SIZES, **call), our_pipeline(root / "base")
    assert_equal(ours(root / "base", sizes=Sizes(**SIZES), **call), latents)
    MISTAKES[mistake](pipe, monkeypatch)
    mistaken = ours(root / "base", sizes=Sizes(**SIZES), **call).states[-1]
    assert (mistaken - latents).abs().max() > 2e-4 * latents.abs().max()


def test_a_refiner_that_begins_a_step_late_shows(root, monkeypatch):
    refiner = our_pipeline(root / "refiner"), 0.5
    latents = [ours(root / "base", refiner=refiner, guidance=1.0).states[-1]]
    right = arguments.steps_before
    monkeypatch.setattr(arguments, "steps_before", lambda *asked: right(*asked) + 1)
    latents.append(ours(root / "base", refiner=refiner, guidance=1.0).states[-1])
    assert (latents[0] - latents[1]).abs().max() > 2e-4 * latents[0].abs().max()


# What is refused


UNET, LAYERS = "unet/config.json", "transformer_layers_per_block"
REFUSED = {
    "has no text_encoder_2 in its model_index.json": {INDEX: {"text_encoder_2": [None, None]}},
    "has the part text_encoder_2, T5EncoderModel of": {INDEX: {"text_encoder_2": ["transformers", "T5EncoderModel"]}},
    "_class_name 'StableDiffusionXLInstructPix2PixPipeline'": {
        INDEX: {"_class_name": "StableDiffusionXLInstructPix2PixPipeline"}},
    "cross_attention_dim = 40, expected the text encoder's 24": {
        INDEX: {"text_encoder": [None, None], "tokenizer": [None, None]}},
    "projection_class_embeddings_input_dim = 56, expected 50, of the pooled text and 5 sizes": {
        INDEX: {"_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": True}},
    "transformer_layers_per_block = .*, a UNet takes 1 only": {
        UNET: {LAYERS: [1, [2, 2]], f"reverse_{LAYERS}": [[1, 1, 1], 1]}},  # as SSD-1B
    "addition_embed_type = 'text_image', a UNet takes None only": {UNET: {"addition_embed_type": "text_image"}},
    "transformer_layers has 3 entries, block_out_channels 2": {UNET: {LAYERS: [1, 2, 10]}},
    "addition_time_embed_dim and projection_class_embeddings_input_dim go together": {
        UNET: {"addition_time_embed_dim": None}},
    "got nothing for time_embedding.cond_proj.weight, expected .16, 256.": {UNET: {"time_cond_proj_dim": 256}},
    "latents_mean = .*, a VAE takes None only": {"vae/config.json": {"latents_mean": [0.0, 0, 0, 0]}},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_come_in_one_line(root, tmp_path, message):
    scheduler = {SCHEDULER: EULER | {"_class_name": "EulerDiscreteScheduler"}}
    bad = changed(root / "base", tmp_path / "bad", REFUSED[message] | scheduler)
    with pytest.raises(WeightsError, match=message) as info:
        StableDiffusion.from_diffusers(bad, "cpu")
    assert "\n" not in str(info.value)


def test_what_makes_no_sense_is_refused(root, tmp_path, pipe):
    base, refiner = our_pipeline(root / "base"), our_pipeline(root / "refiner")
    for call, message in (
        ({"sizes": (32, 32)}, r"sizes are \(32, 32\), expected prompts.Sizes"),
        ({"refiner": refiner}, r"refiner is .*, expected \(pipeline on cpu, share of the time\)"),
        ({"refiner": (refiner, 0)}, "the refiner's share is 0, expected a number above 0, to 1"),
        ({"refiner": (refiner, 0.001), "steps": 4}, "share, 0.001, leaves 4 of 4 steps to the first: change it"),
        ({"refiner": (refiner, 1.0), "steps": 4}, "share, 1.0, leaves 0 of 4 steps to the first: change it"),
    ):
        with pytest.raises(ValueError, match=message):
            base(PROMPT, progress=False, **call)
    for wrong, message in (
        ({"original_size": 1024}, "original_size is 1024, expected two numbers, the vertical one first"),
        ({"crops_coords_top_left": (1, "2")}, "crops_coords_top_left is .*, expected two numbers"),
        ({"target_size": (1, 2, 3)}, "target_size is .*, expected two numbers"),
        ({"aesthetic_score": "high"}, "aesthetic_score is 'high', expected a number"),
    ):
        with pytest.raises(ValueError, match=message):
            Sizes(**wrong)
    with pytest.raises(ValueError, match="got sizes, which this model is not told"):
        pipe("fox on green", sizes=Sizes(), progress=False)
    with pytest.raises(WeightsError, match="an SDXL pipeline is not written as a whole"):
        base.to_diffusers(tmp_path)
    x, states, pooled, sizes = torch.zeros(1, 4, 8, 8), torch.zeros(1, 3, 40), torch.zeros(1, 20), torch.zeros(1, 6)
    with pytest.raises(ValueError, match=r"got 1 of what .* reads 3: give it \(text states, pooled text, sizes\)"):
        base.unet(x, 5, states)
    with pytest.raises(ValueError, match="pooled text and sizes are 50 wide, this UNet reads 56"):
        base.unet(x, 5, (states, pooled, sizes[:, 1:]))
    with pytest.raises(ValueError, match="reads 1: give it text states alone"):
        pipe.unet(x, 5, (torch.zeros(1, 3, 128), pooled, sizes))


def test_any_pipeline_can_be_refined_by_another(pipe):
    """Not SDXL's alone: here a copy of itself, which changes nothing but where a sampler begins anew."""
    call = {"seed": 3, "steps": 4, "trace": True, "progress": False}
    assert torch.equal(pipe("fox on green", refiner=(pipe, 0.5), **call).states[-1],
        pipe("fox on green", **call).states[-1])  # fmt: skip
