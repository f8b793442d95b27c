"""Lesson 02: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import math

import torch
import torch.nn.functional as F
from answers import accepted, one_of, rejected

from minidiff.checks import lesson02
from minidiff.checks.lesson02 import DiffusionEvaluator, UNetAnalyzer, ancestral_step, ddpm_loss, ddpm_sample
from minidiff.schedule import linear_betas
from minidiff.unet import timestep_embedding


def evaluator(**methods):
    return one_of("2.5", DiffusionEvaluator=type("Theirs", (DiffusionEvaluator,), methods))


def analyzer(**methods):
    return one_of("2.6", UNetAnalyzer=type("Theirs", (UNetAnalyzer,), methods))


def waves(t, dim, base=10000, turn=0.0):
    angles = t.float()[:, None] * base ** (-torch.arange(dim // 2) / (dim // 2)) + turn
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def block(block, x, temb, h1=lambda h: h, h2=lambda h: h, time=lambda e: e, end=lambda h: h, skip=lambda x: x):
    h = block.conv1(h1(F.silu(block.norm1(x))))
    h = h + time(block.time_emb_proj(F.silu(temb)))[:, :, None, None]
    h = end(block.conv2(h2(F.silu(block.norm2(h)))))
    return h + skip(block.conv_shortcut(x) if block.conv_shortcut is not None else x)


def group_of_one(b, x, temb):
    """Norms over all channels at once."""
    h = b.conv1(F.silu(F.group_norm(x, 1, b.norm1.weight, b.norm1.bias)))
    h = h + b.time_emb_proj(F.silu(temb))[:, :, None, None]
    h = b.conv2(F.silu(b.norm2(h)))
    return h + (b.conv_shortcut(x) if b.conv_shortcut is not None else x)


def path(blocks, x, skips, temb, pick=lambda s, n: s.pop(), size=lambda x, s: s[-1].shape[-2:], resnet=None):
    skips = list(skips)
    for b in blocks:
        for n, r in enumerate(b.resnets):
            x = (resnet or (lambda r, x, e: r(x, e)))(r, torch.cat([x, pick(skips, n)], 1), temb)
        if b.upsample is not None:
            x = b.upsample(x, size=size(x, skips))
    return x


def loss(
    net, x0, t, eps, alpha_bar, time=lambda t: t - 1, f=lambda d: d.pow(2), a_of=lambda a: a, scale=1.0, shift=0.0
):
    a = a_of(alpha_bar[t]).to(x0).reshape(-1, *[1] * (x0.ndim - 1))
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return (scale * f(net(x_t + shift, time(t)) - eps)).mean()


def snr_weighted(net, x0, t, eps, alpha_bar):
    a = alpha_bar[t].to(x0).reshape(-1, *[1] * (x0.ndim - 1))
    return ((a / (1 - a)).clamp(max=5) * (net(a.sqrt() * x0 + (1 - a).sqrt() * eps, t - 1) - eps) ** 2).mean()


def step(x, e, t, ab, noise, std=None, mean=1.0, x0=lambda x: x):
    a, a_s = (ab[i].to(x) for i in (t, t - 1))
    beta = 1 - a / a_s
    clean = x0((x - (1 - a).sqrt() * e) / a.sqrt())
    mu = a_s.sqrt() * beta / (1 - a) * clean + (a / a_s).sqrt() * (1 - a_s) / (1 - a) * x
    return mean * mu + (((1 - a_s) / (1 - a) * beta).sqrt() if std is None else std(a, a_s, beta)) * noise


def loop(net, x, ab, noises, times=None, told=lambda t: t - 1, f=ancestral_step, last=lambda x, eps, t: x):
    T = len(noises)
    for t, noise in zip(times(T) if times else range(T, 0, -1), noises, strict=False):
        eps = net(x, torch.full((len(x),), told(t)))
        x = f(x, eps, t, ab, noise)
    return last(x, eps, t)


def evaluate(self, predictor, name, f=lambda p, e: ((p - e) ** 2).mean(), width=50):
    out, guess = {"name": name}, predictor(self.xt, self.t)
    for low in range(0, 200, 50):
        m = (self.t >= low) & (self.t < low + width)
        out[f"{low}-{low + 49}"] = f(guess[m], self.eps[m]).item() if m.any() else math.nan
    return out


def by_mean_of_bins(self, predictor, name):
    """Each sample alone: the mean over samples is right, but the predictor is asked with one time for all."""
    return evaluate(self, lambda xt, t: predictor(xt, torch.full_like(t, int(t.float().mean()))), name)


def levels(self, input_res=64, change=lambda level, i: level):
    return [change(level, i) for i, level in enumerate(UNetAnalyzer.analyze(self, input_res))]


def changed(**fields):
    return lambda self, res=64: levels(self, res, lambda level, i: level | {k: f(level, i) for k, f in fields.items()})


def spends(*args, share=1.0):
    """Another search: widen whatever still fits, the lowest level first."""
    in_ch, res, n, most_params, most_bytes = args
    widths = [8] * (n - 1) + [16]

    def fits(widths):
        params, peak = lesson02._cost(in_ch, res, widths)
        return params <= share * most_params and peak <= most_bytes

    grew = True
    while grew:
        grew = False
        for i in reversed(range(n)):
            new = [w + 8 * (k == i) for k, w in enumerate(widths)]
            if fits(new) and new == sorted(new) and new[-1] >= 2 * new[0]:
                widths, grew = new, True
    return widths


WRONG = {
    "2.1 base 1000": one_of("2.1", timestep_embedding=lambda t, d: waves(t, d, 1000)),
    "2.1 base 20000": one_of("2.1", timestep_embedding=lambda t, d: waves(t, d, 20000)),
    "2.1 shifted": one_of("2.1", timestep_embedding=lambda t, d: waves(t + 1, d)),
    "2.1 a phase": one_of("2.1", timestep_embedding=lambda t, d: waves(t, d, turn=0.1)),
    "2.1 minus sine": one_of("2.1", timestep_embedding=lambda t, d: waves(-t, d)),
    "2.1 whole times": one_of("2.1", timestep_embedding=lambda t, d: timestep_embedding(t.long(), d)),
    "2.1 float64": one_of("2.1", timestep_embedding=lambda t, d: timestep_embedding(t, d).double()),
    "2.1 scaled up": one_of("2.1", timestep_embedding=lambda t, d: timestep_embedding(t, d) * math.sqrt(2)),
    "2.1 always 8": one_of("2.1", timestep_embedding=lambda t, d: timestep_embedding(t, 8)),
    "2.1 reversed": one_of("2.1", timestep_embedding=lambda t, d: timestep_embedding(t, d).flip(-1)),
    "2.1 the first t": one_of("2.1", timestep_embedding=lambda t, d: timestep_embedding(t[:1], d).expand(len(t), d)),
    "2.1 normalised": one_of("2.1", timestep_embedding=lambda t, d: F.layer_norm(timestep_embedding(t, d), (d,))),
    "2.2 dropout of a half": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e, h2=lambda h: h / 2)),
    "2.2 time halved": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e, time=lambda e: e / 2)),
    "2.2 time of one": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e[:1])),
    "2.2 scaled": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e) / math.sqrt(2)),
    "2.2 minus": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e, skip=lambda s: -s)),
    "2.2 clamped": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e).clamp(-3, 3)),
    "2.2 group of one": one_of("2.2", resnet_block=group_of_one),
    "2.2 gelu": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e, h1=F.gelu)),
    "2.2 calls the block": one_of("2.2", resnet_block=lambda b, x, e: b(x, e)),
    "2.2 only the skip": one_of("2.2", resnet_block=lambda b, x, e: block(b, x, e, end=lambda h: 0 * h)),
    "2.2 doubles": one_of("2.2", up_path=lambda *a: path(*a, size=lambda x, s: [2 * n for n in x.shape[-2:]])),
    "2.2 no size": one_of("2.2", up_path=lambda *a: path(*a, size=lambda x, s: None)),
    "2.2 size of the first": one_of("2.2", up_path=lambda *a: path(*a, size=lambda x, s: s[0].shape[-2:])),
    "2.2 skips in pairs": one_of("2.2", up_path=lambda *a: path(*a, pick=lambda s, n: s.pop(-2 if n == 0 else -1))),
    "2.2 a faint skip": one_of("2.2", up_path=lambda *a: path(*a, pick=lambda s, n: s.pop() / 2)),
    "2.2 zero skips": one_of("2.2", up_path=lambda *a: path(*a, pick=lambda s, n: 0 * s.pop())),
    "2.2 adds the input": one_of("2.2", up_path=lambda b, x, s, e: path(b, x, s, e) + 1e-3),
    "2.2 time negated": one_of("2.2", up_path=lambda *a: path(*a, resnet=lambda r, x, e: r(x, -e))),
    "2.2 blocks reversed": one_of("2.2", up_path=lambda b, *a: path(b[::-1], *a)),
    "2.3 weighted": one_of("2.3", ddpm_loss=snr_weighted),
    "2.3 huber": one_of("2.3", ddpm_loss=lambda *a: loss(*a, f=lambda d: F.huber_loss(d, 0 * d, reduction="none"))),
    "2.3 two steps early": one_of("2.3", ddpm_loss=lambda *a: loss(*a, time=lambda t: t - 2)),
    "2.3 scaled time": one_of("2.3", ddpm_loss=lambda *a: loss(*a, time=lambda t: t / 20)),
    "2.3 time zero": one_of("2.3", ddpm_loss=lambda *a: loss(*a, time=lambda t: 0 * t)),
    "2.3 one time": one_of("2.3", ddpm_loss=lambda *a: loss(*a, time=lambda t: t[0] - 1)),
    "2.3 squared alpha-bar": one_of("2.3", ddpm_loss=lambda *a: loss(*a, a_of=torch.square)),
    "2.3 constant level": one_of("2.3", ddpm_loss=lambda *a: loss(*a, a_of=lambda a: 0 * a + 0.5)),
    "2.3 a number": one_of("2.3", ddpm_loss=lambda *a: ddpm_loss(*a).item()),
    "2.3 median": one_of("2.3", ddpm_loss=lambda *a: loss(*a, f=lambda d: d.pow(2).median())),
    "2.3 fourth power": one_of("2.3", ddpm_loss=lambda *a: loss(*a, f=lambda d: d**4)),
    "2.3 twice": one_of("2.3", ddpm_loss=lambda *a: loss(*a, scale=2.0)),
    "2.3 own noise": one_of("2.3", ddpm_loss=lambda n, x, t, e, a: ddpm_loss(n, x, t, torch.randn_like(e), a)),
    "2.3 float64": one_of("2.3", ddpm_loss=lambda *a: ddpm_loss(*a).double()),
    "2.4 variance between": one_of("2.4", ancestral_step=lambda *a: step(*a, std=lambda a, s, b: b.sqrt() * 0.9)),
    "2.4 sigma": one_of("2.4", ancestral_step=lambda *a: step(*a, std=lambda a, s, b: (1 - s).sqrt())),
    "2.4 variance of t": one_of("2.4", ancestral_step=lambda *a: step(*a, std=lambda a, s, b: (1 - a).sqrt())),
    "2.4 scaled mean": one_of("2.4", ancestral_step=lambda *a: step(*a, mean=1.01)),
    "2.4 x0 halved": one_of("2.4", ancestral_step=lambda *a: step(*a, x0=lambda x: x / 2)),
    "2.4 clipped wide": one_of("2.4", ancestral_step=lambda *a: step(*a, x0=lambda x: x.clamp(-1.5, 1.5))),
    "2.4 mean at t only": one_of("2.4", ancestral_step=lambda x, e, t, a, n: ancestral_step(x, e, len(a) - 1, a, n)),
    "2.4 minus noise": one_of("2.4", ancestral_step=lambda x, e, t, a, n: ancestral_step(x, e, t, a, -n)),
    "2.4 float64": one_of("2.4", ancestral_step=lambda *a: ancestral_step(*a).double()),
    "2.4 a share of noise": one_of("2.4", ancestral_step=lambda *a: step(*a, std=lambda a, s, b: b * (1 - s).sqrt())),
    "2.4 noise of the guess": one_of("2.4", ancestral_step=lambda x, e, t, a, n: ancestral_step(x, e, t, a, e)),
    "2.4 skips every other": one_of("2.4", ddpm_sample=lambda *a: loop(*a, times=lambda T: range(T, 0, -2))),
    "2.4 from T + 1": one_of("2.4", ddpm_sample=lambda *a: loop(*a, told=lambda t: t - 2)),
    "2.4 time from the end": one_of("2.4", ddpm_sample=lambda n, x, a, s: loop(n, x, a, s, told=lambda t: len(s) - t)),
    "2.4 one time": one_of("2.4", ddpm_sample=lambda *a: loop(*a, told=lambda t: 0)),
    "2.4 a shared time": one_of("2.4", ddpm_sample=lambda n, *a: loop(lambda x, t: n(x, t[0]), *a)),
    "2.4 the state before": one_of("2.4", ddpm_sample=lambda *a: loop(*a, last=lambda x, eps, t: x - 0.01 * eps)),
    "2.4 clamps at the end": one_of("2.4", ddpm_sample=lambda *a: ddpm_sample(*a).clamp(-0.5, 0.5)),
    "2.4 forgets the input": one_of("2.4", ddpm_sample=lambda n, x, a, s: ddpm_sample(n, s[0], a, s)),
    "2.4 all states": one_of("2.4", ddpm_sample=lambda n, x, a, s: torch.stack([ddpm_sample(n, x, a, s)] * len(s))),
    "2.5 pictures from 0 to 1": evaluator(__init__=lambda self, *a, **k: made(self, a, k, x0=torch.sigmoid)),
    "2.5 noise halved": evaluator(__init__=lambda self, *a, **k: made(self, a, k, eps=lambda e: e / 2)),
    "2.5 sorted times": evaluator(__init__=lambda self, *a, **k: made(self, a, k, t=lambda t: t.sort().values)),
    "2.5 times from one": evaluator(__init__=lambda self, *a, **k: made(self, a, k, t=lambda t: t.clamp(min=1))),
    "2.5 other betas": evaluator(betas=staticmethod(lambda T: linear_betas(T, 1e-4, 0.03))),
    "2.5 times a thousandth": evaluator(zero_predictor=lambda self, xt, t: 1e-3 * xt),
    "2.5 zero of the wrong shape": evaluator(zero_predictor=lambda self, xt, t: torch.zeros(len(xt))),
    "2.5 global noise": evaluator(random_predictor=lambda self, xt, t: torch.randn_like(xt)),
    "2.5 loud noise": evaluator(
        random_predictor=lambda self, xt, t: 2 * torch.randn(xt.shape, generator=self.generator)
    ),
    "2.5 the nearest sample": evaluator(
        perfect_predictor=lambda self, xt, t: self.eps[torch.cdist(xt.flatten(1), self.xt.flatten(1)).argmin(1)]
    ),
    "2.5 the mean where shared": evaluator(
        perfect_predictor=lambda self, xt, t: torch.stack([self.eps[self.t == i].mean(0) for i in t])
    ),
    "2.5 nothing where shared": evaluator(
        perfect_predictor=lambda self, xt, t: torch.stack(
            [self.eps[self.t == i].sum(0) * ((self.t == i).sum() == 1) for i in t]
        )
    ),
    "2.5 variance": evaluator(
        evaluate_predictor=lambda self, p, n: evaluate(self, p, n, lambda g, e: (g - e).var(correction=0))
    ),
    "2.5 first pixel": evaluator(
        evaluate_predictor=lambda self, p, n: evaluate(self, p, n, lambda g, e: ((g - e) ** 2).flatten(1)[:, 0].mean())
    ),
    "2.5 narrow bins": evaluator(evaluate_predictor=lambda self, p, n: evaluate(self, p, n, width=40)),
    "2.5 wide bins": evaluator(evaluate_predictor=lambda self, p, n: evaluate(self, p, n, width=60)),
    "2.5 the mean time": evaluator(evaluate_predictor=by_mean_of_bins),
    "2.5 a list": evaluator(
        evaluate_predictor=lambda self, p, n: list(DiffusionEvaluator.evaluate_predictor(self, p, n).values())
    ),
    "2.5 no name": evaluator(
        evaluate_predictor=lambda self, p, n: DiffusionEvaluator.evaluate_predictor(self, p, "predictor")
    ),
    "2.5 tells, prints nothing right": evaluator(run_evaluation=lambda self: print("zero 1 random 2 perfect 0")),
    "2.5 expected values": evaluator(
        run_evaluation=lambda self: print("zero 1.00 1.00 1.00 1.00\nrandom 2.0 2.0 2.0 2.0\nperfect 0.0 0.0 0.0 0.0")
    ),
    "2.5 best in float64": one_of("2.5", best_predictor=lambda x, a: lesson02.best_predictor(x.double(), a)),
    "2.5 best by batch": one_of("2.5", best_predictor=lambda x, a: (1 - a.mean()).sqrt().to(x) * x),
    "2.5 best of both": one_of("2.5", best_predictor=lambda x, a: lesson02.best_predictor(x, a) * 0.9),
    "2.6 floor": analyzer(conv_params=lambda self, i, o, kernel=3: i * o * kernel**2 + o + kernel % 2),
    "2.6 no default": analyzer(conv_params=lambda self, i, o, kernel: i * o * kernel**2 + o),
    "2.6 two biases": analyzer(conv_params=lambda self, i, o, kernel=3: i * o * kernel**2 + 2 * o),
    "2.6 a float": analyzer(conv_params=lambda self, i, o, kernel=3: float(i * o * kernel**2 + o)),
    "2.6 batch of two": analyzer(analyze=changed(activation_bytes=lambda level, i: 2 * level["activation_bytes"])),
    "2.6 kilobytes": analyzer(analyze=changed(activation_bytes=lambda level, i: level["activation_bytes"] // 1024)),
    "2.6 no names": analyzer(analyze=changed(name=lambda level, i: str(i))),
    "2.6 channels in": analyzer(analyze=changed(channels=lambda level, i: self_or(level))),
    "2.6 no bottleneck": analyzer(analyze=lambda self, r=64: [x for x in levels(self, r) if x["name"] != "bottleneck"]),
    "2.6 fixed resolution": analyzer(analyze=lambda self, r=64: levels(self, 64)),
    "2.6 half in the middle": analyzer(analyze=changed(resolution=lambda level, i: level["resolution"] / 2)),
    "2.6 norms too": analyzer(analyze=changed(params=lambda level, i: level["params"] + 2 * level["channels"])),
    "2.6 a dictionary": analyzer(analyze=lambda self, r=64: {level["name"]: level for level in levels(self, r)}),
    "2.6 prints in millions": analyzer(print_analysis=lambda self, r=64: in_millions(self.analyze(r))),
    "2.6 prints no peak": analyzer(print_analysis=lambda self, r=64: without_peak(self.analyze(r))),
    "2.7 a tuple of floats": one_of("2.7", my_channels=lambda *a: [float(w) for w in spends(*a)]),
    "2.7 one level less": one_of("2.7", my_channels=lambda *a: spends(*a)[1:]),
    "2.7 one level more": one_of("2.7", my_channels=lambda *a: [*spends(*a), 8 * 100]),
    "2.7 a constant": one_of("2.7", my_channels=lambda i, r, n, p, b: [32 * 2**k for k in range(n)]),
    "2.7 half the budget": one_of("2.7", my_channels=lambda *a: spends(*a, share=0.5)),
    "2.7 twice the budget": one_of("2.7", my_channels=lambda *a: spends(*a, share=2.0)),
    "2.7 of another input": one_of("2.7", my_channels=lambda i, r, *a: spends(i, r // 4, *a)),
    "2.7 zeros": one_of("2.7", my_channels=lambda i, r, n, p, b: [0] * n),
    "2.7 negative": one_of("2.7", my_channels=lambda *a: [-w for w in spends(*a)][::-1]),
    "2.7 a tensor": one_of("2.7", my_channels=lambda *a: torch.tensor(spends(*a))),
    "2.7 strings": one_of("2.7", my_channels=lambda *a: [str(w) for w in spends(*a)]),
    "2.7 odd": one_of("2.7", my_channels=lambda *a: [w - 1 for w in spends(*a)]),
}


def self_or(level):
    return level["channels"] // 2


def made(self, args, kwargs, **changes):
    DiffusionEvaluator.__init__(self, *args, **kwargs)
    for name, change in changes.items():
        setattr(self, name, change(getattr(self, name)))
    a = self.alpha_bars[self.t].reshape(-1, *[1] * (self.x0.ndim - 1)).float()
    self.xt = a.sqrt() * self.x0 + (1 - a).sqrt() * self.eps


def in_millions(levels):
    for level in levels:
        print(level["name"], level["params"] / 1e6)
    print("total", sum(level["params"] for level in levels) / 1e6)


def without_peak(levels):
    for level in levels:
        print(*level.values())
    print("total", *(sum(level[key] for level in levels) for key in ("params", "activation_bytes")))


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def hand_count(self, res=64):
    c, out = self.in_ch, []

    def add(name, c, res, params):
        bytes = 4 * c * res * res
        out.append({"name": name, "channels": c, "resolution": res, "params": params, "activation_bytes": bytes})

    for i, width in enumerate(self.channel_config):
        add(f"encoder {i + 1}", width, res, self.conv_params(c, width))
        c, res = width, res // 2
    add("bottleneck", c, res, self.conv_params(c, c))
    for i, width in reversed([*enumerate(self.channel_config)]):
        res = 2 * res
        add(f"decoder {i + 1}", width, res, self.conv_params(c, width, 4) + self.conv_params(2 * width, width))
        c = width
    return out


def pretty(self, input_res=64):
    levels = self.analyze(input_res)
    for level in levels:
        print(f"| {level['name'].title():12} | {level['params']:>12,} | {level['activation_bytes']:,} bytes |")
    print(f"Total parameters: {sum(level['params'] for level in levels):,}")
    print(f"Total activations: {sum(level['activation_bytes'] for level in levels):_}")
    print(f"Peak: {max(level['activation_bytes'] for level in levels):,} bytes")


def one_by_one(self, predictor, name):
    errors = {}
    for xt, eps, t in zip(self.xt, self.eps, self.t.tolist(), strict=True):
        error = (predictor(xt[None], torch.tensor([t]))[0] - eps).square().mean().item()
        errors.setdefault(t // 50, []).append(error)
    bins = {f"{50 * i}-{50 * i + 49}": errors.get(i, [math.nan]) for i in range(4)}
    return {"name": name, **{bin: sum(found) / len(found) for bin, found in bins.items()}}


def in_a_loop(net, x0, t, eps, alpha_bar):
    noisy = [a.sqrt().to(x0) * x + (1 - a).sqrt().to(x0) * e for a, x, e in zip(alpha_bar[t], x0, eps, strict=True)]
    return F.mse_loss(net(torch.stack(noisy), t.float() - 1), eps)


def by_equation_7(x_t, eps_hat, t, alpha_bar, noise):
    return step(x_t, eps_hat, t, alpha_bar, noise)


def downwards(net, x, alpha_bar, noises):
    with torch.no_grad():
        for i in range(len(noises)):
            t = len(alpha_bar) - 1 - i
            x = by_equation_7(x, net(x, torch.tensor([t - 1.0] * len(x))), t, alpha_bar, noises[i])
    return x


def by_index(blocks, x, skips, temb):
    i = len(skips)
    for b in blocks:
        for r in b.resnets:
            i -= 1
            x = r(torch.cat((x, skips[i]), 1), temb)
        if b.upsample:
            x = b.upsample(x, skips[i - 1].shape[2:])
    return x


def in_rows(self):
    rows = [one_by_one(self, getattr(self, f"{name}_predictor"), name) for name in ("zero", "random", "perfect")]
    for row in rows:
        print(f"{row.pop('name').title():10}", "  ".join(f"{value:7.2f}" for value in row.values()))


RIGHT = {
    "2.1 in float64": one_of("2.1", timestep_embedding=lambda t, d: waves(t.double(), d).float()),
    "2.1 by logarithms": one_of(
        "2.1",
        timestep_embedding=lambda t, d: (
            t[:, None] * torch.exp(torch.linspace(0, -math.log(10000) * (1 - 2 / d), d // 2)).repeat(2)
            + math.pi / 2 * (torch.arange(d) < d // 2)
        ).sin(),
    ),
    "2.2 by index": one_of("2.2", resnet_block=block, up_path=by_index),
    "2.3 in a loop": one_of("2.3", ddpm_loss=in_a_loop),
    "2.4 by equation 7": one_of("2.4", ancestral_step=by_equation_7, ddpm_sample=downwards),
    "2.5 one by one": evaluator(evaluate_predictor=one_by_one, run_evaluation=in_rows),
    "2.6 by hand": analyzer(
        analyze=hand_count,
        print_analysis=pretty,
        conv_params=lambda self, c_in, c_out, kernel=3: c_out * (c_in * kernel * kernel + 1),
    ),
    "2.7 greedy": one_of("2.7", my_channels=spends),
}


test_another_right_answer_passes = accepted(RIGHT)


def test_the_budgets_of_2_7_can_be_met():
    for seed in range(60):
        for case in lesson02._budgets(torch.Generator().manual_seed(seed)):
            params, _ = lesson02._cost(*case.args[:2], spends(*case.args))
            assert params > 0.7 * case.args[3], case.args
