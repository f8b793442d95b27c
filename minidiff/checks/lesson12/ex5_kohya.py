"""12.5 a file of kohya's."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole

LAYERS = [
    "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.1.resnets.0.conv1",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
    "mid_block.resnets.1.time_emb_proj",
    "up_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0",
    "up_blocks.2.attentions.1.transformer_blocks.0.attn2.to_k",
    "up_blocks.2.attentions.1.transformer_blocks.0.attn2.to_k_ip",  # begins as the one before it
]


def cases(g):
    files = (torch.float32, False), (torch.float16, True), (torch.float32, True), (torch.float64, False)
    return [a_file(g, dtype, both) for dtype, both in files]


def a_file(g, dtype, both):
    """Some of the layers, in another order than the model's, some convolutions, some with alpha, one of rank 1.

    The last layer is there; the one that its name begins with is there if `both`.
    """
    first = len(LAYERS) - 2
    chosen = torch.randperm(first, generator=g)[: whole(g, 3, 4)].tolist() + [first + 1] + [first] * both
    tensors, order = {}, [chosen[i] for i in torch.randperm(len(chosen), generator=g)]
    for place, i in enumerate(order):
        out, into, name = whole(g, 5, 7), whole(g, 8, 9), LAYERS[i].replace(".", "_")
        r = 1 if place == 2 else whole(g, 2, 4)
        conv = (3, 3) if place == 0 else (1, 1) if place < 3 else ()
        A = torch.randn(r, into, *conv, generator=g).to(dtype)
        B = torch.randn(out, r, *[1 for _ in conv], generator=g).to(dtype)
        tensors |= {f"lora_unet_{name}.lora_down.weight": A, f"lora_unet_{name}.lora_up.weight": B}
        if place % 3 != 1:
            alpha = torch.tensor(whole(g, 1, 16) + 0.5 * (place % 2 == 0), dtype=dtype)
            tensors[f"lora_unet_{name}.alpha"] = alpha
    names = [*tensors]
    shuffled = {names[i]: tensors[names[i]] for i in torch.randperm(len(names), generator=g)}
    return Case("read_kohya", (shuffled, [LAYERS[i] for i in torch.randperm(len(LAYERS), generator=g)]))


HINTS = """
Go from the names of the model to those of the file, not back: replace the dots of a layer's name by underscores, and
ask whether the file has tensors of that name.

A tensor of one number becomes a plain one by .item(). Ask whether the file has the alpha before you take it; the rank
is a size of A.

flatten(1) makes (out, r) of (out, r, 1, 1), and leaves (out, r) as it is.
"""

MISTAKES = r"""
A, B = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"] -> B, A = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
    A and B are exchanged: lora_down leads down to r numbers, and is A.
else len(A) -> else 1
    Without an alpha in the file you take 1: then it is the rank.
else len(A) -> else len(B)
    Without an alpha in the file you take the number of outputs: then it is the rank.
else len(A) -> else A.shape[1]
    Without an alpha in the file you take the number of inputs: then it is the rank.
alpha = tensors[f"{name}.alpha"].item() if f"{name}.alpha" in tensors else len(A) -> alpha = len(A)
    The alphas of the file are not read.
alpha = tensors[f"{name}.alpha"].item() if f"{name}.alpha" in tensors else len(A) -> alpha = 1
    The alphas of the file are not read, and 1 is taken instead.
float(alpha) -> alpha / len(A)
    You give alpha over the rank: alpha itself is asked for.
float(alpha) -> torch.tensor(float(alpha))
    Alpha is a tensor: a plain number is asked for.
B.flatten(1) -> B
    The B of a convolution still has four dimensions: (out, r) is asked for.
found[layer] = A, B.flatten(1) -> found[layer] = A.flatten(1), B.flatten(1)
    The A of a convolution has lost its height and width: it stays as it is.
found[layer] = A, -> found[name] = A,
    The keys are the file's names: the layers' own names, with dots, are asked for.
found[layer] = A, -> found[name.removeprefix("lora_unet_")] = A,
    The keys are the layers' names with underscores: with dots, as the model has them, they are asked for.
found[layer] = A, -> found[name.removeprefix("lora_unet_").replace("_", ".")] = A,
    All underscores have become dots, those that belong to the names, too, as in to_q. Begin with the model's names.
found[layer] = A, B.flatten(1), float(alpha) -> found[layer] = A, B.flatten(1)
    Alpha is missing in the tuples.
B.flatten(1), float(alpha) -> (float(alpha) / len(A)) * B.flatten(1), float(alpha)
    B is multiplied by alpha over the rank already, and alpha is given beside it: it would count twice.
return found -> return list(found.values())
    Layers are told by their names: a dict is asked for, from the name of a layer to its tuple.
read_kohya := with_all
    Layers that the file does not have stand in yours, too: leave them out.
read_kohya := by_beginning
    A tensor is taken for a layer's if its name begins as the layer's. One layer's name may begin as another's does: the
    dot after it belongs to it.
B.flatten(1) -> B.squeeze()
    squeeze takes away every size of 1, the rank, too, where that is 1: (out, r) is asked for.
B.flatten(1), float(alpha) -> B.flatten(1), float(int(alpha))
    Alpha is cut to a whole number: it may have a fraction.
A, B = tensors -> if f"{name}.alpha" not in tensors:\n                continue\n            A, B = tensors
    Layers without an alpha are left out: for these it is the rank.
read_kohya := by_beginning_last
    A tensor is taken for a layer's if its name begins as the layer's. One layer's name may begin as another's does: the
    dot after it belongs to it.
float(alpha) -> float(alpha * len(A))
    You give alpha times the rank: alpha itself is asked for.
float(alpha) -> float(round(alpha))
    Alpha is rounded to a whole number: it may have a fraction.
found[layer] = A, B.flatten(1), float(alpha) -> found[layer] = B.flatten(1), A, float(alpha)
    A and B are exchanged: lora_down leads down to r numbers, and is A.
B.flatten(1), float(alpha) -> B.flatten(1).T, float(alpha)
    B lies on its side: (out, r) is asked for.
"""

RIGHT = r"""
read_kohya := by_table
B.flatten(1) -> B.reshape(len(B), -1)
else len(A) -> else A.shape[0]
"""

WRONG = r"""
found[layer] = A, B.flatten(1) -> found[layer] = A.float() + 1, B.flatten(1)
float(alpha) -> str(alpha)
return found -> return found | {"alpha": 1.0}
return found -> return dict(list(found.items())[1:])
read_kohya := lambda tensors, layers: {}
"""

EQUIVALENT = """
tensors[f'{name}.alpha'].item() -> tensors[f'{name}.alpha']
    float makes a plain number of it, too
float(alpha) -> alpha
    a rank is a plain number, too
"""


def by_table(tensors, layers):
    names = {"lora_unet_" + layer.replace(".", "_"): layer for layer in layers}
    out = {}
    for key in tensors:
        name, _, role = key.partition(".")
        if role == "lora_down.weight":
            A = tensors[key]
            alpha = tensors.get(f"{name}.alpha", torch.tensor(float(len(A))))
            out[names[name]] = A, tensors[f"{name}.lora_up.weight"].flatten(1), float(alpha)
    return out


def with_all(tensors, layers):
    return {layer: None for layer in layers} | by_table(tensors, layers)


def by_beginning(tensors, layers):
    def found(layer, role):
        start = "lora_unet_" + layer.replace(".", "_")
        return next((tensors[key] for key in tensors if key.startswith(start) and role in key), None)

    out = {}
    for layer in layers:
        A, B, alpha = (found(layer, role) for role in ("lora_down", "lora_up", "alpha"))
        if A is not None:
            out[layer] = A, B.flatten(1), float(len(A) if alpha is None else alpha)
    return out


def by_beginning_last(tensors, layers):
    out = {}
    for layer in layers:
        start = "lora_unet_" + layer.replace(".", "_")
        found = {key.partition(".")[2]: tensor for key, tensor in tensors.items() if key.startswith(start)}
        if found:
            A = found["lora_down.weight"]
            out[layer] = A, found["lora_up.weight"].flatten(1), float(found.get("alpha", len(A)))
    return out
