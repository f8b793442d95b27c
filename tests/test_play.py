import io

import pytest
from IPython import display
from PIL import Image

from minidiff.play import _widget, play

WIDGET = "application/vnd.jupyter.widget-view+json"


def square(shade, size=10):
    return Image.new("RGB", (size, size), (shade,) * 3)


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(display, "display", lambda output, raw: outputs.append(output))
    return outputs


def picture(png):
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_one_output_holds_the_widget_and_a_row_of_five_along_the_first_dial(shown):
    calls = []

    def draw(grey_level, size):
        calls.append((grey_level, size))
        return square(grey_level, size)

    play(draw, grey_level=range(0, 201, 10), size=[20, 30, 40])
    (output,) = shown
    assert set(output) == {"text/plain", "image/png", WIDGET}
    assert calls[:5] == [(0, 30), (50, 30), (100, 30), (150, 30), (200, 30)]
    assert "grey level 150" in output["text/plain"]
    row = picture(output["image/png"])
    assert [row.getpixel((8 + 38 * i + 15, 20))[0] for i in range(5)] == [0, 50, 100, 150, 200]


def test_moving_a_slider_redraws():
    box = _widget(square, {"shade": [0, 100, 200], "size": [4, 8]}, {"shade": 100, "size": 8})
    shade, size, image = box.children
    assert picture(image.value).size == (8, 8) and picture(image.value).getpixel((0, 0))[0] == 100
    shade.value = 200
    assert picture(image.value).getpixel((0, 0))[0] == 200
    size.value = 4
    assert picture(image.value).size == (4, 4) and picture(image.value).getpixel((0, 0))[0] == 200


def test_a_figure_is_drawn_and_closed(shown):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()

    def draw(x):
        figure = plt.figure(figsize=(1, 1), dpi=50)
        figure.gca().plot([0, x])
        return figure

    play(draw, x=[1, 2])
    assert plt.get_fignums() == before
    assert picture(shown[0]["image/png"]).width >= 100


def test_without_ipywidgets_the_row_remains(shown, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    play(square, shade=[0, 255])
    assert set(shown[0]) == {"text/plain", "image/png"}


@pytest.mark.parametrize("dials", [{}, {"shade": [1]}])
def test_too_few_values_are_refused(dials):
    with pytest.raises(ValueError, match="expected at least one dial with two values or more"):
        play(square, **dials)
