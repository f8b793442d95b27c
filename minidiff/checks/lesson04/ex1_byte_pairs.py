"""4.1 byte pairs: which to join, and joining them."""

import collections

from minidiff.checks import Case
from minidiff.checks.parts import whole


def word(g, low, high, letters="abcd"):
    return [letters[whole(g, 0, len(letters) - 1)] for _ in range(whole(g, low, high))]


def hashed(pair):
    """The pair, which has to be one that a dictionary can count: a list cannot, and what joins compares tuples."""
    hash(pair)
    return pair


def cases(g):
    """Words with counts; the last ones with a tie; then merges, in which the pair overlaps itself or a longer piece."""
    words = [[(word(g, 2, 7), whole(g, 1, 9)) for _ in range(12)] for _ in range(6)]
    longer = [[(word(g, 2, 6, ("a", "b", "ab", "ba", "c")), whole(g, 1, 9)) for _ in range(12)] for _ in range(3)]
    odd = [(["c", "a"], 2), (["a", "b"] * 4, 1), (["b", "c"], 3), (["d"] * 2, 4), (["c", "d"], 5), (["d", "e"], 5)]
    tie = [(["x", "y"], 3), (["y", "x"], 3), (["b", "z"], 6), (["b", "a"], 6), (["y", "z", "y", "z"], 2)]
    joined = [(["ab", "a", "d"], 4), (["a", "c"], 4), (["d", "e"], 3)]  # the pair a, c is first, "aba" before "ac"
    shorter = [(["aa", "b"], 4), (["c", "d"], 4)]  # and the second of these
    pieces = [(["th", "e"], 5), (["t", "h", "i", "n"], 4), (["t", "h", "e", "n"], 3)]  # "th" is a piece already
    once = [(["m", "n"] * 5, 2), (["n", "o"], 8), (["o", "p"], 7)]
    both = [(["r", "s"], 5), (["s", "r"], 4), (["t", "u"], 7)]
    border = [(["w", letter, "v"], 1) for letter in "gfedcb"]  # "vw" would be frequent, were words not apart
    thrice = [(["e"] * 3, 3), (["f", "g"], 5), (["e"] * 2 + ["h"], 1)]  # e, e is twice in the first
    single = [(["u"], 9), (["p", "q"], 2), (["q", "p", "q"], 1)]  # a word of one piece has no pair
    some = [word(g, 8, 12, "ab") for _ in range(3)]
    overlapping = [
        ["x", "xa", "b", "a", "b", "bc", "a", "a", "b"],
        ["a"] * 5 + ["b", "a", "a"],
        ["ab", "c", "ab", "c", "b"],
    ]
    pairs = [("a", "b"), ("a", "a"), ("ab", "c")]
    counted = (*words, *longer, odd, tie, joined, shorter, pieces, once, both, border, thrice, single)
    return [
        *(Case("best_pair", (w,), read=hashed) for w in counted),
        *(Case("merge", (w, ("a", "b"))) for w in some),
        *(Case("merge", (w, ("b", "a"))) for w in some),
        *(Case("merge", args) for args in zip(overlapping, pairs, strict=True)),
        Case("merge", (["a", "b", "c"], ("c", "a"))),
        Case("merge", (["a", "b", "ab", "a", "b"], ("a", "b"))),
        Case("merge", (["a", "bc", "ab", "c", "b"], ("ab", "c"))),
    ]


HINTS = """
best_pair: zip of a list and the same list without its first entry gives the neighbours.

collections.Counter counts; add n for each occurrence. For a tie: min and max take a key, and a key may be a tuple.
What should it begin with, and which way round?

merge: a while loop with an index is simplest, for after a join it must advance by two, else by one.

Mind the end of the list: the last piece has no neighbour, and belongs to the answer all the same.
"""

MISTAKES = """
+= n -> += 1
    Each word counts once in yours, however often it occurs. A pair in a frequent word is frequent.
for pair in zip(pieces, pieces[1:], strict=False): -> for pair in set(zip(pieces, pieces[1:], strict=False)):
    You count a pair once a word. If a word holds it three times, it counts three times.
for pair in zip(pieces, pieces[1:], strict=False): -> for pair in zip(pieces[::2], pieces[1::2], strict=False):
    You cut each word into pairs. Neighbours overlap: a piece is one of two pairs, with the piece before and with the
    one after.
for pieces, n in words: -> for pieces, n in [(list("".join(p)), n) for p, n in words]:
    You count letters. A piece may be longer than a letter, and stays whole.
+= n -> += n * (len("".join(pair)) == 2)
    You count pairs of single letters only. A piece may be longer than a letter.
(-counts[pair], pair) -> (counts[pair], pair)
    You took the rarest pair. The most frequent one is asked for.
min(counts, key=lambda pair: (-counts[pair], pair)) -> max(counts, key=lambda pair: (counts[pair], pair))
    Of several equally frequent pairs you take the last in the alphabet: take the first.
(-counts[pair], pair) -> -counts[pair]
    Of several equally frequent pairs you take the one that was met first. The alphabet should decide.
(-counts[pair], pair) -> (-counts[pair], "".join(pair))
    Of several equally frequent pairs you take the one that is first once it is joined. Compare the pairs themselves,
    as tuples.
counts[pair] += -> counts[tuple(sorted(pair))] +=
    You count a pair and its reverse together: they are two different pairs.
return min(counts -> for (a, _), (b, _) in zip(words, words[1:]):\\n        counts[a[-1], b[0]] += 1\\n    return min(counts
    You also pair the last piece of a word with the first of the next. A pair lies within one word.
best_pair := lambda words: across_words(words, lambda before, after: after)
    You also pair the last piece of a word with the first of the next. A pair lies within one word.
best_pair := lambda words: across_words(words, lambda before, after: before)
    You also pair the last piece of a word with the first of the next. A pair lies within one word.
best_pair := lambda words: across_words(words, min)
    You also pair the last piece of a word with the first of the next. A pair lies within one word.
best_pair := by_merging
    Where a piece stands three times in a row, you count that pair once. Count every two neighbours: there it is twice.
best_pair := by_skipping
    Where a piece stands three times in a row, you count that pair once. Count every two neighbours: there it is twice.
zip(pieces, pieces[1:], strict=False) -> pieces && min(counts, key=lambda pair: (-counts[pair], pair)) -> tuple(sorted(counts, key=lambda pair: (-counts[pair], pair))[:2])
    You took the two most frequent pieces, whether or not they are neighbours.
return min(counts, key=lambda pair: (-counts[pair], pair)) -> return "".join(min(counts, key=lambda pair: (-counts[pair], pair)))
    You gave the joined piece. The pair itself is asked for, as a tuple of two.
return min(counts, key=lambda pair: (-counts[pair], pair)) -> return list(min(counts, key=lambda pair: (-counts[pair], pair)))
    You gave the pair as a list. A tuple is asked for: only that is equal to another tuple.
return min(counts, key=lambda pair: (-counts[pair], pair)) -> return min(counts.items(), key=lambda item: (-item[1], item[0]))
    You gave the pair together with how often it occurs. The pair alone is asked for.
i += 2 -> return [*joined, *pieces[i + 2 :]]
    Only the first occurrence is joined: each one should be.
merge := lambda pieces, pair: [p[::-1] for p in merge([p[::-1] for p in pieces[::-1]], (pair[1][::-1], pair[0][::-1]))[::-1]]
    Where a pair overlaps itself, you join from the right. A walk from the left comes first to others.
i += 2 -> i += 2 if pair[0] != pair[1] else 1
    Where a pair overlaps itself, you use a piece twice: after a join, go on behind both pieces.
i += 2 -> i += 1
    The second piece of a pair is still there after the join: the word has got longer. Go on behind both pieces.
i += 2 -> joined.append(pieces[i + 1])\\n            i += 2
    The second piece of a pair is still there after the join.
== tuple(pair) -> in (tuple(pair), tuple(pair)[::-1])
    You also join the pair the other way round. The order matters.
tuple(pieces[i : i + 2]) == tuple(pair) -> "".join(pieces[i : i + 2]) == "".join(pair)
    You compare what the pieces are when joined. Other pieces may come to the same: compare each with its own.
merge := lambda pieces, pair: " ".join(pieces).replace(" ".join(pair), "".join(pair)).split()
    A longer piece that only ends or begins like one of the pair is joined too: compare whole pieces.
while i < len(pieces): -> while i < len(pieces) - 1:
    The last piece is lost where it has no partner: the walk ends one too early.
joined.append(pieces[i]) -> pass
    Pieces that are not joined are lost: they belong to the word as they are.
return joined -> return ["".join(pieces)]
    You gave the whole word as one piece: only this pair is joined.
return joined -> return "".join(joined)
    You gave a text. The word is still a list of pieces.
== tuple(pair) -> == list(pair)
    The pieces come back as they were. Are pair and neighbours the same type when you compare them?
"""


def across_words(words, times):
    """Also counts the pair of pieces at which two words meet, so many times."""
    counts = collections.Counter()
    for (before, m), (after, n) in zip([([], 0), *words], words, strict=False):
        counts.update({(before[-1], after[0]): times(m, n)} if before else {})
        for pair in zip(after, after[1:], strict=False):
            counts[pair] += n
    return min(counts, key=lambda pair: (-counts[pair], pair))


def by_merging(words):
    """Counts how many pieces fewer there would be."""
    pairs = {pair for pieces, _ in words for pair in zip(pieces, pieces[1:], strict=False)}
    saved = {pair: sum(n * (len(p) - len(by_looking_back(p, pair))) for p, n in words) for pair in pairs}
    return min(saved, key=lambda pair: (-saved[pair], pair))


def by_skipping(words):
    """Goes on behind a pair of equal pieces."""
    counts = collections.Counter()
    for pieces, n in words:
        i = 0
        while i < len(pieces) - 1:
            counts[pieces[i], pieces[i + 1]] += n
            i += 1 + (pieces[i] == pieces[i + 1])
    return min(counts, key=lambda pair: (-counts[pair], pair))


def by_sorting(words):
    counts = {}
    for pieces, n in words:
        for i in range(len(pieces) - 1):
            counts[pieces[i], pieces[i + 1]] = counts.get((pieces[i], pieces[i + 1]), 0) + n
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0][0]


def by_looking_back(pieces, pair):
    """Joins when the second one comes; what was joined is closed to a further join."""
    out, closed = [], True
    for piece in pieces:
        if not closed and (out[-1], piece) == tuple(pair):
            out[-1], closed = out[-1] + piece, True
        else:
            out, closed = [*out, piece], False
    return tuple(out)


RIGHT = """
best_pair := by_sorting
merge := by_looking_back
"""


EQUIVALENT = """
zip(pieces, pieces[1:], strict=False) -> zip(pieces, pieces[1:])
    strict is False by default
tuple(pair) -> pair
    a pair is a tuple, as best_pair gives it
"""


def by_product(words):
    """Counts of the pieces multiplied, as if neighbours did not depend on each other."""
    counts = collections.Counter()
    for pieces, n in words:
        for piece in pieces:
            counts[piece] += n
    pairs = {pair for pieces, _ in words for pair in zip(pieces, pieces[1:], strict=False)}
    return min(pairs, key=lambda pair: (-counts[pair[0]] * counts[pair[1]], pair))


WRONG = """
best_pair := by_product
best_pair := lambda words: ("a", "b")
best_pair := lambda words: best_pair(words[:1])
best_pair := lambda words: print(words)
+= n -> += n * n
merge := lambda p, pair: [p[0], *merge(p[1:], pair)]
merge := lambda p, pair: merge(p[:6], pair) + p[6:]
"""
