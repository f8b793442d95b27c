"""T5's encoder and its tokenizer against transformers, and that mistakes in them would be seen."""

import base64
import dataclasses
import json
import struct

import oracle
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import models, pre_tokenizers, trainers
from transformers.models.t5.modeling_t5 import T5Attention

from minidiff import data, t5
from minidiff.convert import WeightsError, read_config
from minidiff.t5 import T5, T5Config, T5Tokenizer, buckets

CASES = [name for name, (cls, _) in oracle.SMALL.items() if cls is T5]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def theirs_and_batch(name):
    cls, options = oracle.SMALL[name]
    return oracle.randomised(oracle.build_theirs(cls, options)), oracle.inputs(cls, options)


@pytest.mark.parametrize("name", CASES)
def test_states_equal_transformers(name):
    theirs, batch = theirs_and_batch(name)
    ours = oracle.build_ours(*oracle.SMALL[name], theirs)
    for ids in (batch["ids"], batch["ids"][:1, :3]):
        assert oracle.error([ours(ids)], oracle.run_theirs(theirs, {"ids": ids})) <= 5e-5


@pytest.mark.parametrize("number, furthest", [(32, 128), (12, 20), (8, 5), (64, 1000)])
def test_buckets_equal_transformers(number, furthest):
    distance = torch.arange(-1500, 1501)
    theirs = T5Attention._relative_position_bucket(distance, True, number, furthest)
    assert torch.equal(buckets(distance, number, furthest), theirs)


def test_xxl_has_as_many_parameters_as_its_makers_say():
    config = read_config(T5, oracle.T5_XXL)
    assert config == T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
    with torch.device("meta"):
        assert sum(p.numel() for p in T5(config).parameters()) == 4_762_310_656


def test_a_file_may_name_the_embedding_as_the_encoder_s(tmp_path):
    """Or twice: transformers shares it with a decoder, and some files have both names."""
    theirs, batch = theirs_and_batch("T5")
    theirs.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    expected, own = T5.from_diffusers(tmp_path)(batch["ids"]), "encoder.embed_tokens.weight"
    for other in (
        {own: state["shared.weight"]},
        {own: state["shared.weight"].clone(), "shared.weight": state["shared.weight"]},
    ):
        rest = {key: tensor for key, tensor in state.items() if key != "shared.weight"}
        save_file(rest | other, tmp_path / "model.safetensors", {"format": "pt"})
        assert torch.equal(T5.from_diffusers(tmp_path)(batch["ids"]), expected)


@pytest.mark.parametrize(
    "name, value",
    [("feed_forward_proj", "relu"), ("feed_forward_proj", "gated-silu"), ("is_decoder", True), ("model_type", "umt5")],
)
def test_what_is_not_implemented_is_refused_by_name(name, value):
    with pytest.raises(WeightsError, match=rf"has {name} = {value!r}, a T5 takes .* use diffusers for it"):
        read_config(T5, oracle.SMALL_T5 | {name: value})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_holds_what_xxl_adds_up(dtype, tmp_path):
    """Sums beyond 65504: transformers keeps what adds them up in single precision, where float16 is asked for."""
    theirs, batch = theirs_and_batch("T5")
    for name, parameter in theirs.named_parameters():
        parameter *= 4e6 if name.endswith("wo.weight") else 1
    theirs.save_pretrained(tmp_path)
    exact = theirs(batch["ids"]).last_hidden_state
    low = transformers.T5EncoderModel.from_pretrained(tmp_path, dtype=dtype)(batch["ids"]).last_hidden_state.float()
    ours = T5.from_diffusers(tmp_path).to(dtype)(batch["ids"])
    assert ours.dtype == dtype and theirs.encoder.block[1](theirs.shared(batch["ids"]))[0].abs().max() > 65504
    assert oracle.error(ours.float(), exact) <= 1.5 * oracle.error(low, exact) < 0.2


# ---- the tokenizer

STRINGS = [
    "", " ", "a", "red apple on blue", "  Red   APPLE\ton\n\nblue  ", "a photo of a cat, 35mm; f/1.8", "don't", "1234",
    "</s>", "red</s> fox", "<pad>x", "<unk>", "<extra_id_0> fox <extra_id_99>", "▁ fox ▁▁", "café",
    "cafe\u0301", "ﬁne ｆｕｌｌ", "fox,  \n bear", "fox  \t  on", "big Q on Q",
    "日本語", "🦊 above", "\u200bzero", "no\u00a0break", "naïve—dash “quotes”", "x" * 200, "fox " * 60, "\x00",
]  # fmt: skip
# What tokenizer.json may say otherwise, in files of other ages. Of it transformers follows the table of letters alone:
# here a trie of sentencepiece's in which Q stands for fox
TRIE = [0] * 1024
TRIE[0], TRIE[80], TRIE[336] = 1 << 10, ord("Q") | 1 << 8 | 256 << 10, 1 << 31
LETTERS = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(
    struct.pack("<1025I", 4096, *TRIE) + b"fox\0").decode()}  # fmt: skip
STRIPS = [
    {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
]
AGES = {
    "as stored": {},
    "words": {
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "normalizer": {"type": "Sequence", "normalizers": STRIPS},
    },
    "letters": {"normalizer": LETTERS},
    "letters, words": {"normalizer": {"type": "Sequence", "normalizers": [LETTERS, *STRIPS]}},
}


@pytest.fixture(scope="module", params=AGES)
def folder(request, tmp_path_factory):
    """A unigram model trained on captions, stored by transformers."""
    folder = tmp_path_factory.mktemp("t5")
    unigram = tokenizers.Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    unigram.train_from_iterator([data.scene(i).caption for i in range(300)], trainer)
    vocab = [tuple(piece) for piece in json.loads(unigram.to_str())["model"]["vocab"]]
    transformers.T5Tokenizer(vocab=vocab, extra_ids=100).save_pretrained(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | AGES[request.param]), "utf-8")
    return folder


def test_ids_equal_transformers(folder):
    theirs, ours = transformers.T5Tokenizer.from_pretrained(folder), T5Tokenizer.load(folder, context=40)
    expected = theirs(STRINGS, padding="max_length", max_length=40, truncation=True, return_tensors="pt").input_ids
    ids = ours(STRINGS)
    assert ids.dtype == torch.long and torch.equal(ids, expected)
    assert len(expected.unique()) > 30 and (expected[:, -1] == 0).any() and (expected[:, -1] == 1).any()
    assert torch.equal(ours(STRINGS[3]), expected[3:4]) and ours([]).shape == (0, 40)


def test_what_was_cut(folder):
    theirs, ours = transformers.T5Tokenizer.from_pretrained(folder), T5Tokenizer.load(folder, context=20)
    for text in STRINGS:
        cut, whole = ours.cut(text), theirs(text).input_ids
        assert bool(cut) == (len(whole) > 20) and text.strip().endswith(cut)
        if cut:
            assert set(whole[19:-1]) <= set(theirs(cut).input_ids) and len(cut) < len(text)


@pytest.mark.parametrize("contents", [None, "", "{}", "[1", "version https://git-lfs.github.com/spec/v1"])
def test_no_tokenizer(tmp_path, contents):
    if contents is not None:
        (tmp_path / "tokenizer.json").write_text(contents)
    with pytest.raises(WeightsError, match="no T5 tokenizer in .*save_pretrained|git lfs pull") as info:
        T5Tokenizer.load(tmp_path)
    assert "\n" not in str(info.value)


# Mistakes that the tests above would see: each is one edit of the source, or one size of another model.
EDITS = [
    (
        "as many buckets on each side as for both",
        "half, exact, far = number // 2, number // 4",
        "half, exact, far = 16, 4",
    ),
    ("sides swapped", "(distance > 0)", "(distance < 0)"),
    ("no sides", " + half * (distance > 0)", ""),
    ("every distance has a bucket", "distance.abs() < exact", "distance.abs() < half"),
    ("query minus key", "places - places[:, None]", "places[:, None] - places"),
    ("divided by sqrt(d)", "attention(self.scale * self.q(x)", "attention(self.q(x)"),
    ("no bias", "self.heads, bias))", "self.heads))"),
    ("a bias in the first layer alone", "x = block(x, bias)", "x, bias = block(x, bias), 0 * bias"),
    ("biases of other heads", ".permute(2, 0, 1)", ".flip(2).permute(2, 0, 1)"),
    ("layer norm", "F.rms_norm(x.float(), self.weight.shape,", "F.layer_norm(x.float(), self.weight.shape,"),
    ("another epsilon", "eps=self.eps)", "eps=1e-5)"),
    ("times 1 + weight", "* self.weight\n", "* (1 + self.weight)\n"),
    ("exact gelu", 'approximate="tanh"', 'approximate="none"'),
    ("gelu of the other half", "h = F.gelu(self.wi_0(x)", "h = F.gelu(self.wi_1(x)"),
    ("no gate", " * self.wi_1(x)\n", "\n"),
    ("MLP beside attention", "return x + self.ff(x)", "return x + self.ff(x - self.attention(x, bias))"),
    ("no last norm", "return self.final_norm(x)", "return x"),
    ("a causal mask", "  # (heads, N, N)", ".masked_fill(distance > 0, -1e9)"),
    ("padding masked", "  # (heads, N, N)", ".masked_fill((ids == ids[:, -1:]).any(0), -1e9)"),
    ("embeddings scaled", "x = self.shared(ids)", "x = self.shared(ids) * config.d_model**0.5"),
]
SIZES = {
    "relative_attention_num_buckets": 10,
    "relative_attention_max_distance": 64,
    "layer_norm_epsilon": 1e-5,
    "num_layers": 2,
}


@pytest.mark.parametrize("mistake, old, new", EDITS, ids=[mistake for mistake, *_ in EDITS])
def test_a_mistake_shows(mistake, old, new):
    theirs, batch = theirs_and_batch("T5")
    wrong = oracle.edited(t5, old, new)["T5"]
    ours = oracle.build_ours(wrong, oracle.SMALL_T5, theirs)
    assert oracle.error(ours(batch["ids"]), theirs(batch["ids"]).last_hidden_state) > 5e-5


@pytest.mark.parametrize("name", SIZES)
def test_every_size_counts(name):
    theirs, batch = theirs_and_batch("T5")
    ours = oracle.build_ours(T5, oracle.SMALL_T5, theirs)
    wrong = T5(dataclasses.replace(ours.config, **{name: SIZES[name]}))
    for own, p in wrong.named_parameters():
        p.copy_(ours.state_dict()[own][: len(p)])
    assert oracle.error(wrong(batch["ids"]), theirs(batch["ids"]).last_hidden_state) > 5e-5
