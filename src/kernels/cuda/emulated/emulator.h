// Owns: running one block of a kernel at a time, its threads as fibers of one CPU thread. Between
// two barriers the threads run one after another in an order drawn anew each time, so that a
// missing barrier shows. Waiting for threads that returned or wait elsewhere is a CHECK.
// Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace hadal::cuda_emulated {

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_in = 1, unsigned y_in = 1, unsigned z_in = 1) : x(x_in), y(y_in), z(z_in) {}
};

// Of the running thread.
extern dim3 gridDim, blockDim, blockIdx, threadIdx;

void RunGrid(const dim3& grid, int threads, size_t shared, const std::function<void()>& kernel);

// What the card has, for tests: allocations beyond it fail.
void SetCardMemory(size_t bytes);
// What goes wrong from now on, for tests.
enum class Fault { kNone, kRecording, kMissingCode, kLost };
void SetFault(Fault fault);
// Whether cards that are opened from now on are of compute capability 9.0, true at first: they have
// the kernels of wgmma.h, and 227 KiB of shared memory a block instead of 99 as 8.6, 8.9 and 12.0.
void SetCardWarpgroups(bool has);

char* SharedMemory();  // at a multiple of 1024 bytes, as large as asked for, filled with 0xff
                       // before every block
void SyncBlock();
void SyncWarp();
// A value of each lane of the warp for all lanes: gives the 32 values, kExchangeStride apart, valid
// until the next exchange of the warp. `bytes` is at most kExchangeStride. The last lane to come
// calls `combine`, if there is one, which may replace the values.
const std::byte* Exchange(const void* value, size_t bytes, void (*combine)(std::byte*) = nullptr);
constexpr size_t kExchangeStride = 64;
// 16 bytes that arrive when their thread waits for the group they are committed with.
void CopyLater(void* to, const void* from, bool valid);
void CommitCopies();
void WaitForCopies(int pending_groups);
// Chunks of 16 bytes that the thread's copies filled may be read by the matrix unit from here on;
// CheckFenced: that all are that.
void FenceCopies();
void CheckFenced(const void* shared);
// Of barrier 1 .. 15 for so many threads: with the others, or without waiting for them.
void JoinNamed(int barrier, int threads, bool waits);
// Products that are finished when their thread waits for the group they are committed with. They
// are given after a fence; after a wait another one is due.
void FenceProducts();
void ProductLater(std::function<void()> finish);
void CommitProducts();
void WaitForProducts(int pending_groups);
bool DrawBit();
// A barrier of the copy engine, named by its place in shared memory: every fill is told how many
// bytes it has, and passes for those who wait for it when they have come.
void InitFill(const void* barrier);
void ExpectBytes(const void* barrier, int bytes);
void BringBytes(const void* barrier, int bytes, std::function<void()> copy);
void AwaitBytes(const void* barrier, int fill);

}  // namespace hadal::cuda_emulated
