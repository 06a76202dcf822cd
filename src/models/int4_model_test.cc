// AWQ and GPTQ checkpoints, made by code of this test from the formats' descriptions, against the
// same models with the weights that their integers, zeros and scales are worth.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "base/cpu_info.h"
#include "formats/model_files.h"
#include "models/testing_model.h"
#include "quant/codec.h"

namespace hadal {
namespace {

using testing::HasSubstr;

constexpr int kIn = 64, kFfn = 96, kVocab = 37;

TinyCheckpoint TinyQwen2() {
  TinyCheckpoint t;
  t.config = R"({"model_type": "qwen2", "vocab_size": 37, "hidden_size": 64,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0})";
  t.Add("model.embed_tokens.weight", {kVocab, kIn});
  t.Add("model.norm.weight", {kIn});
  t.Add("lm_head.weight", {kVocab, kIn});
  for (int l = 0; l < 2; ++l) {
    const std::string p = fmt::format("model.layers.{}.", l);
    t.Add(p + "input_layernorm.weight", {kIn});
    t.Add(p + "post_attention_layernorm.weight", {kIn});
    for (const auto& [name, rows] : {std::pair{"q", 64}, {"k", 32}, {"v", 32}}) {
      t.Add(fmt::format("{}self_attn.{}_proj.weight", p, name), {rows, kIn});
      t.Add(fmt::format("{}self_attn.{}_proj.bias", p, name), {rows});
    }
    t.Add(p + "self_attn.o_proj.weight", {kIn, 64});
    t.Add(p + "mlp.gate_proj.weight", {kFfn, kIn});
    t.Add(p + "mlp.up_proj.weight", {kFfn, kIn});
    t.Add(p + "mlp.down_proj.weight", {kIn, kFfn});
  }
  return t;
}

enum class Format { kAwq, kGptq, kGptqV2, kGptqActOrder, kGptqBf16 };

struct Stored {
  std::string name;
  DType dtype;
  Shape shape;
  std::string bytes;
};

// Quantises and keeps what every weight is worth afterwards.
class Quantiser {
 public:
  Quantiser(Format format, int group) : format_(format), group_(group) {}

  void Add(const std::string& base, TinyCheckpoint::Values& w) {
    const int out = static_cast<int>(w.shape[0]), in = static_cast<int>(w.shape[1]);
    const int groups = in / group_;
    std::vector<int> index(static_cast<size_t>(in));  // group of each column
    for (int c = 0; c < in; ++c) {
      index[static_cast<size_t>(c)] =
          format_ == Format::kGptqActOrder ? (c * 5 + 3) % in / group_ : c / group_;
    }
    std::vector<uint16_t> scales(static_cast<size_t>(groups * out));
    std::vector<int> zeros(scales.size()), q(w.values.size());
    for (int r = 0; r < out; ++r) {
      for (int g = 0; g < groups; ++g)
        Fit(w, r, g, index, &scales[At(g, r, out)], &zeros[At(g, r, out)]);
      for (int c = 0; c < in; ++c) {
        const size_t at = At(index[static_cast<size_t>(c)], r, out);
        const float scale = ScaleValue(scales[at]);
        float& value = w.values[At(r, c, in)];
        const int n = static_cast<int>(std::lround(value / scale)) + zeros[at];
        q[At(r, c, in)] = std::clamp(n, 0, 15);
        value = static_cast<float>(q[At(r, c, in)] - zeros[at]) * scale;
      }
    }
    Pack(base, q, zeros, out, in);
    const DType dtype = format_ == Format::kGptqBf16 ? DType::kBf16 : DType::kF16;
    stored.push_back({base + ".scales", dtype, {groups, out}, Bytes(scales)});
    if (format_ != Format::kAwq) {
      stored.push_back({base + ".g_idx", DType::kI32, {in}, Bytes(index)});
    }
  }

  std::vector<Stored> stored;

 private:
  static size_t At(int row, int col, int cols) { return static_cast<size_t>(row * cols + col); }
  template <class T>
  static std::string Bytes(const std::vector<T>& v) {
    return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T));
  }
  float ScaleValue(uint16_t bits) const {
    return format_ == Format::kGptqBf16 ? Bf16ToFloat(bits) : F16ToFloat(bits);
  }
  void Fit(const TinyCheckpoint::Values& w, int r, int g, const std::vector<int>& index,
           uint16_t* scale, int* zero) const {
    float low = 0, high = 0;
    for (int c = 0; c < static_cast<int>(index.size()); ++c) {
      if (index[static_cast<size_t>(c)] != g) continue;
      const float v = w.values[At(r, c, static_cast<int>(index.size()))];
      low = std::min(low, v);
      high = std::max(high, v);
    }
    const float s = (high - low) / 15;
    *scale = format_ == Format::kGptqBf16 ? FloatToBf16(s) : FloatToF16(s);
    // The first GPTQ format cannot say zero 0.
    *zero = std::clamp(static_cast<int>(std::lround(-low / s)), 1, 15);
  }
  void Pack(const std::string& base, const std::vector<int>& q, const std::vector<int>& zeros,
            int out, int in) {
    const bool awq = format_ == Format::kAwq;
    // Nibble i of an AWQ word holds number kAwqOrder[i] of its eight.
    constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    const int groups = in / group_;
    std::vector<uint32_t> weights(static_cast<size_t>(in * out / 8)), packed_zeros;
    for (int r = 0; r < out; ++r) {
      for (int c = 0; c < in; ++c) {
        const auto value = static_cast<uint32_t>(q[At(r, c, in)]);
        if (!awq) {
          weights[At(c / 8, r, out)] |= value << (4 * (c % 8));
          continue;
        }
        for (int i = 0; i < 8; ++i) {
          if (kAwqOrder[i] == r % 8) weights[At(c, r / 8, out / 8)] |= value << (4 * i);
        }
      }
    }
    const int offset = format_ == Format::kAwq || format_ == Format::kGptqV2 ? 0 : 1;
    for (int g = 0; g < groups; ++g) {
      for (int word = 0; word < out / 8; ++word) {
        uint32_t v = 0;
        for (int i = 0; i < 8; ++i) {
          const int r = word * 8 + (awq ? kAwqOrder[i] : i);
          v |= static_cast<uint32_t>(zeros[At(g, r, out)] - offset) << (4 * i);
        }
        packed_zeros.push_back(v);
      }
    }
    const Shape shape = awq ? Shape{in, out / 8} : Shape{in / 8, out};
    stored.push_back({base + ".qweight", DType::kI32, shape, Bytes(weights)});
    stored.push_back({base + ".qzeros", DType::kI32, {groups, out / 8}, Bytes(packed_zeros)});
  }

  const Format format_;
  const int group_;
};

class Int4ModelTest : public testing::TestWithParam<Format> {
 protected:
  // Writes the 4-bit checkpoint and returns the float one of the same values.
  TinyCheckpoint Write(const ModelDirectory& directory, Format format) {
    TinyCheckpoint t = TinyQwen2();
    Quantiser quantiser(format, 32);
    std::vector<Stored> rest;
    for (auto& [name, w] : t.tensors) {
      if (name.find("_proj.weight") != std::string::npos) {
        quantiser.Add(name.substr(0, name.size() - 7), w);
      } else {
        rest.push_back({name,
                        DType::kF32,
                        w.shape,
                        {reinterpret_cast<const char*>(w.values.data()), w.values.size() * 4}});
      }
    }
    rest.insert(rest.end(), quantiser.stored.begin(), quantiser.stored.end());
    std::vector<TensorToWrite> tensors;
    for (const Stored& s : rest) {
      tensors.push_back({s.name,
                         s.dtype,
                         s.shape,
                         {reinterpret_cast<const std::byte*>(s.bytes.data()), s.bytes.size()}});
    }
    const Status written = WriteSafetensors(directory.checkpoint(), tensors);
    EXPECT_TRUE(written.has_value()) << written.error().message;
    nlohmann::json config = nlohmann::json::parse(t.config);
    if (format == Format::kAwq) {
      config["quantization_config"] = {{"quant_method", "awq"},
                                       {"bits", 4},
                                       {"group_size", 32},
                                       {"zero_point", true},
                                       {"version", "gemm"}};
    } else {
      config["quantization_config"] = {
          {"quant_method", "gptq"},
          {"bits", 4},
          {"group_size", 32},
          {"sym", false},
          {"desc_act", format == Format::kGptqActOrder},
          {"checkpoint_format", format == Format::kGptqV2 ? "gptq_v2" : "gptq"}};
    }
    std::ofstream(directory.path() / "config.json") << config;
    return t;
  }
  std::vector<float> Logits(const ModelDirectory& directory, Isa isa) {
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32, WeightFormat::kF32);
    auto model = LoadModel(directory.path(), *backend, {});
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return {};
    return AllLogits(**model, *backend, {1, 7, 36, 0, 12, 9, 9, 30, 2}, 4);
  }
};

TEST_P(Int4ModelTest, LogitsAreThoseOfTheDequantisedModel) {
  const ModelDirectory int4, floats;
  const TinyCheckpoint dequantised = Write(int4, GetParam());
  dequantised.Write(floats);
  for (const Isa isa : SupportedIsas()) {
    SCOPED_TRACE(NameOf(isa));
    // Only the reference multiplies both in the same order of operations.
    const float tolerance = isa == Isa::kRef ? 1e-5f : 2e-2f;
    EXPECT_LE(MaxDifference(Logits(int4, isa), Logits(floats, isa)), tolerance);
  }
  EXPECT_GT(MaxDifference(Logits(int4, Isa::kRef),
                          [&] {
                            TinyQwen2().Write(floats);
                            return Logits(floats, Isa::kRef);
                          }()),
            1e-3f)
      << "4 bits lose nothing: were they read at all?";
}

INSTANTIATE_TEST_SUITE_P(Formats, Int4ModelTest,
                         testing::Values(Format::kAwq, Format::kGptq, Format::kGptqV2,
                                         Format::kGptqActOrder, Format::kGptqBf16));

class Int4FileTest : public Int4ModelTest {};

TEST_F(Int4FileTest, MatricesKeepFourBitsUnlessTheirColumnsAreReordered) {
  for (const Format format : {Format::kAwq, Format::kGptq, Format::kGptqActOrder}) {
    const ModelDirectory directory;
    Write(directory, format);
    const auto files = OpenModelFiles(directory.path());
    ASSERT_TRUE(files.has_value()) << files.error().message;
    const TensorEntry* entry = files->checkpoint->Find("model.layers.1.mlp.down_proj.weight");
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->shape, (Shape{kIn, kFfn}));
    EXPECT_EQ(entry->quant.has_value(), format != Format::kGptqActOrder);
    EXPECT_EQ(files->checkpoint->Find("model.layers.1.mlp.down_proj.qweight"), nullptr);
    EXPECT_LE(files->checkpoint->total_bytes(), std::filesystem::file_size(directory.checkpoint()));
    if (!entry->quant) continue;
    std::vector<std::byte> blocks(static_cast<size_t>(kIn * RowBytes(*entry->quant, kFfn)));
    ReadStoredRows(*entry, 0, kIn, blocks.data());
    std::vector<float> from_blocks(kIn * kFfn), decoded(kIn * kFfn);
    DecodeBlocks(*entry->quant, blocks.data(), kIn * kFfn, from_blocks.data());
    DecodeRows(*entry, 0, kIn, decoded.data());
    EXPECT_EQ(MaxDifference(from_blocks, decoded), 0);
  }
}

TEST_F(Int4FileTest, OnlyABiasOfZerosMayStandBesideAMatrixThatHasNone) {
  for (const bool zeros : {true, false}) {
    const ModelDirectory directory;
    Write(directory, Format::kGptq);
    const auto file = SafetensorsFile::Open(directory.checkpoint());
    ASSERT_TRUE(file.has_value());
    std::vector<float> bias(kIn, 0);
    if (!zeros) bias[17] = 1;
    std::vector<TensorToWrite> tensors = {
        {"model.layers.1.mlp.down_proj.bias", DType::kF32, {kIn}, std::as_bytes(std::span(bias))}};
    for (const auto& t : (*file)->tensors()) {
      tensors.push_back({t.name, *t.dtype->weight, t.shape, (*file)->bytes(t)});
    }
    const auto path = directory.path() / "other.safetensors";
    ASSERT_TRUE(WriteSafetensors(path, tensors).has_value());
    const auto backend = NewBackend();
    EXPECT_EQ(LoadModel(path, *backend, {}).has_value(), zeros);
  }
}

TEST_F(Int4FileTest, ABrokenPartIsRefusedByName) {
  const auto refusal = [&](const std::string& part, DType dtype, const Shape& shape,
                           const std::string& bytes) {
    const ModelDirectory directory;
    Write(directory, Format::kGptqActOrder);
    const auto file = SafetensorsFile::Open(directory.checkpoint());
    EXPECT_TRUE(file.has_value());
    const std::string name = "model.layers.0.mlp.down_proj." + part;
    std::vector<TensorToWrite> tensors;
    for (const auto& t : (*file)->tensors()) {
      if (t.name != name) {
        tensors.push_back({t.name, *t.dtype->weight, t.shape, (*file)->bytes(t)});
      } else if (!bytes.empty()) {
        tensors.push_back({name, dtype, shape, std::as_bytes(std::span(bytes))});
      }
    }
    const auto path = directory.path() / "other.safetensors";
    EXPECT_TRUE(WriteSafetensors(path, tensors).has_value());
    const auto files = OpenModelFiles(path);
    EXPECT_FALSE(files.has_value());
    return files ? "" : files.error().message;
  };
  EXPECT_THAT(refusal("qzeros", DType::kI32, {}, ""), HasSubstr("missing: 'model.layers.0.mlp.do"));
  EXPECT_THAT(refusal("scales", DType::kF32, {3, 64}, std::string(3 * 64 * 4, '\0')),
              HasSubstr("expected F16 or BF16 [3, 64]"));
  EXPECT_THAT(refusal("g_idx", DType::kI32, {96}, std::string(96 * 4, '\7')),
              HasSubstr("puts column 0 into group 117901063; there are 3"));
  EXPECT_THAT(refusal("qweight", DType::kI32, {11, 64}, std::string(11 * 64 * 4, '\7')),
              HasSubstr("columns must be whole groups"));
}

}  // namespace
}  // namespace hadal
