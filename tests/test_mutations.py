"""The comparisons with diffusers and transformers see each usual mistake: one at a time is made in our code."""

import re
from functools import cache

import oracle
import pytest
import torch
import torch.nn.functional as F

from minidiff import attention, clip, controlnet, unet, vae


def epsilon(where, value):
    """The epsilon of the normalisations with a name like `where` is `value`."""

    def mistake(model, patch):
        found = [module for name, module in model.named_modules() if "norm" in name and re.search(where, name)]
        for module in found:
            module.eps = value
        assert found

    return mistake


def method(cls, name, mistaken):
    return lambda model, patch: patch.setattr(cls, name, mistaken)


def timestep_embedding(order=slice(None), shift=0, whole=False):
    def mistaken(t, dim):
        w = 10000 ** (-torch.arange(dim // 2) / (dim // 2 - shift))
        angles = (t.long() if whole else t)[:, None] * w
        return torch.cat([angles.cos(), angles.sin()][order], dim=-1)

    return lambda model, patch: patch.setattr(unet, "timestep_embedding", mistaken)


def tanh_gelu(self, x):
    value, gate = self.proj(x).chunk(2, dim=-1)
    return self.out(value * F.gelu(gate, approximate="tanh"))


def gate_first(self, x):
    gate, value = self.proj(x).chunk(2, dim=-1)
    return self.out(value * F.gelu(gate))


def activation(function):
    def mistake(model, patch):
        for layer in model.layers:
            layer.mlp.act = function

    return mistake


def head_size_for_number(model, patch):
    patch.setattr(attention, "split_heads", lambda x, heads: x.unflatten(-1, (-1, heads)).transpose(1, 2))


def two_heads(model, patch):
    model.encoder.mid_block.attention.heads = 2


def reshaped_not_permuted(self, x, context):
    h = self.norm(x).reshape(len(x), -1, x.shape[1])
    h = attention._project(self.proj_out, self.block(attention._project(self.proj_in, h), context))
    return x + h.reshape(x.shape)


def skip_first(self, x, skips, temb, context):
    for i in range(len(self.resnets)):
        x = self.layer(i, torch.cat([skips.pop(), x], dim=1), temb, context)
    return x if self.upsample is None else self.upsample(x, size=skips[-1].shape[-2:])


def unet_pads_like_vae(model, patch):
    down = model.down_blocks[0].downsample
    down.padding = (0, 0)
    down.register_forward_pre_hook(lambda module, args: F.pad(args[0], (0, 2, 0, 2)))


def vae_pads_like_unet(self, x):
    return F.conv2d(x, self.weight, self.bias, stride=2, padding=1)


def no_clamp(model, patch):
    patch.setattr(torch.Tensor, "clamp", lambda self, *limits: self)


def scaled_in_the_model(self, z):
    return self.decoder(self.post_quant_conv(z / self.config.scaling_factor))


def padding_masked(q, k, v, heads, mask):
    before_the_end = (oracle.IDS == 49).cumsum(1) - (oracle.IDS == 49).int() == 0
    return attention.attention(q, k, v, heads, mask & before_the_end[:, None, None])


def pooled_at(where):
    return method(clip.CLIPText, "pooled", lambda self, ids, x: x[torch.arange(len(ids)), where(ids).argmax(1)])


def normalised(self, ids, states=clip.CLIPText.hidden_states):
    return [self.final_layer_norm(state) for state in states(self, ids)]


def no_silu_after_conv_in(self, hint):
    x = self.conv_in(hint)
    for conv in self.blocks:
        x = F.silu(conv(x))
    return self.conv_out(x)


def residual(change):
    """The residuals, a list, are changed on their way into the U-Net or out of the ControlNet."""

    def mistake(model, patch):
        if isinstance(model, unet.UNet):
            forward = model.forward
            model.forward = lambda x, t, context, residuals: forward(x, t, context, change(residuals))
        else:
            model.register_forward_hook(lambda module, args, out: change(out))

    return mistake


def in_a_row(change):
    """The transformer blocks behind the first of a row are changed."""

    def mistake(model, patch):
        for layer in model.modules():
            if isinstance(layer, attention.Transformer2D):
                layer.more = change(layer.more)

    return mistake


def sizes_before_pooled(model, patch):
    weight = model.add_embedding.linear_1.weight
    weight.copy_(torch.cat([weight[:, 20:], weight[:, :20]], dim=1))


def sizes_with_the_sines_first(model, patch):
    right = unet.timestep_embedding
    patch.setattr(unet, "timestep_embedding", lambda t, dim: right(t, dim).roll(3, 1) if dim == 6 else right(t, dim))


MISTAKES = [
    # 1. epsilons
    ("U-Net: ResNet blocks have 1e-6, as the transformers", "U-Net", epsilon("resnets", 1e-6)),
    ("U-Net: the last norm has 1e-6", "U-Net", epsilon("conv_norm_out", 1e-6)),
    ("U-Net: transformers have 1e-5, as the ResNet blocks", "U-Net", epsilon(r"attentions\.\d\.norm$", 1e-5)),
    ("U-Net: layer norms have 1e-6", "U-Net", epsilon(r"block\.norm", 1e-6)),
    ("VAE: 1e-5, as the U-Net", "VAE", epsilon("", 1e-5)),
    ("text: 1e-5 whatever the config says", "text, gelu, one head, first end", epsilon("", 1e-5)),
    # 2. activations
    ("GEGLU with the tanh approximation", "U-Net", method(attention.FeedForward, "forward", tanh_gelu)),
    ("GEGLU with the gate first", "U-Net", method(attention.FeedForward, "forward", gate_first)),
    ("OpenAI's CLIP with gelu", "text", activation(F.gelu)),
    ("OpenCLIP with quick_gelu", "text, gelu, one head, first end", activation(clip.quick_gelu)),
    # 3. time
    ("time embedding with the sines first", "U-Net", timestep_embedding(order=slice(None, None, -1))),
    ("time embedding divided by half - 1", "U-Net", timestep_embedding(shift=1)),
    ("times are rounded", "U-Net", timestep_embedding(whole=True)),
    # 4. heads
    ("attention_head_dim is the size of a head", "U-Net", head_size_for_number),
    ("VAE: two heads", "VAE", two_heads),
    # 5. projections
    ("1x1 convolutions: reshaped, not permuted", "U-Net",
        method(attention.Transformer2D, "forward", reshaped_not_permuted)),
    ("linear projections: reshaped, not permuted", "U-Net, linear, 9 channels",
        method(attention.Transformer2D, "forward", reshaped_not_permuted)),
    # 6. skips
    ("skips before the state", "U-Net", method(unet.UpBlock, "forward", skip_first)),
    # 7. padding on the way down
    ("U-Net pads right and bottom", "U-Net", unet_pads_like_vae),
    ("VAE pads on all sides", "VAE", method(vae.Downsample, "forward", vae_pads_like_unet)),
    # 8. VAE
    ("log-variance without limits", "VAE", no_clamp),
    ("reconstruction from a sample", "VAE",
        method(vae.VAE, "forward", lambda self, x: self.decode(self.encode(x).sample()))),
    ("the model applies the scaling factor", "VAE", method(vae.VAE, "decode", scaled_in_the_model)),
    # 9. SDXL
    ("one transformer block of several", "U-Net, SDXL", in_a_row(lambda more: more[:0])),
    ("transformer blocks in reverse", "U-Net, SDXL", in_a_row(lambda more: more[::-1])),
    ("sizes before the pooled text", "U-Net, SDXL", sizes_before_pooled),
    ("sizes with the sines first", "U-Net, SDXL refiner", sizes_with_the_sines_first),
    # 10. CLIP
    ("text without a causal mask", "text", lambda model, patch: patch.setattr(
        clip, "attention", lambda q, k, v, heads, mask: attention.attention(q, k, v, heads))),
    ("padding masked", "text", lambda model, patch: patch.setattr(clip, "attention", padding_masked)),
    ("eos_token_id 2 taken at its word", "text", pooled_at(lambda ids: (ids == 2).int())),
    ("pooled at the largest id, not at the end", "text, gelu, one head, first end", pooled_at(lambda ids: ids)),
    ("projected: eos_token_id 2 taken at its word", "text, projected", pooled_at(lambda ids: (ids == 2).int())),
    ("the states of every layer normalised", "text, projected", method(clip.CLIPText, "hidden_states", normalised)),
    # 13. ControlNet
    ("hint without SiLU after conv_in", "ControlNet",
        method(controlnet.HintEmbedding, "forward", no_silu_after_conv_in)),
    ("hint with SiLU after conv_out", "ControlNet", lambda model, patch:
        model.controlnet_cond_embedding.conv_out.register_forward_hook(lambda module, args, out: F.silu(out))),
    ("lowest residual not scaled", "ControlNet", residual(lambda r: [*r[:-1], r[-1] / 0.7])),
    ("only the lowest residual scaled", "ControlNet", residual(lambda r: [*(x / 0.7 for x in r[:-1]), r[-1]])),
    ("U-Net without the lowest residual", "U-Net", residual(lambda r: [*r[:-1], 0 * r[-1]])),
    ("residuals of the skips in reverse", "U-Net without attention", residual(lambda r: [r[1], r[0], *r[2:]])),
]  # fmt: skip


@cache
def reference(name):
    cls, options = oracle.SMALL[name]
    theirs, batch = oracle.randomised(oracle.build_theirs(cls, options)), oracle.inputs(cls, options)
    return theirs, batch, oracle.run_theirs(theirs, batch)


@torch.no_grad()
@pytest.mark.parametrize("mistake, name, make", MISTAKES, ids=[mistake for mistake, *_ in MISTAKES])
def test_a_mistake_shows(mistake, name, make, monkeypatch):
    cls, options = oracle.SMALL[name]
    theirs, batch, expected = reference(name)
    ours = oracle.build_ours(cls, options, theirs)
    assert oracle.error(oracle.run_ours(ours, batch), expected) <= oracle.tolerance(cls)
    make(ours, monkeypatch)
    assert oracle.error(oracle.run_ours(ours, batch), expected) > oracle.tolerance(cls)
