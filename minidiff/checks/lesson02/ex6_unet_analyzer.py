"""2.6 UNetAnalyzer: where the parameters are, and where the memory goes."""

from minidiff.checks import Case
from minidiff.checks.parts import table, whole
from minidiff.checks.solution import Solution


def _printed(made_with, *args):
    """Reads what `print_analysis` prints: the totals may stand in one line, or in a line each."""
    levels = Solution.of("2.6").answers["UNetAnalyzer"](*made_with).analyze(*args)
    params, sizes = ([level[key] for level in levels] for key in ("params", "activation_bytes"))
    rows = [(level["name"], [level["params"]], 0.5) for level in levels]
    first = table(*rows, ("total", [sum(params)], 0.5), ("peak", [max(sizes)], 0.5))
    second = table(("total", [sum(sizes)], 0.5))

    def read(text):
        return {"levels, total parameters and peak": first(text), "total of the activations": second(text)}

    return Case("UNetAnalyzer.print_analysis", args, made_with=made_with, printed=read)


def _made(analyzer):
    """That it could be made, and its arguments left as they are."""
    return True


def _twice(analyzer):
    """What one analyzer says of two sizes."""
    return [analyzer.analyze(32), analyzer.analyze(64)]


def cases(g):
    def case(method, made_with, *args):
        return Case(f"UNetAnalyzer.{method}", args, made_with=made_with)

    three, four = (3, [64, 128, 256]), (1, [32, 64, 128, 256])
    own = (whole(g, 2, 6), sorted({whole(g, 3, 15), whole(g, 16, 25), whole(g, 26, 40)}))
    return [
        Case("UNetAnalyzer", (2, [4, 6, 8]), read=_made),
        case("conv_params", three, whole(g, 2, 9), whole(g, 10, 20)),
        case("conv_params", three, whole(g, 10, 20), whole(g, 2, 9), 4),
        case("conv_params", three, 5, 7, 1),
        case("analyze", own, 8 * whole(g, 3, 7)),
        case("analyze", three),
        case("analyze", four, 32),
        Case("UNetAnalyzer", (2, [4, 6, 8]), read=_twice),
        _printed(three),
        _printed(four, 96),
        _printed((whole(g, 2, 6), [3, 8 * whole(g, 2, 4), 40]), 32),  # the largest activation is in the middle
    ]


HINTS = """
conv_params: for each channel that comes out, a kernel on every channel that goes in, and a bias. An up-convolution has
just as many.

Encoder: a loop over channel_config that remembers how many channels the level before gave. Level i, counted from 0, has
the resolution input_res // 2**i.

Decoder: the same levels backwards. Its up-convolution reads what comes from below and gives the width of its level; with
the skip beside it, the 3×3 convolution reads twice that width.

Activation: what one level gives, channels × height × width numbers of 4 bytes.

print_analysis: call analyze, then print; sum and max with a generator do the totals and the peak.
"""

_COUNT = "return (c_in * kernel**2 + 1) * c_out"
_DECODER = "params = self.conv_params(c, width, kernel=4) + self.conv_params(2 * width, width)"
_SIZE = "4 * channels * resolution**2"
_PARAMS = "params, size = (sum(level[key] for level in levels) for"
_PEAK = "max(level['activation_bytes'] for level in levels)"
_LEVEL = 'add(f"encoder {i}", width, resolution, self.conv_params(c, width)'
_ONE = "A level of your encoder has more than here: one 3×3 convolution, and a halving without parameters."
_AGAIN = "analyze goes on with the list of its last call: each call begins with a new one."
_LAST = "You count a last layer that leads back to the picture's channels: here there is none."
MISTAKES = rf"""
{_COUNT} -> return c_in * kernel**2 * c_out
    conv_params counts only the kernels: each channel that comes out also has a bias.
{_COUNT} -> return c_in * kernel**2 * c_out + 1
    conv_params counts a single bias for all channels: each that comes out has its own.
{_COUNT} -> return c_in * kernel**2 * c_out + c_in
    conv_params has a bias for each channel that goes in: it belongs to those that come out.
{_COUNT} -> return (c_in * kernel + 1) * c_out
    conv_params counts one row of each kernel: a kernel is a square.
{_COUNT} -> return (c_in * 9 + 1) * c_out
    conv_params does not use the kernel's size.
{_COUNT} -> return (kernel**2 + 1) * c_out
    conv_params has one kernel for each channel that comes out: each needs one for every channel that goes in.
{_COUNT} -> return (c_in * kernel**2 + 2) * c_out
    conv_params counts two biases for each channel: one belongs to a convolution.
conv_params(2 * width, width) -> conv_params(width, width)
    The decoder's 3×3 convolution reads only what was enlarged: beside it stands the skip.
conv_params(2 * width, width) -> conv_params(width + c, width)
    The decoder's 3×3 convolution reads too many channels: what was enlarged and its skip both have the width of this level.
{_DECODER} -> params = self.conv_params(c, c, kernel=4) + self.conv_params(c + width, width)
    The up-convolution of the decoder keeps its channels; it should come down to those of its level.
kernel=4) -> kernel=3)
    The up-convolution of the decoder has kernels of 4×4.
kernel=4) -> kernel=2)
    The up-convolution of the decoder has kernels of 4×4; yours are smaller.
conv_params(2 * width, width) -> conv_params(2 * width, width, kernel=4)
    The second convolution of the decoder has kernels of 3×3; only the up-convolution has larger ones.
{_DECODER} -> params = self.conv_params(2 * width, width)
    The decoder enlarges without parameters: the up-convolution has some.
{_DECODER} -> params = self.conv_params(c, width, kernel=4)
    Your decoder has no 3×3 convolution after the up-convolution.
c, resolution = self.in_ch, input_res -> c, resolution = self.channel_config[0], input_res
    The first convolution does not read in_ch channels.
c, resolution = self.in_ch, input_res -> c, resolution = self.in_ch, input_res // 2
    Your first level has half the resolution: it works before anything is halved.
c, resolution = self.in_ch, input_res -> c, resolution = self.in_ch, 64
    analyze does not use input_res.
add("bottleneck", c, resolution, -> add("bottleneck", c, 2 * resolution,
    Your bottleneck has the last encoder level's resolution: halve once more before it.
add("bottleneck", c, resolution, self.conv_params(c, c)) -> add("bottleneck", 2 * c, resolution, self.conv_params(c, 2 * c))\n        c = 2 * c
    Your bottleneck doubles the channels, as the first U-Net did. Here it keeps the last width.
add("bottleneck", c, resolution, self.conv_params(c, c)) -> pass
    The bottleneck is missing.
{_SIZE} -> channels * resolution**2
    Your activation_bytes are numbers, not bytes: a float32 has several.
{_SIZE} -> 8 * channels * resolution**2
    Your activation_bytes are twice too many: float32 is half as long as float64.
{_SIZE} -> 4 * channels * resolution
    Your activation_bytes hold one row of the picture: it is as high as it is wide.
{_SIZE} -> 4 * resolution**2
    Your activation_bytes hold a single channel.
{_SIZE} -> 4 * params
    Your activation_bytes are those of the parameters: the activation is what a level gives.
{_SIZE} -> {_SIZE} * (2 if name.startswith("decoder") else 1)
    The activation_bytes of your decoder count the skip, too: what the 3×3 convolution gives is asked for.
UNetAnalyzer.analyze := _kept
    analyze gives once more what its first call gave: each call has an input_res of its own.
{_SIZE} -> channels * resolution**2 // 256
    Your activation_bytes are in units of 1024 bytes: single bytes are asked for.
return levels -> n = len(self.channel_config) + 1\n        return levels[:n] + levels[n:][::-1]
    Your decoder is in the wrong order: it begins at the bottleneck and ends at full resolution.
add(f"decoder {{i}}" -> add(f"decoder {{len(self.channel_config) + 1 - i}}"
    The names of your decoder count up from the bottleneck: each has the number of the encoder that gives its skip.
add(f"encoder {{i}}" -> add(f"encoder {{i - 1}}" && add(f"decoder {{i}}" -> add(f"decoder {{i - 1}}"
    The names of your levels count from 0: the first is number 1.
add(f"encoder {{i}}" -> add(f"encoder {{i - 1}}"
    The names of your encoder levels count from 0: the first is number 1.
{_PEAK} -> sum(level['activation_bytes'] for level in levels)
    What print_analysis calls the peak is the total: the peak is the largest level.
{_PEAK} -> levels[len(levels) // 2]['activation_bytes']
    What print_analysis calls the peak is the bottleneck: most channels, but few pixels.
{_PEAK} -> levels[0]['activation_bytes']
    What print_analysis calls the peak is the level of full resolution: another one may have so many channels that it gives more.
{_PEAK} -> max(level['params'] for level in levels)
    What print_analysis calls the peak is the largest number of parameters; the largest activation is asked for.
{_PEAK} -> max(level['activation_bytes'] for level in levels) // 1024
    The peak of print_analysis is in units of 1024 bytes: single bytes are asked for.
{_PARAMS} -> params, size = (sum(level[key] for level in levels[: len(self.channel_config) + 1]) for
    The totals of print_analysis stop before the decoder.
{_PARAMS} -> params, size = (sum(level[key] for level in levels if level["name"] != "bottleneck") for
    The totals of print_analysis leave the bottleneck out.
{_PARAMS} -> params, size = (sum(level[key] for level in levels if key != "params" or level["name"] != "bottleneck") for
    The total of the parameters leaves the bottleneck out.
print(f"{{'total':12}}{{params:32,}}  {{size:17,}}") -> print("total", params)
    print_analysis gives the total of the parameters, but not that of the activations.
print(f"{{'total':12}}{{params:32,}}  {{size:17,}}") -> print("total", size)
    print_analysis gives the total of the activations, but not that of the parameters.
print(f"{{'total':12}}{{params:32,}}  {{size:17,}}") -> print("total", params, size // 1024)
    The total of the activations is in units of 1024 bytes: single bytes are asked for.
print(f"{{'total':12}}{{params:32,}}  {{size:17,}}") -> print("total", params / 10**6, size / 2**20)
    The totals of print_analysis are in millions: whole numbers of parameters and of bytes are asked for.
print(f"{{'total':12}}{{params:32,}}  {{size:17,}}") -> pass
    print_analysis prints no line with the totals.
print(f"{{'peak':12}}{{max(level['activation_bytes'] for level in levels):51,}}") -> pass
    print_analysis prints no line with the peak.
for level in levels:\n            name, channels -> for level in levels[:-1]:\n            name, channels
    print_analysis leaves the last level out.
levels = self.analyze(input_res) -> levels = self.analyze()
    print_analysis does not use input_res.
{_COUNT} -> return (c_in * kernel * 3 + 1) * c_out
    In conv_params one side of the kernel is always 3: it is a square, of the size that is given.
{_COUNT} -> return (c_in + 1) * kernel**2 * c_out
    conv_params counts a bias for each place of the kernel: a channel that comes out has a single one.
{_COUNT} -> return (c_in * kernel**2 + 1) * c_in
    conv_params does not use c_out.
self.conv_params(c, width, kernel=4) -> self.conv_params(width, c, kernel=4)
    The up-convolution of the decoder has its channels the wrong way round: it reads those from below.
self.conv_params(c, width, kernel=4) + self.conv_params(2 * width, width) -> self.conv_params(c, width, kernel=4) + self.conv_params(2 * width, width) - width
    The decoder has two convolutions, each with biases of its own: you count them once.
self.conv_params(c, width, kernel=4) + self.conv_params(2 * width, width) -> self.conv_params(c, width, kernel=4) + self.conv_params(2 * width, width) + self.conv_params(width, width)
    Your decoder has a 3×3 convolution more than here: there is one, after the up-convolution.
{_LEVEL} -> {_LEVEL} + self.conv_params(width, width)
    {_ONE}
{_LEVEL} -> {_LEVEL} + self.conv_params(width, width) && conv_params(2 * width, width) -> conv_params(2 * width, width) + self.conv_params(width, width)
    {_ONE}
{_LEVEL} -> {_LEVEL} + self.conv_params(width, width, kernel=2)
    {_ONE}
{_LEVEL} -> {_LEVEL} + self.conv_params(width, width, kernel=4)
    {_ONE}
self.conv_params(c, c)) -> self.conv_params(c, c) + self.conv_params(c, c))
    Your bottleneck has two convolutions: here it has one.
return levels -> levels[-1]["params"] += self.conv_params(c, self.in_ch, 1)\n        return levels
    {_LAST}
return levels -> levels[-1]["params"] += self.conv_params(c, self.in_ch)\n        return levels
    {_LAST}
UNetAnalyzer.analyze := _grown
    {_AGAIN}
UNetAnalyzer.analyze := _grown_in_place
    {_AGAIN}
{_SIZE} -> 32 * channels * resolution**2
    Your activation_bytes are bits: eight of them are a byte.
{_SIZE} -> 2 * channels * resolution**2
    Your activation_bytes are half of what they should be: float32 is twice as long as half precision.
{_SIZE} -> channels * resolution**2 * (1 if name.startswith("encoder") else 4)
    Your encoder's activation_bytes are those after the halving: what its 3×3 convolution gives is asked for.
{{params:10,}} -> {{params / 1e6:.2f}}
    print_analysis gives the parameters of the levels in millions: whole numbers are asked for.
"""

RIGHT = """
return (c_in * kernel**2 + 1) * c_out -> return c_out * c_in * kernel * kernel + c_out
print(f"{'total':12}{params:32,}  {size:17,}") -> print(f"Total parameters: {params:,}"); print(f"Total activations: {size:_} bytes")
"""

WRONG = """
kernel=3) -> kernel)
return (c_in * kernel**2 + 1) * c_out -> return float((c_in * kernel**2 + 1) * c_out)
4 * channels * resolution**2 -> 8 * channels * resolution**2 - 1
"channels": channels, -> "channels": channels // 2,
"resolution": resolution, -> "resolution": resolution / 2,
"params": params} -> "params": params + 2 * channels}
return levels -> return {level["name"]: level for level in levels}
{params:10,} -> {params / 1e6}
"""

EQUIVALENT = """
print('level channels resolution params activation bytes') -> pass
    a head for the table is not asked for
print('level channels resolution params activation bytes') -> 'level channels resolution params activation bytes'
    a head for the table is not asked for
"""


def _grown(self, input_res=64):
    levels = Solution.of("2.6").answers["UNetAnalyzer"](self.in_ch, self.channel_config).analyze(input_res)
    self.grown = [*getattr(self, "grown", []), *levels]
    return self.grown


def _grown_in_place(self, input_res=64):
    if not hasattr(self, "grown"):
        self.grown = []
    self.grown += Solution.of("2.6").answers["UNetAnalyzer"](self.in_ch, self.channel_config).analyze(input_res)
    return self.grown


def _kept(self, input_res=64):
    if not hasattr(self, "kept"):
        self.kept = Solution.of("2.6").answers["UNetAnalyzer"](self.in_ch, self.channel_config).analyze(input_res)
    return self.kept
