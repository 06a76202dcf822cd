// Owns: what it takes to measure the cost of loading a model: its memory as the kernel counts it,
// a page cache without its files, and what the disk gives without a loader. Must not know models.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "cli/commands.h"
#include "kernels/backend.h"

namespace hadal::cli {

struct ProcessMemory {
  uint64_t peak_resident = 0;  // VmHWM: pages of mapped files are in it
  uint64_t anonymous = 0;      // RssAnon, now: without them
};
// kIo when /proc cannot be read.
Result<ProcessMemory> MemoryOfThisProcess();

// Asks the kernel to forget the pages of a file, or of every file of a directory, so that the next
// reader waits for the disk. Pages that some process has mapped stay. kIo names the file.
Status DropFromPageCache(const std::filesystem::path& path);

struct DiskRead {
  uint64_t bytes = 0;
  double seconds = 0;
  bool past_cache =
      false;  // O_DIRECT; false: the filesystem refuses, it was read through the cache
};
// Reads a file, or every file of a directory, from its first byte to its last and does nothing
// else: two requests of 4 MiB at a time. kIo names the file.
Result<DiskRead> ReadFromDisk(const std::filesystem::path& path);

// What a load copied to a GPU: how fast while it copied, and over the whole load.
std::string Describe(const Shared& shared, const LinkUse& link, double load_seconds);

}  // namespace hadal::cli
