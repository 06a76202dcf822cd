// Owns: pushing tensors through a WeightWriter in slices of rows that several threads make at once:
// memory holds one batch of slices, whatever the size of the model.
// Must not know where the rows come from. Thread rule: one thread calls; fill runs on the pool's.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "formats/weight_writer.h"

namespace hadal {

struct StreamedTensor {
  DeclaredTensor declared;
  int64_t row_step = 1;  // slices begin at multiples of it
  // Rows [row0, row0 + n) of the tensor seen as [rows, last dimension], as the file stores them.
  // Called from several threads, each row once, after all rows of the tensors before it.
  std::function<Status(int64_t row0, int64_t n, std::byte* out)> fill;

  int64_t cols() const;
  int64_t rows() const;
  int64_t bytes() const;
};

std::vector<DeclaredTensor> DeclarationsOf(std::span<const StreamedTensor> tensors);

struct StreamControl {
  std::function<void(uint64_t done_bytes, uint64_t all_bytes)> progress = {};
  const std::atomic<bool>* stop = nullptr;  // looked at before every batch
};

// The tensors must be those that the writer was opened with, in that order. kCancelled: stopped.
Status StreamTensors(std::span<const StreamedTensor> tensors, WeightWriter& writer,
                     ThreadPool& pool, const StreamControl& control);

}  // namespace hadal
