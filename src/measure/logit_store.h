// Owns: the first model's logits while the second one is in memory: few of them in memory, many in
// a file that has no name, so that nothing is left when the process dies.
// Must not know models. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"

namespace hadal {

struct LogitStoreOptions {
  size_t max_memory_bytes = 0;      // more than this goes to a file
  std::filesystem::path directory;  // of that file
};

class LogitStore {
 public:
  // Rows of `width` values. kIo: the directory cannot hold them, with the bytes needed and free.
  static Result<std::unique_ptr<LogitStore>> Create(int64_t rows, int64_t width,
                                                    const LogitStoreOptions& options);
  virtual ~LogitStore() = default;
  virtual bool in_file() const = 0;
  virtual Status Append(std::span<const float> values) = 0;  // whole rows
  virtual Status ReadNext(std::span<float> values) = 0;      // from the first row on, in order
};

}  // namespace hadal
