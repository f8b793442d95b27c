"""CLIP's tokenizer: text to the ids of word pieces."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import tokenizers
import torch
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from minidiff.convert import WeightsError
from minidiff.convert.files import refuse_pointer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"  # before every text; after it, and then as padding
# What CLIP calls a word: English contractions, runs of letters, single digits, runs of anything else but space.
PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """Text -> token ids, exactly as transformers' CLIPTokenizer: byte-level byte-pair encoding (Sennrich et al. 2016).

    `vocab` maps a token to its id ("</w>" ends a word), `merges` lists the pairs to join, first come, first joined.
    `special` tokens stand for themselves where a text has them spelled out: start, end and padding, unless given.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        merges: list[tuple[str, str]],
        context: int = 77,
        pad: str = EOS,
        special: Iterable[str | AddedToken] | None = None,
    ):
        self.context = context
        self.words: dict[str, str] = {}  # of several tokens -> these
        self.bpe = clip_bpe(models.BPE(vocab, merges, unk_token=EOS, end_of_word_suffix="</w>"))
        self.bpe.add_special_tokens([BOS, EOS, pad] if special is None else list(special))
        self.bpe.post_processor = processors.RobertaProcessing((EOS, vocab[EOS]), (BOS, vocab[BOS]), False, False)
        self.bpe.enable_truncation(context)
        self.bpe.enable_padding(length=context, pad_id=vocab[pad], pad_token=pad)

    def __len__(self) -> int:
        """Tokens in the vocabulary: `vocab_size` of the text transformer."""
        return self.bpe.get_vocab_size()

    def __call__(self, texts: str | Iterable[str]) -> Tensor:
        """Texts -> ids (B, context): start, the text, end, padding. What does not fit is dropped: see `cut`."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        return (
            torch.tensor([self.bpe.encode(self._spelled(text)).ids for text in texts])
            .long()
            .reshape(len(texts), self.context)
        )

    def _spelled(self, text: str) -> str:
        for word, tokens in self.words.items():
            text = re.sub(re.escape(word), lambda _, tokens=tokens: tokens, text, flags=re.IGNORECASE)
        return text

    def add_word(self, word: str, n: int = 1) -> None:
        """From now on `word` stands for n new tokens, whose ids follow on the others'. ValueError if it is one already.

        As in diffusers' textual inversion, they are called word, word_1, word_2 ..., and found inside other words, too.
        """
        tokens = [word] + [f"{word}_{i}" for i in range(1, n)]
        if not word.strip() or any(self.bpe.token_to_id(token) is not None for token in tokens):
            raise ValueError(f"the word {word!r} is empty or a token already: give another, such as <{word}>")
        self.bpe.add_tokens(tokens)
        self.words[word] = " ".join(tokens)

    def tokens(self, text: str) -> list[str]:
        """The `context` tokens behind the ids of one text, as the vocabulary spells them."""
        return self.bpe.encode(self._spelled(text)).tokens

    def positions(self, text: str, words: str) -> list[int]:
        """Where in the ids of `text` the tokens of `words` stand; empty if nowhere."""
        tokens, part = self.tokens(text), self.tokens(words)
        part = part[1 : part.index(EOS)]
        starts = [i for i in range(self.context) if tokens[i : i + len(part)] == part]
        return [i for start in starts for i in range(start, start + len(part))]

    def cut(self, text: str) -> str:
        """The end of `text` that does not fit into the context; empty if all of it does."""
        text = self._spelled(text)
        rest = self.bpe.encode(text).overflowing
        return text[min(start for start, end in rest[0].offsets if end > start) :].strip(" \t\r\n") if rest else ""

    @classmethod
    def train(cls, words: Iterable[str], context: int = 24) -> "Tokenizer":
        """Learn merges until each of `words` is one token; other words are spelled in pieces, down to bytes.

        Order: 256 bytes, the same ending a word, merges, start, end. Counted over all words at once: merges made word
        by word collide, and "green" falls apart because "red" has joined "re". ValueError for what is no single word.
        """
        words = sorted(set(words))
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        letters = alphabet + [letter + "</w>" for letter in alphabet]
        # As special tokens, letters have fixed ids. The trainer would number those ending a word in a random order,
        # and break ties between pairs by it. The size is CLIP's own, far from reached.
        trainer = trainers.BpeTrainer(
            vocab_size=49408, special_tokens=letters, end_of_word_suffix="</w>", show_progress=False
        )
        bpe = clip_bpe(models.BPE(end_of_word_suffix="</w>"))
        bpe.train_from_iterator(words, trainer)
        model = json.loads(bpe.to_str())["model"]
        vocab = [*sorted(model["vocab"], key=model["vocab"].get), BOS, EOS]
        tokenizer = cls({token: i for i, token in enumerate(vocab)}, [tuple(pair) for pair in model["merges"]], context)
        if wrong := [word for word in words if tokenizer.tokens(word).index(EOS) != 2]:
            raise ValueError(f"got {wrong[0]!r}, which CLIP splits into several words or none: expected single words")
        return tokenizer

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """From a folder with tokenizer.json, or with vocab.json and merges.txt, as transformers writes and CLIP ships.

        Context, padding and special tokens are in tokenizer_config.json and special_tokens_map.json; without these 77,
        and the end token. WeightsError, in one line, if the folder holds no CLIP tokenizer.
        """
        folder, config = Path(folder), {"model_max_length": 77, "bos_token": BOS, "eos_token": EOS, "pad_token": EOS}
        try:
            for name in ("tokenizer.json", "vocab.json", "merges.txt"):
                if (folder / name).exists():
                    refuse_pointer(folder / name)
            if (folder / "tokenizer.json").exists():
                contents = json.loads((folder / "tokenizer.json").read_text("utf-8"))
                model, added = contents["model"], contents.get("added_tokens", [])
            else:
                files = [str(folder / name) for name in ("vocab.json", "merges.txt")]
                model, added = dict(zip(("vocab", "merges"), models.BPE.read_file(*files), strict=True)), []
            for name in ("tokenizer_config.json", "special_tokens_map.json"):
                # like transformers, which leaves out the second where the first says all of each token
                if (folder / name).exists() and "added_tokens_decoder" not in config:
                    config |= json.loads((folder / name).read_text("utf-8"))
            merges = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
            added = {token["content"]: token for token in config.get("added_tokens_decoder", {}).values() or added}
            special = dict(added)
            for name in ("bos_token", "eos_token", "unk_token", "pad_token"):  # of one token, the last word holds
                token = config.get(name, EOS)
                token = token if isinstance(token, dict) else added.get(token, {"content": token})
                special[token["content"]] = token
            pad, context = token["content"], config["model_max_length"]
            # "normalized": found after lower-casing, so in any case. A length of 10^30 is how they write "not known".
            tokens = [AddedToken(name, normalized=token.get("normalized", False)) for name, token in special.items()]
            return cls(model["vocab"], merges, context if context < 1e6 else 77, pad, tokens)
        except WeightsError:
            raise
        except Exception as error:  # of the tokenizers library, which has no narrower class
            raise WeightsError(
                f"no CLIP tokenizer in {folder} ({type(error).__name__}: {error}):"
                " give a folder with tokenizer.json, or with vocab.json and merges.txt"
            ) from error

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, for `load` and CLIPTokenizer.from_pretrained."""
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": self.context}
        config |= {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": self.bpe.padding["pad_token"]}
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "tokenizer.json").write_text(self.bpe.to_str(pretty=True) + "\n", "utf-8")
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def clip_bpe(model: models.BPE) -> tokenizers.Tokenizer:
    """A byte-pair model behind CLIP's normalisation (NFC, single spaces, lower case) and its split into words."""
    bpe = tokenizers.Tokenizer(model)
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(PATTERN), "removed", invert=True)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return bpe
