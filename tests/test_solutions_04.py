"""Lesson 04: the solution's byte pairs are those of the library tokenizers."""

import json

import tokenizers
import torch
from tokenizers import models, trainers

from minidiff.check import exercises


def spelled(pieces):
    """A character for each piece, in the order of the alphabet: the library joins characters."""
    return {piece: chr(0x4E00 + i) for i, piece in enumerate(sorted(set(pieces)))}


def best_pair(words):
    """The first merge that the library learns."""
    letter = spelled(piece for pieces, _ in words for piece in pieces)
    bpe = tokenizers.Tokenizer(models.BPE())
    size = len(letter) + 1
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=sorted(letter.values()), show_progress=False)
    bpe.train_from_iterator(("".join(letter[p] for p in pieces) for pieces, n in words for _ in range(n)), trainer)
    (first, *_), piece = json.loads(bpe.to_str())["model"]["merges"], {c: piece for piece, c in letter.items()}
    return tuple(piece[c] for c in first)


def merge(pieces, pair):
    """The library's model with this one merge."""
    letter = spelled([*pieces, *pair])
    a, b = (letter[piece] for piece in pair)
    bpe = models.BPE({c: i for i, c in enumerate([*letter.values(), a + b])}, [(a, b)])
    piece = {c: piece for piece, c in letter.items()}
    return ["".join(piece[c] for c in token.value) for token in bpe.tokenize("".join(letter[p] for p in pieces))]


def test_byte_pairs_are_those_of_the_library():
    exercise, oracle = exercises(4)["4.1"], {"best_pair": best_pair, "merge": merge}
    for seed in range(5):
        for case in exercise.cases(torch.Generator().manual_seed(seed)):
            assert exercise.reference[case.name](*case.args) == oracle[case.name](*case.args), case
