// Private to the Anthropic validator: the request while its fields are being read.
// In a namespace of its own, whose names are short.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/anthropic_request.h"

namespace hadal::server::anthropic {

struct Draft {
  const RequestRules& rules;
  AnthropicRequest out;
  // Kept for the checks between fields, after every field has been read alone.
  std::optional<bool> thinking = {};
  std::optional<api::Effort> effort = {};
  std::optional<std::string> system = {};
  bool has_messages = false;

  api::ChatPrompt& chat() { return std::get<api::ChatPrompt>(out.request.prompt); }
};

// anthropic_messages.cc
Status ReadSystem(Json& value, const std::string& field, Draft& draft);
Status ReadMessages(Json& value, const std::string& field, Draft& draft);

// anthropic_tools.cc
Status ReadTools(Json& value, const std::string& field, Draft& draft);
Status ReadToolChoice(Json& value, const std::string& field, Draft& draft);

// anthropic_request.cc: for objects inside the body. The member's path is at.name.
using Words = std::initializer_list<std::string_view>;
// The place of the value among `words`.
Result<size_t> ReadWord(const Json& value, const std::string& field, Words words);
// Of a member that must be there.
Result<size_t> RequiredWord(Json& object, const std::string& at, std::string_view name,
                            Words words);
// A member that must be there; null is as good as missing.
Result<Json*> Required(Json& object, const std::string& at, std::string_view name,
                       std::string_view must_be);
Result<std::string> TakeText(Json& object, const std::string& at, std::string_view name);
// Null when it is missing or null.
Json* Optional(Json& object, std::string_view name);
// Members beside `known` are ignored or refused, as the setting says.
Status RefuseOthers(const Json& object, const std::string& at, const RequestRules& rules,
                    Words known);

}  // namespace hadal::server::anthropic
