#include "convert/convert.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "convert/testing_convert.h"
#include "formats/model_files.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGoldens = HADAL_SOURCE_DIR "/tests/golden";
constexpr const char* kDemo = HADAL_SOURCE_DIR "/models/demo";

// ---- every golden there and back

struct GoldenCase {
  std::string name;
  double f32_tolerance = 2e-3;
};

class GoldenConversion : public testing::TestWithParam<const char*> {};

// What transformers computed still holds for the GGUF file made of a checkpoint, and for the
// checkpoint made of that file. FP8 checkpoints hold values that bf16 does not.
TEST_P(GoldenConversion, GivesTheSameLogitsAsGgufAndBack) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / GetParam();
  const std::vector<float> original = LogitsOf(golden, golden);
  ASSERT_FALSE(original.empty());
  const bool fp8 = std::string_view(GetParam()).find("fp8") != std::string_view::npos;
  for (const char* type : {"f32", "bf16"}) {
    const fs::path gguf = dir / (std::string(type) + ".gguf"), back = dir / type;
    ASSERT_TRUE(Converted(golden, gguf, type));
    ASSERT_TRUE(Converted(gguf, back, type));
    const double tolerance = fp8 && std::string_view(type) == "bf16" ? 0.5 : 2e-3;
    EXPECT_LE(MaxDifference(LogitsOf(gguf, golden), original), tolerance) << type;
    EXPECT_LE(MaxDifference(LogitsOf(back, golden), original), tolerance) << type;
  }
}

TEST_P(GoldenConversion, IsCloseInQ8) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / GetParam();
  ASSERT_TRUE(Converted(golden, dir / "q8.gguf", "q8_0"));
  ASSERT_TRUE(Converted(dir / "q8.gguf", dir / "back", "bf16"));
  const std::vector<float> original = LogitsOf(golden, golden);
  for (const fs::path& path : {dir / "q8.gguf", dir / "back"}) {
    const double error = RelativeDifference(LogitsOf(path, golden), original);
    EXPECT_LT(error, 0.1) << path;  // 0 where rows are no whole blocks: those are f16
  }
}

TEST_P(GoldenConversion, IsReadableInEveryTypeThatTheFormatHas) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / GetParam();
  for (const TypeChoice& type : TypeChoices()) {
    const fs::path out = dir / (type.name + (type.Allows(FileFormat::kGguf) ? ".gguf" : ""));
    ASSERT_TRUE(Converted(golden, out, type.name)) << type.name;
    for (const float v : LogitsOf(out, golden)) ASSERT_TRUE(std::isfinite(v)) << type.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, GoldenConversion,
                         testing::Values("qwen2", "qwen2-tied", "qwen3", "llama3", "llama-linear",
                                         "deepseek-v2", "deepseek-v2-lite", "deepseek-v3",
                                         "deepseek-v3-fp8"),
                         [](const auto& golden) {
                           std::string name = golden.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// ---- the built-in model

TEST(Conversion, KeepsTheTokenizerOfTheBuiltInModelIdForId) {
  const ConvertDirectory dir;
  ASSERT_TRUE(Converted(kDemo, dir / "demo.gguf", "bf16"));
  ASSERT_TRUE(Converted(dir / "demo.gguf", dir / "demo", "bf16"));
  const auto original = Tokenizer::Load(kDemo);
  ASSERT_TRUE(original.has_value());
  const std::string text = "Extract: 订单号 A-1024, total 12.50 €.\n<｜User｜>hi\t\x07";
  for (const fs::path& path : {dir / "demo.gguf", dir / "demo"}) {
    const auto made = Tokenizer::Load(path);
    ASSERT_TRUE(made.has_value()) << path << ": " << made.error().message;
    EXPECT_EQ((*made)->Encode(text, Tokenizer::Special::kRecognise),
              (*original)->Encode(text, Tokenizer::Special::kRecognise));
    EXPECT_EQ((*made)->bos(), (*original)->bos());
    EXPECT_EQ((*made)->eos(), (*original)->eos());
    EXPECT_EQ((*made)->chat_template(), (*original)->chat_template());
  }
}

// The held-out answers, token by token, with the expected ones before: bf16 rounds what FP8 times a
// scale is, which changes next to none.
TEST(Conversion, GivesTheBuiltInModelsHeldOutAnswers) {
  const ConvertDirectory dir;
  ASSERT_TRUE(Converted(kDemo, dir / "demo.gguf", "bf16"));
  std::ifstream answers(std::string(kGoldens) + "/demo/answers.jsonl");
  constexpr size_t kAnswers = 4;
  size_t tokens = 0, same = 0, n = 0;
  for (std::string line; n < kAnswers && std::getline(answers, line); ++n) {
    const auto j = nlohmann::json::parse(line);
    std::vector<TokenId> ids = j["prompt_ids"];
    const std::vector<TokenId> out = j["output_ids"];
    const size_t prompt = ids.size();
    ids.insert(ids.end(), out.begin(), out.end());
    const std::vector<float> logits = LogitsOfIds(dir / "demo.gguf", ids);
    const size_t vocab = logits.size() / ids.size();
    for (size_t i = 0; i < out.size(); ++i, ++tokens) {
      const auto row = logits.begin() + static_cast<ptrdiff_t>((prompt - 1 + i) * vocab);
      const auto best = std::max_element(row, row + static_cast<ptrdiff_t>(vocab)) - row;
      same += best == out[i];
    }
  }
  ASSERT_EQ(n, kAnswers);
  ASSERT_GT(tokens, 100u);
  EXPECT_EQ(same, tokens);
}

TEST(Conversion, Fp8AsPublishedLosesAboutThreePercent) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "deepseek-v3";
  ASSERT_TRUE(Converted(golden, dir / "fp8", "fp8"));
  const auto files = OpenModelFiles(dir / "fp8");
  ASSERT_TRUE(files.has_value()) << files.error().message;
  ASSERT_TRUE(files->config.quantization.has_value());
  const TensorEntry* weight = files->checkpoint->Find("model.layers.0.self_attn.o_proj.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->dtype, DType::kF8E4M3);
  EXPECT_NE(weight->scale_inv, nullptr);
  const TensorEntry* embedding = files->checkpoint->Find("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->dtype, DType::kBf16);

  const auto source = OpenModelFiles(golden);
  ASSERT_TRUE(source.has_value());
  const TensorEntry* before = source->checkpoint->Find(weight->name);
  std::vector<float> a(static_cast<size_t>(before->shape.elements())), b(a.size());
  DecodeRows(*before, 0, before->rows(), a.data());
  DecodeRows(*weight, 0, weight->rows(), b.data());
  EXPECT_GT(RelativeDifference(b, a), 0.005);
  EXPECT_LT(RelativeDifference(b, a), 0.04);  // 3 bits of mantissa
}

// ---- refusals

TEST(Conversion, RefusesAnOutputThatExistsOrLiesInTheInput) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "qwen2";
  std::ofstream(dir / "there.gguf") << "mine";
  const ConvertOptions options{.type = *ParseTypeChoice("bf16")};
  const auto exists = Converter::Start(golden, dir / "there.gguf", options);
  ASSERT_FALSE(exists.has_value());
  EXPECT_EQ(exists.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(fs::file_size(dir / "there.gguf"), 4u);

  fs::copy(golden, dir / "in", fs::copy_options::recursive);
  for (const fs::path& out : {dir / "in" / "x.gguf", dir / "in" / "sub", dir / "in"}) {
    EXPECT_FALSE(Converter::Start(dir / "in", out, options).has_value()) << out;
  }
  const auto nowhere = Converter::Start(golden, dir / "no" / "x.gguf", options);
  ASSERT_FALSE(nowhere.has_value());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
}

TEST(Conversion, RefusesATypeThatTheFormatDoesNotHave) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "qwen2";
  const auto blocks = Converter::Start(golden, dir / "out", {.type = *ParseTypeChoice("q4_k_m")});
  ASSERT_FALSE(blocks.has_value());
  EXPECT_EQ(blocks.error().field, "type");
  EXPECT_FALSE(
      Converter::Start(golden, dir / "out.gguf", {.type = *ParseTypeChoice("fp8")}).has_value());
  EXPECT_TRUE(dir.Names().empty());
}

TEST(Conversion, RefusesNanByTensorNameAndLeavesNothing) {
  const ConvertDirectory dir;
  CopyWithChangedValue(fs::path(kGoldens) / "qwen2", dir / "in",
                       "model.layers.1.mlp.up_proj.weight", 0x7fc0);
  for (const char* out : {"x.gguf", "x"}) {
    const auto made = Converter::Start(dir / "in", dir / out, {.type = *ParseTypeChoice("f32")});
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().code, ErrorCode::kBadFile);
    EXPECT_NE(made.error().message.find("up_proj.weight") != std::string::npos ||
                  made.error().message.find("ffn_up.weight") != std::string::npos,
              false)
        << made.error().message;
  }
  EXPECT_EQ(dir.Names(), std::vector<std::string>{"in"});
}

TEST(Conversion, RefusesValuesThatFloat16CannotHold) {
  const ConvertDirectory dir;
  CopyWithChangedValue(fs::path(kGoldens) / "qwen2", dir / "in",
                       "model.layers.1.mlp.up_proj.weight", 0x4800);  // 131072 in bf16
  const auto f16 = Converter::Start(dir / "in", dir / "x", {.type = *ParseTypeChoice("f16")});
  ASSERT_FALSE(f16.has_value());
  EXPECT_NE(f16.error().message.find("bf16 or f32"), std::string::npos) << f16.error().message;
  EXPECT_TRUE(Converted(dir / "in", dir / "y", "bf16"));
}

TEST(Conversion, ListsWhatACheckpointLacks) {
  const ConvertDirectory dir;
  fs::copy(fs::path(kGoldens) / "qwen2", dir / "in", fs::copy_options::recursive);
  const fs::path config = dir / "in" / "config.json";
  nlohmann::json j = nlohmann::json::parse(std::ifstream(config));
  j["num_hidden_layers"] = j["num_hidden_layers"].get<int>() + 1;
  std::ofstream(config) << j;
  const auto made = Converter::Start(dir / "in", dir / "x.gguf", {.type = *ParseTypeChoice("f32")});
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message.find("q_proj.weight is missing"), std::string::npos)
      << made.error().message;
}

// A list of what is missing would take gigabytes.
TEST(Conversion, RefusesMoreExpertsThanTheFileCanHaveBeforeListingThem) {
  const ConvertDirectory dir;
  fs::copy(fs::path(kGoldens) / "deepseek-v2-lite", dir / "in", fs::copy_options::recursive);
  const fs::path config = dir / "in" / "config.json";
  nlohmann::json j = nlohmann::json::parse(std::ifstream(config));
  j["num_hidden_layers"] = j["n_routed_experts"] = 16384;
  std::ofstream(config) << j;
  for (const char* out : {"x.gguf", "x"}) {
    const auto made = Converter::Start(dir / "in", dir / out, {.type = *ParseTypeChoice("f32")});
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().field, "n_routed_experts");
    EXPECT_NE(made.error().message.find("16384 layers of 16384 experts"), std::string::npos)
        << made.error().message;
  }
}

// ---- names

TEST(Conversion, WithoutFinishLeavesNothing) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "qwen2";
  for (const char* out : {"x.gguf", "x"}) {
    const auto made = Converter::Start(golden, dir / out, {.type = *ParseTypeChoice("bf16")});
    ASSERT_TRUE(made.has_value());
    EXPECT_FALSE(fs::exists(dir / out));
    EXPECT_EQ(LogitsOf((*made)->temporary_path(), golden).size(), LogitsOf(golden, golden).size());
  }
  EXPECT_TRUE(dir.Names().empty());
}

TEST(Conversion, StopsWhenAskedToAndLeavesNothing) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "qwen2";
  for (const char* out : {"x.gguf", "x"}) {
    std::atomic<bool> stop{false};
    uint64_t written = 0, all = 0;
    ConvertOptions options{.type = *ParseTypeChoice("bf16")};
    options.stop = &stop;
    options.progress = [&](uint64_t done_bytes, uint64_t all_bytes) {
      written = done_bytes, all = all_bytes;
      stop = true;
    };
    const auto made = Converter::Start(golden, dir / out, options);
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().code, ErrorCode::kCancelled);
    EXPECT_GT(written, 0u);
    EXPECT_LT(written, all);
  }
  EXPECT_TRUE(dir.Names().empty());
}

TEST(Conversion, RefusesANameThatSaysAnotherForm) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "qwen2";
  const auto made =
      Converter::Start(golden, dir / "x.safetensors", {.type = *ParseTypeChoice("bf16")});
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().field, "out");
  EXPECT_TRUE(dir.Names().empty());
}

TEST(Conversion, KeepsAReportInTheFile) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "qwen2";
  const std::string report = R"({"kl_mean": 0.001, "data": "built-in"})";
  for (const char* out : {"x.gguf", "x"}) {
    ConvertOptions options{.type = *ParseTypeChoice("bf16")};
    options.report_bytes = 128;
    const auto made = Converter::Start(golden, dir / out, options);
    ASSERT_TRUE(made.has_value());
    EXPECT_FALSE((*made)->PatchReport(std::string(129, 'x')).has_value());
    const Status patched = (*made)->PatchReport(report);
    ASSERT_TRUE(patched.has_value()) << patched.error().message;
    ASSERT_TRUE((*made)->Finish().has_value());
    const std::string stored = StoredReport(dir / out);
    EXPECT_EQ(stored.substr(0, stored.find_last_not_of(' ') + 1), report);
    EXPECT_EQ(LogitsOf(dir / out, golden), LogitsOf(golden, golden));
  }
}

// The process dies at 20 different moments: what stands under the final name is nothing or the
// whole model.
TEST(Conversion, KilledAtAnyMomentLeavesNothingUnderTheFinalName) {
  const ConvertDirectory dir;
  const fs::path golden = fs::path(kGoldens) / "deepseek-v3";
  int killed = 0;
  for (int i = 0; i < 20; ++i) {
    const fs::path out = dir / (i % 2 == 0 ? fmt::format("{}.gguf", i) : fmt::format("{}", i));
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Killed by itself after a number of written slices, the last times in Finish().
      ConvertOptions options{.type = *ParseTypeChoice("f32")};
      int left = 1 + 5 * i;
      options.progress = [&](uint64_t, uint64_t) {
        if (--left == 0) raise(SIGKILL);
      };
      auto made = Converter::Start(golden, out, options);
      if (i == 19) raise(SIGKILL);  // complete, but not finished
      _exit(made && (*made)->Finish() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
      ++killed;
      EXPECT_FALSE(fs::exists(fs::symlink_status(out))) << i;
    } else {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      EXPECT_EQ(LogitsOf(out, golden).size(), LogitsOf(golden, golden).size());
    }
  }
  EXPECT_GE(killed, 10);
}

}  // namespace
}  // namespace hadal
