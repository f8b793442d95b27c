"""Every sampler against diffusers' scheduler, against known orders of convergence and against known moments."""

import inspect
import math
import re
from functools import partial

import diffusers
import numpy as np
import pytest
import torch

from minidiff import sample
from minidiff.convert import with_sampler
from minidiff.denoise import EPS, FLOW, V, denoiser
from minidiff.sample import SAMPLERS, consistency, ddim, ddpm, dpmpp_2m, euler, euler_ancestral, heun, plms
from minidiff.schedule import (
    EDM,
    Discrete,
    Flow,
    cosine_betas,
    karras,
    leading,
    linspace,
    scaled_linear_betas,
    shifted,
    trailing,
    zero_terminal_snr,
)

# diffusers gives tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STABLE = Discrete(scaled_linear_betas())
ZERO = Discrete(zero_terminal_snr(scaled_linear_betas()))
EACH = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
STEPS = [1, 2, 3, 4, 5, 20, 50]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NOISE = torch.randn(2, 4, 8, 8, generator=seeded(), dtype=torch.float64)


def net(x, time, cond=None):
    """Stands for a U-Net: smooth in x and time, linear in neither, and mixing pixels."""
    time = torch.as_tensor(time, dtype=x.dtype).reshape(-1, 1, 1, 1) / 1000
    return torch.tanh(0.8 * x + 0.3 * x.roll(1, -1) - time) + 0.2 * torch.cos(3 * time + x)


def draws_noise(sampler):
    """Whether it is stochastic: another seed, another end."""
    first, other = (
        list(sampler(lambda x, t: x / 2, NOISE, Flow(), [0.9, 0.5, 0.1], generator=seeded(i))) for i in (1, 2)
    )
    return not torch.equal(first[-1], other[-1])


STOCHASTIC = [name for name, sampler in SAMPLERS.items() if draws_noise(sampler)]
DETERMINISTIC = [name for name in SAMPLERS if name not in STOCHASTIC]


# Against diffusers. Its tables are float32; given ours, only the formulas are compared, where it does not cast again.


def theirs(cls, schedule, **options):
    scheduler = cls(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **options)
    scheduler.betas, scheduler.alphas = schedule.betas, 1 - schedule.betas
    scheduler.final_alpha_cumprod, scheduler.alphas_cumprod = schedule.alpha_bar[0], schedule.alpha_bar[1:]
    return scheduler


def their_states(scheduler, x, n, **options):
    scheduler.set_timesteps(n)
    states = []
    for t in scheduler.timesteps:
        x = scheduler.step(net(scheduler.scale_model_input(x, t), t), t, x, **options).prev_sample
        states.append(x)
    return states


def worst(ours, theirs):
    """The maximum absolute error over all states, relative to the largest value in the state."""
    return max((a - b).abs().max() / b.abs().max() for a, b in zip(ours, theirs, strict=True)).item()


@pytest.mark.parametrize("n", STEPS)
@pytest.mark.parametrize("eta", [0, 0.5, 1])
def test_ddim_is_that_of_diffusers(n, eta):
    scheduler = theirs(diffusers.DDIMScheduler, STABLE, clip_sample=False)
    expected = their_states(scheduler, NOISE, n, eta=eta, generator=seeded(1))
    ours = ddim(denoiser(net, STABLE, EPS), NOISE, STABLE, leading(1000, n), eta, seeded(1))
    assert worst(ours, expected) < 1e-13


@pytest.mark.parametrize("n", [1, 2, 4, 5, 20, 50])  # theirs goes to t - 1000 // n, not to the next time of its list
def test_ddim_with_v_from_zero_snr_is_that_of_diffusers(n):
    options = {"clip_sample": False, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    expected = their_states(theirs(diffusers.DDIMScheduler, ZERO, **options), NOISE, n)
    assert worst(ddim(denoiser(net, ZERO, V), NOISE, ZERO, trailing(1000, n)), expected) < 1e-13


@pytest.mark.parametrize("n", STEPS)
def test_ddpm_is_that_of_diffusers(n):
    scheduler = theirs(diffusers.DDPMScheduler, STABLE, clip_sample=False, timestep_spacing="trailing")
    expected = their_states(scheduler, NOISE, n, generator=seeded(1))
    ours = ddpm(denoiser(net, STABLE, EPS), NOISE, STABLE, trailing(1000, n), generator=seeded(1))
    assert worst(ours, expected) < 1e-10  # it keeps the variance above 1e-20


@pytest.mark.parametrize("n", STEPS)
def test_plms_is_pndm_of_diffusers(n):
    scheduler = theirs(diffusers.PNDMScheduler, STABLE, skip_prk_steps=True, set_alpha_to_one=True)
    expected = their_states(scheduler, NOISE, n)
    if n > 1:
        expected = expected[1:]  # without the first try at the first step
    assert worst(plms(denoiser(net, STABLE, EPS), NOISE, STABLE, leading(1000, n)), expected) < 1e-13


@pytest.mark.parametrize("n", STEPS)
def test_dpmpp_2m_is_that_of_diffusers(n):
    scheduler = theirs(diffusers.DPMSolverMultistepScheduler, STABLE, timestep_spacing="trailing")
    ours = dpmpp_2m(denoiser(net, STABLE, EPS), NOISE, STABLE, trailing(1000, n))
    assert worst(ours, their_states(scheduler, NOISE, n)) < 2e-6  # its levels and its sum are float32


@pytest.mark.parametrize("n", STEPS)
@pytest.mark.parametrize(("spacing", "grid"), [("linspace", linspace), ("trailing", trailing)])
@pytest.mark.parametrize(
    ("sampler", "cls"),
    [
        (euler, diffusers.EulerDiscreteScheduler),
        (euler_ancestral, diffusers.EulerAncestralDiscreteScheduler),
        (heun, diffusers.HeunDiscreteScheduler),
    ],
)
def test_euler_and_heun_are_those_of_diffusers(sampler, cls, spacing, grid, n):
    ts = grid(1000, n)
    alpha = STABLE(ts)[0].tolist()  # theirs keep x / alpha
    options = {} if sampler is heun else {"generator": seeded(1)}
    expected = their_states(theirs(cls, STABLE, timestep_spacing=spacing), NOISE / alpha[0], n, **options)
    if sampler is heun:
        expected = [*expected[1:-1:2], expected[-1]]  # without Euler's first try at each step
    ours = sampler(denoiser(net, STABLE, EPS), NOISE, STABLE, ts, generator=seeded(1))
    assert worst([x / a for x, a in zip(ours, alpha[1:], strict=True)], expected) < 2e-6  # theirs are float32 inside


@pytest.mark.parametrize("n", STEPS)
def test_euler_of_a_flow_is_that_of_diffusers(n):
    scheduler, x, expected = diffusers.FlowMatchEulerDiscreteScheduler(shift=3), NOISE, []
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / n, n))  # left to itself it shifts its last time twice
    for t in scheduler.timesteps:
        x = scheduler.step(net(x, t), t, x).prev_sample
        expected.append(x)
    assert worst(euler(denoiser(net, Flow(), FLOW), NOISE, Flow(), shifted(n, 3)), expected) < 2e-6  # float32 inside


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_float32_is_enough(name):
    sampler, denoise = SAMPLERS[name], denoiser(net, STABLE, EPS)
    single = list(sampler(denoise, NOISE.float(), STABLE, trailing(1000, 50)))
    assert all(x.dtype == torch.float32 for x in single)
    assert worst(single, sampler(denoise, NOISE, STABLE, trailing(1000, 50))) < 5e-6


# Against closed forms


def mixture(schedule):
    """E[x_0 | x_t] of three Gaussians on a line, exact."""
    weight, mean, std = torch.tensor([[0.3, 0.5, 0.2], [-1.5, 0.3, 2.0], [0.4, 0.2, 0.5]], dtype=torch.float64)

    def denoise(x, t):
        alpha, sigma = schedule(t)
        var = (alpha * std) ** 2 + sigma**2
        gap = x[..., None] - alpha * mean
        posterior = torch.softmax(weight.log() - var.log() / 2 - gap**2 / (2 * var), -1)
        return (posterior * (mean + alpha * std**2 * gap / var)).sum(-1)

    return denoise


def even_log_snr(schedule, n):
    """Times at which sigma / alpha falls from 10 to 1/10 by equal ratios; short of 0, which is infinitely many away."""
    ratio = 10 ** torch.linspace(1, -1, n + 1, dtype=torch.float64)
    return ratio if isinstance(schedule, EDM) else ratio / (1 + ratio)


@pytest.fixture(scope="module", params=[EDM(), Flow()], ids=["edm", "flow"])
def problem(request):
    schedule = request.param
    x = torch.linspace(-2, 2, 41, dtype=torch.float64) * schedule(even_log_snr(schedule, 1)[0])[1]
    *_, exact = heun(mixture(schedule), x, schedule, even_log_snr(schedule, 4096))
    return schedule, x, exact


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_order_of_convergence(problem, name):
    """The one that its docstring claims, in the words "of order 2", or else 1."""
    schedule, x, exact = problem
    errors = []
    for n in (64, 128, 256):
        *_, end = SAMPLERS[name](mixture(schedule), x, schedule, even_log_snr(schedule, n))
        errors.append((end - exact).abs().max().item())
    claimed = re.search(r"of order (\d)", SAMPLERS[name].__doc__, re.IGNORECASE)
    order = int(claimed[1]) if claimed else 1
    assert math.log2(errors[0] / errors[2]) / 2 == pytest.approx(order, abs=0.05)
    assert errors[0] < 0.1


@EACH
def test_normal_data_come_back_from_noise(sampler):
    """In 200 steps, by the optimal denoiser of N(1, 0.25), or by its consistency function: where the ODE ends."""
    schedule = Discrete(zero_terminal_snr(cosine_betas()))
    x = torch.randn(20_000, generator=seeded(), dtype=torch.float64)

    def denoise(x, t):
        alpha, sigma = schedule(t)
        var = alpha**2 * 0.25 + sigma**2
        return 1 + (0.5 / var**0.5 if sampler is consistency else alpha * 0.25 / var) * (x - alpha)

    *_, end = sampler(denoise, x, schedule, trailing(1000, 200), generator=seeded(1))
    assert end.mean().item() == pytest.approx(1, abs=0.05) and end.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("schedule", [STABLE, EDM(), Flow()], ids=["stable", "edm", "flow"])
@EACH
def test_a_perfect_denoiser_is_exact_at_any_number_of_steps(sampler, schedule):
    grids = {STABLE: lambda n: trailing(1000, n)}.get(schedule, lambda n: shifted(n, 3))
    x0 = torch.linspace(-2, 2, 5, dtype=torch.float64)
    for n in (1, 2, 7, 50):
        ts = grids(n)
        *states, end = sampler(lambda x, t: x0, schedule.add_noise(x0, NOISE[0, 0, 0, :5], ts[0]), schedule, ts)
        assert len(states) == n - 1 and (end - x0).abs().max() < 1e-13
        if sampler.__name__ in DETERMINISTIC:  # then the noise stays the one there was
            expected = [schedule.add_noise(x0, NOISE[0, 0, 0, :5], t) for t in ts[1:-1]]
            assert all((x - y).abs().max() < 1e-12 for x, y in zip(states, expected, strict=True))


def test_the_ancestral_step_is_sound_however_long():
    *_, end = euler_ancestral(lambda x, t: 0 * x, NOISE, EDM(), [3e8, 0.3, 1e-9], generator=seeded())
    assert 0.9e-9 < end.std() < 1.1e-9


@pytest.mark.parametrize("sampler", [heun, dpmpp_2m, plms])
def test_the_first_step_from_pure_noise_is_that_of_ddim(sampler):
    denoise, ts = denoiser(net, Flow(), FLOW), shifted(20, 1)  # alpha is 0 at ts[0]: sigma / alpha is infinite
    ours, expected = (list(s(denoise, NOISE, Flow(), ts)) for s in (sampler, ddim))
    assert (ours[0] - expected[0]).abs().max() < 1e-14
    assert 1e-3 < (ours[-1] - expected[-1]).abs().max() < 1  # finite, and no longer ddim


def ddpm_moments(m, v, mean, var, t, s):
    """Ho et al. eq. 6 and 7: the posterior, with beta and alpha for the whole jump from t to s."""
    ab_t, ab_s = STABLE.alpha_bar[int(t)], STABLE.alpha_bar[int(s)]
    beta = 1 - ab_t / ab_s
    to_x0, to_x = ab_s.sqrt() * beta / (1 - ab_t), (1 - beta).sqrt() * (1 - ab_s) / (1 - ab_t)
    gain = ab_t.sqrt() * v / (ab_t * v + 1 - ab_t)  # E[x_0 | x_t] = m + gain (x_t - sqrt(ab_t) m)
    slope = to_x + to_x0 * gain
    mean = slope * mean + to_x0 * m * (1 - gain * ab_t.sqrt())
    return mean, slope**2 * var + (1 - ab_s) / (1 - ab_t) * beta


def ancestral_moments(m, v, mean, var, t, s):
    """k-diffusion's get_ancestral_step and its step, where t and s are sigmas."""
    up = min(s, (s**2 * (t**2 - s**2) / t**2) ** 0.5)
    down = (s**2 - up**2) ** 0.5
    gain = v / (v + t**2)
    slope = 1 + (down - t) * (1 - gain) / t  # x + d (down - t), d = (x - x_0) / t
    return slope * mean - (down - t) / t * (1 - gain) * m, slope**2 * var + up**2


@pytest.mark.parametrize(
    ("sampler", "schedule", "ts", "moments"),
    [
        (ddpm, STABLE, trailing(1000, 12), ddpm_moments),
        (euler_ancestral, EDM(), karras(0.02, 20, 12), ancestral_moments),
        (euler_ancestral, STABLE, trailing(1000, 12), ddpm_moments),
        (ddpm, EDM(), karras(0.02, 20, 12), ancestral_moments),
    ],
)
def test_stochastic_samplers_have_their_papers_moments(sampler, schedule, ts, moments):
    m, v, n = 0.7, 0.25, 100_000  # data ~ N(m, v), whose optimal denoiser is linear, so all states are Gaussian

    def denoise(x, t):
        alpha, sigma = schedule(t)
        return m + alpha * v / (alpha**2 * v + sigma**2) * (x - alpha * m)

    x = torch.randn(n, generator=seeded(2), dtype=torch.float64) * schedule(ts[0])[1]
    mean, var = torch.tensor(0.0), schedule(ts[0])[1] ** 2
    for state, t, s in zip(sampler(denoise, x, schedule, ts, generator=seeded(3)), ts, ts[1:], strict=False):
        mean, var = moments(m, v, mean, var, t, s)
        assert abs(state.mean() - mean) < 3 * (var / n) ** 0.5
        assert abs(state.var() - var) < 3 * var * (2 / n) ** 0.5


ETAS = {f"eta {eta}": partial(ddim, eta=eta) for eta in (0.3, 0.7, 1.0)}


@pytest.mark.parametrize("name", [*SAMPLERS, *ETAS])
def test_every_state_has_its_time_s_marginal(name):
    """Given the true x_0, x_s ~ N(alpha_s x_0, sigma_s^2) at every time, whatever eta is (Song et al. 2021 lemma 1):
    also at the last, where it is not 0.
    """
    x0, n, ts = 1.5, 100_000, trailing(1000, 10)[:-1]
    x = STABLE.add_noise(torch.full((n,), x0, dtype=torch.float64), torch.randn(n, generator=seeded(4)), ts[0])
    sampler = (SAMPLERS | ETAS)[name]
    states = list(sampler(lambda x, t: torch.full_like(x, x0), x, STABLE, ts, generator=seeded(5)))
    for state, s in zip(states, ts[1:], strict=True):
        alpha, sigma = STABLE(s)
        assert abs(state.mean() - alpha * x0) < 3 * sigma / n**0.5
        assert abs(state.var() - sigma**2) < 3 * sigma**2 * (2 / n) ** 0.5
    correlation = torch.corrcoef(torch.stack([x, states[4]]))[0, 1]
    assert correlation > 1 - 1e-9 if name in DETERMINISTIC else correlation < 0.999


# Contract


def test_every_sampler_is_listed():
    public = [name for name, f in inspect.getmembers(sample, inspect.isfunction) if f.__module__ == sample.__name__]
    assert sorted(SAMPLERS) == [name for name in public if not name.startswith("_")]


@EACH
def test_same_seed_same_states_and_the_input_is_kept(sampler):
    x, denoise = NOISE.clone(), denoiser(net, STABLE, EPS)
    first, again = (list(sampler(denoise, x, STABLE, trailing(1000, 7), generator=seeded(6))) for _ in range(2))
    assert torch.equal(torch.stack(first), torch.stack(again)) and torch.equal(x, NOISE)


@EACH
def test_a_sample_does_not_depend_on_those_beside_it(sampler):
    def states(x, *seeds):
        generators = [seeded(seed) for seed in seeds]
        return torch.stack(
            list(sampler(denoiser(net, STABLE, EPS), x, STABLE, trailing(1000, 7), generator=generators))
        )

    together, alone = states(NOISE, 7, 8), [states(NOISE[:1], 7), states(NOISE[1:], 8)]
    assert (together - torch.cat(alone, 1)).abs().max() < 1e-12


@EACH
def test_from_pure_noise_all_is_finite(sampler):
    for schedule, prediction, ts in ((ZERO, V, trailing(1000, 4)), (Flow(), FLOW, shifted(4, 3))):
        states = list(sampler(denoiser(net, schedule, prediction), NOISE, schedule, ts, generator=seeded()))
        assert all(x.isfinite().all() and x.abs().max() < 10 for x in states)


@EACH
def test_the_converter_knows_its_class_or_says_its_name(sampler):
    config = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear"}
    try:
        assert with_sampler(config, sampler)["_class_name"].endswith("Scheduler")
    except ValueError as error:
        assert str(error).startswith(f"diffusers has no {sampler.__name__}, expected one of ddpm, ddim")


@EACH
def test_calls_of_the_denoiser(sampler):
    times, known = (
        [],
        {"heun": 19, "plms": 11} | dict.fromkeys(("ddim", "ddpm", "euler", "euler_ancestral", "dpmpp_2m"), 10),
    )

    def denoise(x, t):
        times.append(t)
        return x

    assert len(list(sampler(denoise, NOISE, STABLE, trailing(1000, 10)))) == 10
    calls = len(times)
    assert calls == known.get(sampler.__name__, calls) and all(isinstance(t, float) and 0 < t <= 1000 for t in times)
    assert len(list(sampler(denoise, NOISE, STABLE, trailing(1000, 1)))) == 1 and len(times) == calls + 1


@EACH
@pytest.mark.parametrize(
    ("ts", "message"),
    [
        ([1000], r"two or more.*got \[1000.0\]"),
        ([500, 500, 0], "descending times, such as trailing"),
        (karras(80, 0.002, 3), "descending times"),
        ([1001, 0], r"\[0, 1000\].*got 0 to 1001"),
    ],
)
def test_bad_times_are_named(sampler, ts, message):
    with pytest.raises(ValueError, match=message):
        list(sampler(lambda x, t: x, NOISE, STABLE, ts))


def test_bad_eta_is_named():
    with pytest.raises(ValueError, match="eta must be from 0 .* to 1 .*got 1.5"):
        list(ddim(lambda x, t: x, NOISE, STABLE, trailing(1000, 2), eta=1.5))
