"""Lesson 15's solutions against diffusers, transformers and the package's own models."""

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb, get_1d_rotary_pos_embed
from diffusers.models.normalization import AdaLayerNormZero
from transformers.models.t5.modeling_t5 import T5Attention

from minidiff.check import exercises
from minidiff.dit import JointBlock, rotary, rotated
from minidiff.t5 import buckets


def solution(name):
    return next(e.reference[name] for e in exercises(15).values() if name in e.reference)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shaken(net, seed=0):
    g = torch.Generator().manual_seed(seed)
    for p in net.requires_grad_(False).parameters():
        p.copy_(0.3 * torch.randn(p.shape, generator=g))
    return net


def test_the_norm_is_diffusers():
    theirs, x, c = shaken(AdaLayerNormZero(32)), noise(2, 9, 32), noise(2, 32, seed=1)
    shift, scale, *_ = theirs.linear(F.silu(c))[:, None].chunk(6, dim=-1)
    assert (solution("modulated")(x, shift, scale) - theirs(x, emb=c)[0]).abs().max() < 1e-5


def test_two_blocks_with_one_attention_are_the_package_s_joint_block():
    theirs, x, y, temb = shaken(JointBlock(24, 3, qk_norm=True)), noise(2, 7, 24), noise(2, 4, 24), noise(2, 24)
    norm, join = solution("modulated"), solution("joint_attention")
    streams, rows = (theirs.text, theirs.image), (y, x)
    six = [torch.cat(stream.norm1(temb), dim=-1)[:, 0] for stream in streams]
    asked = [s.attn.qkv(norm(z, *m[:, None].chunk(6, -1)[:2])) for s, z, m in zip(streams, rows, six, strict=True)]
    for stream, z, m, read, other in zip(streams, rows, six, join(*asked, 3), theirs(x, y, temb)[::-1], strict=True):
        attend = lambda _, stream=stream, read=read: stream.attn.to_out(read)  # noqa: E731  it has been read already
        ours = solution("adaln_block")(z, m, attend, stream.ff)
        assert (ours - other).abs().max() < 1e-5 * other.abs().max()


def test_positions_turn_as_in_diffusers_and_in_the_package():
    places, dims = torch.cartesian_prod(torch.arange(1), torch.arange(4), torch.arange(5)), (4, 6, 6)
    angles, x = solution("angles_of")(places, dims), noise(2, 3, 20, 16)
    assert torch.equal(angles, rotary(places, dims))
    ours = solution("turned")(x, angles)
    assert (ours.transpose(1, 2).flatten(2) - rotated(x.transpose(1, 2).flatten(2), angles)).abs().max() < 1e-5
    each = [
        get_1d_rotary_pos_embed(d, places[:, i].float(), repeat_interleave_real=True, use_real=True)
        for i, d in enumerate(dims)
    ]
    cos_sin = tuple(torch.cat(parts, dim=1) for parts in zip(*each, strict=True))
    assert (ours - apply_rotary_emb(x, cos_sin)).abs().max() < 1e-5


@pytest.mark.parametrize(("number", "furthest"), [(32, 128), (12, 20), (16, 300)])
def test_distances_have_the_buckets_of_transformers(number, furthest):
    distance = torch.arange(-500, 501)
    theirs = T5Attention._relative_position_bucket(distance, True, number, furthest)
    assert torch.equal(solution("bucket")(distance, number, furthest), theirs)
    assert torch.equal(buckets(distance, number, furthest), theirs)


SIZES = (24, 3, 1, True), (24, 4, 3, False), (2432, 38, 38, True)


@pytest.mark.parametrize(("D", "heads", "layers", "qk_norm"), SIZES)
def test_the_count_is_that_of_the_blocks(D, heads, layers, qk_norm):
    with torch.device("meta"):
        blocks = [JointBlock(D, heads, qk_norm, last=i == layers - 1) for i in range(layers)]
    parts = torch.nn.ModuleList(blocks), blocks[-1].text
    all_of_them, words = (sum(p.numel() for p in part.parameters()) for part in parts)
    assert solution("blocks_parameters")(D, heads, layers, qk_norm) == all_of_them
    assert solution("stream_parameters")(D, heads, qk_norm, True) == words


def test_who_is_left_can_be_told_without_training_and_not_from_words_alone():
    exercise = exercises(15)["15.6"]
    made = exercise.solution.made("halves, score, WORDS, in_places")
    sides, (x, new) = made["WORDS"][8:10], made["halves"](7)
    encode = solution("my_states")
    assert made["score"](x, encode(x, *sides), new, encode(new, *sides)) > 0.95
    for alone in (x, made["in_places"](x, *sides)):
        other = new if alone is x else made["in_places"](new, *sides)
        assert made["score"](x, alone, new, other) < 0.6
