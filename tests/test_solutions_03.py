"""Lesson 03: the solutions equal diffusers' own, and the numbers that the text names are theirs."""

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from minidiff.check import exercises


def test_samples_and_divergences_are_those_of_diffusers():
    reparameterise, kl = (
        exercises(3)[number].reference[name] for number, name in (("3.1", "reparameterise"), ("3.2", "kl"))
    )
    mean, logvar, eps = torch.randn(3, 2, 4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for spread in (1, 30):  # where it is limited, too
        theirs = DiagonalGaussianDistribution(torch.cat([mean, spread * logvar], 1))
        assert (reparameterise(mean, spread * logvar, eps) - (theirs.mean + theirs.std * eps)).abs().max() < 1e-9
    theirs = DiagonalGaussianDistribution(torch.cat([mean, logvar], 1))
    assert (kl(mean, logvar) - theirs.kl()).abs().max() < 1e-9


def test_the_ratio_is_48_and_the_saving_grows_with_the_square():
    analyzer = exercises(3)["3.5"].reference["VAECompressionAnalyzer"]()
    assert {analyzer.compression_ratio(r) for r in analyzer.resolutions} == {48}
    assert abs(analyzer.memory_saved_mb(1024) / analyzer.memory_saved_mb(256) - 16) < 1e-9
