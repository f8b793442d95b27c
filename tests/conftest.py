"""What several test files start from."""

import pytest
import torch
from browser import FLAGS, TIMEOUT, chromium

from minidiff import data
from minidiff.clip import CLIPText
from minidiff.pipeline import StableDiffusion
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet, UNetConfig
from minidiff.vae import VAE, VAEConfig


@pytest.fixture(scope="module")
def pipe():
    """Random weights: small, every argument changes the picture, and guidance changes it clearly."""
    torch.manual_seed(0)
    unet = UNet(UNetConfig(block_out_channels=(16, 32, 32), norm_num_groups=16))
    vae = VAE(VAEConfig(scaling_factor=0.5))
    return StableDiffusion(vae.eval(), unet.eval(), CLIPText().eval(), Tokenizer.train(data.WORDS), words=data.WORDS)


@pytest.fixture(scope="module")  # no longer, because Playwright's event loop runs as long, which nbval cannot stand
def browser():
    """Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        path = chromium(playwright)
        if path is None:
            pytest.skip("needs Chromium: make browser, or python -m playwright install chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=1000 * TIMEOUT)
        yield browser
        browser.close()
