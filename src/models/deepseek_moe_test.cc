// DeepSeekMoE against a forward pass in double precision, written as plain loops from the paper
// (arXiv 2401.06066, equations 9-11; attention and rope of Llama).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/cpu_info.h"
#include "models/testing_gguf_model.h"
#include "models/testing_model.h"

namespace hadal {
namespace {

constexpr int kHidden = 32, kHeads = 4, kKvHeads = 2, kHead = 8, kVocab = 41, kLayers = 3;
constexpr int kDense = 28, kExpert = 12, kExperts = 6, kTop = 3, kShared = 2;
constexpr double kEps = 1e-6, kTheta = 10000;

TinyCheckpoint TinyMoe(bool normalise) {
  TinyCheckpoint t;
  t.config = fmt::format(
      R"({{"model_type": "deepseek", "vocab_size": {}, "hidden_size": {}, "intermediate_size": {},
      "moe_intermediate_size": {}, "num_hidden_layers": {}, "num_attention_heads": {},
      "num_key_value_heads": {}, "n_routed_experts": {}, "n_shared_experts": {},
      "num_experts_per_tok": {}, "first_k_dense_replace": 1, "moe_layer_freq": 1,
      "norm_topk_prob": {}, "scoring_func": "softmax", "max_position_embeddings": 64,
      "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu"}})",
      kVocab, kHidden, kDense, kExpert, kLayers, kHeads, kKvHeads, kExperts, kShared, kTop,
      normalise);
  const auto ffn = [&](const std::string& p, int n) {
    t.Add(p + "gate_proj.weight", {n, kHidden});
    t.Add(p + "up_proj.weight", {n, kHidden});
    t.Add(p + "down_proj.weight", {kHidden, n});
  };
  t.Add("model.embed_tokens.weight", {kVocab, kHidden});
  t.Add("model.norm.weight", {kHidden});
  t.Add("lm_head.weight", {kVocab, kHidden});
  for (int l = 0; l < kLayers; ++l) {
    const std::string p = fmt::format("model.layers.{}.", l);
    t.Add(p + "input_layernorm.weight", {kHidden});
    t.Add(p + "post_attention_layernorm.weight", {kHidden});
    t.Add(p + "self_attn.q_proj.weight", {kHeads * kHead, kHidden});
    t.Add(p + "self_attn.k_proj.weight", {kKvHeads * kHead, kHidden});
    t.Add(p + "self_attn.v_proj.weight", {kKvHeads * kHead, kHidden});
    t.Add(p + "self_attn.o_proj.weight", {kHidden, kHeads * kHead});
    if (l == 0) {
      ffn(p + "mlp.", kDense);
      continue;
    }
    t.Add(p + "mlp.gate.weight", {kExperts, kHidden});
    ffn(p + "mlp.shared_experts.", kShared * kExpert);
    for (int e = 0; e < kExperts; ++e) ffn(fmt::format("{}mlp.experts.{}.", p, e), kExpert);
  }
  return t;
}

using Row = std::vector<double>;

class PlainForward {
 public:
  PlainForward(const TinyCheckpoint& t, bool normalise) : t_(t), normalise_(normalise) {}

  std::vector<float> Logits(const std::vector<TokenId>& ids) {
    std::vector<Row> x;
    for (const TokenId id : ids) {
      const auto& table = t_.tensors.at("model.embed_tokens.weight").values;
      x.emplace_back(table.begin() + id * kHidden, table.begin() + (id + 1) * kHidden);
    }
    for (int l = 0; l < kLayers; ++l) Layer(fmt::format("model.layers.{}.", l), l, x);
    std::vector<float> out;
    for (const Row& row : x) {
      for (const double v : Times("lm_head", Norm("model.norm", row))) {
        out.push_back(static_cast<float>(v));
      }
    }
    return out;
  }

 private:
  Row Times(const std::string& name, const Row& x) const {
    const auto& w = t_.tensors.at(name + ".weight");
    Row y(static_cast<size_t>(w.shape[0]), 0.0);
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t c = 0; c < x.size(); ++c) y[r] += double{w.values[r * x.size() + c]} * x[c];
    }
    return y;
  }
  Row Norm(const std::string& name, const Row& x) const {
    double sum = 0;
    for (const double v : x) sum += v * v;
    const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + kEps);
    Row y;
    for (size_t i = 0; i < x.size(); ++i) {
      y.push_back(x[i] * scale * double{t_.tensors.at(name + ".weight").values[i]});
    }
    return y;
  }
  Row Ffn(const std::string& p, const Row& x) const {
    Row gate = Times(p + "gate_proj", x);
    const Row up = Times(p + "up_proj", x);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    return Times(p + "down_proj", gate);
  }
  // Dimension i of a head turns with i + kHead / 2.
  static void Turn(Row& x, size_t position) {
    for (size_t h = 0; h < x.size(); h += kHead) {
      for (size_t i = 0; i < kHead / 2; ++i) {
        const double angle =
            static_cast<double>(position) * std::pow(kTheta, -2.0 * static_cast<double>(i) / kHead);
        const double a = x[h + i], b = x[h + i + kHead / 2];
        x[h + i] = a * std::cos(angle) - b * std::sin(angle);
        x[h + i + kHead / 2] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }
  Row Attend(size_t t, const Row& q, const std::vector<Row>& k, const std::vector<Row>& v) const {
    Row out(kHeads * kHead, 0.0);
    for (size_t h = 0; h < kHeads; ++h) {
      const size_t kv = h / (kHeads / kKvHeads) * kHead;
      Row p;
      double sum = 0;
      for (size_t s = 0; s <= t; ++s) {
        double dot = 0;
        for (size_t i = 0; i < kHead; ++i) dot += q[h * kHead + i] * k[s][kv + i];
        p.push_back(std::exp(dot / std::sqrt(double{kHead})));
        sum += p.back();
      }
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < kHead; ++i) out[h * kHead + i] += p[s] / sum * v[s][kv + i];
      }
    }
    return out;
  }
  Row Mix(const std::string& p, const Row& x) const {
    Row s = Times(p + "gate", x);
    double sum = 0;
    for (double& v : s) sum += v = std::exp(v);
    for (double& v : s) v /= sum;
    std::vector<size_t> order(s.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return s[a] > s[b]; });
    double chosen = 0;
    for (int i = 0; i < kTop; ++i) chosen += s[order[static_cast<size_t>(i)]];
    Row out = Ffn(p + "shared_experts.", x);
    for (int i = 0; i < kTop; ++i) {
      const size_t e = order[static_cast<size_t>(i)];
      const Row y = Ffn(fmt::format("{}experts.{}.", p, e), x);
      for (size_t c = 0; c < out.size(); ++c) out[c] += s[e] / (normalise_ ? chosen : 1) * y[c];
    }
    return out;
  }
  void Layer(const std::string& p, int layer, std::vector<Row>& x) const {
    std::vector<Row> q, k, v;
    for (size_t t = 0; t < x.size(); ++t) {
      const Row h = Norm(p + "input_layernorm", x[t]);
      q.push_back(Times(p + "self_attn.q_proj", h));
      k.push_back(Times(p + "self_attn.k_proj", h));
      v.push_back(Times(p + "self_attn.v_proj", h));
      Turn(q.back(), t);
      Turn(k.back(), t);
    }
    for (size_t t = 0; t < x.size(); ++t) {
      Add(x[t], Times(p + "self_attn.o_proj", Attend(t, q[t], k, v)));
    }
    for (Row& row : x) {
      const Row h = Norm(p + "post_attention_layernorm", row);
      Add(row, layer == 0 ? Ffn(p + "mlp.", h) : Mix(p + "mlp.", h));
    }
  }
  static void Add(Row& x, const Row& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  const TinyCheckpoint& t_;
  const bool normalise_;
};

class DeepseekMoeTest : public testing::Test {
 protected:
  std::vector<float> Logits(const std::filesystem::path& path, Isa isa) {
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32, WeightFormat::kF32);
    auto model = LoadModel(path, *backend, {});
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return {};
    EXPECT_EQ((*model)->info().experts, kExperts);
    EXPECT_EQ((*model)->info().experts_per_token, kTop);
    return AllLogits(**model, *backend, kIds, 5);
  }

  const std::vector<TokenId> kIds = {1, 40, 7, 7, 23, 0, 12, 9, 30, 2, 17, 33, 8, 5};
  ModelDirectory directory_;
};

TEST_F(DeepseekMoeTest, LogitsAreThoseOfThePlainForward) {
  for (const bool normalise : {false, true}) {
    SCOPED_TRACE(normalise);
    const TinyCheckpoint t = TinyMoe(normalise);
    t.Write(directory_);
    const auto want = PlainForward(t, normalise).Logits(kIds);
    for (const Isa isa : SupportedIsas()) {
      SCOPED_TRACE(NameOf(isa));
      EXPECT_LE(MaxDifference(Logits(directory_.path(), isa), want), 2e-5f);
    }
    const auto other = PlainForward(t, !normalise).Logits(kIds);
    EXPECT_GT(MaxDifference(other, want), 1e-3f) << "the weights of the experts make no difference";
  }
}

TEST_F(DeepseekMoeTest, AsGgufToo) {
  const TinyCheckpoint t = TinyMoe(false);
  t.Write(directory_);
  const auto path = directory_.path() / "moe.gguf";
  WriteGguf(directory_.path(), path, DType::kF32);
  const auto want = PlainForward(t, false).Logits(kIds);
  EXPECT_LE(MaxDifference(Logits(path, Isa::kRef), want), 2e-5f);
  // Rows of q and k that are not in the file's order must not give them.
  WriteGguf(directory_.path(), directory_.path() / "wrong.gguf", DType::kF32,
            [](const ModelFiles& files, auto& plan, auto&) {
              for (GgufTensorPlan& tensor : plan) {
                if (!tensor.name.ends_with(".attn_q.weight")) continue;
                const TensorEntry* entry = files.checkpoint->Find(
                    fmt::format("model.layers.{}.self_attn.q_proj.weight", tensor.layer));
                tensor.decode = [entry](int64_t row0, int64_t n, float* out) {
                  DecodeRows(*entry, row0, n, out);
                };
              }
            });
  EXPECT_GT(MaxDifference(Logits(directory_.path() / "wrong.gguf", Isa::kRef), want), 1e-3f);
}

}  // namespace
}  // namespace hadal
