// What the loop of a prompt's products (kernels/cpu/amx/prompt.cc) reaches on one core of a CPU
// with AMX, by where its operands are and what they hold:
//   tile_loop
// On zeros the unit draws less power and its clock stays higher than in use. 16 KB of activations,
// of weights and 4 KB of sums are in L1; "L2" cycles through 256, 128 and 256 KB.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cpu/amx/prompt.cc"

namespace hadal::cpu {
namespace {

constexpr int64_t kElements = 8192;  // of an operand of 32 rows or two panels by 256
constexpr int kRounds = 512, kRepeats = 60;
constexpr double kOperations = 2.0 * 32 * 32 * 256;  // of a stretch

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
std::unique_ptr<T[], Free> Aligned(size_t n) {
  return std::unique_ptr<T[], Free>(static_cast<T*>(std::aligned_alloc(4096, n * sizeof(T))));
}
double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
// The best of kRepeats, in operations per second.
template <class F>
double Best(double operations, F&& run) {
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = Seconds();
    run();
    best = std::min(best, Seconds() - start);
  }
  return operations / best;
}

struct Case {
  const char* name;
  int x, w, sums;  // how many of each are cycled through
};

void Run(bool noise) {
  const auto x = Aligned<uint16_t>(16 * kElements), w = Aligned<uint16_t>(8 * kElements);
  const auto sums = Aligned<float>(64 * 4 * kSumElements);
  uint32_t state = 1;
  const auto value = [&] {
    state = state * 1664525u + 1013904223u;
    return static_cast<uint16_t>(noise ? 0x3f80 | (state >> 16 & 0x807f) : 0);
  };
  std::generate_n(x.get(), 16 * kElements, value);
  std::generate_n(w.get(), 8 * kElements, value);
  std::fill_n(sums.get(), 64 * 4 * kSumElements, 0.0f);
  ConfigureAllRows();
  const auto print = [&](const char* name, double rate) {
    fmt::print("{:<6} {:<32} {:6.0f} GFLOP/s\n", noise ? "noise" : "zeros", name, rate * 1e-9);
  };
  TileLoad<4>(x.get(), kTileBytes);
  TileLoad<5>(x.get() + kTileElements, kTileBytes);
  TileLoad<6>(w.get(), kTileBytes);
  TileLoad<7>(w.get() + kTileElements, kTileBytes);
  print("products only, no loads", Best(kRounds * kOperations, [&] {
          for (int i = 0; i < kRounds * 8; ++i) {
            TileDotBf16<0, 4, 6>();
            TileDotBf16<1, 4, 7>();
            TileDotBf16<2, 5, 6>();
            TileDotBf16<3, 5, 7>();
          }
        }));
  constexpr Case kCases[] = {{"all in L1", 1, 1, 1},
                             {"weights in L2", 1, 8, 1},
                             {"activations in L2", 16, 1, 1},
                             {"sums in L2", 1, 1, 64},
                             {"all in L2", 16, 8, 64}};
  for (const Case& c : kCases) {
    print(c.name, Best(kRounds * kOperations, [&] {
            for (int i = 0; i < kRounds; ++i) {
              const uint16_t* panels = w.get() + i % c.w * kElements;
              Stretch<true, true>(
                  {x.get() + i % c.x * kElements, {panels, panels + kElements / 2}, 8}, false,
                  sums.get() + i % c.sums * 4 * kSumElements);
            }
          }));
  }
  TileRelease();
}

}  // namespace
}  // namespace hadal::cpu

int main() {
  const auto isas = hadal::SupportedIsas();  // asks the kernel for the tiles' state, too
  if (std::find(isas.begin(), isas.end(), hadal::Isa::kAmx) == isas.end()) {
    fmt::print(stderr, "this CPU has no AMX\n");
    return 1;
  }
  hadal::cpu::Run(false);
  hadal::cpu::Run(true);
}
