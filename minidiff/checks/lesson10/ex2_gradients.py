"""10.2 the gradient of a zero convolution."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


class Plain(torch.Tensor):
    """Numbers that autograd cannot be asked about."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if "requires_grad" in function.__name__ or function is torch.Tensor.requires_grad.__set__ and args[1]:
            raise TypeError("without autograd: the three sums are what is asked for")
        return super().__torch_function__(function, types, args, kwargs)

    def __deepcopy__(self, memo):
        return self.clone()


def cases(g):
    cases = []
    for blank, dtype in ((True, torch.float64), (False, torch.float64), (False, torch.float32)):
        b, i, o, h, w = (whole(g, *ends) for ends in ((2, 3), (4, 5), (2, 3), (2, 3), (4, 6)))
        x, dy = (torch.randn(b, n, h, w, generator=g, dtype=dtype) for n in (i, o))
        weight = torch.randn(o, i, generator=g, dtype=dtype)
        args = x + 0.5, 0 * weight if blank else weight, dy
        cases.append(Case("gradients", tuple(each.as_subclass(Plain) for each in args)))
    ones = (torch.randn(1, 1, *size, generator=g, dtype=torch.float64) for size in ((2, 3), (), (2, 3)))
    return [*cases, Case("gradients", tuple(each.as_subclass(Plain) for each in ones))]


HINTS = """
At one place it is a matrix times a vector: y_o = sum over i of W_oi x_i + b_o. Differentiate y_o by W_oi, by b_o, by
x_i.

Chain rule: multiply by dy_o. Then sum over everything that the result has no index for: the batch and the places for W
and b, the outputs for x.

torch.einsum says such sums directly: torch.einsum("bohw,bihw->oi", ...) multiplies, and sums over what is missing on the
right.
"""

MISTAKES = """
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = torch.zeros_like(weight)
    You gave 0 for the weights' gradient. Look at the formula again: is there a weight in it?
dy, x) -> dy, x) * weight
    The weights themselves are a factor of their gradient in your answer. y is linear in them, so they fall out when you
    differentiate.
dy, x) -> dy, x) / dy[0, 0].numel()
    The weights' gradient is too small by the number of places: the same weight works everywhere, and what it does
    everywhere adds up.
dy, x) -> dy, x) / len(dy)
    The weights' gradient is too small by the size of the batch: over the batch, too, it is a sum.
dy, x) -> dy, x) / dy[:, 0].numel()
    The weights' gradient is a mean over the batch and all places. It is a sum.
dy, x) -> dy, x) / dy[:, 0].numel() && dy.sum((0, 2, 3)) -> dy.mean((0, 2, 3))
    The gradients of the weights and of the bias are means over the batch and all places. They are sums.
dy, x) -> dy, x) / len(dy) && dy.sum((0, 2, 3)) -> dy.sum((2, 3)).mean(0)
    The gradients of the weights and of the bias are means over the batch. They are sums, as over the places.
dy, x) -> dy, x) / dy[0, 0].numel() && dy.sum((0, 2, 3)) -> dy.mean((2, 3)).sum(0)
    The gradients of the weights and of the bias are means over the places. They are sums, as over the batch.
dy, x) -> dy[:1], x[:1])
    Only the first picture of the batch is in the weights' gradient.
dy, x) -> dy[:1], x[:1]) && dy.sum((0, 2, 3)) -> dy[0].sum((1, 2))
    Only the first picture of the batch is in the gradients of the weights and of the bias.
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = torch.einsum("bo,bi->oi", dy.sum((2, 3)), x.sum((2, 3)))
    You summed x and dy over the places first and multiplied the sums. Multiply at each place, then sum.
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = x.sum((0, 2, 3)).expand_as(weight).clone()
    The weights' gradient does not ask what the loss wants: dy is missing.
"bohw,bihw->oi" -> "bohw,bihw->io"
    The weights' gradient lies on its side: its rows are the outputs, as in the weights.
"bohw,bihw->oi" -> "bohw,bihw->boi"
    The weights' gradient is there for each picture. The batch shares the weights: sum over it.
dy, x) -> -dy, x)
    The weights' gradient has the wrong sign: a gradient points uphill, and the optimiser subtracts it.
db = dy.sum((0, 2, 3)) -> db = 0 * dy.sum((0, 2, 3))
    The bias has a gradient too: it is added at every place.
dy.sum((0, 2, 3)) -> dy.mean((0, 2, 3))
    The bias's gradient is a sum over the batch and all places, not a mean.
dy.sum((0, 2, 3)) -> dy.mean((2, 3)).sum(0)
    The bias's gradient is a mean over the places. It is a sum, as over the batch.
dy.sum((0, 2, 3)) -> dy.sum((2, 3)).mean(0)
    The bias's gradient is a mean over the batch. It is a sum, as over the places.
dy.sum((0, 2, 3)) -> dy.sum((2, 3))
    The bias's gradient is there for each picture. The batch shares the bias: sum over it.
dy.sum((0, 2, 3)) -> dy.sum()
    The bias's gradient is one number. There is a bias for each output: do not sum over those.
dy.sum((0, 2, 3)) -> (dy * x.mean(1, keepdim=True)).sum((0, 2, 3))
    x is in the bias's gradient. The bias is added, whatever x is.
dy.sum((0, 2, 3)) -> torch.full_like(dy[0, :, 0, 0], dy[:, 0].numel())
    The bias's gradient does not ask what the loss wants: dy is missing.
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = dy.clone()
    What goes back to x has the channels of dy, not those of x. On the way back, too, it passes the weights.
bihw", weight, dy) -> bihw", 0 * weight, dy)
    You gave 0 for the gradient of x. That is so only while the weights are 0.
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = dy.sum(1, keepdim=True).expand_as(x).clone()
    The gradient of x is not 0 although the weights are. What reaches x has to pass them.
bihw", weight, dy) -> bihw", weight, dy) / dy[0, 0].numel()
    The gradient of x is too small by the number of places. Each place has an x of its own: nothing is averaged.
bihw", weight, dy) -> bihw", weight, dy) / len(dy)
    The gradient of x is too small by the size of the batch. Each picture has an x of its own: nothing is averaged.
bihw", weight, dy) -> bihw", weight, dy) * x
    x is a factor of its own gradient in your answer. y is linear in x, so it falls out when you differentiate.
return dW, db, dx -> return dx, dW, db
    The three are in another order than agreed: by the weights, by the bias, by x.
return dW, db, dx -> return dW[:, :, None, None], db, dx
    The weights' gradient has two axes too many: the weights are given without the kernel's.
gradients := flat
    x and dy are reshaped to rows of channels while the batch is the first axis, so numbers of other channels come into
    a row. Move the channels to the front first.
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = torch.einsum("oi,bohw->bi", weight, dy)[:, :, None, None].expand_as(x).clone()
    The gradient by x is summed over the places. Each place has its own.
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = dy.reshape(len(weight), -1) @ x.reshape(weight.shape[1], -1).T
    For the weights' gradient x and dy are reshaped to rows of channels while the batch is the first axis, so numbers of
    other channels come into a row. Move the channels to the front first.
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = dy.reshape(len(weight), -1) @ x.reshape(weight.shape[1], -1).T && dy.sum((0, 2, 3)) -> dy.reshape(len(weight), -1).sum(1)
    For the gradients of the weights and of the bias, dy is reshaped to rows of channels while the batch is the first
    axis, so numbers of other channels come into a row. Move the channels to the front first.
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = dy.reshape(len(weight), -1) @ x.reshape(weight.shape[1], -1).T && dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = (weight.T @ dy.reshape(len(weight), -1)).reshape(x.shape)
    For the gradients of the weights and of x, dy is reshaped to rows of channels while the batch is the first axis, so
    numbers of other channels come into a row. Move the channels to the front first.
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = (weight.T @ dy.reshape(len(weight), -1)).reshape(x.shape)
    For the gradient of x, dy is reshaped to rows of channels while the batch is the first axis, so numbers of other
    channels come into a row. Move the channels to the front first.
dy.sum((0, 2, 3)) -> dy.reshape(len(weight), -1).sum(1)
    For the bias's gradient, dy is reshaped to rows of channels while the batch is the first axis, so numbers of other
    channels come into a row. Sum over the axes instead.
dy, x) -> dy[-1:], x[-1:])
    Only the last picture of the batch is in the weights' gradient: does each one overwrite the one before?
dy, x) -> dy[-1:], x[-1:]) && dy.sum((0, 2, 3)) -> dy[-1].sum((1, 2))
    Only the last picture of the batch is in the gradients of the weights and of the bias: does each one overwrite the
    one before?
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = torch.einsum("io,bohw->bihw", torch.linalg.pinv(weight), dy)
    For the gradient of x you undo the weights by an inverse. Nothing is undone on the way back: the same weights
    multiply, from the other side.
bihw", weight, dy) -> bihw", weight.reshape(len(weight.T), -1).T, dy)
    For the gradient of x the weights are reshaped, which only fills them into another shape. It is rows and columns
    that change places.
return dW, db, dx -> return dW.squeeze(), db.squeeze(), dx.squeeze()
    squeeze takes away every size of 1, also of a batch of one picture, or of a single channel.
return dW, db, dx -> return dW, dx, db
    The three are in another order than agreed: by the weights, by the bias, by x.
return dW, db, dx -> return db, dW, dx
    The three are in another order than agreed: by the weights, by the bias, by x.
bihw", weight, dy) -> bihw", dW, dy)
    The gradient of x has the weights' gradient as a factor. It is the weights themselves that x was multiplied by.
bihw", weight, dy) -> bihw", -weight, dy)
    The gradient of x has the wrong sign: a gradient points uphill, and the optimiser subtracts it.
db = dy.sum((0, 2, 3)) -> db = -dy.sum((0, 2, 3))
    The bias's gradient has the wrong sign: a gradient points uphill, and the optimiser subtracts it.
"""

RIGHT = """
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = dy.transpose(0, 1).flatten(1) @ x.transpose(0, 1).flatten(1).T
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = (dy.movedim(1, -1) @ weight).movedim(-1, 1)
dW = torch.einsum("bohw,bihw->oi", dy, x) -> dW = (dy[:, :, None] * x[:, None]).sum((0, 3, 4))
dx = torch.einsum("oi,bohw->bihw", weight, dy) -> dx = torch.nn.functional.conv2d(dy, weight.T[:, :, None, None])
"""

WRONG = """
gradients := by_autograd
dy, x) -> dy, x) * 2
db = dy.sum((0, 2, 3)) -> db = 2 * dy.sum((0, 2, 3))
bihw", weight, dy) -> bihw", 2 * weight, dy)
dy, x) -> dy, x).half()
return dW, db, dx -> return dW, db
"""


def by_autograd(x, weight, dy):
    with torch.enable_grad():
        x, weight = (each.clone().requires_grad_() for each in (x, weight))
        bias = torch.zeros(len(weight), dtype=weight.dtype, requires_grad=True)
        y = torch.nn.functional.conv2d(x, weight[:, :, None, None], bias)
        return torch.autograd.grad(y, (weight, bias, x), dy)


def flat(x, weight, dy):
    D, X = dy.reshape(len(weight), -1), x.reshape(weight.shape[1], -1)
    return D @ X.T, D.sum(1), (weight.T @ D).reshape(x.shape)
