"""Lesson 10: the solutions against autograd, and together against minidiff's own."""

import oracle
import torch
import torch.nn.functional as F

from minidiff.checks import exercises
from minidiff.guide import controlled
from minidiff.unet import timestep_embedding

gradients, encode, steer = (
    exercises(10)[number].reference[name]
    for number, name in (("10.2", "gradients"), ("10.3", "encode"), ("10.4", "steer"))
)


def test_the_gradients_are_those_of_autograd():
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 4, 5, 6), (2, 4), (3, 2, 5, 6)
    x, weight, dy = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    ours = gradients(x, weight, dy)
    x, weight = x.requires_grad_(), weight.requires_grad_()
    bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    theirs = torch.autograd.grad(F.conv2d(x, weight[:, :, None, None], bias), (weight, bias, x), dy)
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(ours, theirs, strict=True))


@torch.no_grad()
def test_the_exercises_together_are_a_controlled_unet():
    """10.3 and 10.4, put into a U-Net, steer it as `guide.controlled` does."""
    unet, *nets = (
        oracle.build_ours(*oracle.SMALL[name], oracle.randomised(oracle.build_theirs(*oracle.SMALL[name]), seed))
        for name, seed in (("U-Net", 0), ("ControlNet", 1), ("ControlNet", 2))
    )
    x, t, context, hint = (oracle.inputs(*oracle.SMALL["ControlNet"])[name] for name in ("x", "t", "context", "hint"))
    controls = []
    for net, scale in zip(nets, (0.5, 0.8), strict=True):
        parts = net.conv_in, net.down_blocks, net.mid_block
        temb = net.time_embedding(timestep_embedding(t, net.config.block_out_channels[0]))
        states = encode(*parts, x, temb, context, net.controlnet_cond_embedding(hint))
        zeros = [*net.controlnet_down_blocks, net.controlnet_mid_block]
        controls.append(([zero(state) for zero, state in zip(zeros, states, strict=True)], scale))
    own = unet.encode
    states, temb = own(x, t, context)
    skips, middle = steer(states[:-1], states[-1], controls)
    unet.encode = lambda *_: ([*skips, middle], temb)
    got = unet(x, t, context)
    unet.encode = own
    net = controlled(controlled(unet, nets[0], hint, 0.5), nets[1], hint, 0.8)
    assert oracle.error(got, net(x, t, context)) <= 5e-5
    assert oracle.error(got, unet(x, t, context)) > 0.01
