import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from minidiff.show import grid, to_pil

RED, BLUE = (200, 0, 0), (0, 0, 200)


def square(colour, size=32):
    return Image.new("RGB", (size, size), colour)


def test_to_pil_maps_the_range_and_keeps_the_order():
    x = torch.zeros(2, 3, 4, 6)
    x[0, 0], x[0, 1], x[0, 2] = -1, 0, 1
    x[1] = torch.tensor([-7.0, 7.0, 0.5])[:, None, None]  # clamped, clamped, kept
    first, second = to_pil(x)
    assert first.size == (6, 4) and first.mode == "RGB"  # PIL's size is (width, height)
    assert first.getpixel((5, 3)) == (0, 128, 255)
    assert second.getpixel((0, 0)) == (0, 255, 191)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_to_pil_takes_any_float_and_a_tensor_with_gradient(dtype):
    (image,) = to_pil(torch.ones(1, 3, 2, 2, dtype=dtype, requires_grad=True))
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_to_pil_inverts_the_usual_scaling():
    pixels = torch.arange(256).repeat(3, 1).view(1, 3, 16, 16)
    (image,) = to_pil(pixels / 127.5 - 1)
    assert (np.asarray(image).transpose(2, 0, 1) == pixels[0].numpy()).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 8, 8, 3)])
def test_to_pil_says_got_and_expected(shape):
    with pytest.raises(ValueError, match=r"got .*expected \(B, 3, H, W\)"):
        to_pil(torch.zeros(shape))


@pytest.mark.parametrize(
    ("n", "columns", "cells"), [(1, None, (1, 1)), (4, None, (2, 2)), (8, 4, (4, 2)), (3, 9, (3, 1))]
)
def test_grid_shape(n, columns, cells):
    sheet = grid([square(RED)] * n, columns)
    assert sheet.size == tuple(8 + k * 40 for k in cells)


def test_grid_goes_row_by_row():
    sheet = grid([square(RED), square(BLUE), square(BLUE)], columns=2)
    centres = [(24, 24), (64, 24), (24, 64), (64, 64)]
    assert [sheet.getpixel(c) for c in centres] == [RED, BLUE, BLUE, (255, 255, 255)]


def test_grid_resizes_and_keeps_proportions():
    sheet = grid([Image.new("RGBA", (20, 10), RED)], size=100)
    assert sheet.size == (116, 66) and sheet.getpixel((58, 33)) == RED


def test_captions_stand_under_their_picture_and_wrap():
    pictures = [square(RED, 128)] * 2
    plain, short, long = (
        grid(pictures, captions=captions)
        for captions in (
            None,
            ["fox", "owl"],
            ["fox", "small caterpillar at left in meadow, quiteunbreakable" + "e" * 40],
        )
    )
    assert plain.height < short.height < long.height and plain.width == short.width == long.width
    text = short.crop((0, 8 + 128, short.width, short.height))
    for x in (0, 136):
        below = text.crop((x, 0, x + 136, text.height))
        assert ImageChops.difference(below, Image.new("RGB", below.size, "white")).getbbox()
    edges = np.asarray(long)[:, [0, 1, -2, -1]]  # no word runs off the sheet
    assert (edges == 255).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": []}, "no images"),
        ({"images": [square(RED)], "captions": ["a", "b"]}, "got 2 captions, expected 1"),
        ({"images": [square(RED)], "columns": 0}, "columns=0"),
        ({"images": [square(RED)], "size": 0}, "size=0"),
    ],
)
def test_grid_says_got_and_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid(**arguments)


def test_importing_show_imports_no_plotting():
    code = "import sys, minidiff.show; print([m for m in ('matplotlib', 'IPython', 'ipywidgets') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout
    assert out == "[]\n"
