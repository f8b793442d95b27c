"""MMDiT and Flux against diffusers, and that mistakes in them would be seen."""

from functools import cache

import oracle
import pytest
import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed

from minidiff import dit
from minidiff.convert import WeightsError, load, read_config, save, write_config
from minidiff.denoise import FLOW, denoiser, loss
from minidiff.dit import Flux, FluxConfig, MMDiT, MMDiTConfig, PatchEmbedding, rotary, rotated
from minidiff.guide import cfg
from minidiff.sample import euler
from minidiff.schedule import Flow, shifted

CASES = [name for name, (cls, _) in oracle.SMALL.items() if cls in (MMDiT, Flux)]
PARAMETERS = {
    "SD 3 medium": 2_028_328_000,
    "SD 3.5 medium": 2_243_171_520,
    "SD 3.5 large": 8_056_627_520,
    "FLUX.1 dev": 11_901_408_320,
    "FLUX.1 schnell": 11_891_178_560,
}


@cache
@torch.no_grad()
def reference(name):
    cls, options = oracle.SMALL[name]
    theirs, batch = oracle.randomised(oracle.build_theirs(cls, options)), oracle.inputs(cls, options, size=(3, 4))
    return theirs, batch, oracle.run_theirs(theirs, batch)


def ours_of(name, cls=None):
    return oracle.build_ours(cls or oracle.SMALL[name][0], oracle.SMALL[name][1], reference(name)[0])


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [(1, 1), (5, 2)])
def test_outputs_equal_diffusers(name, size):
    cls, options = oracle.SMALL[name]
    batch = oracle.inputs(cls, options, size=size)
    assert oracle.error(oracle.run_ours(ours_of(name), batch), oracle.run_theirs(reference(name)[0], batch)) <= 5e-5


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_real_ones_have_as_many_parameters_as_their_makers_say(name):
    with torch.device("meta"):
        model = oracle.REAL[name][0](read_config(*oracle.REAL[name]))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in CASES if "MMDiT" in name])
def test_the_table_of_places_is_theirs(name):
    model = ours_of(name)
    table = PatchEmbedding(model.config, model.dim).pos_embed
    assert oracle.error(table, reference(name)[0].pos_embed.pos_embed) <= 1e-5


def test_places_turn_heads_as_in_diffusers():
    places = torch.tensor([[0.0, 0, 0], [0, 63, 127], [2, 5, 1]])
    angles = rotary(places, (2, 6, 8))
    for i, dim in enumerate((2, 6, 8)):
        cos, sin = get_1d_rotary_pos_embed(dim, places[:, i], use_real=True, freqs_dtype=torch.float64)
        own = angles[:, sum((1, 3, 4)[:i]) :][:, : dim // 2].repeat_interleave(2, dim=1)
        assert (own.cos() - cos).abs().max() < 2e-5 and (own.sin() - sin).abs().max() < 2e-5


def test_a_query_and_a_key_feel_only_how_far_they_are_apart():
    q, k = torch.randn(2, 1, 1, 32, dtype=torch.float64)
    near, far = (
        (rotated(q, rotary(a, (2, 6, 8))) * rotated(k, rotary(b, (2, 6, 8)))).sum()
        for a, b in [
            (torch.tensor([[0.0, 1, 2]]), torch.tensor([[1.0, 5, 3]])),
            (torch.tensor([[4.0, 3, 7]]), torch.tensor([[5.0, 7, 8]])),
        ]
    )
    assert (near - far).abs() < 1e-4 and (near - (q * k).sum()).abs() > 1e-2


@pytest.mark.parametrize("cls", [MMDiT, Flux])
def test_a_new_model_predicts_0_and_every_part_of_it_can_learn(cls):
    """adaLN-zero: at first only the last layer has a gradient; once gates and it are not 0, all parameters do."""
    torch.manual_seed(0)
    model, x = cls(), torch.randn(2, 4, 16, 16)
    config = model.config
    cond = torch.randn(2, 7, config.joint_attention_dim), torch.randn(2, config.pooled_projection_dim)
    assert (model(x, torch.tensor(500.0), cond) == 0).all()
    oracle.randomised(model)
    loss(model, x, torch.tensor([0.3, 0.8]), cond, Flow(), FLOW).sum().backward()
    lost = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # queries of the last block's text are made as in diffusers, and not used
    assert all(name.startswith("transformer_blocks.4.text.attn.") and "_q" in name for name in lost)
    assert 5e6 < sum(p.numel() for p in model.parameters()) < 9e6


@torch.no_grad()
def test_it_draws_with_guidance_by_any_sampler():
    """cond is (states, pooled), whose first dimensions are B or 1, and no sampler learns of it."""
    model, x = ours_of("MMDiT"), torch.randn(2, 3, 8, 6)
    states, pooled = reference("MMDiT")[1]["cond"]
    guided = cfg(denoiser(model, Flow(), FLOW), (states, pooled), (0 * states[:1], pooled[:1]), 3.0)
    *_, drawn = euler(guided, x, Flow(), shifted(4, 3.0))
    single = cfg(denoiser(model, Flow(), FLOW), (states[:1], pooled[:1]), (0 * states[:1], pooled[:1]), 3.0)
    *_, first = euler(single, x[:1], Flow(), shifted(4, 3.0))
    assert drawn.isfinite().all() and oracle.error(drawn[:1], first) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_half_precision(name):
    """Times and guidance stay exact, and the output is near that of single precision."""
    _, batch, expected = reference(name)
    out = ours_of(name).bfloat16()(**batch)
    assert out.dtype == torch.bfloat16 and 0 < oracle.error(out.float(), expected[0]) < 0.1


@pytest.mark.parametrize("config", [MMDiTConfig(num_layers=2, dual_attention_layers=(0,)), FluxConfig(num_layers=1)])
def test_stored_and_read_again(config, tmp_path):
    model = oracle.randomised((MMDiT if isinstance(config, MMDiTConfig) else Flux)(config))
    save(model, tmp_path / "model.safetensors")
    again = load(type(model), tmp_path / "model.safetensors")
    assert again.config == config and read_config(type(model), write_config(type(model), config)) == config
    assert all((a - b).abs().max() < 0.01 for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_what_is_not_implemented_is_refused_by_name():
    for cls, options, name, value in (
        (MMDiT, oracle.SMALL_MMDIT, "qk_norm", "layer_norm"),
        (MMDiT, oracle.SMALL_MMDIT, "caption_projection_dim", 32),
        (MMDiT, oracle.SMALL_MMDIT, "pos_embed_max_size", None),
        (Flux, oracle.SMALL_FLUX, "patch_size", 2),
        (Flux, oracle.SMALL_FLUX, "axes_dims_rope", [2, 6, 6]),
        (Flux, oracle.SMALL_FLUX, "axes_dims_rope", [8, 8]),
    ):
        with pytest.raises(WeightsError, match=rf"\b{name}\b.*use diffusers for it"):
            read_config(cls, options | {name: value})


def test_what_does_not_fit_is_said():
    mmdit, flux = ours_of("MMDiT"), ours_of("Flux, guided")
    x, states, pooled, t = torch.zeros(1, 3, 4, 6), torch.zeros(1, 2, 20), torch.zeros(1, 12), torch.tensor(3.0)
    for model, bad, cond, match in (
        (mmdit, x[:, :2], (states, pooled), r"x is \(2, 4, 6\), this MMDiT takes 3 channels, .* multiples of 2: crop"),
        (mmdit, x[..., :5], (states, pooled), r"x is \(3, 4, 5\), this MMDiT takes 3 channels"),
        (mmdit, torch.zeros(1, 3, 4, 30), (states, pooled), "x is 2x15 patches, this MMDiT takes at most 14"),
        (mmdit, x, (states[..., 1:], pooled), r"the first \[19, 12\] wide; this MMDiT is told 2 tensors, .*\[20, 12\]"),
        (mmdit, x, (states, pooled, t), "got 3, .* this MMDiT is told 2 tensors"),
        (flux, x, (states, pooled), "got 2, .* this Flux is told 3 tensors"),
    ):
        with pytest.raises(ValueError, match=match):
            model(bad, t, cond)


# Mistakes that the tests above would see: each is one edit of the source.
EDITS = {
    "MMDiT": [
        ("shift and scale swapped", "(1 + scale) + shift", "(1 + shift) + scale"),
        ("times scale, not 1 + scale", "* (1 + scale)", "* scale"),
        ("the usual epsilon of layer norms", "eps=1e-6) * (1", "eps=1e-5) * (1"),
        ("no norm", "F.layer_norm(x, x.shape[-1:], eps=1e-6)", "x"),
        ("exact gelu", 'self.proj(x), approximate="tanh"', "self.proj(x)"),
        ("the last block's text: shift first", "of_text[::-1] if len(of_text) == 2 else of_text[:2]", "of_text[:2]"),
        ("the last layer: shift first", "scale, shift = self.norm_out", "shift, scale = self.norm_out"),
        ("gates swapped", "_, _, gate, mlp_shift, mlp_scale, mlp_gate,", "_, _, mlp_gate, mlp_shift, mlp_scale, gate,"),
        ("attention without a gate", "h = x + gate * self.attn.to_out(read)", "h = x + self.attn.to_out(read)"),
        ("MLP does not see what attention read", "self.ff(modulated(h,", "self.ff(modulated(x,"),
        ("no silu before modulation", "F.silu(temb)", "temb"),
        ("no pooled text", " + self.text_embedder(pooled.to(dtype))", ""),
        ("times of 1", "timestep_embedding(t, 256)", "timestep_embedding(t / 1000, 256)"),
        (
            "attention_head_dim is the number of heads",
            "config.num_attention_heads, config.qk",
            "config.attention_head_dim, config.qk",
        ),
        ("places counted from the corner", "(self.side - height) // 2, (self.side - width) // 2", "0, 0"),
        ("the middle rounded up", "(self.side - height) // 2,", "(self.side - height + 1) // 2,"),
        ("rows for columns", "(self.side, self.side))[", "(self.side, self.side)).transpose(1, 2)["),
        ("patches column by column", "return x.flatten(2)", "return x.mT.flatten(2)"),
        ("channels of a patch first", "x.transpose(2, 3).flatten(2)", "x.flatten(2)"),
        (
            "picture for text",
            "text, image = read.split([context.shape[1], x.shape[1]]",
            "image, text = read.split([x.shape[1], context.shape[1]]",
        ),
        (
            "the picture sees no text",
            "zip(*parts, strict=True)",
            "zip([0 * part for part in parts[0]], parts[1], strict=True)",
        ),
        ("keys for queries", "self.norm_q(q).flatten(2), self.norm_k(k)", "self.norm_k(k).flatten(2), self.norm_q(q)"),
        (
            "every 3rd channel is one head's",
            "h.unflatten(-1, (self.heads, -1))",
            "h.unflatten(-1, (-1, self.heads)).mT",
        ),
    ],
    "MMDiT, dual, normed": [
        ("queries not normed", "self.norm_q(q).flatten(2)", "q.flatten(2)"),
        ("another epsilon", "RMSNorm(dim // heads, 1e-6)", "RMSNorm(dim // heads, 1e-5)"),
        ("no second attention", "if self.attn2 is not None:", "if False:"),
        ("the second attention after the first", "self.attn2(modulated(x,", "self.attn2(modulated(h,"),
        (
            "the second attention modulated as the first",
            "shift, scale, gate = own",
            "shift, scale, gate = modulation[:3]",
        ),
        ("the second attention: scale first", "shift, scale, gate = own", "scale, shift, gate = own"),
    ],
    "Flux, guided": [
        ("guidance ignored", "for scale in guidance:", "for scale in ():"),
        ("guidance not times 1000", "1000 * scale", "scale"),
        ("turned the other way", "[a * cos - b * sin, a * sin + b * cos]", "[a * cos + b * sin, b * cos - a * sin]"),
        (
            "halves of a head turned, not neighbours",
            "(-1, angles.shape[1], 2)).unbind(-1)",
            "(-1, 2, angles.shape[1])).unbind(-2)",
        ),
        ("keys not turned", "rotated(k, angles), v, self.text", "k, v, self.text"),
        ("one stream not turned", "rotated(q, angles), rotated(k, angles), v, self.attn", "q, k, v, self.attn"),
        ("one number of channels for all axes", "device=places.device) / d", "device=places.device) / max(dims)"),
        ("slower turns", "10000.0**-e", "1000.0**-e"),
        ("axes in reverse", "self.config.axes_dims_rope)", "self.config.axes_dims_rope[::-1])"),
        ("rows for columns", "(1, height, width)))", "(1, width, height)))"),
        (
            "rows and columns on the first axes",
            "F.pad(grid, (0, 0, words, 0))",
            "F.pad(grid, (0, 0, words, 0)).roll(-1, 1)",
        ),
        ("patches counted from 1", "F.pad(grid,", "F.pad(grid + 1,"),
        ("the picture's places first", "(0, 0, words, 0)", "(0, 0, 0, words)"),
        ("the picture first", "torch.cat([context, x], dim=1)", "torch.cat([x, context], dim=1)"),
        ("the text is returned", "x[:, words:]", "x[:, : x.shape[1] - words]"),
        (
            "MLP first",
            '[read, F.gelu(self.proj_mlp(h), approximate="tanh")]',
            '[F.gelu(self.proj_mlp(h), approximate="tanh"), read]',
        ),
        ("single block without a gate", "x + gate * self.proj_out(h)", "x + self.proj_out(h)"),
        ("single block with exact gelu", 'self.proj_mlp(h), approximate="tanh"', "self.proj_mlp(h)"),
        ("single block: gate first", "shift, scale, gate = self.norm(temb)", "gate, shift, scale = self.norm(temb)"),
        (
            "channels of a patch last",
            "F.pixel_unshuffle(x, 2)",
            "F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4)).transpose(1, 2).flatten(1, 2)",
        ),
    ],
}
EDITS = [(name, *edit) for name, edits in EDITS.items() for edit in edits]


@torch.no_grad()
@pytest.mark.parametrize("name, mistake, old, new", EDITS, ids=[f"{name}: {mistake}" for name, mistake, *_ in EDITS])
def test_a_mistake_shows(name, mistake, old, new):
    _, batch, expected = reference(name)
    wrong = ours_of(name, oracle.edited(dit, old, new)[oracle.SMALL[name][0].__name__])
    assert oracle.error(oracle.run_ours(wrong, batch), expected) > 5e-5
