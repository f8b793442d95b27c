"""Lesson 12's solutions against minidiff's adapters, which are held to peft's and diffusers'."""

import torch
from safetensors.torch import save_file

from minidiff.adapt import LoRA
from minidiff.check import exercises
from minidiff.convert import their_name
from minidiff.ip_adapter import IPAdapter, cross_attentions
from minidiff.unet import UNet, UNetConfig


def solution(name):
    return next(e.reference[name] for e in exercises(12).values() if name in e.reference)


def small_unet():
    torch.manual_seed(0)
    shape = dict(block_out_channels=(16, 16), attention=(False, True), heads=(2, 2), cross_attention_dim=16)
    return UNet(UNetConfig(sample_size=8, norm_num_groups=8, **shape)).eval()


@torch.no_grad()
def test_a_changed_weight_and_a_file_of_kohya_are_as_minidiff_reads_them(tmp_path):
    unet = small_unet()
    theirs_of = {
        f"unet.{name}": their_name(f"{name}.weight").removesuffix(".weight") for name, _ in unet.named_modules()
    }
    lora = LoRA.new(unet, rank=3, alpha=5.0, where=r"\.to_q$|conv1$")
    tensors = {}
    for key, (A, B, alpha) in lora.layers.items():
        torch.nn.init.normal_(B)
        flat = "lora_unet_" + theirs_of[key].replace(".", "_")
        tensors |= {f"{flat}.lora_down.weight": A.clone(), f"{flat}.alpha": torch.tensor(alpha)}
        tensors[f"{flat}.lora_up.weight"] = B[:, :, None, None].clone() if A.ndim > 2 else B.clone()
    mine = solution("read_kohya")(tensors, [theirs_of[f"unet.{name}"] for name, _ in unet.named_modules()])
    save_file(tensors, tmp_path / "kohya.safetensors")
    theirs = LoRA.load(tmp_path / "kohya.safetensors", {"unet": unet}).layers
    assert {theirs_of[key] for key in theirs} == mine.keys() and len(mine) > 4
    changes = dict(LoRA(theirs).changes("unet"))
    for key, (A, B, alpha) in theirs.items():
        found, W = mine[theirs_of[key]], unet.get_submodule(key.removeprefix("unet.")).weight
        assert torch.equal(found[0], A) and torch.equal(found[1], B) and found[2] == alpha
        change = solution("changed")(W, A.flatten(1), B, alpha) - W
        assert (change.flatten(1) - changes[f"{key.removeprefix('unet.')}.weight"]).abs().max() < 1e-5


@torch.no_grad()
def test_two_attentions_are_those_of_the_ip_adapter():
    unet = small_unet()
    adapter, layer = IPAdapter.from_unet(unet, 8), cross_attentions(unet)[0]
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    x, text, embeds = torch.randn(2, 5, 16), torch.randn(2, 4, 16), torch.randn(2, 8)
    words = solution("image_words")(embeds, adapter.image_proj["proj"], adapter.image_proj["norm"], 4)
    assert (words - adapter(embeds)).abs().max() < 1e-6
    pair = next(iter(adapter.ip_adapter.values()))

    def heads(rows):
        return rows.unflatten(-1, (layer.heads, -1)).transpose(1, 2)

    q, k, v = heads(layer.to_q(x)), heads(layer.to_k(text)), heads(layer.to_v(text))
    out = solution("two_attentions")(q, k, v, heads(pair["to_k_ip"](words)), heads(pair["to_v_ip"](words)), 0.7)
    mine = layer.to_out(out.transpose(1, 2).flatten(2))
    looking = adapter.on(lambda x, t, context, _: layer(x, context), unet, words, 0.7)
    assert (mine - looking(x, 0, text)).abs().max() < 1e-5


def test_what_low_rank_begins_with_keeps_the_size_of_its_input():
    g = torch.Generator().manual_seed(0)
    A, B = solution("low_rank")(torch.zeros(10, 400), torch.randn(300, 400, generator=g))
    assert abs((A @ torch.randn(400, 50, generator=g)).std() - 1) < 0.03 and not (B @ A).any()
