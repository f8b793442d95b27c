"""Schedules, grids, predictions, loss, guidance: against diffusers, closed forms and properties."""

import math

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from minidiff.denoise import EPS, FLOW, X0, V, denoiser, loss
from minidiff.guide import cfg, inpaint
from minidiff.sample import ddim, dpmpp_2m
from minidiff.schedule import (
    EDM,
    Discrete,
    Flow,
    cosine_betas,
    karras,
    leading,
    linear_betas,
    linspace,
    noise_like,
    scaled_linear_betas,
    shifted,
    trailing,
    zero_terminal_snr,
)

# diffusers gives tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LINEAR, SCALED, COSINE = (Discrete(betas()) for betas in (linear_betas, scaled_linear_betas, cosine_betas))
ZERO = Discrete(zero_terminal_snr(scaled_linear_betas()))
TIMES = {  # schedules, and times that span each
    LINEAR: leading(1000, 30),
    SCALED: trailing(1000, 40),
    COSINE: linspace(1000, 30),
    ZERO: trailing(1000, 50),
    EDM(): karras(0.002, 80, 30),
    Flow(): shifted(30, 3),
}
every_schedule = pytest.mark.parametrize("schedule", TIMES, ids=["linear", "scaled", "cosine", "zero", "edm", "flow"])


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# Schedules


@every_schedule
def test_snr_falls_from_infinity(schedule):
    snr = schedule.snr(TIMES[schedule].flip(0))
    assert snr[0] == math.inf and (snr[1:] < snr[:-1]).all() and (snr >= 0).all()
    assert schedule(0) == (1, 0)


@pytest.mark.parametrize("schedule", [LINEAR, SCALED, COSINE, ZERO])
def test_discrete_holds_alpha_bar(schedule):
    alpha, sigma = schedule(torch.arange(1001))
    assert (alpha**2 - schedule.alpha_bar).abs().max() < 1e-15
    assert (alpha**2 + sigma**2 - 1).abs().max() < 1e-15


def test_discrete_interpolates_the_ratio():
    for t in (0.25, 976.889):
        whole = torch.tensor([math.floor(t), math.ceil(t)])
        ratio, ends = (sigma / alpha for alpha, sigma in (SCALED(t), SCALED(whole)))
        assert ratio.item() == pytest.approx(torch.lerp(ends[0], ends[1], t % 1).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("betas", "options"),
    [
        (linear_betas(), {}),
        (linear_betas(200, 1e-3, 0.05), {"num_train_timesteps": 200, "beta_start": 1e-3, "beta_end": 0.05}),
        (scaled_linear_betas(), {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
        (cosine_betas(), {"beta_schedule": "squaredcos_cap_v2"}),
        (cosine_betas(50), {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 50}),
    ],
)
def test_betas_are_those_of_diffusers(betas, options):
    theirs = diffusers.DDIMScheduler(**options)  # in float32
    assert (betas - theirs.betas).abs().max() < 5e-8
    assert (Discrete(betas).alpha_bar[1:] - theirs.alphas_cumprod).abs().max() < 1e-6
    assert (zero_terminal_snr(betas) - rescale_zero_terminal_snr(betas)).abs().max() < 1e-15


def test_zero_terminal_snr_is_zero():
    assert ZERO(1000) == (0, 1) and ZERO.snr(1000) == 0
    assert ZERO.alpha_bar[1] == pytest.approx(SCALED.alpha_bar[1].item(), abs=1e-15)


def test_published_facts():
    crossings = [int((s.alpha_bar[1:] <= 0.5).nonzero()[0]) for s in (LINEAR, COSINE, SCALED)]
    assert crossings == [259, 496, 354]  # 0-based indices: our times less one
    assert LINEAR.alpha_bar[501].item() == pytest.approx(0.0778, abs=5e-5)


@every_schedule
def test_add_noise_has_the_stated_mean_and_variance(schedule):
    t, n = TIMES[schedule][:-1][::7], 20_000
    alpha, sigma = schedule(t)
    x0 = torch.full((len(t), n), 1.5, dtype=torch.float64)
    x = schedule.add_noise(x0, randn(*x0.shape), t)
    assert ((x.mean(1) - alpha * 1.5).abs() < 3.5 * sigma / n**0.5).all()
    assert ((x.var(1) - sigma**2).abs() < 3.5 * sigma**2 * (2 / n) ** 0.5).all()


def test_add_noise_and_v_are_those_of_diffusers():
    theirs = diffusers.DDPMScheduler()
    theirs.alphas_cumprod = LINEAR.alpha_bar[1:]  # theirs is float32: 3e-6 off in x_t, by cancellation in 1 - alpha_bar
    x0, eps, t = randn(5, 3, 4, 4), randn(5, 3, 4, 4, seed=1), torch.tensor([1, 2, 300, 999, 1000])
    noised = LINEAR.add_noise(x0, eps, t)
    alpha, sigma = (a.reshape(5, 1, 1, 1) for a in LINEAR(t))
    assert (noised - theirs.add_noise(x0, eps, t - 1)).abs().max() < 1e-14
    assert (V.target(x0, eps, alpha, sigma) - theirs.get_velocity(x0, eps, t - 1)).abs().max() < 1e-14
    one_by_one = torch.cat([LINEAR.add_noise(x0[i : i + 1], eps[i : i + 1], float(t[i])) for i in range(5)])
    assert torch.equal(noised, one_by_one)


def test_noise_follows_the_generator():
    x = torch.zeros(2, 3)
    assert torch.equal(noise_like(x, torch.Generator().manual_seed(4)), randn(2, 3, seed=4, dtype=torch.float32))
    each = [torch.Generator().manual_seed(seed) for seed in (4, 5)]
    alone = [randn(1, 3, seed=seed, dtype=torch.float32) for seed in (4, 5)]
    assert torch.equal(noise_like(x, each), torch.cat(alone))


# Grids


def test_grids_are_those_of_diffusers():
    for spacing, grid, offset in (("trailing", trailing, 0), ("leading", leading, 0), ("leading", leading, 1)):
        theirs = diffusers.DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
        for n in range(1, 1000):
            ts = grid(1000, n, offset=offset) if offset else grid(1000, n)
            theirs.set_timesteps(n)
            assert ts.tolist() == [*(theirs.timesteps[:n] + 1).tolist(), 0]  # [:n], as theirs sometimes has one more


def test_linspace_is_that_of_diffusers():
    whole = diffusers.DDIMScheduler(timestep_spacing="linspace")
    fractional = diffusers.EulerDiscreteScheduler(timestep_spacing="linspace")
    for n in (1, 2, 3, 10, 25, 50, 333, 1000):
        ts = linspace(1000, n)
        whole.set_timesteps(n)
        fractional.set_timesteps(n)
        assert (ts[:-1] - 1).round().tolist() == whole.timesteps.tolist()
        assert (ts[:-1] - 1 - fractional.timesteps).abs().max() < 1e-4  # float32 near 1000
        assert len(ts) == n + 1 and ts[-1] == 0


def test_karras_and_shifted_are_those_of_diffusers():
    edm, flow = diffusers.EDMEulerScheduler(), diffusers.FlowMatchEulerDiscreteScheduler(shift=3)
    for n in (1, 2, 10, 40):
        edm.set_timesteps(n)
        flow.set_timesteps(sigmas=np.linspace(1, 1 / n, n))
        assert (karras(0.002, 80, n) / edm.sigmas - 1)[:-1].abs().max() < 1e-6 and karras(0.002, 80, n)[-1] == 0
        assert (shifted(n, 3) - flow.sigmas).abs().max() < 1e-6
        assert (EDM().network_time(edm.sigmas[:-1]) - edm.timesteps).abs().max() < 1e-6
        assert (Flow().network_time(shifted(n, 3))[:-1] - flow.timesteps).abs().max() < 1e-3
    assert shifted(4, 1).tolist() == [1, 0.75, 0.5, 0.25, 0]


# Predictions, denoiser, loss


@every_schedule
@pytest.mark.parametrize("prediction", [EPS, V, X0, FLOW], ids=["eps", "v", "x0", "flow"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 2e-15)])
def test_a_perfect_network_makes_a_perfect_denoiser(schedule, prediction, dtype, tolerance):
    x0, eps = randn(3, 2, 4, dtype=dtype), randn(3, 2, 4, seed=1, dtype=dtype)
    for t in TIMES[schedule][:-1].tolist():
        alpha, sigma = schedule(t)
        if prediction is EPS and alpha == 0:
            continue
        target = prediction.target(x0, eps, alpha, sigma)
        denoise = denoiser(lambda x, time, cond, target=target: target, schedule, prediction)
        error = (denoise(schedule.add_noise(x0, eps, t), t) - x0).abs().max()
        assert error < tolerance * (1 + (sigma / alpha if prediction is EPS else 0))  # EPS divides rounding by alpha


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_network_is_told_its_own_time(dtype):
    told = []

    def net(x, time, cond):
        told.append((time, cond))
        return x

    x, cond = torch.zeros(3, 2, dtype=dtype), object()
    denoise = denoiser(net, SCALED, V)
    denoise(x, 977.889, cond)
    denoise(x, torch.tensor([1, 500, 1000]))
    loss(net, x, 7, cond, SCALED, V)
    (same, c0), (each, c1), (trained, c2) = told
    assert same.shape == (3,) and (same - 976.889).abs().max() < 1e-4  # bfloat16 would be off by 1
    assert each.tolist() == [0, 499, 999] and trained.tolist() == [6, 6, 6]
    assert c0 is cond and c1 is None and c2 is cond


def test_loss_is_each_samples_weighted_mean_square():
    x0, eps, t = randn(4, 3, 2, 2), randn(4, 3, 2, 2, seed=1), torch.tensor([1, 10, 500, 1000])
    alpha, sigma = (a.reshape(4, 1, 1, 1) for a in SCALED(t))

    def net(x, time, cond):
        return torch.sin(x) * cond

    for prediction, target in ((EPS, eps), (V, alpha * eps - sigma * x0), (X0, x0), (FLOW, eps - x0)):
        each = loss(net, x0, t, 2.0, SCALED, prediction, eps=eps)
        out = net(alpha * x0 + sigma * eps, 0, 2.0)
        expected = torch.stack([(a - b).pow(2).mean() for a, b in zip(out, target, strict=True)])
        assert each.shape == (4,) and (each - expected).abs().max() < 1e-14
        weighted = loss(net, x0, t, 2.0, SCALED, prediction, lambda snr: snr.clamp(max=5) / snr, eps=eps)
        ab = SCALED.alpha_bar[t]
        assert (weighted - expected * (5 * (1 - ab) / ab).clamp(max=1)).abs().max() < 1e-14  # min-SNR-5
    seeded = [loss(net, x0, t, 2.0, SCALED, EPS, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(seeded[0], loss(net, x0, t, 2.0, SCALED, EPS, eps=eps)) and torch.equal(*seeded[:2])
    assert not torch.equal(*seeded[1:])


# Guidance and inpainting


def conditional_net(x, time, cond):
    return torch.tanh(x + cond.mean((1, 2))[:, None, None, None]) * (1 + time.reshape(-1, 1, 1, 1) / 1000)


def test_guidance_is_one_call_and_at_scale_one_the_conditional():
    calls = []
    plain = denoiser(conditional_net, SCALED, EPS)

    def denoise(x, t, cond):
        calls.append(len(x))
        return plain(x, t, cond)

    x, cond, uncond = randn(2, 3, 4, 4), randn(2, 7, 5), randn(1, 7, 5, seed=1)
    assert torch.equal(cfg(denoise, cond, uncond, 1)(x, 700), plain(x, 700, cond))
    assert calls == [2]
    negative = plain(x, 700, uncond.expand(2, 7, 5))
    assert (cfg(denoise, cond, uncond, 0)(x, 700) - negative).abs().max() < 1e-14
    guided = cfg(denoise, cond, uncond, 7.5)
    assert (guided(x, 700) - (negative + 7.5 * (plain(x, 700, cond) - negative))).abs().max() < 1e-13
    assert calls == [2, 4, 4]
    t = torch.tensor([700, 20])
    assert (guided(x, t)[1] - guided(x, 20)[1]).abs().max() < 1e-13


@pytest.mark.parametrize("prediction", [EPS, V], ids=["eps", "v"])
def test_guiding_x0_is_guiding_the_prediction(prediction):
    x, cond, uncond = randn(2, 3, 4, 4), randn(2, 7, 5), randn(2, 7, 5, seed=1)

    def guided_net(x, time, _):
        outs = [conditional_net(x, time, c) for c in (uncond, cond)]
        return outs[0] + 7.5 * (outs[1] - outs[0])

    ours = cfg(denoiser(conditional_net, SCALED, prediction), cond, uncond, 7.5)
    theirs = denoiser(guided_net, SCALED, prediction)
    for t in (1, 30, 500, 1000):
        assert (ours(x, t) - theirs(x, t)).abs().max() / theirs(x, t).abs().max() < 1e-14


@pytest.mark.parametrize("sampler", [ddim, dpmpp_2m])
@pytest.mark.parametrize("schedule", [SCALED, Flow()], ids=["scaled", "flow"])
def test_inpainting_is_renoising_the_known_area(sampler, schedule):
    known, eps = randn(2, 3, 8, 8), randn(2, 3, 8, 8, seed=1)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 3:7] = True
    denoise = denoiser(lambda x, time, cond: torch.tanh(x + 0.3 * x.roll(1, -1)), schedule, FLOW)
    ts = trailing(1000, 12) if schedule is SCALED else shifted(12, 3)
    x = schedule.add_noise(known, eps, ts[0])
    *_, ours = sampler(inpaint(denoise, known, mask), x, schedule, ts)
    seen = []

    def renoising(x, t):
        x = torch.where(mask, x, schedule.add_noise(known, eps, t))
        seen.append(x)
        return denoise(x, t)

    if sampler is ddim:  # by hand: a step, then the known area back at the new time
        for t, s in zip(ts, ts[1:], strict=False):
            *_, x = ddim(denoise, x, schedule, [t, s])
            x = torch.where(mask, x, schedule.add_noise(known, eps, s))
    else:  # a multistep method keeps its past, so the area goes back just before each call
        *_, x = dpmpp_2m(renoising, x, schedule, ts)
        x = torch.where(mask, x, known)
    assert (ours - x).abs().max() < 1e-13
    assert torch.equal(ours[..., ~mask], known[..., ~mask]) and (ours - known)[..., mask].abs().max() > 0.1


# Errors: one line that says what came, what should have, and what to do


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SCALED(1001), r"\[0, 1000\].*clean data; got 1001"),
        (lambda: SCALED(torch.tensor([3, -1])), "got -1 to 3"),
        (lambda: Flow()(1.5), r"\[0, 1\].*got 1.5"),
        (lambda: EDM()(math.nan), "got nan"),
        (lambda: SCALED.add_noise(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(2)), r"or 3 of them.*got \(2,\)"),
        (lambda: Discrete([]), r"\(0, 1\].*linear_betas\(\); got shape \(0,\)"),
        (lambda: Discrete([0.1, 1.2]), r"got shape \(2,\), among them \[1.2\]"),
        (lambda: trailing(1000, 0), "from 1 to 1000; got 0"),
        (lambda: leading(1000, 1001), "from 1 to 1000; got 1001"),
        (lambda: leading(1000, 1000, offset=1), "from 1 to 999; got 1000"),
        (lambda: linspace(50, 51), "from 1 to 50; got 51"),
        (lambda: shifted(0, 3), "got 0"),
        (lambda: karras(0.002, 80, 0), "got 0"),
        (lambda: denoiser(torch.mul, ZERO, EPS)(torch.zeros(2), 1000.0), "got t = 1000.0; take V"),
        (lambda: denoiser(torch.mul, SCALED, V)(torch.zeros(2), torch.ones(3)), r"or 2 of them.*got \(3,\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value) and len(str(error.value)) < 130
