#include "base/mapped_file.h"

#include <fcntl.h>
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

TEST(MappedFile, ReleasedPagesAreReadFromTheFileAgain) {
  const std::string path = testing::TempDir() + "/hadal_mapped_release";
  std::string text(100'000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 / 5);
  ASSERT_TRUE(WriteFileAtomically(path, text));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file);
  const auto same = [&] { return std::memcmp((*file)->bytes().data(), text.data(), text.size()); };
  const auto pages = (*file)->PagesOf((*file)->bytes().subspan(5000, 90'000));
  EXPECT_EQ(pages.begin, 4096u);
  EXPECT_EQ(pages.end, 98'304u);
  const auto all = (*file)->PagesOf((*file)->bytes());
  EXPECT_EQ(same(), 0);
  (*file)->Release(pages);
  EXPECT_EQ(same(), 0);
  (*file)->Populate(all);
  EXPECT_TRUE((*file)->Cached(all));
  EXPECT_EQ(same(), 0);
  EXPECT_FALSE((*file)->damaged());
  unlink(path.c_str());
}

TEST(MappedFile, ReadingPastTheCacheGivesTheSameBytesAndStopsAtACut) {
  const std::string path = testing::TempDir() + "/hadal_mapped_past";
  std::string text(65'000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 / 5);
  ASSERT_TRUE(WriteFileAtomically(path, text));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file);
  if (!(*file)->AllowPast()) GTEST_SKIP() << "this filesystem refuses O_DIRECT";
  alignas(4096) static std::byte out[65'536];
  const auto same = [&](size_t begin, size_t n) { return std::memcmp(out, &text[begin], n) == 0; };
  EXPECT_TRUE((*file)->ReadPast({0, 65'536}, out));
  EXPECT_TRUE(same(0, text.size()));
  EXPECT_TRUE((*file)->ReadPast({8192, 16'384}, out));
  EXPECT_TRUE(same(8192, 8192));
  EXPECT_FALSE((*file)->damaged());
  std::filesystem::resize_file(path, 20'000);
  EXPECT_TRUE((*file)->ReadPast({8192, 16'384}, out));
  EXPECT_TRUE(same(8192, 8192));
  EXPECT_FALSE((*file)->ReadPast({16'384, 24'576}, out));  // 3616 bytes are there, 8192 were
  EXPECT_FALSE((*file)->ReadPast({32'768, 65'536}, out));
  EXPECT_TRUE((*file)->damaged());
  unlink(path.c_str());
}

TEST(MappedFile, AFileThatIsWrittenToIsReportedDamaged) {
  const std::string path = testing::TempDir() + "/hadal_mapped_written";
  std::ofstream(path) << std::string(10'000, 'x');
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file);
  EXPECT_FALSE((*file)->damaged());
  const timespec later[2] = {{}, {4'000'000'000, 1}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), later, 0), 0);
  EXPECT_TRUE((*file)->damaged());
  // Another file of the same name is another file.
  const auto again = MappedFile::Open(path);
  ASSERT_TRUE(again);
  ASSERT_TRUE(WriteFileAtomically(path, "short"));
  EXPECT_FALSE((*again)->damaged());
  EXPECT_EQ(static_cast<char>((*again)->bytes()[9999]), 'x');
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
