#include "tokenizer/gguf_vocabulary.h"

#include "formats/json_text.h"
#include "tokenizer/json_writer.h"
#include "tokenizer/pre_tokenizer_rules.h"
#include "tokenizer/token_table.h"
#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_keys.h"

namespace hadal {
namespace {

constexpr uint64_t kSeed = 0x67677566766F6361ull;

// Text of the file as it may stand in a message.
std::string Shown(std::string_view text) { return Quoted(RepairUtf8(text.substr(0, 240))); }

tl::unexpected<Error> FailElement(std::string_view key, size_t index, std::string_view what) {
  std::string field = fmt::format("{}[{}]", key, index);
  std::string message = fmt::format("{}: {}", field, what);
  return tl::make_unexpected(Error{ErrorCode::kBadFile, std::move(message), std::move(field)});
}

tl::unexpected<Error> FailKind(const GgufMetadata& metadata, std::string_view key,
                               std::string_view kind) {
  return FailField(ErrorCode::kBadFile, std::string(key), "{} {}; it must be {}", key,
                   metadata.Find(key) == nullptr ? "is missing" : "is of another kind", kind);
}

Result<const SplitRules*> RulesOf(const GgufMetadata& metadata) {
  const std::string* model = metadata.Text(vocabulary::kModel);
  if (model == nullptr) return FailKind(metadata, vocabulary::kModel, "a string");
  if (*model != "gpt2") {
    return FailField(ErrorCode::kUnsupportedModel, std::string(vocabulary::kModel),
                     "{} is {}; this build reads \"gpt2\" (byte-level BPE)", vocabulary::kModel,
                     Shown(*model));
  }
  const std::string* pre = metadata.Text(vocabulary::kPre);
  if (pre == nullptr || pre->empty() || *pre == "default") {
    if (pre == nullptr && metadata.Find(vocabulary::kPre) != nullptr) {
      return FailKind(metadata, vocabulary::kPre, "a string");
    }
    return FailField(ErrorCode::kUnsupportedModel, std::string(vocabulary::kPre),
                     "{} does not name the file's pre-tokenizer, so its tokens cannot be "
                     "reproduced; convert the model again with a converter that writes one of {}",
                     vocabulary::kPre, KnownSplitRules());
  }
  const SplitRules* rules = FindSplitRules(*pre);
  if (rules != nullptr) return rules;
  return FailField(ErrorCode::kUnsupportedModel, std::string(vocabulary::kPre),
                   "{} is {}; this build reads {}", vocabulary::kPre, Shown(*pre),
                   KnownSplitRules());
}

// Checks the vocabulary, then writes it. Views point into the metadata.
class Reader {
 public:
  Reader(const GgufMetadata& metadata, const TokenizerLimits& limits)
      : metadata_(metadata), limits_(limits) {}

  Result<TokenizerTexts> Read() {
    HADAL_TRY(rules_, RulesOf(metadata_));
    HADAL_OK(FindArrays());
    HADAL_OK(CheckTokens());
    HADAL_OK(CheckMerges());
    HADAL_OK(ReadSpecialTokens());
    HADAL_OK(ReadTypes());
    TokenizerTexts texts;
    texts.config_json = ConfigJson();
    texts.tokenizer_json = TokenizerJson();
    return texts;
  }

 private:
  Status FindArrays() {
    tokens_ = metadata_.Texts(vocabulary::kTokens);
    merges_ = metadata_.Texts(vocabulary::kMerges);
    if (tokens_ == nullptr) return FailKind(metadata_, vocabulary::kTokens, "an array of strings");
    if (merges_ == nullptr) return FailKind(metadata_, vocabulary::kMerges, "an array of strings");
    HADAL_OK(CheckCount(vocabulary::kTokens, tokens_->size(), limits_.max_vocab));
    HADAL_OK(CheckCount(vocabulary::kMerges, merges_->size(), limits_.max_merges));
    if (tokens_->empty()) {
      return FailField(ErrorCode::kBadFile, std::string(vocabulary::kTokens), "{} is empty",
                       vocabulary::kTokens);
    }
    size_t n_bytes = 0;
    for (const auto* list : {tokens_, merges_}) {
      for (const std::string& text : *list) n_bytes += text.size();
    }
    if (n_bytes <= limits_.max_file_bytes) return {};
    return FailField(ErrorCode::kBadFile, std::string(vocabulary::kTokens),
                     "{} and {} have {} bytes; the limit is {}", vocabulary::kTokens,
                     vocabulary::kMerges, n_bytes, limits_.max_file_bytes);
  }

  static Status CheckCount(std::string_view key, size_t n, size_t limit) {
    if (n <= limit) return {};
    return FailField(ErrorCode::kBadFile, std::string(key), "{} has {} elements; the limit is {}",
                     key, n, limit);
  }

  Status CheckTokens() {
    uint64_t seed = kSeed;  // of all tokens: a file cannot choose strings that collide
    for (const std::string& token : *tokens_) seed = HashBytes(token, seed);
    by_string_ = TokenTable(seed, tokens_->size());
    for (size_t id = 0; id < tokens_->size(); ++id) {
      const std::string& token = (*tokens_)[id];
      if (token.empty()) return FailElement(vocabulary::kTokens, id, "the token is empty");
      if (token.size() > limits_.max_token_bytes) {
        return FailElement(vocabulary::kTokens, id,
                           fmt::format("the token has {} bytes; the limit is {}", token.size(),
                                       limits_.max_token_bytes));
      }
      if (!IsValidUtf8(token)) {
        return FailElement(vocabulary::kTokens, id,
                           fmt::format("{} is not UTF-8; bytes are spelled in the byte-level "
                                       "alphabet",
                                       Shown(token)));
      }
      if (!by_string_.Insert(token, static_cast<TokenId>(id))) {
        return FailElement(
            vocabulary::kTokens, id,
            fmt::format("repeats {} of index {}", Shown(token), *by_string_.Find(token)));
      }
    }
    return {};
  }

  // Each merge joins two tokens into a third, which is longer than either: merging always ends.
  Status CheckMerges() {
    std::string merged;
    for (size_t rank = 0; rank < merges_->size(); ++rank) {
      const std::string_view line = (*merges_)[rank];
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
          line.find(' ', space + 1) != std::string_view::npos) {
        return FailElement(vocabulary::kMerges, rank,
                           fmt::format("{} is not two tokens with one space between", Shown(line)));
      }
      merged.assign(line.substr(0, space)).append(line.substr(space + 1));
      for (const std::string_view token :
           {line.substr(0, space), line.substr(space + 1), std::string_view(merged)}) {
        if (by_string_.Find(token)) continue;
        return FailElement(vocabulary::kMerges, rank,
                           fmt::format("{} is not in {}", Shown(token), vocabulary::kTokens));
      }
    }
    return {};
  }

  Status ReadSpecialTokens() {
    HADAL_TRY(bos_, ReadId(vocabulary::kBos));
    HADAL_TRY(eos_, ReadId(vocabulary::kEos));
    HADAL_TRY(eot_, ReadId(vocabulary::kEot));
    HADAL_TRY(padding_, ReadId(vocabulary::kPadding));
    HADAL_TRY(add_bos_, ReadFlag(vocabulary::kAddBos, rules_->add_bos));
    HADAL_TRY(nfc_, ReadFlag(vocabulary::kNfc, rules_->nfc));
    HADAL_TRY(ignore_merges_, ReadFlag(vocabulary::kIgnoreMerges, rules_->ignore_merges));
    if (metadata_.Find(vocabulary::kChatTemplate) == nullptr) return {};
    chat_template_ = metadata_.Text(vocabulary::kChatTemplate);
    if (chat_template_ == nullptr)
      return FailKind(metadata_, vocabulary::kChatTemplate, "a string");
    if (chat_template_->size() > limits_.max_template_bytes) {
      return FailField(ErrorCode::kBadFile, std::string(vocabulary::kChatTemplate),
                       "{} has {} bytes; the limit is {}", vocabulary::kChatTemplate,
                       chat_template_->size(), limits_.max_template_bytes);
    }
    if (!IsValidUtf8(*chat_template_)) {
      return FailField(ErrorCode::kBadFile, std::string(vocabulary::kChatTemplate),
                       "{} is not UTF-8", vocabulary::kChatTemplate);
    }
    return {};
  }

  Result<std::optional<size_t>> ReadId(std::string_view key) const {
    if (metadata_.Find(key) == nullptr) return std::nullopt;
    const std::optional<int64_t> id = metadata_.Int(key);
    if (!id) return FailKind(metadata_, key, "an integer");
    if (*id < 0 || static_cast<uint64_t>(*id) >= tokens_->size()) {
      return FailField(ErrorCode::kBadFile, std::string(key),
                       "{} is {}; it must be below {}, the number of tokens", key, *id,
                       tokens_->size());
    }
    return static_cast<size_t>(*id);
  }

  Result<bool> ReadFlag(std::string_view key, bool fallback) const {
    if (metadata_.Find(key) == nullptr) return fallback;
    const std::optional<bool> flag = metadata_.Bool(key);
    if (!flag) return FailKind(metadata_, key, "true or false");
    return *flag;
  }

  Status ReadTypes() {
    types_.assign(tokens_->size(), vocabulary::kNormal);
    if (metadata_.Find(vocabulary::kTokenType) != nullptr) {
      const std::vector<int64_t>* types = metadata_.Ints(vocabulary::kTokenType);
      if (types == nullptr)
        return FailKind(metadata_, vocabulary::kTokenType, "an array of integers");
      if (types->size() != tokens_->size()) {
        return FailField(ErrorCode::kBadFile, std::string(vocabulary::kTokenType),
                         "{} has {} elements and {} has {}; they must be as many",
                         vocabulary::kTokenType, types->size(), vocabulary::kTokens,
                         tokens_->size());
      }
      types_ = *types;
    }
    size_t n_added = 0;
    for (size_t id = 0; id < types_.size(); ++id) {
      HADAL_OK(NormalizeType(id));
      n_added += types_[id] == vocabulary::kControl || types_[id] == vocabulary::kUserDefined;
    }
    // These are looked for in text whatever the list of types says, or there is none.
    for (const auto& id : {bos_, eos_, eot_}) {
      if (id && types_[*id] != vocabulary::kUserDefined) types_[*id] = vocabulary::kControl;
    }
    if (n_added <= limits_.max_added_tokens) return {};
    return FailField(ErrorCode::kBadFile, std::string(vocabulary::kTokenType),
                     "{} marks {} control and user defined tokens; the limit is {}",
                     vocabulary::kTokenType, n_added, limits_.max_added_tokens);
  }

  // Reduces the type to normal, control, user defined or unused.
  Status NormalizeType(size_t id) {
    int64_t& type = types_[id];
    // Older converters mark the padding of the embedding as user defined.
    if ((type == vocabulary::kUserDefined || type == vocabulary::kUnused) &&
        (*tokens_)[id] == vocabulary::PadToken(id)) {
      type = vocabulary::kUnused;
    } else if (type == vocabulary::kUnknown) {
      type = vocabulary::kControl;
    } else if (type == vocabulary::kUndefined || type == vocabulary::kUnused) {
      type = vocabulary::kNormal;
    } else if (type < vocabulary::kUndefined || type >= vocabulary::kByte) {
      return FailElement(vocabulary::kTokenType, id,
                         fmt::format("{} is not a type of a byte-level vocabulary; they are 1 "
                                     "(normal) to 5 (unused)",
                                     type));
    }
    return {};
  }

  std::string ConfigJson() const {
    std::string out = R"({"tokenizer_class":"PreTrainedTokenizerFast",)"
                      R"("clean_up_tokenization_spaces":false,"add_bos_token":)";
    out += add_bos_ && bos_ ? "true" : "false";
    for (const auto& [name, id] :
         {std::pair("bos_token", bos_), std::pair("eos_token", eos_), std::pair("eot_token", eot_),
          std::pair("pad_token", padding_)}) {
      if (!id || types_[*id] == vocabulary::kUnused) continue;
      out += fmt::format(",\"{}\":", name);
      json::AppendString(out, (*tokens_)[*id]);
    }
    if (chat_template_ != nullptr) {
      out += ",\"chat_template\":";
      json::AppendString(out, *chat_template_);
    }
    return out + "}\n";
  }

  std::string TokenizerJson() const {
    std::string out = R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)";
    AppendAddedTokens(out);
    out += R"(],"normalizer":)";
    out += nfc_ ? R"({"type":"NFC"})" : "null";
    out += R"(,"pre_tokenizer":)" + PreTokenizerJson(*rules_);
    out += R"(,"post_processor":)" + PostProcessorJson();
    out += R"(,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,)"
           R"("use_regex":true},"model":{"type":"BPE","dropout":null,"unk_token":null,)"
           R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,)"
           R"("byte_fallback":false,"ignore_merges":)";
    out += ignore_merges_ ? "true" : "false";
    out += ",\"vocab\":{";
    bool first = true;
    for (size_t id = 0; id < tokens_->size(); ++id) {
      if (types_[id] == vocabulary::kUnused) continue;
      out += first ? "\n" : ",\n";
      first = false;
      json::AppendString(out, (*tokens_)[id]);
      out += fmt::format(":{}", id);
    }
    out += "},\"merges\":[";
    for (size_t rank = 0; rank < merges_->size(); ++rank) {
      out += rank == 0 ? "\n" : ",\n";
      json::AppendString(out, (*merges_)[rank]);
    }
    return out + "]}}\n";
  }

  void AppendAddedTokens(std::string& out) const {
    bool first = true;
    for (size_t id = 0; id < tokens_->size(); ++id) {
      const bool special = types_[id] == vocabulary::kControl;
      if (!special && types_[id] != vocabulary::kUserDefined) continue;
      out += first ? "\n" : ",\n";
      first = false;
      out += fmt::format(R"({{"id":{},"content":)", id);
      json::AppendString(out, (*tokens_)[id]);
      out += fmt::format(R"(,"single_word":false,"lstrip":false,"rstrip":false,)"
                         R"("normalized":false,"special":{}}})",
                         special);
    }
  }

  std::string PostProcessorJson() const {
    if (!add_bos_ || !bos_) {
      return R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,)"
             R"("use_regex":true})";
    }
    const std::string bos = json::String((*tokens_)[*bos_]);
    const std::string first = fmt::format(R"({{"SpecialToken":{{"id":{},"type_id":0}}}})", bos);
    constexpr std::string_view kTextA = R"({"Sequence":{"id":"A","type_id":0}})";
    constexpr std::string_view kTextB = R"({"Sequence":{"id":"B","type_id":0}})";
    return fmt::format(R"({{"type":"TemplateProcessing","single":[{0},{1}],"pair":[{0},{1},{2}],)"
                       R"("special_tokens":{{{3}:{{"id":{3},"ids":[{4}],"tokens":[{3}]}}}}}})",
                       first, kTextA, kTextB, bos, *bos_);
  }

  const GgufMetadata& metadata_;
  const TokenizerLimits& limits_;
  const SplitRules* rules_ = nullptr;
  const std::vector<std::string>* tokens_ = nullptr;
  const std::vector<std::string>* merges_ = nullptr;
  const std::string* chat_template_ = nullptr;
  std::vector<int64_t> types_;  // by id
  TokenTable by_string_;
  std::optional<size_t> bos_, eos_, eot_, padding_;
  bool add_bos_ = false, nfc_ = false, ignore_merges_ = false;
};

}  // namespace

Result<TokenizerTexts> TokenizerTextsOfGguf(const GgufMetadata& metadata,
                                            const TokenizerLimits& limits) {
  return Reader(metadata, limits).Read();
}

}  // namespace hadal
