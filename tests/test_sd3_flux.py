"""SD 3, SD 3.5 and FLUX, on tiny random folders that diffusers wrote, against its own pipelines."""

import json
from dataclasses import replace
from functools import cache

import diffusers
import numpy as np
import oracle
import pytest
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import save
from test_full_pipelines import PROMPT, SCHEDULER, changed, randomised
from test_sdxl import INDEX, MASK, NEGATIVE, assert_equal, our_pipeline

from minidiff import convert, data
from minidiff.controlnet import ControlNet
from minidiff.convert import WeightsError
from minidiff.pipeline import StableDiffusion
from minidiff.prompts import Sizes
from minidiff.tokenizer import Tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

SIZE = {"height": 32, "width": 48}
DYNAMIC = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "base_shift": 0.5,
    "max_shift": 1.15, "base_image_seq_len": 64, "max_image_seq_len": 128}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tiny_transformers(tmp_path_factory.mktemp("sd3_flux"))


def tiny_transformers(root):
    """`root`, with sd3/ (SD 3.5's blocks of every kind), without_t5/, dev/ and schnell/ in it, random all of them."""
    Tokenizer.train(data.WORDS).save(root / "tokens")
    clip = transformers.CLIPTokenizer.from_pretrained(root / "tokens")
    other = transformers.CLIPTokenizer.from_pretrained(root / "tokens", pad_token="!")
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    unigram = tokenizers.Tokenizer(tokenizers.models.Unigram())
    unigram.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    unigram.train_from_iterator([data.scene(i).caption for i in range(300)], trainer)
    vocab = [tuple(piece) for piece in json.loads(unigram.to_str())["model"]["vocab"]]
    pieces = transformers.T5Tokenizer(vocab=vocab, extra_ids=100)

    sizes = dict(vocab_size=len(clip), num_hidden_layers=3, max_position_embeddings=24, eos_token_id=2,
        bos_token_id=0, pad_token_id=1)  # fmt: skip
    narrow = transformers.CLIPTextConfig(hidden_size=16, intermediate_size=32, num_attention_heads=2, projection_dim=12,
        **sizes)  # fmt: skip
    wide = transformers.CLIPTextConfig(hidden_size=24, intermediate_size=48, num_attention_heads=3, projection_dim=20,
        hidden_act="gelu", **sizes)  # fmt: skip
    first, second = (randomised(transformers.CLIPTextModelWithProjection(config)) for config in (narrow, wide))
    t5 = oracle.SMALL_T5 | {"d_model": 48, "num_layers": 1, "vocab_size": len(pieces)}  # of 512 tokens: more is slow
    t5 = oracle.randomised(transformers.T5EncoderModel(transformers.T5Config(**t5)))
    vae = randomised(diffusers.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=16, scaling_factor=1.5305, shift_factor=0.609,
        use_quant_conv=False, use_post_quant_conv=False,
    ))  # fmt: skip
    told = {"joint_attention_dim": 48, "pooled_projection_dim": 32}
    mmdit = oracle.SMALL_MMDIT | told | {"in_channels": 16, "out_channels": 16, "dual_attention_layers": [0],
        "qk_norm": "rms_norm"}  # fmt: skip
    mmdit = oracle.randomised(diffusers.SD3Transformer2DModel(**mmdit))
    flow = diffusers.FlowMatchEulerDiscreteScheduler
    diffusers.StableDiffusion3Pipeline(
        mmdit, flow(shift=3.0), vae, first, clip, second, other, t5, pieces
    ).save_pretrained(root / "sd3")
    changed(root / "sd3", root / "without_t5", {INDEX: {"text_encoder_3": [None, None], "tokenizer_3": [None, None]},
        SCHEDULER: {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}})  # fmt: skip

    text = randomised(transformers.CLIPTextModel(narrow))
    dynamic = {name: value for name, value in DYNAMIC.items() if name != "_class_name"}
    for name, guided, scheduler in (("dev", True, flow(shift=3.0, **dynamic)), ("schnell", False, flow(shift=1.0))):
        told = {"in_channels": 64, "joint_attention_dim": 48, "pooled_projection_dim": 16, "guidance_embeds": guided}
        net = oracle.randomised(diffusers.FluxTransformer2DModel(**oracle.SMALL_FLUX | told))
        diffusers.FluxPipeline(scheduler, vae, text, clip, t5, pieces, net).save_pretrained(root / name)
    return root


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((48, 32))


@cache  # the models of a folder are read once
def their_pipeline(folder, kind):
    absent = [name for name, part in json.loads((folder / INDEX).read_text()).items() if part == [None, None]]
    pipe = getattr(diffusers, kind).from_pretrained(folder, **dict.fromkeys(absent))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def theirs(folder, kind="", prompt=PROMPT, steps=3, guidance=3.5, height=32, width=48, **call):
    flux = json.loads((folder / INDEX).read_text())["_class_name"].startswith("Flux")
    pipe = their_pipeline(folder, f"{'Flux' if flux else 'StableDiffusion3'}{kind}Pipeline")
    n = 1 if isinstance(prompt, str) else len(prompt)
    generators = [torch.Generator().manual_seed(7 + i) for i in range(n)]
    call = {"generator": generators if n > 1 else generators[0], "output_type": "latent"} | call
    call |= {"num_inference_steps": steps, "guidance_scale": guidance, "height": height, "width": width}
    out = pipe(prompt, **call).images
    packed = flux and call["output_type"] == "latent"
    return diffusers.FluxPipeline._unpack_latents(out, height, width, 2) if packed else out


def ours(folder, prompt=PROMPT, **call):
    call = {"steps": 3, "guidance": 3.5, "seed": 7, "trace": True, "progress": False} | call
    return our_pipeline(folder)(prompt, **({} if "image" in call else SIZE) | call)


@pytest.mark.parametrize("name", ["sd3", "without_t5"])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_sd3(root, name, guidance):
    call = {"guidance": guidance, "negative_prompt": NEGATIVE}
    trace = ours(root / name, **call)
    assert_equal(trace, theirs(root / name, **call))
    assert trace.context.shape == (1, 24 + 256, 48) and (trace.context[:, 24:] == 0).all() == (name == "without_t5")


@pytest.mark.parametrize("name", ["sd3", "dev"])
def test_several_prompts(root, name):
    two = [PROMPT, "bee on blue"]
    trace = ours(root / name, two)
    assert_equal(trace, theirs(root / name, prompt=two))
    assert len(trace.images) == 2 and len(trace.calls) == 3
    assert (ours(root / name).states[-1] - trace.states[-1][:1]).abs().max() < 1e-4


@pytest.mark.parametrize("name, size", [("dev", (32, 48)), ("dev", (64, 20)), ("schnell", (32, 48)), ("sd3", (20, 52))])
@pytest.mark.parametrize("guidance", [3.5, 1.25])
def test_sizes_and_guidance(root, name, size, guidance):
    call = {"height": size[0], "width": size[1], "guidance": guidance}
    assert_equal(ours(root / name, **call), theirs(root / name, **call))


def test_what_flux_is_told(root):
    """Guidance moves dev alone; a negative prompt makes it real, and dev is told the usual 3.5."""
    plain = {name: ours(root / name).states[-1] for name in ("dev", "schnell")}
    assert torch.equal(ours(root / "schnell", guidance=7.0).states[-1], plain["schnell"])
    assert (ours(root / "dev", guidance=7.0).states[-1] - plain["dev"]).abs().max() > 1e-3
    for name in plain:
        expected = theirs(root / name, negative_prompt=NEGATIVE, true_cfg_scale=2.5)
        assert_equal(ours(root / name, negative_prompt=NEGATIVE, guidance=2.5), expected)
        assert (expected - plain[name]).abs().max() > 1e-3


def test_a_negative_prompt_without_words_leads_flux_away_from_none(root):
    expected = theirs(root / "dev", negative_prompt="", true_cfg_scale=2.5)
    assert_equal(ours(root / "dev", negative_prompt=" ", guidance=2.5), expected)
    assert (ours(root / "dev", negative_prompt="", guidance=3.5).states[-1] - expected).abs().max() > 1e-3


@pytest.mark.parametrize("name, fits, cut", [("sd3", 60, 300), ("dev", 120, 600), ("without_t5", 20, 30)])
def test_a_warning_says_what_no_encoder_reads(root, name, fits, cut, recwarn):
    def warned(words):
        recwarn.clear()
        our_pipeline(root / name).draw("fox " * words, height=32, width=48)
        return [str(each.message) for each in recwarn if issubclass(each.category, UserWarning)]

    assert warned(fits) == [] and "fox fox fox' is cut" in warned(cut)[0]


def test_times_follow_the_size_in_sd3_too(root, tmp_path):
    shifted = changed(root / "sd3", tmp_path / "shifted", {SCHEDULER: DYNAMIC})
    trace = ours(shifted)
    assert_equal(trace, theirs(shifted))
    assert not torch.equal(trace.times, ours(shifted, height=32, width=32).times)


def test_patches_of_one_latent_and_latents_of_four_pixels(root, tmp_path, image):
    other = changed(root / "sd3", tmp_path / "other", {SCHEDULER: DYNAMIC})
    config = dict(diffusers.AutoencoderKL.load_config(other / "vae"), block_out_channels=(8, 16, 16))
    config |= {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    randomised(diffusers.AutoencoderKL.from_config(config)).save_pretrained(other / "vae")
    config = dict(diffusers.SD3Transformer2DModel.load_config(other / "transformer"), patch_size=1, qk_norm=None)
    oracle.randomised(diffusers.SD3Transformer2DModel.from_config(config)).save_pretrained(other / "transformer")
    call = {"height": 12, "width": 36, "negative_prompt": NEGATIVE, "steps": 1}
    assert_equal(ours(other, **call), theirs(other, **call))
    two = {"image": [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)], "strength": 0.7}
    assert_equal(ours(other, [PROMPT, ""], **two), theirs(other, "Img2Img", [PROMPT, ""], **two))


@pytest.mark.parametrize("name", ["sd3", "dev"])
@pytest.mark.parametrize("steps, strength", [(4, 0.6), (3, 1.0), (5, 0.05), (50, 0.05)])
def test_image_to_image(root, image, name, steps, strength):
    call = {"image": image, "steps": steps, "strength": strength}
    assert_equal(ours(root / name, **call), theirs(root / name, "Img2Img", **call))


@pytest.mark.parametrize("name", ["sd3", "dev"])
def test_inpainting(root, image, name):
    call = {"image": image, "steps": 4, "strength": 0.7}
    trace = ours(root / name, mask=MASK, **call)
    assert_equal(trace, theirs(root / name, "Inpaint", mask_image=Image.fromarray(MASK), **call))
    assert (np.asarray(trace.images[0])[MASK == 0] == np.asarray(image)[MASK == 0]).all()


@pytest.mark.parametrize("name", ["sd3", "schnell"])
def test_pixels(root, name):
    picture = theirs(root / name, output_type="np")[0]
    difference = np.asarray(ours(root / name).images[0]).astype(int) - (picture * 255).round().astype(int)
    assert np.abs(difference).max() <= 1 and picture.std() > 0.01


@pytest.mark.parametrize("name", ["sd3", "dev"])
def test_another_of_the_family_draws_the_last_steps(root, name):
    trace = ours(root / name, refiner=(our_pipeline(root / name), 0.7))
    assert torch.equal(trace.states[-1], ours(root / name).states[-1])


def test_the_usual_size(root):
    assert ours(root / "sd3", height=None, width=None).images[0].size == (20, 20)
    assert our_pipeline(root / "dev").unet.config.sample_size == 128


@pytest.mark.parametrize(
    "name, parts", [("sd3", ["CLIPTextProjected"] * 2 + ["T5", "MMDiT"]), ("dev", ["T5", "CLIPText", "Flux"])]
)
def test_half_precision_and_offload(root, name, parts, monkeypatch):
    right = ours(root / name).states[-1]
    half = StableDiffusion.from_diffusers(root / name, "cpu", dtype=torch.bfloat16)
    assert {p.dtype for p in half.unet.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.vae.parameters()} == {torch.float32}
    call = {"steps": 3, "guidance": 3.5, "seed": 7, "trace": True, "progress": False} | SIZE
    assert 0 < (half(PROMPT, **call).states[-1] - right).abs().max() <= 0.1 * right.abs().max()
    offloaded = StableDiffusion.from_diffusers(root / name, "cpu", offload=True)
    move, came = torch.nn.Module.to, []

    def to(model, where):
        came.extend([type(model).__name__] if isinstance(where, torch.device) else [])
        return move(model, where)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    assert torch.equal(offloaded(PROMPT, **call).states[-1], right) and came == [*parts, "VAE"]


# Mistakes in how a prompt is read, a picture encoded, a time shifted: (pipe, monkeypatch) -> None


def read(change):
    def mistake(pipe, patch):
        right = pipe.read
        patch.setattr(pipe, "read", lambda *asked: tuple(told and change(*told) for told in right(*asked)))

    return mistake


def last_states(pipe, patch):
    text = pipe.read.encoders[0][0]
    right = text.hidden_states
    patch.setattr(text, "hidden_states", lambda ids: [right(ids)[-1]] * 2)


def half_the_context(pipe, patch):
    text, tokenizer = pipe.read.t5
    patch.setattr(pipe.read, "t5", (lambda ids: text(ids[:, : tokenizer.context // 2]), tokenizer))


def shift(value):
    def mistake(pipe, patch):
        right = pipe.scheduler_config
        patch.setattr(pipe, "scheduler_config", right | value)

    return mistake


def no_shift(pipe, patch):
    patch.setattr(pipe.vae, "config", replace(pipe.vae.config, shift_factor=None))


MISTAKES = {
    "sd3: the last states": ("sd3", last_states),
    "sd3: T5 left out": ("sd3", read(lambda states, pooled: (states[:, :24], pooled))),
    "sd3: the second CLIP pooled first": ("sd3", read(lambda states, pooled: (states, pooled.roll(20, -1)))),
    "sd3: padded at the left": (
        "sd3", read(lambda states, pooled: (torch.cat([states[:, :24].roll(8, -1), states[:, 24:]], 1), pooled))
    ),
    "sd3: 128 tokens of T5": ("sd3", half_the_context),
    "sd3: a second CLIP padded as the first": (
        "sd3", lambda pipe, patch: patch.setattr(pipe.read, "encoders", [
            (text, pipe.read.encoders[0][1]) for text, _ in pipe.read.encoders
        ])
    ),
    "sd3: even times": ("sd3", shift({"_even": True})),
    "sd3: latents not shifted": ("sd3", no_shift),
    "flux: 256 tokens of T5": ("dev", half_the_context),
    "flux: guidance times 1000": ("dev", read(lambda states, pooled, told: (states, pooled, 1000 * told))),
    "flux: times end as in SD 3": ("dev", shift({"_even": False})),
    "flux: times of another size": ("dev", shift({"base_image_seq_len": 65})),
    "flux: a fixed shift": ("dev", shift({"use_dynamic_shifting": False})),
    "flux: latents not shifted": ("dev", no_shift),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_shows(root, image, mistake, monkeypatch):
    name, plant = MISTAKES[mistake]
    call = {"image": image, "steps": 3, "strength": 0.6}
    right = ours(root / name, **call).states[-1]
    plant(our_pipeline(root / name), monkeypatch)
    assert (ours(root / name, **call).states[-1] - right).abs().max() > 2e-4 * right.abs().max()


# What is refused


NET, VAE = "transformer/config.json", "vae/config.json"
FLOW = {SCHEDULER: {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}}
REFUSED = {
    "has no text_encoder_2 in its model_index.json": ("sd3", {INDEX: {"text_encoder_2": [None, None]}}),
    "has the part text_encoder, CLIPTextModel of": (
        "sd3", {INDEX: {"text_encoder": ["transformers", "CLIPTextModel"]}}
    ),
    "has the part image_encoder, SiglipVisionModel": (
        "sd3", {INDEX: {"image_encoder": ["transformers", "SiglipVisionModel"]}}
    ),
    "has the part transformer, FluxTransformer2DModel of": (
        "sd3", {INDEX: {"transformer": ["diffusers", "FluxTransformer2DModel"]}}
    ),
    "has the part scheduler, UniPCMultistepScheduler of": (
        "dev", {INDEX: {"scheduler": ["diffusers", "UniPCMultistepScheduler"]}}
    ),
    "has no text_encoder_2 in its model_index": ("dev", {INDEX: {"text_encoder_2": [None, None]}}),
    "_class_name 'FluxFillPipeline'": ("dev", {INDEX: {"_class_name": "FluxFillPipeline"}}),
    "shift_terminal of FlowMatch.* is 0.1": ("dev", {SCHEDULER: FLOW[SCHEDULER] | {"shift_terminal": 0.1}}),
    "time_shift_type of FlowMatch.* is 'linear'": ("dev", {SCHEDULER: DYNAMIC | {"time_shift_type": "linear"}}),
    "pooled_projection_dim = 33, expected the pooled text's 32": ("sd3", {NET: {"pooled_projection_dim": 33}}),
    "joint_attention_dim = 50, expected the text encoders' 48": ("sd3", {NET: {"joint_attention_dim": 50}}),
    "joint_attention_dim = 39, expected the text encoders' 40": ("without_t5", {NET: {"joint_attention_dim": 39}}),
    "in_channels = 4, expected 16, for the VAE's 16": ("sd3", {NET: {"in_channels": 4}}),
    "in_channels = 32, expected 64, for the VAE's 16": ("dev", {NET: {"in_channels": 32}}),
    "qk_norm = 'layer_norm', a MMDiT takes": ("sd3", {NET: {"qk_norm": "layer_norm"}}),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_come_in_one_line_and_before_any_weight(root, tmp_path, message, monkeypatch):
    monkeypatch.setattr(convert.models, "read_tensors", None)
    name, files = REFUSED[message]
    bad = changed(root / name, tmp_path / "bad", FLOW | files)
    with pytest.raises(WeightsError, match=message) as info:
        StableDiffusion.from_diffusers(bad, "cpu")
    assert "\n" not in str(info.value)


def test_what_makes_no_sense_is_refused(root, tmp_path, image):
    sd3, dev = our_pipeline(root / "sd3"), our_pipeline(root / "dev")
    for pipe in (sd3, dev):
        for call, message in (
            ({"height": 34, "width": 48}, "the picture is 48x34 pixels, expected multiples of 4"),
            ({"image": image.resize((50, 32))}, "the image is 50x32 pixels, expected multiples of 4"),
            ({"sizes": Sizes()} | SIZE, "got sizes, which this model is not told"),
            ({"control": (ControlNet(), image, 1.0)} | SIZE, "is for another U-Net, in_channels 4: give one for 16"),
        ):
            with pytest.raises(ValueError, match=message):
                pipe(PROMPT, progress=False, **call)
        with pytest.raises(WeightsError, match="an SD 3 or FLUX pipeline is not written as a whole"):
            pipe.to_diffusers(tmp_path)
        (tmp_path / "word.safetensors").write_bytes(save({"fox": torch.ones(16)}))
        for adapt in (
            lambda pipe: pipe.load_lora(tmp_path / "lora.safetensors"),
            lambda pipe: pipe.load_textual_inversion(tmp_path / "word.safetensors"),
            lambda pipe: pipe.load_ip_adapter(tmp_path / "ip.safetensors", tmp_path),
        ):
            with pytest.raises(WeightsError, match="this model has no U-Net, but a (MMDiT|Flux): use diffusers"):
                adapt(pipe)
    with pytest.raises(ValueError, match="x is 15x10 patches, this MMDiT takes at most 14"):
        sd3(PROMPT, progress=False, height=60, width=40)
