// Owns: what tests of convert/ share: directories, conversions, logits of a model on disk.
// Tests only. Thread rule: one thread.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "models/model.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

class ConvertDirectory {
 public:
  ConvertDirectory() {
    std::string name = testing::TempDir() + "/hadal_convert_XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~ConvertDirectory() { std::filesystem::remove_all(path_); }
  ConvertDirectory(const ConvertDirectory&) = delete;
  ConvertDirectory& operator=(const ConvertDirectory&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  // Everything in it, hidden files too.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& e : std::filesystem::directory_iterator(path_)) {
      names.push_back(e.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline testing::AssertionResult Converted(const std::filesystem::path& in,
                                          const std::filesystem::path& out, std::string_view type) {
  ConvertOptions options;
  options.type = ParseTypeChoice(type).value_or(TypeChoice{});
  options.threads = 2;
  const auto made = Converter::Start(in, out, options);
  if (!made) return testing::AssertionFailure() << out << ": " << made.error().message;
  const Status finished = (*made)->Finish();
  if (!finished) return testing::AssertionFailure() << out << ": " << finished.error().message;
  return testing::AssertionSuccess();
}

// [ids.size(), vocab], of the reference kernels; empty, with a failure, when it does not load.
inline std::vector<float> LogitsOfIds(const std::filesystem::path& model,
                                      const std::vector<TokenId>& ids) {
  constexpr int32_t kBlockTokens = 16;
  CpuBackendOptions cpu;
  cpu.threads = 2;
  cpu.kv_dtype = DType::kF32;
  auto backend = NewCpuBackend(cpu);
  LoadOptions options;
  options.max_step_tokens = options.max_logit_rows = static_cast<int64_t>(ids.size());
  const auto loaded = LoadModel(model, **backend, options);
  if (!loaded) {
    ADD_FAILURE() << model << ": " << loaded.error().message;
    return {};
  }
  const auto n = static_cast<int32_t>(ids.size());
  const int32_t n_blocks = (n + kBlockTokens - 1) / kBlockTokens;
  auto kv = KvStorage::Allocate(**backend, (*loaded)->kv_layout(), n_blocks, kBlockTokens);
  std::vector<int32_t> blocks(static_cast<size_t>(n_blocks)), index(ids.size());
  std::iota(blocks.begin(), blocks.end(), 0);
  std::iota(index.begin(), index.end(), 0);
  const SeqChunk chunk{0, n, 0, blocks.data()};
  StepInput step{ids, index, index, {&chunk, 1}, index};
  std::vector<float> logits(ids.size() * static_cast<size_t>((*loaded)->info().vocab));
  const Status run = (*loaded)->Forward(step, **kv, logits.data());
  EXPECT_TRUE(run.has_value()) << run.error().message;
  return logits;
}

// For the ids of a golden's expected.safetensors.
inline std::vector<float> LogitsOf(const std::filesystem::path& model,
                                   const std::filesystem::path& golden) {
  const auto expected = SafetensorsFile::Open(golden / "expected.safetensors");
  if (!expected || (*expected)->Find("ids") == nullptr) {
    ADD_FAILURE() << golden << " has no expected ids";
    return {};
  }
  const auto bytes = (*expected)->bytes(*(*expected)->Find("ids"));
  std::vector<TokenId> ids(bytes.size() / sizeof(TokenId));
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return LogitsOfIds(model, ids);
}

// Infinity for different sizes and for NaN.
inline double MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (std::isnan(d)) return INFINITY;
    worst = std::max(worst, d);
  }
  return worst;
}

// |a - b| / |b|, over all values.
inline double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    norm += static_cast<double>(b[i]) * b[i];
  }
  const double relative = std::sqrt(difference / norm);
  return std::isnan(relative) ? INFINITY : relative;
}

inline std::string BytesOfFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Copies a golden and sets the first bf16 value of one tensor.
inline void CopyWithChangedValue(const std::filesystem::path& golden,
                                 const std::filesystem::path& to, std::string_view tensor,
                                 uint16_t bits) {
  std::filesystem::copy(golden, to, std::filesystem::copy_options::recursive);
  uint64_t at = 0;
  {
    const auto file = SafetensorsFile::Open(to / "model.safetensors");
    ASSERT_TRUE(file.has_value());
    const SafetensorsTensor* found = (*file)->Find(tensor);
    ASSERT_NE(found, nullptr);
    ASSERT_EQ(found->dtype->name, "BF16");
    at = found->begin;
  }
  std::fstream file(to / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(reinterpret_cast<const char*>(&bits), 2);
}

inline std::string StoredReport(const std::filesystem::path& model) {
  if (IsGguf(model)) {
    const auto file = GgufFile::Open(model);
    const std::string* text = file ? (*file)->metadata().Text("hadal.loss") : nullptr;
    return text != nullptr ? *text : "";
  }
  const auto file = SafetensorsFile::Open(model / "model.safetensors");
  if (!file || !(*file)->metadata().contains("hadal.loss")) return "";
  return (*file)->metadata().at("hadal.loss");
}

}  // namespace hadal
