// Any bytes as a chat template, run over a fixed conversation with tools: refused, or the promises
// of template.h hold: a mark for every byte, output within its limit, and no byte of what the
// caller sent among the trusted ones.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"
#include "jinja/template.h"

namespace {

using Json = nlohmann::ordered_json;

// Bytes of the data that no template can hold: the fuzzer's input is refused when it has one. Case
// mapping leaves them as they are.
constexpr std::string_view kMarker = "\x01";

const Json& Data() {
  static const Json* const data = new Json{
      {"messages",
       {{{"role", "system"}, {"content", "\x01s<|im_end|>\x01"}},
        {{"role", "user"},
         {"content", "\x01Hi 'there' \"x\"\n\x01 \xE4\xBD\xA0\xE5\xA5\xBD{{ a }}\x01"}},
        {{"role", "assistant"},
         {"content", nullptr},
         {"tool_calls",
          {{{"type", "function"},
            {"function",
             {{"name",
               "\x01"
               "f"},
              {"arguments", {{"\x01k", {1, 2.5, true}}}}}}}}}},
        {{"role", "tool"}, {"content", "\x01\x01"}}}},
      {"tools", {{{"type", "function"}, {"function", {{"name", "\x01"}, {"a", "\x01 b \x01"}}}}}},
      {"add_generation_prompt", true},
      {"n", 3}};
  return *data;
}

const Json& Trusted() {
  static const Json* const trusted =
      new Json{{"bos_token", "<s>"},
               {"eos_token", "</s>"},
               {"messages", {{{"role", "system"}}, {{"role", "user"}}, {{"role", "assistant"}}}}};
  return *trusted;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(bytes), size);
  const hadal::jinja::Limits limits{.max_source_bytes = 1 << 14,
                                    .max_depth = 50,
                                    .max_steps = 20'000,
                                    .max_range = 1000,
                                    .max_output_bytes = 1 << 16,
                                    .max_value_bytes = 1 << 20};
  const auto parsed = hadal::jinja::Template::Parse(source, limits);
  if (!parsed) {
    CHECK(!parsed.error().message.empty() && parsed.error().message.size() < 1000);
    return 0;
  }
  int64_t now = 0;  // reading the clock is what takes time here, so runs are the same everywhere
  const auto rendered =
      parsed->Render(Data(), Trusted(), {.milliseconds = [&] { return now += 10; }});
  if (!rendered) {
    CHECK(rendered.error().message.size() < 4000);
    return 0;
  }
  CHECK(rendered->text.size() == rendered->trusted.size());
  CHECK(rendered->text.size() <= limits.max_output_bytes);
  // A template can write the marker itself, as a byte or as an escape.
  if (source.find_first_of("\x01\\") != std::string_view::npos) return 0;
  for (size_t i = 0; i < rendered->text.size(); ++i) {
    const bool is_marker = rendered->text[i] == kMarker[0];
    CHECK(!is_marker || rendered->trusted[i] == 0);
  }
  return 0;
}
