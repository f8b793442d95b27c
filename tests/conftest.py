"""What several test files start from, and in which order they run."""

import os

import pytest
from browser import FLAGS, TIMEOUT, chromium, jupyterlab

os.environ["MINIDIFF_HOME"] = ""  # what passes here is not kept among a reader's answers


@pytest.fixture(scope="module")
def pipe():
    """Random weights: small, every argument changes the picture, and guidance changes it clearly."""
    import torch  # here, as the process that hands out tests to others needs none of it

    from minidiff import data
    from minidiff.clip import CLIPText
    from minidiff.pipeline import StableDiffusion
    from minidiff.tokenizer import Tokenizer
    from minidiff.unet import UNet, UNetConfig
    from minidiff.vae import VAE, VAEConfig

    torch.manual_seed(0)
    unet = UNet(UNetConfig(block_out_channels=(16, 32, 32), norm_num_groups=16))
    vae = VAE(VAEConfig(block_out_channels=(8, 8, 16, 16), norm_num_groups=4, scaling_factor=0.5))
    return StableDiffusion(vae.eval(), unet.eval(), CLIPText().eval(), Tokenizer.train(data.WORDS), words=data.WORDS)


@pytest.fixture(scope="module")  # no longer, because Playwright's event loop runs as long, which nbval cannot stand
def browser():
    """Chromium, driven by Playwright."""
    path = chromium()
    if path is None:
        pytest.skip("needs Playwright and Chromium: make browser, or python -m playwright install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=1000 * TIMEOUT)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """folder, context, url, token: a folder that JupyterLab serves, and a browser."""
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("jupyter")
    with jupyterlab(folder, home) as (url, token):
        size = {"width": 1280, "height": 1000}
        yield folder, browser.new_context(viewport=size, service_workers="block"), url, token


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config, items):
    """What is done in JupyterLab, which takes longest, comes first: at the end no worker waits long for another.

    A lesson that is run there is not run once more by nbval, as test_browser.py also compares what it prints.
    """
    items.sort(key=lambda item: not item.path.name.startswith("test_browser"))
    lessons = {str(item.callspec.params["path"]) for item in items if item.name.startswith("test_lesson_prints")}
    if lessons and chromium():
        config.hook.pytest_deselected(items=[item for item in items if str(item.path) in lessons])
        items[:] = [item for item in items if str(item.path) not in lessons]
