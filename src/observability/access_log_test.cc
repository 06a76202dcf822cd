#include "observability/access_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

namespace hadal {
namespace {

std::filesystem::path TemporaryLog() {
  return std::filesystem::path(testing::TempDir()) /
         ("access_log_" + std::to_string(::getpid()) + "_" +
          testing::UnitTest::GetInstance()->current_test_info()->name());
}

std::vector<std::string> LinesOf(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(AccessLog, HasIdModelTokensLatencyAndHash) {
  AccessRecord record{.request_id = "req-1",
                      .method = "POST",
                      .route = "/v1/completions",
                      .status = 200,
                      .model = "demo",
                      .input_sha256 = std::string(64, 'a'),
                      .finish = "stop",
                      .prompt_tokens = 5,
                      .completion_tokens = 7,
                      .cached_tokens = 4,
                      .seconds = 1.25,
                      .time_to_first_token_seconds = 0.5,
                      .stream = true};
  const auto line = nlohmann::json::parse(AccessLine(record, 123));
  EXPECT_EQ(line["ts_ms"], 123);
  EXPECT_EQ(line["request_id"], "req-1");
  EXPECT_EQ(line["model"], "demo");
  EXPECT_EQ(line["prompt_tokens"], 5);
  EXPECT_EQ(line["completion_tokens"], 7);
  EXPECT_EQ(line["cached_tokens"], 4);
  EXPECT_EQ(line["seconds"], 1.25);
  EXPECT_EQ(line["ttft_seconds"], 0.5);
  EXPECT_EQ(line["input_sha256"], std::string(64, 'a'));
}

TEST(AccessLog, NewlinesAndBadUtf8InAnIdCannotForgeALine) {
  AccessRecord record{.request_id = "x\r\n{\"status\":200}\xff\xe2\x80\xa8", .status = 400};
  const std::string line = AccessLine(record, 0);
  EXPECT_EQ(line.find_first_of("\r\n"), std::string::npos);
  EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  EXPECT_EQ(nlohmann::json::parse(line)["status"], 400);
}

TEST(AccessLog, LinesOfManyThreadsStayWhole) {
  const auto path = TemporaryLog();
  {
    auto log = AccessLog::Open(path);
    ASSERT_TRUE(log) << log.error().message;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) (*log)->Write({.request_id = std::string(200, 'q')});
      });
    }
    for (auto& t : threads) t.join();
    EXPECT_EQ((*log)->lost_lines(), 0);
  }
  const auto lines = LinesOf(path);
  EXPECT_EQ(lines.size(), 200u);
  for (const auto& line : lines) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  std::filesystem::remove(path);
}

TEST(AccessLog, AppendsToWhatIsThere) {
  const auto path = TemporaryLog();
  for (int i = 0; i < 2; ++i) (*AccessLog::Open(path))->Write({});
  EXPECT_EQ(LinesOf(path).size(), 2u);
  std::filesystem::remove(path);
}

TEST(AccessLog, ADirectoryAndAPipeAreRefusedAndFullDiskIsCounted) {
  const auto log = AccessLog::Open(testing::TempDir());
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, ErrorCode::kIo);
  const auto path = TemporaryLog();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(AccessLog::Open(path));  // and does not wait for a reader
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_FALSE(AccessLog::Open(path));
  ::close(reader);
  std::filesystem::remove(path);
  const int fd = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (fd < 0) GTEST_SKIP() << "this system has no /dev/full";
  AccessLog full(fd);
  full.Write({});
  EXPECT_TRUE(full.Flush(std::chrono::seconds(30)));
  EXPECT_EQ(full.lost_lines(), 1);
  ::close(fd);
}

TEST(AccessLog, APipeThatNobodyReadsCostsLinesAndNoTime) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  constexpr int kLines = 40000;  // far more than the pipe and the queue hold
  {
    AccessLog log(pipe[1]);
    for (int i = 0; i < kLines; ++i) log.Write({.request_id = std::string(200, 'q')});
    EXPECT_GT(log.lost_lines(), 0);
    EXPECT_LT(log.lost_lines(), kLines);
    EXPECT_FALSE(log.Flush(std::chrono::milliseconds(1)));
  }  // ends although the pipe is stuck
  ::close(pipe[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t n; (n = ::read(pipe[0], bytes, sizeof bytes)) > 0;) {
    text.append(bytes, static_cast<size_t>(n));
  }
  ::close(pipe[0]);
  EXPECT_THAT(text, testing::StartsWith("{\"ts_ms\":"));
}

TEST(AccessLog, AClosedPipeIsLostLinesAndNoSignal) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  ::close(pipe[0]);
  AccessLog log(pipe[1]);
  log.Write({});
  EXPECT_TRUE(log.Flush(std::chrono::seconds(30)));
  EXPECT_EQ(log.lost_lines(), 1);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace hadal
