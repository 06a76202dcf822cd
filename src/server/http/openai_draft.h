// Private to the OpenAI validator: the request while its fields are being read.
#pragma once

#include <optional>
#include <string>

#include "server/http/openai_request.h"

namespace hadal::server {

struct OpenAiDraft {
  const OpenAiRules& rules;
  OpenAiRequest out;
  // Kept for the checks between fields, after every field has been read alone.
  std::optional<int64_t> max_tokens = {}, max_completion_tokens = {}, best_of = {};
  std::optional<int64_t> top_logprobs = {};
  std::optional<bool> thinking = {}, effort_thinking = {};
  std::optional<std::string> suffix = {};
  std::string format_field = {};  // that said what the answer must look like
  bool has_prompt = false, has_stream_options = false;

  bool is_chat() const { return out.route == OpenAiRoute::kChat; }
  api::ChatPrompt& chat() { return std::get<api::ChatPrompt>(out.request.prompt); }
  api::Sampling& sampling() { return out.request.sampling; }
};

// `value` is never null. Readers may move out of it.
using FieldReader = Status (*)(Json& value, const std::string& field, OpenAiDraft& draft);

// openai_messages.cc
Status ReadMessages(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadPrompt(Json& value, const std::string& field, OpenAiDraft& draft);
Status RefuseUnknown(const std::string& field, const OpenAiDraft& draft);

// openai_tools.cc
Status ReadTools(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadToolChoice(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadParallelToolCalls(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadToolCalls(Json& value, const std::string& field, api::Message& message);

// openai_format.cc
Status ReadResponseFormat(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadGrammar(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadGuidedRegex(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadGuidedChoice(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadGuidedJson(Json& value, const std::string& field, OpenAiDraft& draft);
Status ReadStructuredOutputs(Json& value, const std::string& field, OpenAiDraft& draft);

// openai_sampling.cc: the reader of a sampling field, or nullptr.
FieldReader SamplingReader(std::string_view field);
Status CheckSampling(OpenAiDraft& draft);

}  // namespace hadal::server
