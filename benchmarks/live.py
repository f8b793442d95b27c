"""How many pictures a second follow the hand, counted in a real browser: python benchmarks/live.py

JupyterLab, its kernel and Chromium run on this machine together, as a reader has them. The studio's switch `fast` is
on. For some seconds a seed is counted up, then a circle is drawn with the mouse, which a ControlNet reads; each <img>
that the page has loaded meanwhile is one picture. At rest: from the last move to the picture after all steps. Medians
of the rounds. About a minute.
"""

import argparse
import math
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import torch
from against_diffusers import processor
from playwright.sync_api import sync_playwright

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from browser import FLAGS, Notebook, chromium, jupyterlab  # noqa: E402

CODE = "import minidiff\n\nminidiff.studio(prompt='red apple on blue')"
COUNT = """root => {
    window.loaded = []  // [when, is it the one at rest]
    const keep = ({target}) => target.matches(".minidiff-live")
        && loaded.push([performance.now() / 1000, target.src.startsWith("data:image/png")])
    root.addEventListener("load", keep, true)
}"""


def counted(notebook, move, seconds):
    """(pictures a second while `move`, given the share of the time that is over, is called; seconds to the rest)"""
    page, now = notebook.page, "() => performance.now() / 1000"
    start, begun = page.evaluate(now), time.perf_counter()
    while (over := (time.perf_counter() - begun) / seconds) < 1:
        move(over)
        page.wait_for_timeout(10)
    end = page.evaluate(now)
    last = "end => loaded.length && loaded.at(-1)[1] && loaded.at(-1)[0] > end"
    page.wait_for_function(last, arg=end)
    loaded = page.evaluate("() => loaded")
    return sum(start < at < end for at, _ in loaded) / (end - start), loaded[-1][0] - end


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each round (%(default)s)")
    args = parser.parse_args()
    rates = {"a seed": [], "a scribble, by its ControlNet": []}
    with TemporaryDirectory() as folder, TemporaryDirectory() as home, sync_playwright() as playwright:
        spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
        cells = [nbformat.v4.new_code_cell(CODE)]
        written = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
        nbformat.write(written, Path(folder) / "live.ipynb")
        with jupyterlab(Path(folder), Path(home)) as (url, token):
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            notebook = Notebook(browser.new_page(viewport={"width": 1280, "height": 1000}))
            notebook.open(url, token, "live.ipynb")
            notebook.run()
            studio, page = notebook.output(0).locator(".minidiff-studio"), notebook.page
            studio.locator(".minidiff-thumb").wait_for()
            studio.evaluate(COUNT)
            studio.get_by_label("fast", exact=True).check()
            page.wait_for_function("() => loaded.length >= 2")
            seed = studio.get_by_label("seed", exact=True)
            for _ in range(args.rounds):
                rates["a seed"].append(counted(notebook, lambda _: seed.press("ArrowUp"), args.seconds))
            studio.get_by_role("button", name="scribble", exact=True).click()
            sheet = studio.locator(".minidiff-scribble canvas")
            sheet.scroll_into_view_if_needed()
            box = sheet.bounding_box()

            def move(over):
                x, y = (0.5 + 0.3 * f(2 * math.pi * over) for f in (math.cos, math.sin))
                page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])

            for i in range(args.rounds + 1):  # the first loads the ControlNet
                move(0)
                page.mouse.down()
                found = counted(notebook, move, args.seconds)
                page.mouse.up()
                rates["a scribble, by its ControlNet"] += [found] if i else []
                studio.locator(".minidiff-scribble").get_by_role("button", name="Clear").click()
            notebook.close(stay=False)
            browser.close()
    print(f"{processor()}, {torch.get_num_threads()} threads; torch {torch.__version__}; 128 x 128 pixels\n")
    print("| what moves | pictures a second | at rest, s |")
    print("|---|---|---|")
    for what, rounds in rates.items():
        rate, rest = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {what} | {rate:.1f} | {rest:.2f} |")


if __name__ == "__main__":
    main()
