// Owns: api::Event -> Anthropic's Messages API, whole or as named events; its error body; its list
// of models. The blocks of a whole answer are those of the stream, joined.
//
// Decisions. Signatures are empty: nothing here checks them. Arguments of a tool that are no whole
// JSON object (cut by max_tokens) leave `input` empty in a whole answer, and stand in
// "partial_json" as far as they came; a stream has the pieces as they came in any case.
// usage.input_tokens excludes what came from the cache; message_start cannot know that yet and
// counts the whole prompt, message_delta corrects it. Thread rule: as AnswerWriter.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "server/http/dialect.h"

namespace hadal::server {

struct AnthropicHead {
  std::string id;  // "msg_..."
  std::string model;
  bool hides_thinking = false;  // its blocks are there and empty
};
std::unique_ptr<AnswerWriter> NewAnthropicStream(AnthropicHead head);
std::unique_ptr<AnswerWriter> NewAnthropicWhole(AnthropicHead head);

// {"type":"error","error":{"type","message"}}; the message names the field. A prompt beyond the
// context begins with "prompt is too long", by which clients know that they have to shorten it.
std::string AnthropicErrorBody(const Error& error);
std::string AnthropicModelsBody(std::span<const ModelCard> models);
std::string AnthropicModelBody(const ModelCard& model);

}  // namespace hadal::server
