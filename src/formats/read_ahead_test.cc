#include "formats/read_ahead.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/thread_pool.h"

namespace hadal {
namespace {

constexpr size_t kBytes = 3'000'001;

struct Way {
  const char* name;
  const char* directory;  // nullptr: the tests' own
  bool direct, cached;
};

// The same bytes come whichever way they are read.
class ReadAheadTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const std::string directory =
        GetParam().directory != nullptr ? GetParam().directory : testing::TempDir();
    if (!std::filesystem::exists(directory)) GTEST_SKIP() << "there is no " << directory;
    path_ = directory + "/hadal_read_ahead_" + std::to_string(getpid());
    text_.resize(kBytes);
    uint32_t state = 1;
    for (char& c : text_) {
      state = state * 1664525 + 1013904223;
      c = static_cast<char>(state >> 24);
    }
    std::ofstream(path_, std::ios::binary) << text_;
    if (!GetParam().cached) {
      const int fd = open(path_.c_str(), O_RDONLY);
      fdatasync(fd);
      posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      close(fd);
    }
    auto file = MappedFile::Open(path_);
    ASSERT_TRUE(file.has_value()) << file.error().message;
    file_ = std::move(*file);
  }
  void TearDown() override { unlink(path_.c_str()); }

  ReadAheadOptions Options(size_t piece = 64 << 10, size_t window = 256 << 10) const {
    return {piece, window, 3, GetParam().direct};
  }
  std::span<const std::byte> Bytes(size_t begin, size_t n) const {
    return file_->bytes().subspan(begin, n);
  }
  ReadRange Range(size_t begin, size_t n) const { return {file_.get(), Bytes(begin, n)}; }
  bool Same(size_t begin, std::span<const std::byte> bytes) const {
    return std::memcmp(bytes.data(), text_.data() + begin, bytes.size()) == 0;
  }
  void Look(ReadAhead& ahead, size_t begin, size_t n) const {
    std::vector<std::byte> copy(n);
    ahead.Copy(Bytes(begin, n), copy.data());
    EXPECT_TRUE(Same(begin, copy)) << begin << " + " << n;
  }

  std::string path_, text_;
  std::unique_ptr<MappedFile> file_;
};

TEST_P(ReadAheadTest, EveryByteIsTheFilesInOrderAndInSlices) {
  ReadAhead ahead({{Range(0, kBytes)}}, Options());
  ahead.Begin(0);
  for (size_t at = 0; at < kBytes; at += 10'007) Look(ahead, at, std::min(kBytes - at, {10'007}));
  EXPECT_LE(ahead.most_held(), Options().window_bytes);
}

TEST_P(ReadAheadTest, UnalignedRangesOfManyGroupsShareTheirPages) {
  std::vector<std::vector<ReadRange>> groups;
  std::vector<std::pair<size_t, size_t>> ranges;
  for (size_t at = 13, n = 1; at + n < kBytes; at += n, n = n * 3 % 200'003 + 1) {
    groups.push_back({Range(at, n)});
    ranges.emplace_back(at, n);
  }
  groups.push_back({});
  ASSERT_GT(ranges.size(), 20u);
  ReadAhead ahead(groups, Options());
  for (size_t g = 0; g < ranges.size(); ++g) {
    ahead.Begin(g);
    Look(ahead, ranges[g].first, ranges[g].second);
  }
  ahead.Begin(ranges.size());
  EXPECT_LE(ahead.most_held(), Options().window_bytes);
}

// Two tensors whose experts are used in turn, from several threads.
TEST_P(ReadAheadTest, RangesThatAreUsedInTurnAreReadInPieces) {
  constexpr size_t kEach = 30'000, kExperts = 40, kSecond = 1'500'001;
  std::vector<ReadRange> ranges;
  for (size_t e = 0; e < kExperts; ++e) {
    ranges.push_back(Range(e * kEach, kEach));
    ranges.push_back(Range(kSecond + e * kEach, kEach));
  }
  ReadAhead ahead({ranges}, Options());
  ahead.Begin(0);
  ThreadPool pool(3);
  for (size_t e = 0; e < kExperts; ++e) {
    pool.ForEach(6, [&](int task, int) {
      Look(ahead, e * kEach + static_cast<size_t>(task) * 5000, 5000);
      Look(ahead, kSecond + e * kEach + static_cast<size_t>(task) * 5000, 5000);
    });
  }
  EXPECT_LE(ahead.most_held(), Options().window_bytes);
}

TEST_P(ReadAheadTest, AnotherOrderThanPlannedWaitsForNothing) {
  std::vector<ReadRange> ranges;
  for (size_t i = 0; i < 30; ++i) ranges.push_back(Range(i * 100'000, 100'000));
  ReadAhead ahead({ranges, {Range(500'000, 10'000)}}, Options());
  ahead.Begin(0);
  for (size_t i = 30; i-- > 0;) Look(ahead, i * 100'000, 100'000);
  Look(ahead, 100'000, 100'000);  // once more than planned
  ahead.Begin(1);
  Look(ahead, 500'000, 10'000);
  Look(ahead, 0, 10'000);  // not planned
}

TEST_P(ReadAheadTest, WhatIsPlannedTwiceIsKeptUntilItWasUsedTwice) {
  ReadAhead ahead({{Range(0, 900'000), Range(0, 900'000)}}, Options());
  ahead.Begin(0);
  for (int round = 0; round < 2; ++round) {
    for (size_t at = 0; at < 900'000; at += 100'000) Look(ahead, at, 100'000);
  }
}

TEST_P(ReadAheadTest, StoppingInTheMiddleLeavesTheMappingWhole) {
  for (const size_t looked : {0, 1, 5}) {
    ReadAhead ahead({{Range(0, kBytes)}, {Range(7, 100'000)}}, Options());
    ahead.Begin(0);
    for (size_t i = 0; i < looked; ++i) Look(ahead, i * 90'000, 90'000);
  }
  EXPECT_TRUE(Same(0, file_->bytes()));
}

TEST_P(ReadAheadTest, AFileThatIsCutWhileItIsReadIsDamagedAndNothingHangs) {
  ReadAhead ahead({{Range(0, kBytes)}}, Options());
  ahead.Begin(0);
  Look(ahead, 0, 100'000);
  std::filesystem::resize_file(path_, 1'000'000);
  std::vector<std::byte> copy(100'000);
  int64_t zeros = 0;
  for (size_t at = 100'000; at < kBytes; at += 100'000) {
    const size_t n = std::min<size_t>(100'000, kBytes - at);
    ahead.Copy(Bytes(at, n), copy.data());
    zeros += std::count(copy.begin(), copy.begin() + static_cast<ptrdiff_t>(n), std::byte{0});
  }
  EXPECT_GT(zeros, 500'000);
  EXPECT_TRUE(file_->damaged());
}

TEST_P(ReadAheadTest, WhatIsLookedAtInTheMappingIsThereToo) {
  ReadRange in_place = Range(1'000'001, 700'000);
  in_place.in_place = true;
  ReadAhead ahead({{Range(0, 500'000), in_place, Range(1'700'001, 90'000)}}, Options());
  ahead.Begin(0);
  Look(ahead, 0, 500'000);
  ahead.Need(in_place.bytes);
  EXPECT_TRUE(Same(1'000'001, in_place.bytes));
  Look(ahead, 1'700'001, 90'000);
}

TEST_P(ReadAheadTest, WhatWasLookedAtGoesBack) {
  ReadRange all = Range(1, kBytes - 1);
  all.in_place = true;
  ReadAhead ahead({{all}}, Options());
  ahead.Begin(0);
  for (size_t at = 1; at < kBytes; at += 50'000) {
    const auto bytes = Bytes(at, std::min<size_t>(50'000, kBytes - at));
    ahead.Need(bytes);
    EXPECT_TRUE(Same(at, bytes)) << at;
    ahead.Looked(bytes);
  }
  EXPECT_LE(ahead.most_held(), Options().window_bytes);
}

INSTANTIATE_TEST_SUITE_P(, ReadAheadTest,
                         testing::Values(Way{"direct", nullptr, true, false},
                                         Way{"directButCached", nullptr, true, true},
                                         Way{"throughTheCache", nullptr, false, false},
                                         Way{"cached", nullptr, false, true},
                                         Way{"memoryFilesystem", "/dev/shm", true, true}),
                         [](const auto& tested) { return tested.param.name; });

TEST(ReadAhead, NothingToReadIsNothing) {
  ReadAhead none({}, {});
  none.Need({});
  none.Copy({}, nullptr);
  ReadAhead empty({{}, {{nullptr, {}}}}, {});
  empty.Begin(1);
}

}  // namespace
}  // namespace hadal
