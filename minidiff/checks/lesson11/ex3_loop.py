"""11.3 denoising: guidance in any sampler."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import betas, uniform, whole
from minidiff.denoise import EPS, X0, V
from minidiff.sample import ddim, dpmpp_2m, heun, plms
from minidiff.schedule import Discrete

ATOL = 1e-7


def net(x, time, context):
    """A stand-in for a U-Net, row by row."""
    if len(context) != len(x):
        raise ValueError(f"the network got {len(x)} latents and {len(context)} texts: one text for each")
    if not isinstance(time, torch.Tensor) or time.shape != (len(x),):
        got = f"a tensor of shape {tuple(time.shape)}" if isinstance(time, torch.Tensor) else f"a {type(time).__name__}"
        raise ValueError(f"the network got {got} as time, for {len(x)} latents: a tensor with one time for each")
    time = time.to(x).reshape(-1, 1, 1, 1) / 20
    text = context.sin().mean((1, 2)).reshape(-1, 1, 1, 1).to(x)
    return torch.tanh(0.7 * x + 2 * text + 0.2 * x.roll(1, -1)) * torch.cos(time) + text * time.sin()


def _function(call, name):
    """A plain function, which copies leave as it is."""

    def function(*args, **options):
        return call(*args, **options)

    function.__name__ = name
    return function


def cases(g):
    cases = []
    samplers, predictions = (dpmpp_2m, ddim, heun, plms), (V, EPS, X0, V)
    for i, (sampler, prediction) in enumerate(zip(samplers, predictions, strict=True)):
        T = whole(g, 40, 60)
        steps = T * torch.cumsum(uniform(g, 0.5, 1.5, 6), 0).flip(0) / 9
        times = steps.round().unique().flip(0).clamp(2, T).unique().flip(0)
        times = torch.cat([times, torch.tensor([0.0 if i == 3 else 1.0]).double()])
        times[1] -= 0.5 if i == 1 else 0.0  # a sampler may ask between two whole times
        b, dtype = whole(g, 2, 3), torch.float32 if i == 1 else torch.float64
        x = torch.randn(b, 4, 3, 5, generator=g, dtype=dtype)
        states = 2 * torch.randn(2 * b, 4, 3, generator=g, dtype=dtype)
        guidance = uniform(g, 0.2, 0.8) if i == 3 else uniform(g, 2, 4)
        levels, step = _function(Discrete(betas(g, T)), "levels"), _function(sampler, sampler.__name__)
        to_x0 = _function(prediction.to_x0, "to_x0")
        cases.append(Case("draw_latents", (net, levels, to_x0, step, x, states, times, guidance)))
    return cases


HINTS = """
From the inside out: first a function of (x, t) that gives the guided guess of the clean latents. The sampler calls it as
often as it needs.

In it: x twice in a batch, one call of net, to_x0 with the levels at t, then take the halves apart.

The network's time is a tensor with an entry for each row, torch.full((2 * len(x),), ...). Ours is one more than the one
it counts.

A sampler is a generator of states: *_, last = ... takes the last one.
"""

MISTAKES = r"""
float(t) - 1 -> float(t)
    The network is told our time, where t = 0 is clean data. It counts from 0 where we count from 1.
float(t) - 1 -> float(t) + 1
    The network is told a time that is too late: it counts from 0 where we count from 1.
float(t) - 1 -> 0.0
    The network is told the same time at every step.
float(t) - 1 -> (float(t) - 1) / 1000
    The network is told a share of the way. It wants the time itself.
negative, prompt = -> prompt, negative =
    You push away from the prompt: the negative half comes first.
return negative + guidance * (prompt - negative) -> return prompt
    That is the answer to the prompt alone: guidance is not used.
return negative + guidance * (prompt - negative) -> return negative
    That is the answer to the negative prompt alone.
return negative + -> return prompt +
    Guidance is one too strong: 1 should give the answer to the prompt.
guidance * (prompt -> (guidance - 1) * (prompt
    Guidance is one too weak: 1 should give the answer to the prompt, and 0 that to the negative one.
return negative + guidance -> return guidance
    That is the push alone: where does it start?
guidance * (prompt - negative) -> guidance * prompt
    You add the whole answer to the prompt. The push is how far it lies from the negative one.
negative + guidance * (prompt - negative) -> negative - guidance * (prompt - negative)
    The push has the wrong sign: it leads away from the prompt.
negative + guidance * (prompt - negative) -> (negative + prompt) / 2
    Guidance is ignored: you take the mean of both answers.
negative + guidance * (prompt - negative) -> (negative + guidance * (prompt - negative)).clamp(-1, 1)
    You clamped the guess of the clean latents. They are no pixels, and reach beyond 1.
draw_latents := of_mixed_texts
    You mixed the texts and asked about a text that nobody wrote. It is the answers that are mixed.
draw_latents := two_drawings
    You drew two pictures, one for each text, and mixed them at the end. Guidance mixes at every step.
both = torch.cat([x, x]) -> both = x.repeat_interleave(2, 0)
    Each picture stands twice in a row in your batch. The texts stand in two halves: so should the pictures.
to_x0(both, net(both, time, states), *levels(t)) -> net(both, time, states)
    You took what the network says for the clean latents. What its answer means, to_x0 knows.
*levels(t)).chunk -> *levels(t)[::-1]).chunk
    alpha and sigma have changed places when the network's answer is translated.
*levels(t)).chunk -> *(a**2 for a in levels(t))).chunk
    When the network's answer is translated, alpha and sigma are squared.
*levels(t)).chunk -> *(a**0.5 for a in levels(t))).chunk
    When the network's answer is translated, roots of alpha and sigma are taken. They are taken already.
*levels(t)).chunk -> *levels(t - 1)).chunk
    alpha and sigma are those of one time earlier. Only the network counts from 0; levels wants our time.
to_x0(both, net(both, time, states), -> to_x0(net(both, time, states), both,
    The latents and the network's answer have changed places when it is translated.
sampler(guided, -> ddim(guided,
    You always step like DDIM. The sampler that is given knows how.
*_, x = sampler -> x, *_ = sampler
    That is the first state after the noise. The last one is asked for.
*_, x = sampler(guided, x, levels, times) -> x = list(sampler(guided, x, levels, times))
    You gave all the states. The last one is asked for.
draw_latents := last_guess
    That is the last guess of the clean latents. The last state of the sampler is asked for.
levels, times) -> levels, times[:-1])
    The last time is never reached: that is the state at the time before.
levels, times) -> levels, times - 1)
    The sampler was given times that are one too low. Only the network counts from 0; the sampler wants ours.
levels, times) -> levels, torch.linspace(times[0], times[-1], len(times)).double())
    The times are evenly spaced from the first to the last: take those that are given.
levels, times) -> levels, times.flip(0))
    The times run upwards: the sampler goes from noise to the picture, so down.
*_, x = sampler(guided, x, -> *_, x = sampler(guided, torch.cat([x, x]),
    You drew twice as many pictures. Only inside of guided every picture stands there twice.
*levels(t)).chunk -> *levels(times[0])).chunk
    alpha and sigma are those of the first time at every step. Ask levels for those at t.
def guided(x, t):\n        both = torch.cat([x, x]) -> noise = x\n\n    def guided(x, t):\n        both = torch.cat([noise, noise])
    The network sees the noise that you began with at every step. guided is given the state at t: show it that.
guidance * (prompt - negative) -> (guidance if guidance > 1 else 1.0) * (prompt - negative)
    Guidance of less than 1 gives the answer to the prompt alone, as in diffusers. Here 0 gives that to the negative
    one, and between the two lies a mixture.
guidance * (prompt - negative) -> (guidance if guidance > 1 else 0.0) * (prompt - negative)
    Guidance of less than 1 gives the answer to the negative prompt alone. Here 1 gives that to the prompt, and between
    the two lies a mixture.
float(t) - 1 -> int(t) - 1
    The network's time is made a whole number. A sampler may ask between two.
float(t) - 1 -> round(float(t)) - 1
    The network's time is made a whole number. A sampler may ask between two.
*levels(t)).chunk -> *levels(int(t))).chunk && float(t) - 1 -> int(t) - 1
    The time is made a whole number. A sampler may ask between two.
draw_latents := by_the_count(lambda t, counted: (counted, t))
    You count the calls to know the time that the network is told. A sampler may call guided twice in a step: t is the
    time that it asks for.
draw_latents := by_the_count(lambda t, counted: (counted, counted))
    You count the calls to know the time. A sampler may call guided twice in a step: t is the time that it asks for.
draw_latents := by_the_count(lambda t, counted: (t, counted))
    You count the calls to know the time for alpha and sigma. A sampler may call guided twice in a step: t is the time
    that it asks for.
draw_latents := in_turns
    Each picture stands twice in a row in your batch. The texts stand in two halves: so should the pictures.
float(t) - 1 -> float(times[0]) - float(t)
    The network's time runs the wrong way: at the first step, in much noise, it is told 0.
float(t) - 1 -> float(times[0]) - 1
    The network is told the first time at every step.
*levels(t)).chunk -> *levels(times[-1])).chunk
    alpha and sigma are those of the last time at every step. Ask levels for those at t.
levels, times) -> levels, times[1:])
    The first step is left out: the sampler was given the times from the second on.
levels, times) -> levels, torch.cat([times, times.new_zeros(1)]) if times[-1] > 0 else times)
    You go on to time 0, where the times that were given end earlier.
sampler(guided, x, levels, times) -> sampler(guided, x * float(levels(times[0])[1]), levels, times)
    You multiply the noise by sigma before the first step. It is the state at the first time as it is given.
return x -> return x.clamp(-1, 1)
    You clamped the last state. Latents are no pixels, and reach beyond 1.
.chunk(2) -> .unflatten(0, (-1, 2)).unbind(1)
    You take the network's answers for pairs, one after the other. They lie in two halves, as the texts do.
return negative + guidance -> return negative[:1] + guidance
    All pictures begin from the first one's answer to the negative prompt. Each has its own.
negative + guidance * (prompt - negative) -> prompt + guidance * (prompt - negative) / 2
    You begin at the answer to the prompt, and go half the way. At 0 the answer to the negative prompt is asked for, at
    1 that to the prompt.
"""

RIGHT = r"""
draw_latents := two_calls
float(t) - 1, dtype=x.dtype, device=x.device -> float(t) - 1
*_, x = sampler(guided, x, levels, times) -> x = list(sampler(guided, x, levels, times))[-1]
return negative + guidance * (prompt - negative) -> return guidance * prompt + (1 - guidance) * negative
"""

WRONG = """
return negative + guidance -> return negative + guidance / 2
return negative + guidance -> return negative + min(guidance, 1.5)
return negative + guidance -> return negative + 4
*_, x = sampler(guided, x, -> *_, x = sampler(guided, x / 2,
levels, times) -> levels, times[[0, 2, -1]])
net(both, time, states) -> net(both, time, states.roll(1, 0))
net(both, time, states) -> net(both, time[0], states)
net(both, time, states) -> net(both, time[: len(x)], states)
*_, x = sampler(guided, x, levels, times) -> *_, x = sampler(guided, x.float(), levels, times)
sampler(guided, -> heun(guided,
"""

EQUIVALENT = """
torch.full((len(both),), float(t) - 1, dtype=x.dtype, device=x.device) -> torch.full((len(both),), float(t) - 1, device=x.device)
    times are whole and half numbers, which single precision holds, too
torch.full((len(both),), float(t) - 1, dtype=x.dtype, device=x.device) -> torch.full((len(both),), float(t) - 1, dtype=x.dtype)
    what a check gives is on the CPU, where tensors are made anyway
float(t) -> t
    torch.full takes a tensor of one number as well
"""


def two_calls(net, levels, to_x0, sampler, x, states, times, guidance):
    """A call of the network for each half."""

    def guided(x, t):
        time = torch.full((len(x),), float(t) - 1)
        n, p = (to_x0(x, net(x, time, half), *levels(t)) for half in states.chunk(2))
        return n + guidance * (p - n)

    return list(sampler(guided, x, levels, times))[-1]


def of_mixed_texts(net, levels, to_x0, sampler, x, states, times, guidance):
    negative, prompt = states.chunk(2)
    mixed = negative + guidance * (prompt - negative)
    return two_calls(net, levels, to_x0, sampler, x, torch.cat([mixed, mixed]), times, 1.0)


def two_drawings(net, levels, to_x0, sampler, x, states, times, guidance):
    n, p = (two_calls(net, levels, to_x0, sampler, x, states, times, scale) for scale in (0.0, 1.0))
    return n + guidance * (p - n)


def last_guess(net, levels, to_x0, sampler, x, states, times, guidance):
    guesses = []

    def listening(guided, x, levels, times):
        return sampler(lambda x, t: guesses.append(guided(x, t)) or guesses[-1], x, levels, times)

    two_calls(net, levels, to_x0, listening, x, states, times, guidance)
    return guesses[-1]


def by_the_count(choose):
    """From the time that is asked for and the one that the count of calls says: the network's and the levels' time."""

    def answer(net, levels, to_x0, sampler, x, states, times, guidance):
        left = iter(times)

        def guided(x, t):
            told, at = choose(float(t), float(next(left, times[-1])))
            both, time = torch.cat([x, x]), torch.full((2 * len(x),), told - 1)
            n, p = to_x0(both, net(both, time, states), *levels(at)).chunk(2)
            return n + guidance * (p - n)

        return list(sampler(guided, x, levels, times))[-1]

    return answer


def in_turns(net, levels, to_x0, sampler, x, states, times, guidance):
    """Pictures twice in a row, and answers in halves, which are translated after guidance."""

    def guided(x, t):
        time = torch.full((2 * len(x),), float(t) - 1)
        n, p = net(x.repeat_interleave(2, 0), time, states).chunk(2)
        return to_x0(x, n + guidance * (p - n), *levels(t))

    return list(sampler(guided, x, levels, times))[-1]
