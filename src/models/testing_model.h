// Owns: what tests of models/ share: small checkpoints made on the spot, and feeding a token
// sequence through a model in chunks. Tests only. Thread rule: one thread.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "formats/safetensors.h"
#include "models/model.h"

namespace hadal {

// A directory of its own, removed at the end.
class ModelDirectory {
 public:
  ModelDirectory() {
    std::string name = testing::TempDir() + "/hadal_models_XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~ModelDirectory() { std::filesystem::remove_all(path_); }
  ModelDirectory(const ModelDirectory&) = delete;
  ModelDirectory& operator=(const ModelDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoint() const { return path_ / "model.safetensors"; }

 private:
  std::filesystem::path path_;
};

// A checkpoint in memory, to be changed and written.
struct TinyCheckpoint {
  struct Values {
    Shape shape;
    std::vector<float> values;
  };
  std::string config;                     // config.json
  std::map<std::string, Values> tensors;  // float32

  // Deterministic values in (-0.25, 0.25); norm weights around 1.
  void Add(const std::string& name, const Shape& shape) {
    Values v{shape, std::vector<float>(static_cast<size_t>(shape.elements()))};
    const float base = shape.rank() == 1 && name.find("norm") != std::string::npos ? 1.0f : 0.0f;
    for (float& x : v.values) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      x = base + static_cast<float>(static_cast<int32_t>(state_ >> 32)) / 8589934592.0f;
    }
    tensors[name] = std::move(v);
  }

  void Write(const ModelDirectory& directory) const {
    std::ofstream(directory.path() / "config.json") << config;
    std::vector<TensorToWrite> list;
    for (const auto& [name, v] : tensors) {
      list.push_back({name, DType::kF32, v.shape, std::as_bytes(std::span(v.values))});
    }
    const Status written = WriteSafetensors(directory.checkpoint(), list);
    ASSERT_TRUE(written.has_value()) << written.error().message;
  }

 private:
  uint64_t state_ = 1;
};

inline std::unique_ptr<Backend> NewBackend(Isa isa = Isa::kRef, MlaForm form = MlaForm::kAuto,
                                           DType kv_dtype = DType::kBf16,
                                           WeightFormat weights = WeightFormat::kBf16) {
  CpuBackendOptions options;
  options.isa = isa;
  options.threads = 2;
  options.mla_form = form;
  options.kv_dtype = kv_dtype;
  options.weights = weights;
  auto backend = NewCpuBackend(options);
  EXPECT_TRUE(backend.has_value()) << backend.error().message;
  return backend ? std::move(*backend) : nullptr;
}

// One sequence on its way through a model: its blocks lie in the cache in reverse order.
struct TestSequence {
  std::vector<TokenId> tokens;
  std::vector<int32_t> blocks;
  int32_t done = 0;  // tokens in the cache

  TestSequence(std::vector<TokenId> ids, int32_t block_tokens, int32_t last_block)
      : tokens(std::move(ids)) {
    const auto n = static_cast<int32_t>(tokens.size());
    for (int32_t i = 0; i < (n + block_tokens - 1) / block_tokens; ++i) {
      blocks.push_back(last_block - i);
    }
  }
};

// The arrays behind a StepInput that asks for the logits of every row.
class TestStep {
 public:
  // Adds the next n tokens of the sequence, which must outlive the step.
  void Add(TestSequence& sequence, int32_t n, int32_t block_tokens, bool prompt = false) {
    const auto first = static_cast<int32_t>(tokens_.size());
    chunks_.push_back({first, n, sequence.done, sequence.blocks.data(), prompt});
    for (int32_t i = 0; i < n; ++i) {
      const int32_t position = sequence.done + i;
      const int32_t block = sequence.blocks[static_cast<size_t>(position / block_tokens)];
      tokens_.push_back(sequence.tokens[static_cast<size_t>(position)]);
      positions_.push_back(position);
      slots_.push_back(block * block_tokens + position % block_tokens);
      logit_rows_.push_back(first + i);
    }
    sequence.done += n;
  }
  StepInput input() const { return {tokens_, positions_, slots_, chunks_, logit_rows_}; }
  size_t rows() const { return tokens_.size(); }

 private:
  std::vector<TokenId> tokens_;
  std::vector<int32_t> positions_, slots_, logit_rows_;
  std::vector<SeqChunk> chunks_;
};

// Logits of every position, [T, vocab], computed in chunks of at most `chunk` tokens as
// rows of an answer or of a prompt.
inline std::vector<float> AllLogits(Model& model, Backend& backend,
                                    const std::vector<TokenId>& tokens, int32_t chunk,
                                    bool prompt = false) {
  constexpr int32_t kBlockTokens = 8;
  const auto n = static_cast<int32_t>(tokens.size());
  const int32_t n_blocks = n / kBlockTokens + 3;
  auto kv = KvStorage::Allocate(backend, model.kv_layout(), n_blocks, kBlockTokens);
  EXPECT_TRUE(kv.has_value());
  if (!kv) return {};
  const auto vocab = static_cast<size_t>(model.info().vocab);
  std::vector<float> logits(tokens.size() * vocab);
  TestSequence sequence(tokens, kBlockTokens, n_blocks - 1);
  while (sequence.done < n) {
    float* out = logits.data() + static_cast<size_t>(sequence.done) * vocab;
    TestStep step;
    step.Add(sequence, std::min(chunk, n - sequence.done), kBlockTokens, prompt);
    const Status status = model.Forward(step.input(), **kv, out);
    EXPECT_TRUE(status.has_value()) << status.error().message;
    if (!status) return {};
  }
  return logits;
}

inline float MaxDifference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float difference = std::fabs(a[i] - b[i]);
    if (std::isnan(difference)) return difference;  // never within a tolerance
    worst = std::max(worst, difference);
  }
  return worst;
}

}  // namespace hadal
