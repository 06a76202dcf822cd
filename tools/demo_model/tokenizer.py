"""Builds tokenizer.json: a byte-level BPE with DeepSeek-V3's pre-tokenizer and special tokens, 4,096 ids in all.

The BPE is learnt with digits apart from each other, so no merge joins two digits: under V3's \\p{N}{1,3} rule every
digit is then one token, which is what makes written-out arithmetic learnable. All 256 bytes are tokens, so any
text encodes. Needs the `tokenizers` package.
"""

import json
import random

import corpus

VOCAB = 4096
V3_SPLITS = [
    "\\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]
FIRST = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
LAST = ["<｜search▁begin｜>", "<｜search▁end｜>", "<think>", "</think>", "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>",
        "<｜User｜>", "<｜Assistant｜>", "<|EOT|>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>",
        "<｜tool▁output▁end｜>", "<｜tool▁sep｜>"]


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def added(i, text, special):
    return {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": not special, "special": special}


def train_bpe(texts, size):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    t = Tokenizer(models.BPE())
    digit_first = [r"\p{N}"] + V3_SPLITS[1:]
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(s), "isolated") for s in digit_first]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=15, show_progress=False))
    model = json.loads(t.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), model["merges"]


def build(path, seed=7, conversations=60000):
    r, texts = random.Random(seed), []
    for _ in range(conversations):
        texts += [t for t, w in corpus.segments(corpus.conversation(r)) if not t.startswith("<")]
    tokens, merges = train_bpe(texts, VOCAB - len(FIRST) - len(LAST))
    merges = [m if isinstance(m, str) else " ".join(m) for m in merges]
    vocab = {t: i for i, t in enumerate(FIRST + tokens)}
    spare = [f"<｜place▁holder▁no▁{i}｜>" for i in range(VOCAB - len(vocab) - len(LAST))]
    extra = [added(i, t, True) for i, t in enumerate(FIRST)]
    extra += [added(len(vocab) + i, t, True) for i, t in enumerate(spare)]
    extra += [added(len(vocab) + len(spare) + i, t, t == "<|EOT|>") for i, t in enumerate(LAST)]
    out = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": extra,
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(s) for s in V3_SPLITS] + [BYTE_LEVEL]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": vocab, "merges": merges},
    }
    with open(path, "w", encoding="utf-8") as f:
        json.dump(out, f, ensure_ascii=False, indent=0)
    return {"bpe_tokens": len(tokens), "merges": len(merges), "spare": len(spare),
            "bpe_characters": sum(map(len, texts))}
