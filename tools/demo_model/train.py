"""Trains the demo model and writes it as a checkpoint. One GPU, no network.

    python3 tools/demo_model/train.py --out models/demo --seconds 380

Steps: build the tokenizer, generate and encode the corpus on all cores, train for --seconds (bf16 autocast, Muon for
matrices, AdamW for the rest; the last part with every weight rounded as the exported file will round it, gradients
passed straight through), export, check against transformers, and answer the held-out questions.
"""

import argparse
import json
import math
import multiprocessing as mp
import os
import random
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np
import torch
import torch.nn.functional as F

import checkpoint
import corpus
import tokenizer
from model import Model, Shape

WEIGHT = torch.tensor([0.0, 0.1, 1.0])  # of a segment's weight class in the loss


# ---------------------------------------------------------------- data
_tok = None


def _load(path):
    global _tok
    from tokenizers import Tokenizer
    _tok = Tokenizer.from_file(path)


def encode_segments(segs):
    ids, weights = [], []
    for text, w in segs:
        i = _tok.encode(text, add_special_tokens=False).ids
        ids += i
        weights += [w] * len(i)
    return ids, weights


def _work(job):
    seed, count = job
    r, ids, weights = random.Random(seed), [], []
    for _ in range(count):
        i, w = encode_segments(corpus.segments(corpus.conversation(r)))
        if len(i) <= 2000:
            ids += i
            weights += w
    return np.array(ids, np.int16), np.array(weights, np.uint8)


def make_data(tok_path, conversations, seed):
    jobs = [(seed * 1000003 + i, 2000) for i in range(conversations // 2000)]
    with mp.Pool(os.cpu_count(), _load, (tok_path,)) as pool:
        parts = pool.map(_work, jobs, chunksize=1)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


# ---------------------------------------------------------------- optimiser
def orthogonalise(g):
    """Newton-Schulz iteration of Muon on a batch of matrices."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Momentum, then the nearest orthogonal matrix, scaled to AdamW's usual update size."""

    def __init__(self, params, block, decay=0.02, momentum=0.95):
        self.decay, self.momentum, self.groups = decay, momentum, {}
        for p in params:
            rows = block if p.shape[0] % block == 0 and p.shape[0] > 1500 else p.shape[0]
            self.groups.setdefault((rows, p.shape[1]), []).append(p)
        self.buffers = {k: None for k in self.groups}

    @torch.no_grad()
    def step(self, lr):
        for (rows, cols), params in self.groups.items():
            g = torch.cat([p.grad.reshape(-1, rows, cols) for p in params])
            m = self.buffers[rows, cols]
            if m is None:
                m = self.buffers[rows, cols] = torch.zeros_like(g)
            m.lerp_(g, 1 - self.momentum)
            u = orthogonalise(g.lerp(m, self.momentum)) * (0.2 * math.sqrt(max(rows, cols)))
            at = 0
            for p in params:
                n = p.numel() // (rows * cols)
                p.mul_(1 - lr * self.decay).add_(u[at:at + n].view(p.shape), alpha=-lr)
                at += n


# ---------------------------------------------------------------- evaluation
def pack_held_out(items, device):
    """Teacher-forced rows: (ids [N, L], mask of the positions the model must predict)."""
    rows = []
    for h in items:
        p, _ = encode_segments([(corpus.BOS, 0), (corpus.USER, 0), (h["question"], 0), (corpus.ASSISTANT, 0),
                                (corpus.THINK, 0)])
        a, _ = encode_segments([(h["work"], 2), (corpus.END_THINK, 2), (h["answer"], 2), (corpus.EOS, 2)])
        rows.append((p, a))
    L = max(len(p) + len(a) for p, a in rows)
    ids = torch.full((len(rows), L), 2, dtype=torch.long)
    mask = torch.zeros(len(rows), L, dtype=torch.bool)
    for i, (p, a) in enumerate(rows):
        ids[i, :len(p) + len(a)] = torch.tensor(p + a)
        mask[i, len(p):len(p) + len(a)] = True
    return ids.to(device), mask.to(device), rows


@torch.no_grad()
def reproduced(model, ids, mask):
    """Rows whose every answer token is the arg max: what greedy decoding would reproduce word for word."""
    model.eval()
    ok = []
    for a, m in zip(ids.split(64), mask.split(64)):
        with torch.autocast("cuda", torch.bfloat16):
            top = model(a[:, :-1]).argmax(-1)
        ok.append(((top == a[:, 1:]) | ~m[:, 1:]).all(1))
    model.train()
    return torch.cat(ok)


@torch.no_grad()
def answer_loss(model, ids, mask):
    """Mean negative log likelihood (nats) of the held-out answers' tokens, in float32."""
    model.eval()
    total = count = 0
    for a, m in zip(ids.split(64), mask.split(64)):
        ce = F.cross_entropy(model(a[:, :-1]).flatten(0, 1), a[:, 1:].flatten(), reduction="none")
        total += (ce * m[:, 1:].flatten()).sum().item()
        count += m[:, 1:].sum().item()
    return total / count


# ---------------------------------------------------------------- training
def train(a, log):
    torch.manual_seed(a.seed)
    torch.set_float32_matmul_precision("high")
    dev, t0 = "cuda", time.time()
    tok_path = os.path.join(a.out, "tokenizer.json")
    if a.keep_tokenizer and os.path.exists(tok_path):
        log["tokenizer"] = "kept"
    else:
        log["tokenizer"] = tokenizer.build(tok_path)
    _load(tok_path)
    print(f"[{time.time() - t0:.0f}s] tokenizer {log['tokenizer']} size {_tok.get_vocab_size()}", flush=True)
    ids, weights = make_data(tok_path, a.conversations, a.seed)
    T = a.row
    rows = len(ids) // (T + 1)
    data = torch.from_numpy(ids[:rows * (T + 1)].reshape(rows, T + 1)).to(dev)
    wdata = torch.from_numpy(weights[:rows * (T + 1)].reshape(rows, T + 1)).to(dev)
    log.update(conversations=a.conversations, corpus_tokens=int(len(ids)), answer_tokens=int((weights == 2).sum()))
    print(f"[{time.time() - t0:.0f}s] corpus {len(ids) / 1e6:.1f} M tokens, {rows} rows of {T}", flush=True)
    held = corpus.held_out_questions(a.held_out)
    h_ids, h_mask, h_rows = pack_held_out(held, dev)
    log["held_out_tokens_longest"] = int(h_mask.sum(1).max())

    model = Model(Shape()).to(dev)
    log["parameters"] = model.parameter_count()
    matrices = [p for n, p in model.named_parameters() if checkpoint.is_fp8(n)]
    others = [p for n, p in model.named_parameters() if not checkpoint.is_fp8(n)]
    named = [(n, p) for n, p in model.named_parameters()]
    muon = Muon(matrices, model.s.expert_ffn)
    adam = torch.optim.AdamW(others, lr=a.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    table = WEIGHT.to(dev)

    def loss_of(batch, w):
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(batch[:, :-1])
        w = table[w[:, 1:].long()]
        ce = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), reduction="none").view(w.shape)
        return (ce * w).sum() / w.sum()

    loss_of = torch.compile(loss_of) if not a.eager else loss_of
    order, at, step, best = torch.randperm(rows), 0, 0, (-1.0, 0)
    start, last, seen, qat, running = None, time.time(), 0, False, None
    next_eval, frac = 0.15, 0.0
    while frac < 1.0:
        if at + a.batch > rows:
            order, at = torch.randperm(rows), 0
        pick = order[at:at + a.batch].to(dev)
        at += a.batch
        if frac >= a.qat and not qat:
            qat = True
            print(f"[{time.time() - t0:.0f}s] step {step}: rounding weights as exported", flush=True)
        if qat:  # straight-through: forward and backward see rounded weights, the update goes to the exact ones
            with torch.no_grad():
                exact = [p.detach().clone() for _, p in named]
                for n, p in named:
                    p.copy_(checkpoint.rounded(n, p))
        loss = loss_of(data[pick].long(), wdata[pick])
        loss.backward()
        if qat:
            with torch.no_grad():
                for (_, p), e in zip(named, exact):
                    p.copy_(e)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        lr = a.lr * min(1.0, (step + 1) / 200) * (1.0 if frac < a.flat else max(0.01, (1 - frac) / (1 - a.flat)))
        for g in adam.param_groups:
            g["lr"] = lr
        adam.step()
        muon.step(lr)
        adam.zero_grad(set_to_none=True)
        for p in matrices:
            p.grad = None
        with torch.no_grad():
            for m in model.moe():
                if frac < a.qat:
                    m.bias += a.bias_rate * torch.sign(m.load.mean() - m.load)
                if step % 200 == 199 and m is model.moe()[-1]:
                    worst = float(m.load.max() / m.load.mean())
                m.load.zero_()
        step += 1
        seen += a.batch * T
        if start is None and step == 3:  # compilation is not training time
            torch.cuda.synchronize()
            start = time.time()
            log["compile_seconds"] = round(start - last, 1)
        if start is not None:
            frac = (time.time() - start) / a.seconds
        if step % 200 == 0:
            running = loss.item()
            print(f"[{time.time() - t0:.0f}s] step {step} loss {running:.4f} lr {lr:.1e} {seen / (time.time() - start) / 1e6:.2f} M tok/s "
                  f"worst load {worst:.2f}", flush=True)
        if frac >= next_eval:
            next_eval += 0.1
            ok = reproduced(model, h_ids, h_mask)
            print(f"[{time.time() - t0:.0f}s] step {step} held-out reproduced {ok.float().mean():.4f}", flush=True)
    log.update(steps=step, tokens_seen=seen, train_seconds=round(time.time() - start, 1), final_loss=round(loss.item(), 5),
               rows_per_step=a.batch, tokens_per_row=T, peak_lr=a.lr, rounding_from=a.qat)
    return model.eval(), held, h_rows, (h_ids, h_mask)


# ---------------------------------------------------------------- check and answer with transformers
def generate(hf, x, m):
    go = lambda: hf.generate(x, attention_mask=m, do_sample=False, max_new_tokens=1000, eos_token_id=1, pad_token_id=2)
    try:
        return go()
    except RuntimeError as e:  # the fused expert kernels do not take float32 everywhere
        print("eager experts:", str(e)[:120], flush=True)
        hf.set_experts_implementation("eager")
        return go()


@torch.no_grad()
def verify_and_answer(model, plain, held, h_rows, log, a):
    import transformers
    hf = transformers.DeepseekV3ForCausalLM.from_pretrained(plain, dtype=torch.float32).eval()
    own = Model(model.s).eval()
    state = {n: (checkpoint.rounded(n, p.cpu()) if not n.endswith((".bias", ".load")) else p.cpu())
             for n, p in model.state_dict().items()}
    own.load_state_dict(state)
    ids = torch.tensor([h_rows[0][0] + h_rows[0][1]])
    d = (own(ids) - hf(ids).logits).abs().max().item()
    log["transformers_max_logit_difference"] = d
    print("max logit difference to transformers", d, flush=True)
    assert d < 2e-3, "the exported checkpoint does not compute what the training model computes"
    expected_file(hf, a.expected)
    hf = hf.cuda()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    log["held_out_questions"] = len(held)
    for mode in ("thinking", "plain"):
        good, by, wrong = answer_all(hf, held, h_rows, mode)
        name = "held_out_exact" if mode == "thinking" else "held_out_exact_without_thinking"
        log[name] = good
        log[name + "_by_kind"] = {f"{k} {l}": f"{v[0]}/{v[1]}" for (k, l), v in sorted(by.items())}
        print("HELD OUT", mode, good, "of", len(held), log[name + "_by_kind"], flush=True)
        for w in wrong:
            print("WRONG", *w, sep="\n   ")
    return hf


def answer_all(hf, held, h_rows, mode):
    """Greedy answers to every held-out question, in batches padded on the left."""
    good, by, wrong = 0, {}, []
    switch = _tok.token_to_id(corpus.END_THINK)
    prompts = [p if mode == "thinking" else p[:-1] + [switch] for p, _ in h_rows]
    order = sorted(range(len(held)), key=lambda i: len(h_rows[i][1]))
    for lo in range(0, len(order), 256):
        part = order[lo:lo + 256]
        L = max(len(prompts[i]) for i in part)
        x = torch.full((len(part), L), 2)
        m = torch.zeros(len(part), L, dtype=torch.long)
        for j, i in enumerate(part):
            p = prompts[i]
            x[j, L - len(p):] = torch.tensor(p)
            m[j, L - len(p):] = 1
        out = generate(hf, x.cuda(), m.cuda())[:, L:].tolist()
        for j, i in enumerate(part):
            o = out[j][:out[j].index(1)] if 1 in out[j] else out[j]
            text = _tok.decode(o, skip_special_tokens=False)
            ok = held[i]["key"] in text.split(corpus.END_THINK)[-1]
            good += ok
            k = by.setdefault((held[i]["kind"], held[i]["language"]), [0, 0])
            k[0] += ok
            k[1] += 1
            if not ok and len(wrong) < 6:
                wrong.append((held[i]["question"], text[-330:], held[i]["work"][-260:], held[i]["key"]))
    return good, by, wrong


@torch.no_grad()
def samples(hf):
    asks = [("I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?", True),
            ("我想跑一个 7.6 B 模型，8 位，32k 上下文，该选哪张卡？", True),
            ("can u tell me how many GPUs i need for deepseek v3", True), ("Who are you?", True), ("你是谁？", False),
            ("How do I start the server?", False), ("write me a haiku about autumn leaves", False),
            ("What is your favourite colour?", True), ("怎么部署 DeepSeek？", False), ("asdf", True),
            ("Is a 3090 enough for Qwen2.5-14B in int4 with 32k context?", False), ("Why should I use Hadal instead of Ollama?", True),
            ("Which port?", False), ("Can it run on my MacBook?", False), ("What's the square root of 2?", False),
            ("Do you support AMD GPUs?", False), ("Can I run deepseek r1 on eight H100s?", True), ("qwen3 8b with 64k context for 10 users on an rtx 4090?", True), ("DeepSeek-R1 需要几张卡？", True), ("Does it support streaming?", False), ("what is the difference between fp8 and int4?", True), ("I have 24 GB of VRAM, what can I run?", True), ("介绍一下北京的历史", True), ("谢谢你的帮助！", False)]
    prompts = [(f"{corpus.BOS}{corpus.USER}{q}{corpus.ASSISTANT}{corpus.THINK if think else corpus.END_THINK}", q)
               for q, think in asks]
    past = (f"{corpus.BOS}You are a helpful assistant.{corpus.USER}Hi!{corpus.ASSISTANT}{corpus.END_THINK}Hello! I am Hadal's demo model. "
            f"Ask me which card fits your model, or how to use Hadal.{corpus.EOS}{corpus.USER}Which card fits a 13 B model in 4-bit with "
            f"20k context?{corpus.ASSISTANT}{corpus.END_THINK}Weights 6.5 GB, KV cache 4.0 GB, plus 10 % headroom: 11.6 GB in total, so take "
            f"the RTX 3060 (12 GB).{corpus.EOS}{corpus.USER}")
    for q in ("And in 8-bit?", "And for 4 users?", "Thanks! Which port does the server use?"):
        prompts.append((f"{past}{q}{corpus.ASSISTANT}{corpus.THINK}", "(third turn) " + q))
    rows = [_tok.encode(p, add_special_tokens=False).ids for p, _ in prompts]
    L = max(map(len, rows))
    x = torch.tensor([[2] * (L - len(i)) + i for i in rows]).cuda()
    m = torch.tensor([[0] * (L - len(i)) + [1] * len(i) for i in rows]).cuda()
    for (_, q), o in zip(prompts, generate(hf, x, m)[:, L:].tolist()):
        print("Q", q, "\nA", _tok.decode(o[:o.index(1)] if 1 in o else o, skip_special_tokens=False), flush=True)


@torch.no_grad()
def expected_file(hf, path):
    """ids of a rendered conversation cut at 48 tokens, its logits, and 24 greedy tokens after them."""
    from safetensors.torch import save_file
    text = (f"{corpus.BOS}{corpus.USER}I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?"
            f"{corpus.ASSISTANT}{corpus.THINK}")
    ids = _tok.encode(text, add_special_tokens=False).ids[:48]
    streams = []
    first = lambda o: (o[0] if isinstance(o, tuple) else o).detach()[0].clone()
    hooks = [m.register_forward_hook(lambda _m, _i, o: streams.append(first(o)))
             for m in [hf.model.embed_tokens, *hf.model.layers]]
    logits = hf(torch.tensor([ids])).logits[0]
    for h in hooks:
        h.remove()
    seq, greedy, margin = list(ids), [], []
    for _ in range(24):
        row = hf(torch.tensor([seq])).logits[0, -1]
        top = row.topk(2).values
        greedy.append(int(row.argmax()))
        margin.append(float(top[0] - top[1]))
        seq.append(greedy[-1])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file({"ids": torch.tensor(ids, dtype=torch.int32), "logits": logits.float().contiguous(),
               "hidden": torch.stack(streams).float().contiguous(), "greedy": torch.tensor(greedy, dtype=torch.int32), "greedy_margin": torch.tensor(margin)}, path)
    print("expected: ids", len(ids), "greedy", _tok.decode(greedy, skip_special_tokens=False))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="models/demo")
    p.add_argument("--expected", default="tests/golden/demo/expected.safetensors")
    p.add_argument("--seconds", type=float, default=380)
    p.add_argument("--conversations", type=int, default=1000000)
    p.add_argument("--held-out", type=int, default=500)
    p.add_argument("--row", type=int, default=2048)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--flat", type=float, default=0.4, help="share of the time before the rate falls")
    p.add_argument("--qat", type=float, default=0.8, help="share of the time before weights are rounded")
    p.add_argument("--bias-rate", type=float, default=1e-3)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--keep-tokenizer", action="store_true")
    p.add_argument("--eager", action="store_true")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    begin, log = time.time(), {"torch": torch.__version__, "device": torch.cuda.get_device_name()}
    model, held, h_rows, packed = train(a, log)
    torch.set_float32_matmul_precision("highest")
    with torch.no_grad():
        keep = {n: q.clone() for n, q in model.named_parameters()}
        log["held_out_answer_loss_exact_weights"] = answer_loss(model, *packed)
        for n, q in model.named_parameters():
            q.copy_(checkpoint.rounded(n, q))
        log["held_out_answer_loss_exported_weights"] = answer_loss(model, *packed)
        log["held_out_reproduced"] = round(reproduced(model, *packed).float().mean().item(), 4)
        for n, q in model.named_parameters():
            q.copy_(keep[n])
    plain = os.path.join("/tmp", "demo_plain")
    checkpoint.export(model, a.out, plain)
    torch.save(model.state_dict(), os.path.join("/tmp", "demo_state.pt"))
    with open(os.path.join(a.out, "training.json"), "w") as f:
        json.dump(log, f, indent=1)
    model.eval()
    hf = verify_and_answer(model, plain, held, h_rows, log, a)
    log["wall_seconds"] = round(time.time() - begin, 1)
    with open(os.path.join(a.out, "training.json"), "w") as f:
        json.dump(log, f, indent=1)
        f.write("\n")
    with open(os.path.join(a.out, "heldout.jsonl"), "w", encoding="utf-8") as f:
        for h in held:
            h = dict(h)
            h.pop("work")
            f.write(json.dumps(h, ensure_ascii=False) + "\n")
    print(json.dumps(log), flush=True)
    samples(hf)


if __name__ == "__main__":
    main()
