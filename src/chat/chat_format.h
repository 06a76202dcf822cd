// Owns: how messages become prompt pieces and how a model's tokens become reasoning, content and
// tool calls.
// One file per format does both directions. Knows nothing of engines or HTTP.
// A format is resolved by the token strings of the tokenizer and the architecture, never by a name.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "chat/tools/tool_events.h"
#include "chat/tools/tool_markup.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

// A prompt is a list of pieces. Text pieces are encoded with Tokenizer::Special::kAsText, so what a
// user types can never become a control token; control tokens are written by the format as ids.
struct TextPiece {
  std::string text;
};
using Piece = std::variant<TextPiece, TokenId>;

struct RenderedPrompt {
  std::vector<Piece> pieces;
  bool starts_in_reasoning = false;  // the prompt ends inside <think>
};

struct RenderOptions {
  std::optional<bool> thinking = {};  // unset: the format's default
  std::span<const api::Tool> tools = {};
  // JSON text that the answer must follow, for formats that show it to the model; "" = none.
  std::string_view response_schema = {};
  std::optional<api::Effort> effort = {};  // for formats that tell the model
};

// Splits one choice's output into reasoning, content and tool calls, token by token.
class OutputParser {
 public:
  struct Text {
    std::string content;
    std::string reasoning;
    bool in_reasoning = false;  // whether the token just pushed belongs to the reasoning
    ToolEvents events = {};     // after the content: more of it, and calls, in order
  };
  virtual ~OutputParser() = default;
  virtual Text Push(TokenId id) = 0;
  // Before Finish: the answer did not end by itself.
  virtual void NoteCut() {}
  virtual Text Finish() = 0;                          // held-back bytes
  virtual ToolOutcome outcome() const { return {}; }  // after Finish
};

// A format and its parsers refer to the tokenizer, a parser to its format: the referred outlive
// them.
class ChatFormat {
 public:
  virtual ~ChatFormat() = default;
  virtual std::string_view name() const = 0;  // "deepseek-v3", "chatml", "template", ...
  // kInvalidArgument names messages[i].field for roles or orders that the format cannot express.
  virtual Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                        const RenderOptions& options) const = 0;
  // call_ids: part of the ids of all calls; unique to the answer.
  virtual std::unique_ptr<OutputParser> NewParser(bool starts_in_reasoning,
                                                  std::string call_ids = {}) const = 0;
  virtual std::vector<TokenId> stop_tokens() const = 0;
  virtual bool thinking_by_default() const = 0;

  // Whether there is reasoning, the tokens around it, and how it is closed when it must end: the
  // token with the white space that a model writes around it.
  virtual bool can_think() const { return thinking_by_default(); }
  virtual bool must_think() const { return false; }  // there is no answer without reasoning
  virtual std::optional<TokenId> think_begin() const { return std::nullopt; }
  virtual std::optional<TokenId> think_end() const { return std::nullopt; }
  virtual std::vector<TokenId> end_of_reasoning() const { return {}; }
  // How calls are written; none: the format has no tools, and Render refuses them.
  virtual std::optional<ToolMarkup> tool_markup() const { return std::nullopt; }
};

// The format that Hadal knows by itself. architecture: model_type of config.json.
// kUnsupportedModel lists the token strings looked for.
Result<std::unique_ptr<ChatFormat>> ResolveChatFormat(const Tokenizer& tokenizer,
                                                      std::string_view architecture);

// Where the format comes from.
struct FormatSource {
  enum class Kind {
    kAuto,        // one that Hadal knows; when none fits, the checkpoint's template
    kCheckpoint,  // the checkpoint's template
    kTemplate,    // this template
    kNamed        // one that Hadal knows, by name: "deepseek-v4"
  };
  Kind kind = Kind::kAuto;
  std::string text;  // kTemplate: the template; kNamed: the name
};
// kBadFile: the template is refused, with line, column and reason; kNotFound: there is none.
Result<std::unique_ptr<ChatFormat>> ChooseChatFormat(const Tokenizer& tokenizer,
                                                     std::string_view architecture,
                                                     const FormatSource& source);

// Encodes the pieces; BOS is written once, whatever the pieces and the tokenizer's settings say.
std::vector<TokenId> EncodePieces(const Tokenizer& tokenizer, std::span<const Piece> pieces);

}  // namespace hadal
