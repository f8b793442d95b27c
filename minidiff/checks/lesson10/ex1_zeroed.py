"""10.1 a zero convolution."""

import copy

import torch
from torch import nn

from minidiff.checks import Case
from minidiff.checks.parts import whole


def _tried(conv):
    """What a convolution gives, what its parameters are like, and which gradients reach them."""
    if not isinstance(conv, nn.Module):
        raise TypeError(f"got a {type(conv).__name__}, expected a convolution")
    weights = [*conv.parameters()]
    first = weights[0] if weights else conv.weight
    x = torch.arange(2 * first.shape[1] * 80, dtype=first.dtype).mul(0.7).cos().reshape(2, first.shape[1], 8, 10)
    with torch.enable_grad():
        y = conv(x)
        loss = (y * torch.arange(y.numel()).reshape(y.shape).sin()).sum()
        found = torch.autograd.grad(loss, weights, allow_unused=True) if y.requires_grad and weights else []
    return {
        "output": 0 * y.detach(),
        "gives": "0" if not y.any() else "not 0",
        "parameters": [("0" if not p.any() else "nearly 0" if p.abs().max() < 0.05 else "not 0") for p in weights],
        "learn": [p.requires_grad for p in weights],
        "gradients": list(found),
    }


def cases(g):
    cases = []
    for kernel, stride, padding, dtype in (
        (1, 1, 0, torch.float64),
        (3, 1, 1, torch.float32),
        (3, 2, 1, torch.float64),
        (5, 1, 1, torch.float64),
    ):
        shape = whole(g, 3, 4), whole(g, 5, 6)
        conv = nn.utils.skip_init(nn.Conv2d, *shape, kernel, stride=stride, padding=padding, dtype=dtype)
        with torch.no_grad():
            for parameter in conv.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=g))
        cases.append(Case("zeroed", (conv,), read=_tried))
    return cases


HINTS = """
Copy the module first: copy.deepcopy(conv).

module.parameters() gives all of its parameters; there may be more than one.

nn.init has a function that fills a parameter in place with zeros, and leaves it one that learns.
"""

MISTAKES = r"""
conv.parameters() -> [conv.weight]
    Its output is not 0 yet. A convolution has two parameters.
conv.parameters() -> [conv.bias]
    Its output depends on its input from the start: its weights are not 0.
nn.init.zeros_(parameter) -> pass
    Nothing in it is 0: all of its parameters should be, from the start.
nn.init.zeros_(parameter) -> nn.init.constant_(parameter, 1e-3)
    Its parameters are small, but not 0. A thousandth of noise is still noise: the promise is exactly nothing.
return conv -> return conv.requires_grad_(False)
    It gives 0 and always will: its parameters want no gradient.
return conv -> conv.weight.requires_grad_(False)\n    return conv
    Its weights want no gradient, so they stay 0: only its bias learns.
return conv -> weights = [p.detach() for p in conv.parameters()]\n    del conv.weight, conv.bias\n    conv.weight, conv.bias = weights\n    return conv
    Its weights are plain tensors, so no optimiser will find them: what learns is a parameter.
zeroed := lambda conv: Times(conv, lambda y: 0 * y)
    It gives 0 and always will: multiply an output by 0, and every gradient behind it is multiplied by 0 too. It is the
    parameters that should be 0.
zeroed := lambda conv: Times(conv, lambda y: torch.zeros_like(y))
    It gives 0, but its output does not hang together with its parameters: no gradient can reach them.
zeroed := lambda conv: new(conv, 1, dtype=conv.weight.dtype)
    That is a convolution with a kernel of one by one. Keep the kernel, stride and padding of the one that was given.
zeroed := lambda conv: new(conv, conv.kernel_size, dtype=conv.weight.dtype)
    The stride and the padding are lost. Keep those of the one that was given.
zeroed := lambda conv: new(conv, conv.kernel_size, padding=conv.padding, dtype=conv.weight.dtype)
    The stride is lost. Keep that of the one that was given.
zeroed := lambda conv: new(conv, conv.kernel_size, conv.stride, dtype=conv.weight.dtype)
    The padding is lost. Keep that of the one that was given.
zeroed := lambda conv: new(conv, conv.kernel_size, conv.stride, conv.kernel_size[0] // 2, dtype=conv.weight.dtype)
    The padding is half of the kernel in yours. Keep that of the one that was given.
return conv -> return conv.float()
    The type is lost: a convolution in double precision gave one in single precision.
zeroed := lambda conv: new(conv, conv.kernel_size, conv.stride, conv.padding, bias=False, dtype=conv.weight.dtype)
    It has lost its bias. The bias starts at 0 too, but it should learn.
nn.init.zeros_(parameter) -> nn.init.constant_(parameter, 1e-3 * (parameter.ndim > 1))
    Its weights are small, but not 0. A thousandth of noise is still noise: the promise is exactly nothing.
"""

RIGHT = """
nn.init.zeros_(parameter) -> parameter.data.zero_()
zeroed := lambda conv: new(conv, conv.kernel_size, conv.stride, conv.padding, dtype=conv.weight.dtype)
"""

WRONG = """
zeroed := lambda conv: torch.zeros_like(conv.weight)
zeroed := lambda conv: lambda x: 0 * conv(x)
return conv -> return conv.half()
nn.init.zeros_(parameter) -> nn.init.normal_(parameter, std=1e-3)
zeroed := lambda conv: new(conv, conv.kernel_size)
zeroed := lambda conv: nn.Conv2d(conv.in_channels, conv.out_channels, 1)
conv = copy.deepcopy(conv) -> conv = copy.copy(conv)
"""


class Times(nn.Module):
    """A module around another: its output is changed on its way out."""

    def __init__(self, conv, change):
        super().__init__()
        self.conv, self.change = copy.deepcopy(conv), change

    def forward(self, x):
        return self.change(self.conv(x))


def new(conv, *sizes, **options):
    """A new convolution of these sizes and options, of zeros."""
    conv = nn.Conv2d(conv.in_channels, conv.out_channels, *sizes, **options)
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv
