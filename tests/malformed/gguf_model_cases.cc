// GGUF files that are whole as containers and senseless as models.
#include <fmt/format.h>

#include <cmath>

#include "malformed_case.h"
#include "tiny_gguf.h"

namespace hadal::malformed {
namespace {

constexpr uint32_t kI32 = 5, kF32 = 6, kString = 8, kArray = 9, kU64 = 10, kF64 = 12;

Case Of(const std::string& name, GgufDraft d, Must must = Must::kBeRefused) {
  return {"gguf model: " + name, Reader::kModel, must, "x.gguf",
          [d = std::move(d)] { return Files{{"x.gguf", d.Build()}}; }};
}

struct Value {
  const char* what;
  uint32_t type;
  std::string bytes;
};

std::vector<Value> BadIntegers() {
  return {{"0", 4, LittleEndian<uint32_t>(0)},
          {"-1", kI32, LittleEndian(-1)},
          {"2^31", 4, LittleEndian(1u << 31)},
          {"2^32 - 1", 4, LittleEndian(0xffffffffu)},
          {"2^62", kU64, LittleEndian(uint64_t{1} << 62)},
          {"a text", kString, GgufText("2")},
          {"1.5", kF32, LittleEndian(1.5f)},
          {"NaN", kF64, LittleEndian(std::nan(""))},
          {"an array", kArray,
           LittleEndian<uint32_t>(4) + LittleEndian<uint64_t>(2) + LittleEndian(2u) +
               LittleEndian(3u)}};
}

std::vector<Value> BadReals() {
  return {{"-1", kF32, LittleEndian(-1.0f)},
          {"NaN", kF32, LittleEndian(std::nanf(""))},
          {"infinity", kF32, LittleEndian(INFINITY)},
          {"1e300", kF64, LittleEndian(1e300)},
          {"a text", kString, GgufText("1e-6")}};
}

void AddKeys(Cases* all, const GgufDraft& right, const std::string& arch,
             const std::vector<const char*>& keys, const std::vector<Value>& values) {
  for (const char* key : keys) {
    for (const Value& v : values) {
      GgufDraft d = right;
      d.Set(arch + "." + key, v.type, v.bytes);
      all->push_back(Of(fmt::format("{}.{} {}", arch, key, v.what), std::move(d)));
    }
  }
}

void AddMissingKeys(Cases* all, const GgufDraft& right, const std::vector<const char*>& keys) {
  const std::string arch = right.pairs[0].value.substr(8);
  for (const char* key : keys) {
    GgufDraft d = right;
    std::erase_if(d.pairs, [&](const auto& p) { return p.key == arch + "." + key; });
    all->push_back(Of(fmt::format("without {}.{}", arch, key), std::move(d)));
  }
}

// Every tensor once gone, once of another shape, once holding what no weight may.
void AddTensors(Cases* all, const GgufDraft& right, const std::string& arch) {
  for (size_t i = 0; i < right.tensors.size(); ++i) {
    const std::string& name = right.tensors[i].name;
    GgufDraft gone = right, longer = right, nan = right;
    gone.tensors.erase(gone.tensors.begin() + static_cast<std::ptrdiff_t>(i));
    longer.tensors[i].ne.back() += 1;
    longer.tensors[i].data.resize(longer.tensors[i].data.size() * 2);
    nan.tensors[i].data.replace(8, 4, LittleEndian(std::nanf("")));
    // Without an output matrix the embedding is used; without the bias V3 routes otherwise.
    const bool optional = name == "output.weight" || name == "blk.1.exp_probs_b.bias";
    all->push_back(Of(fmt::format("{} without {}", arch, name), std::move(gone),
                      optional ? Must::kNotCrash : Must::kBeRefused));
    all->push_back(Of(fmt::format("{} with {} longer", arch, name), std::move(longer)));
    all->push_back(Of(fmt::format("{} with NaN in {}", arch, name), std::move(nan)));
  }
}

void AddContradictions(Cases* all) {
  const auto dense = [&](const char* key, uint32_t v) {
    all->push_back(Of(fmt::format("llama.{} {} against the tensors", key, v),
                      TinyDenseGguf().U32(std::string("llama.") + key, v)));
  };
  dense("block_count", 1);
  dense("block_count", 3);
  dense("block_count", 1000);
  dense("embedding_length", 32);
  dense("feed_forward_length", 21);
  dense("attention.head_count", 5);
  dense("attention.head_count_kv", 3);
  dense("attention.head_count_kv", 8);
  dense("attention.key_length", 7);
  dense("attention.key_length", 16);
  dense("rope.dimension_count", 4);
  dense("expert_count", 4);
  const auto latent = [&](const char* key, uint32_t v) {
    all->push_back(Of(fmt::format("deepseek2.{} {} against the tensors", key, v),
                      TinyLatentGguf().U32(std::string("deepseek2.") + key, v)));
  };
  latent("expert_used_count", 7);
  latent("expert_count", 5);
  latent("expert_count", 256);
  latent("expert_group_count", 4);
  latent("expert_group_used_count", 3);
  latent("expert_gating_func", 9);
  latent("leading_dense_block_count", 3);
  latent("attention.key_length", 4);
  latent("rope.dimension_count", 3);
  latent("attention.q_lora_rank", 8);
  for (const char* arch : {"", "gpt2", "LLAMA", "deepseek3", "mamba", "../llama"}) {
    all->push_back(Of(fmt::format("architecture {:?}", arch),
                      TinyDenseGguf().Text("general.architecture", arch)));
  }
  GgufDraft number = TinyDenseGguf(), none = TinyDenseGguf();
  number.U32("general.architecture", 1);
  none.pairs.erase(none.pairs.begin());
  all->push_back(Of("architecture a number", number));
  all->push_back(Of("without an architecture", none));
  GgufDraft twice = TinyDenseGguf(), empty = TinyDenseGguf(), extra = TinyDenseGguf();
  twice.tensors.push_back(twice.tensors[0]);
  empty.tensors.clear();
  extra.tensors.push_back({"blk.7.attn_q.weight", {8}, 0, std::string(32, '\0')});
  all->push_back(Of("a tensor twice", twice));
  all->push_back(Of("no tensors", empty));
  all->push_back(Of("a tensor of a layer that is not there", extra));
}

// f16 scales that are no numbers, in blocks.
void AddBlocks(Cases* all) {
  for (const uint16_t bits : {0x7e00, 0x7c00, 0xfc00, 0xffff}) {
    GgufDraft d = TinyDenseGguf();
    for (auto& t : d.tensors) {
      if (t.name != "blk.0.attn_output.weight") continue;  // rows of 32
      t.type = 8;
      t.data = std::string(24 * 34, '\1');
      t.data.replace(5 * 34, 2, LittleEndian(bits));
    }
    all->push_back(Of(fmt::format("q8_0 with the scale {:#06x}", bits), std::move(d)));
  }
}

}  // namespace

Cases GgufModelCases() {
  Cases all;
  const GgufDraft dense = TinyDenseGguf(), latent = TinyLatentGguf();
  AddKeys(&all, dense, "llama",
          {"block_count", "embedding_length", "context_length", "feed_forward_length",
           "attention.head_count", "attention.head_count_kv", "attention.key_length"},
          BadIntegers());
  AddKeys(&all, latent, "deepseek2",
          {"attention.kv_lora_rank", "attention.key_length", "attention.value_length",
           "rope.dimension_count", "expert_count", "expert_used_count",
           "expert_feed_forward_length", "leading_dense_block_count"},
          BadIntegers());
  AddKeys(&all, dense, "llama", {"attention.layer_norm_rms_epsilon", "rope.freq_base"}, BadReals());
  AddKeys(&all, latent, "deepseek2", {"expert_weights_scale"}, BadReals());
  AddMissingKeys(&all, dense,
                 {"block_count", "embedding_length", "context_length", "feed_forward_length",
                  "attention.head_count", "attention.head_count_kv", "attention.key_length",
                  "attention.layer_norm_rms_epsilon"});
  AddMissingKeys(
      &all, latent,
      {"attention.kv_lora_rank", "attention.key_length", "attention.value_length",
       "rope.dimension_count", "expert_count", "expert_used_count", "expert_feed_forward_length"});
  AddTensors(&all, dense, "llama");
  AddTensors(&all, latent, "deepseek2");
  AddContradictions(&all);
  AddBlocks(&all);
  return all;
}

}  // namespace hadal::malformed
