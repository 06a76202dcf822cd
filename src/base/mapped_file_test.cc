#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "base/file.h"

namespace hadal {
namespace {

TEST(MappedFile, AFileThatShrinksReadsAsZerosAndIsReportedDamaged) {
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_mapped_test";
  std::ofstream(path) << std::string(64 * 1024, 'x');
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_FALSE((*file)->damaged());
  EXPECT_EQ(static_cast<char>((*file)->bytes()[60000]), 'x');
  std::filesystem::resize_file(path, 4096);
  int sum = 0;
  for (std::byte b : (*file)->bytes().subspan(8192)) sum += static_cast<int>(b);
  EXPECT_EQ(sum, 0);
  EXPECT_TRUE((*file)->damaged());
  std::filesystem::remove(path);
}

// One page at a time would need more mappings than a process may have.
TEST(MappedFile, EverySecondPageOfALargeFileThatShrankCanBeRead) {
  constexpr size_t kPages = 150'000;
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_mapped_large_test";
  std::ofstream(path) << "x";
  std::filesystem::resize_file(path, kPages * 4096);  // no blocks on disk
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  std::filesystem::resize_file(path, 1);
  int sum = 0;
  for (size_t page = 1; page < kPages; page += 2) {
    sum += static_cast<int>((*file)->bytes()[page * 4096]);
  }
  EXPECT_EQ(sum, 0);
  EXPECT_TRUE((*file)->damaged());
  std::filesystem::remove(path);
}

TEST(MappedFile, ACutInsideTheLastPageIsReportedToo) {
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_mapped_tail_test";
  std::ofstream(path) << std::string(5000, 'x');
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.has_value());
  EXPECT_FALSE((*file)->damaged());
  std::filesystem::resize_file(path, 4990);
  EXPECT_TRUE((*file)->damaged());
  std::filesystem::remove(path);
}

TEST(MappedFile, DroppedPagesAreReadFromTheFileAgain) {
  const std::string path = testing::TempDir() + "/hadal_mapped_drop";
  const std::string text(100'000, 'x');
  ASSERT_TRUE(WriteFileAtomically(path, text));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file);
  const auto same = [&] { return std::memcmp((*file)->bytes().data(), text.data(), text.size()); };
  EXPECT_EQ(same(), 0);
  (*file)->DropPages();
  EXPECT_EQ(same(), 0);
  EXPECT_FALSE((*file)->damaged());
  unlink(path.c_str());
}

TEST(MappedFile, RefusesWhatIsNotARegularFile) {
  EXPECT_EQ(MappedFile::Open("/tmp").error().code, ErrorCode::kBadFile);
  EXPECT_EQ(MappedFile::Open("/nonexistent/x").error().code, ErrorCode::kNotFound);
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_mapped_fifo";
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::Open(path).error().code, ErrorCode::kBadFile);  // and does not wait
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace hadal
