// hadal tokenize: text <-> ids, on stdin and stdout.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "formats/json_text.h"
#include "tokenizer/tokenizer.h"

namespace hadal::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxInputBytes = size_t{1} << 30;

// Never deep: what is refused below is printed.
Result<Json> ReadJson(std::string_view text) {
  return ParseJson(text, {.max_bytes = kMaxInputBytes, .max_depth = 4});
}

std::string Dump(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

Result<std::vector<TokenId>> ToIds(const Json& j) {
  if (!j.is_array()) return Fail(ErrorCode::kInvalidArgument, "expected a JSON array of token ids");
  std::vector<TokenId> ids;
  for (const Json& e : j) {
    if (!e.is_number_integer() || e.get<double>() < 0 || e.get<double>() > 2147483647.0) {
      return Fail(ErrorCode::kInvalidArgument, "'{}' is not a token id", Dump(e).substr(0, 32));
    }
    ids.push_back(e.get<TokenId>());
  }
  return ids;
}

// One input (a text, or an array of ids) to one line of output.
Result<std::string> One(const Tokenizer& tokenizer, const TokenizeOptions& options,
                        const Json& in) {
  if (options.decode) {
    HADAL_TRY(const auto ids, ToIds(in));
    const std::string text = tokenizer.Decode(ids);
    return options.jsonl ? Dump(Json(text)) : text;
  }
  if (!in.is_string()) return Fail(ErrorCode::kInvalidArgument, "expected a JSON string");
  const auto special =
      options.no_special ? Tokenizer::Special::kAsText : Tokenizer::Special::kRecognise;
  return Dump(Json(tokenizer.Encode(in.get_ref<const std::string&>(), special)));
}

Status Run(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  if (!options.jsonl) {
    std::string input((std::istreambuf_iterator<char>(std::cin)), {});
    Json in;
    if (options.decode) {
      HADAL_TRY(in, ReadJson(input));
    } else {
      in = std::move(input);
    }
    HADAL_TRY(const std::string out, One(tokenizer, options, in));
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fputc('\n', stdout);
    return {};
  }
  std::string line;
  for (int64_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.empty()) continue;
    const auto in = ReadJson(line);
    const auto out = in ? One(tokenizer, options, *in) : tl::make_unexpected(in.error());
    if (!out) return tl::make_unexpected(out.error().In(fmt::format("line {}", number)));
    fmt::print("{}\n", *out);
  }
  return {};
}

}  // namespace

int Tokenize(const Shared& shared, const TokenizeOptions& options) {
  if (Status s = CheckFiles(shared.config); !s) return PrintError(shared, s.error());
  auto tokenizer = Tokenizer::Load(TokenizerPath(shared.config));
  if (!tokenizer) return PrintError(shared, tokenizer.error());
  const Status status = Run(**tokenizer, options);
  return status ? 0 : PrintError(shared, status.error());
}

}  // namespace hadal::cli
