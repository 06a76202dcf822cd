// Owns: the matrix instructions of a warpgroup (sm_90a): d += a b of four warps, asynchronously, b
// and, unless it is in registers, a read from shared memory by the matrix unit itself. Their order:
//
//   write shared memory; FenceShared(); a barrier;     what the matrix unit is to read
//   WgmmaFence(sums);                                  registers are as they should be
//   WgmmaBf16(sums, a, b); ...                         nothing has happened yet
//   WgmmaCommit(); WgmmaWait<kPending>(sums);          all groups but the last kPending are done
//
// Until the wait the sums are not read or written and the shared memory is not overwritten. All
// threads of a warpgroup call all of this together. Code for other architectures may contain calls,
// but must not reach them. Only .cu files include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kWarpgroup = 128;

// Where kernels may use them; elsewhere they end in a trap.
#if defined(HADAL_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HADAL_WGMMA 1
#endif

// Where an operand lies in shared memory: rows of 128 bytes (64 bf16), eight after another from
// multiples of 1024 bytes on, chunks in the places that ChunkAt of swizzled_rows.h gives.
enum class Major {
  kK,  // a row holds values of k: row r is row r of a, column r of b
  kN,  // of b: a row holds 64 columns of one k
};
struct SharedOperand {
  uint64_t bits = 0;  // PTX ISA, matrix descriptor of wgmma

  // The same so many bytes on, a multiple of 16.
  __device__ SharedOperand operator+(int bytes) const {
    return {bits + static_cast<uint32_t>(bytes) / 16};
  }
};
__device__ inline SharedOperand OperandAt(uint32_t at, int next_columns, int next_eight) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  const auto field = [](int bytes) { return uint64_t{static_cast<uint32_t>(bytes)} >> 4; };
  return {uint64_t{(at & 0x3ffff) >> 4} | field(next_columns) << 16 | field(next_eight) << 32 |
          kSwizzle128};
}

}  // namespace hadal::CUDA_NAMESPACE

#ifdef HADAL_CUDA_EMULATED
#include "kernels/cuda/emulated/wgmma.h"
#else

namespace hadal::cuda {

__device__ inline uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
// What this thread wrote to shared memory (copies: those it has waited for) may be read by the
// matrix unit, once a barrier has told it so.
__device__ inline void FenceShared() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Barrier 1 .. 15 of a block for `threads` of its threads, whole warps.
__device__ inline void SyncThreads(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
// Counts as one of them without waiting.
__device__ inline void ArriveThreads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// Registers of each thread of a warpgroup from here on, a multiple of 8: fewer, or more, which
// waits until other warpgroups of the block have given them up.
template <int kRegisters>
__device__ inline void FewerRegisters() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
__device__ inline void MoreRegisters() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

// The compiler takes the values to be used and made here.
template <int kFragments>
__device__ inline void KeepHere(float (&d)[kFragments][4]) {
#pragma unroll
  for (int i = 0; i < kFragments; ++i) {
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(d[i][e])::"memory");
  }
}
template <class... Sums>
__device__ inline void WgmmaFence(Sums&... sums) {
  (KeepHere(sums), ...);
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ inline void WgmmaCommit() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int kPending, class... Sums>
__device__ inline void WgmmaWait(Sums&... sums) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#endif
  (KeepHere(sums), ...);
}

// ---- the instructions, for every count of columns: names and operands of four values each.
#define HADAL_D(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define HADAL_D2(j) HADAL_D(j), HADAL_D(j + 1)
#define HADAL_D4(j) HADAL_D2(j), HADAL_D2(j + 2)
#define HADAL_N1 "%0,%1,%2,%3"
#define HADAL_N2 HADAL_N1 ",%4,%5,%6,%7"
#define HADAL_N4 HADAL_N2 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define HADAL_N8 HADAL_N4 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define HADAL_N12 HADAL_N8 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define HADAL_N16 HADAL_N12 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define HADAL_N20 HADAL_N16 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define HADAL_N24 HADAL_N20 ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define HADAL_N28 \
  HADAL_N24 ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111"
#define HADAL_N32 \
  HADAL_N28 ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define HADAL_D1_OF HADAL_D(0)
#define HADAL_D2_OF HADAL_D2(0)
#define HADAL_D4_OF HADAL_D4(0)
#define HADAL_D8_OF HADAL_D4_OF, HADAL_D4(4)
#define HADAL_D12_OF HADAL_D8_OF, HADAL_D4(8)
#define HADAL_D16_OF HADAL_D12_OF, HADAL_D4(12)
#define HADAL_D20_OF HADAL_D16_OF, HADAL_D4(16)
#define HADAL_D24_OF HADAL_D20_OF, HADAL_D4(20)
#define HADAL_D28_OF HADAL_D24_OF, HADAL_D4(24)
#define HADAL_D32_OF HADAL_D28_OF, HADAL_D4(28)

#define HADAL_INSTRUCTION(n) "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 "
// One instruction by its count of eights of columns, of columns, and the numbers of the operands
// that follow the sums.
#define HADAL_WGMMA_SHARED(eights, n, p0, p1, p2, p3)                                         \
  if constexpr (kColumns == n) {                                                              \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #p2                                       \
                 ", 0; " HADAL_INSTRUCTION(n) "{" HADAL_N##eights "}, %" #p0 ", %" #p1        \
                                                                  ", p, 1, 1, 0, %" #p3 "; }" \
                 : HADAL_D##eights##_OF                                                       \
                 : "l"(a.bits), "l"(b.bits), "r"(keep), "n"(kMajor == Major::kN ? 1 : 0));    \
  }
#define HADAL_WGMMA_REGISTERS(eights, n, p0, p1, p2, p3, p4, p5, p6)                        \
  if constexpr (kColumns == n) {                                                            \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #p5                                     \
                 ", 0; " HADAL_INSTRUCTION(n) "{" HADAL_N##eights                           \
                 "}, {%" #p0 ",%" #p1 ",%" #p2 ",%" #p3 "}, %" #p4 ", p, 1, 1, %" #p6 "; }" \
                 : HADAL_D##eights##_OF                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(keep),      \
                   "n"(kMajor == Major::kN ? 1 : 0));                                       \
  }

template <Major kMajor, int kFragments>
__device__ inline void WgmmaBf16(float (&d)[kFragments][4], SharedOperand a, SharedOperand b,
                                 int keep = 1) {
  constexpr int kColumns = kFragments * 8;
  static_assert(kColumns == 8 || kColumns == 16 || (kColumns % 32 == 0 && kColumns <= 256));
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  HADAL_WGMMA_SHARED(1, 8, 4, 5, 6, 7)
  HADAL_WGMMA_SHARED(2, 16, 8, 9, 10, 11)
  HADAL_WGMMA_SHARED(4, 32, 16, 17, 18, 19)
  HADAL_WGMMA_SHARED(8, 64, 32, 33, 34, 35)
  HADAL_WGMMA_SHARED(12, 96, 48, 49, 50, 51)
  HADAL_WGMMA_SHARED(16, 128, 64, 65, 66, 67)
  HADAL_WGMMA_SHARED(20, 160, 80, 81, 82, 83)
  HADAL_WGMMA_SHARED(24, 192, 96, 97, 98, 99)
  HADAL_WGMMA_SHARED(28, 224, 112, 113, 114, 115)
  HADAL_WGMMA_SHARED(32, 256, 128, 129, 130, 131)
#else
  __trap();
#endif
}
template <Major kMajor, int kFragments>
__device__ inline void WgmmaBf16(float (&d)[kFragments][4], const uint32_t (&a)[4], SharedOperand b,
                                 int keep = 1) {
  constexpr int kColumns = kFragments * 8;
  static_assert(kColumns == 8 || kColumns == 16 || (kColumns % 32 == 0 && kColumns <= 256));
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  HADAL_WGMMA_REGISTERS(1, 8, 4, 5, 6, 7, 8, 9, 10)
  HADAL_WGMMA_REGISTERS(2, 16, 8, 9, 10, 11, 12, 13, 14)
  HADAL_WGMMA_REGISTERS(4, 32, 16, 17, 18, 19, 20, 21, 22)
  HADAL_WGMMA_REGISTERS(8, 64, 32, 33, 34, 35, 36, 37, 38)
  HADAL_WGMMA_REGISTERS(12, 96, 48, 49, 50, 51, 52, 53, 54)
  HADAL_WGMMA_REGISTERS(16, 128, 64, 65, 66, 67, 68, 69, 70)
  HADAL_WGMMA_REGISTERS(20, 160, 80, 81, 82, 83, 84, 85, 86)
  HADAL_WGMMA_REGISTERS(24, 192, 96, 97, 98, 99, 100, 101, 102)
  HADAL_WGMMA_REGISTERS(28, 224, 112, 113, 114, 115, 116, 117, 118)
  HADAL_WGMMA_REGISTERS(32, 256, 128, 129, 130, 131, 132, 133, 134)
#else
  __trap();
#endif
}

}  // namespace hadal::cuda
#endif

namespace hadal::CUDA_NAMESPACE {

// d [64, 8 kFragments] += a [64, 16] b; with keep 0, d = a b. Warp w of the group has rows 16 w ..
// 16 w + 15 of d and, in registers, of a, in the fragments of MmaBf16: lane l has of d[j] rows l /
// 4 and, in elements 2 and 3, l / 4 + 8, columns 8 j + l % 4 * 2 and the next. 8, 16, 32, 64, 96,
// 128, 160, 192, 224 or 256 columns:
//   WgmmaBf16<Major of b>(sums, a, b, keep)

// 16 values of k, `part` of the 64 that rows have: `rows` is the first of them, at a multiple of
// 1024 bytes; the next eight rows are `next_eight` bytes on.
__device__ inline SharedOperand AlongK(const void* rows, int part, int next_eight = 1024) {
  return OperandAt(SharedAddress(rows) + static_cast<uint32_t>(part) * 32, 16, next_eight);
}
// Columns of b with Major::kN: `rows` are 16 rows, of a k each, from a multiple of 1024 bytes on;
// the next 64 columns are `next_columns` bytes on.
__device__ inline SharedOperand AlongN(const void* rows, int next_columns, int next_eight = 1024) {
  return OperandAt(SharedAddress(rows), next_columns, next_eight);
}

}  // namespace hadal::CUDA_NAMESPACE
