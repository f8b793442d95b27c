"""JupyterLab and Chromium on this machine: what test_browser*.py drive, as a person would."""

import base64
import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

TIMEOUT = 300  # seconds for JupyterLab to start, a page to open, a lesson to run
PATIENCE = 60  # seconds for a widget to answer
FLAGS = (  # root, as in a container, has no sandbox; the others keep Chromium from calling home
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
# JupyterLab's widget manager asks a new kernel for widgets before ipywidgets is imported, and closes some twice.
HARMLESS = "No such comm"
# JupyterLab's debugger, where a page is loaded again, or its kernel ended, before its first question was answered.
CANCELLED = "Could not restore the debugger state: Canceled future"
# Controls that are seen and have no name: of their own, in a label, or what stands on a button.
NAMELESS = """output => [...output.querySelectorAll("button, input, select, textarea, canvas")]
    .filter(e => e.offsetParent && !(e.ariaLabel || e.title || e.labels?.length
        || e.localName === "button" && e.textContent.trim()))
    .map(e => e.outerHTML.slice(0, 200))"""


def chromium() -> str | None:
    """The path of a Chromium or Chrome that Playwright can drive, of its own if there is no other; None without any."""
    if not find_spec("playwright"):
        return None
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def jupyterlab(folder: Path, home: Path):
    """JupyterLab serving a folder on a free port of this machine, settings and log in home: its URL and token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, token, log = f"http://127.0.0.1:{port}", secrets.token_hex(), home / "jupyterlab.log"
    settings = Path(__file__).parent.parent / "tools" / "jupyterlab"  # as make lab has them
    options = f"""--no-browser --allow-root --LabApp.expose_app_in_browser=True --IdentityProvider.token={token}
        --LabApp.app_settings_dir={settings}
        --ServerApp.ip=127.0.0.1 --ServerApp.port={port} --ServerApp.port_retries=0""".split()
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"]
    folders = {f"JUPYTER_{name}_DIR": str(home) for name in ("CONFIG", "DATA", "RUNTIME")}  # not the reader's own
    with log.open("w") as file:
        server = subprocess.Popen(command, env=os.environ | folders, stdout=file, stderr=file)
    try:
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                urllib.request.urlopen(f"{url}/api?token={token}", timeout=10).close()
                break
            except OSError as error:
                if server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"JupyterLab did not start: {log.read_text()}") from error
                time.sleep(0.1)
        yield url, token
    finally:
        server.terminate()  # its kernels, too
        server.wait(60)


class Notebook:
    """A notebook, open in JupyterLab on a page, with a kernel of its own.

    `wrong` gathers what no cell shows: the page's errors, and requests that leave this machine.
    """

    def __init__(self, page):
        self.page, self.wrong, self.known = page, [], ""
        self.page.set_default_timeout(1000 * TIMEOUT)
        self.page.on("console", self._logged)
        self.page.on("pageerror", lambda error: self.wrong.append(error.stack or str(error)))
        self.page.on("request", self._local)
        self.page.on("websocket", self._local)

    def open(self, url: str, token: str, path: str):
        if self.page.url == "about:blank":
            self.page.goto(f"{url}/lab/workspaces/{Path(path).stem}/tree/{path}?token={token}")
        else:
            self.page.evaluate("path => void jupyterapp.commands.execute('docmanager:open', {path})", path)
        self.page.wait_for_function(
            "path => (window.notebook = window.jupyterapp?.shell.currentWidget)?.context?.path === path", arg=path
        )
        self.page.evaluate(
            """async () => {
                await notebook.context.ready
                await notebook.sessionContext.ready
                window.heard = []  // from the kernel: errors and stderr, of cells, and of widgets, which show neither
                notebook.sessionContext.iopubMessage.connect((_, {header, content}) => {
                    if (header.msg_type === "error") heard.push(content.traceback.join("\\n"))
                    if (header.msg_type === "stream" && content.name === "stderr") heard.push(content.text)
                })
            }"""
        )
        saved = (output for cell in self.cells() for output in cell.get("outputs", []))
        self.known = "".join("".join(output["text"]) for output in saved if output.get("name") == "stderr")

    def _logged(self, said):
        if said.type == "error" and not said.text.startswith(CANCELLED):
            self.wrong.append(f"{said.text} {said.location}")

    def _local(self, request):
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            self.wrong.append(f"asked the network for {request.url}")

    def run(self):
        """Run all cells, by the command behind JupyterLab's menu: it ends at the first error."""
        self.page.evaluate(
            """seconds => Promise.race([
                jupyterapp.commands.execute("notebook:run-all-cells"),
                new Promise((_, fail) => setTimeout(fail, 1000 * seconds, Error(`cells still run after ${seconds} s`))),
            ])""",
            TIMEOUT,
        )

    def cells(self) -> list[dict]:
        """The cells as the notebook's file would hold them now."""
        return self.page.evaluate("() => notebook.content.model.toJSON().cells")

    def said(self) -> list[str]:
        """What the kernel wrote to stderr that the saved outputs do not show, and every error in it."""
        heard = self.page.evaluate("() => window.heard ?? []")
        return [text for text in heard if not text.startswith(HARMLESS) and text not in self.known]

    def output(self, index: int):
        """A cell's outputs on the page, scrolled to."""
        self.page.evaluate("i => notebook.content.scrollToItem(i, 'center')", index)
        return self.page.locator(f".jp-Cell[data-windowed-list-index='{index}'] .jp-Cell-outputArea")

    def soon(self, happens, *arguments, seconds=PATIENCE) -> bool:
        return soon(self.page, happens, *arguments, seconds=seconds)

    def close(self, stay: bool):
        """End the kernel, and the page with it, unless it stays for another notebook."""
        self.page.evaluate("() => window.notebook?.sessionContext?.shutdown()")
        self.page.evaluate("() => notebook.dispose()") if stay else self.page.close()


@contextmanager
def opened(lab, name, tmp_path, stay=False):
    """A notebook of the folder, open and run; whatever fails then comes with a screenshot and what the page said.

    stay  for the next notebook the page stays, if nothing failed: to load JupyterLab takes longer than many a lesson
    """
    folder, context, url, token = lab
    notebook = Notebook(context.pages[0] if context.pages else context.new_page())
    try:
        notebook.open(url, token, name)
        notebook.run()
        for i, cell in enumerate(notebook.cells()):
            for output in cell.get("outputs", []):
                assert output["output_type"] != "error", f"cell {i}: {''.join(output['traceback'])}"
        yield notebook
        assert not notebook.said(), "the kernel wrote to stderr"
        assert not notebook.wrong, "the page logged errors or asked the network"
    except BaseException as error:
        stay = False
        notebook.page.screenshot(path=tmp_path / "screenshot.png")
        said = "\n".join(notebook.said())
        error.add_note(f"screenshot: {tmp_path / 'screenshot.png'}\npage: {notebook.wrong}\nkernel: {said}")
        raise
    finally:
        notebook.close(stay)


def dials(output):
    """For each dial of a widget its name, and its moves: pairs of (control, key), there and back again."""
    for slider in output.locator(".minidiff-dial > input[type=range]").all():
        place = int(slider.input_value())
        there, back = ("ArrowLeft", "ArrowRight") if place else ("ArrowRight", "ArrowLeft")
        moves = [((slider, there), (slider, back))] * (place or int(slider.get_attribute("max")))
        yield slider.get_attribute("aria-label"), moves
    for group in output.locator("fieldset.minidiff-dial").all():
        buttons = group.locator("input").all()
        (chosen,) = (button for button in buttons if button.is_checked())
        moves = [((button, "Space"), (chosen, "Space")) for button in buttons if button is not chosen]
        yield group.locator("legend").inner_text(), moves


def soon(page, happens, *arguments, seconds=PATIENCE) -> bool:
    """Whether happens(*arguments) becomes true in time."""
    end = time.monotonic() + seconds
    while not happens(*arguments):
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(100)
    return True


def shows(image, picture, whether=True):
    return np.array_equal(pixels(image), picture) == whether


def answers(page, output, cell):
    """Every dial changes the picture; with all of them where they were, it is the first one again."""
    image = output.locator(".minidiff-row img").last
    first, undo = pixels(image), []
    for name, moves in dials(output):  # one after the other, as one may matter only once another has moved
        before = pixels(image)
        for (control, key), back in moves:  # until another picture is seen: not every value gives one
            control.press(key)
            undo.insert(0, back)
            if soon(page, shows, image, before, False, seconds=5):
                break
        assert soon(page, shows, image, before, False), f"{cell}: the picture stays, whatever {name} is"
    assert undo, f"{cell}: no dial moves"
    for control, key in undo:
        control.press(key)
    assert soon(page, shows, image, first), f"{cell}: another picture, with all dials where they were"


def drawn(notebook, studio, number, seconds=PATIENCE):
    """Wait until the strip has so many pictures and nothing is being drawn."""

    def done():
        return studio.locator(".minidiff-thumb").count() == number and studio.locator("progress").is_hidden()

    assert notebook.soon(done, seconds=seconds), studio.locator(".minidiff-message").inner_text()


def draws(notebook, output, cell):
    """Another prompt and Enter give another picture, and the one before stays in the strip."""
    new, strip = (output.locator(f".minidiff-{name}") for name in ("new-picture", "strip img"))
    first = pixels(new)
    output.get_by_label("prompt", exact=True).fill("big pear on yellow")
    output.get_by_label("prompt", exact=True).press("Enter")
    drawn(notebook, output, 2)
    assert shows(new, first, False), f"{cell}: the picture stays, whatever the prompt is"
    assert shows(strip.nth(1), first), f"{cell}: the last picture is not in the strip"


def paint(notebook, sheet, start, end):
    """A stroke with the mouse on a sketchpad, from (x, y) to (x, y), in pixels of what is drawn on."""
    sheet.scroll_into_view_if_needed()
    box, mouse = sheet.bounding_box(), notebook.page.mouse
    unit = box["width"] / 128
    mouse.move(box["x"] + unit * start[0], box["y"] + unit * start[1])
    mouse.down()
    mouse.move(box["x"] + unit * end[0], box["y"] + unit * end[1], steps=5)
    mouse.up()


def pixels(image) -> np.ndarray:
    """What an <img> or a <canvas> of the page shows, in its own size: (height, width, 3) uint8."""
    url = image.evaluate(
        """async image => {
            const size = () => image.localName === "canvas" ? [image.width, image.height]
                : [image.complete && image.naturalWidth, image.naturalHeight]
            for (let tries = 600; !size()[0]; tries--) {  // it is being exchanged
                if (!tries) throw Error("the picture does not load")
                await new Promise(go => setTimeout(go, 50))
            }
            const canvas = document.createElement("canvas")
            ;[canvas.width, canvas.height] = size()
            canvas.getContext("2d").drawImage(image, 0, 0)
            return canvas.toDataURL()
        }"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
