"""Weights: our own files, and those of diffusers and transformers for the same models, schedulers and pipelines."""

from minidiff.convert.files import WeightsError, load, read_json, save, write_json
from minidiff.convert.folders import (
    check_fit,
    read_index,
    read_options,
    read_sample_size,
    read_scheduler,
    write_index,
)
from minidiff.convert.models import find_part, from_diffusers, read_config, their_name, to_diffusers, write_config
from minidiff.convert.schedulers import ddim_config, init_noise_sigma, of_image, scheduler, with_sampler
from minidiff.convert.single_file import config_folder

__all__ = [
    "WeightsError", "check_fit", "config_folder", "ddim_config", "find_part", "from_diffusers", "init_noise_sigma",
    "load", "of_image", "read_config", "read_index", "read_json", "read_options", "read_sample_size", "read_scheduler",
    "save", "scheduler", "their_name", "to_diffusers", "with_sampler", "write_config", "write_index", "write_json",
]  # fmt: skip
