// Owns: chat templates of checkpoints: a subset of Jinja, parsed and run in a sandbox.
// The subset: text, {{ }}, {% if elif else for(with loop, else, if, break, continue) set(also
// namespace attributes and blocks) macro with filter generation raw %}, {# #}, whitespace control,
// trim_blocks and lstrip_blocks on; literals, arithmetic, comparison, logic, in, `if else`, ~,
// subscripts, slices; the filters, tests, functions and methods of the tables in
// template_library.h. Everything else is refused by name when the template is parsed or run. There
// is no attribute access beyond keys of mappings, no import, no call of anything that is not in a
// table. Must not know tokens or chat formats.
//
// Every byte of a value is marked trusted or not: template text and trusted values are, what the
// caller passes as data is not, and every operation keeps the marks. So whoever reads the output
// knows which "<|User|>" the template wrote and which a user typed.
// Thread rule: immutable after Parse; Render may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal::jinja {

struct Limits {
  size_t max_source_bytes = 1u << 20;
  int max_depth = 100;      // nested blocks and brackets of the source; nested lists and mappings
  int max_run_depth = 500;  // statements and expressions entered at once, over all macro calls
  int64_t max_steps = 2'000'000;  // nodes evaluated, plus bytes handled by string operations / 64
  int64_t max_range = 100'000;    // numbers in one range()
  size_t max_output_bytes = 32u << 20;
  size_t max_value_bytes = 64u << 20;  // alive in one render
  int64_t max_milliseconds = 2000;
};

struct Rendered {
  std::string text;
  std::string trusted;  // one byte per byte of text: 1 = from the template or a trusted value
};

struct RenderClock {
  std::function<int64_t()> milliseconds;  // monotonic; empty: the system's
  int64_t unix_seconds = 0;               // what strftime_now sees, in UTC
};

class Template {
 public:
  // kBadFile: line, column and reason.
  static Result<Template> Parse(std::string_view source, const Limits& limits = {});
  // data: an object of untrusted variables (messages, tools, ...). trusted: an object laid over
  // it, values inside lists and objects included, whose strings are trusted (bos_token, roles).
  // kInvalidArgument: with the text of raise_exception(), or naming the limit that is reached.
  // kBadFile, with line and column: anything else that fails while running.
  Result<Rendered> Render(const nlohmann::ordered_json& data, const nlohmann::ordered_json& trusted,
                          const RenderClock& clock) const;

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

 private:
  struct Program;
  explicit Template(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace hadal::jinja
