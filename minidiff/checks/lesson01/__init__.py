"""The exercises of lesson 01, noise schedules."""

# Mistakes in the decibels of 1.2 and of 1.5: the expression that is wrong, and what a tutor would say to it.
DECIBELS = {
    "10 * torch.logit({a})": "Your numbers are too large by one factor everywhere: decibels use the logarithm to base 10.",
    "torch.logit({a})": "That is the natural logarithm of the ratio; decibels are ten times its logarithm to base 10.",
    "10 * torch.log2({a} / (1 - {a}))": "Your logarithm is the one to base 2: decibels use the one to base 10.",
    "20 * torch.log10({a} / (1 - {a}))": "Your decibels are twice too large: alpha-bar is a power already. A factor of 20, or a "
    "square, belongs to a ratio of amplitudes.",
    "torch.log10({a} / (1 - {a}))": "You gave bels: a decibel is a tenth of one.",
    "10 * torch.log10((1 - {a}) / {a})": "The sign is wrong everywhere: you divided the noise by the signal.",
    "5 * torch.log10({a} / (1 - {a}))": "You took the ratio of alpha to sigma. The SNR is a ratio of powers, which are their squares.",
    "10 * torch.log10({a}**0.5 / (1 - {a}))": "You divided an amplitude by a power: both signal and noise should be powers.",
    "10 * torch.log10({a} / (1 - {a}) ** 0.5)": "You divided a power by an amplitude: both signal and noise should be powers.",
    "10 * (torch.log10({a}) - torch.log(1 - {a}))": "The logarithm of the signal is the one to base 10, that of the noise the "
    "natural one: decibels use base 10 for both.",
    "10 * (torch.log({a}) - torch.log10(1 - {a}))": "The logarithm of the noise is the one to base 10, that of the signal the "
    "natural one: decibels use base 10 for both.",
    "10 * torch.log10({a} / (1 - {a}) ** 2)": "The noise is squared once more: one minus alpha-bar is its power already.",
    "10 * torch.log10({a})": "Only the signal counts in your ratio: nothing is divided by the power of the noise.",
    "10 * torch.log10(1 / (1 - {a}))": "You divided all the power, which is 1, by that of the noise: only the signal belongs on top.",
    "{a} / (1 - {a})": "That is the ratio itself; decibels are ten times its logarithm.",
    "10 * torch.log10({a}) / (1 - {a})": "You take the logarithm of alpha-bar before you divide: the ratio comes first.",
    "10 * torch.log10({a}) / torch.log10(1 - {a})": "You divide two logarithms: the logarithm of a ratio is their "
    "difference, or that of the quotient.",
    "10 * (torch.log10({a}) + torch.log10(1 - {a}))": "You add the two logarithms, which is that of a product: a ratio "
    "is asked for.",
    "10 * (torch.log10({a}) + torch.log10(1 + {a}))": "Neither is there a ratio, nor is one plus alpha-bar the noise: "
    "it is what is missing from alpha-bar to 1.",
    "10 * torch.log10({a} / (1 + {a}))": "One plus alpha-bar is not the noise: signal and noise together have power 1.",
    "(10 * torch.log10({a} / (1 - {a}))).abs()": "Your decibels are never negative: where there is more noise than "
    "signal they lie below 0.",
    "(10 * torch.log10({a} / (1 - {a}))).clamp(min=0)": "Your decibels stop at 0: where there is more noise than signal "
    "they lie below it.",
    "10 * torch.log10({a}**2 / (1 - {a}**2))": "You squared alpha-bar, as if it were an amplitude: it is a power "
    "already.",
    "10 * torch.log10({a}**2 / (1 - {a}) ** 2)": "Your decibels are twice too large: alpha-bar is a power already. A "
    "factor of 20, or a square, belongs to a ratio of amplitudes.",
    "0 * {a}": "You gave 0 dB everywhere, as if signal and noise were always equal.",
}


def decibels(name, before=""):
    """These mistakes, as edits of the solution in which alpha-bar is called `name`; `before` begins each sentence."""
    right = f"return 10 * torch.log10({name} / (1 - {name}))"
    return "\n".join(f"{right} -> return {e.format(a=name)}\n    {before}{text}" for e, text in DECIBELS.items())
