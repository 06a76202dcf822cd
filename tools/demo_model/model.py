"""A DeepSeek-V3-architecture language model in plain PyTorch, with the shapes of the demo model.

MLA attention with a query LoRA and adjacent-pair rope, one dense layer, then layers with routed and shared experts
behind a sigmoid gate whose selection bias is balanced during training. All experts are computed for every token and
weighted by the gate (zero for those not chosen), which is fast while experts are few and small.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Shape:
    vocab: int = 4096
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    q_lora: int = 128
    kv_lora: int = 64
    nope: int = 32
    rope: int = 16
    v: int = 32
    dense_ffn: int = 768
    expert_ffn: int = 128
    experts: int = 16
    top_k: int = 4
    groups: int = 4
    top_groups: int = 2
    first_dense: int = 1
    scale: float = 2.5
    theta: float = 10000.0
    eps: float = 1e-6
    max_positions: int = 4096

    def config(self):
        """config.json in the form of published DeepSeek-V3 checkpoints."""
        return {
            "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": self.first_dense,
            "hidden_act": "silu", "hidden_size": self.hidden, "initializer_range": 0.02,
            "intermediate_size": self.dense_ffn, "kv_lora_rank": self.kv_lora,
            "max_position_embeddings": self.max_positions, "model_type": "deepseek_v3",
            "moe_intermediate_size": self.expert_ffn, "moe_layer_freq": 1, "n_group": self.groups,
            "n_routed_experts": self.experts, "n_shared_experts": 1, "norm_topk_prob": True,
            "num_attention_heads": self.heads, "num_experts_per_tok": self.top_k, "num_hidden_layers": self.layers,
            "num_key_value_heads": self.heads, "num_nextn_predict_layers": 0, "q_lora_rank": self.q_lora,
            "qk_nope_head_dim": self.nope, "qk_rope_head_dim": self.rope,
            "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                    "weight_block_size": [128, 128]},
            "rms_norm_eps": self.eps, "rope_scaling": None, "rope_theta": self.theta,
            "routed_scaling_factor": self.scale, "scoring_func": "sigmoid", "tie_word_embeddings": False,
            "topk_group": self.top_groups, "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "use_cache": True,
            "v_head_dim": self.v, "vocab_size": self.vocab,
        }


class Norm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(n)), eps

    def forward(self, x):
        x32 = x.float()
        return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


def rotate(x, cos, sin):
    """x [..., rope]; dimensions 2i and 2i+1 turn together."""
    a, b = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        lin = lambda i, o: nn.Linear(i, o, bias=False)
        self.q_a_proj, self.q_a_layernorm = lin(s.hidden, s.q_lora), Norm(s.q_lora, s.eps)
        self.q_b_proj = lin(s.q_lora, s.heads * (s.nope + s.rope))
        self.kv_a_proj_with_mqa, self.kv_a_layernorm = lin(s.hidden, s.kv_lora + s.rope), Norm(s.kv_lora, s.eps)
        self.kv_b_proj = lin(s.kv_lora, s.heads * (s.nope + s.v))  # per head: [k_nope | v]
        self.o_proj = lin(s.heads * s.v, s.hidden)

    def forward(self, x, cos, sin):  # x [B, T, hidden]; cos, sin [T, rope/2]
        s, (B, T, _) = self.s, x.shape
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))).view(B, T, s.heads, s.nope + s.rope).transpose(1, 2)
        c, k_pe = self.kv_a_proj_with_mqa(x).split([s.kv_lora, s.rope], -1)
        kv = self.kv_b_proj(self.kv_a_layernorm(c)).view(B, T, s.heads, s.nope + s.v).transpose(1, 2)
        k_nope, v = kv.split([s.nope, s.v], -1)
        q = torch.cat((q[..., :s.nope], rotate(q[..., s.nope:], cos, sin)), -1)
        k_pe = rotate(k_pe[:, None], cos, sin).expand(B, s.heads, T, s.rope)
        k = torch.cat((k_nope, k_pe), -1)
        v = F.pad(v, (0, s.nope + s.rope - s.v))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)[..., :s.v]
        return self.o_proj(o.transpose(1, 2).reshape(B, T, s.heads * s.v))


class FeedForward(nn.Module):
    """Dense FFN, or experts side by side: rows [e*ffn, (e+1)*ffn) of gate and up belong to expert e, the last block
    is the shared expert; down is stored transposed, [experts*ffn, hidden]."""

    def __init__(self, s, dense):
        super().__init__()
        self.s, self.dense = s, dense
        width = s.dense_ffn if dense else (s.experts + 1) * s.expert_ffn
        self.gate_rows = nn.Parameter(torch.empty(width, s.hidden))
        self.up_rows = nn.Parameter(torch.empty(width, s.hidden))
        self.down_rows = nn.Parameter(torch.empty(width, s.hidden))
        if not dense:
            self.router = nn.Parameter(torch.empty(s.experts, s.hidden))
            self.register_buffer("bias", torch.zeros(s.experts))
            self.register_buffer("load", torch.zeros(s.experts))

    def route(self, x):
        """[N, experts] weights, zero where an expert is not chosen."""
        s = self.s
        with torch.autocast("cuda", enabled=False):
            score = torch.sigmoid(x.float() @ self.router.float().t())
        with torch.no_grad():
            biased = (score + self.bias).view(-1, s.groups, s.experts // s.groups)
            best = biased.topk(2, -1).values.sum(-1).topk(s.top_groups, -1).indices
            keep = torch.zeros_like(biased[..., 0]).scatter_(1, best, 1.0).bool()
            biased = biased.masked_fill(~keep[..., None], float("-inf")).view(-1, s.experts)
            chosen = torch.zeros_like(score).scatter_(1, biased.topk(s.top_k, -1).indices, 1.0)
            if self.training:
                self.load += chosen.sum(0)
        w = score * chosen
        return w / (w.sum(-1, keepdim=True) + 1e-20) * s.scale

    def forward(self, x):
        s, flat = self.s, x.reshape(-1, x.shape[-1])
        h = F.silu(F.linear(flat, self.gate_rows)) * F.linear(flat, self.up_rows)
        if not self.dense:
            w = self.route(flat)
            w = torch.cat((w, torch.ones_like(w[:, :1])), 1).to(h.dtype)
            h = (h.view(-1, s.experts + 1, s.expert_ffn) * w[..., None]).view(h.shape)
        return F.linear(h, self.down_rows.t()).view(x.shape)


class Layer(nn.Module):
    def __init__(self, s, i):
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(s.hidden, s.eps), Attention(s)
        self.post_attention_layernorm, self.mlp = Norm(s.hidden, s.eps), FeedForward(s, i < s.first_dense)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.embed_tokens = nn.Embedding(s.vocab, s.hidden)
        self.layers = nn.ModuleList(Layer(s, i) for i in range(s.layers))
        self.norm = Norm(s.hidden, s.eps)
        self.lm_head = nn.Linear(s.hidden, s.vocab, bias=False)
        freq = s.theta ** (-torch.arange(0, s.rope, 2).float() / s.rope)
        angle = torch.arange(s.max_positions).float()[:, None] * freq
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        deep = 1 / math.sqrt(2 * s.layers)
        for n, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "embed" in n or "lm_head" in n else 0.6 / math.sqrt(p.shape[1])
                if "router" in n:
                    std = 0.02
                if "down_rows" in n:
                    std = 0.6 / math.sqrt(s.expert_ffn * (s.top_k + 1)) * deep / 2
                if "o_proj" in n:
                    std *= deep
                nn.init.normal_(p, 0.0, std)

    def forward(self, ids):
        T = ids.shape[1]
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, self.cos[:T], self.sin[:T])
        return self.lm_head(self.norm(x))

    def moe(self):
        return [l.mlp for l in self.layers if not l.mlp.dense]

    def parameter_count(self):
        return sum(p.numel() for p in self.parameters()) + sum(m.bias.numel() for m in self.moe())


def describe(s):
    return asdict(s)
