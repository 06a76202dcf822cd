// What the kernels of matrices in blocks reach, one type and number of rows at a time:
//   block_kernels [--json] [--isa NAME] [--types q4_k,q6_k] [--rows 1,8,512] [--threads N]
//                 [--cols K] [--mib M] [--rounds N]
// On every instruction set of this CPU (or one), [rows, cols] activations are multiplied by panels
// of random blocks of M MiB in all, larger than the caches; a round takes as many of them as a
// second holds a hundred rounds, the next round those that follow. Before anything is timed, the
// kernels must give the bits of the scalar definition. Beside the rates stand what this machine
// reads and multiplies at most, measured in the same run: AVX2 has float32 arithmetic for a peak.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "cli/machine_limits.h"
#include "core/tensor.h"
#include "kernels/cpu/kernel_table.h"
#include "quant/quant_type.h"

namespace hadal {
namespace {

using cpu::BlockFormat;
using cpu::KernelTable;
using cpu::MatMulTile;

struct Options {
  bool json = false;
  std::string isa;
  std::vector<std::string> types;
  std::vector<int64_t> rows = {1, 2, 4, 8, 16, 32, 64, 512};
  int threads = UsableCpus();
  int64_t cols = 2048, mib = 256, rounds = 15;
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
    const int64_t number = std::strtoll(value.c_str(), nullptr, 10);
    if (name == "--isa") {
      o.isa = value;
    } else if (name == "--types") {
      o.types = Pieces(value);
    } else if (name == "--rows") {
      o.rows.clear();
      for (const std::string& n : Pieces(value)) o.rows.push_back(std::atoll(n.c_str()));
    } else if (name == "--threads") {
      o.threads = static_cast<int>(number);
    } else if (name == "--cols") {
      o.cols = number;
    } else if (name == "--mib") {
      o.mib = number;
    } else if (name == "--rounds") {
      o.rounds = number;
    } else {
      return false;
    }
  }
  const auto positive = [](int64_t n) { return n > 0; };
  return o.threads > 0 && o.mib > 0 && o.rounds > 0 && o.cols > 0 && o.cols % 256 == 0 &&
         !o.rows.empty() && std::all_of(o.rows.begin(), o.rows.end(), positive);
}

KernelTable TableOf(Isa isa) {
  KernelTable table = {};
  cpu::FillRef(&table);
#if defined(__x86_64__)
  if (isa >= Isa::kAvx2) cpu::FillAvx2(&table);
  if (isa >= Isa::kAvx512) cpu::FillAvx512(&table);
  if (isa == Isa::kAmxEmulated) cpu::FillAmxEmulated(&table);
  if (isa == Isa::kAmx) cpu::FillAmx(&table);
#endif
  return table;
}

// Panels of random codes under ordinary scales.
Buffer RandomPanels(const BlockFormat& f, int64_t blocks) {
  auto buffer = Buffer::Allocate(static_cast<size_t>(blocks * cpu::BlockBytes(f)));
  if (!buffer) std::exit(1);
  auto* bytes = static_cast<uint8_t*>(buffer->data());
  std::mt19937_64 random(1);
  for (size_t i = 0; i + 8 <= buffer->size(); i += 8) {
    const uint64_t word = random();
    std::memcpy(bytes + i, &word, 8);
  }
  const bool two = f.scales == cpu::Scales::kHalfMin || f.scales >= cpu::Scales::kSuperMin;
  for (int64_t b = 0; b < blocks; ++b) {
    for (int i = 0; i < (two ? 32 : 16); ++i) {
      const auto half = static_cast<uint16_t>(0x2000 + (random() & 0x7ff));
      std::memcpy(bytes + b * cpu::BlockBytes(f) + 2 * i, &half, 2);
    }
  }
  return std::move(*buffer);
}

class Case {
 public:
  Case(QuantType type, int64_t rows, const Options& o)
      : format_(static_cast<int>(type)), rows_(rows), cols_(o.cols) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    x_.resize(static_cast<size_t>(rows * cols_));
    for (float& v : x_) v = normal(random);
    groups8_.resize(static_cast<size_t>(rows * cpu::RowGroups(cols_)));
    groups16_.resize(groups8_.size());
  }

  const BlockFormat& format() const { return cpu::kBlockFormats[format_]; }
  double bytes(int64_t panels) const {
    return static_cast<double>(panels * cpu::PanelBytesBlocks(format(), cols_));
  }
  double operations(int64_t panels) const {
    return 2.0 * static_cast<double>(rows_ * panels * cpu::kPanel * cols_);
  }

  void Quantise(const KernelTable& table) {
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t first = r * cpu::RowGroups(cols_);
      table.quantise_groups8(x_.data() + r * cols_, cols_, groups8_.data() + first);
      table.quantise_groups16(x_.data() + r * cols_, cols_, groups16_.data() + first);
    }
  }
  // The product with panels [first, first + n).
  MatMulTile Tile(const Buffer& panels, int64_t first, int64_t n) {
    out_.resize(std::max(out_.size(), static_cast<size_t>(rows_ * n * cpu::kPanel)));
    MatMulTile t = {};
    t.x = format().x_parts == 1 ? static_cast<const void*>(groups8_.data()) : groups16_.data();
    t.ldx = cpu::RowGroups(cols_);
    t.w = static_cast<const std::byte*>(panels.data()) +
          first * cpu::PanelBytesBlocks(format(), cols_);
    t.block_format = format_;
    t.out = out_.data();
    t.n = t.ldo = n * cpu::kPanel;
    t.m = rows_;
    t.k = cols_;
    t.panel1 = n;
    return t;
  }
  std::vector<float> Product(const KernelTable& table, const Buffer& panels, int64_t n) {
    Quantise(table);
    const MatMulTile t = Tile(panels, 0, n);
    table.matmul_blocks[format_](t);
    return {t.out, t.out + t.m * t.n};
  }

 private:
  int format_;
  int64_t rows_, cols_;
  std::vector<float> x_, out_;
  std::vector<cpu::ActivationGroup8> groups8_;
  std::vector<cpu::ActivationGroup16> groups16_;
};

struct Rates {
  double median = 0, least = 0, most = 0;  // seconds of a round
  int64_t panels = 0;                      // of a round
};

// As the backend does it: parts of panels for whoever is free.
Rates Measure(Case& c, const KernelTable& table, const Buffer& panels, ThreadPool& pool,
              const Options& o) {
  const auto all = static_cast<int64_t>(panels.size()) / cpu::PanelBytesBlocks(c.format(), o.cols);
  const int parts = 6 * pool.size();
  const auto run = [&](int64_t first, int64_t n) {
    const MatMulTile whole = c.Tile(panels, first, n);
    const TimePoint start = Now();
    pool.ForEach(parts, [&](int part, int) {
      MatMulTile t = whole;
      t.panel0 = n * part / parts;
      t.panel1 = n * (part + 1) / parts;
      table.matmul_blocks[t.block_format](t);
    });
    return Seconds(Now() - start);
  };
  c.Quantise(table);
  const int64_t few = std::min<int64_t>(all, 4 * parts);
  run(0, few);
  const double panel_seconds = run(0, few) / static_cast<double>(few);
  Rates r;
  r.panels = std::clamp(static_cast<int64_t>(0.01 / panel_seconds), few, all);
  std::vector<double> seconds;
  for (int64_t i = 0, first = 0; i < o.rounds; ++i, first += r.panels) {
    if (first + r.panels > all) first = 0;
    seconds.push_back(run(first, r.panels));
  }
  std::sort(seconds.begin(), seconds.end());
  r.least = seconds.front();
  r.median = seconds[seconds.size() / 2];
  r.most = seconds.back();
  return r;
}

// 1: a kernel is wrong.
int MeasureIsa(Isa isa, const Options& o, const std::vector<QuantType>& types,
               nlohmann::json& report) {
  const auto limits = cli::MeasureLimits(isa, WeightFormat::kInt8, o.threads);
  if (!limits) return 1;
  const KernelTable table = TableOf(isa), scalar = TableOf(Isa::kRef);
  ThreadPool pool(o.threads);
  const double read = limits->read_bytes_per_second, peak = limits->flops_per_second;
  if (!o.json) {
    fmt::print("{}, {} threads, reads {:.1f} GB/s, multiplies {:.0f} GOP/s\n", NameOf(isa),
               o.threads, read / 1e9, peak / 1e9);
    fmt::print("{:<8} {:>5} {:>16} {:>7} {:>16} {:>7}   (median, spread)\n", "type", "rows", "GB/s",
               "of read", "GOP/s", "of peak");
  }
  for (QuantType type : types) {
    const BlockFormat& f = cpu::kBlockFormats[static_cast<int>(type)];
    const int64_t blocks = o.cols / cpu::BlockK(f);
    const int64_t n = std::max<int64_t>(12, (o.mib << 20) / cpu::PanelBytesBlocks(f, o.cols));
    const Buffer panels = RandomPanels(f, n * blocks);
    for (int64_t rows : o.rows) {
      Case c(type, rows, o);
      if (c.Product(table, panels, 3) != c.Product(scalar, panels, 3)) {
        fmt::print("{} {} {}: not the bits of the scalar definition\n", NameOf(isa), NameOf(type),
                   rows);
        return 1;
      }
      const Rates r = Measure(c, table, panels, pool, o);
      const double gb = c.bytes(r.panels) / 1e9, gop = c.operations(r.panels) / 1e9;
      report["rows"].push_back({{"isa", NameOf(isa)},
                                {"type", NameOf(type)},
                                {"rows", rows},
                                {"gb_per_second", gb / r.median},
                                {"gb_per_second_most", gb / r.least},
                                {"gb_per_second_least", gb / r.most},
                                {"gop_per_second", gop / r.median},
                                {"share_of_read", gb / r.median * 1e9 / read},
                                {"share_of_peak", gop / r.median * 1e9 / peak}});
      if (o.json) continue;
      fmt::print(
          "{:<8} {:>5} {:>6.1f} {:>4.1f}-{:<4.1f} {:>6.0f}% {:>6.0f} {:>4.0f}-{:<4.0f} {:>6.0f}%\n",
          NameOf(type), rows, gb / r.median, gb / r.most, gb / r.least,
          100e9 * gb / r.median / read, gop / r.median, gop / r.most, gop / r.least,
          100e9 * gop / r.median / peak);
    }
  }
  report["limits"].push_back(
      {{"isa", NameOf(isa)}, {"read_bytes_per_second", read}, {"operations_per_second", peak}});
  return 0;
}

int Run(const Options& o) {
  std::vector<QuantType> types;
  for (int i = 0; i < kQuantTypes; ++i) {
    const std::string name(NameOf(static_cast<QuantType>(i)));
    if (o.types.empty() || std::find(o.types.begin(), o.types.end(), name) != o.types.end()) {
      types.push_back(static_cast<QuantType>(i));
    }
  }
  nlohmann::json report = {{"threads", o.threads}, {"cols", o.cols}};
  for (Isa isa : SupportedIsas()) {
    const bool measured = isa != Isa::kRef && isa != Isa::kAmxEmulated;
    if (o.isa.empty() ? !measured : NameOf(isa) != o.isa) continue;
    if (const int failed = MeasureIsa(isa, o, types, report); failed != 0) return failed;
  }
  if (o.json) fmt::print("{}\n", report.dump(2));
  return 0;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  hadal::Options options;
  if (!hadal::Parse(argc, argv, options)) {
    fmt::print(stderr, "see the top of bench/cpu/block_kernels.cc; --cols is a multiple of 256\n");
    return 2;
  }
  return hadal::Run(options);
}
