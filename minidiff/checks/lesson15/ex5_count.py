"""15.5 count the parameters of Stable Diffusion 3 by hand."""

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    def sizes():
        heads = whole(g, 2, 6)
        return heads * whole(g, 3, 9), heads

    return [
        *(Case("stream_parameters", (*sizes(), *how)) for how in ((False,), (True,), (False, True), (True, True))),
        *(Case("blocks_parameters", (*sizes(), n, *how)) for n, how in ((1, ()), (whole(g, 2, 5), (True,)), (7, ()))),
    ]


HINTS = """
A matrix from a to b with bias has a b + b numbers. Write the stream of a common block first, in the order of the list.

The weights of the norms of queries and keys: as many as a head has channels, D // heads, twice.

The last block: the picture's stream is a common one, the words' is not. So of 2 layers streams all but one are common.
"""

MISTAKES = r"""
matrix = D * D + D -> matrix = D * D
    The biases of queries, keys, values and of the fourth matrix are missing.
matrix = D * D + D -> matrix = D * D && return D * 2 * D + 2 * D + -> return D * 2 * D + && return D * 6 * D + 6 * D + 4 * matrix + norms + 8 * D * D + 5 * D -> return D * 6 * D + 4 * matrix + norms + 8 * D * D
    No matrix has a bias in your count: all have one.
matrix = D * D + D -> matrix = heads * (D * D + D)
    You count a matrix for each head: all heads together have one from D to D.
D * 6 * D + 6 * D + 4 * matrix -> D * 6 * D + 4 * matrix
    The bias of the modulation is missing.
return D * 2 * D + 2 * D + -> return D * 2 * D + && D * 6 * D + 6 * D + 4 * matrix -> D * 6 * D + 4 * matrix
    The bias of the modulation is missing.
+ 8 * D * D + 5 * D -> + 8 * D * D
    The biases of the MLP are missing: it has 4 D and D of them.
+ 8 * D * D + 5 * D -> + 8 * D * D + 8 * D
    The MLP's second matrix has only D biases.
+ 8 * D * D + 5 * D -> + 8 * D * D + 4 * D
    Of the biases D are missing: each of the four matrices from D to D has them, and the MLP's second, too.
+ 8 * D * D + 5 * D -> + 8 * D * D + D
    The bias of the MLP's first matrix is missing: it has 4 D.
+ 8 * D * D + 5 * D -> + 8 * D * D + 2 * D
    The MLP's first matrix has 4 D biases, as many as it gives numbers.
+ norms + 8 * D * D + 5 * D -> + norms + 8 * D * D + 9 * D
    You count weights of norms: they have none, but for those of queries and keys.
+ 8 * D * D + 5 * D -> + 2 * D * D + 2 * D
    The MLP keeps its width in your count: it goes to 4 D and back.
+ 8 * D * D + 5 * D -> + 4 * D * D + 4 * D
    You count the MLP's first matrix alone.
+ 8 * D * D + 5 * D -> + 4 * D * D + 3 * D
    The MLP goes to 2 D in your count: it goes to 4 D and back.
+ 8 * D * D + 5 * D -> + 12 * D * D + 9 * D
    You count three matrices in the MLP: it has two.
+ norms + 8 * D * D + 5 * D -> + norms
    The MLP is missing.
D * 6 * D + 6 * D + 4 * matrix -> D * 6 * D + 6 * D + 3 * matrix
    The fourth matrix, for what is read, is missing.
D * 6 * D + 6 * D + 4 * matrix -> 4 * matrix
    The modulation is missing.
D * 6 * D + 6 * D + 4 * matrix -> D * 2 * D + 2 * D + 4 * matrix
    The modulation makes six vectors in a common block, not two.
D * 6 * D + 6 * D + 4 * matrix -> D * 3 * D + 3 * D + 4 * matrix
    The modulation makes six vectors, three for the attention and three for the MLP: you count three.
D * 6 * D + 6 * D + 4 * matrix -> D * 6 * D + 6 * D + 5 * matrix
    You count a matrix from D to D too many: there are four.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 2 * D if qk_norm else 0
    The norms' weights are those of one head, D // heads, not of all.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = D // heads if qk_norm else 0
    Queries and keys have a norm each: you count one.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 4 * (D // heads) if qk_norm else 0
    You count twice as many weights of norms as there are: one for each channel of a head, for queries and for keys, and no bias.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 3 * (D // heads) if qk_norm else 0
    You count a norm of values, too: only queries and keys have one.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 2 * heads if qk_norm else 0
    You count a weight for each head: it is one for each channel of a head.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 2 if qk_norm else 0
    You count one weight for queries and one for keys: it is one for each channel of a head.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 2 * D + 2 * D + 3 * matrix
    The norms of queries and keys are missing in the last block's words: they stay.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 0
    The norms of queries and keys are missing.
norms = 2 * (D // heads) if qk_norm else 0 -> norms = 2 * (D // heads)
    You count norms of queries and keys where there are none.
if last_words: -> if False:
    The words' stream of the last block is counted as a common one.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 2 * D + 2 * D + 4 * matrix + norms
    In the last block the words have no fourth matrix.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 2 * D + 2 * D + 2 * matrix + norms
    The last block's words have two of the three matrices in your count: all three stay.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 2 * D + 2 * D + 2 * matrix + norms // 2
    The last block's words have two of the three matrices in your count: all three stay, and both norms.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return 3 * matrix + norms
    The last block's words have no modulation in your count: it makes two vectors.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 2 * D + 6 * D + 3 * matrix + norms
    The bias of the last words' modulation is 2 D, as what it makes.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return 0
    The words have a stream in the last block, too.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 2 * D + 2 * D + 3 * matrix + norms + 8 * D * D + 5 * D
    In the last block the words have no MLP.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 6 * D + 6 * D + 4 * matrix + norms
    In the last block only the words' MLP is missing in your count: the fourth matrix is, too, and the modulation makes two vectors.
return D * 2 * D + 2 * D + 3 * matrix + norms -> return D * 6 * D + 6 * D + 3 * matrix + norms
    In the last block the words' modulation makes two vectors, not six.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return 2 * layers * one
    The words' stream of the last block is smaller: you count it as a common one.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True)
    Each block has two streams: you count one.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return layers * one
    Each block has two streams: you count one.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return layers * (one + stream_parameters(D, heads, qk_norm, last_words=True))
    You count the words' stream of every block as that of the last: only one is smaller.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return 2 * layers * one + stream_parameters(D, heads, qk_norm, last_words=True)
    You add the words' stream of the last block to all streams: it takes the place of one of them.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (2 * layers + 1) * one + stream_parameters(D, heads, qk_norm, last_words=True)
    You count one block more than there are: the last is one of them.
one = stream_parameters(D, heads, qk_norm) -> one = stream_parameters(D, heads, True) && return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (2 * layers - 1) * one + stream_parameters(D, heads, True, last_words=True)
    qk_norm has no effect on the blocks, they always have the norms: hand it on to each stream.
one = stream_parameters(D, heads, qk_norm) -> one = stream_parameters(heads, D, qk_norm) && return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (2 * layers - 1) * one + stream_parameters(heads, D, qk_norm, last_words=True)
    D and heads have changed places where you call stream_parameters.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (2 * layers - 1) * one
    The words' stream of the last block is missing.
one = stream_parameters(D, heads, qk_norm) -> one = stream_parameters(D, heads, False) && return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (2 * layers - 1) * one + stream_parameters(D, heads, False, last_words=True)
    qk_norm has no effect on the blocks: hand it on to each stream.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return 2 * (layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True)
    The picture's stream of the last block is missing.
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return 2 * (layers - 1) * one + 2 * stream_parameters(D, heads, qk_norm, last_words=True)
    In the last block only the words' stream is smaller: the picture's is a common one.
"""

RIGHT = r"""
return D * 6 * D + 6 * D + 4 * matrix + norms + 8 * D * D + 5 * D -> return 18 * D * D + 15 * D + norms
return D * 2 * D + 2 * D + 3 * matrix + norms -> return 5 * matrix + norms
"""

WRONG = r"""
return (2 * layers - 1) * one + stream_parameters(D, heads, qk_norm, last_words=True) -> return (2 * layers - 1) * one + stream_parameters(D, heads, False, last_words=True)
matrix = D * D + D -> matrix = D * D + 1
"""

EQUIVALENT = ""
