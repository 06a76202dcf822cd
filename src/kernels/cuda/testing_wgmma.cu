// Two warpgroups: one copies 64 values of k at a time into shared memory, the other multiplies.
#include "kernels/cuda/swizzled_rows.h"
#include "kernels/cuda/testing_wgmma.h"
#include "kernels/cuda/wgmma.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kRows = 64, kStep = 64, kRowBytes = 128;
constexpr int kABytes = kRows * kRowBytes;
constexpr int kFilled = 1, kFree = 2, kAll = 2 * kWarpgroup;  // barriers, their threads

// Rows of `width` bf16, at most 64, into rows of 128 bytes.
__device__ void CopyRows(char* to, const uint16_t* from, int64_t ld, int rows, int width) {
  const int chunks = width / 8;
  for (int i = static_cast<int>(threadIdx.x) % kWarpgroup; i < rows * chunks; i += kWarpgroup) {
    const int r = i / chunks, c = i % chunks;
    CopyAsync16(ChunkAt(to, kRowBytes, r, c), from + r * ld + c * 8, true);
  }
}

template <Major kMajor, int kColumns>
__device__ void CopyStep(const WgmmaProduct& p, char* as, char* bs, int k) {
  CopyRows(as, p.a + k, p.k, kRows, kStep);
  if constexpr (kMajor == Major::kK) {
    CopyRows(bs, p.b + k, p.k, kColumns, kStep);
  } else {
    constexpr int kWidth = kColumns < 64 ? kColumns : 64;
    for (int n = 0; n < kColumns; n += 64) {
      const int width = kColumns - n < kWidth ? kColumns - n : kWidth;
      CopyRows(bs + n / 64 * kStep * kRowBytes, p.b + int64_t{k} * kColumns + n, kColumns, kStep,
               width);
    }
  }
  CopyAsyncCommit();
  CopyAsyncWait<0>();
  FenceShared();
}

template <Major kMajor, int kFragments>
__device__ void MultiplyStep(const WgmmaProduct& p, const char* as, const char* bs, int k,
                             float (&sums)[kFragments][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
  uint32_t a[kStep / 16][4];
  for (int part = 0; part < kStep / 16; ++part) {
    for (int i = 0; i < 4; ++i) {
      const int at = (row + i % 2 * 8) * p.k + k + part * 16 + i / 2 * 8 + lane % 4 * 2;
      a[part][i] = *reinterpret_cast<const uint32_t*>(p.a + at);
    }
  }
  WgmmaFence(sums);
#pragma unroll
  for (int part = 0; part < kStep / 16; ++part) {
    const SharedOperand b = kMajor == Major::kK
                                ? AlongK(bs, part)
                                : AlongN(bs + part * 16 * kRowBytes, kStep * kRowBytes);
    const int keep = k + part > 0 ? 1 : 0;
    if (p.a_in_registers) {
      WgmmaBf16<kMajor>(sums, a[part], b, keep);
    } else {
      WgmmaBf16<kMajor>(sums, AlongK(as, part), b, keep);
    }
  }
  WgmmaCommit();
  WgmmaWait<0>(sums);
}

template <Major kMajor, int kColumns>
__global__ void __launch_bounds__(kAll) ProductKernel(WgmmaProduct p) {
  WaitForInputs();
  char *as = SharedMemory(), *bs = as + kABytes;
  if (threadIdx.x >= kWarpgroup) {
    for (int k = 0; k < p.k; k += kStep) {
      if (k > 0) SyncThreads(kFree, kAll);
      CopyStep<kMajor, kColumns>(p, as, bs, k);
      ArriveThreads(kFilled, kAll);
    }
    return;
  }
  float sums[kColumns / 8][4];  // the first product sets them
  for (int k = 0; k < p.k; k += kStep) {
    SyncThreads(kFilled, kAll);
    MultiplyStep<kMajor>(p, as, bs, k, sums);
    if (k + kStep < p.k) ArriveThreads(kFree, kAll);
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
  for (int j = 0; j < kColumns / 8; ++j) {
    for (int e = 0; e < 4; ++e) {
      p.out[(row + e / 2 * 8) * kColumns + j * 8 + lane % 4 * 2 + e % 2] = sums[j][e];
    }
  }
}

template <int kColumns>
void MultiplyIf(Stream& s, const WgmmaProduct& p) {
  if (p.columns != kColumns) return;
  const auto kernel = p.contiguous_columns ? ProductKernel<Major::kN, kColumns>
                                           : ProductKernel<Major::kK, kColumns>;
  const size_t columns = p.contiguous_columns ? (kColumns + 63) / 64 * 64 : kColumns;
  Launch(s, dim3(1), kAll, kABytes + columns * kRowBytes, kernel, p);
}

}  // namespace

void MultiplyByWgmma(Stream& s, const WgmmaProduct& p) {
  MultiplyIf<8>(s, p);
  MultiplyIf<16>(s, p);
  MultiplyIf<32>(s, p);
  MultiplyIf<64>(s, p);
  MultiplyIf<96>(s, p);
  MultiplyIf<128>(s, p);
  MultiplyIf<160>(s, p);
  MultiplyIf<192>(s, p);
  MultiplyIf<224>(s, p);
  MultiplyIf<256>(s, p);
}

}  // namespace hadal::CUDA_NAMESPACE
