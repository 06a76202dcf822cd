#include "engine/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace hadal {
namespace {

using testing::HasSubstr;

const RunnerInfo kRunner{.vocab = 100, .n_blocks = 8, .block_tokens = 16, .max_logit_rows = 64};
const EngineOptions kOptions{.context = 1000};

EngineRequest Request(size_t n_prompt, int64_t max_tokens) {
  EngineRequest r;
  r.prompt.assign(n_prompt, 5);
  r.max_tokens = max_tokens;
  return r;
}

Error Refusal(const EngineRequest& request) {
  const Status status = CheckRequest(request, kOptions, kRunner);
  EXPECT_FALSE(status.has_value());
  return status ? Error{} : status.error();
}

TEST(Admission, NamesBothCountsWhenTheContextIsExceeded) {
  const Error e = Refusal(Request(900, 101));
  EXPECT_EQ(e.code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(e.field, "max_tokens");
  EXPECT_EQ(e.message,
            "prompt has 900 tokens and max_tokens is 101: 900 + 101 = 1001 exceeds the context of "
            "1000");
  const Error huge = Refusal(Request(900, std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(huge.code, ErrorCode::kContextLengthExceeded);
  EXPECT_THAT(huge.message, HasSubstr("= 9223372036854776707 exceeds"));
}

TEST(Admission, RefusesWhatCanNeverFitTheCacheWithTheNumbers) {
  // 8 blocks of 16 are 128 slots; the last token drawn needs none.
  EXPECT_TRUE(CheckRequest(Request(100, 29), kOptions, kRunner).has_value());
  const Error e = Refusal(Request(100, 30));
  EXPECT_EQ(e.code, ErrorCode::kRequestTooLarge);
  EXPECT_THAT(e.message, HasSubstr("need 9 cache blocks of 16 tokens; there are 8 blocks"));
}

TEST(Admission, NamesTheFieldThatIsWrong) {
  const std::pair<const char*, std::function<void(EngineRequest&)>> cases[] = {
      {"prompt", [](auto& r) { r.prompt.clear(); }},
      {"prompt", [](auto& r) { r.prompt[1] = 100; }},
      {"prompt", [](auto& r) { r.prompt[1] = -1; }},
      {"max_tokens", [](auto& r) { r.max_tokens = 0; }},
      {"n", [](auto& r) { r.n = 9; }},
      {"n", [](auto& r) { r.n = 0; }},
      {"temperature", [](auto& r) { r.sampling.temperature = -0.1; }},
      {"temperature",
       [](auto& r) { r.sampling.temperature = std::numeric_limits<double>::quiet_NaN(); }},
      {"top_p", [](auto& r) { r.sampling.top_p = 0; }},
      {"min_p", [](auto& r) { r.sampling.min_p = 1.1; }},
      {"top_k", [](auto& r) { r.sampling.top_k = -1; }},
      {"repetition_penalty", [](auto& r) { r.sampling.repetition_penalty = 0; }},
      {"presence_penalty", [](auto& r) { r.sampling.presence_penalty = 3; }},
      {"frequency_penalty", [](auto& r) { r.sampling.frequency_penalty = -3; }},
      {"top_logprobs", [](auto& r) { r.sampling.top_logprobs = 21; }},
      {"logit_bias", [](auto& r) { r.sampling.logit_bias = {{100, 1}}; }},
      {"logit_bias", [](auto& r) { r.sampling.logit_bias = {{1, 101}}; }},
      {"stop_token_ids", [](auto& r) { r.stop_tokens = {100}; }},
      {"stop_token_ids", [](auto& r) { r.sampling.stop_token_ids = {-2}; }},
  };
  EXPECT_TRUE(CheckRequest(Request(4, 4), kOptions, kRunner).has_value());
  for (const auto& [field, spoil] : cases) {
    EngineRequest r = Request(4, 4);
    spoil(r);
    const Error e = Refusal(r);
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument) << field;
    EXPECT_EQ(e.field, field) << e.message;
  }
}

TEST(Admission, RefusesOptionsThatContradictEachOther) {
  const auto field = [](EngineOptions o, RunnerInfo r = kRunner) {
    const Status status = CheckOptions(o, r);
    return status ? "fine" : status.error().field;
  };
  EXPECT_EQ(field(kOptions), "fine");
  EngineOptions o = kOptions;
  o.max_step_tokens = 63;
  EXPECT_EQ(field(o), "max_step_tokens");
  o = kOptions;
  o.prefill_chunk = 0;
  EXPECT_EQ(field(o), "prefill_chunk");
  o = kOptions;
  o.max_sequences = 65;
  EXPECT_EQ(field(o), "max_sequences") << "more than the model's rows of logits";
  RunnerInfo r = kRunner;
  r.context = 999;
  EXPECT_EQ(field(kOptions, r), "context") << "more than the model's positions";
  r = kRunner;
  r.n_blocks = 1 << 30;
  EXPECT_FALSE(CheckOptions(kOptions, r).has_value()) << "slots beyond 32 bits";
}

}  // namespace
}  // namespace hadal
