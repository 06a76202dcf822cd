#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace hadal {
namespace {

using testing::HasSubstr;

std::string ErrorOf(std::string_view toml) {
  Config config;
  const Status s = ParseConfig(toml, "t.toml", config);
  return s ? "" : s.error().message;
}

TEST(Config, ReadsEverySectionAndKeepsDefaults) {
  Config c;
  ASSERT_TRUE(
      ParseConfig("[server]\nport = 9000\nhosts = [\"a.example\"]\n[engine]\nprefix_cache = "
                  "false\n[speculation]\nkind = \"ngram\"\nmax_draft = 4\n[cpu]\nisa = "
                  "\"avx2\"\n",
                  "t", c));
  EXPECT_EQ(c.server.port, 9000);
  EXPECT_EQ(c.server.host, "127.0.0.1");
  EXPECT_FALSE(c.engine.prefix_cache);
  EXPECT_EQ(c.speculation.kind, "ngram");
  EXPECT_EQ(c.speculation.max_draft, 4);
  EXPECT_EQ(c.cpu.isa, "avx2");
  EXPECT_THAT(c.server.hosts, testing::ElementsAre("a.example"));
}

TEST(Config, ErrorsNameLineKeyAndWhatIsRight) {
  EXPECT_THAT(ErrorOf("[server]\nprot = 1\n"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("[server]\nprot = 1\n"), HasSubstr("did you mean 'server.port'"));
  EXPECT_THAT(ErrorOf("[server]\nport = 70000\n"), HasSubstr("from 0 to 65535"));
  EXPECT_THAT(ErrorOf("[server]\nport = \"80\"\n"), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf("[cpu]\nisa = \"sse\"\n"), HasSubstr("auto|ref|avx2"));
  EXPECT_THAT(ErrorOf("[speculation]\nkind = \"on\"\n"), HasSubstr("off|ngram|mtp|auto"));
  EXPECT_THAT(ErrorOf("[speculation]\nmax_draft = 65\n"), HasSubstr("from 1 to 64"));
  EXPECT_THAT(ErrorOf("port = 1\n"), HasSubstr("outside a section"));
  EXPECT_THAT(ErrorOf("[server\n"), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf("[server]\nidle_timeout_s = nan\n"), HasSubstr("must be from"));
}

TEST(Config, AllMistakesComeAtOnceInTheOrderOfTheirLines) {
  const std::string error = ErrorOf("[server]\nprot = 1\n[engine]\nfoo = 2\ncontext = \"x\"\n");
  EXPECT_THAT(error, testing::ContainsRegex("line 2.*\n.*line 4.*\n.*line 5"));
  EXPECT_THAT(ErrorOf("[server]\nport = \"8\"\n"), HasSubstr("''8''"));
}

TEST(Config, AKeyFileWithoutKeysIsRefused) {
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_no_keys";
  std::ofstream(path) << "\n\n";
  Config c;
  c.server.api_key_file = path;
  EXPECT_EQ(Validate(c).error().field, "server.api_key_file");
}

TEST(Config, MissingFilesAreNamedByTheirKey) {
  Config c;
  EXPECT_TRUE(CheckFiles(c));
  c.model.path = "/nonexistent/model";
  EXPECT_EQ(CheckFiles(c).error().field, "model.path");
}

TEST(Config, AnotherAddressNeedsAKey) {
  Config c;
  c.server.host = "0.0.0.0";
  EXPECT_EQ(Validate(c).error().field, "server.host");
  c.server.api_keys = {"short"};
  EXPECT_EQ(Validate(c).error().field, "server.api_keys");
  c.server.api_keys = {"0123456789abcdef"};
  EXPECT_TRUE(Validate(c));
  c.server.tls_cert = "x.pem";
  EXPECT_EQ(Validate(c).error().field, "server.tls_key");
}

TEST(Config, KeyFileIsReadLineByLine) {
  const auto path = std::filesystem::path(testing::TempDir()) / "hadal_keys";
  std::ofstream(path) << "0123456789abcdef\r\n\nfedcba9876543210";
  Config c;
  c.server.api_key_file = path;
  ASSERT_TRUE(Validate(c));
  EXPECT_THAT(c.server.api_keys, testing::ElementsAre("0123456789abcdef", "fedcba9876543210"));
}

TEST(Config, WhatIsPrintedIsReadBackAndSecretsAreNot) {
  Config c;
  c.server.port = 1234;
  c.server.api_keys = {"0123456789abcdef"};
  for (Language l : {Language::kEnglish, Language::kChinese}) {
    const std::string text = PrintConfig(c, l);
    EXPECT_THAT(text, testing::Not(HasSubstr("0123456789abcdef")));
    Config d;
    ASSERT_TRUE(ParseConfig(text, "p", d));
    EXPECT_EQ(d.server.port, 1234);
  }
}

TEST(Config, EveryOptionHasHelpInBothLanguagesAndIsSettable) {
  for (const Option& o : Options()) {
    EXPECT_NE(std::string_view(o.en), "") << o.key;
    EXPECT_NE(std::string_view(o.zh), "") << o.key;
  }
  Config c;
  EXPECT_TRUE(SetOption(c, "server.port", "1"));
  EXPECT_FALSE(SetOption(c, "server.port", "1.5"));
  EXPECT_FALSE(SetOption(c, "server.port", "x"));
  EXPECT_FALSE(SetOption(c, "nothing.here", "x"));
  EXPECT_TRUE(SetOption(c, "server.hosts", "a"));
}

TEST(Config, ExpertsOfTheCpuAreAutoOrLayers) {
  Config c;
  EXPECT_EQ(ParseCpuExperts(c.cuda.cpu_experts).value(), std::nullopt);
  EXPECT_EQ(ParseCpuExperts("0").value(), 0);
  EXPECT_EQ(ParseCpuExperts("58").value(), 58);
  for (const char* bad : {"", "all", "-1", "1.5", "3 ", "1001", "99999999999999999999"}) {
    EXPECT_FALSE(ParseCpuExperts(bad)) << bad;
    const Status status = SetOption(c, "cuda.cpu_experts", bad);
    ASSERT_FALSE(status) << bad;
    EXPECT_EQ(status.error().field, "cuda.cpu_experts");
    EXPECT_THAT(status.error().message, HasSubstr("auto or a number of layers from 0 to 1000"));
  }
}

TEST(Config, AmountsOfMemoryAreCheckedWhereTheyAreSet) {
  Config c;
  for (const char* key : {"engine.kv_memory", "cpu.weight_memory", "cuda.reserve"}) {
    EXPECT_TRUE(SetOption(c, key, "2GiB")) << key;
    EXPECT_EQ(SetOption(c, key, "auto").has_value(), std::string_view(key) != "cuda.reserve");
    for (const char* bad : {"", "much", "-1", "2 lb"}) {
      const Status status = SetOption(c, key, bad);
      ASSERT_FALSE(status) << key << " " << bad;
      EXPECT_EQ(status.error().field, key);
      EXPECT_THAT(status.error().message, HasSubstr("amount of memory, for example 2GiB"));
    }
  }
  const Status file = ParseConfig("[engine]\nkv_memory = 'much'\n", "hadal.toml", c);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("hadal.toml line 2: engine.kv_memory = 'much'"));
}

TEST(Config, BytesHaveUnits) {
  EXPECT_EQ(ParseBytes("2GiB").value(), int64_t{2} << 30);
  EXPECT_EQ(ParseBytes("1.5 MB").value(), 1500000);
  EXPECT_EQ(ParseBytes("77").value(), 77);
  for (const char* bad : {"", "GiB", "2XB", "-1", "1e30GiB", "99999999999GiB"}) {
    EXPECT_FALSE(ParseBytes(bad)) << bad;
  }
}

}  // namespace
}  // namespace hadal
