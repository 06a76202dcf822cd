"""Writes the project's golden checkpoints: tiny random weights and what transformers computes from them.

    python3 tools/goldens/make_goldens.py --out tests/golden [--only NAME]

Needs torch, transformers (5.17 was used) and safetensors; no network and no GPU. Each tests/golden/<name>/ holds
config.json, model.safetensors (or two shards and their index) and expected.safetensors:
  ids           [T] int32              the prompt
  logits        [T, vocab] float32     of the prompt, computed in float32 on the CPU
  hidden        [layers+1, T, hidden]  float32 residual stream after the embedding and after every decoder layer
                                       (before the final norm): names the first layer that differs
  greedy        [24] int32             greedy continuation
  greedy_margin [24] float32           top-1 minus top-2 logit of each continuation step
Half of the configs are in the form of published checkpoints (rope_theta, rope_scaling, torch_dtype, topk_method,
scoring_func), half in the form transformers 5 writes (rope_parameters, dtype).
"""

import argparse
import glob
import json
import os
import shutil
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

T, STEPS, BLOCK = 40, 24, 128


def rope(kind="default", theta=10000.0, **more):
    return {"rope_theta": theta, "rope_type": kind, **more}


YARN = dict(factor=8.0, original_max_position_embeddings=32, beta_fast=32, beta_slow=1)
MLA = dict(bos_token_id=0, eos_token_id=1, rms_norm_eps=1e-6, max_position_embeddings=256, attention_bias=False)

# name -> (transformers class stem, config values in transformers-5 form, options)
# options: form old|new, seed, fp8, shards
GOLDENS = {
    "qwen2": ("Qwen2", dict(vocab_size=317, hidden_size=80, intermediate_size=110, num_hidden_layers=3,
              num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=False,
              max_position_embeddings=512, rope_parameters=rope(theta=1e6)), dict(form="old", seed=1)),
    "qwen2-tied": ("Qwen2", dict(vocab_size=331, hidden_size=72, intermediate_size=104, num_hidden_layers=2,
                   num_attention_heads=6, num_key_value_heads=1, rms_norm_eps=1e-5, tie_word_embeddings=True,
                   max_position_embeddings=512, rope_parameters=rope()), dict(form="new", seed=2)),
    "qwen3": ("Qwen3", dict(vocab_size=317, hidden_size=80, intermediate_size=116, num_hidden_layers=2,
              num_attention_heads=6, num_key_value_heads=3, head_dim=20, rms_norm_eps=1e-6,
              tie_word_embeddings=False, max_position_embeddings=512, rope_parameters=rope(theta=1e6)),
              dict(form="new", seed=3, shards=True)),
    "llama3": ("Llama", dict(vocab_size=323, hidden_size=72, intermediate_size=108, num_hidden_layers=3,
               num_attention_heads=6, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
               tie_word_embeddings=False, max_position_embeddings=512,
               rope_parameters=rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                    original_max_position_embeddings=32)), dict(form="old", seed=4)),
    "llama-linear": ("Llama", dict(vocab_size=319, hidden_size=68, intermediate_size=75, num_hidden_layers=2,
                     num_attention_heads=2, num_key_value_heads=2, head_dim=34, rms_norm_eps=1e-6,
                     tie_word_embeddings=False, max_position_embeddings=512,
                     rope_parameters=rope("linear", 100000.0, factor=4.0)), dict(form="old", seed=5)),
    "deepseek-v2-lite": ("DeepseekV2", dict(vocab_size=317, hidden_size=60, intermediate_size=104,
                         moe_intermediate_size=28, num_hidden_layers=3, num_attention_heads=3,
                         num_key_value_heads=3, q_lora_rank=None, kv_lora_rank=40, qk_nope_head_dim=24,
                         qk_rope_head_dim=8, v_head_dim=20, head_dim=8, n_routed_experts=6, num_experts_per_tok=3,
                         n_shared_experts=2, first_k_dense_replace=1, topk_method="greedy", n_group=1, topk_group=1,
                         norm_topk_prob=False, routed_scaling_factor=1.0, tie_word_embeddings=False,
                         rope_parameters=rope("yarn", **YARN, mscale=0.707, mscale_all_dim=0.707), **MLA),
                         dict(form="old", seed=6)),
    "deepseek-v2": ("DeepseekV2", dict(vocab_size=317, hidden_size=60, intermediate_size=100,
                    moe_intermediate_size=20, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
                    q_lora_rank=36, kv_lora_rank=28, qk_nope_head_dim=16, qk_rope_head_dim=12, v_head_dim=16,
                    head_dim=12, n_routed_experts=12, num_experts_per_tok=4, n_shared_experts=2,
                    first_k_dense_replace=1, topk_method="group_limited_greedy", n_group=4, topk_group=2,
                    norm_topk_prob=False, routed_scaling_factor=16.0, tie_word_embeddings=False,
                    rope_parameters=rope("yarn", **YARN, mscale=1.0, mscale_all_dim=1.0), **MLA),
                    dict(form="new", seed=7)),
    "deepseek-v3": ("DeepseekV3", dict(vocab_size=317, hidden_size=60, intermediate_size=92,
                    moe_intermediate_size=28, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=6,
                    q_lora_rank=44, kv_lora_rank=36, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=12,
                    head_dim=8, n_routed_experts=12, num_experts_per_tok=3, n_shared_experts=1,
                    first_k_dense_replace=1, n_group=3, topk_group=2, norm_topk_prob=True,
                    routed_scaling_factor=2.5, tie_word_embeddings=False,
                    rope_parameters=rope("yarn", **YARN, mscale=1.0, mscale_all_dim=1.0), **MLA),
                    dict(form="new", seed=8)),
    "deepseek-v3-fp8": ("DeepseekV3", dict(vocab_size=317, hidden_size=132, intermediate_size=200,
                        moe_intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                        num_key_value_heads=4, q_lora_rank=136, kv_lora_rank=56, qk_nope_head_dim=32,
                        qk_rope_head_dim=16, v_head_dim=36, head_dim=16, n_routed_experts=6, num_experts_per_tok=2,
                        n_shared_experts=1, first_k_dense_replace=1, n_group=2, topk_group=1, norm_topk_prob=True,
                        routed_scaling_factor=2.5, tie_word_embeddings=False, rope_parameters=rope(), **MLA),
                        dict(form="old", seed=9, fp8=True)),
}


def randomise(model, seed):
    """Weights large enough that logits differ clearly between tokens; norms around 1; biases not zero."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda t, std: torch.randn(t.shape, generator=g) * std
    with torch.no_grad():
        named = dict(model.named_parameters()) | {k: b for k, b in model.named_buffers() if "correction_bias" in k}
        for name, t in sorted(named.items()):
            if "correction_bias" in name:
                t.copy_(normal(t, 0.1))
            elif "norm" in name:
                t.copy_(1 + normal(t, 0.2))
            elif name.endswith("bias"):
                t.copy_(normal(t, 0.3))
            elif "embed_tokens" in name:
                t.copy_(normal(t, 1.0))
            else:
                t.copy_(normal(t, 1.6 / t.shape[-1] ** 0.5))
        for name, t in named.items():  # the values the file will hold
            if "correction_bias" not in name:
                t.copy_(t.bfloat16().float())


def quantise(w):
    """e4m3 with one float32 scale per 128x128 block, ragged at the edges: (q, scale_inv, dequantised)."""
    rows, cols = w.shape
    br, bc = -(-rows // BLOCK), -(-cols // BLOCK)
    padded = torch.zeros(br * BLOCK, bc * BLOCK)
    padded[:rows, :cols] = w.float()
    blocks = padded.view(br, BLOCK, bc, BLOCK)
    scale = blocks.abs().amax((1, 3)).clamp_min(1e-12) / 448.0
    q = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
    back = (q.float() * scale[:, None, :, None]).reshape(padded.shape)[:rows, :cols].contiguous()
    return q.view(padded.shape)[:rows, :cols].contiguous(), scale.contiguous(), back


def is_quantised(name):
    return (name.endswith("proj.weight") or name.endswith("_a_proj_with_mqa.weight")) and "lm_head" not in name


def old_form(c, stem):
    """The keys of published checkpoints."""
    c = dict(c)
    r = dict(c.pop("rope_parameters"))
    c["rope_theta"] = r.pop("rope_theta")
    kind = r.pop("rope_type")
    scaling = None
    if kind in ("yarn", "linear"):
        scaling = {"type": kind, **r}
    elif kind != "default":
        scaling = {"rope_type": kind, **r}
    c["rope_scaling"] = scaling
    c["torch_dtype"] = c.pop("dtype")
    if stem == "DeepseekV2":
        c.update(scoring_func="softmax", moe_layer_freq=1, ep_size=1, aux_loss_alpha=0.001, seq_aux=True)
    if stem == "DeepseekV3":
        c.update(scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1, ep_size=1,
                 num_nextn_predict_layers=0)
    if stem.startswith("Deepseek"):
        c.pop("head_dim", None)
    return c


def expectations(model, seed, vocab):
    g = torch.Generator().manual_seed(1000 + seed)
    ids = torch.randint(0, vocab, (T,), generator=g)
    ids[0] = model.config.bos_token_id or 0
    return expectations_for(model, ids)


def expectations_for(model, ids):
    """Runs the prompt once with hooks on the residual stream, then the greedy continuation."""
    streams = []
    first = lambda o: (o[0] if isinstance(o, tuple) else o).detach()[0].clone()
    hooks = [m.register_forward_hook(lambda _m, _i, o: streams.append(first(o)))
             for m in [model.model.embed_tokens, *model.model.layers]]
    with torch.no_grad():
        logits = model(ids[None], use_cache=False).logits[0]
        for h in hooks:
            h.remove()
        seq, greedy, margin = ids.tolist(), [], []
        for _ in range(STEPS):
            row = model(torch.tensor([seq]), use_cache=False).logits[0, -1]
            top = row.topk(2).values
            greedy.append(int(row.argmax()))
            margin.append(float(top[0] - top[1]))
            seq.append(greedy[-1])
    return {"ids": ids.to(torch.int32), "logits": logits.float().contiguous(),
            "hidden": torch.stack(streams).float().contiguous(),
            "greedy": torch.tensor(greedy, dtype=torch.int32), "greedy_margin": torch.tensor(margin)}


def save_shards(tensors, folder):
    names = sorted(tensors)
    half, size, cut = sum(t.numel() for t in tensors.values()) / 2, 0, 0
    while size < half:
        size += tensors[names[cut]].numel()
        cut += 1
    index, total = {}, 0
    for i, part in enumerate((names[:cut], names[cut:]), 1):
        file = f"model-{i:05d}-of-00002.safetensors"
        save_file({n: tensors[n] for n in part}, os.path.join(folder, file), {"format": "pt"})
        index.update({n: file for n in part})
        total += sum(tensors[n].numel() * tensors[n].element_size() for n in part)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": index}, f, indent=1)


def make(name, out):
    stem, values, opt = GOLDENS[name]
    config = getattr(transformers, stem + "Config")(**values)
    config._attn_implementation = "eager"
    cls = getattr(transformers, stem + "ForCausalLM")
    model = cls(config).float().eval()
    randomise(model, opt["seed"])
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        tensors = {}
        for f in glob.glob(tmp + "/*.safetensors"):
            tensors.update(load_file(f))
        tensors = {n: (t.float() if "correction_bias" in n else t.bfloat16()).contiguous()
                   for n, t in tensors.items()}
        with open(tmp + "/config.json") as f:
            written = json.load(f)
        plain = {n: t.float() for n, t in tensors.items()}
        if opt.get("fp8"):
            for n in [n for n in tensors if is_quantised(n)]:
                q, scale, plain[n] = quantise(tensors[n])
                tensors[n], tensors[n.replace(".weight", ".weight_scale_inv")] = q, scale
        # The oracle reads back exactly what the file holds, in float32.
        os.remove(tmp + "/model.safetensors")
        save_file(plain, tmp + "/model.safetensors", {"format": "pt"})
        model = cls.from_pretrained(tmp, dtype=torch.float32, attn_implementation="eager").eval()
    if stem.startswith("Deepseek"):  # the grouped kernels want rows of whole 16 bytes
        model.set_experts_implementation("eager")
    e = expectations(model, opt["seed"], config.vocab_size)
    written["dtype"] = "bfloat16"
    for k in ("layer_types", "transformers_version", "_name_or_path"):
        if opt["form"] == "old":
            written.pop(k, None)
    if opt["form"] == "old":
        written = old_form(written, stem)
    if opt.get("fp8"):
        written["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [BLOCK, BLOCK],
                                          "activation_scheme": "dynamic"}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(dict(sorted(written.items())), f, indent=1)
        f.write("\n")
    if opt.get("shards"):
        save_shards(tensors, folder)
    else:
        save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    save_file(e, os.path.join(folder, "expected.safetensors"))
    kb = sum(os.path.getsize(f) for f in glob.glob(folder + "/*")) // 1000
    weak = int((e["greedy_margin"] < 0.05).sum())
    print(f"{name:18s} {kb:5d} KB  logit std {e['logits'].std():.2f}  stream rms "
          f"{e['hidden'].pow(2).mean((1, 2)).sqrt().tolist()[-1]:.1f}  weak margins {weak}  "
          f"distinct greedy {len(set(e['greedy'].tolist()))}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="tests/golden")
    p.add_argument("--only")
    a = p.parse_args()
    torch.set_num_threads(4)
    transformers.utils.logging.disable_progress_bar()
    print("transformers", transformers.__version__, "torch", torch.__version__)
    for name in GOLDENS:
        if a.only in (None, name):
            make(name, a.out)


if __name__ == "__main__":
    main()
