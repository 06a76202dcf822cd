// Makes corpus/gguf: `gguf_seeds DIRECTORY` writes the same small files every time. Each has what
// the reader looks at somewhere: all value types, all tensor types, each architecture,
// vocabularies, and files that must be refused.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "formats/testing_gguf.h"
#include "quant/quant_type.h"

namespace {

using hadal::GgufBytes;
using hadal::GgufText;
using hadal::LittleEndian;

std::string Bytes(float v) { return LittleEndian(v); }
std::string Bytes(uint32_t v) { return LittleEndian(v); }

// Adds tensors one behind the other, with ones as data.
class Tensors {
 public:
  explicit Tensors(GgufBytes* file) : file_(file) {}
  // Vectors as F32, all others as F16.
  Tensors& Add(const std::string& name, const std::vector<uint64_t>& ne) {
    const uint32_t type = ne.size() == 1 ? 0 : 1;
    uint64_t bytes = type == 0 ? 4 : 2;
    for (uint64_t n : ne) bytes *= n;
    return Add(name, ne, type, bytes);
  }
  Tensors& Add(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type,
               uint64_t bytes) {
    file_->Tensor(name, ne, type, file_->data.size());
    const uint64_t padded = (bytes + file_->alignment - 1) / file_->alignment * file_->alignment;
    for (uint64_t i = 0; i < padded; i += 4) file_->Data(LittleEndian(1.0f));
    return *this;
  }

 private:
  GgufBytes* file_;
};

GgufBytes Values() {
  GgufBytes f;
  f.Pair("u8", 0, "\x01").Pair("i8", 1, "\xff").Pair("u16", 2, "ab").Pair("i16", 3, "ab");
  f.U32("u32", 7).Pair("i32", 5, "abcd").Pair("f32", 6, Bytes(1.0f)).Pair("bool", 7, "\x01");
  f.Text("text", "deep").Pair("u64", 10, LittleEndian<uint64_t>(9));
  f.Pair("i64", 11, LittleEndian<int64_t>(-9)).Pair("f64", 12, LittleEndian(0.5));
  f.Array("u8s", 0, 3, "abc").Array("i32s", 5, 2, "abcdefgh").Array("f32s", 6, 1, Bytes(2.0f));
  f.Array("bools", 7, 2, std::string("\0\1", 2)).Array("u64s", 10, 1, "abcdefg\x01");
  f.Array("texts", 8, 2, GgufText("a") + GgufText("")).Array("none", 8, 0, "");
  return f;
}

GgufBytes EveryTensorType() {
  GgufBytes f;
  Tensors tensors(&f);
  for (uint32_t id = 0; id < 64; ++id) {
    const auto type = hadal::TensorTypeOfGguf(id);
    if (!type) continue;
    const bool blocks = std::holds_alternative<hadal::QuantType>(*type);
    const int64_t columns = !blocks ? 3 : hadal::BytesOf(*type, 1, 32) < 0 ? 256 : 32;
    tensors.Add(fmt::format("t{}", id), {static_cast<uint64_t>(columns), 1}, id,
                static_cast<uint64_t>(hadal::BytesOf(*type, 1, columns)));
  }
  return f;
}

GgufBytes Aligned() {
  GgufBytes f;
  f.alignment = 64;
  f.U32("general.alignment", 64).Tensor("b", {4, 1, 2}, 0, 64).Tensor("a", {3}, 0, 0);
  return f.Data(std::string(96, '\0'));
}

GgufBytes SplitPart() {
  GgufBytes f;
  f.Pair("split.no", 2, std::string(2, '\0')).Pair("split.count", 2, std::string("\2\0", 2));
  return f.Pair("split.tensors.count", 5, Bytes(1u));
}

// Of a model with 8 columns and 2 heads of 4.
GgufBytes Keys(const std::string& arch, uint32_t layers) {
  GgufBytes f;
  f.alignment = 8;
  f.U32("general.alignment", 8).Text("general.architecture", arch);
  const auto u32 = [&](const char* key, uint32_t v) { f.U32(arch + "." + key, v); };
  u32("block_count", layers);
  u32("context_length", 64);
  u32("embedding_length", 8);
  u32("feed_forward_length", 16);
  u32("attention.head_count", 2);
  u32("attention.head_count_kv", 2);
  u32("rope.dimension_count", 4);
  u32("vocab_size", 4);
  f.Pair(arch + ".rope.freq_base", 6, Bytes(10000.0f));
  f.Pair(arch + ".attention.layer_norm_rms_epsilon", 6, Bytes(1e-6f));
  return f;
}

void DenseTensors(Tensors* t, const std::string& blk) {
  t->Add("token_embd.weight", {8, 4}).Add("output_norm.weight", {8});
  t->Add(blk + "attn_norm.weight", {8}).Add(blk + "ffn_norm.weight", {8});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    t->Add(blk + name + ".weight", {8, 8});
  }
  t->Add(blk + "ffn_gate.weight", {8, 16}).Add(blk + "ffn_up.weight", {8, 16});
  t->Add(blk + "ffn_down.weight", {16, 8});
}

GgufBytes Llama() {
  GgufBytes f = Keys("llama", 1);
  Tensors t(&f);
  DenseTensors(&t, "blk.0.");
  t.Add("output.weight", {8, 4}).Add("rope_freqs.weight", {2});
  return f;
}

GgufBytes Qwen2() {
  GgufBytes f = Keys("qwen2", 1);
  Tensors t(&f);
  DenseTensors(&t, "blk.0.");
  for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
    t.Add(fmt::format("blk.0.{}.bias", name), {8});
  }
  return f;
}

GgufBytes Qwen3() {
  GgufBytes f = Keys("qwen3", 1);
  f.U32("qwen3.attention.key_length", 4).U32("qwen3.attention.value_length", 4);
  f.Text("qwen3.rope.scaling.type", "yarn").Pair("qwen3.rope.scaling.factor", 6, Bytes(4.0f));
  f.U32("qwen3.rope.scaling.original_context_length", 16);
  f.Pair("qwen3.rope.scaling.attn_factor", 6, Bytes(0.87f));
  Tensors t(&f);
  DenseTensors(&t, "blk.0.");
  t.Add("blk.0.attn_q_norm.weight", {4}).Add("blk.0.attn_k_norm.weight", {4});
  return f;
}

void ExpertKeys(GgufBytes* f, const std::string& arch, uint32_t shared = 1) {
  f->U32(arch + ".expert_count", 2).U32(arch + ".expert_used_count", 1);
  f->U32(arch + ".expert_shared_count", shared).U32(arch + ".expert_feed_forward_length", 4);
  f->U32(arch + ".leading_dense_block_count", 0);
  f->Pair(arch + ".expert_weights_scale", 6, Bytes(1.0f));
}

void ExpertTensors(Tensors* t, bool shared = true) {
  t->Add("blk.0.ffn_gate_inp.weight", {8, 2});
  for (const char* name : {"ffn_gate", "ffn_up"}) {
    t->Add(fmt::format("blk.0.{}_exps.weight", name), {8, 4, 2});
    if (shared) t->Add(fmt::format("blk.0.{}_shexp.weight", name), {8, 4});
  }
  t->Add("blk.0.ffn_down_exps.weight", {4, 8, 2});
  if (shared) t->Add("blk.0.ffn_down_shexp.weight", {4, 8});
}

GgufBytes Deepseek() {
  GgufBytes f = Keys("deepseek", 1);
  ExpertKeys(&f, "deepseek");
  Tensors t(&f);
  t.Add("token_embd.weight", {8, 4}).Add("output_norm.weight", {8}).Add("output.weight", {8, 4});
  t.Add("blk.0.attn_norm.weight", {8}).Add("blk.0.ffn_norm.weight", {8});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    t.Add(fmt::format("blk.0.{}.weight", name), {8, 8});
  }
  ExpertTensors(&t);
  return f;
}

// latent 8, rope 4, nope 4, values of 4
GgufBytes Deepseek2(bool legacy) {
  GgufBytes f = Keys("deepseek2", 1);
  ExpertKeys(&f, "deepseek2", legacy ? 1 : 0);
  f.U32("deepseek2.attention.kv_lora_rank", 8);
  f.U32("deepseek2.attention.key_length", legacy ? 8 : 12);
  f.U32("deepseek2.attention.value_length", legacy ? 4 : 8);
  if (!legacy) {
    f.U32("deepseek2.attention.key_length_mla", 8).U32("deepseek2.attention.value_length_mla", 4);
    f.U32("deepseek2.attention.q_lora_rank", 4).U32("deepseek2.expert_gating_func", 2);
    f.U32("deepseek2.expert_group_count", 1).U32("deepseek2.expert_group_used_count", 1);
    f.Pair("deepseek2.expert_weights_norm", 7, "\x01");
  }
  f.Text("deepseek2.rope.scaling.type", "yarn");
  f.Pair("deepseek2.rope.scaling.factor", 6, Bytes(40.0f));
  f.Pair("deepseek2.rope.scaling.yarn_log_multiplier", 6, Bytes(0.0707f));
  f.U32("deepseek2.rope.scaling.original_context_length", 16);
  Tensors t(&f);
  t.Add("token_embd.weight", {8, 4}).Add("output_norm.weight", {8}).Add("output.weight", {8, 4});
  t.Add("blk.0.attn_norm.weight", {8}).Add("blk.0.ffn_norm.weight", {8});
  t.Add("blk.0.attn_kv_a_mqa.weight", {8, 12}).Add("blk.0.attn_kv_a_norm.weight", {8});
  if (legacy) {
    t.Add("blk.0.attn_q.weight", {8, 16}).Add("blk.0.attn_kv_b.weight", {8, 16});
  } else {
    t.Add("blk.0.attn_q_a.weight", {8, 4}).Add("blk.0.attn_q_a_norm.weight", {4});
    t.Add("blk.0.attn_q_b.weight", {4, 16}).Add("blk.0.exp_probs_b.bias", {2});
    t.Add("blk.0.attn_k_b.weight", {4, 8, 2});
    t.Add("blk.0.attn_v_b.weight", {8, 4, 2});
  }
  t.Add("blk.0.attn_output.weight", {8, 8});
  ExpertTensors(&t, legacy);
  return f;
}

GgufBytes Vocabulary(const char* pre) {
  GgufBytes f = Keys("llama", 1);
  f.Text("tokenizer.ggml.model", "gpt2").Text("tokenizer.ggml.pre", pre);
  std::string tokens, types;
  uint32_t count = 0;
  for (const char* token : {"a", "b", "Ġ", "ab", "Ġab", "<｜begin▁of▁sentence｜>", "<eos>"}) {
    tokens += GgufText(token);
    types += Bytes(count++ >= 5 ? 3u : 1u);
  }
  f.Array("tokenizer.ggml.tokens", 8, count, tokens);
  f.Array("tokenizer.ggml.token_type", 5, count, types);
  f.Array("tokenizer.ggml.merges", 8, 2, GgufText("a b") + GgufText("Ġ ab"));
  f.U32("tokenizer.ggml.bos_token_id", 5).U32("tokenizer.ggml.eos_token_id", 6);
  f.Pair("tokenizer.ggml.add_bos_token", 7, "\x01");
  return f.Text("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}");
}

GgufBytes Version(uint32_t version) {
  GgufBytes f = Aligned();
  f.version = version;
  return f;
}

GgufBytes Refused() {
  GgufBytes f;
  f.Tensor("a", {uint64_t{1} << 62, 8}, 12, ~uint64_t{31}).Tensor("b", {256}, 19, 0);
  return f.Data(std::string(64, 'x'));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path directory = argv[1];
  const auto write = [&](const char* name, const GgufBytes& file) {
    std::ofstream(directory / name, std::ios::binary) << file.Build();
  };
  write("values", Values());
  write("tensor_types", EveryTensorType());
  write("aligned", Aligned());
  write("split", SplitPart());
  write("llama", Llama());
  write("qwen2", Qwen2());
  write("qwen3", Qwen3());
  write("deepseek", Deepseek());
  write("deepseek2_legacy", Deepseek2(true));
  write("deepseek2", Deepseek2(false));
  write("vocabulary_llm", Vocabulary("deepseek-llm"));
  write("vocabulary_qwen2", Vocabulary("qwen2"));
  write("version1", Version(1));
  write("version2", Version(2));
  write("big_endian", Version(0x03000000));
  write("refused", Refused());
  return 0;
}
