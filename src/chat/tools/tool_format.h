// Owns: whole prompts of conversations with tools, in the formats of DeepSeek's models that have
// them, and the parser of their answers. One file per way of writing. A conversation without tools
// comes out as the chat format of the same model writes it. Knows nothing of engines or HTTP.
// Only the format's own words become control tokens; what a caller wrote is text, whatever it says.
// Thread rule: immutable; a parser belongs to one thread.
//
//   HADAL_TRY(auto format, MakeToolFormat(tokenizer, ToolPrompt::kV4));
//   HADAL_TRY(RenderedPrompt prompt, format->Render(messages, {.thinking = true, .tools = tools}));
//   std::unique_ptr<AnswerParser> parser = format->NewParser(prompt.starts_in_reasoning, "8f3a");
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/types.h"
#include "base/error.h"
#include "chat/chat_format.h"
#include "chat/tools/answer_parser.h"
#include "chat/tools/tool_markup.h"

namespace hadal {

enum class ToolPrompt { kV3, kR1, kV31, kV32, kV4 };

struct ToolRenderOptions {
  bool thinking = false;  // V3 has none, R1 always
  std::span<const api::Tool> tools = {};
  // V3.2, V4: JSON text that the answer must follow; "" = none.
  std::string_view response_schema = {};
  // V4, while thinking: how much. The texts differ between releases.
  enum class Effort { kLow, kHigh, kMax };
  Effort effort = Effort::kLow;
  enum class EffortTexts { kPreview, k0731 };
  EffortTexts effort_texts = EffortTexts::k0731;
  bool drop_thinking = true;  // V4: leave out the reasoning of past turns; tools switch it off
};

class ToolFormat {
 public:
  virtual ~ToolFormat() = default;
  // kInvalidArgument names the field; tools and messages are validated first.
  virtual Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                        const ToolRenderOptions& options) const = 0;
  virtual std::unique_ptr<AnswerParser> NewParser(bool starts_in_reasoning,
                                                  std::string id_prefix) const = 0;
};

// `tokenizer` outlives the format, the format its parsers. kUnsupportedModel names what is missing.
Result<std::unique_ptr<ToolFormat>> MakeToolFormat(const Tokenizer& tokenizer, ToolPrompt prompt);

}  // namespace hadal
