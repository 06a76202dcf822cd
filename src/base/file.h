// Small files: read with a limit, write atomically.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal {

// Whole file. kNotFound, kIo, or kBadFile when it is larger than max_bytes or not a regular file.
Result<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes);

// Writes to a temporary name beside path, fsyncs and renames: readers see the old or the new file.
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace hadal
