// For the tests of this folder: every backend configuration this CPU runs, random data, and the
// measure of error. The oracles in the tests are plain double loops over the same data.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "kernels/backend.h"
#include "kernels/timed_backend.h"
#ifdef HADAL_CUDA_EMULATED_TESTS
#include "kernels/cuda/emulated/emulator.h"
#endif

namespace hadal::kernels_test {

// Where the operations run. The tests of this folder are built once for the CPU's instruction sets
// and once for each of the others (HADAL_TEST_DEVICE); kernels/cuda/testing_memory.cc makes the
// tests' vectors readable by the card.
enum class Processor { kCpu, kCuda, kCudaEmulated };
#ifndef HADAL_TEST_DEVICE
#define HADAL_TEST_DEVICE kCpu
#endif
constexpr Processor kProcessor = Processor::HADAL_TEST_DEVICE;

#ifdef HADAL_TEST_READS_CARD
std::vector<float> ReadFloats(const void* from, size_t n);  // of the backend's memory
#else
inline std::vector<float> ReadFloats(const void* from, size_t n) {
  const auto* floats = static_cast<const float*>(from);
  return {floats, floats + n};
}
#endif

#ifdef HADAL_CUDA_EMULATED_TESTS
// The emulated card is one without warpgroups, with less shared memory, in all tests when
// HADAL_TEST_SMALL_CARD is set, and while one of these lives.
inline const bool kSmallCard = [] {
  const bool small = std::getenv("HADAL_TEST_SMALL_CARD") != nullptr;
  cuda_emulated::SetCardWarpgroups(!small);
  return small;
}();
struct SmallCard {
  SmallCard() { cuda_emulated::SetCardWarpgroups(false); }
  ~SmallCard() { cuda_emulated::SetCardWarpgroups(!kSmallCard); }
};
#endif

struct Config {
  Isa isa = Isa::kRef;  // of the CPU
  WeightFormat format = WeightFormat::kF32;
  DType kv = DType::kF32;
  bool host_experts = false;  // of a card: the CPU computes them

  // Relative error of a product with a weight matrix, against the same weights in double (rounded
  // to bf16 where that is the format): summation order only, except that AMX also rounds the
  // activations to 16 bits of significand for bf16 weights, and int8 rounds both sides to 8 bits.
  double tolerance() const {
    if (format == WeightFormat::kInt8) return 2e-2;
    if (format == WeightFormat::kBf16 && isa >= Isa::kAmxEmulated) return 2e-5;
    return 1e-5;
  }
};

inline std::vector<Config> AllConfigs() {
  std::vector<Config> configs = {Config{}};
  if (kProcessor != Processor::kCpu) {
    configs.push_back({Isa::kRef, WeightFormat::kF32, DType::kBf16});
    configs.push_back({Isa::kRef, WeightFormat::kBf16, DType::kBf16});
    return configs;
  }
  for (Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    configs.push_back({isa, WeightFormat::kF32, DType::kF32});
    for (WeightFormat f : {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kInt8}) {
      configs.push_back({isa, f, DType::kBf16});
    }
  }
  return configs;
}

inline std::string ConfigName(const testing::TestParamInfo<Config>& info) {
  const Config& c = info.param;
  const std::string_view level = kProcessor == Processor::kCpu    ? NameOf(c.isa)
                                 : kProcessor == Processor::kCuda ? "cuda"
                                                                  : "cuda_emulated";
  return fmt::format("{}_{}_kv{}{}", level, NameOf(c.format), NameOf(c.kv),
                     c.host_experts ? "_host" : "");
}

inline std::unique_ptr<Backend> MakeCuda(const CudaBackendOptions& options) {
#ifdef HADAL_CUDA_EMULATED_TESTS
  auto cuda = NewEmulatedCudaBackend(options);
#else
  auto cuda = NewCudaBackend(options);
#endif
  CHECK(cuda.has_value());
  return std::make_unique<TimedBackend>(std::move(*cuda));  // waits for every operation
}

inline std::unique_ptr<Backend> Make(const Config& c, int threads, MlaForm form = MlaForm::kAuto) {
  if constexpr (kProcessor != Processor::kCpu) {
    return MakeCuda({.weights = c.format,
                     .kv_dtype = c.kv,
                     .mla_form = form,
                     .threads = threads,
                     .host = {.isa = c.isa, .threads = threads}});
  }
  auto backend = NewCpuBackend(
      {.isa = c.isa, .weights = c.format, .threads = threads, .kv_dtype = c.kv, .mla_form = form});
  CHECK(backend.has_value());
  return std::move(*backend);
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  float Normal() { return normal_(engine_); }
  std::vector<float> Normals(int64_t n, float scale = 1) {
    std::vector<float> v(static_cast<size_t>(n));
    for (float& x : v) x = Normal() * scale;
    return v;
  }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

inline std::vector<float> Poison(int64_t n) {
  return std::vector<float>(static_cast<size_t>(n), std::numeric_limits<float>::quiet_NaN());
}

inline Tensor View(std::vector<float>& v, Shape shape) {
  CHECK(shape.elements() == static_cast<int64_t>(v.size()));
  return {v.data(), DType::kF32, shape};
}

inline WeightSource Source(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {"w", rows, cols, [&values, cols](int64_t row0, int64_t n, float* out) {
            std::memcpy(out, values.data() + row0 * cols,
                        static_cast<size_t>(n * cols) * sizeof(float));
          }};
}

// A stack of `count` matrices stored one after another in values.
inline WeightPtr PrepareStack(Backend& backend, const std::vector<float>& values, int64_t count,
                              int64_t rows, int64_t cols, WeightUse use = WeightUse::kMultiply) {
  std::vector<WeightSource> sources;
  for (int64_t i = 0; i < count; ++i) {
    sources.push_back(
        {"w", rows, cols, [&values, i, rows, cols](int64_t row0, int64_t n, float* to) {
           std::memcpy(to, values.data() + (i * rows + row0) * cols,
                       static_cast<size_t>(n * cols) * sizeof(float));
         }});
  }
  auto w = backend.Prepare(sources, use);
  CHECK(w.has_value());
  return std::move(*w);
}

// The values an exact product with the prepared weights would see.
inline std::vector<float> AsStored(const std::vector<float>& values, const Config& c) {
  std::vector<float> v = values;
  if (c.format == WeightFormat::kBf16) {
    for (float& x : v) x = Bf16ToFloat(FloatToBf16(x));
  }
  return v;
}

// |a - b| / |b| over everything; infinity when a has a value that is not finite.
inline double RelativeError(const std::vector<float>& a, const std::vector<double>& b) {
  CHECK(a.size() == b.size());
  double difference = 0, norm = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return std::numeric_limits<double>::infinity();
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

// What a cache of F8_E4M3 is to hold of one row: its bytes, and what they are worth. Every group
// has the least power of two, from 2^-100 to 2^7, as its scale with which its largest value is at
// most 448.
inline void EncodeFp8Row(const KvRow& row, float* values, uint8_t* bytes) {
  const auto put = [&](int64_t at, auto v) { std::memcpy(bytes + at, &v, sizeof v); };
  for (int64_t g = 0; g < row.scales(); ++g) {
    const int64_t first = g * row.group, end = std::min(first + row.group, row.codes());
    float most = 0, scale = 0x1p-100f;
    for (int64_t i = first; i < end; ++i)
      most = values[i] - values[i] == 0 ? std::max(most, std::fabs(values[i])) : NAN;
    while (most > 448 * scale && scale < 128) scale *= 2;
    if (std::isnan(most)) scale = NAN;
    put(row.scales_at() + 4 * g, scale);
    for (int64_t i = first; i < end; ++i) {
      const uint8_t code = std::isnan(scale) ? 0 : FloatToF8E4M3(values[i] / scale);
      put(i, code);
      values[i] = F8E4M3ToFloat(code) * scale;
    }
  }
  for (int64_t i = row.codes(); i < row.width; ++i) {
    const uint16_t half = FloatToBf16(values[i]);
    put(row.kept_at() + 2 * (i - row.codes()), half);
    values[i] = Bf16ToFloat(half);
  }
}

// A paged cache of one stream, with the sequences' blocks scattered and every unwritten slot
// poisoned with NaN.
class PagedCache {
 public:
  PagedCache(DType dtype, const KvRow& row, int block_tokens, const std::vector<int>& lengths,
             Random& random)
      : dtype_(dtype), row_(row), block_tokens_(block_tokens) {
    int blocks = 3;
    for (int n : lengths) blocks += (n + block_tokens - 1) / block_tokens;
    std::vector<int32_t> free(static_cast<size_t>(blocks));
    for (int i = 0; i < blocks; ++i) free[static_cast<size_t>(i)] = i;
    std::shuffle(free.begin(), free.end(), random.engine());
    values_ = Poison(blocks * block_tokens * row.width);
    for (int n : lengths) {
      std::vector<int32_t>& table = tables_.emplace_back();
      for (int b = 0; b * block_tokens < n; ++b) {
        table.push_back(free.back());
        free.pop_back();
      }
      for (int p = 0; p < n; ++p) {
        for (int64_t d = 0; d < row.width; ++d) {
          values_[static_cast<size_t>(Slot(tables_.size() - 1, p) * row.width + d)] =
              random.Normal();
        }
      }
    }
    EncodeAll();
  }
  // Shares the block tables of another stream.
  PagedCache(const PagedCache& tables, const KvRow& row, Random& random) : PagedCache(tables) {
    const int64_t slots = static_cast<int64_t>(values_.size()) / row_.width;
    row_ = row;
    values_ = random.Normals(slots * row.width);
    EncodeAll();
  }

  int64_t Slot(size_t sequence, int position) const {
    return int64_t{tables_[sequence][static_cast<size_t>(position / block_tokens_)]} *
               block_tokens_ +
           position % block_tokens_;
  }
  const float* Row(size_t sequence, int position) const {
    return values_.data() + Slot(sequence, position) * row_.width;
  }
  void Set(size_t sequence, int position, int64_t column, float value) {
    const int64_t slot = Slot(sequence, position);
    values_[static_cast<size_t>(slot * row_.width + column)] = value;
    Encode(slot);
  }
  const int32_t* blocks(size_t sequence) const { return tables_[sequence].data(); }
  KvView view() {
    return {bytes_.data(), dtype_, row_.width, block_tokens_, row_.group, row_.kept};
  }

 private:
  void EncodeAll() {
    const int64_t slots = static_cast<int64_t>(values_.size()) / row_.width;
    bytes_.assign(static_cast<size_t>(slots * row_.Bytes(dtype_)), 0xff);
    for (int64_t slot = 0; slot < slots; ++slot) Encode(slot);
  }
  // The slot's bytes; its values become what they are worth.
  void Encode(int64_t slot) {
    float* values = values_.data() + slot * row_.width;
    uint8_t* bytes = bytes_.data() + slot * row_.Bytes(dtype_);
    if (dtype_ == DType::kF8E4M3) return EncodeFp8Row(row_, values, bytes);
    for (int64_t i = 0; i < row_.width; ++i) {
      const uint16_t half = FloatToBf16(values[i]);
      if (dtype_ == DType::kBf16) values[i] = Bf16ToFloat(half);
      dtype_ == DType::kBf16 ? std::memcpy(bytes + 2 * i, &half, sizeof half)
                             : std::memcpy(bytes + 4 * i, values + i, sizeof(float));
    }
  }

  DType dtype_;
  KvRow row_;
  int block_tokens_;
  std::vector<float> values_;
  std::vector<uint8_t> bytes_;
  std::vector<std::vector<int32_t>> tables_;
};

class OnEveryBackend : public testing::TestWithParam<Config> {};

}  // namespace hadal::kernels_test
