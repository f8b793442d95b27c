"""`convert.scheduler` against diffusers' schedulers, run as its pipelines run them: equal states, or a refusal.

Diffusers computes its tables (sigmas, alphas_cumprod) in float32, and so does `scheduler`. But diffusers also computes
with them in float32 in each step, where `sigma_next - sigma` alone can lose more than 1e-5 of a state: a rounding error
of 6e-8 sigma, in a state of the next, smaller sigma. So most tests leave its numbers as they are but hold them in
float64 (`held_in_float64`); the Stable Diffusion configs are compared untouched too.
"""

import copy
import inspect
import itertools
import json
import math
import re
import sys
import types
from functools import cache, partial

import diffusers
import pytest
import torch

from minidiff import convert, sample
from minidiff.convert import init_noise_sigma, scheduler, schedulers, with_sampler
from minidiff.convert.schedulers import SCHEDULERS
from minidiff.denoise import clipped, denoiser

# diffusers gives tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NOISE = torch.randn(1, 2, 4, 4, generator=seeded(), dtype=torch.float64)


def net(x, time, cond=None):
    """Stands for a U-Net: linear in neither x nor time, mixing pixels, and bounded, as states can be large here."""
    time = torch.as_tensor(time, dtype=x.dtype).reshape(-1, 1, 1, 1) / 1000
    return torch.tanh(0.8 * x + 0.3 * x.roll(1, -1) - time) * (1 + 0.2 * torch.cos(3 * time)) + 0.1 * time


def held_in_float64(theirs):
    for table in ("sigmas", "alphas_cumprod", "final_alpha_cumprod"):
        if hasattr(theirs, table):
            setattr(theirs, table, getattr(theirs, table).double())


@cache
def their_scheduler(config):
    """As diffusers makes it, for which it takes longer than for ten steps."""
    config = json.loads(config)
    return getattr(diffusers, config["_class_name"]).from_config(config)


def their_states(config, n, noise=NOISE, held=held_in_float64, **eta):
    """alpha x_0 + sigma eps at all times, n + 1 states."""
    name = config["_class_name"]
    theirs = copy.deepcopy(their_scheduler(json.dumps(config)))
    theirs.set_timesteps(n)
    held(theirs)
    divided = name.startswith(("Euler", "Heun"))  # their states are over alpha

    def ours(x, i):
        return x / (theirs.sigmas[i].double() ** 2 + 1) ** 0.5 if divided else x

    x = noise * getattr(theirs, "init_noise_sigma", 1)
    options = eta | ({"generator": seeded(1)} if "generator" in inspect.signature(theirs.step).parameters else {})
    states = [ours(x, 0)]
    for t in theirs.timesteps:
        scaled = theirs.scale_model_input(x, t) if hasattr(theirs, "scale_model_input") else x
        x = theirs.step(net(scaled, t), t, x, **options).prev_sample
        states.append(ours(x, theirs.step_index if divided else None))
    if name == "PNDMScheduler" and n > 1:
        del states[1]  # the first try at the first step
    if name == "HeunDiscreteScheduler":
        states = [*states[:1], *states[2:-1:2], states[-1]]  # without Euler's first try at each step
    return states


def our_states(config, n, noise=NOISE, scheduler=scheduler, start=init_noise_sigma, **eta):
    schedule, prediction, sample, times, clip = scheduler(config, n)
    x = noise * start(config, n)
    denoise = clipped(denoiser(net, schedule, prediction), clip)
    return [x, *sample(denoise, x, schedule, times, generator=seeded(1), **eta)]


def worst(ours, theirs):
    """The maximum absolute error over all states, relative to the largest value in the state."""
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True))


# Every combination

STEPS = {"scaled_linear": [1, 2, 3, 5, 10, 50], "linear": [1, 2, 10], "cosine": [1, 3, 10], "trained": [5]}
BETAS = {
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained": {"trained_betas": [0.001 + 0.01 * (i % 7) / 7 + 1e-5 * i for i in range(1000)]},
}
SPACINGS = [("leading", 0), ("leading", 1), ("trailing", 0), ("linspace", 0)]
BOTH = [False, True]
OPTIONS = {
    "DDPMScheduler": {"rescale_betas_zero_snr": BOTH, "clip_sample": [False]},
    "DDIMScheduler": {"rescale_betas_zero_snr": BOTH, "set_alpha_to_one": BOTH, "clip_sample": [False]},
    "PNDMScheduler": {"set_alpha_to_one": BOTH, "skip_prk_steps": [True]},
    "EulerDiscreteScheduler": {"rescale_betas_zero_snr": BOTH, "use_karras_sigmas": BOTH},
    "EulerAncestralDiscreteScheduler": {"rescale_betas_zero_snr": BOTH},
    "HeunDiscreteScheduler": {"use_karras_sigmas": BOTH},
    "DPMSolverMultistepScheduler": {"rescale_betas_zero_snr": BOTH, "use_karras_sigmas": BOTH},
    "LCMScheduler": {"rescale_betas_zero_snr": BOTH, "set_alpha_to_one": BOTH},
}


def refused(config, n):
    """The option that cannot be kept, or None."""
    name, spacing, prediction = config["_class_name"], config["timestep_spacing"], config["prediction_type"]
    betas, zero = config.get("beta_schedule", "linear"), config.get("rescale_betas_zero_snr", False)
    if name == "LCMScheduler":  # its times are always the same, and begin at the last
        return "rescale_betas_zero_snr" if zero and prediction == "epsilon" else None
    whole_steps = {"leading": True, "trailing": 1000 % n == 0, "linspace": n == 1}[spacing]
    from_T = spacing == "trailing" or (spacing == "linspace" and n > 1)
    exact = name in ("DDIMScheduler", "DDPMScheduler")  # zero terminal SNR is zero
    to_1 = (spacing == "leading" and config["steps_offset"] == 0) or (spacing == "linspace" and n == 1)
    karras = betas == "linear" and zero  # alphas_cumprod[-2] < 2^-24
    if name == "DPMSolverMultistepScheduler":  # cut to whole times, or with the first two times the same
        karras |= betas == "squaredcos_cap_v2" or (zero and n == 50)
    not_predicted = {"PNDMScheduler": ["v_prediction", "sample"], "EulerAncestralDiscreteScheduler": ["sample"]}
    reasons = {
        "prediction_type": prediction in not_predicted.get(name, []),
        "timestep_spacing": name in ("DDIMScheduler", "PNDMScheduler") and not whole_steps,
        "set_alpha_to_one": config.get("set_alpha_to_one") is False and to_1,
        "rescale_betas_zero_snr": zero and exact and from_T and prediction == "epsilon",
        "use_karras_sigmas": config.get("use_karras_sigmas") and karras,
    }
    return next((option for option, holds in reasons.items() if holds), None)


@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize("name", OPTIONS)
def test_states_are_equal_or_the_option_is_named(name, betas):
    errors, expected = {}, 0
    values = [["epsilon", "v_prediction", "sample"], SPACINGS, *OPTIONS[name].values()]
    for prediction, (spacing, offset), *rest in itertools.product(*values):
        config = {"_class_name": name, "prediction_type": prediction, "timestep_spacing": spacing}
        config |= {"steps_offset": offset} | BETAS[betas] | dict(zip(OPTIONS[name], rest, strict=True))
        for n in STEPS[betas]:
            if option := refused(config, n):
                with pytest.raises(ValueError, match=f"{option} of {name} is "):
                    scheduler(config, n)
                continue
            for eta in [{"eta": 0}, {"eta": 0.5}, {"eta": 1}] if name == "DDIMScheduler" else [{}]:
                expected += 1
                error = worst(our_states(config, n, **eta), their_states(config, n, **eta))
                errors[(prediction, spacing, offset, *rest, n, *eta.values())] = error
    assert len(errors) == expected > 0
    assert {what: error for what, error in errors.items() if not error < 1e-5} == {}


@pytest.mark.parametrize("limit", [1.0, 0.6])
@pytest.mark.parametrize("name", ["DDPMScheduler", "HeunDiscreteScheduler"])
def test_clipping(name, limit):
    errors, changed = {}, {}
    for prediction, (spacing, offset), n in itertools.product(["epsilon", "v_prediction"], SPACINGS, [1, 2, 20]):
        config = {"_class_name": name, "prediction_type": prediction, "timestep_spacing": spacing} | BETAS["linear"]
        config |= {"steps_offset": offset, "clip_sample": True, "clip_sample_range": limit}
        case = (prediction, spacing, offset, n)
        if not refused(config, n):
            theirs = their_states(config, n)
            errors[case] = worst(our_states(config, n), theirs)
            changed[case] = worst(our_states(config | {"clip_sample": False}, n), theirs)
    assert len(errors) == 24 and sum(change > 1e-3 for change in changed.values()) > 12
    assert {what: error for what, error in errors.items() if not error < 1e-5} == {}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("original", [8, 30, 50, 99, 1000])
def test_lcm(original, prediction):
    """The times and the share of x in the guess: at scaling 0.01 and 1 it shows, at 10 hardly."""
    config = {"_class_name": "LCMScheduler", "original_inference_steps": original, "prediction_type": prediction}
    plain = {}
    for T, scaling, clip, n in itertools.product([1000, 100], [0.01, 1.0, 10.0], BOTH, range(1, 9)):
        options = {"num_train_timesteps": T, "timestep_scaling": scaling, "clip_sample": clip, "clip_sample_range": 0.7}
        if original > T:
            with pytest.raises(convert.WeightsError, match=f"original_inference_steps .* expected {n} to {T}"):
                scheduler(config | options, n)
            continue
        theirs = their_states(config | options, n)
        assert worst(our_states(config | options, n), theirs) < 1e-5, options
        schedule, prediction_, sampler, times, limit = scheduler(config | options, n)
        denoise = clipped(denoiser(net, schedule, prediction_), limit)
        states = [NOISE, *sample.consistency(denoise, NOISE, schedule, times, seeded(1))]
        plain[scaling] = max(plain.get(scaling, 0), worst(states, theirs))
    assert plain[0.01] > 0.01 and plain[1.0] > plain[10.0] > 1e-7, "without its trace of x"
    with pytest.raises(convert.WeightsError, match=f"{original} times are left, expected {original + 1} to 1001"):
        scheduler(config | {"num_train_timesteps": 1001}, original + 1)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 25, 50])
@pytest.mark.parametrize("T", [1000, 200])
@pytest.mark.parametrize("shift", [1, 3, 0.5])
def test_flow(shift, T, n):
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": shift, "num_train_timesteps": T}
    assert worst(our_states(config, n), their_states(config, n)) < 2e-6


# As it is: diffusers' tables in float32, no option left out or added, in float64 and float32

STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
CHECKPOINTS = {  # their scheduler/scheduler_config.json
    "Stable Diffusion 1.5": STABLE
    | {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "set_alpha_to_one": False}
    | {"skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False},
    "Stable Diffusion 2.1": STABLE
    | {"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", "prediction_type": "v_prediction"}
    | {"set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None}
    | {"clip_sample": False},
    "Stable Diffusion XL": STABLE
    | {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "prediction_type": "epsilon"}
    | {"clip_sample": False, "interpolation_type": "linear", "sample_max_value": 1.0, "set_alpha_to_one": False}
    | {"skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None}
    | {"use_karras_sigmas": False},
    "Stable Diffusion 3": {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.29.0.dev0"}
    | {"num_train_timesteps": 1000, "shift": 3.0},
    "LCM of Dreamshaper": STABLE
    | {"_class_name": "LCMScheduler", "_diffusers_version": "0.22.0.dev0", "clip_sample": False}
    | {"clip_sample_range": 1.0, "dynamic_thresholding_ratio": 0.995, "original_inference_steps": 50}
    | {"prediction_type": "epsilon", "rescale_betas_zero_snr": False, "sample_max_value": 1.0, "set_alpha_to_one": True}
    | {"steps_offset": 1, "thresholding": False, "timestep_scaling": 10.0, "timestep_spacing": "leading"}
    | {"trained_betas": None},
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_checkpoints(checkpoint, dtype, tmp_path):
    config, noise = CHECKPOINTS[checkpoint], NOISE.to(dtype)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    for n in range(1, 51, 7):
        ours, theirs = our_states(tmp_path, n, noise), their_states(config, n, noise, held=lambda theirs: None)
        assert all(x.dtype == dtype for x in ours)
        assert worst(ours, theirs) < 1e-5


V2, DPM_OF_2_1 = {"prediction_type": "v_prediction"}, {"solver_order": 2, "solver_type": "midpoint"}
IN_THE_WILD = {  # as people have them on their disks: old, saved by other classes, with options of both
    "Stable Diffusion 1.4, 2022": {"_class_name": "PNDMScheduler", "_diffusers_version": "0.2.2", "steps_offset": 1}
    | {"beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000}
    | {"skip_prk_steps": True, "tensor_format": "pt"},
    "DDIM, 2022": STABLE | {"_class_name": "DDIMScheduler", "_diffusers_version": "0.1.1", "clip_sample": False}
    | {"timestep_values": None, "trained_betas": None, "tensor_format": "pt"},
    "DDPM of pixels, 2022": {"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02}
    | {"beta_schedule": "linear", "beta_start": 0.0001, "clip_sample": True, "num_train_timesteps": 1000}
    | {"timestep_values": None, "trained_betas": None, "variance_type": "fixed_small", "predict_epsilon": True},
    "Euler that was UniPC": STABLE | {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.21.4"}
    | {"disable_corrector": [], "predict_x0": True, "solver_p": None, "solver_order": 2, "solver_type": "bh2"}
    | {"lower_order_final": True, "steps_offset": 1, "timestep_spacing": "leading", "clip_sample": False}
    | {"use_karras_sigmas": False, "thresholding": False, "sample_max_value": 1.0, "skip_prk_steps": True},
    "DPM++ that was DEIS": STABLE | {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "deis"}
    | {"solver_type": "logrho", "solver_order": 2, "lower_order_final": True, "steps_offset": 1}
    | {"timestep_spacing": "linspace", "use_karras_sigmas": True},
    "DDIM that was LCM": STABLE | {"_class_name": "DDIMScheduler", "original_inference_steps": 50}
    | {"timestep_scaling": 10.0, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    | {"rescale_betas_zero_snr": False, "timestep_spacing": "leading", "skip_prk_steps": True},
    "Stable Diffusion 2.1, DPM++": STABLE | V2 | DPM_OF_2_1
    | {"_class_name": "DPMSolverMultistepScheduler", "_diffusers_version": "0.10.2", "algorithm_type": "dpmsolver++"}
    | {"lower_order_final": True, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0, "thresholding": False}
    | {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False, "skip_prk_steps": True},
    "Counts as 1000.0": STABLE | {"_class_name": "EulerAncestralDiscreteScheduler", "num_train_timesteps": 1000.0}
    | {"steps_offset": 1.0, "timestep_spacing": "leading", "interpolation_type": "linear"},
}  # fmt: skip


def as_theirs(config):
    """The config with what diffusers means, but stumbles over: a count as 1000.0, DEIS' name for DPM-Solver++."""
    whole = {key: int(config[key]) for key in ("num_train_timesteps", "steps_offset") if key in config}
    return config | whole | ({"algorithm_type": "dpmsolver++"} if config.get("algorithm_type") == "deis" else {})


@pytest.mark.parametrize("what", IN_THE_WILD)
def test_configs_as_people_have_them(what):
    config = IN_THE_WILD[what]
    for n in (1, 2, 4, 7, 20, 25, 30, 50, 100):
        assert worst(our_states(config, n), their_states(as_theirs(config), n)) < 1e-5, n


OTHERS = ["DEISMultistepScheduler", "LCMScheduler", "UniPCMultistepScheduler", "KDPM2DiscreteScheduler"]
OTHERS += ["DPMSolverSinglestepScheduler", "TCDScheduler", "PNDMScheduler", "FlowMatchEulerDiscreteScheduler"]


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_another_sampler_reads_the_config_of_any_scheduler(name, saved):
    """As diffusers' `from_config` does, of what a file says and of what diffusers saves, every default in it."""
    config = STABLE | {"_class_name": name, "steps_offset": 1, "clip_sample": False, "skip_prk_steps": True}
    if name == "FlowMatchEulerDiscreteScheduler":
        config = {"_class_name": name, "shift": 3.0}
    first = getattr(diffusers, name).from_config(config)
    if saved:
        config = json.loads(first.to_json_string())
        first = getattr(diffusers, name).from_config(config)
    equal = []
    for sampler, n in itertools.product(sample.SAMPLERS.values(), [1, 5, 20]):
        replaced = with_sampler(config, sampler)
        if name == "FlowMatchEulerDiscreteScheduler":  #  no other class there does what this one does
            assert replaced == config
            continue
        try:
            ours = our_states(replaced, n)
        except convert.WeightsError:
            continue
        theirs = getattr(diffusers, replaced["_class_name"]).from_config(as_theirs(dict(first.config)))
        equal.append(sampler)
        assert worst(ours, their_states(dict(theirs.config), n)) < 1e-5, (sampler, n)
    assert name.startswith("FlowMatch") or {sample.ddpm, sample.euler, sample.heun, sample.dpmpp_2m} <= {*equal}


def test_a_sampler_that_diffusers_does_not_have_gets_the_times_of_euler():
    config = CHECKPOINTS["Stable Diffusion 1.5"]
    assert with_sampler(config, lambda *args: None) == with_sampler(config, sample.euler)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_stable_diffusion_s_betas_as_they_are(name):
    for spacing, n in itertools.product(["leading", "trailing", "linspace"], [1, 5, 20]):
        config = STABLE | {"_class_name": name, "timestep_spacing": spacing, "clip_sample": False}
        config |= {"skip_prk_steps": True, "set_alpha_to_one": True, "steps_offset": 1}
        if not refused(config | {"prediction_type": "epsilon"}, n):
            assert worst(our_states(config, n), their_states(config, n, held=lambda theirs: None)) < 1e-5


def test_where_diffusers_rounds():
    """Heun in two steps, r = sigma / alpha from 157 to 0.01: in float32 r_s - r_t loses 1e-5, and it divides by r_s.

    From "sample", ours stays exact. From "epsilon", whose x_0 cancels, both lose as much when states are float32.
    """

    def errors(prediction):
        config = {"_class_name": "HeunDiscreteScheduler", "prediction_type": prediction} | BETAS["linear"]
        exact, single = their_states(config, 2), NOISE.float()
        theirs = [worst(their_states(config, 2, x, held=lambda theirs: None), exact) for x in (NOISE, single)]
        return theirs, [worst(our_states(config, 2, x), exact) for x in (NOISE, single)]

    theirs, ours = errors("sample")
    assert min(theirs) > 1e-5 and max(ours) < 2e-6
    theirs, ours = errors("epsilon")
    assert ours[0] < 2e-6 and 1e-5 < theirs[1] and ours[1] < 3 * theirs[1]


# Each trap of diffusers, broken on purpose


def mutant(module, old, new):
    """A copy of the module with one piece of its code replaced."""
    code = inspect.getsource(module)
    assert code.count(old) == 1
    copy = types.ModuleType("mutant")
    sys.modules["mutant"] = copy  # dataclasses look their module up
    try:
        exec(compile(code.replace(old, new).replace("from .", "from minidiff."), "mutant", "exec"), vars(copy))
    finally:
        del sys.modules["mutant"]
    return copy


EULER = {"_class_name": "EulerDiscreteScheduler"} | STABLE
DDIM = {"_class_name": "DDIMScheduler", "clip_sample": False} | STABLE
DDPM = {"_class_name": "DDPMScheduler"} | STABLE
DPM = {"_class_name": "DPMSolverMultistepScheduler"} | STABLE
LEADING, TRAILING = {"timestep_spacing": "leading"}, {"timestep_spacing": "trailing"}
V_PREDICTION = {"prediction_type": "v_prediction"}
KARRAS = {"use_karras_sigmas": True}
ZERO = {"rescale_betas_zero_snr": True} | V_PREDICTION | TRAILING
SD15 = CHECKPOINTS["Stable Diffusion 1.5"]
SDXL = CHECKPOINTS["Stable Diffusion XL"]
SD3 = CHECKPOINTS["Stable Diffusion 3"]
LCM = CHECKPOINTS["LCM of Dreamshaper"] | {"timestep_scaling": 0.01}
HEUN = {"_class_name": "HeunDiscreteScheduler"} | STABLE
MUTANTS = {
    "17 the previous time off the list": (schedulers, "(jumps != T // steps).any() or ", "", DDIM | ZERO, 3),
    "18 set_alpha_to_one ignored": (schedulers, '0 if option.get("set_alpha_to_one", True) else 1', "0", SD15, 5),
    "18 steps_offset ignored": (schedulers, 'offset=option["steps_offset"]', "offset=0", SDXL, 5),
    "19 the second PLMS time not repeated": (sample, "elif alpha > 0 and s > ts[-1]:", "elif False:", SD15, 5),
    "20 init_noise_sigma is 1": (schedulers, '!= "leading" else 1.0', "is None else 1.0", EULER, 5),
    "20 init_noise_sigma is sigma": (schedulers, 'option["timestep_spacing"] != "leading"', "True", EULER | LEADING, 5),
    "20 the fractions of linspace rounded": (schedulers, " and name not in _OVER_ALPHA:", ":", EULER, 7),
    "21 Karras over all sigmas in Euler": (schedulers, "[1, T] if dpm else times[[-2, 0]]", "[1, T]",
        EULER | LEADING | KARRAS, 5),
    "21 Karras over the spaced sigmas in DPM++": (schedulers, "[1, T] if dpm else", "", DPM | KARRAS, 5),
    "21 what the network is told not rounded": (schedulers, "told.round() if dpm else told", "told", DPM | KARRAS, 5),
    "22 no point more": (schedulers, '(dpm and spacing != "trailing")', "0", DPM | LEADING, 5),
    "23 zero SNR is zero in Euler": (schedulers, "= 2**-24", "= 1e-30", EULER | ZERO, 5),
    "23 zero SNR is 2^-24 in DDIM": (schedulers, ' and name not in ("DDPMScheduler", "DDIMScheduler", "LCMScheduler")',
        "", DDIM | ZERO, 5),
    "24 sigma_min shifted once": (schedulers, "shift / (T + shift - 1)", "1 / T", SD3, 5),
    "25 Heun is Euler": (sample, "if alpha > 0 and sigma_s > 0:", "if False:", HEUN, 5),
    "26 v of several times mixed": (schedulers, '("PNDMScheduler", "prediction_type"): ["epsilon"]', '"": []',
        SD15 | V_PREDICTION, 5),
    "clip_sample ignored": (schedulers, 'if option.get("clip_sample") else', "if False else",
        DDPM | {"clip_sample": True}, 5),
    "clip_sample_range ignored": (schedulers, 'clip = option["clip_sample_range"]', "clip = 1.0",
        HEUN | {"clip_sample": True, "clip_sample_range": 0.5}, 5),
    "DDIM clips as DDPM does": (schedulers, '("DDIMScheduler", "clip_sample"): [False]', '"": []',
        DDIM | {"clip_sample": True}, 5),
    "tables in float64": (schedulers, "(1 - schedule.betas.float()).cumprod(0)", "(1 - schedule.betas).cumprod(0)",
        EULER | BETAS["cosine"] | KARRAS, 5),
    "no trace of x in LCM": (sample, "if scaling is not None:", "if False:", LCM, 5),
    "that trace by our time": (sample, "schedule.network_time(t).item()", "t", LCM, 5),
    "LCM's times rounded the other way": (schedulers, "np.floor(np.linspace(0, left", "np.ceil(np.linspace(0, left",
        LCM, 7),
    "zero SNR is 2^-24 in LCM": (schedulers, ', "LCMScheduler"):', "):", LCM | ZERO, 5),
    "v for epsilon": (schedulers, '"v_prediction": V', '"v_prediction": EPS', DDIM | V_PREDICTION, 5),
}  # fmt: skip


@pytest.mark.parametrize("what", MUTANTS)
def test_mutants_differ(what):
    module, old, new, config, n = MUTANTS[what]
    broken = mutant(module, old, new)
    expected = their_states(config, n)

    def theirs_of(config, n):
        schedule, prediction, sampler, *rest = scheduler(config, n)
        own = getattr(broken, getattr(sampler, "func", sampler).__name__)
        return schedule, prediction, partial(own, **getattr(sampler, "keywords", {})), *rest

    if module is sample:
        ours = our_states(config, n, scheduler=theirs_of)
    else:
        ours = our_states(config, n, scheduler=broken.scheduler, start=broken.init_noise_sigma)
    assert not worst(ours, expected) < 1e-5


# Options


def signature(name):
    options = inspect.signature(getattr(diffusers, name).__init__).parameters.values()
    return {option.name: option.default for option in options if option.name != "self"}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_option_is_known_with_its_default(name):
    theirs = signature(name)
    assert {key: theirs[key] for key in SCHEDULERS[name][1]} == SCHEDULERS[name][1]
    assert theirs.keys() - SCHEDULERS[name][1].keys() <= schedulers._HARMLESS


FINE = {"clip_sample": False, "skip_prk_steps": True, "set_alpha_to_one": True}  # those of other classes are ignored


@pytest.mark.parametrize("name", SCHEDULERS)
def test_harmless_options_change_nothing(name):
    others = {"clip_sample_range": 3.0, "sample_max_value": 2.0, "dynamic_thresholding_ratio": 0.5, "flow_shift": 7.0}
    others |= {"lower_order_final": False, "euler_at_final": True, "base_shift": 1.0, "max_image_seq_len": 9}
    others |= {"clip_sample_range": 3.0} if name != "PNDMScheduler" else {}
    config = {"_class_name": name} | FINE
    plain = their_states(config, 20)
    changed = config | {key: value for key, value in others.items() if key in signature(name)}
    assert worst(plain, their_states(changed, 20)) == 0
    assert worst(our_states(config, 20), our_states(config | others, 20)) == 0


@pytest.mark.parametrize("name", SCHEDULERS)
def test_options_of_other_classes_are_ignored_as_in_diffusers(name):
    others = {"disable_corrector": [0], "predict_x0": False, "solver_p": "x", "predictor_order": 1}
    others |= {"corrector_order": 3, "tau_func": "x", "sigma_data": 2.0, "sigma_schedule": "x", "rho": 3.0}
    others |= {"noise_sampler_seed": 1, "tensor_format": "np"}
    assert others.keys() == schedulers._OTHERS
    config = {"_class_name": name} | FINE
    assert worst(their_states(config, 5), their_states(config | others, 5)) == 0
    assert worst(our_states(config, 5), our_states(config | others, 5)) == 0


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("thresholding", True),
        ("variance_type", "fixed_large"),
        ("variance_type", "learned_range"),
        ("skip_prk_steps", False),
        ("final_sigmas_type", "sigma_min"),
        ("interpolation_type", "log_linear"),
        ("timestep_type", "continuous"),
        ("sigma_max", 80.0),
        ("use_exponential_sigmas", True),
        ("use_beta_sigmas", True),
        ("use_lu_lambdas", True),
        ("use_flow_sigmas", True),
        ("use_dynamic_shifting", True),
        ("solver_order", 3),
        ("solver_type", "heun"),
        ("algorithm_type", "sde-dpmsolver++"),
        ("lambda_min_clipped", -5.1),
        ("shift_terminal", 0.1),
        ("invert_sigmas", True),
        ("stochastic_sampling", True),
        ("prediction_type", "flow_prediction"),
        ("beta_schedule", "sigmoid"),
        ("timestep_spacing", "even"),
    ],
)
def test_an_option_without_counterpart_is_refused_where_it_has_an_effect(name, option, value):
    config = {"_class_name": name} | FINE
    if option in signature(name):
        with pytest.raises(ValueError, match=re.escape(f"{option} of {name} is {value!r}, expected ")):
            scheduler(config | {option: value}, 5)
    else:
        assert worst(our_states(config | {option: value}, 5), our_states(config, 5)) == 0


@pytest.mark.parametrize(
    ("config", "steps", "message"),
    [
        ({"_class_name": "TCDScheduler"}, 5, "_class_name is 'TCDScheduler', expected DDPMScheduler, .*: take"),
        ({}, 5, "_class_name is None, expected"),
        (DDIM | {"zoom": 0}, 5, "unknown option zoom of DDIMScheduler, 0: remove it"),
        (DDIM | {"predict_epsilon": False}, 5, "unknown option predict_epsilon of DDIMScheduler, False: remove"),
        ({"_class_name": "DDIMScheduler"}, 5, "clip_sample of DDIMScheduler is True by default, expected False: set"),
        ({"_class_name": "PNDMScheduler"}, 5, "skip_prk_steps of PNDMScheduler is False by default, expected True"),
        (DDIM, 0, "steps is 0, expected a whole number from 1 to 1000"),
        (DDIM, 1001, "steps is 1001, expected a whole number from 1 to 1000"),
        (DDIM, 2.5, "steps is 2.5, expected"),
        (DDIM | {"timestep_spacing": "linspace"}, 5, "timestep_spacing .* 'linspace', with 5 steps: .*; take"),
        (EULER | TRAILING, 61, "timestep_spacing .* with 61 steps: .*; take another number"),
        (DDIM | {"steps_offset": 21}, 50, "steps_offset of DDIMScheduler is 21, with 50 steps: .*; take 0 or 1"),
        (DDIM | {"steps_offset": 145}, 7, "timestep_spacing of DDIMScheduler"),
        (DDIM | {"steps_offset": -1}, 5, "steps_offset"),
        (DDIM | {"beta_end": "0.02"}, 5, "beta_end of DDIMScheduler is '0.02', expected a number"),
        (DDIM | {"num_train_timesteps": None}, 5, "num_train_timesteps .* is None, expected a whole number above 0"),
        (DDIM | {"num_train_timesteps": 999.5}, 5, "num_train_timesteps .* is 999.5, expected a whole number"),
        (DDIM | {"num_train_timesteps": True}, 5, "num_train_timesteps .* is True, expected a whole number"),
        (DDIM | {"steps_offset": "1"}, 5, "steps_offset of DDIMScheduler is '1', expected a whole number:"),
        (DDIM | {"beta_end": math.nan}, 5, "beta_end of DDIMScheduler is nan, expected a number above 0"),
        (DDIM | {"beta_start": -0.1}, 5, "beta_start of DDIMScheduler is -0.1, expected a number above 0"),
        (DDIM | {"beta_end": 2.0}, 5, r"the betas of DDIMScheduler cannot be used: betas must be .* in \(0, 1\]"),
        (DDIM | {"trained_betas": "many"}, 5, "the betas of DDIMScheduler cannot be used: "),
        (SD3 | {"shift": 0}, 5, "shift of FlowMatchEulerDiscreteScheduler is 0, expected a number above 0"),
        (DPM, 1000, "timestep_spacing of DPM.* with 1000 steps: its 1001 times do not fit into 1000; take fewer steps"),
        (SD15, 1000, "timestep_spacing of PNDM.* with 1000 steps: its 1000 times do not fit into 1000; take fewer"),
        ({"_class_name": ["DDIMScheduler"]}, 5, r"_class_name is \['DDIMScheduler'\], expected"),
        (DDIM | {"trained_betas": [0.1, 0.2]}, 5, "trained_betas are 2, expected num_train_timesteps, 1000"),
        (EULER | ZERO | BETAS["linear"], 1000, "rescale_betas_zero_snr .* is True, with 1000 steps: .*; take"),
    ],
)
def test_refusals(config, steps, message):
    with pytest.raises(ValueError if "steps is" in message else convert.WeightsError, match=message) as info:
        scheduler(config, steps)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("contents", [None, "", "[1]", "{"])
def test_no_config(tmp_path, contents):
    if contents is not None:
        (tmp_path / "scheduler_config.json").write_text(contents)
    with pytest.raises(convert.WeightsError, match="cannot be read .*: give the scheduler's folder"):
        scheduler(tmp_path, 5)
