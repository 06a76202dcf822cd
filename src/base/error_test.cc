#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "base/file.h"
#include "base/mapped_file.h"
#include "base/version.h"

namespace hadal {
namespace {

Result<int> Half(int x) {
  if (x % 2 != 0) return FailField(ErrorCode::kInvalidArgument, "x", "{} is odd; use an even x", x);
  return x / 2;
}
Result<int> Quarter(int x) {
  HADAL_TRY(const int half, Half(x));
  return Half(half);
}

TEST(Error, TravelsThroughTry) {
  EXPECT_EQ(Quarter(8).value(), 2);
  ASSERT_FALSE(Quarter(6).has_value());
  EXPECT_EQ(Quarter(6).error().field, "x");
  EXPECT_EQ(Quarter(6).error().In("dividing").message, "dividing: 3 is odd; use an even x");
}

TEST(Error, EveryCodeHasBothLanguagesAndItsOwnWireName) {
  std::set<std::string_view> wires;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kBadConfig); ++i) {
    const ErrorInfo& info = InfoOf(static_cast<ErrorCode>(i));
    EXPECT_TRUE(wires.insert(info.wire).second) << info.wire;
    EXPECT_FALSE(info.en.empty());
    EXPECT_FALSE(info.zh.empty());
    EXPECT_GE(info.http, 400);
  }
}

TEST(Error, TextsFitWhoeverReadsThem) {
  const ErrorInfo& memory = InfoOf(ErrorCode::kRequestTooLarge);
  for (const std::string_view text : {memory.en, memory.zh}) {
    EXPECT_THAT(std::string(text), testing::HasSubstr("engine.kv_memory"));  // the option's name
  }
  // Most of what is not found is a file on a command line.
  EXPECT_THAT(std::string(InfoOf(ErrorCode::kNotFound).en), testing::HasSubstr("file"));
  EXPECT_THAT(std::string(InfoOf(ErrorCode::kNotFound).zh), testing::HasSubstr("文件"));
}

TEST(File, AtomicWriteIsReadBackAndTheLimitHolds) {
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_file_test";
  ASSERT_TRUE(WriteFileAtomically(path, "hello"));
  EXPECT_EQ(ReadFile(path, 5).value(), "hello");
  EXPECT_EQ(ReadFile(path, 4).error().code, ErrorCode::kBadFile);
  EXPECT_EQ(ReadFile("/nonexistent/x", 4).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ReadFile("/", 4).error().code, ErrorCode::kBadFile);
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(path, 4).error().code, ErrorCode::kBadFile);  // and does not wait
  std::filesystem::remove(path);
}

TEST(File, AFifoIsRefusedAtOnce) {
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_fifo_test";
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(path, 4).error().code, ErrorCode::kBadFile);
  EXPECT_EQ(MappedFile::Open(path).error().code, ErrorCode::kBadFile);
  std::filesystem::remove(path);
}

TEST(Version, IsNotEmpty) {
  EXPECT_FALSE(Version().empty());
  EXPECT_FALSE(Commit().empty());
  EXPECT_THAT(std::string(Compiler()), testing::MatchesRegex("(clang|gcc) .*"));
}

}  // namespace
}  // namespace hadal
