// Every malformed file is refused with a reason, soon and in little memory; none ends the process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <set>

#include "formats/gguf.h"
#include "formats/model_files.h"
#include "formats/safetensors.h"
#include "malformed_case.h"
#include "models/model.h"
#include "models/testing_model.h"
#include "tiny_gguf.h"
#include "tiny_models.h"
#include "tokenizer/tokenizer.h"

namespace {
// The largest piece of memory that anybody asked for.
std::atomic<size_t> largest_request{0};

void* Allocate(size_t n) noexcept {
  size_t seen = largest_request.load();
  while (n > seen && !largest_request.compare_exchange_weak(seen, n)) {
  }
  return std::malloc(n == 0 ? 1 : n);
}
void* AllocateOrThrow(size_t n) {
  void* p = Allocate(n);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

void* operator new(size_t n) { return AllocateOrThrow(n); }
void* operator new[](size_t n) { return AllocateOrThrow(n); }
void* operator new(size_t n, const std::nothrow_t&) noexcept { return Allocate(n); }
void* operator new[](size_t n, const std::nothrow_t&) noexcept { return Allocate(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }

namespace hadal::malformed {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr double kMostSeconds =
    5.0;  // of this process' CPU: a hang is found, a slow machine is not
constexpr size_t kMostBytes = 256u << 20;

Status ReadModel(const std::filesystem::path& path, Backend& backend) {
  HADAL_TRY(const ModelFiles files, OpenModelFiles(path));
  LoadOptions options;
  options.max_step_tokens = 8;
  options.max_logit_rows = 1;
  HADAL_TRY(const auto model, LoadModel(path, backend, options));
  return {};
}

Status Read(Reader reader, const std::filesystem::path& path, Backend& backend) {
  switch (reader) {
    case Reader::kGguf: {
      HADAL_TRY(const auto file, GgufFile::Open(path));
      return {};
    }
    case Reader::kSafetensors: {
      HADAL_TRY(const auto file, SafetensorsFile::Open(path));
      return {};
    }
    case Reader::kModel:
      return ReadModel(path, backend);
    case Reader::kTokenizer: {
      HADAL_TRY(const auto tokenizer, Tokenizer::Load(path));
      return {};
    }
  }
  return {};
}

double CpuSeconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void Check(const Case& c, Backend& backend) {
  const TestDirectory directory;
  for (const auto& [name, bytes] : c.make()) {
    const auto path = directory.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  largest_request = 0;
  const double begin = CpuSeconds();
  const Status status =
      Read(c.reader, c.open.empty() ? directory.path() : directory.path() / c.open, backend);
  EXPECT_LT(CpuSeconds() - begin, kMostSeconds) << c.name;
  EXPECT_LT(largest_request.load(), kMostBytes) << c.name;
  if (status) {
    EXPECT_EQ(c.must, Must::kNotCrash) << c.name << ": was accepted";
    return;
  }
  EXPECT_GT(status.error().message.size(), 10u) << c.name;
  EXPECT_NE(status.error().code, ErrorCode::kInternal) << c.name << ": " << status.error().message;
  if (c.must == Must::kBeRefusedWithOffset) {
    EXPECT_THAT(status.error().message,
                AnyOf(HasSubstr("byte "), HasSubstr("bytes "), HasSubstr("data_offsets [")))
        << c.name;
  }
}

Cases All() {
  Cases all;
  for (const auto make : {GgufContainerCases, GgufSplitCases, GgufModelCases, VocabularyCases,
                          SafetensorsCases, IndexCases, ConfigCases, TokenizerCases, FlipCases}) {
    for (Case& c : make()) all.push_back(std::move(c));
  }
  return all;
}

void CheckAll(const Cases& cases) {
  const auto backend = NewBackend();
  for (const Case& c : cases) Check(c, *backend);
}

TEST(Malformed, ThereAreAtLeast500DifferentFiles) {
  std::set<std::string> names;
  std::set<Files> contents;
  for (const Case& c : All()) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name << " stands twice";
    Files files = c.make();
    files.push_back({"opened", c.open});
    EXPECT_TRUE(contents.insert(std::move(files)).second) << c.name << " is the same as another";
  }
  RecordProperty("files", static_cast<int>(contents.size()));
  EXPECT_GE(contents.size(), 500u);
}

TEST(Malformed, GgufContainersAreRefusedWithTheByte) { CheckAll(GgufContainerCases()); }
TEST(Malformed, ContradictorySplitsOfGgufAreRefused) { CheckAll(GgufSplitCases()); }
TEST(Malformed, SenselessModelsInGgufAreRefused) { CheckAll(GgufModelCases()); }
TEST(Malformed, VocabulariesInGgufAreRefused) { CheckAll(VocabularyCases()); }
TEST(Malformed, SafetensorsFilesAreRefused) { CheckAll(SafetensorsCases()); }
TEST(Malformed, IndexesOfShardsAreRefused) { CheckAll(IndexCases()); }
TEST(Malformed, SenselessConfigsAreRefused) { CheckAll(ConfigCases()); }
TEST(Malformed, TokenizersAreRefused) { CheckAll(TokenizerCases()); }
TEST(Malformed, ChangedFilesAreRefusedOrLoad) { CheckAll(FlipCases()); }

// Without this, a mistake in the right files would make every case above a refusal.
TEST(Malformed, TheFilesThatTheCasesDamageAreRight) {
  const auto backend = NewBackend();
  for (const TinyCheckpoint& t : {TinyDense(), TinyLatent()}) {
    const TestDirectory directory;
    for (const auto& [name, bytes] : FilesOf(t)) directory.Write(name, bytes);
    const Status status = ReadModel(directory.path(), *backend);
    EXPECT_TRUE(status.has_value()) << status.error().message;
  }
  for (const GgufDraft& d : {TinyDenseGguf(), TinyLatentGguf()}) {
    const TestDirectory directory;
    const auto path = directory.Write("x.gguf", d.Build());
    const Status status = ReadModel(path, *backend);
    EXPECT_TRUE(status.has_value()) << status.error().message;
    const auto tokenizer = Tokenizer::Load(path);
    EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  }
}

// The mapping loses its pages: the reader sees zeros, says so, and the process lives.
TEST(Malformed, AFileThatShrinksWhileItIsMappedIsKnownToBeDamaged) {
  const TestDirectory directory;
  GgufDraft d = TinyDenseGguf();
  d.tensors.push_back({"large.weight", {1 << 18}, 0, std::string(1 << 20, 'x')});
  const auto path = directory.Write("x.gguf", d.Build());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_FALSE((*file)->damaged());
  const GgufTensor* large = (*file)->Find("large.weight");
  ASSERT_NE(large, nullptr);
  std::filesystem::resize_file(path, 4096);
  uint64_t sum = 0;
  for (const std::byte b : (*file)->bytes(*large)) sum += static_cast<uint8_t>(b);
  EXPECT_LT(sum, uint64_t{'x'} << 20);  // what is gone reads as zero
  EXPECT_TRUE((*file)->damaged());
}

}  // namespace
}  // namespace hadal::malformed
