"""The family tree as one picture: boxes are systems, arrows what builds on what. family.py writes it."""

import html

# The tree. A place is (row, column); what stands between rows or columns has a half.
YEARS = {2015: (0, 0), 2019: (1, 1), 2020: (2, 2), 2021: (3, 3), 2022: (4, 6), 2023: (7, 10), 2024: (11, 11)}
BOXES = {
    "Diffusion": (0, 2),
    "NCSN": (1, 0),
    "Score SDEs": (2, 0),
    "DDPM": (2, 2),
    "DDIM": (2, 3),
    "Latent diffusion": (3, 2),
    "Guidance": (3, 3),
    "CLIP": (3, 4),
    "DALL-E 1": (3, 5),
    "DALL-E 2": (4, 5),
    "Imagen": (4, 6),
    "Flow matching": (5, 1),
    "SD 1.5": (5, 2),
    "Midjourney": (5, 4),
    "DreamFusion": (5, 6),
    "DiT": (6, 1),
    "SD 2.1": (6, 2),
    "LoRA": (6, 3),
    "Magic3D": (6, 6),
    "Consistency": (7, 0),
    "ControlNet": (7, 3),
    "Firefly": (7, 4),
    "SDXL": (8, 2),
    "IP-Adapter": (8, 3),
    "LCM": (9, 0),
    "DALL-E 3": (9, 5),
    "StreamDiffusion": (10, 0),
    "SD 3": (11, 2),
    "FLUX.1": (11, 3),
}
# What builds on what: sides of the two boxes (b bottom, t top, l left, r right), a shift on each, places on the way.
ARROWS = [
    ("Diffusion", "DDPM"),
    ("NCSN", "Score SDEs"),
    ("NCSN", "DDPM", "bt", (0, -26), [(1.5, 0), (1.5, 2)]),
    ("DDPM", "Score SDEs", "lr"),
    ("DDPM", "DDIM", "rl"),
    ("DDPM", "Latent diffusion", "bt", (-12, -12)),
    ("DDPM", "Guidance", "bt", (26, -12), [(2.5, 2), (2.5, 3)]),
    ("Guidance", "SD 1.5", "bt", (-26, 30), [(4, 3), (4, 2)]),
    ("Guidance", "DALL-E 2", "bt", (12, -26), [(3.5, 3), (3.5, 5)]),
    ("Guidance", "Imagen", "bt", (12, 0), [(3.5, 3), (3.5, 6)]),
    ("Latent diffusion", "SD 1.5"),
    ("Latent diffusion", "DiT", "lr", (0, -8), [(3, 1.46), (6, 1.46)]),
    ("CLIP", "DALL-E 1", "rl"),
    ("CLIP", "DALL-E 2", "bt", (30, -8), [(3.5, 4), (3.5, 5)]),
    ("CLIP", "SD 1.5", "bt", (0, 40), [(4.25, 4), (4.25, 2)]),
    ("DALL-E 1", "DALL-E 2", "bt", (12, 12)),
    ("DALL-E 2", "DALL-E 3"),
    ("Imagen", "DreamFusion"),
    ("DreamFusion", "Magic3D"),
    ("SD 1.5", "Magic3D", "bt", (26, -26), [(5.5, 2), (5.5, 6)]),
    ("SD 1.5", "SD 2.1"),
    ("SD 1.5", "LoRA", "rl", (0, 0), [(5, 2.5), (6, 2.5)]),
    ("SD 1.5", "ControlNet", "rl", (0, 0), [(5, 2.5), (7, 2.5)]),
    ("SD 1.5", "IP-Adapter", "rl", (0, 0), [(5, 2.5), (8, 2.5)]),
    ("SD 1.5", "LCM", "lr", (9, 0), [(5, 1.54), (9, 1.54)]),
    ("SD 2.1", "SDXL"),
    ("SDXL", "SD 3"),
    ("SD 3", "FLUX.1", "rl"),
    ("Score SDEs", "Flow matching", "bt", (26, 0), [(4, 0), (4, 1)]),
    ("Score SDEs", "Consistency"),
    ("Flow matching", "SD 3", "ll", (0, 0), [(5, 0.5), (11, 0.5)]),
    ("DiT", "SD 3", "ll", (0, 0), [(6, 0.5), (11, 0.5)]),
    ("Consistency", "LCM"),
    ("LCM", "StreamDiffusion"),
]
WIDE, HIGH, ACROSS, DOWN, LEFT, TOP, BEND = 108, 40, 126, 60, 106, 34, 7
COLOURS = """
.family { --paper: #fff; --ink: #1c1e21; --faint: #5a5f66; --line: #7d848c; --early: #e3effa; --early-line: #0072b2;
  --late: #fdeee3; --late-line: #c65400; --band: #f5f6f7 }
"""
DARK = """--paper: #131416; --ink: #e4e6e8; --faint: #a9afb6; --line: #868d95; --early: #12293b; --early-line: #56b4e9;
  --late: #3a2414; --late-line: #f0a062; --band: #1b1d20"""
STYLE = f"""{COLOURS}@media (prefers-color-scheme: dark) {{ .family {{ {DARK} }} }}
body[data-theme="light"] .family {{ {COLOURS.split("{")[1].split("}")[0].strip()} }}
body[data-theme="dark"] .family {{ {DARK} }}
.family text {{ font-family: Arial, "Liberation Sans", Helvetica, sans-serif; text-anchor: middle;
  fill: var(--ink); font-size: 13px; font-weight: 600 }}
.family .small {{ font-size: 11px; font-weight: 400; fill: var(--faint) }}
.family .year {{ font-size: 14px; fill: var(--faint) }}
.family .key {{ text-anchor: start; font-size: 12px; font-weight: 400 }}
.family rect {{ stroke-width: 1.5 }}
.family .early {{ fill: var(--early); stroke: var(--early-line) }}
.family .late {{ fill: var(--late); stroke: var(--late-line) }}
.family .closed {{ stroke-dasharray: 5 3 }}
.family path {{ fill: none; stroke: var(--line); stroke-width: 1.4 }}
.family a:hover rect, .family a:focus rect {{ stroke-width: 3 }}
.family a, .family a:hover {{ text-decoration: none }}
"""


def at(place):
    return LEFT + place[1] * ACROSS, TOP + place[0] * DOWN


def path_of(a, b, sides="bt", shifts=(0, 0), way=()):
    """The path of an arrow: straight from side to side, or by horizontal and vertical lines with round corners."""
    ends = []
    for name, side, shift in ((a, sides[0], shifts[0]), (b, sides[1], shifts[1])):
        x, y = at(BOXES[name])
        x, y = (x + shift, y) if side in "bt" else (x, y + shift)
        dx, dy = {"l": (-1, 0), "r": (1, 0), "t": (0, -1), "b": (0, 1)}[side]
        ends.append((x + dx * WIDE / 2, y + dy * HIGH / 2))
    (x0, y0), (x1, y1) = ends
    points = [at(place) for place in way]
    if points:  # the first and the last turn lie straight before the ends, whatever their shifts
        points[0] = (x0, points[0][1]) if sides[0] in "bt" else (points[0][0], y0)
        points[-1] = (x1, points[-1][1]) if sides[1] in "bt" else (points[-1][0], y1)
    line = [(x0, y0), *points, (x1, y1)]
    text = f"M{x0:g} {y0:g}"
    for before, here, after in zip(line, line[1:], line[2:], strict=False):
        (p, q), (r, s) = (towards(here, other) for other in (before, after))
        text += f"L{p:g} {q:g}Q{here[0]:g} {here[1]:g} {r:g} {s:g}"
    return f"{text}L{x1:g} {y1:g}"


def towards(here, other):
    """The point BEND away from here on the way to the other."""
    dx, dy = other[0] - here[0], other[1] - here[1]
    share = min(BEND, (abs(dx) + abs(dy)) / 2) / max(1e-9, (dx * dx + dy * dy) ** 0.5)
    return here[0] + share * dx, here[1] + share * dy


def box(name, system, address):
    x, y = at(BOXES[name])
    kind = ("late" if system.lesson >= "12" else "early") + " closed" * system.closed
    years = next((year for year, (first, last) in YEARS.items() if first <= BOXES[name][0] <= last))
    small = f"{'of ' * (years != system.year)}{system.year} · lesson {system.lesson}"
    label = f"{name}, {system.year}, lesson {system.lesson}" + ", closed" * system.closed
    shape = f'<rect class="{kind}" x="{x - WIDE / 2:g}" y="{y - HIGH / 2:g}" width="{WIDE}" height="{HIGH}" rx="6"/>'
    shape += f'<text x="{x:g}" y="{y - 3:g}">{html.escape(name)}</text>'
    shape += f'<text class="small" x="{x:g}" y="{y + 13:g}">{small}</text>'
    return f'<a href="{address}" aria-label="{label}">{shape}</a>' if address else shape


def tree(systems, address):
    """The picture as SVG, light or dark as the reader has it. systems: by name, with year, lesson and whether they are
    closed; address(name): where a box leads, or None."""
    width, height = LEFT + 6 * ACROSS + WIDE // 2 + 12, TOP + 11 * DOWN + HIGH // 2 + 14
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" class="family" viewBox="0 0 {width} {height}" width="{width}">']
    lines.append("<title>The family of diffusion models, 2015 to 2024, and the lesson that builds each</title>")
    lines.append(f"<style>{STYLE}</style>")
    tip = 'id="family-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    lines.append(f'<defs><marker {tip}><path d="M1 1L7 4L1 7"/></marker></defs>')
    lines.append(f'<rect width="{width}" height="{height}" rx="8" fill="var(--paper)"/>')
    for i, (year, (first, last)) in enumerate(YEARS.items()):
        y, high = TOP + (first - 0.5) * DOWN, (last - first + 1) * DOWN
        if i % 2 == 0:
            lines.append(f'<rect y="{y:g}" width="{width}" height="{high}" fill="var(--band)"/>')
        lines.append(f'<text class="year" x="24" y="{y + DOWN / 2 + 5:g}">{year}</text>')
    lines += [f'<path d="{path_of(*arrow)}" marker-end="url(#family-tip)"/>' for arrow in ARROWS]
    lines += [box(name, systems[name], address(name)) for name in BOXES]
    x, y = at((0, 3.75))
    words = "built in lessons 00 to 11", "built in lessons 12 to 18", "closed: its weights are not public"
    for i, (kind, said) in enumerate(zip(("early", "late", "late closed"), words, strict=True)):
        lines.append(f'<rect class="{kind}" x="{x:g}" y="{y - 12 + 22 * i:g}" width="26" height="14" rx="3"/>')
        lines.append(f'<text class="key" x="{x + 36:g}" y="{y - 1 + 22 * i:g}">{said}</text>')
    lines.append(f'<path d="M{x:g} {y + 61:g}H{x + 26:g}" marker-end="url(#family-tip)"/>')
    means = "the second builds on the first, or follows it"
    lines.append(f'<text class="key" x="{x + 36:g}" y="{y + 65:g}">{means}</text>')
    return "\n".join([*lines, "</svg>", ""])
