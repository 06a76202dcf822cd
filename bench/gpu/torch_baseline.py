"""PyTorch on the shapes of compare.py: random bf16 weights, StaticCache, the decode step compiled with
torch.compile(mode="reduce-overhead"), argmax decoding, prompts eager. Prints one JSON object per line:
{"what": "decode"|"prompt", "batch": n, "tokens_per_second": x}.

Usage: torch_baseline.py CONFIG.json [--context 512] [--prompt 2048] [--batch 1 8 32] [--tokens 64]
"""
import argparse
import json
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, StaticCache


def build(path):
    config = AutoConfig.for_model(**json.load(open(path)))
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    return model.eval(), config


def seconds_of(run):
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.inference_mode()
def prompt_speed(model, config, length, rounds=3):
    ids = torch.randint(0, config.vocab_size, (1, length), device="cuda")
    best = min(seconds_of(lambda: model(ids, logits_to_keep=1)) for _ in range(rounds + 1))
    return length / best


@torch.inference_mode()
def decode_speed(model, config, batch, context, tokens, rounds=3):
    cache = StaticCache(config=config, max_cache_len=context + tokens * (rounds + 2) + 8)
    ids = torch.randint(0, config.vocab_size, (batch, context), device="cuda")
    out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1,
                cache_position=torch.arange(context, device="cuda"))
    token = out.logits[:, -1:].argmax(-1)
    step = torch.compile(
        lambda ids, position: model(ids, past_key_values=cache, use_cache=True,
                                    cache_position=position).logits[:, -1:].argmax(-1),
        mode="reduce-overhead", fullgraph=False)
    position = torch.tensor([context], device="cuda")

    def decode(n):
        nonlocal token
        for _ in range(n):
            token = step(token, position).clone()
            position.add_(1)

    decode(8)  # compiles and records
    best = min(seconds_of(lambda: decode(tokens)) for _ in range(rounds))
    return batch * tokens / best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--prompt", type=int, default=2048)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    model, config = build(options.config)

    def report(what, batch, speed):
        print(json.dumps({"what": what, "batch": batch, "tokens_per_second": speed}), flush=True)

    report("prompt", 1, prompt_speed(model, config, options.prompt))
    for batch in options.batch:
        torch._dynamo.reset()
        report("decode", batch,
               decode_speed(model, config, batch, options.context, options.tokens))


if __name__ == "__main__":
    main()
