// Private to the Ollama validator: the request while its fields are being read.
#pragma once

#include <optional>
#include <string>

#include "server/http/ollama_request.h"
#include "server/http/openai_draft.h"

namespace hadal::server {

struct OllamaDraft {
  const RequestRules& rules;
  OllamaRequest out;   // its request at the end
  OpenAiDraft openai;  // collects the request; OpenAI's rows read what is theirs
  // Kept for the checks between fields, after every field has been read alone.
  std::optional<bool> thinking = {};
  std::optional<api::Effort> effort = {};
  std::string prompt = {}, suffix = {}, system = {};
  bool raw = false, truncate = false, has_messages = false;
  std::optional<int64_t> repeat_last_n = {}, num_keep = {};

  bool is_chat() const { return out.shape.route == OllamaRoute::kChat; }
  api::Request& request() { return openai.out.request; }
  api::ChatPrompt& chat() { return openai.chat(); }
  api::Sampling& sampling() { return openai.sampling(); }
};

// `value` is never null. Readers may move out of it.
using OllamaReader = Status (*)(Json& value, const std::string& field, OllamaDraft& draft);

// ollama_messages.cc
Status ReadOllamaMessages(Json& value, const std::string& field, OllamaDraft& draft);

// ollama_options.cc
Status ReadOllamaOptions(Json& value, const std::string& field, OllamaDraft& draft);
Status CheckOllamaOptions(OllamaDraft& draft);

}  // namespace hadal::server
