"""diffusers' schedulers as our process: schedule, prediction, sampler, times."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from minidiff.arguments import named, real, skipped_steps, whole
from minidiff.convert.files import WeightsError, read_json
from minidiff.denoise import EPS, FLOW, X0, Prediction, V
from minidiff.sample import consistency, ddim, ddpm, dpmpp_2m, euler, euler_ancestral, heun, plms
from minidiff.schedule import (
    Discrete,
    Flow,
    Schedule,
    cosine_betas,
    karras,
    leading,
    linear_betas,
    linspace,
    scaled_linear_betas,
    trailing,
    zero_terminal_snr,
)

BETAS = {
    "linear": linear_betas,
    "scaled_linear": scaled_linear_betas,
    "squaredcos_cap_v2": lambda T, *_: cosine_betas(T),
}
PREDICTIONS = {"epsilon": EPS, "v_prediction": V, "sample": X0}

# The options with an effect on each of diffusers' schedulers, with its own defaults.
_BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
_BETAS |= {"trained_betas": None, "prediction_type": "epsilon", "steps_offset": 0}
_WHOLE = dict(_BETAS, timestep_spacing="leading")  # times are whole numbers
_CLIP = {"clip_sample": True, "clip_sample_range": 1.0, "thresholding": False, "rescale_betas_zero_snr": False}
_SPACED = dict(_BETAS, timestep_spacing="linspace")
_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_ENDS = {"rescale_betas_zero_snr": False, "final_sigmas_type": "zero"}
_DPM = {"solver_order": 2, "solver_type": "midpoint", "algorithm_type": "dpmsolver++", "lambda_min_clipped": -math.inf}
_DPM |= {"use_lu_lambdas": False, "use_flow_sigmas": False, "use_dynamic_shifting": False}
_DPM |= {"thresholding": False, "variance_type": None}
_EULER = {"interpolation_type": "linear", "timestep_type": "discrete", "sigma_min": None, "sigma_max": None}
_HEUN = {"beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "clip_sample_range": 1.0}
_FLOW = {"num_train_timesteps": 1000, "shift": 1.0, "use_dynamic_shifting": False, "shift_terminal": None}
_FLOW |= {"invert_sigmas": False, "stochastic_sampling": False, "time_shift_type": "exponential"}
_FLOW |= {"base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096}
_LCM = {"original_inference_steps": 50, "timestep_scaling": 10.0, "beta_start": 0.00085, "beta_end": 0.012}
_LCM |= {"beta_schedule": "scaled_linear", "set_alpha_to_one": True, "clip_sample": False}
SCHEDULERS = {
    "DDPMScheduler": (ddpm, _WHOLE | _CLIP | {"variance_type": "fixed_small"}),
    "DDIMScheduler": (ddim, _WHOLE | _CLIP | {"set_alpha_to_one": True}),
    "PNDMScheduler": (plms, _WHOLE | {"set_alpha_to_one": False, "skip_prk_steps": False}),
    "EulerDiscreteScheduler": (euler, _SPACED | _SIGMAS | _ENDS | _EULER),
    "EulerAncestralDiscreteScheduler": (euler_ancestral, _SPACED | {"rescale_betas_zero_snr": False}),
    "HeunDiscreteScheduler": (heun, _SPACED | _SIGMAS | _HEUN),
    "DPMSolverMultistepScheduler": (dpmpp_2m, _SPACED | _SIGMAS | _ENDS | _DPM),
    "LCMScheduler": (consistency, _WHOLE | _CLIP | _LCM),
    "FlowMatchEulerDiscreteScheduler": (euler, _SIGMAS | _FLOW),
}
_OVER_ALPHA = {"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"}
_WHOLE_NUMBERS = {"num_train_timesteps", "steps_offset", "base_image_seq_len", "max_image_seq_len"}
_WHOLE_NUMBERS |= {"original_inference_steps"}
_NUMBERS = _WHOLE_NUMBERS | {"beta_start", "beta_end", "clip_sample_range", "timestep_scaling"}
_NUMBERS |= {"shift", "base_shift", "max_shift"}
# What an option that is no number may be, if not its default alone; (class, option) for one class.
_MAY_BE = {
    "beta_schedule": [*BETAS],
    "prediction_type": [*PREDICTIONS],
    ("PNDMScheduler", "prediction_type"): ["epsilon"],  # theirs mixes the v of several times as if of one
    ("EulerAncestralDiscreteScheduler", "prediction_type"): ["epsilon", "v_prediction"],
    "timestep_spacing": ["leading", "trailing", "linspace"],
    "rescale_betas_zero_snr": [False, True],
    "set_alpha_to_one": [True, False],
    "use_karras_sigmas": [False, True],
    ("FlowMatchEulerDiscreteScheduler", "use_karras_sigmas"): [False],
    ("FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting"): [False, True],
    "clip_sample": [False, True],
    ("DDIMScheduler", "clip_sample"): [False],  # theirs clips x_0 but keeps the eps of the unclipped one
    "skip_prk_steps": [True],
    "algorithm_type": ["dpmsolver++", "deis"],  # names of DEIS and UniPC, which their DPM-Solver++ takes for its own
    "solver_type": ["midpoint", "logrho", "bh1", "bh2"],
    "variance_type": [None, "fixed_small", "fixed_small_log"],  # in DDPM all the same, in DPM-Solver++ unused
}
# These have an effect only together with options that are refused.
_HARMLESS = {"dynamic_thresholding_ratio", "sample_max_value", "lower_order_final"}
_HARMLESS |= {"euler_at_final", "flow_shift", "time_shift_type"}
# Options of classes that are not ours (UniPC; TCD; SA-Solver; EDM; DPM-Solver SDE), which diffusers ignores in
# ours, and one of 2022 that is gone. And two that are gone and have no effect at these values alone.
_OTHERS = {"disable_corrector", "predict_x0", "solver_p", "predictor_order", "corrector_order", "tau_func"}
_OTHERS |= {"sigma_data", "sigma_schedule", "rho", "noise_sampler_seed", "tensor_format"}
_GONE = {"timestep_values": None, "predict_epsilon": True}


class Process(NamedTuple):
    """What makes the states of one of diffusers' schedulers: see `scheduler`."""

    schedule: Schedule
    prediction: Prediction
    sample: Callable  # a function of minidiff.sample
    times: Tensor  # steps + 1 of them, descending
    clip: float  # x_0 is clipped to [-clip, clip]; infinite: not at all


def scheduler(config: dict | str | Path, steps: int, patches: int | None = None) -> Process:
    """The (schedule, prediction, sample, times, clip) that make the states of a scheduler of diffusers:

        *states, x0 = sample(clipped(denoiser(net, schedule, prediction), clip), x, schedule, times)

    `config` is its config, or a folder with scheduler_config.json. All states are alpha x_0 + sigma eps; those of
    diffusers' Euler and Heun are over alpha. `init_noise_sigma` tells where it starts. Guidance, `cfg`, comes before
    clipping. `patches` is how many a transformer sees of the picture, by which use_dynamic_shifting shifts the times:
    more noise for more of them.

    As in diffusers, a missing option has its class' default, and one of other classes is ignored. WeightsError that
    names the option for all else that our samplers do not do exactly, and for an option of no class we know: diffusers
    ignores it, but whoever wrote it may have meant another picture. ValueError if `steps` is not from 1 to T.
    """
    name, option = scheduler_options(config)
    T, given, steps = option["num_train_timesteps"], steps, whole(steps)
    if steps is None or not 1 <= steps <= T:
        raise ValueError(f"steps is {named(given)}, expected a whole number from 1 to {T}")
    refuse = partial(_refuse, name, option, steps)
    clip = option["clip_sample_range"] if option.get("clip_sample") else math.inf
    if name == "FlowMatchEulerDiscreteScheduler":
        schedule = Flow()
        schedule.network_time = lambda t: torch.as_tensor(t, dtype=torch.float64) * T
        return Process(schedule, FLOW, euler, _flow_times(option, steps, patches), clip)

    schedule, prediction, sample = _noise(name, option), PREDICTIONS[option["prediction_type"]], SCHEDULERS[name][0]
    if name == "LCMScheduler":
        sample, times = partial(consistency, scaling=option["timestep_scaling"]), _lcm_times(option, steps, refuse)
    else:
        times = _grid_times(name, option, steps, refuse)
    _check_times(name, option, steps, times, refuse)
    snr = schedule.snr(times)
    if prediction is EPS and snr[0] == 0:
        refuse("rescale_betas_zero_snr", "epsilon says nothing of x_0 where all is noise; theirs is not finite")
    if not (snr.diff() > 0).all():
        refuse("rescale_betas_zero_snr", "theirs ends at 2^-24, above the level before; take fewer steps")
    if option.get("use_karras_sigmas"):
        _spread(schedule, times, name == "DPMSolverMultistepScheduler", option["beta_schedule"], refuse)
    return Process(schedule, prediction, sample, times, clip)


def _refuse(name: str, option: dict, steps: int, key: str, why: str) -> None:
    raise WeightsError(f"{key} of {name} is {option[key]!r}, with {steps} steps: {why}")


def _noise(name: str, option: dict) -> Discrete:
    """The schedule of its betas. In single precision, as theirs: its rounding shows, most where alpha_bar is near 1."""
    T, zero = option["num_train_timesteps"], option.get("rescale_betas_zero_snr")
    try:
        betas = BETAS[option["beta_schedule"]](T, option["beta_start"], option["beta_end"]).float()
        if option["trained_betas"] is not None:
            betas = torch.tensor(option["trained_betas"], dtype=torch.float32)
        if len(betas) != T:
            raise ValueError(f"trained_betas are {len(betas)}, expected num_train_timesteps, {T}, of them")
        schedule = Discrete(zero_terminal_snr(betas) if zero else betas)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the betas of {name} cannot be used: {error}") from error
    schedule.alpha_bar[1:] = (1 - schedule.betas.float()).cumprod(0)
    if zero and name not in ("DDPMScheduler", "DDIMScheduler", "LCMScheduler"):
        schedule.alpha_bar[-1] = 2**-24  # so that theirs can divide by alpha
    return schedule


# ------------------------------------------------------------------------------------------ steps + 1 times


def _flow_times(option: dict, steps: int, patches: int | None) -> Tensor:
    """From 1 to 0, shifted towards noise: by `shift`, or by how many patches the picture has."""
    T, shift = option["num_train_timesteps"], option["shift"]
    last = shift / (T + shift - 1)  # which is shifted twice
    if option["use_dynamic_shifting"]:
        if patches is None:
            expected = "expected patches=, how many the picture has, or False"
            raise WeightsError(f"use_dynamic_shifting of FlowMatchEulerDiscreteScheduler is True, {expected}")
        few, many = option["base_image_seq_len"], option["max_image_seq_len"]
        slope = (option["max_shift"] - option["base_shift"]) / (many - few)
        shift, last = math.exp(option["base_shift"] + slope * (patches - few)), 1 / T
    times = torch.linspace(1, 1 / steps if option["_even"] else last, steps, dtype=torch.float64)
    return nn.functional.pad(shift * times / (1 + (shift - 1) * times), (0, 1))


def _lcm_times(option: dict, steps: int, refuse: Callable) -> Tensor:
    """Some, evenly, of the times that an LCM was distilled at."""
    T, original = option["num_train_timesteps"], option["original_inference_steps"]
    left = original - option["_skipped"]
    if original > T or steps > left:
        why = f"{left} times are left, expected {steps} to {T}; take fewer steps, or more strength"
        refuse("original_inference_steps", why)
    chosen = left - np.floor(np.linspace(0, left, steps, endpoint=False))
    return nn.functional.pad(torch.from_numpy(chosen) * (T // original), (0, 1))


def _grid_times(name: str, option: dict, steps: int, refuse: Callable) -> Tensor:
    """By `timestep_spacing`."""
    T, spacing = option["num_train_timesteps"], option["timestep_spacing"]
    if spacing == "trailing" and math.ceil(T / (T / steps)) > steps:
        refuse("timestep_spacing", "theirs rounds to a time too many; take another number of steps")
    grid = {"trailing": trailing, "linspace": linspace, "leading": partial(leading, offset=option["steps_offset"])}
    dpm = name == "DPMSolverMultistepScheduler"  # whose grid has one step more, the last of which it leaves out
    points = steps + (dpm and spacing != "trailing")
    if points > T - option["steps_offset"] * (spacing == "leading"):
        refuse("timestep_spacing", f"its {points} times do not fit into {T}; take fewer steps")
    times = grid[spacing](T, points)[: steps + 1]
    if spacing == "linspace" and name not in _OVER_ALPHA:  # by numpy, so that ties between two times fall as theirs
        times[:-1] = torch.from_numpy(np.linspace(0, T - 1, steps + dpm).round()[::-1][:steps] + 1)
    times[-1] = 0 if option.get("set_alpha_to_one", True) else 1
    return times


def _check_times(name: str, option: dict, steps: int, times: Tensor, refuse: Callable) -> None:
    """Refuses times that leave the schedule, end twice at one, or between which theirs does not step."""
    T = option["num_train_timesteps"]
    if times[0] > T or times[-2] < 1:
        refuse("steps_offset", f"its times leave 1 to {T}; take 0 or 1")
    jumps = -times[:-1].diff()
    if name in ("DDIMScheduler", "PNDMScheduler") and ((jumps != T // steps).any() or times[-2] > T // steps):
        why = f"theirs steps by {T // steps}, which is not to the next of its times"
        refuse("timestep_spacing", f'{why}; take "leading", or "trailing" with a divisor of {T}')
    if times[-2] == times[-1]:
        refuse("set_alpha_to_one", "its last step would be from time 1 to time 1; take steps_offset 1")


def _spread(schedule: Discrete, times: Tensor, dpm: bool, betas: str, refuse: Callable) -> None:
    """Put all `times` but the last even in r^(1/7), r = sigma / alpha, over their own range; of DPM-Solver, over all r.

    The network is told times even in log r between whole ones; of DPM-Solver, the nearest whole one.
    """
    if (schedule.alpha_bar.diff() > 0).any():
        refuse("use_karras_sigmas", "with rescale_betas_zero_snr theirs ends at 2^-24, above the level before")
    if dpm and betas == "squaredcos_cap_v2":
        refuse("use_karras_sigmas", f'by "{betas}" rounding decides what the network is told; take False')
    T = schedule.T
    alpha, sigma = schedule(torch.arange(T + 1))
    r = (sigma / alpha).numpy()
    low, high = np.interp([1, T] if dpm else times[[-2, 0]], np.arange(T + 1), r)
    times[:-1] = torch.from_numpy(np.interp(karras(low, high, len(times) - 1)[:-1], r, np.arange(T + 1)))

    def network_time(t):
        alpha, sigma = schedule(t)
        told = np.interp((sigma / alpha).log(), np.log(r[1:]), np.arange(T))
        return torch.as_tensor(told.round() if dpm else told)

    schedule.network_time = network_time
    if dpm and len(times) > 2 and schedule.network_time(times[:2]).unique().numel() == 1:
        refuse("use_karras_sigmas", "the first two times round to one, so that theirs skips a step; take fewer")


# ------------------------------------------------------------------------------------------ what else a config decides


def init_noise_sigma(config: dict | str | Path, steps: int) -> float:
    """c of the first state c eps, eps ~ N(0, I), of diffusers' pipelines: 1, or sigma, which Euler and Heun take.

    (They take 1 for "leading", which never begins at pure noise, and sigma for the others, which nearly do.)
    """
    name, option = scheduler_options(config)
    schedule, _, _, times, _ = scheduler(config, steps, patches=1)  # whose number changes nothing here
    return schedule(times[0])[1].item() if name in _OVER_ALPHA and option["timestep_spacing"] != "leading" else 1.0


def with_sampler(config: dict, sample: Callable) -> dict:
    """The config under the class of `sample`, as diffusers' `from_config` takes it from one scheduler to another.

    A sampler that diffusers does not have gets the times of its Euler. Flow matching keeps its class: any sampler
    follows it.
    """
    if config.get("_class_name") == "FlowMatchEulerDiscreteScheduler":
        return config
    classes = {own: name for name, (own, _) in SCHEDULERS.items() if name != "FlowMatchEulerDiscreteScheduler"}
    sample = getattr(sample, "func", sample)  # of partial(ddim, eta=1)
    return config | {"_class_name": classes.get(sample, "EulerDiscreteScheduler")}


def of_image(config: dict | None, steps: int, share: float | None, up: bool) -> tuple[dict | None, int]:
    """(config, how many of the steps are skipped), where an image is given, of which a share of the steps is done.

    Diffusers' pipelines of LCMs do all steps, but at the times of that share: then no step is skipped.
    """
    if share is not None and (config or {}).get("_class_name") == "LCMScheduler" and "_skipped" in config:
        return config | {"_skipped": skipped_steps(scheduler_options(config)[1]["original_inference_steps"], share)}, 0
    return config, 0 if share is None else skipped_steps(steps, share, up)


def ddim_config(schedule: Schedule, prediction: Prediction) -> dict:
    """The config of diffusers' DDIM that is `ddim` at `trailing` times. WeightsError if diffusers cannot express it."""
    names = {own: name for name, own in PREDICTIONS.items()}
    if not isinstance(schedule, Discrete) or prediction not in names:
        raise WeightsError("diffusers' DDIM has no such process: give a Discrete schedule, and EPS, V or X0")
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": schedule.T,
        "trained_betas": schedule.betas.tolist(),
        "prediction_type": names[prediction],
        "timestep_spacing": "trailing",
        "steps_offset": 1,  # without effect here, but diffusers warns of any other
        "clip_sample": False,
    }


def scheduler_options(config: dict | str | Path) -> tuple[str, dict]:
    """(class, all its options that have an effect). WeightsError for one that is unknown or not supported."""
    if not isinstance(config, dict):
        config = read_json(Path(config) / "scheduler_config.json", "give the scheduler's folder, or a dict")
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in SCHEDULERS:
        raise WeightsError(f"_class_name is {name!r}, expected {', '.join(SCHEDULERS)}: take one of these")
    known = _HARMLESS.union(_OTHERS, *(options for _, options in SCHEDULERS.values()))
    for key, value in config.items():
        if key not in known and not key.startswith("_") and not (key in _GONE and value == _GONE[key]):
            raise WeightsError(f"unknown option {key} of {name}, {value!r}: remove it if it has no effect")
    options = SCHEDULERS[name][1] | {key: value for key, value in config.items() if key in SCHEDULERS[name][1]}
    for key, value in options.items():
        if key == "trained_betas":
            continue
        if key in _NUMBERS:
            expected = f"a {'whole ' * (key in _WHOLE_NUMBERS)}number{' above 0' * (key != 'steps_offset')}"
            options[key] = whole(value, -math.inf) if key in _WHOLE_NUMBERS else real(value)
            fine = options[key] is not None and (options[key] > 0 or key == "steps_offset")
        else:
            allowed = _MAY_BE.get((name, key), _MAY_BE.get(key, [SCHEDULERS[name][1][key]]))
            expected, fine = " or ".join(map(repr, allowed)), value in allowed
        if not fine:
            got = f"{value!r}" if key in config else f"{value!r} by default"
            raise WeightsError(f"{key} of {name} is {got}, expected {expected}: set it so, or take another scheduler")
    # none of theirs: times that FLUX's pipeline gives it, and how many that of LCMs leaves out for an image
    return name, options | {"_even": config.get("_even", False), "_skipped": config.get("_skipped", 0)}
