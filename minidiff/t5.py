"""T5's encoder, which reads the prompt for Stable Diffusion 3 and FLUX beside CLIP; and its tokenizer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F
from tokenizers import normalizers, pre_tokenizers
from torch import Tensor, nn

from minidiff import convert
from minidiff.attention import attention
from minidiff.convert import WeightsError
from minidiff.convert.files import refuse_pointer


@dataclass(frozen=True)
class T5Config:
    """Sizes of a `T5`, by transformers' names. The defaults are small; at the right those of 1.1 XXL, as in SD 3."""

    vocab_size: int = 1005  # 32128
    d_model: int = 128  # 4096
    d_kv: int = 32  # 64, channels of a head
    d_ff: int = 512  # 10240
    num_layers: int = 4  # 24
    num_heads: int = 4  # 64
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6


def buckets(distance: Tensor, number: int, furthest: int) -> Tensor:
    """Which of `number` biases a distance has, key minus query: half of them for what comes later.

    Of each half, half is for one distance each, the others for distances that grow by the same factor, up to
    `furthest`; what is further shares the last one (Raffel et al. 2020, section 2.1).
    """
    half, exact, far = number // 2, number // 4, distance.abs().clamp(min=1).float()
    log = exact + (torch.log(far / exact) / math.log(furthest / exact) * (half - exact)).long()
    near = torch.where(distance.abs() < exact, distance.abs(), log.clamp(max=half - 1))
    return near + half * (distance > 0)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, in single precision but for the weight (Zhang & Sennrich 2019)."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, eps=self.eps).to(self.weight.dtype) * self.weight


class SelfAttention(nn.Module):
    """softmax(q k^T + bias) v of the normed x: without a division by sqrt(d), for which T5's weights make up."""

    def __init__(self, config: T5Config):
        super().__init__()
        self.heads, self.scale = config.num_heads, config.d_kv**0.5
        width = config.num_heads * config.d_kv
        self.norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.q, self.k, self.v = (nn.Linear(config.d_model, width, bias=False) for _ in range(3))
        self.o = nn.Linear(width, config.d_model, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm(x)
        return self.o(attention(self.scale * self.q(x), self.k(x), self.v(x), self.heads, bias))


class GatedGELU(nn.Module):
    """W_o (gelu(W_0 x) * W_1 x) of the normed x, with the tanh approximation of gelu (Shazeer 2020, equation 6)."""

    def __init__(self, config: T5Config):
        super().__init__()
        self.norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.wi_0, self.wi_1 = (nn.Linear(config.d_model, config.d_ff, bias=False) for _ in range(2))
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        h = F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x)
        if h.dtype == torch.float16:  # beyond which XXL's sums go: from here on x is in single precision
            return F.linear(h.float(), self.wo.weight.float())
        return self.wo(h)


class Block(nn.Module):
    def __init__(self, config: T5Config):
        super().__init__()
        self.attention, self.ff = SelfAttention(config), GatedGELU(config)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attention(x, bias)
        return x + self.ff(x)


class T5(nn.Module):
    """Ids (B, N) -> states (B, N, d_model): each position sees all of the text, and padding too, as in SD 3 and FLUX.

    Raffel et al. 2020 (arXiv:1910.10683), the encoder of version 1.1. No position is added to the words: how far one
    stands from another is a bias of every layer's attention.
    """

    from_diffusers = classmethod(convert.from_diffusers)
    to_diffusers = convert.to_diffusers

    def __init__(self, config: T5Config = T5Config()):  # noqa: B008  frozen, so it can be shared
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, ids: Tensor) -> Tensor:
        config, places = self.config, torch.arange(ids.shape[1], device=ids.device)
        distance = places - places[:, None]  # (N, N), a row a query
        bucket = buckets(distance, config.relative_attention_num_buckets, config.relative_attention_max_distance)
        bias = self.relative_attention_bias(bucket).permute(2, 0, 1)  # (heads, N, N)
        x = self.shared(ids)  # (B, N, D)
        for block in self.blocks:
            x = block(x, bias)
        return self.final_norm(x)


class T5Tokenizer:
    """Text -> ids (B, context), as transformers' T5Tokenizer: pieces by a unigram model (Kudo 2018), end, padding."""

    def __init__(self, unigram: tokenizers.Tokenizer, context: int = 512):
        self.unigram, self.context = unigram, context
        # as transformers has it, also for a file of another age that says otherwise
        given = unigram.normalizer if isinstance(unigram.normalizer, normalizers.Sequence) else [unigram.normalizer]
        kept = [each for each in given if isinstance(each, normalizers.Precompiled)]
        unigram.normalizer = normalizers.Sequence(kept)
        words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        unigram.pre_tokenizer = pre_tokenizers.Sequence(words)
        unigram.enable_truncation(context)
        unigram.enable_padding(length=context, pad_id=unigram.token_to_id("<pad>"), pad_token="<pad>")

    def __call__(self, texts: str | Iterable[str]) -> Tensor:
        texts = [texts] if isinstance(texts, str) else list(texts)
        return torch.tensor([self.unigram.encode(text).ids for text in texts]).long().reshape(len(texts), self.context)

    def cut(self, text: str) -> str:
        """The end of `text` that does not fit into the context; empty if all of it does."""
        rest = self.unigram.encode(text).overflowing
        return text[min(start for start, end in rest[0].offsets if end > start) :].strip() if rest else ""

    @classmethod
    def load(cls, folder: str | Path, context: int = 512) -> "T5Tokenizer":
        """From a folder with tokenizer.json. WeightsError, in one line, if there is no tokenizer of T5."""
        path = Path(folder) / "tokenizer.json"
        try:
            refuse_pointer(path)
            return cls(tokenizers.Tokenizer.from_file(str(path)), context)
        except WeightsError:
            raise
        except Exception as error:  # of the tokenizers library, which has no narrower class
            save = f"T5Tokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
            what = f"no T5 tokenizer in {path} ({type(error).__name__}: {error})"
            raise WeightsError(f"{what}: give another folder, or let transformers write it, {save}") from error
