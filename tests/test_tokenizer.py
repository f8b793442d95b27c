"""The tokenizer gives the ids of transformers' CLIPTokenizer."""

import json
import os
import random
import shutil
import subprocess
import sys

import pytest
import tokenizers
import torch
import transformers

from minidiff.clip import TextConfig
from minidiff.data import OBJECTS, WORDS
from minidiff.tokenizer import BOS, EOS, Tokenizer

AWKWARD = [
    "", " ", "\n\t ", "red apple on blue", "  Red   APPLE\ton\nblue  ", "a photo of a cat",
    "don't you'll we're I'VE it's", "'s 't 'twas rock'n'roll", "fox2fox 1234 3.14", "hello,world!!! ... (what?) #1",
    "a-b_c/d\\e", "<|endoftext|>", "red<|endoftext|>fox", "<|startoftext|> fox <|startoftext|>", "<|ENDOFTEXT|>",
    "<|StartOfText|> x", "</w>", "fox</w>", "café", "cafe\u0301", "ÀÉÎÕÜ straße ẞ", "İstanbul ıI",
    "\u00c5ngstrom \u212b", "\ufb01ne \uff46\uff55\uff4c\uff4c", "日本語 の 狐", "한국어",
    "\u0644\u0639\u0631\u0628\u064a\u0629", "🦊 above 🐌", "\U0001f469\u200d\U0001f469", "\U0001f1e9\U0001f1ea",
    "zero\u200bwidth", "no\u00a0break\u2003em", "soft\u00adhyphen", "\u0000\u0001", "\ufffd", "½ ² Ⅷ \u0663",
    "naïve—dash “quotes”", "greengreen redred greenred", "unredgreenly", "supercalifragilisticexpialidocious",
    "fox " * 30, "a" * 100, "x" * 21 + " fox fox", "日本語" * 20, "silhouette of small red apple at left " * 4,
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(WORDS)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    return transformers.CLIPTokenizer.from_pretrained(folder)


def test_every_word_of_the_grammar_is_one_token(tokenizer):
    for word in WORDS:
        assert tokenizer.tokens(word)[:3] == [BOS, word + "</w>", EOS]


def test_the_vocabulary_is_laid_out_as_clip_s(tokenizer):
    """256 bytes in the order of OpenAI's `bytes_to_unicode`, the same ending a word, merges, start, end."""
    first = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [*map(chr, first), *(chr(256 + i) for i in range(256 - len(first)))]
    vocab = tokenizer.bpe.get_vocab()
    assert sorted(vocab.values()) == list(range(len(tokenizer)))
    assert [vocab[token] for token in letters + [letter + "</w>" for letter in letters]] == list(range(512))
    assert vocab[BOS] == len(tokenizer) - 2 and vocab[EOS] == len(tokenizer) - 1


def test_the_default_config_fits_the_grammar_s_tokenizer(tokenizer):
    assert TextConfig().vocab_size == len(tokenizer)
    assert TextConfig().max_position_embeddings == tokenizer.context


@pytest.mark.parametrize("text", AWKWARD)
def test_ids_equal_transformers(tokenizer, theirs, text):
    expected = theirs(text, padding="max_length", truncation=True, return_tensors="pt").input_ids
    ids = tokenizer(text)
    assert ids.dtype == torch.long and ids.shape == (1, 24)
    assert torch.equal(ids, expected)


def test_a_list_is_a_batch(tokenizer):
    assert torch.equal(tokenizer(AWKWARD), torch.cat([tokenizer(text) for text in AWKWARD]))
    assert tokenizer([]).shape == (0, 24)


def test_what_is_saved_is_what_is_loaded(tokenizer, folder, theirs):
    assert torch.equal(Tokenizer.load(folder)(AWKWARD), tokenizer(AWKWARD))
    assert Tokenizer.load(str(folder)).context == theirs.model_max_length == 24
    assert len(theirs) == len(tokenizer) and theirs.pad_token == EOS


PIECES = [
    "red apple", "FOX", "silhouette of", "'s", "'LL", "don't", "n’t", "x", "1234", "½", "Ⅷ", "\u0663", "a" * 90,
    "qz" * 20, " ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u2028", "\u0085", "\u200b", "\u200d", "\ufeff",
    "\x00", "\x07", "\x1f", "\x7f", "é", "e\u0301", "\u0301", "\u0327a", "ẞ", "İ", "ǅ", "ſ", "\ufb01", "\u212b", "ÀÉ",
    "🦊", "👍🏽", "\U0001f469\u200d\U0001f469", "\U0001f1e9\U0001f1ea", "日本", "한", "\u1112\u1161\u11ab", "ا", "ש",
    "ก็", "न्", "𝔘", "𐍈", "\ufffd", "\ue000", "\U000e0041", "!", "!!", "?!...", "—", "“", "_", "-#", "\\", "&amp;",
    "&lt;b&gt;", "&#39;", "</w>", BOS, EOS, "<|EndOfText|>", "<|StartOfText|>", "<|endoftext", "|>",
]  # fmt: skip
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x2000, 0x2070), (0x3040, 0x3100), (0x1F300, 0x1F650)]


def awkward_strings(n):
    """Pieces and single letters from all over Unicode, next to each other; one in three longer than the context."""
    draw = random.Random(0)
    for _ in range(n):
        length = draw.randint(0, draw.choice([3, 8, 60]))
        letters = [chr(draw.randrange(*draw.choice(BLOCKS))) for _ in range(length)]
        yield "".join(draw.choice(PIECES) if draw.random() < 0.7 else letter for letter in letters)


STRINGS = [*AWKWARD, *PIECES, *awkward_strings(1000)]


def added(content, **extra):
    """A special token as a checkpoint has it: "normalized" ones are found in any case."""
    normalized = content != "!"
    return {
        "content": content,
        "lstrip": False,
        "normalized": normalized,
        "rstrip": False,
        "single_word": False,
    } | extra


def write_clip_files(tokenizer, folder, layout, pad):
    """The tokenizer folder of a Stable Diffusion checkpoint, as transformers 4 wrote it, one version or another."""
    model = json.loads(tokenizer.bpe.to_str())["model"]
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", "utf-8")
    special = {"bos_token": added(BOS), "eos_token": added(EOS), "unk_token": added(EOS), "pad_token": pad}
    config = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    if layout == "two files":  # the padding of SD 2.1 is right in the second only
        typed = {name: added(token["content"], __type="AddedToken") for name, token in list(special.items())[:3]}
        config |= typed | {"pad_token": EOS}
        (folder / "special_tokens_map.json").write_text(json.dumps(special))
    elif layout == "every token":  # from 4.34 on, as in SDXL; the second file then counts for nothing
        config["added_tokens_decoder"] = {model["vocab"][t]: added(t, special=True) for t in {BOS, EOS, pad}}
        config |= {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": pad}
        (folder / "special_tokens_map.json").write_text(json.dumps(special | {"pad_token": EOS}))
    elif layout == "names":
        config |= {"pad_token": pad}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("pad", [EOS, "!"])  # SD 1.5's, SD 2.1's
@pytest.mark.parametrize("layout", ["two files", "every token", "names"])
def test_folders_of_checkpoints(layout, pad, tmp_path):
    """vocab.json with merges.txt; the tokenizer.json that transformers makes of them; and what `save` makes of both."""
    if (layout, pad) == ("two files", EOS) and tokenizers.__version__ < "0.23":
        pytest.xfail("transformers adds EOS twice, and this version of tokenizers keeps to the first: <|EndOfText|>")
    write_clip_files(Tokenizer.train(WORDS), tmp_path / "clip", layout, pad)
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path / "clip")
    theirs.save_pretrained(tmp_path / "theirs")
    Tokenizer.load(tmp_path / "clip").save(tmp_path / "ours")
    expected = theirs(STRINGS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert expected.shape == (len(STRINGS), 77) and (expected[:, -1] == theirs.convert_tokens_to_ids(pad)).any()
    for folder in ("clip", "theirs", "ours"):
        assert torch.equal(Tokenizer.load(tmp_path / folder)(STRINGS), expected)
    again = transformers.CLIPTokenizer.from_pretrained(tmp_path / "ours")
    assert torch.equal(again(STRINGS, padding="max_length", truncation=True, return_tensors="pt").input_ids, expected)


def test_without_configs_the_context_is_clip_s(tokenizer, tmp_path):
    write_clip_files(tokenizer, tmp_path / "tokenizer", "names", EOS)
    (tmp_path / "tokenizer" / "tokenizer_config.json").unlink()
    assert Tokenizer.load(tmp_path / "tokenizer").context == 77
    model = json.loads(tokenizer.bpe.to_str())["model"]
    theirs = transformers.CLIPTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    theirs.save_pretrained(tmp_path / "saved")  # with a length of 10^30: not known
    expected = theirs(STRINGS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(Tokenizer.load(tmp_path / "saved")(STRINGS), expected)


def test_what_was_cut_of_awkward_strings(tmp_path):
    """It is named if anything was, and is what diffusers names, as the reader wrote it."""
    tokenizer = Tokenizer.train(WORDS, 77)
    tokenizer.save(tmp_path)
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)

    def spelled(ids):
        return "".join(theirs.convert_ids_to_tokens(ids)).replace("</w>", "")

    whole = theirs(STRINGS).input_ids
    assert 100 < sum(len(ids) > 77 for ids in whole) < len(STRINGS) - 100
    for text, ids in zip(STRINGS, whole, strict=True):
        cut = tokenizer.cut(text)
        assert bool(cut) == (len(ids) > 77) and text.strip(" \t\r\n").endswith(cut)
        ours, rest = spelled(theirs(cut).input_ids[1:-1]), spelled(ids[76:-1])  # what diffusers decodes for its warning
        assert ours.endswith(rest) and len(ours) - len(rest) <= 3  # the rest of a letter cut in two


def test_merges_written_as_strings(tokenizer, folder, tmp_path):
    """As tokenizers before 0.20 wrote them, and the checkpoints on the hub have them."""
    shutil.copytree(folder, tmp_path / "old")
    contents = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    contents["model"]["merges"] = [" ".join(pair) for pair in contents["model"]["merges"]]
    (tmp_path / "old" / "tokenizer.json").write_text(json.dumps(contents), "utf-8")
    assert torch.equal(Tokenizer.load(tmp_path / "old")(AWKWARD), tokenizer(AWKWARD))


@pytest.mark.slow
def test_training_twice_writes_the_same_file(folder, tmp_path):
    """In another process, as hash seeds differ between them, and from words in another order, one of them twice."""
    code = (
        "import sys; from minidiff.tokenizer import Tokenizer; from minidiff.data import WORDS;"
        "Tokenizer.train([*reversed(WORDS), 'fox', 'fox']).save(sys.argv[1])"
    )
    for i in range(2):
        env = os.environ | {"PYTHONHASHSEED": str(i)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=env, timeout=300)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("word", ["red apple", "fox2", "", "don't"])
def test_words_that_cannot_be_one_token_are_refused(word):
    with pytest.raises(ValueError, match="expected single words"):
        Tokenizer.train(["fox", word])


def test_words_of_other_languages_train_too():
    words = ["éclair", "狐", "straße"]
    assert all(len(set(row)) == 3 for row in Tokenizer.train(words)(words).tolist())


@pytest.mark.parametrize("text", AWKWARD)
def test_what_was_cut(tokenizer, theirs, text):
    cut, whole = tokenizer.cut(text), theirs(text).input_ids
    assert bool(cut) == (len(whole) > 24)
    if cut:
        assert text.strip().endswith(cut)
        rest = theirs(cut).input_ids[1:]
        assert whole[-len(rest) :] == rest and len(whole) - len(rest) <= 23


def test_what_was_cut_is_in_the_reader_s_words(tokenizer):
    assert tokenizer.cut("fox " * 22) == ""
    assert tokenizer.cut("fox " * 22 + "  Big  DOG ") == "Big  DOG"


def test_positions(tokenizer):
    text = "sketch of  Red Apple left of sunflower on red"
    assert tokenizer.tokens(text)[3:5] == ["red</w>", "apple</w>"]
    assert tokenizer.positions(text, "red apple") == [3, 4]
    assert tokenizer.positions(text, "of") == [2, 6]
    assert tokenizer.positions(text, "red") == [3, 9]
    assert tokenizer.positions(text, "sun") == tokenizer.positions(text, "") == tokenizer.positions(text, EOS) == []
    for name in OBJECTS:
        assert tokenizer.positions(f"small {name} on blue", name) == [2 + i for i in range(len(name.split()))]


@pytest.mark.parametrize("contents", [None, "", "{}", '{"model": {"vocab": {"a": 0}, "merges": []}}', "[1"])
def test_no_tokenizer(tmp_path, contents):
    if contents is not None:
        (tmp_path / "tokenizer.json").write_text(contents)
    with pytest.raises(ValueError, match="no CLIP tokenizer in .*: give a folder") as info:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(info.value)
