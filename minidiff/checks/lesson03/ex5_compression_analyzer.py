"""3.5 VAECompressionAnalyzer: what a latent saves."""

import re

from minidiff.checks import Case
from minidiff.checks.parts import table, whole
from minidiff.checks.solution import Solution

ATOL = 1e-6


def printed(made_with, steps):
    """Reads a printed table: the solution's numbers by resolution, MB to two decimals, and the steps."""
    right = Solution.of("3.5").answers["VAECompressionAnalyzer"](*made_with)
    lines = [
        (str(r), [r, right.pixel_size(r), right.latent_size(r), right.compression_ratio(r), right.memory_saved_mb(r)])
        for r in right.resolutions
    ]
    read = table(*((*line, 0.0051) for line in lines), (str(steps), [right.latent_steps(right.resolutions[0])], 0))

    def said(text):
        text = re.sub(r"(?<=\d)(?=[a-zA-Z×])|(?<=\d)\.(?!\d)", " ", text)  # 256px, 256x256, 50.
        begins = [re.search(rf"^\W*{r}\b", re.sub(r"(?<=\d),(?=\d{{3}})", "", text), re.M) for r in right.resolutions]
        return {"the table": read(text), "each line begins with its resolution": all(begins)}

    return said


def cases(g):
    def case(method, *args, made_with=(), **kwargs):
        return Case(f"VAECompressionAnalyzer.{method}", args, made_with=made_with, **kwargs)

    def settings():
        """Resolutions, channels and factor: not the default ones, and a ratio that is no whole number."""
        factor, channels = (4, 8, 16)[whole(g, 0, 2)], (5, 7, 11, 13)[whole(g, 0, 3)]
        return [factor * n for n in (whole(g, 18, 29), whole(g, 30, 49))], channels, factor

    found = []
    for method in ("pixel_size", "latent_size", "compression_ratio", "memory_saved_mb", "latent_steps"):
        found.append(case(method, (256, 512, 768, 1024)[whole(g, 0, 3)]))
        for made_with in (settings(), ([320], 5, 4), ([240], 5, 8), ([240], 7, 8)):  # ratios of 9.6, 38.4, and 27.43
            found.append(case(method, made_with[0][-1], made_with=made_with))
    other = ((320, 448), 5, 4), 30
    return [
        *found,
        case("print_table", printed=printed((), 50)),
        case("print_table", other[1], made_with=other[0], printed=printed(*other)),
    ]


HINTS = """
Count numbers, not bytes, until you come to the memory: height times width times channels, for both.

The factor divides height and width, each. The channels are not divided.

compression_ratio uses one slash, because it need not be whole; latent_steps uses two, because it is.

Memory: the numbers that are saved, four bytes each, over a million.

print_table: a for loop over self.resolutions, an f-string for each line. In an f-string a comma after the colon puts
commas between the thousands, and .2f gives two decimals.
"""

MISTAKES = """
self.pixel_size(resolution) // self.latent_size(resolution) -> float(self.pixel_size(resolution) // self.latent_size(resolution))
    latent_steps gives a number with a decimal point: a whole number of steps is an int.
resolution * resolution * 3 -> resolution * resolution
    pixel_size has no colours: each pixel has three numbers.
(resolution // self.factor) ** 2 * self.latent_channels -> resolution**2 // self.factor * self.latent_channels
    latent_size is too large: the factor divides both height and width, not just one of them.
(resolution // self.factor) ** 2 * self.latent_channels -> resolution**2 * self.latent_channels // self.factor**3
    latent_size is too small: the factor divides height and width, the channels are as given.
(resolution // self.factor) ** 2 * self.latent_channels -> (resolution // self.factor) ** 2
    latent_size has no channels: each place of the latent holds several numbers.
(resolution // self.factor) ** 2 * self.latent_channels -> 3 * (resolution // self.factor) ** 2
    latent_size has three channels: those of the latent are no colours, and there are as many as given.
(resolution // self.factor) ** 2 * self.latent_channels -> 4 * (resolution // self.factor) ** 2
    latent_size always has four channels, as those of Stable Diffusion: take as many as the class was made with.
(resolution // self.factor) ** 2 * self.latent_channels -> 4 * (resolution // 8) ** 2
    latent_size always uses the channels and the factor of Stable Diffusion: take those the class was made with.
(resolution // self.factor) ** 2 * self.latent_channels -> (resolution / self.factor) ** 2 * self.latent_channels
    latent_size gives a number with a decimal point: divide whole numbers with two slashes.
self.pixel_size(resolution) / self.latent_size(resolution) -> self.latent_size(resolution) / self.pixel_size(resolution)
    compression_ratio is upside down: it says how many times *fewer* numbers the latent has.
self.pixel_size(resolution) / self.latent_size(resolution) -> float(self.factor**2)
    compression_ratio is the square of the factor only: that would be right if the latent had as many channels as the
    picture.
self.pixel_size(resolution) / self.latent_size(resolution) -> 48.0
    compression_ratio is the same for every VAE: it should follow from the two sizes.
self.pixel_size(resolution) / self.latent_size(resolution) -> 1 - self.latent_size(resolution) / self.pixel_size(resolution)
    compression_ratio gives the share of the numbers that is saved. How many times fewer are there?
self.pixel_size(resolution) / self.latent_size(resolution) -> float(self.pixel_size(resolution) // self.latent_size(resolution))
    compression_ratio cuts off what comes after the decimal point: divide with one slash.
* 4 / 1_000_000 -> / 1_000_000
    memory_saved_mb counts numbers as if each were a byte: a float32 has four.
* 4 / 1_000_000 -> * 32 / 1_000_000
    memory_saved_mb counts bits: eight of them are a byte.
* 4 / 1_000_000 -> * 4 / 2**20
    memory_saved_mb divides by 1024 twice, which gives mebibytes (MiB). A megabyte has a million bytes.
* 4 / 1_000_000 -> * 2 / 1_000_000
    memory_saved_mb counts two bytes a number, as for half precision; float32 has more.
(self.pixel_size(resolution) - self.latent_size(resolution)) * 4 -> (self.pixel_size(resolution) - 4 * self.latent_size(resolution))
    memory_saved_mb counts one byte for each number of the picture, as in a file. In float32 both have four.
(self.pixel_size(resolution) - self.latent_size(resolution)) * 4 -> self.pixel_size(resolution) * (1 - 1 / self.factor**2) * 4
    memory_saved_mb supposes that a latent has as many channels as a picture.
(self.pixel_size(resolution) - self.latent_size(resolution)) -> self.pixel_size(resolution)
    memory_saved_mb is what the pixels take. The latent takes something as well, which is not saved.
(self.pixel_size(resolution) - self.latent_size(resolution)) -> self.latent_size(resolution)
    memory_saved_mb is what the latent takes: what is saved is the rest.
(self.pixel_size(resolution) - self.latent_size(resolution)) -> (self.latent_size(resolution) - self.pixel_size(resolution))
    memory_saved_mb is negative: the latent is the smaller one.
self.pixel_size(resolution) // self.latent_size(resolution) -> -(-self.pixel_size(resolution) // self.latent_size(resolution))
    latent_steps counts one that does not fit whole: a part of a step is no step.
self.pixel_size(resolution) // self.latent_size(resolution) -> round(self.compression_ratio(resolution))
    latent_steps is rounded to the nearest, and so counts one that does not fit whole: a part of a step is no step.
self.pixel_size(resolution) // self.latent_size(resolution) -> self.compression_ratio(resolution)
    latent_steps is no whole number: how many fit whole?
self.pixel_size(resolution) // self.latent_size(resolution) -> self.latent_size(resolution) // self.pixel_size(resolution)
    latent_steps is upside down: many small ones fit into a large one.
self.pixel_size(resolution) // self.latent_size(resolution) -> 50
    latent_steps is the number of steps of a picture. How many fit is another question.
self.pixel_size(resolution) // self.latent_size(resolution) -> self.factor**2
    latent_steps counts places only. How many numbers each place holds matters too.
self.pixel_size(resolution) // self.latent_size(resolution) -> self.factor**4
    latent_steps counts pairs of places, as attention would. Here memory is in proportion to the size of the tensor.
self.pixel_size(resolution) // self.latent_size(resolution) -> (self.pixel_size(resolution) - self.latent_size(resolution)) // self.latent_size(resolution)
    latent_steps is one too low: what is saved holds that many, the whole of a pixel step one more.
{self.memory_saved_mb(r):9.2f} ->
    print_table lacks the MB that are saved, with two decimals, in each line.
{self.memory_saved_mb(r):9.2f} -> {self.memory_saved_mb(r):9.1f}
    print_table has the MB that are saved with one decimal. Two are asked for.
{self.compression_ratio(r):6.1f} ->
    print_table lacks the ratio in each line.
{fit} latent steps; a picture takes {steps} -> several latent steps
    print_table has its lines, but under them belongs one with two numbers: the latent steps that fit one pixel step,
    and the steps of a picture.
holds {fit} latent -> holds several latent
    print_table does not say how many latent steps fit, beside the steps of a picture.
holds {fit} latent -> holds {fit * steps} latent
    print_table multiplies the latent steps that fit by the steps of a picture: it is one pixel step whose memory they fill.
for r in self.resolutions: -> for r in self.resolutions[:1]:
    print_table has the first resolution only: a line for each is asked for.
for r in self.resolutions: -> for r in (256, 512, 768, 1024):
    print_table always shows the same resolutions: take those the class was made with.
takes {steps} -> takes 50
    print_table always says 50 steps: take the number it was given.
sizes = f"{r:4} -> sizes = f"resolution {r:4}
    Each line of print_table should begin with its resolution: what stands before that can go.
sizes = f"{r:4} -> sizes = f"side {r:4}
    Each line of print_table should begin with its resolution: what stands before that can go.
resolution * resolution * 3 -> resolution * resolution * 4
    pixel_size counts four numbers for each pixel: there are three colours.
(resolution // self.factor) ** 2 * self.latent_channels -> (resolution // 8) ** 2 * self.latent_channels
    latent_size always divides by 8, as Stable Diffusion does: take the factor that the class was made with.
(resolution // self.factor) ** 2 * self.latent_channels -> (resolution // self.factor) * self.latent_channels
    latent_size counts one row of the latent: it is as high as it is wide.
resolution * resolution * 3 -> resolution * 3
    pixel_size counts one row of the picture: it is as high as it is wide.
self.pixel_size(resolution) / self.latent_size(resolution) -> (self.pixel_size(resolution) - self.latent_size(resolution)) / self.latent_size(resolution)
    compression_ratio compares what is saved with the latent: it is the whole picture that is so many times larger.
self.pixel_size(resolution) / self.latent_size(resolution) -> round(self.pixel_size(resolution) / self.latent_size(resolution), 1)
    compression_ratio is rounded: give all the digits that come out.
self.pixel_size(resolution) / self.latent_size(resolution) -> round(self.pixel_size(resolution) / self.latent_size(resolution), 2)
    compression_ratio is rounded: give all the digits that come out.
* 4 / 1_000_000 -> * 4 / 1_000_000_000
    memory_saved_mb counts gigabytes: a megabyte has a million bytes.
* 4 / 1_000_000 -> * 4 / 1_000
    memory_saved_mb counts kilobytes: a megabyte has a million bytes.
* 4 / 1_000_000 -> * 4 / 1024
    memory_saved_mb divides by 1024 once, which gives kibibytes. A megabyte has a million bytes.
* 4 / 1_000_000 -> * 4 / 1024**3
    memory_saved_mb divides by 1024 three times, which gives gibibytes. A megabyte has a million bytes.
* 4 / 1_000_000 -> * 8 / 1_000_000
    memory_saved_mb counts eight bytes a number, as for float64; float32 has half of that.
{self.memory_saved_mb(r):9.2f} -> {self.pixel_size(r) * 4e-6:9.2f}
    print_table shows the MB of the picture: those that are saved are asked for.
{self.memory_saved_mb(r):9.2f} -> {self.latent_size(r) * 4e-6:9.2f}
    print_table shows the MB of the latent: those that are saved are asked for.
{self.pixel_size(r):10,} {self.latent_size(r):8,} -> {self.latent_size(r):8,} {self.pixel_size(r):10,}
    print_table has the latent size before the pixel size: the pixels come first.
{self.compression_ratio(r):6.1f} -> {1 / self.compression_ratio(r):6.3f}
    print_table has the ratio upside down: it says how many times fewer numbers the latent has.
{self.compression_ratio(r):6.1f} -> {self.compression_ratio(r):6.0f}
    print_table rounds the ratio to whole numbers: it need not be one.
"""


def another_table(self, steps=50):
    print("| side | sizes | ratio | MB |")
    for r in self.resolutions:
        print(
            f"| {r}x{r} | {self.pixel_size(r)} -> {self.latent_size(r)} | {self.compression_ratio(r):.2f}x |", end=" "
        )
        print(f"{self.memory_saved_mb(r):.3f}MB |")
    print(f"{steps} steps a picture, of which {self.latent_steps(256)} fit.")


RIGHT = """
VAECompressionAnalyzer.print_table := another_table
takes {steps} -> takes {steps}.
VAECompressionAnalyzer.latent_size := lambda self, r: int(self.latent_channels * (r / self.factor) ** 2)
"""

EQUIVALENT = """
(self.pixel_size(resolution) - self.latent_size(resolution)) * 4 / 1000000 -> (self.pixel_size(resolution) - self.latent_size(resolution)) * 4 / 1000001
    a millionth, which rounding may be
(self.pixel_size(resolution) - self.latent_size(resolution)) * 4 / 1000000 -> (self.pixel_size(resolution) - self.latent_size(resolution)) * 4 / 999999
    a millionth, which rounding may be
print(f"{'side':>4} {'pixels':>10} {'latent':>8} {'ratio':>6} {'MB saved':>9}") -> pass
    a table needs no head
print(f"{'side':>4} {'pixels':>10} {'latent':>8} {'ratio':>6} {'MB saved':>9}") -> f"{'side':>4} {'pixels':>10} {'latent':>8} {'ratio':>6} {'MB saved':>9}"
    a table needs no head
self.resolutions[0] -> self.resolutions[1]
    the resolution cancels: as many fit at any
self.resolutions[0] -> self.resolutions[-1]
    the resolution cancels: as many fit at any
"""

WRONG = """
(resolution // self.factor) ** 2 * -> (self.resolutions[0] // self.factor) ** 2 *
* 4 / 1_000_000 -> * 4 // 1_000_000
* 4 / 1_000_000 -> * 4e-6 + 0.01
VAECompressionAnalyzer.memory_saved_mb := lambda self, r: round((3 * r * r - self.latent_size(r)) * 4 / 1e6, 2)
VAECompressionAnalyzer.print_table := lambda self, steps=50: print("256 1 2 3 4.00\\n512 1 2 3 4.00\\n48 50")
VAECompressionAnalyzer.print_table := lambda self, steps=50: print("256 ...")
"""
