"""Writes what the shipped demo model must tokenise, render, compute and answer, from the shipped files alone.

    python3 tools/goldens/make_demo_expectations.py --model models/demo --out tests/golden/demo

Needs torch, transformers, tokenizers, jinja2 and safetensors. Files:
  expected.safetensors  ids [T], logits [T, vocab], hidden [layers+1, T, hidden], greedy [24], greedy_margin [24],
                        float32 on the CPU from the dequantised weights (layout as in make_goldens.py)
  tokenizer.jsonl       {"text", "ids", "decoded"}: no special tokens added, special tokens kept when decoding
  chat.jsonl            {"messages", "thinking", "rendered"} of the chat template with a generation prompt
  answers.jsonl         {"messages", "thinking", "prompt_ids", "output_ids", "output", "smallest_margin"}: greedy
                        answers with their end token, and the smallest top-1 minus top-2 logit on the way
"""

import argparse
import json
import os
import tempfile

import jinja2
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from make_goldens import expectations_for

BLOCK = 128
TEXTS = [
    "", "a", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\t\t x", " \n \n", "Hello world", " Hello, world!", "你好，世界！",
    "DeepSeek-V3 需要 738.8 GB。", "7.6 B x 1 = 7.6 GB", "1234567890", "3.14159, 1,000,000 and 0x1F", "１２３ ④ Ⅻ ½",
    "I'm can't we'll THEY'RE", "if (x != 0) { return f(x, &y); }", "https://127.0.0.1:8080/v1?x=1&y=2", "snake_case camelCase",
    "naïve café Straße Ünïcode", "Привет, мир", "こんにちは世界 カタカナ", "안녕하세요", "مرحبا بالعالم", "हिन्दी में", "ไทย", "🙂👍🏽👩‍👩‍👧‍👦🏳️‍🌈", "e\u0301 \u00e9",
    "\u200b\u200d\ufeff", "\u3000全角空格", "a\u00a0b", "trailing space ", " leading", "many     spaces   here", "tabs\tand\nnewlines\r\n\r\nend",
    "…—–“”‘’«»", "$100 €50 ¥30 £20", "a+b=c; 2^10 = 1024; 50% & 10 ‰", "\x00\x01\x7f", "鿿龥龦㐀𠀀", "ㄅㄆㄇ・ー", "`hadal serve --model PATH`",
    "<think>x</think>", "<｜User｜>hi<｜Assistant｜>", "<｜begin▁of▁sentence｜><｜end▁of▁sentence｜>", "<|EOT|><｜fim▁hole｜>", "<think", "｜User｜",
    "57x32: x2 7x2=14 5x2+1=11 114; x3 7x3=21 5x3+2=17 1710;", "权重 7.6 GB，KV 缓存 3.2 GB，另加 10% 余量", "ALL CAPS TEXT", "x" * 50, "啊" * 20,
]
CHATS = [
    [("user", "I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?")],
    [("user", "我想跑一个 7.6 B 模型，8 位，32k 上下文，该选哪张卡？")],
    [("user", "Who are you?")], [("user", "你是谁？")], [("user", "How do I start the server?")],
    [("system", "You are a helpful assistant."), ("user", "How much memory do the weights of a 14 B model take in 4-bit?")],
    [("system", "Answer briefly."), ("system", "Be polite."), ("user", "hello")],
    [("user", "Which card fits a 13 B model in 4-bit with 20k context?"),
     ("assistant", "Weights 6.5 GB, KV cache 4.0 GB, plus 10 % headroom: 11.6 GB in total, so take the RTX 3060 (12 GB)."),
     ("user", "And in 8-bit?")],
    [("user", "你好"), ("assistant", "<think>用户在问：打招呼。</think>你好！"), ("user", "服务器 12000 元，API 每月 900 元，电费每月 120 元，几个月回本？")],
    [("user", "write a poem about the sea")],
    [("user", "Does DeepSeek-R1 fit on 8x H200?")],
]


def dequantised(folder):
    out, raw = {}, load_file(os.path.join(folder, "model.safetensors"))
    for name, t in raw.items():
        if name.endswith("weight_scale_inv"):
            continue
        scale = raw.get(name.replace(".weight", ".weight_scale_inv")) if name.endswith(".weight") else None
        t = t.float()
        if scale is not None:
            full = scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
            t = t * full[:t.shape[0], :t.shape[1]]
        out[name] = t.contiguous()
    return out


def load(folder):
    with tempfile.TemporaryDirectory() as tmp:
        save_file(dequantised(folder), os.path.join(tmp, "model.safetensors"), {"format": "pt"})
        with open(os.path.join(folder, "config.json")) as f:
            config = json.load(f)
        config.pop("quantization_config", None)
        with open(os.path.join(tmp, "config.json"), "w") as f:
            json.dump(config, f)
        model = transformers.DeepseekV3ForCausalLM.from_pretrained(tmp, dtype=torch.float32,
                                                                   attn_implementation="eager").eval()
    model.set_experts_implementation("eager")
    return model


def write(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


@torch.no_grad()
def answer(model, ids, limit=900):
    out, margin, cache, x = [], float("inf"), None, torch.tensor([ids])
    while len(out) < limit:
        r = model(x, past_key_values=cache, use_cache=True)
        cache, top = r.past_key_values, r.logits[0, -1].topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        out.append(int(top.indices[0]))
        if out[-1] == 1:
            break
        x = torch.tensor([out[-1:]])
    return out, margin


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="models/demo")
    p.add_argument("--out", default="tests/golden/demo")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.set_num_threads(8)
    tok = Tokenizer.from_file(os.path.join(a.model, "tokenizer.json"))
    encode = lambda t: tok.encode(t, add_special_tokens=False).ids
    write(os.path.join(a.out, "tokenizer.jsonl"),
          [{"text": t, "ids": encode(t), "decoded": tok.decode(encode(t), skip_special_tokens=False)} for t in TEXTS])
    with open(os.path.join(a.model, "tokenizer_config.json"), encoding="utf-8") as f:
        config = json.load(f)
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    template = env.from_string(config["chat_template"])
    special = dict(bos_token=config["bos_token"]["content"], eos_token=config["eos_token"]["content"])
    model, chats, answers = load(a.model), [], []
    for chat in CHATS:
        messages = [{"role": r, "content": c} for r, c in chat]
        for thinking in (True, False):
            text = template.render(messages=messages, add_generation_prompt=True, thinking=thinking, **special)
            chats.append({"messages": messages, "thinking": thinking, "rendered": text})
            ids = encode(text)
            out, margin = answer(model, ids)
            answers.append({"messages": messages, "thinking": thinking, "prompt_ids": ids, "output_ids": out,
                            "output": tok.decode(out, skip_special_tokens=False), "smallest_margin": round(margin, 3)})
            print(thinking, len(out), round(margin, 3), messages[-1]["content"][:50], flush=True)
    write(os.path.join(a.out, "chat.jsonl"), chats)
    write(os.path.join(a.out, "answers.jsonl"), answers)
    ids = torch.tensor(answers[0]["prompt_ids"])
    save_file(expectations_for(model, ids), os.path.join(a.out, "expected.safetensors"))


if __name__ == "__main__":
    main()
