"""What was done to a tensor that is not the expected one, where that is certain: a factor, a limit, another order."""

import itertools

import torch

RTOL = 1e-5


def number(x) -> str:
    """A number in so many digits that it does not look like 0 or 1 unless it is."""
    x = float(x)
    return next(text for digits in (4, 6, 9, 17) if float(text := f"{x:.{digits}g}") not in (0, 1) or float(text) == x)


def changes(got, expected):
    """Pairs of a sentence and what `got` would be if it were true. Both have one shape, and more than one entry."""
    yield from of_each(got, expected)
    for axis, size in enumerate(expected.shape):
        where = f" along axis {axis} (0 is the first)" if expected.ndim > 1 else ""
        yield f"the entries are right, but in reverse order{where}", expected.flip(axis)
        for by in {1, -1, size // 2}:
            after = f"{abs(by)} place{'s' * (abs(by) > 1)} too {'late' if by > 0 else 'early'}{where}"
            yield f"the entries are right, but stand {after}, the last ones at the other end", expected.roll(by, axis)
        if size > 1:
            yield from _along(expected, axis, where)
        if expected.numel() > 2 * size > 2:
            others = [i for i in range(expected.ndim) if i != axis]
            yield from _slices(got, expected, others, f"each slice{where}")
    if expected.ndim > 2 and expected.shape[-1] > 2:
        yield from _slices(got, expected, [expected.ndim - 1], "each row, along the last axis,")
    for order in itertools.permutations(range(expected.ndim)):
        moved = [i for i, axis in enumerate(order) if axis != i]
        how = f"axes {moved[0]} and {moved[1]} are exchanged" if len(moved) == 2 else f"the axes stand as {order}"
        yield f"the entries are right, but {how} (0 is the first)", expected.permute(order)
    if len(expected.unique()) > 2 and torch.equal(got.flatten().sort().values, expected.flatten().sort().values):
        yield "the right numbers, but in another order", got


def of_each(got, expected):
    """Those that are the same for every entry, wherever it stands."""
    factor, shift = (got * expected).sum() / (expected * expected).sum(), (got - expected).mean()
    yield "every entry is 0", 0 * expected
    yield f"every entry is {number(got.flatten()[0])}", got.flatten()[0].expand(got.shape)
    yield "every entry has the wrong sign", -expected
    yield f"every entry is {number(factor)} times what it should be", factor * expected
    yield f"every entry is too {'large' if shift > 0 else 'small'} by {number(abs(shift))}", expected + shift
    yield "every entry is 1 minus what it should be", 1 - expected
    yield "every entry is 1 divided by what it should be", 1 / expected
    yield "every entry is the square of what it should be", expected * expected
    yield "every entry is the root of what it should be", expected.clamp(min=0).sqrt()
    yield "every entry is the logarithm of what it should be", expected.clamp(min=0).log()
    yield "every entry is the exponential of what it should be", expected.exp()
    yield "the entries are right, but without their signs", expected.abs()
    yield "the entries are right, but rounded to whole numbers", expected.round()
    yield from _line(got, expected)
    yield from _limits(got, expected)


def _line(got, expected):
    """A factor and a shift at once, such as that of a range from 0 to 1 for one from -1 to 1."""
    if got.numel() > 2:
        x, y = expected - expected.mean(), got - got.mean()
        slope = round(((x * y).sum() / (x * x).sum()).item(), 12)
        shift = round((got.mean() - slope * expected.mean()).item(), 12)
        sign = "minus" if shift < 0 else "plus"
        yield (
            f"every entry is {number(slope)} times what it should be, {sign} {number(abs(shift))}",
            slope * expected + shift,
        )


def _limits(got, expected):
    """A limit that is there, or is not; at least two entries have to be at it."""
    for a, b, text in (
        (got, expected, "the entries are right, but cut off {}"),
        (expected, got, "the entries are right, but what is {} should be cut off"),
    ):
        for low, high in ((a.min(), a.max()), (None, a.max()), (a.min(), None)):
            limits = [(f"below {number(low)}", b < low)] if low is not None else []
            limits += [(f"above {number(high)}", b > high)] if high is not None else []
            cut = b.clamp(low, high)
            if all(beyond.sum() > 1 for _, beyond in limits) and torch.allclose(a, cut, RTOL, 1e-9):
                yield text.format(" and ".join(words for words, _ in limits)), got


def _along(expected, axis, where):
    """One entry in the place of all along an axis, or all those before it too."""
    for i, which in ((0, "first"), (expected.shape[axis] - 1, "last")):
        one = expected.narrow(axis, i, 1).expand(expected.shape)
        yield f"every entry{where} is what only the {which} one should be", one
    yield f"every entry{where} is the mean of what they should be", expected.mean(axis, True).expand(expected.shape)
    yield f"the entries are added up{where}: in each are those before it, too", expected.cumsum(axis)
    yield f"the entries are multiplied up{where}: in each are those before it, too", expected.cumprod(axis)


def _slices(got, expected, axes, which):
    """A factor or a shift for each part that reaches over these axes."""
    factors = (got * expected).sum(axes, True) / (expected * expected).sum(axes, True)
    shifts = (got - expected).mean(axes, True)
    for word, own, changed in (("times", factors, factors * expected), ("plus", shifts, expected + shifts)):
        shown = ", ".join(map(number, own.flatten()[:3])) + ", ..." * (own.numel() > 3)
        yield f"{which} is what it should be {word} a number of its own: {shown}", changed


def place(bad) -> str:
    """Whether the entries that differ lie together along an axis, in words, or ""."""
    for axis, size in enumerate(bad.shape):
        along = f" along axis {axis}" if bad.ndim > 1 else ""
        lines = bad.movedim(axis, 0).reshape(size, -1).any(1)
        if lines.all() or size < 3:
            continue
        at, right = lines.nonzero().flatten().tolist(), (~lines).nonzero().flatten().tolist()
        if len(at) == 1 and bad.sum() > 1:
            return f", all at index {at[0]}{along}"
        if len(right) == 1 and size > 3:
            return f", those at index {right[0]}{along} are right"
        if len(at) > 1 and at[-1] - at[0] == len(at) - 1 and (at[0] == 0 or at[-1] == size - 1):
            return f", all {f'from index {at[0]} on' if at[0] else f'up to index {at[-1]}'}{along}"
    return ""


def shapes(got, expected) -> str:
    """How a tensor of another shape comes out of the expected one, in words, or ""."""
    if got.is_meta or not got.numel() or not expected.numel():
        return ""
    got, expected = got.double().cpu(), expected.double().cpu()

    def same(x):
        return x.shape == got.shape and torch.allclose(got, x, RTOL, 1e-6, equal_nan=True)

    if got.numel() == expected.numel():
        if same(expected.reshape(got.shape)):
            if got.squeeze().shape == expected.squeeze().shape:
                return ": the numbers are right, but for axes of length 1"
            return ": the numbers are right, and in the same order"
        for order in itertools.permutations(range(expected.ndim)):
            if same(expected.permute(order)):
                return f": the numbers are right, but the axes stand as {order} (0 is the first)"
        return ", with the same number of entries"
    for n in range(1, expected.ndim + 1):
        for axes in itertools.combinations(range(expected.ndim), n):
            over = f"axis {axes[0]}" if n == 1 else f"axes {', '.join(map(str, axes))}"
            for keep, name in itertools.product((False, True), ("mean", "sum")):
                if same(getattr(expected, name)(axes, keep)):
                    return f": it is the {name} of what it should be over {over if n < expected.ndim else 'all'}"
    if got.ndim == expected.ndim and all(m <= n for m, n in zip(got.shape, expected.shape, strict=True)):
        for which, begin in (("first", lambda m, n: 0), ("last", lambda m, n: n - m)):
            ends = [(begin(m, n), m) for m, n in zip(got.shape, expected.shape, strict=True)]
            if same(expected[tuple(slice(i, i + m) for i, m in ends)]):
                return f": the {which} entries are right, and the others missing"
    try:
        return ": the numbers are right, but repeated" * same(expected.expand(got.shape))
    except RuntimeError:  # these shapes do not broadcast
        return ""
