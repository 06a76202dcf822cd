#include "tokenizer/tokenizer_file.h"

#include "tokenizer/json_fields.h"
#include "tokenizer/token_table.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace hadal {
namespace {

constexpr size_t kMaxJsonDepth = 64;
constexpr uint64_t kSeed = 0x6861646B6C746F6Bull;

Result<json::Object> ParseJson(simdjson::dom::parser& parser, std::string_view text,
                               std::string_view name, const TokenizerLimits& limits) {
  if (text.size() > limits.max_file_bytes) {
    return Fail(ErrorCode::kBadFile, "{} has {} bytes; the limit is {}", name, text.size(),
                limits.max_file_bytes);
  }
  simdjson::error_code code = parser.allocate(text.size() + 64, kMaxJsonDepth);
  simdjson::dom::element root;
  if (code == simdjson::SUCCESS) code = parser.parse(text.data(), text.size(), true).get(root);
  if (code != simdjson::SUCCESS) {
    return Fail(ErrorCode::kBadFile, "{} is not JSON: {}", name, simdjson::error_message(code));
  }
  return json::As<json::Object>(root, name);
}

// Fills a TokenizerFile while the parsed document lives.
class Reader {
 public:
  Reader(std::string_view text, const TokenizerLimits& limits) : text_(text), limits_(limits) {}

  Result<TokenizerFile> Read() {
    file_.hash_seed = HashBytes(text_, kSeed);
    HADAL_TRY(root_, ParseJson(parser_, text_, "tokenizer.json", limits_));
    HADAL_TRY(model_, json::Required<json::Object>(root_, "model", ""));
    HADAL_OK(CheckModel());
    HADAL_OK(ReadVocab());
    HADAL_OK(ReadMerges());
    HADAL_OK(ReadAddedTokens());
    HADAL_TRY(file_.nfc, ReadNormalizer(root_));
    HADAL_TRY(file_.pre_tokenizer, ReadPreTokenizer(root_, limits_.max_pattern_bytes));
    HADAL_OK(CheckDecoder(root_));
    HADAL_OK(ReadBos());
    return std::move(file_);
  }

 private:
  Status CheckModel() {
    HADAL_TRY(const auto type, json::OptionalOr<std::string_view>(model_, "type", "model", "BPE"));
    if (type != "BPE") {
      return FailField(ErrorCode::kUnsupportedModel, "model.type",
                       "model.type is \"{}\"; this build supports BPE", type);
    }
    for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      HADAL_TRY(const auto affix, json::OptionalOr<std::string_view>(model_, key, "model", ""));
      if (!affix.empty()) {
        return FailField(ErrorCode::kUnsupportedModel, json::Join("model", key),
                         "model.{} is \"{}\"; this build supports none", key, affix);
      }
    }
    HADAL_TRY(const bool fallback, json::OptionalOr<bool>(model_, "byte_fallback", "model", false));
    json::Element dropout;
    const bool drops = model_["dropout"].get(dropout) == simdjson::SUCCESS && !dropout.is_null() &&
                       dropout.get_double().value_unsafe() != 0;
    if (fallback || drops) {
      return FailField(ErrorCode::kUnsupportedModel,
                       fallback ? "model.byte_fallback" : "model.dropout",
                       "model.{} is set; this build reads byte-level BPE without it",
                       fallback ? "byte_fallback" : "dropout");
    }
    HADAL_TRY(file_.ignore_merges, json::OptionalOr<bool>(model_, "ignore_merges", "model", false));
    return {};
  }

  Result<TokenId> CheckId(uint64_t id, std::string_view path) const {
    if (id >= limits_.max_vocab) {
      return FailField(ErrorCode::kBadFile, std::string(path), "{} has id {}; ids must be below {}",
                       path, id, limits_.max_vocab);
    }
    return static_cast<TokenId>(id);
  }

  // Records token `id`; false when the id already belongs to another string.
  bool SetToken(TokenId id, std::string_view token) {
    const auto at = static_cast<size_t>(id);
    if (at >= file_.tokens.size()) {
      file_.tokens.resize(at + 1);
      used_.resize(at + 1);
    }
    if (used_[at]) return file_.tokens[at] == token;
    used_[at] = true;
    file_.tokens[at] = token;
    return true;
  }

  Status CheckLength(std::string_view token, std::string_view path) const {
    if (token.size() <= limits_.max_token_bytes) return {};
    return FailField(ErrorCode::kBadFile, std::string(path),
                     "{} is a token of {} bytes; the limit is {}", path, token.size(),
                     limits_.max_token_bytes);
  }

  Status ReadVocab() {
    HADAL_TRY(const json::Object vocab, json::Required<json::Object>(model_, "vocab", "model"));
    // size() saturates, so count by walking.
    size_t n = 0;
    for ([[maybe_unused]] const auto member : vocab) {
      if (++n > limits_.max_vocab) {
        return FailField(ErrorCode::kBadFile, "model.vocab", "model.vocab has more than {} tokens",
                         limits_.max_vocab);
      }
    }
    if (n == 0) return FailField(ErrorCode::kBadFile, "model.vocab", "model.vocab is empty");
    by_string_ = TokenTable(file_.hash_seed, n);
    file_.tokens.reserve(n);
    for (const auto member : vocab) {
      uint64_t raw = 0;
      if (member.value.get(raw) != simdjson::SUCCESS) {
        return FailField(ErrorCode::kBadFile, "model.vocab",
                         "model.vocab[\"{}\"] is not an integer >= 0", member.key.substr(0, 64));
      }
      HADAL_TRY(const TokenId id, CheckId(raw, "model.vocab"));
      HADAL_OK(CheckLength(member.key, "model.vocab"));
      if (!by_string_.Insert(member.key, id)) {
        return FailField(ErrorCode::kBadFile, "model.vocab",
                         "model.vocab lists the token \"{}\" twice", member.key.substr(0, 64));
      }
      if (!SetToken(id, member.key)) {
        return FailField(
            ErrorCode::kBadFile, "model.vocab", "model.vocab gives id {} to \"{}\" and to \"{}\"",
            id, file_.tokens[static_cast<size_t>(id)].substr(0, 64), member.key.substr(0, 64));
      }
    }
    return {};
  }

  Status ReadMerges() {
    HADAL_TRY(const json::Array merges, json::Required<json::Array>(model_, "merges", "model"));
    size_t rank = 0;
    for (const json::Element entry : merges) {
      if (rank >= limits_.max_merges) {
        return FailField(ErrorCode::kBadFile, "model.merges",
                         "model.merges has more than {} entries", limits_.max_merges);
      }
      auto merge = ReadMerge(entry);
      if (!merge) {
        const std::string path = fmt::format("model.merges[{}]", rank);
        Error error = merge.error().In(path);
        error.field = path;
        return tl::make_unexpected(std::move(error));
      }
      file_.merges.push_back(*merge);
      ++rank;
    }
    return {};
  }

  // "a b" or ["a", "b"]. A merge is longer than either side, so merging always ends.
  Result<Merge> ReadMerge(json::Element entry) {
    std::string_view left, right, line;
    if (entry.get(line) == simdjson::SUCCESS) {
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        return Fail(ErrorCode::kBadFile, "\"{}\" is not two tokens with one space between",
                    line.substr(0, 128));
      }
      left = line.substr(0, space);
      right = line.substr(space + 1);
    } else {
      json::Array pair;
      if (entry.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
          pair.at(0).get(left) != simdjson::SUCCESS || pair.at(1).get(right) != simdjson::SUCCESS) {
        return Fail(ErrorCode::kBadFile, "not a string and not an array of two strings");
      }
    }
    if (left.empty() || right.empty()) {
      return Fail(ErrorCode::kBadFile, "an empty token cannot be merged");
    }
    HADAL_TRY(const TokenId left_id, FindForMerge(left));
    HADAL_TRY(const TokenId right_id, FindForMerge(right));
    merged_.assign(left).append(right);
    HADAL_TRY(const TokenId merged_id, FindForMerge(merged_));
    return Merge{left_id, right_id, merged_id};
  }

  Result<TokenId> FindForMerge(std::string_view token) const {
    const std::optional<TokenId> id = by_string_.Find(token);
    if (id) return *id;
    return Fail(ErrorCode::kBadFile, "\"{}\" is not in model.vocab", token.substr(0, 128));
  }

  Status ReadAddedTokens() {
    HADAL_TRY(const auto list, json::Optional<json::Array>(root_, "added_tokens", ""));
    if (!list) return {};
    size_t n = 0;
    for ([[maybe_unused]] const json::Element entry : *list) {
      if (++n > limits_.max_added_tokens) {
        return FailField(ErrorCode::kBadFile, "added_tokens",
                         "added_tokens has more than {} entries", limits_.max_added_tokens);
      }
    }
    added_by_string_ = TokenTable(file_.hash_seed, n);
    size_t i = 0;
    for (const json::Element entry : *list) {
      HADAL_OK(ReadAddedToken(entry, fmt::format("added_tokens[{}]", i++)));
    }
    return {};
  }

  Status ReadAddedToken(json::Element entry, const std::string& path) {
    HADAL_TRY(const json::Object o, json::As<json::Object>(entry, path));
    HADAL_TRY(const std::string_view content, json::Required<std::string_view>(o, "content", path));
    HADAL_TRY(const uint64_t raw, json::Required<uint64_t>(o, "id", path));
    AddedToken token;
    HADAL_TRY(token.id, CheckId(raw, path));
    HADAL_OK(CheckLength(content, path));
    token.content = content;
    HADAL_TRY(token.special, json::OptionalOr<bool>(o, "special", path, false));
    HADAL_TRY(token.normalized, json::OptionalOr<bool>(o, "normalized", path, !token.special));
    HADAL_TRY(token.lstrip, json::OptionalOr<bool>(o, "lstrip", path, false));
    HADAL_TRY(token.rstrip, json::OptionalOr<bool>(o, "rstrip", path, false));
    HADAL_TRY(token.single_word, json::OptionalOr<bool>(o, "single_word", path, false));
    if (content.empty()) {
      return FailField(ErrorCode::kBadFile, path, "{}.content is empty", path);
    }
    const std::optional<TokenId> in_vocab = by_string_.Find(content);
    if (in_vocab && *in_vocab != token.id) {
      return FailField(ErrorCode::kBadFile, path, "{} gives \"{}\" id {}, model.vocab gives it {}",
                       path, content.substr(0, 64), token.id, *in_vocab);
    }
    if (!added_by_string_.Insert(content, token.id)) {
      return FailField(ErrorCode::kBadFile, path, "{} repeats \"{}\"", path, content.substr(0, 64));
    }
    if (!SetToken(token.id, content)) {
      return FailField(ErrorCode::kBadFile, path, "{} gives \"{}\" id {}, which belongs to \"{}\"",
                       path, content.substr(0, 64), token.id,
                       file_.tokens[static_cast<size_t>(token.id)].substr(0, 64));
    }
    file_.added.push_back(std::move(token));
    return {};
  }

  Status ReadBos() {
    HADAL_TRY(const std::optional<std::string> bos, ReadTemplateBos(root_));
    if (!bos) return {};
    file_.template_bos = added_by_string_.Find(*bos);
    if (!file_.template_bos) file_.template_bos = by_string_.Find(*bos);
    if (file_.template_bos) return {};
    return FailField(ErrorCode::kBadFile, "post_processor",
                     "post_processor begins texts with \"{}\", which is not a token",
                     bos->substr(0, 64));
  }

  std::string_view text_;
  const TokenizerLimits& limits_;
  simdjson::dom::parser parser_;
  json::Object root_, model_;
  TokenTable by_string_, added_by_string_;  // keys point into the parsed document
  std::vector<bool> used_;                  // by id
  std::string merged_;
  TokenizerFile file_;
};

}  // namespace

Result<TokenizerFile> ReadTokenizerJson(std::string_view text, const TokenizerLimits& limits) {
  return Reader(text, limits).Read();
}

}  // namespace hadal
