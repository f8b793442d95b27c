"""What equals diffusers and transformers, to what error, and what is refused: python tools/equality.py

Measures with the functions of the tests, and writes docs/equality.md. About a minute.
"""

import contextlib
import io
import itertools
import platform
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import oracle  # noqa: E402
import test_adapt  # noqa: E402
import test_full_pipelines as pipelines  # noqa: E402
import test_models  # noqa: E402
import test_scheduler as schedulers  # noqa: E402
import test_sd3_flux as sd3_flux  # noqa: E402
import test_sdxl as sdxl  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402

from minidiff import convert, data  # noqa: E402
from minidiff.clip import CLIPText  # noqa: E402
from minidiff.controlnet import ControlNet  # noqa: E402
from minidiff.dit import Flux, MMDiT  # noqa: E402
from minidiff.t5 import T5  # noqa: E402
from minidiff.unet import UNet  # noqa: E402
from minidiff.vae import VAE  # noqa: E402


@torch.no_grad()
def models():
    """(our model, theirs, configurations, largest error)"""
    for cls, theirs in oracle.THEIRS.items():
        errors = []
        for kind, options in oracle.SMALL.values():
            if kind is cls:
                reference = oracle.randomised(oracle.build_theirs(cls, options))
                ours, batch = oracle.build_ours(cls, options, reference), oracle.inputs(cls, options)
                errors.append(oracle.error(oracle.run_ours(ours, batch), oracle.run_theirs(reference, batch)))
        yield cls.__name__, theirs.__name__, len(errors), max(errors), oracle.tolerance(cls)


def shapes():
    """(a real checkpoint's part, parameters), keys and shapes of which are equal."""
    for name, (cls, options) in oracle.REAL.items():
        with torch.device("meta"):
            ours, theirs = cls(convert.read_config(cls, options)), oracle.build_theirs(cls, options)
        renamed = {convert.their_name(key): tensor.shape for key, tensor in ours.state_dict().items()}
        assert renamed == {key: tensor.shape for key, tensor in oracle.their_state(theirs).items()}, name
        yield name, sum(p.numel() for p in ours.parameters())


def samplers():
    """(scheduler, sampler, equal, refused, largest error) over all options, at 1 to 50 steps."""
    for name, options in schedulers.OPTIONS.items():
        errors, refused = [], 0
        values = [["epsilon", "v_prediction", "sample"], schedulers.SPACINGS, *options.values()]
        for prediction, (spacing, offset), *rest in itertools.product(*values):
            config = {"_class_name": name, "prediction_type": prediction, "timestep_spacing": spacing}
            config |= {"steps_offset": offset} | schedulers.BETAS["scaled_linear"]
            config |= dict(zip(options, rest, strict=True))
            for n in schedulers.STEPS["scaled_linear"]:
                try:
                    convert.scheduler(config, n)
                except ValueError:
                    refused += 1
                    continue
                for eta in [{"eta": 0}, {"eta": 0.5}, {"eta": 1}] if name == "DDIMScheduler" else [{}]:
                    ours, theirs = (f(config, n, **eta) for f in (schedulers.our_states, schedulers.their_states))
                    errors.append(schedulers.worst(ours, theirs))
        yield name, convert.schedulers.SCHEDULERS[name][0].__name__, len(errors), refused, max(errors)
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    errors = [
        schedulers.worst(schedulers.our_states(config, n), schedulers.their_states(config, n))
        for config, n in itertools.product((flow | {"shift": 1.0}, flow | {"shift": 3.0}), range(1, 51))
    ]
    yield flow["_class_name"], "euler", len(errors), 0, max(errors)


def whole_pipelines(folder):
    """(pipeline, scheduler, error of the final latents, largest difference of pixels)"""
    image = Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((32, 32))
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 4:20] = 255
    kinds = {
        "StableDiffusionPipeline": {},
        "StableDiffusionImg2ImgPipeline": {"image": image, "strength": 0.5},
        "StableDiffusionInpaintPipeline": {"image": image, "strength": 0.7, "mask": Image.fromarray(mask)},
        "StableDiffusionControlNetPipeline": {"image": image},
    }
    for kind, call in kinds.items():
        for name in ("DDIMScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"):
            if name == "PNDMScheduler" and "strength" in call:
                continue
            (latents, picture), (their_latents, theirs) = pipelines.both(folder, kind, name, {}, **call)
            difference = np.abs(picture.astype(int) - (theirs[0] * 255).round().astype(int))
            difference = difference[mask > 0] if "mask" in call else difference
            yield kind, name, oracle.error(latents, their_latents), difference.max()


def sdxl_pipelines(root):
    """The same for SDXL, by Euler: its Turbo by Euler ancestral."""
    image, size = Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((48, 32)), {"height": 32, "width": 48}
    redrawn, turbo = {"image": image, "strength": 0.6}, {"guidance": 1.0, "steps": 1}
    inpainted, mask = redrawn | {"mask_image": Image.fromarray(sdxl.MASK)}, redrawn | {"mask": sdxl.MASK > 0}
    refined, half = sdxl.our_pipeline(root / "refiner"), sdxl.theirs(root / "base", steps=6, denoising_end=0.6)
    end = {"image": half, "steps": 6, "denoising_start": 0.6}
    for what, kind, name, other, mine in (
        ("StableDiffusionXLPipeline", "", "base", size, size),
        ("the same, sizes and a crop", "", "base", sdxl.SIZES, {"sizes": sdxl.Sizes(**sdxl.SIZES)}),
        ("SDXL-Turbo, one step", "", "turbo", turbo, turbo),
        ("StableDiffusionXLImg2ImgPipeline", "Img2Img", "base", redrawn, redrawn),
        ("the refiner", "Img2Img", "refiner", redrawn, redrawn),
        ("base, then refiner", "Img2Img", "refiner", end, {"steps": 6, "refiner": (refined, 0.4)}),
        ("StableDiffusionXLInpaintPipeline", "Inpaint", "base", inpainted | size, mask),
    ):
        yield row(sdxl, what, kind, root / name, other, mine, root / ("base" if "refiner" in mine else name))


def sd3_and_flux_pipelines(root):
    """The same for SD 3 and FLUX."""
    image = Image.fromarray(data.scene(data.EVAL_SEED + 3).image).resize((48, 32))
    redrawn, away = {"image": image, "strength": 0.6}, {"negative_prompt": sdxl.NEGATIVE}
    inpainted, mask = redrawn | {"mask_image": Image.fromarray(sdxl.MASK)}, redrawn | {"mask": sdxl.MASK > 0}
    led = away | {"true_cfg_scale": 2.5}, away | {"guidance": 2.5}
    for what, kind, name, other, mine in (
        ("StableDiffusion3Pipeline", "", "sd3", away, away),
        ("the same, without T5", "", "without_t5", {}, {}),
        ("StableDiffusion3Img2ImgPipeline", "Img2Img", "sd3", redrawn, redrawn),
        ("StableDiffusion3InpaintPipeline", "Inpaint", "sd3", inpainted, mask),
        ("FluxPipeline, dev", "", "dev", {}, {}),
        ("the same, a negative prompt", "", "dev", *led),
        ("FluxPipeline, schnell", "", "schnell", {}, {}),
        ("FluxImg2ImgPipeline, dev", "Img2Img", "dev", redrawn, redrawn),
        ("FluxInpaintPipeline, dev", "Inpaint", "dev", inpainted, mask),
    ):
        yield row(sd3_flux, what, kind, root / name, other, mine, root / name)


def row(tests, what, kind, folder, other, mine, own):
    """One of them: `tests` has `theirs` of a folder and `ours` of its `own`."""
    trace = tests.ours(own, **mine)
    latents, picture = (tests.theirs(folder, kind, **other | {"output_type": form}) for form in ("latent", "np"))
    difference = np.abs(np.asarray(trace.images[0]).astype(int) - (picture[0] * 255).round().astype(int))
    difference = difference[sdxl.MASK > 0] if kind == "Inpaint" else difference
    scheduler = sdxl.our_pipeline(folder).scheduler_config["_class_name"]
    return what, scheduler, oracle.error(trace.states[-1], latents), difference.max()


def adapters(folder):
    """(what, whose, cases, largest error): LoRAs, alone and two at once, and an IP-Adapter, at several weights."""
    ours, theirs = test_adapt.both(folder)
    first = test_adapt.written(theirs, folder / "first")
    second = test_adapt.written(theirs, folder / "second", seed=5, r=3, alpha=8.0, patterns={})
    theirs.load_lora_weights(first, adapter_name="a")
    theirs.load_lora_weights(second, adapter_name="b")
    errors = []
    for a, b in ((0.6, 0.0), (1.0, 0.0), (0.6, -0.8)):
        ours.load_lora(first, a, "a")
        ours.load_lora(second, b, "b")
        errors.append(test_adapt.worst(ours, test_adapt.scaled(theirs, a=a, b=b)))
    yield "LoRAs of U-Net and text encoder", "diffusers with peft", len(errors), max(errors)
    looking = test_adapt.both_looking(test_adapt.with_ip_adapter(folder))
    errors = [oracle.error(*test_adapt.drawn(looking, scale, 4.0)) for scale in (0, 0.6, 1)]
    yield "IP-Adapter, final latents", "diffusers", len(errors), max(errors)


REFUSED = [
    (UNet, oracle.SD_UNET | {"addition_embed_type": "text_image"}),
    (UNet, oracle.SD_UNET | {"class_embed_type": "timestep"}),
    (VAE, oracle.SD_VAE | {"use_post_quant_conv": False}),
    (CLIPText, oracle.SD_TEXT | {"hidden_act": "relu"}),
    (ControlNet, oracle.SD_CONTROLNET | {"global_pool_conditions": True}),
    (MMDiT, oracle.SD3_MMDIT | {"qk_norm": "layer_norm"}),
    (Flux, oracle.FLUX | {"patch_size": 2}),
    (T5, oracle.T5_XXL | {"feed_forward_proj": "relu"}),
]
REFUSED_SCHEDULERS = [
    ({"_class_name": "LCMScheduler"}, 5),
    ({"_class_name": "DDIMScheduler"}, 5),
    (schedulers.DDIM | {"timestep_spacing": "linspace"}, 5),
    (schedulers.DDIM | {"timestep_spacing": "trailing"}, 7),
    (schedulers.DDIM | schedulers.ZERO | {"prediction_type": "epsilon"}, 5),
    (schedulers.SD15 | {"prediction_type": "v_prediction"}, 5),
    (schedulers.DPM | {"algorithm_type": "sde-dpmsolver++"}, 5),
    (schedulers.DPM | {"solver_order": 3}, 5),
    (schedulers.EULER | {"use_beta_sigmas": True}, 5),
]


def refusals():
    """What our code says of each of these."""
    for cls, options in REFUSED:
        yield message(convert.read_config, cls, options)
    for config, steps in REFUSED_SCHEDULERS:
        yield message(convert.scheduler, config, steps)


def message(call, *arguments) -> str:
    try:
        call(*arguments)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{arguments} was taken")


def shown(cell) -> str:
    return f"{cell:.1e}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int | np.integer) else cell


def full_size() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        test_models.test_the_full_size_unet_computes_what_diffusers_does()
    return said.getvalue().strip()


def table(head: str, rows) -> list[str]:
    """A Markdown table; a float is an error."""
    lines = [f"| {' | '.join(head.split(', '))} |", "|" + "---|" * (head.count(",") + 1)]
    for row in rows:
        lines.append(f"| {' | '.join(map(shown, row))} |")
        print(lines[-1], file=sys.stderr)
    return [*lines, ""]


def main():
    with tempfile.TemporaryDirectory() as folder:
        root, folder = Path(folder), pipelines.tiny_pipeline(Path(folder) / "sd")
        sdxl.tiny_sdxl(root / "sdxl")
        sd3_flux.tiny_transformers(root / "sd3_flux")
        lines = [
            "# What equals diffusers and transformers, to what error",
            "",
            f"Written by `python tools/equality.py`: diffusers {diffusers.__version__}, transformers"
            f" {transformers.__version__}, torch {torch.__version__.split('+')[0]}, {platform.machine()}. An error is"
            " the largest absolute difference over the largest absolute value of the reference. `make test` asserts all"
            " of this, on more cases, and that typical mistakes are seen.",
            "",
            "## Models",
            "",
            "Random weights, all of them, at odd sizes.",
            "",
            *table("ours, theirs, configurations, largest error, allowed", models()),
            f"At full size, the same random weights in both, 32x32 latents, both runs together: {full_size()}.",
            "",
            "Parameter names and shapes are those of the real checkpoints:",
            "",
            *table("checkpoint, parameters", shapes()),
            "## Samplers",
            "",
            "All states, in float64 from diffusers' own float32 tables: every prediction type, spacing and option that"
            " the sampler has, at 1, 2, 3, 5, 10 and 50 steps; eta 0, 0.5 and 1 for DDIM. Refused: combinations that"
            " our process cannot express exactly.",
            "",
            *table("diffusers, ours, cases equal, refused, largest error", samplers()),
            "## Pipelines",
            "",
            "Small random models written by diffusers; guidance 4; 5 steps and a negative prompt, in SDXL 4 and none."
            " SD 3 and FLUX: 3 steps, guidance 3.5, or with a negative prompt 2.5 in FLUX.",
            "",
            *table(
                "diffusers, scheduler, error of the final latents, pixels (of 255)",
                itertools.chain(
                    whole_pipelines(folder),
                    sdxl_pipelines(root / "sdxl"),
                    sd3_and_flux_pipelines(root / "sd3_flux"),
                ),
            ),
            "Inpainting is compared where it draws: elsewhere ours are the image's own pixels, exactly.",
            "Diffusers' StableDiffusion3InpaintPipeline decodes without the VAE's shift, unlike its others: there ours",
            "differ in pixels, on purpose. One image for several prompts is encoded for each by its own seed, as in",
            "theirs for Stable Diffusion 1 and XL. Theirs for FLUX takes the first one's for all, and that for SD 3",
            "fails: give them a list of images.",
            "",
            "## Adapters",
            "",
            "Random ones, of ranks and alphas that differ by layer, alone and two at once, and at several weights.",
            "",
            *table("what, whose, cases, largest error", adapters(folder)),
            "## Refused, by name",
            "",
            *(f"- {said}" for said in refusals()),
            "",
        ]
    (ROOT / "docs" / "equality.md").write_text("\n".join(lines), "utf-8")
    print(ROOT / "docs" / "equality.md")


if __name__ == "__main__":
    main()
