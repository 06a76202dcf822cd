// The matrix instructions of a warpgroup for the host compiler: each thread computes its own sums.
// Operands in shared memory are read when the instruction is given or when it is waited for, drawn
// anew each time, so that memory written too late or overwritten too early shows; sums change at
// the wait. Included by kernels/cuda/wgmma.h only.
#pragma once

#include <array>
#include <vector>

namespace hadal::cuda_emulated {

inline uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(static_cast<const char*>(p) - SharedMemory());
}
inline void FenceShared() { FenceCopies(); }
inline void SyncThreads(int barrier, int threads) { JoinNamed(barrier, threads, true); }
inline void ArriveThreads(int barrier, int threads) { JoinNamed(barrier, threads, false); }

template <int kRegisters>
void FewerRegisters() {}
template <int kRegisters>
void MoreRegisters() {}

template <class... Sums>
void WgmmaFence(Sums&...) {
  FenceProducts();
}
inline void WgmmaCommit() { CommitProducts(); }
template <int kPending, class... Sums>
void WgmmaWait(Sums&...) {
  WaitForProducts(kPending);
}

using K16 = std::array<float, 16>;
inline K16 UnpackK16(const uint32_t (&words)[8]) {
  K16 v;
  for (int i = 0; i < 16; ++i) v[static_cast<size_t>(i)] = UnpackBf16(words[i / 2], i % 2);
  return v;
}
// Value k of row `row` of an operand.
inline const void* OperandChunk(SharedOperand o, Major major, int row, int k) {
  const auto field = [&](int at) { return static_cast<int>(o.bits >> at & 0x3fff) << 4; };
  const bool along_k = major == Major::kK;
  const int eight = along_k ? row : k, across = along_k ? k : row;
  int at = field(0) + eight / 8 * field(32) + eight % 8 * 128 + across % 64 * 2;
  if (!along_k) at += across / 64 * field(16);
  at ^= (at >> 7 & 7) << 4;
  const char* p = SharedMemory() + at;
  CheckFenced(p);
  return p;
}
inline K16 ReadOperand(SharedOperand o, Major major, int row) {
  uint32_t words[8] = {};
  const int each = major == Major::kK ? 8 : 1;
  for (int k = 0; k < 16; k += each) {
    std::memcpy(reinterpret_cast<char*>(words) + k * 2, OperandChunk(o, major, row, k),
                static_cast<size_t>(each) * 2);
  }
  return UnpackK16(words);
}

// A thread's rows of a, and what it adds to its sums.
struct WgmmaRows {
  K16 row[2];  // g and g + 8 of its warp's
};
template <Major kMajor, int kFragments>
std::vector<float> WgmmaSums(const WgmmaRows& a, SharedOperand b, int lane) {
  std::vector<float> sums;
  for (int j = 0; j < kFragments; ++j) {
    const int column = j * 8 + lane % 4 * 2;
    const K16 columns[2] = {ReadOperand(b, kMajor, column), ReadOperand(b, kMajor, column + 1)};
    for (int e = 0; e < 4; ++e) {
      float sum = 0;
      for (size_t k = 0; k < 16; ++k) sum += a.row[e / 2][k] * columns[e % 2][k];
      sums.push_back(sum);
    }
  }
  return sums;
}
template <Major kMajor, int kFragments, class ReadA>
void WgmmaLater(float (&d)[kFragments][4], const ReadA& read_a, SharedOperand b, int keep) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  std::vector<float> sums;
  if (DrawBit()) sums = WgmmaSums<kMajor, kFragments>(read_a(), b, lane);
  ProductLater([=, sums = std::move(sums), to = &d[0][0]] {
    const auto add = [&](const std::vector<float>& v) {
      for (size_t i = 0; i < v.size(); ++i) to[i] = (keep != 0 ? to[i] : 0.0f) + v[i];
    };
    add(sums.empty() ? WgmmaSums<kMajor, kFragments>(read_a(), b, lane) : sums);
  });
}
template <Major kMajor, int kFragments>
void WgmmaBf16(float (&d)[kFragments][4], SharedOperand a, SharedOperand b, int keep = 1) {
  const int row = static_cast<int>(threadIdx.x % kWarpgroup / 32 * 16 + threadIdx.x % 32 / 4);
  const auto read_a = [=]() -> WgmmaRows {
    return {{ReadOperand(a, Major::kK, row), ReadOperand(a, Major::kK, row + 8)}};
  };
  WgmmaLater<kMajor>(d, read_a, b, keep);
}
template <Major kMajor, int kFragments>
void WgmmaBf16(float (&d)[kFragments][4], const uint32_t (&a)[4], SharedOperand b, int keep = 1) {
  // Of the four lanes of a row: words 0 and 2 are row g, 1 and 3 row g + 8; see MmaOperands.
  const std::byte* all = Exchange(a, sizeof a);
  uint32_t words[2][8];
  for (unsigned t = 0; t < 4; ++t) {
    uint32_t of[4];
    std::memcpy(of, all + (threadIdx.x % 32 / 4 * 4 + t) * kExchangeStride, sizeof of);
    for (unsigned i = 0; i < 4; ++i) words[i % 2][i / 2 * 4 + t] = of[i];
  }
  const WgmmaRows rows = {{UnpackK16(words[0]), UnpackK16(words[1])}};
  WgmmaLater<kMajor>(d, [=] { return rows; }, b, keep);
}

}  // namespace hadal::cuda_emulated
