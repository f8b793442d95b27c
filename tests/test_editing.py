"""Image to image, inpainting, outpainting and control, by the shipped weights: what must hold whatever they draw."""

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import data, judge, sample
from minidiff.arguments import skipped_steps
from minidiff.controlnet import ControlNet, ControlNetConfig
from minidiff.convert import load
from minidiff.pictures import on_white, painted
from minidiff.pipeline import WEIGHTS, StableDiffusion
from minidiff.show import to_pil, to_tensor
from minidiff.train.objectives import HINTS

PROMPTS = ["fox on green", "red apple in snow"]


@pytest.fixture(scope="module")
def pipe():
    return StableDiffusion.from_pretrained("openmoji", device="cpu")


@pytest.fixture(scope="module")
def image():
    return to_pil(data.batch([data.scene(data.EVAL_SEED + 3)]))[0]


# Pictures as people have them


SQUARE = (slice(16, 48), slice(8, 40))
GREY = np.zeros((64, 64), np.uint8)
GREY[SQUARE] = 255
STRIPES = np.tile(np.repeat(np.uint8([0, 255]), 4), (64, 8))


def layer(colour, inside=255, outside=0):
    """A drawing program's layer, of one colour, or a picture: opaque in the square, transparent around it."""
    picture = (colour if isinstance(colour, Image.Image) else Image.new("RGB", (64, 64), colour)).convert("RGBA")
    picture.putalpha(Image.fromarray(np.where(GREY > 0, inside, outside).astype(np.uint8)))
    return picture


def tagged(picture, orientation):
    """As a camera writes it that was held otherwise: turned, with a note of that in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    return Image.open(file)


def png(picture, **options):
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return Image.open(file)


SIXTEEN = Image.fromarray(np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16))
RAMP = np.linspace(0, 255, 64 * 64).reshape(64, 64)
SCENE = Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((64, 64))


@pytest.mark.parametrize("picture", [
    SIXTEEN, png(SIXTEEN), SIXTEEN.convert("I"), Image.fromarray(RAMP.astype(np.int32)),
    Image.fromarray(np.float32(RAMP)), Image.fromarray(np.float32(RAMP / 255)), Image.fromarray(RAMP.astype(np.uint8)),
])  # fmt: skip
def test_grey_values_of_any_depth_are_scaled(picture):
    read = on_white("image", picture)
    assert read.mode == "RGB" and np.abs(np.asarray(read, float) - RAMP[..., None]).max() <= 1


def test_grey_values_that_cannot_be_scaled_are_refused():
    for value in (np.int32(70_000), np.int32(-1), np.float32("nan"), np.float32(-0.1)):
        with pytest.raises(ValueError, match="cannot be read as a picture: its values are from"):
            on_white("image", Image.fromarray(np.full((8, 8), value)))


def test_what_is_transparent_in_an_image_is_white():
    for see_through in (layer((9, 99, 200)), layer((9, 99, 200)).convert("RGBa")):
        read = np.asarray(on_white("image", see_through))
        assert (read[SQUARE] == (9, 99, 200)).all() and (read[GREY == 0] == 255).all()
    half = np.asarray(on_white("image", layer((0, 0, 0), inside=102)))
    assert (half[SQUARE] == 153).all()
    palette = Image.fromarray(GREY).convert("P")
    for nothing in (palette, Image.fromarray(GREY), Image.fromarray(GREY.astype(np.uint16) * 257)):
        assert (np.asarray(on_white("image", png(nothing, transparency=0))) == 255).all(), "black is transparent"


def test_black_lines_on_nothing_are_a_hint_of_black_lines_on_white(pipe, controlnet):
    lines = layer("black").resize((128, 128), 0)
    paper = Image.fromarray(255 - GREY).resize((128, 128), 0)
    drawn = [draw(pipe, PROMPTS[0], steps=2, control=(controlnet, hint, 1.0))[0] for hint in (lines, paper)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_a_camera_was_held(orientation):
    upright = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
        6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1),
    }  # fmt: skip
    read = on_white("image", tagged(Image.fromarray(np.ascontiguousarray(stored[orientation])), orientation))
    assert (np.asarray(read) == upright).all()


@pytest.mark.parametrize("mask, expected", {
    "grey": (Image.fromarray(GREY), True),
    "white on black, with an alpha that hides nothing": (Image.fromarray(GREY).convert("RGBA"), True),
    "white on nothing": (layer("white"), True),
    "white on nothing, half as strong": (layer("white", inside=140), True),
    "white on nothing that is white underneath": (layer("white").convert("LA"), True),
    "white on nothing that is black underneath": (Image.merge("LA", [Image.fromarray(GREY)] * 2), True),
    "black and white on nothing": (layer(Image.fromarray(STRIPES)), STRIPES),
    "black around a hole": (layer("black", 0, 255), True),
    "white around a hole": (layer("white", 0, 255), False),
    "a picture with a hole": (layer(SCENE, 0, 255), True),
    "a picture cut out": (layer(SCENE), False),
    "a grey picture with a hole": (layer(SCENE.convert("L"), 0, 255), True),
    "a palette": (png(Image.fromarray(GREY).convert("P")), True),
    "one bit": (Image.fromarray(GREY).convert("1"), True),
    "16 bits": (Image.fromarray(GREY.astype(np.uint16) * 257), True),
    "floats": (Image.fromarray(np.float32(GREY / 255)), True),
    "an array of 16 bits": (GREY.astype(np.uint16) * 257, True),
    "an array of shares": (GREY / 255, True),
    "an array of 0 and 1": (np.int64(GREY > 0), True),
}.values())  # fmt: skip
def test_a_mask_is_redrawn_where_it_is_white(mask, expected):
    expected = GREY & STRIPES if expected is STRIPES else GREY if expected else 255 - GREY
    assert (painted(mask) == (expected == 255)).all()


def test_paint_of_one_colour_says_nothing():
    for colour in ("red", "gray"):
        with pytest.raises(ValueError, match="the mask is paint of one colour on nothing: paint white what is to"):
            painted(layer(colour))


def test_all_kinds_of_one_picture_are_redrawn_alike(pipe, image):
    """Whatever Pillow can turn it into and back without loss."""
    options = dict(steps=2, strength=0.5)
    expected = draw(pipe, PROMPTS[0], image=image, **options)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    for other in (image.convert("RGBA"), tagged(turned, 6), png(image)):
        assert draw(pipe, PROMPTS[0], image=other, **options) == expected


def far(a: Image.Image, b: Image.Image) -> float:
    return (to_tensor([a]) - to_tensor([b])).abs().mean().item()


def draw(pipe, *args, **kwargs):
    return pipe(*args, progress=False, **kwargs)


def test_more_strength_changes_more(pipe, image):
    changes = [far(draw(pipe, PROMPTS[0], image=image, strength=s, steps=20, seed=1)[0], image) for s in (0.1, 0.5, 1)]
    with torch.no_grad():
        through = to_pil(pipe.vae(to_tensor([image])))[0]
    assert far(through, image) - 0.02 < changes[0] < changes[1] < changes[2]


def test_the_steps_that_are_done_are_the_last_ones(pipe, image):
    trace = draw(pipe, PROMPTS[0], image=image, strength=0.59, steps=10, trace=True)
    assert trace.times.tolist() == [500, 400, 300, 200, 100, 0] and len(trace.calls) == 5
    with torch.no_grad():  # the state it starts from is the image's, noised
        known = pipe.vae.encode(to_tensor([image])).mean * pipe.vae.config.scaling_factor
    alpha, sigma = (a.item() for a in pipe.schedule(500))
    eps = (trace.states[0] - alpha * known) / sigma
    assert abs(eps.mean()) < 0.15 and abs(eps.std() - 1) < 0.1


@pytest.mark.parametrize("sampler", [sample.ddim, sample.dpmpp_2m, sample.euler_ancestral])
def test_known_pixels_come_back_exactly(pipe, image, sampler):
    mask = np.zeros((128, 128), bool)
    mask[30:100, 17:90] = True
    for form in (mask, Image.fromarray(mask), mask.astype(np.float32), mask.astype(np.uint8) * 255):
        out = np.asarray(draw(pipe, PROMPTS[0], image=image, mask=form, steps=4, sampler=sampler)[0])
        assert (out[~mask] == np.asarray(image)[~mask]).all()
        assert (out[mask] != np.asarray(image)[mask]).any(-1).mean() > 0.5


def test_latents_outside_the_mask_end_where_the_image_is(pipe, image):
    mask = np.zeros((128, 128), bool)
    mask[:, 64:] = True
    trace = draw(pipe, PROMPTS[0], image=image, mask=mask, steps=6, seed=2, trace=True)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        q = pipe.vae.encode(to_tensor([image]))
    known = (q.mean + (q.logvar / 2).exp() * torch.randn(q.mean.shape, generator=g)) * pipe.vae.config.scaling_factor
    assert (trace.states[-1][..., :8] - known[..., :8]).abs().max() < 1e-5
    assert (trace.states[-1][..., 8:] - known[..., 8:]).abs().max() > 0.1


def test_at_full_strength_nothing_of_the_masked_part_is_left(pipe, image):
    mask = np.zeros((128, 128), bool)
    mask[:, 64:] = True
    other = np.asarray(image).copy()
    start = [
        draw(pipe, PROMPTS[0], image=i, mask=mask, strength=1, steps=2, trace=True).states[0] for i in
        (image, Image.fromarray(np.where(mask[..., None], 255 - other, other)))
    ]  # fmt: skip
    assert (start[0][..., 8:] == start[1][..., 8:]).all()


def test_outpainting_keeps_the_image_in_a_larger_one(pipe, image):
    out = draw(pipe, PROMPTS[0], image=image, margins=(8, 0, 24, 16), steps=3)[0]
    assert out.size == (160, 144)
    assert (np.asarray(out)[:128, 8:136] == np.asarray(image)).all()
    mask = np.zeros((128, 128), bool)
    mask[:, :20] = True
    out = draw(pipe, PROMPTS[0], image=image, margins=(8, 0, 24, 16), mask=mask, steps=3)[0]
    assert (np.asarray(out)[:128, 28:136] == np.asarray(image)[:, 20:]).all()
    assert (np.asarray(out)[:128, 8:28] != np.asarray(image)[:, :20]).any()


def test_one_image_for_all_prompts_or_one_for_each(pipe, image):
    other = to_pil(data.batch([data.scene(data.EVAL_SEED + 4)]))[0]
    both = draw(pipe, PROMPTS, image=[image, other], steps=4, seed=[5, 9])
    alone = [
        draw(pipe, PROMPTS[0], image=image, steps=4, seed=5)[0],
        draw(pipe, PROMPTS[1], image=other, steps=4, seed=9)[0],
    ]
    assert all(far(a, b) < 0.01 for a, b in zip(both, alone, strict=True))
    assert far(draw(pipe, PROMPTS, image=image, steps=4, seed=[5, 9])[0], alone[0]) < 0.01


@pytest.fixture(scope="module")
def controlnet(pipe):
    """Of the shipped U-Net, its zero convolutions no longer zero."""
    torch.manual_seed(0)
    controlnet = ControlNet.from_unet(pipe.unet).eval()
    for parameter in controlnet.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return controlnet


def test_control_steers_and_scale_0_does_not(pipe, image, controlnet):
    plain = draw(pipe, PROMPTS, steps=3)
    off, on, twice = (draw(pipe, PROMPTS, steps=3, control=c) for c in (
        (controlnet, image, 0.0), (controlnet, image, 1.0), [(controlnet, image, 0.5), (controlnet, image, 0.5)]
    ))  # fmt: skip
    assert far(off[0], plain[0]) < 1e-3 < far(on[0], plain[0])
    assert far(twice[1], on[1]) < 1e-2, "two halves make a whole"
    fresh = ControlNet.from_unet(pipe.unet).eval()
    assert far(draw(pipe, PROMPTS, steps=3, control=(fresh, image, 1.0))[0], plain[0]) < 1e-3, "zero convolutions"


@pytest.mark.slow
def test_shipped_controlnets_are_followed(pipe):
    """Edges agree with those of the scenes that the hints were made from; without a hint they cannot."""
    scenes = [data.scene(data.EVAL_SEED + 100 + i) for i in range(8)]

    def agreement(control):
        pictures = draw(pipe, [scene.caption for scene in scenes], steps=6, control=control)
        pairs = zip(pictures, scenes, strict=True)
        return np.mean([judge.edge_f1(judge.edges(np.array(picture)), judge.edges(s.image)) for picture, s in pairs])

    plain = agreement(None)
    for kind, gain in (("lines", 0.25), ("boxes", 0.1)):
        controlnet = load(ControlNet, WEIGHTS / f"{kind}.safetensors")
        assert agreement((controlnet, [HINTS[kind](scene) for scene in scenes], 1.0)) > plain + gain, kind


def test_a_trace_holds_what_control_added(pipe, image, controlnet):
    trace = draw(pipe, PROMPTS, steps=2, control=(controlnet, image, 1.0), trace=True)
    for call in trace.calls:
        assert len(call.control) == 1 and all(len(residual) == len(PROMPTS) for residual in call.control[0])
        assert any(residual.abs().max() > 0 for residual in call.control[0])


def test_everything_at_once(pipe, image, controlnet):
    hint = image.resize((144, 128))
    mask = np.zeros((128, 128), bool)
    mask[40:80, 40:80] = True
    out = draw(
        pipe, PROMPTS, "sun on blue", image=image, mask=mask, margins=(16, 0, 0, 0), control=(controlnet, hint, 0.7),
        steps=3, sampler=sample.dpmpp_2m, seed=[1, 2], trace=True,
    )  # fmt: skip
    for picture in out.images:
        known = np.asarray(picture)[:, 16:]
        assert (known[~mask] == np.asarray(image)[~mask]).all()


@pytest.mark.parametrize("arguments, message", [
    (dict(mask=np.ones((128, 128), bool)), "got a mask or margins without an image"),
    (dict(margins=(8, 8, 8, 8)), "got a mask or margins without an image"),
    (dict(image="fox.png"), "expected a PIL image"),
    (dict(image=[Image.new("RGB", (128, 128))] * 2), "expected a PIL image, or a list of 1"),
    (dict(image=Image.new("RGB", (100, 128))), "the image is 100x128 pixels, expected multiples of 8"),
    (dict(image=True, mask=np.ones((64, 128), bool)), "the mask is 128x64 pixels, expected the image's 128x128"),
    (dict(image=True, mask=np.ones((128, 128, 3), bool)), "the mask is ndarray of shape .128, 128, 3., expected"),
    (dict(image=True, mask=np.zeros((128, 128))), "nothing in the mask is white"),
    (dict(image=True, mask=np.ones((128, 128), np.uint8)), "nothing in the mask is white, expected white .255, True"),
    (dict(image=True, margins=(1, 0, 0, 0)), "the image with its margins is 129x128 pixels"),
    (dict(image=True, margins=(0, 0, 0, 0)), "expected .left, top, right, bottom. pixels, not all 0"),
    (dict(image=True, margins=(8, 8)), "expected .left, top, right, bottom. pixels"),
    (dict(image=True, margins=8), "margins are 8, expected .left, top, right, bottom. pixels"),
    (dict(image=True, margins=(8, 0, 0, -8)), "margins are .8, 0, 0, -8., expected .left, top, right, bottom. pixels"),
    (dict(image=True, margins=(10**7, 0, 0, 0)), "is 10000128x128 pixels, expected at most 2048x2048"),
    (dict(image=Image.new("RGB", (4096, 2048))), "the image is 4096x2048 pixels, expected at most 2048x2048"),
    (dict(image=Image.new("RGB", (0, 0))), "image is .*, which cannot be read as a picture: it has 0 x 0 pixels"),
    (dict(image=[np.zeros((128, 128, 3))]), "image is .ndarray of shape .128, 128, 3.., expected a PIL image"),
    (dict(image=True, mask=np.array([["a"]])), "the mask is ndarray of shape .1, 1., expected .height, width."),
    (dict(image=True, strength=0), "strength is 0, expected a number above 0, to 1"),
    (dict(image=True, strength=1.5), "strength is 1.5, expected a number above 0, to 1"),
    (dict(image=True, strength=0.1, steps=5), "strength 0.1 of 5 steps is no step: give at least 0.2"),
    (dict(image=True, latents=torch.zeros(1, 4, 16, 16)), "got latents and an image, expected one of them"),
    (dict(control=abs), "control is <.*, expected .controlnet, hint, scale., or a list of them"),
    (dict(control=(abs, 1.0)), "expected .controlnet, hint, scale."),
    (dict(control=(abs, Image.new("RGB", (128, 128)), 1)), "control is .<built-in function abs>, <PIL.*, expected"),
    (dict(control=("lines", Image.new("RGB", (128, 128)), 1)), "expected .controlnet, hint, scale."),
    (dict(control=[(True, Image.new("RGB", (128, 128)), float("nan"))]), "expected .controlnet, hint, scale."),
    (dict(control=(True, "hint.png", 1)), "the hint is 'hint.png', expected a PIL image, or a list of 1"),
    (dict(control=(True, Image.new("RGB", (64, 128)), 1.0)), "the hint is 64x128 pixels, expected .* 128x128"),
])  # fmt: skip
def test_arguments_that_make_no_sense(pipe, image, controlnet, arguments, message):
    arguments = copy.deepcopy(arguments)
    if arguments.get("image") is True:
        arguments["image"] = image
    match arguments.get("control"):
        case (True, *rest) | [(True, *rest)]:
            arguments["control"] = (controlnet, *rest)
    with pytest.raises(ValueError, match=message) as caught:
        draw(pipe, "fox on green", **{"steps": 2} | arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("sizes, what", [
    (dict(block_out_channels=(32, 64), attention=(False, True), heads=(4, 4)),
        "block_out_channels .32, 64.: give one for .96, 128, 160."),
    (dict(layers_per_block=2), "layers_per_block 2: give one for 1"),
    (dict(cross_attention_dim=64), "cross_attention_dim 64: give one for 128"),
])  # fmt: skip
def test_a_controlnet_of_another_unet_is_refused(pipe, image, sizes, what):
    with pytest.raises(ValueError, match=f"for another U-Net, {what}"):
        draw(pipe, "fox on green", steps=2, control=(ControlNet(ControlNetConfig(**sizes)), image, 1.0))


def test_the_advice_on_strength_is_right():
    for steps in range(1, 1001):
        with pytest.raises(ValueError, match="is no step: give at least ") as caught:
            skipped_steps(steps, 0.999 / steps)
        enough = float(str(caught.value).split()[-1])
        assert skipped_steps(steps, enough) == steps - 1 and 1 <= enough * steps < 1.01


def test_a_size_beside_an_image_must_be_its_own(pipe, image):
    options = dict(image=image, margins=(8, 0, 0, 0), steps=2)
    assert draw(pipe, "fox on green", height=128, width=136, **options)[0].size == (136, 128)
    with pytest.raises(ValueError, match="width is 128, expected that of the image, with its margins, 136"):
        draw(pipe, "fox on green", width=128, **options)


def test_a_mask_too_thin_for_the_latents_is_told(pipe, image):
    mask = np.zeros((128, 128), bool)
    mask[:, 4:6] = True
    with pytest.warns(UserWarning, match="the mask is so thin that no latent is redrawn"):
        draw(pipe, "fox on green", image=image, mask=mask, steps=2)
