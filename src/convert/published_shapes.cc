// The shapes of the published models, from their config.json files.
#include <algorithm>
#include <string>
#include <vector>

#include "convert/synth.h"

namespace hadal {
namespace {

struct Dense {
  std::string_view name, title, model_type, vocabulary;
  int64_t layers, hidden, heads, kv_heads, ffn, vocab;
  double theta, eps;
  int64_t context;
};

constexpr Dense kDense[] = {
    {"r1-distill-qwen-1.5b", "DeepSeek-R1-Distill-Qwen-1.5B", "qwen2", "r1-qwen", 28, 1536, 12, 2,
     8960, 151936, 1e4, 1e-6, 131072},
    {"r1-distill-qwen-7b", "DeepSeek-R1-Distill-Qwen-7B", "qwen2", "r1-qwen", 28, 3584, 28, 4,
     18944, 152064, 1e4, 1e-6, 131072},
    {"r1-distill-qwen-14b", "DeepSeek-R1-Distill-Qwen-14B", "qwen2", "r1-qwen", 48, 5120, 40, 8,
     13824, 152064, 1e6, 1e-5, 131072},
    {"r1-distill-qwen-32b", "DeepSeek-R1-Distill-Qwen-32B", "qwen2", "r1-qwen", 64, 5120, 40, 8,
     27648, 152064, 1e6, 1e-5, 131072},
    {"r1-distill-llama-8b", "DeepSeek-R1-Distill-Llama-8B", "llama", "r1-llama", 32, 4096, 32, 8,
     14336, 128256, 5e5, 1e-5, 131072},
    {"r1-distill-llama-70b", "DeepSeek-R1-Distill-Llama-70B", "llama", "r1-llama", 80, 8192, 64, 8,
     28672, 128256, 5e5, 1e-5, 131072},
    {"r1-0528-qwen3-8b", "DeepSeek-R1-0528-Qwen3-8B", "qwen3", "r1-qwen3", 36, 4096, 32, 8, 12288,
     151936, 1e6, 1e-6, 131072},
    {"deepseek-llm-7b", "deepseek-llm-7b-chat", "llama", "llm", 30, 4096, 32, 32, 11008, 102400,
     1e4, 1e-6, 4096},
    {"deepseek-llm-67b", "deepseek-llm-67b-chat", "llama", "llm", 95, 8192, 64, 8, 22016, 102400,
     1e4, 1e-6, 4096},
    {"deepseek-coder-1.3b", "deepseek-coder-1.3b-instruct", "llama", "coder", 24, 2048, 16, 16,
     5504, 32256, 1e5, 1e-6, 16384},
    {"deepseek-coder-6.7b", "deepseek-coder-6.7b-instruct", "llama", "coder", 32, 4096, 32, 32,
     11008, 32256, 1e5, 1e-6, 16384},
};

void SetDenseRope(const Dense& d, RopeConfig& rope) {
  rope.theta = d.theta;
  if (d.vocabulary == "r1-llama") {
    rope.type = RopeType::kLlama3;
    rope.factor = 8;
    rope.low_freq_factor = 1;
    rope.high_freq_factor = 4;
    rope.original_max_position_embeddings = 8192;
  } else if (d.vocabulary == "coder") {
    rope.type = RopeType::kLinear;
    rope.factor = 4;
  } else if (d.vocabulary == "r1-qwen3") {
    rope.type = RopeType::kYarn;
    rope.factor = 4;
    rope.original_max_position_embeddings = 32768;
    rope.attn_factor = 0.8782488562869419;
  }
}

PublishedShape Shape1(const Dense& d) {
  PublishedShape s;
  s.name = d.name;
  s.title = d.title;
  s.vocabulary = d.vocabulary;
  ModelConfig& c = s.config;
  c.model_type = d.model_type;
  c.architectures = {d.model_type == "llama"   ? "LlamaForCausalLM"
                     : d.model_type == "qwen2" ? "Qwen2ForCausalLM"
                                               : "Qwen3ForCausalLM"};
  c.torch_dtype = "bfloat16";
  c.vocab_size = d.vocab;
  c.hidden_size = d.hidden;
  c.intermediate_size = d.ffn;
  c.num_hidden_layers = d.layers;
  c.num_attention_heads = d.heads;
  c.num_key_value_heads = d.kv_heads;
  c.head_dim = 128;
  c.rms_norm_eps = d.eps;
  c.max_position_embeddings = d.context;
  SetDenseRope(d, c.rope);
  return s;
}

struct Experts {
  std::string_view name, title, model_type, vocabulary;
  int64_t layers, hidden, heads, q_lora, ffn, expert_ffn;
  int64_t experts, top_k, shared, dense_layers, groups, top_groups;
  double scale;
  std::optional<double> mscale;  // of YaRN by 40 from 4096; empty: no scaling
};

constexpr Experts V2Lite(std::string_view name, std::string_view title) {
  return {name, title, "deepseek_v2", "llm", 27, 2048, 16, 0, 10944, 1408, 64, 6, 2, 1, 1,
          1,    1,     0.707};
}
constexpr Experts V2(std::string_view name, std::string_view title, double mscale) {
  return {name, title, "deepseek_v2", "llm", 60, 5120, 128, 1536, 12288, 1536, 160, 6, 2, 1, 8,
          3,    16,    mscale};
}
constexpr Experts V3(std::string_view name, std::string_view title, std::string_view vocabulary) {
  return {name, title, "deepseek_v3", vocabulary, 61, 7168, 128, 1536, 18432, 2048, 256, 8, 1, 3,
          8,    4,     2.5,           1.0};
}

constexpr Experts kExperts[] = {
    {"deepseek-moe-16b",
     "deepseek-moe-16b-chat",
     "deepseek",
     "llm",
     28,
     2048,
     16,
     0,
     10944,
     1408,
     64,
     6,
     2,
     1,
     1,
     1,
     1,
     {}},
    V2Lite("v2-lite", "DeepSeek-V2-Lite-Chat"),
    V2Lite("coder-v2-lite", "DeepSeek-Coder-V2-Lite-Instruct"),
    V2("v2", "DeepSeek-V2-Chat", 0.707),
    V2("v2.5", "DeepSeek-V2.5", 1.0),
    V2("coder-v2", "DeepSeek-Coder-V2-Instruct", 0.707),
    V3("v3", "DeepSeek-V3", "v3"),
    V3("v3-0324", "DeepSeek-V3-0324", "v3"),
    V3("r1", "DeepSeek-R1", "r1"),
    V3("r1-0528", "DeepSeek-R1-0528", "r1"),
    V3("v3.1", "DeepSeek-V3.1", "v3.1"),
};

void SetAttention(const Experts& e, ModelConfig& c) {
  c.num_attention_heads = c.num_key_value_heads = e.heads;
  c.head_dim = 128;
  c.max_position_embeddings = e.mscale ? 163840 : 4096;
  if (!e.mscale) return;
  c.head_dim = e.hidden / e.heads;
  c.q_lora_rank = e.q_lora;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = c.v_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.rope.type = RopeType::kYarn;
  c.rope.factor = 40;
  c.rope.original_max_position_embeddings = 4096;
  c.rope.mscale = c.rope.mscale_all_dim = e.mscale;
}

PublishedShape Shape1(const Experts& e) {
  PublishedShape s;
  s.name = e.name;
  s.title = e.title;
  s.vocabulary = e.vocabulary;
  ModelConfig& c = s.config;
  const bool v3 = e.model_type == "deepseek_v3", v2 = e.model_type == "deepseek_v2";
  s.fp8 = v3;
  c.model_type = e.model_type;
  c.architectures = {v3   ? "DeepseekV3ForCausalLM"
                     : v2 ? "DeepseekV2ForCausalLM"
                          : "DeepseekForCausalLM"};
  c.torch_dtype = "bfloat16";
  c.vocab_size = v3 ? 129280 : 102400;
  c.hidden_size = e.hidden;
  c.intermediate_size = e.ffn;
  c.num_hidden_layers = e.layers;
  SetAttention(e, c);
  c.n_routed_experts = e.experts;
  c.n_shared_experts = e.shared;
  c.num_experts_per_tok = e.top_k;
  c.moe_intermediate_size = e.expert_ffn;
  c.first_k_dense_replace = e.dense_layers;
  c.norm_topk_prob = v3;
  c.routed_scaling_factor = e.scale;
  c.scoring_func = v3 ? ScoringFunc::kSigmoid : ScoringFunc::kSoftmax;
  c.topk_method = v3             ? TopkMethod::kNoauxTc
                  : e.groups > 1 ? TopkMethod::kGroupLimitedGreedy
                                 : TopkMethod::kGreedy;
  c.n_group = e.groups;
  c.topk_group = e.top_groups;
  return s;
}

const std::vector<PublishedShape>& Shapes() {
  static const std::vector<PublishedShape> shapes = [] {
    std::vector<PublishedShape> all;
    for (const Dense& d : kDense) all.push_back(Shape1(d));
    for (const Experts& e : kExperts) all.push_back(Shape1(e));
    return all;
  }();
  return shapes;
}

// Published, but of architectures that are not run yet.
constexpr std::string_view kLater[] = {"v3.2", "v3.2-exp", "v4-flash", "v4-pro", "v4.1-flash"};

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "deepseek-" is left out of most names, and put before all of them by some people.
std::string Plain(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  constexpr std::string_view kPrefix = "deepseek-";
  if (out.starts_with(kPrefix)) out.erase(0, kPrefix.size());
  return out;
}

}  // namespace

std::span<const PublishedShape> PublishedShapes() { return Shapes(); }

Result<PublishedShape> FindShape(std::string_view name) {
  const std::string plain = Plain(name);
  for (const PublishedShape& s : Shapes()) {
    if (Plain(s.name) == plain || Plain(s.title) == plain) return s;
  }
  for (const std::string_view later : kLater) {
    if (later != plain) continue;
    return FailField(ErrorCode::kUnsupportedModel, "shape",
                     "'{}' is a published shape, but its architecture (sparse or compressed "
                     "attention) is not supported; up to V3.1 they are",
                     name);
  }
  std::string_view nearest;
  size_t best = std::min<size_t>(4, plain.size() / 2 + 1);  // farther is no slip of the pen
  std::string all;
  for (const PublishedShape& s : Shapes()) {
    all += (all.empty() ? "" : ", ") + std::string(s.name);
    const size_t distance = EditDistance(plain, Plain(s.name));
    if (distance < best) best = distance, nearest = s.name;
  }
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
  return FailField(ErrorCode::kInvalidArgument, "shape", "there is no shape '{}'{} There are {}",
                   name.substr(0, 100), hint.empty() ? ";" : hint, all);
}

}  // namespace hadal
