// What one layer's attention of one decoding step reaches at a number of keys:
//   attention_bench [--json] [--isa NAME] [--shapes mla,gqa] [--keys 4096,16000] [--threads N]
//                   [--rounds N]
// Shapes: mla, 16 heads on one latent of 512 and 64 (V2-Lite); gqa, 12 heads on 2 keys of 128
// (1.5B). Each with a float32 and a bf16 cache, of as many layers as exceed the caches; a round is
// one step through all of them. Before anything is timed the result must agree with the scalar
// definition. Beside the rates stands what this machine reads and multiplies at most, measured in
// the same run: bf16 on tiles, float32 elsewhere.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.h"
#include "base/clock.h"
#include "cli/machine_limits.h"
#include "core/dtype.h"
#include "kernels/backend.h"

namespace hadal {
namespace {

constexpr int32_t kBlockTokens = 16;
constexpr int64_t kCacheBytes = int64_t{384} << 20;

struct Options {
  bool json = false;
  std::string isa;
  std::vector<std::string> shapes = {"mla", "gqa"};
  std::vector<int64_t> keys = {4096, 16000};
  int threads = UsableCpus();
  int64_t rounds = 7;
};

// False: not understood.
bool Parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--json") {
      o.json = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    if (name == "--isa") {
      o.isa = value;
    } else if (name == "--shapes") {
      o.shapes = Pieces(value);
    } else if (name == "--keys") {
      o.keys.clear();
      for (const std::string& n : Pieces(value)) o.keys.push_back(std::atoll(n.c_str()));
    } else if (name == "--threads") {
      o.threads = std::atoi(value.c_str());
    } else if (name == "--rounds") {
      o.rounds = std::atoll(value.c_str());
    } else {
      return false;
    }
  }
  const auto usable = [](int64_t n) { return n > 0 && n <= 1 << 20; };
  const auto known = [](const std::string& s) { return s == "mla" || s == "gqa"; };
  return o.threads > 0 && o.rounds > 0 && std::all_of(o.keys.begin(), o.keys.end(), usable) &&
         std::all_of(o.shapes.begin(), o.shapes.end(), known);
}

std::unique_ptr<Backend> Make(Isa isa, int threads, DType kv) {
  auto backend = NewCpuBackend({.isa = isa, .threads = threads, .kv_dtype = kv});
  if (!backend) std::exit(1);
  return std::move(*backend);
}

// The attention of one token of a sequence over layers of its own.
class Step {
 public:
  Step(bool mla, DType dtype, int64_t keys, int64_t layers)
      : mla_(mla), dtype_(dtype), keys_(keys), layers_(layers) {
    const int64_t slots = (keys + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
    stream_ = slots * width() * static_cast<int64_t>(SizeOf(dtype));
    auto memory = Buffer::Allocate(static_cast<size_t>(stream_ * streams() * layers));
    if (!memory) std::exit(1);
    cache_ = std::move(*memory);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> some(65521);  // prime, so that no row repeats another
    for (float& v : some) v = normal(random);
    const int64_t values = slots * width() * streams() * layers;
    for (int64_t i = 0; i < values; ++i) {
      const float v = some[static_cast<size_t>(i) % some.size()];
      if (dtype == DType::kF32) static_cast<float*>(cache_.data())[i] = v;
      if (dtype == DType::kBf16) static_cast<uint16_t*>(cache_.data())[i] = FloatToBf16(v);
    }
    blocks_.resize(static_cast<size_t>(slots / kBlockTokens));
    std::iota(blocks_.begin(), blocks_.end(), 0);
    q_.resize(size_t{16} * 128);
    for (float& v : q_) v = normal(random);
    for (auto* m : {&uk_, &uv_, &kv_b_}) m->resize(size_t{16} * 512 * (m == &kv_b_ ? 32 : 16));
    for (auto* m : {&uk_, &uv_}) {
      for (float& v : *m) v = normal(random) / 23;
    }
  }

  // Of one layer.
  double bytes() const {
    return static_cast<double>(keys_ * width() * streams()) * static_cast<double>(SizeOf(dtype_));
  }
  double operations() const {
    return 2.0 * static_cast<double>(keys_) * (mla_ ? 16 * (576 + 512) : 12 * 256);
  }

  void Prepare(Backend& backend) {
    if (!mla_) return;
    w_uk_ = Stack(backend, uk_, 16, 512, 16);
    w_uv_ = Stack(backend, uv_, 16, 16, 512);
    w_kv_b_ = Stack(backend, kv_b_, 1, 16 * 32, 512);
  }

  std::vector<float> Run(Backend& backend, int64_t layer) {
    const SeqChunk chunk{0, 1, static_cast<int32_t>(keys_ - 1), blocks_.data()};
    auto* base = static_cast<std::byte*>(cache_.data()) + layer * streams() * stream_;
    const KvView view{base, dtype_, width(), kBlockTokens};
    std::vector<float> out(mla_ ? 16 * 16 : 12 * 128);
    if (!mla_) {
      GqaArgs a;
      a.q = {q_.data(), DType::kF32, {1, 12, 128}};
      a.k = a.v = view;
      a.v.data = base + stream_;
      a.n_heads = 12, a.n_kv_heads = 2, a.head_dim = 128, a.scale = 0.0884f;
      a.out = {out.data(), DType::kF32, {1, 12, 128}};
      backend.Attention(a, {&chunk, 1});
      return out;
    }
    MlaArgs a;
    a.q = {q_.data(), DType::kF32, {1, 16, 16 + 64}};
    a.latent = view;
    a.uk = w_uk_.get(), a.uv = w_uv_.get(), a.kv_b = w_kv_b_.get();
    a.n_heads = 16, a.nope = 16, a.rope = 64, a.kv_lora = 512, a.v_dim = 16, a.scale = 0.112f;
    a.form = MlaForm::kAbsorbed;
    a.out = {out.data(), DType::kF32, {1, 16, 16}};
    backend.MlaAttention(a, {&chunk, 1});
    return out;
  }

  int64_t layers() const { return layers_; }

 private:
  int64_t width() const { return mla_ ? 576 : 256; }
  int64_t streams() const { return mla_ ? 1 : 2; }
  // The matrices around MLA are small, so that they take no part of the time.
  static WeightPtr Stack(Backend& backend, const std::vector<float>& values, int64_t count,
                         int64_t rows, int64_t cols) {
    std::vector<WeightSource> sources;
    for (int64_t i = 0; i < count; ++i) {
      const float* from = values.data() + i * rows * cols;
      sources.push_back({"w", rows, cols, [from, cols](int64_t row, int64_t n, float* out) {
                           std::copy_n(from + row * cols, n * cols, out);
                         }});
    }
    auto weight = backend.Prepare(sources, WeightUse::kMultiplyF32);
    if (!weight) std::exit(1);
    return std::move(*weight);
  }

  bool mla_;
  DType dtype_;
  int64_t keys_, layers_, stream_ = 0;
  Buffer cache_;
  std::vector<int32_t> blocks_;
  std::vector<float> q_, uk_, uv_, kv_b_;
  WeightPtr w_uk_, w_uv_, w_kv_b_;
};

double Difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{a[i]} - b[i], 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / norm);
}

bool Agrees(Isa isa, bool mla, DType kv) {
  Step step(mla, kv, 700, 1);
  const auto scalar = Make(Isa::kRef, 1, kv), backend = Make(isa, 2, kv);
  step.Prepare(*scalar);
  const std::vector<float> expected = step.Run(*scalar, 0);
  step.Prepare(*backend);
  return Difference(step.Run(*backend, 0), expected) < 1e-5;
}

struct Case {
  Isa isa;
  std::string shape;
  DType kv;
  int64_t keys;
};

void Measure(const Case& c, const Options& o, const cli::MachineLimits& limits,
             nlohmann::json& report) {
  const bool mla = c.shape == "mla";
  const double layer = Step(mla, c.kv, c.keys, 0).bytes();
  Step step(mla, c.kv, c.keys, static_cast<int64_t>(kCacheBytes / layer) + 1);
  const auto backend = Make(c.isa, o.threads, c.kv);
  step.Prepare(*backend);
  std::vector<double> seconds;
  for (int64_t r = 0; r <= o.rounds; ++r) {
    const TimePoint start = Now();
    for (int64_t l = 0; l < step.layers(); ++l) step.Run(*backend, l);
    if (r > 0) seconds.push_back(Seconds(Now() - start) / static_cast<double>(step.layers()));
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const double gb = step.bytes() / 1e9, gflop = step.operations() / 1e9;
  report["rows"].push_back({{"isa", NameOf(c.isa)},
                            {"shape", c.shape},
                            {"cache", NameOf(c.kv)},
                            {"keys", c.keys},
                            {"seconds", median},
                            {"seconds_least", seconds.front()},
                            {"seconds_most", seconds.back()},
                            {"gb_per_second", gb / median},
                            {"gflop_per_second", gflop / median}});
  if (o.json) return;
  fmt::print("{:<5} {:<5} {:>7} {:>8.3f} {:>7.3f}-{:<7.3f} {:>6.1f} {:>6.0f}% {:>8.0f} {:>6.0f}%\n",
             c.shape, NameOf(c.kv), c.keys, 1e3 * median, 1e3 * seconds.front(),
             1e3 * seconds.back(), gb / median,
             100 * gb * 1e9 / median / limits.read_bytes_per_second, gflop / median,
             100 * gflop * 1e9 / median / limits.flops_per_second);
}

// 1: a kernel is wrong.
int MeasureIsa(Isa isa, const Options& o, nlohmann::json& report) {
  const WeightFormat format = isa == Isa::kAmx ? WeightFormat::kBf16 : WeightFormat::kF32;
  const auto limits = cli::MeasureLimits(isa, format, o.threads);
  if (!limits) return 1;
  report["limits"].push_back({{"isa", NameOf(isa)},
                              {"read_bytes_per_second", limits->read_bytes_per_second},
                              {"operations_per_second", limits->flops_per_second}});
  if (!o.json) {
    fmt::print("{}, {} threads, reads {:.1f} GB/s, multiplies {:.0f} GFLOP/s ({})\n", NameOf(isa),
               o.threads, limits->read_bytes_per_second / 1e9, limits->flops_per_second / 1e9,
               NameOf(format));
    fmt::print("{:<5} {:<5} {:>7} {:>8} {:<15} {:>6} {:>7} {:>8} {:>7}\n", "shape", "cache", "keys",
               "ms", "least-most", "GB/s", "of read", "GFLOP/s", "of peak");
  }
  for (const std::string& shape : o.shapes) {
    for (DType kv : {DType::kF32, DType::kBf16}) {
      if (!Agrees(isa, shape == "mla", kv)) {
        fmt::print(stderr, "{} {} {}: not the scalar definition's result\n", NameOf(isa), shape,
                   NameOf(kv));
        return 1;
      }
      for (int64_t keys : o.keys) Measure({isa, shape, kv, keys}, o, *limits, report);
    }
  }
  return 0;
}

int Run(const Options& o) {
  nlohmann::json report = {{"threads", o.threads}};
  for (Isa isa : SupportedIsas()) {
    const bool by_itself = isa == Isa::kRef || isa == Isa::kAmxEmulated;  // only when named
    if (o.isa.empty() ? by_itself : NameOf(isa) != o.isa) continue;
    if (const int failed = MeasureIsa(isa, o, report); failed != 0) return failed;
  }
  if (o.json) fmt::print("{}\n", report.dump(2));
  return 0;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  hadal::Options options;
  if (!hadal::Parse(argc, argv, options)) {
    fmt::print(stderr, "see the top of bench/cpu/attention.cc\n");
    return 2;
  }
  return hadal::Run(options);
}
