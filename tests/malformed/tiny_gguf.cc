#include "tiny_gguf.h"

#include <fmt/format.h>

#include "tokenizer/byte_level.h"

namespace hadal::malformed {
namespace {

constexpr uint32_t kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9;

// F32, values in (-0.25, 0.25), norms around 1.
void Add(GgufDraft& d, const std::string& name, const std::vector<uint64_t>& ne) {
  uint64_t n = 1, state = d.tensors.size() + 1;
  for (const uint64_t v : ne) n *= v;
  const float base = name.find("norm") != std::string::npos ? 1.0f : 0.0f;
  std::string data;
  for (uint64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    data += LittleEndian(base + static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-33f);
  }
  d.tensors.push_back({name, ne, 0, std::move(data)});
}

void AddVocabulary(GgufDraft& d) {
  std::string types = LittleEndian(kI32) + LittleEndian<uint64_t>(kTinyVocabulary);
  for (uint32_t i = 0; i < kTinyVocabulary; ++i) types += LittleEndian(i < 258 ? 1 : 3);
  d.Text("tokenizer.ggml.model", "gpt2").Text("tokenizer.ggml.pre", "llama-bpe");
  d.Set("tokenizer.ggml.tokens", kArray, TextArray(TinyTokens()));
  d.Set("tokenizer.ggml.token_type", kArray, types);
  d.Set("tokenizer.ggml.merges", kArray, TextArray({"a b", "ab c"}));
  d.U32("tokenizer.ggml.bos_token_id", 258).U32("tokenizer.ggml.eos_token_id", 259);
  d.Set("tokenizer.ggml.add_bos_token", kBool, std::string(1, '\1'));
}

GgufDraft Model(const std::string& arch) {
  GgufDraft d;
  d.Text("general.architecture", arch).Text("general.name", "tiny");
  const auto key = [&](const char* name) { return arch + "." + name; };
  d.U32(key("block_count"), 2).U32(key("context_length"), 64).U32(key("embedding_length"), 24);
  d.U32(key("feed_forward_length"), 20);
  d.Set(key("attention.layer_norm_rms_epsilon"), kF32, LittleEndian(1e-6f));
  d.Set(key("rope.freq_base"), kF32, LittleEndian(10000.0f));
  AddVocabulary(d);
  Add(d, "token_embd.weight", {24, kTinyVocabulary});
  Add(d, "output_norm.weight", {24});
  Add(d, "output.weight", {24, kTinyVocabulary});
  return d;
}

void AddFfn(GgufDraft& d, const std::string& prefix, const std::string& suffix, uint64_t size) {
  Add(d, prefix + "ffn_gate" + suffix, {24, size});
  Add(d, prefix + "ffn_up" + suffix, {24, size});
  Add(d, prefix + "ffn_down" + suffix, {size, 24});
}

}  // namespace

std::string TextArray(const std::vector<std::string>& texts) {
  std::string out = LittleEndian(kString) + LittleEndian<uint64_t>(texts.size());
  for (const std::string& text : texts) out += GgufText(text);
  return out;
}

std::vector<std::string> TinyTokens() {
  std::vector<std::string> out;
  for (int byte = 0; byte < 256; ++byte) {
    out.push_back(std::string(ByteLevelChar(static_cast<uint8_t>(byte))));
  }
  for (const char* text : {"ab", "abc", "<s>", "</s>"}) out.push_back(text);
  return out;
}

GgufDraft TinyDenseGguf() {
  GgufDraft d = Model("llama");
  d.U32("llama.attention.head_count", 4).U32("llama.attention.head_count_kv", 2);
  d.U32("llama.attention.key_length", 8).U32("llama.attention.value_length", 8);
  d.U32("llama.rope.dimension_count", 8);
  for (int i = 0; i < 2; ++i) {
    const std::string p = fmt::format("blk.{}.", i);
    Add(d, p + "attn_norm.weight", {24});
    Add(d, p + "ffn_norm.weight", {24});
    Add(d, p + "attn_q.weight", {24, 32});
    Add(d, p + "attn_k.weight", {24, 16});
    Add(d, p + "attn_v.weight", {24, 16});
    Add(d, p + "attn_output.weight", {32, 24});
    AddFfn(d, p, ".weight", 20);
  }
  return d;
}

GgufDraft TinyLatentGguf() {
  GgufDraft d = Model("deepseek2");
  const auto set = [&](const char* key, uint32_t v) { d.U32(std::string("deepseek2.") + key, v); };
  set("attention.head_count", 3);
  set("attention.head_count_kv", 3);
  set("attention.kv_lora_rank", 7);
  set("attention.key_length", 10);
  set("attention.value_length", 5);
  set("rope.dimension_count", 4);
  set("expert_count", 6);
  set("expert_used_count", 2);
  set("expert_shared_count", 1);
  set("expert_feed_forward_length", 10);
  set("leading_dense_block_count", 1);
  set("expert_gating_func", 2);
  set("expert_group_count", 2);
  set("expert_group_used_count", 1);
  d.Set("deepseek2.expert_weights_scale", kF32, LittleEndian(2.5f));
  d.Set("deepseek2.expert_weights_norm", kBool, std::string(1, '\1'));
  for (int i = 0; i < 2; ++i) {
    const std::string p = fmt::format("blk.{}.", i);
    Add(d, p + "attn_norm.weight", {24});
    Add(d, p + "ffn_norm.weight", {24});
    Add(d, p + "attn_q.weight", {24, 30});
    Add(d, p + "attn_kv_a_mqa.weight", {24, 11});
    Add(d, p + "attn_kv_a_norm.weight", {7});
    Add(d, p + "attn_kv_b.weight", {7, 33});
    Add(d, p + "attn_output.weight", {15, 24});
  }
  AddFfn(d, "blk.0.", ".weight", 20);
  AddFfn(d, "blk.1.", "_shexp.weight", 10);
  Add(d, "blk.1.ffn_gate_inp.weight", {24, 6});
  Add(d, "blk.1.exp_probs_b.bias", {6});
  Add(d, "blk.1.ffn_gate_exps.weight", {24, 10, 6});
  Add(d, "blk.1.ffn_up_exps.weight", {24, 10, 6});
  Add(d, "blk.1.ffn_down_exps.weight", {10, 24, 6});
  return d;
}

}  // namespace hadal::malformed
