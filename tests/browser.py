"""JupyterLab and Chromium on this machine: what test_browser.py drives as a person would."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

WIDGET = "application/vnd.jupyter.widget-view+json"
FLAGS = [  # no sandbox: root, as in a container, has none; the others keep Chromium from calling home
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Errors that JupyterLab itself logs, each with the reason why it does not matter.
HARMLESS = {}


def chromium(playwright):
    """The path of a Chromium or Chrome, Playwright's own if no other; None without any."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def jupyterlab(folder: Path, home: Path):
    """JupyterLab on a free port of this machine, with default settings: its URL and token. Its log is in home."""
    news = home / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    token = secrets.token_hex()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--LabApp.expose_app_in_browser=True"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={urlsplit(url).port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    folders = {f"JUPYTER_{name}_DIR": str(home) for name in ("CONFIG", "DATA", "RUNTIME")}
    log = home / "jupyterlab.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env=os.environ | folders, stdout=file, stderr=file)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{url}/api?token={token}", timeout=10).close()
                    break
                except OSError:
                    assert server.poll() is None, f"JupyterLab ended: {log.read_text()}"
                    time.sleep(0.1)
            else:
                raise TimeoutError(f"JupyterLab does not answer: {log.read_text()}")
            yield url, token
        finally:
            server.terminate()  # it ends its kernels, too
            server.wait(30)


class Notebook:
    """A notebook open in a tab of its own. `wrong` gathers what no output shows: see `listen`."""

    def __init__(self, context, url, token, path, timeout=120):
        self.page, self.wrong, self.timeout = context.new_page(), [], timeout
        self.page.set_default_timeout(1000 * timeout)
        self._listen(url)
        name = Path(path).stem
        self.page.goto(f"{url}/lab/workspaces/{name}/tree/{path}?token={token}")
        self.page.wait_for_function(
            "path => (window.notebook = window.jupyterapp?.shell.currentWidget)?.context?.path === path", arg=path
        )
        self.page.evaluate(
            """async () => {
                await notebook.context.ready
                await notebook.sessionContext.ready
                window.heard = []  // what the kernel says on stderr, and errors, also those outside of cells
                notebook.sessionContext.iopubMessage.connect((_, {header, content}) => {
                    if (header.msg_type === "error") heard.push(content.traceback.join("\\n"))
                    if (header.msg_type === "stream" && content.name === "stderr") heard.push(content.text)
                })
            }"""
        )

    def _listen(self, url):
        page, wrong = self.page, self.wrong

        def console(message):
            if message.type == "error" and not any(text in message.text for text in HARMLESS):
                wrong.append(f"console: {message.text} {message.location}")

        def request(asked):
            if urlsplit(asked.url).scheme not in ("data", "blob") and urlsplit(asked.url).hostname != "127.0.0.1":
                wrong.append(f"asked the network for {asked.url}")

        page.on("console", console)
        page.on("pageerror", lambda error: wrong.append(f"uncaught: {error.stack or error}"))
        page.on("request", request)
        page.on("websocket", request)

    def run(self, timeout=300):
        """Run all cells; the first error ends it, as in JupyterLab's menu, which has the same command."""
        self.page.evaluate(
            """seconds => Promise.race([
                jupyterapp.commands.execute("notebook:run-all-cells"),
                new Promise((_, fail) => setTimeout(fail, 1000 * seconds, `still running after ${seconds} s`)),
            ])""",
            timeout,
        )

    def cells(self):
        """The notebook's cells as its file would hold them now."""
        return self.page.evaluate("() => notebook.content.model.toJSON().cells")

    def heard(self):
        return self.page.evaluate("() => heard")

    def output(self, index):
        """Where a cell's outputs are on the page, once that cell is scrolled to."""
        self.page.evaluate("i => notebook.content.scrollToItem(i, 'center')", index)
        return self.page.locator(f".jp-Cell[data-windowed-list-index='{index}'] .jp-Cell-outputArea")

    def close(self):
        self.page.evaluate("() => notebook.sessionContext.shutdown()")
        self.page.close()
