// What attention of answers alone reaches on a card: AttendRows over caches of noise that no L2
// holds, for every combination of the arguments, beside the rates of reading memory and of large
// products measured in the same run. A sample of every result is compared with sums in double.
//
//   attention_speed [--heads 16,128] [--kv-heads 0] [--dim 128] [--rows 1,32] [--keys 16384]
//                   [--cache bf16,fp8] [--answers exact,rounded] [--calls 20] [--card 0]
//
// --calls: that follow one another in what is timed.
// --kv-heads 0: MLA of DeepSeek's shape, one latent of 512 and 64 columns a key; else key heads of
// --dim columns. attention_speed_emulated is the same on the emulated card, to see that it works.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <random>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "core/dtype.h"
#include "core/kv_row.h"
#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kBlockTokens = 16;
constexpr int64_t kNoiseRows = 1024, kLatent = 576, kLatentValues = 512;

struct Case {
  int64_t heads = 0, kv_heads = 0, dim = 0, rows = 0, keys = 0;
  DType dtype = DType::kBf16;
  bool rounded = false;
  int calls = 1;  // that are timed together

  bool mla() const { return kv_heads == 0; }
  KvRow row() const {
    return mla() ? KvRow{kLatent, 128, kLatent - kLatentValues} : KvRow{kv_heads * dim, dim};
  }
  int64_t streams() const { return mla() ? 1 : 2; }  // of the cache
  int64_t blocks() const { return rows * ((keys + kBlockTokens - 1) / kBlockTokens); }
  int64_t slots() const { return blocks() * kBlockTokens; }
  AttentionShape shape() const {
    if (!mla()) return {rows, kv_heads, heads / kv_heads, dim, dim, Scale(dim), rounded};
    return {rows, 1, heads, kLatent, kLatentValues, Scale(192), rounded};
  }
  double bytes() const { return static_cast<double>(rows * keys * streams() * row().Bytes(dtype)); }
  double operations() const {
    const AttentionShape s = shape();
    return 2.0 * static_cast<double>(rows * heads * keys) * static_cast<double>(s.k_dim + s.v_dim);
  }

 private:
  static float Scale(int64_t dim) { return 1 / std::sqrt(static_cast<float>(dim)); }
};

Cache CacheOf(const Case& c, void* data) {
  const KvRow row = c.row();
  return CUDA_NAMESPACE::CacheOf(
      KvView{data, c.dtype, row.width, kBlockTokens, row.group, row.kept});
}

// Memory of the card until the end of a case.
class CardMemory {
 public:
  explicit CardMemory(Device& device) : device_(device) {}
  ~CardMemory() {
    for (void* p : all_) device_.Free(p);
  }
  template <class T>
  Result<T*> Allocate(int64_t n) {
    HADAL_TRY(void* p, device_.Allocate(static_cast<size_t>(n) * sizeof(T) + 16));
    all_.push_back(p);
    return static_cast<T*>(p);
  }
  template <class T>
  Result<T*> Copy(const std::vector<T>& values) {
    HADAL_TRY(T * p, Allocate<T>(static_cast<int64_t>(values.size())));
    device_.ToDevice(p, values.data(), values.size() * sizeof(T));
    return p;
  }

 private:
  Device& device_;
  std::vector<void*> all_;
};

std::vector<float> Normals(int64_t n, unsigned seed) {
  std::minstd_rand random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(random);
  return v;
}

// Everything that a case reads and writes on the card.
struct Problem {
  std::vector<Cache> k, v;  // as many caches as the L2 cannot hold
  std::vector<float> q;     // [rows][heads][k_dim]
  Queries queries;
  RowIndex index;
  AttentionScratch scratch;
  float* out = nullptr;
};

Result<Cache> FillCache(const Case& c, Device& device, CardMemory& memory, const float* noise,
                        const int32_t* slots) {
  HADAL_TRY(auto* data, memory.Allocate<uint8_t>(c.slots() * c.row().Bytes(c.dtype)));
  const Cache cache = CacheOf(c, data);
  for (int64_t at = 0; at < c.slots(); at += kNoiseRows) {
    StoreKv(device.stream(), noise, cache.width, 0, cache.width,
            std::min(kNoiseRows, c.slots() - at), slots + at, 0, cache);
  }
  return cache;
}

Status MakeIndex(const Case& c, CardMemory& memory, RowIndex& index) {
  std::vector<int32_t> tables(static_cast<size_t>(c.blocks()));
  std::iota(tables.begin(), tables.end(), 0);
  std::ranges::shuffle(tables, std::minstd_rand(2));
  std::vector<RowKeys> rows;
  const int64_t blocks = c.blocks() / c.rows;
  for (int64_t r = 0; r < c.rows; ++r) {
    const auto keys = static_cast<int32_t>(c.keys);
    rows.push_back({keys, keys - 1, static_cast<int32_t>(r * blocks)});
  }
  HADAL_TRY(index.rows, memory.Copy(rows));
  HADAL_TRY(index.tables, memory.Copy(tables));
  index.block_tokens = kBlockTokens;
  index.most = static_cast<int32_t>(c.keys);
  return {};
}

Result<Problem> MakeProblem(const Case& c, Device& device, CardMemory& memory) {
  Problem p;
  const KvRow row = c.row();
  std::vector<int32_t> slots(static_cast<size_t>(c.slots()));
  std::iota(slots.begin(), slots.end(), 0);
  HADAL_TRY(const int32_t* slots_on_card, memory.Copy(slots));
  HADAL_TRY(const float* noise, memory.Copy(Normals((kNoiseRows + 1) * row.width, 1)));
  const double spread = device.info().emulated ? 0 : 256e6;
  const auto caches = 1 + static_cast<int>(spread / c.bytes());
  for (int i = 0; i < caches; ++i) {
    HADAL_TRY(const Cache k, FillCache(c, device, memory, noise, slots_on_card));
    p.k.push_back(k);
    if (c.mla()) p.v.push_back(k);
    if (c.mla()) continue;
    HADAL_TRY(const Cache v, FillCache(c, device, memory, noise + row.width / 2, slots_on_card));
    p.v.push_back(v);
  }
  HADAL_OK(MakeIndex(c, memory, p.index));
  const AttentionShape shape = c.shape();
  p.q = Normals(c.rows * c.heads * shape.k_dim, 3);
  HADAL_TRY(const float* q, memory.Copy(p.q));
  p.queries = {q, shape.k_dim, shape.k_dim};
  if (c.mla()) p.queries = {q, kLatent, kLatentValues, q + kLatentValues, kLatent};
  const AttentionMemory space = AttentionSpace(shape, p.k[0], p.v[0], c.keys);
  HADAL_TRY(p.scratch.parts, memory.Allocate<float>(space.floats));
  HADAL_TRY(p.scratch.counts, memory.Allocate<int>(space.counts));
  HADAL_TRY(p.out, memory.Allocate<float>(c.rows * c.heads * shape.v_dim));
  HADAL_OK(device.Synchronise());
  return p;
}

// |out - expected| / |expected| of the first and the last head, of the first and the last row.
Result<double> ErrorOfSample(const Case& c, Device& device, CardMemory& memory, const Problem& p) {
  const AttentionShape a = c.shape();
  const int64_t width = c.row().width, group = c.heads / std::max<int64_t>(c.kv_heads, 1);
  std::vector<float> out(static_cast<size_t>(c.rows * c.heads * a.v_dim));
  std::vector<uint16_t> keys(static_cast<size_t>(c.keys * width)), values(keys.size());
  HADAL_TRY(auto* gathered, memory.Allocate<uint16_t>(c.keys * width));
  device.ToHost(out.data(), p.out, out.size() * sizeof(float));
  const auto gather = [&](const Cache& cache, int64_t row, std::vector<uint16_t>& to) -> Status {
    GatherCache(device.stream(), cache, p.index, row, c.keys, 0, width, gathered);
    device.ToHost(to.data(), gathered, to.size() * 2);
    return device.Synchronise();
  };
  double error = 0, norm = 0;
  for (const int64_t row : {int64_t{0}, c.rows - 1}) {
    HADAL_OK(gather(p.k[0], row, keys));
    HADAL_OK(gather(p.v[0], row, values));
    for (const int64_t head : {int64_t{0}, c.heads - 1}) {
      const int64_t kv = c.mla() ? 0 : head / group, at = row * c.heads + head;
      std::vector<double> expected(static_cast<size_t>(a.v_dim));
      double sum = 0;
      for (int64_t j = 0; j < c.keys; ++j) {
        double score = 0;
        for (int64_t d = 0; d < a.k_dim; ++d) {
          score += static_cast<double>(p.q[static_cast<size_t>(at * a.k_dim + d)]) *
                   static_cast<double>(
                       Bf16ToFloat(keys[static_cast<size_t>(j * width + kv * a.k_dim + d)]));
        }
        const double weight = std::exp(score * static_cast<double>(a.scale));
        sum += weight;
        for (size_t d = 0; d < expected.size(); ++d) {
          const auto from = static_cast<size_t>(j * width + kv * a.v_dim) + d;
          expected[d] += weight * static_cast<double>(Bf16ToFloat(values[from]));
        }
      }
      for (size_t d = 0; d < expected.size(); ++d) {
        const double is = expected[d] / sum;
        const double difference =
            static_cast<double>(out[static_cast<size_t>(at * a.v_dim) + d]) - is;
        error += difference * difference;
        norm += is * is;
      }
    }
  }
  return std::sqrt(error / norm);
}

// Of one call, the mean over recorded ones that follow one another, of the fastest of several
// times. Each takes the next cache.
Result<double> SecondsOf(const Case& c, Device& device, const Problem& p) {
  const int rounds = device.info().emulated ? 1 : 5;
  const auto attend = [&](int i) {
    const auto cache = static_cast<size_t>(i) % p.k.size();
    AttendRows(device.stream(), c.shape(), p.queries, p.k[cache], p.v[cache], p.index, p.scratch,
               p.out);
  };
  attend(0);  // loads the code
  HADAL_OK(device.Synchronise());
  device.BeginCapture();
  for (int i = 0; i < c.calls; ++i) attend(i);
  HADAL_TRY(const auto graph, device.EndCapture());
  double best = INFINITY;
  for (int i = 0; i <= rounds; ++i) {
    HADAL_OK(device.Synchronise());
    const TimePoint start = Now();
    device.Replay(*graph);
    HADAL_OK(device.Synchronise());
    if (i > 0) best = std::min(best, Seconds(Now() - start) / c.calls);
  }
  attend(0);  // whose result is looked at
  HADAL_OK(device.Synchronise());
  return best;
}

Status Measure(const Case& c, Device& device, const BackendLimits& limits) {
  CardMemory memory(device);
  HADAL_TRY(const Problem p, MakeProblem(c, device, memory));
  HADAL_TRY(const double seconds, SecondsOf(c, device, p));
  HADAL_TRY(const double error, ErrorOfSample(c, device, memory, p));
  const double read = c.bytes() / seconds, rate = c.operations() / seconds;
  fmt::print(
      "{:5d} {:3d} {:4d} {:6d} {:>8s} {:>7s} {:9.1f} {:6.3f} {:5.1f} {:7.1f} {:5.1f}  {:.1e}\n",
      c.heads, c.kv_heads, c.rows, c.keys, NameOf(c.dtype), c.rounded ? "rounded" : "exact",
      seconds * 1e6, read * 1e-12, 100 * read / limits.read_bytes_per_second, rate * 1e-12,
      100 * rate / limits.flops_per_second, error);
  std::fflush(stdout);
  return {};
}

using Arguments = std::map<std::string, std::string, std::less<>>;

std::vector<std::string> Words(const Arguments& arguments, std::string_view name) {
  std::vector<std::string> words;
  for (const auto word : std::views::split(arguments.find(name)->second, ',')) {
    words.emplace_back(word.begin(), word.end());
  }
  return words;
}
std::vector<int64_t> Numbers(const Arguments& arguments, std::string_view name) {
  std::vector<int64_t> numbers;
  for (const std::string& word : Words(arguments, name)) {
    std::from_chars(word.data(), word.data() + word.size(), numbers.emplace_back(0));
  }
  return numbers;
}

std::vector<Case> CasesOf(const Arguments& arguments) {
  std::vector<Case> cases;
  const int64_t kv_heads = Numbers(arguments, "--kv-heads")[0];
  const int64_t dim = Numbers(arguments, "--dim")[0];
  const auto calls = static_cast<int>(Numbers(arguments, "--calls")[0]);
  for (const int64_t heads : Numbers(arguments, "--heads")) {
    for (const int64_t keys : Numbers(arguments, "--keys")) {
      for (const int64_t rows : Numbers(arguments, "--rows")) {
        for (const std::string& cache : Words(arguments, "--cache")) {
          const DType dtype = cache == "fp8" ? DType::kF8E4M3 : DType::kBf16;
          for (const std::string& answers : Words(arguments, "--answers")) {
            cases.push_back({heads, kv_heads, dim, rows, keys, dtype, answers == "rounded", calls});
          }
        }
      }
    }
  }
  return cases;
}

Result<BackendLimits> LimitsOf(int card) {
#ifdef HADAL_CUDA_EMULATED
  HADAL_TRY(const auto backend, NewEmulatedCudaBackend({.device = card}));
#else
  HADAL_TRY(const auto backend, NewCudaBackend({.device = card}));
#endif
  return backend->MeasureLimits();
}

Status Run(const Arguments& arguments) {
  const auto card = static_cast<int>(Numbers(arguments, "--card")[0]);
  HADAL_TRY(const BackendLimits limits, LimitsOf(card));
  HADAL_TRY(const auto device, OpenDevice(card));
  fmt::print("{}: reads {:.3f} TB/s, multiplies at {:.1f} TFLOP/s\n", device->info().name,
             limits.read_bytes_per_second * 1e-12, limits.flops_per_second * 1e-12);
  fmt::print(
      "heads  kv rows   keys    cache answers        us   TB/s     % TFLOP/s     %  error\n");
  std::fflush(stdout);
  for (const Case& c : CasesOf(arguments)) HADAL_OK(Measure(c, *device, limits));
  return {};
}

int Main(int argc, char** argv) {
  Arguments arguments = {{"--heads", "16,128"},  {"--kv-heads", "0"}, {"--dim", "128"},
                         {"--rows", "1,32"},     {"--keys", "16384"}, {"--cache", "bf16,fp8"},
                         {"--answers", "exact"}, {"--calls", "20"},   {"--card", "0"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto at = arguments.find(std::string_view(argv[i]));
    if (at == arguments.end()) {
      fmt::print(stderr, "{}: unknown; see bench/gpu/attention_speed.cc\n", argv[i]);
      return 1;
    }
    at->second = argv[i + 1];
  }
  if (const Status s = Run(arguments); !s) {
    fmt::print(stderr, "{}\n", s.error().message);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace hadal::CUDA_NAMESPACE

int main(int argc, char** argv) { return hadal::CUDA_NAMESPACE::Main(argc, argv); }
