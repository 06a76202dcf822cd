#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/pre_tokenizer_rules.h"
#include "tokenizer/token_table.h"
#include "tokenizer/tokenizer_file.h"
#include "tokenizer/vocabulary_keys.h"

namespace hadal {
namespace {

// What llama.cpp never takes out of a user's text, whatever the flags say.
bool IsWrittenAsControl(std::string_view token) {
  return (token.starts_with("<｜") && token.ends_with("｜>")) ||
         (token.starts_with("<|") && token.ends_with("|>"));
}

class Writer {
 public:
  Writer(TokenizerFile file, TokenizerConfig config, GgufMetadata* metadata)
      : file_(std::move(file)), config_(std::move(config)), metadata_(*metadata) {}

  Status Write(int64_t vocab_size) {
    HADAL_OK(WriteRules());
    HADAL_OK(CheckAddedTokens());
    HADAL_OK(FillTokens(vocab_size));
    HADAL_TRY(std::vector<std::string> merges, MergeLines());
    by_string_ = TokenTable(file_.hash_seed, file_.tokens.size());
    for (size_t id = 0; id < file_.tokens.size(); ++id) {
      if (by_string_.Insert(file_.tokens[id], static_cast<TokenId>(id))) continue;
      return FailField(ErrorCode::kBadFile, "model.vocab",
                       "tokens {} and {} would both be named \"{}\", as the second fills a gap",
                       *by_string_.Find(file_.tokens[id]), id, file_.tokens[id]);
    }
    HADAL_OK(WriteSpecialTokens());
    HADAL_OK(Add(vocabulary::kTokenType, GgufValue::I32s(Types())));
    HADAL_OK(Add(vocabulary::kTokens, GgufValue::Texts(std::move(file_.tokens))));
    HADAL_OK(Add(vocabulary::kMerges, GgufValue::Texts(std::move(merges))));
    if (config_.chat_template.empty()) return {};
    return Add(vocabulary::kChatTemplate, GgufValue::Text(std::move(config_.chat_template)));
  }

 private:
  Status Add(std::string_view key, GgufValue value) {
    if (metadata_.Add(std::string(key), std::move(value))) return {};
    return FailField(ErrorCode::kInvalidArgument, std::string(key),
                     "the metadata has {} already; a vocabulary is added once", key);
  }

  Status WriteRules() {
    const SplitRules* rules =
        RecogniseSplitRules(file_.pre_tokenizer, config_.bos_token.value_or(""));
    if (rules == nullptr) {
      return FailField(ErrorCode::kUnsupportedModel, "pre_tokenizer",
                       "the pre_tokenizer of tokenizer.json has no name in GGUF; those with one "
                       "are {}",
                       KnownSplitRules());
    }
    HADAL_OK(Add(vocabulary::kModel, GgufValue::Text("gpt2")));
    HADAL_OK(Add(vocabulary::kPre, GgufValue::Text(std::string(rules->name))));
    if (file_.nfc != rules->nfc) HADAL_OK(Add(vocabulary::kNfc, GgufValue::Bool(file_.nfc)));
    if (file_.ignore_merges == rules->ignore_merges) return {};
    return Add(vocabulary::kIgnoreMerges, GgufValue::Bool(file_.ignore_merges));
  }

  Status CheckAddedTokens() const {
    for (const AddedToken& token : file_.added) {
      if (!token.lstrip && !token.rstrip && !token.single_word) continue;
      return FailField(ErrorCode::kUnsupportedModel, "added_tokens",
                       "added token \"{}\" is set to {}, which GGUF cannot say",
                       token.content.substr(0, 64),
                       token.lstrip   ? "lstrip"
                       : token.rstrip ? "rstrip"
                                      : "single_word");
    }
    return {};
  }

  Status FillTokens(int64_t vocab_size) {
    if (vocab_size < 0 || static_cast<uint64_t>(vocab_size) < file_.tokens.size()) {
      return FailField(ErrorCode::kBadFile, "vocab_size",
                       "the model's vocabulary has {} rows and its tokenizer {} ids; the model "
                       "must have at least as many",
                       vocab_size, file_.tokens.size());
    }
    file_.tokens.resize(static_cast<size_t>(vocab_size));
    unused_.resize(file_.tokens.size());
    for (size_t id = 0; id < file_.tokens.size(); ++id) {
      if (!file_.tokens[id].empty()) continue;
      file_.tokens[id] = vocabulary::PadToken(id);
      unused_[id] = true;
    }
    return {};
  }

  std::vector<int64_t> Types() const {
    std::vector<int64_t> types(file_.tokens.size(), vocabulary::kNormal);
    for (size_t id = 0; id < types.size(); ++id) {
      if (unused_[id]) types[id] = vocabulary::kUnused;
    }
    for (const AddedToken& token : file_.added) {
      const bool control = token.special || IsWrittenAsControl(token.content);
      types[static_cast<size_t>(token.id)] =
          control ? vocabulary::kControl : vocabulary::kUserDefined;
    }
    return types;
  }

  Result<std::vector<std::string>> MergeLines() const {
    std::vector<std::string> lines;
    lines.reserve(file_.merges.size());
    for (const Merge& merge : file_.merges) {
      const std::string& left = file_.tokens[static_cast<size_t>(merge.left)];
      const std::string& right = file_.tokens[static_cast<size_t>(merge.right)];
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) {
        return FailField(
            ErrorCode::kUnsupportedModel, fmt::format("model.merges[{}]", lines.size()),
            "model.merges[{}] joins \"{}\" and \"{}\"; GGUF separates them by a space, "
            "so neither may hold one",
            lines.size(), left.substr(0, 64), right.substr(0, 64));
      }
      lines.push_back(left + " " + right);
    }
    return lines;
  }

  Status WriteSpecialTokens() {
    std::optional<TokenId> bos = file_.template_bos;
    for (const auto& [name, token, key] :
         {std::tuple("bos_token", &config_.bos_token, vocabulary::kBos),
          std::tuple("eos_token", &config_.eos_token, vocabulary::kEos),
          std::tuple("eot_token", &config_.eot_token, vocabulary::kEot),
          std::tuple("pad_token", &config_.pad_token, vocabulary::kPadding)}) {
      std::optional<TokenId> id = token->has_value() ? by_string_.Find(**token) : std::nullopt;
      if (token->has_value() && !id) {
        return FailField(ErrorCode::kBadFile, name,
                         "{} of tokenizer_config.json is \"{}\", which is not in tokenizer.json",
                         name, (*token)->substr(0, 64));
      }
      if (key == vocabulary::kBos) id = bos = id ? id : bos;
      if (id) HADAL_OK(Add(key, GgufValue::U32(*id)));
    }
    const bool add_bos =
        config_.add_bos_token.value_or(file_.template_bos.has_value()) && bos.has_value();
    return Add(vocabulary::kAddBos, GgufValue::Bool(add_bos));
  }

  TokenizerFile file_;
  TokenizerConfig config_;
  GgufMetadata& metadata_;
  std::vector<bool> unused_;  // by id
  TokenTable by_string_;      // keys point into file_.tokens
};

}  // namespace

Status AddGgufVocabulary(const TokenizerTexts& texts, int64_t vocab_size, GgufMetadata* metadata,
                         const TokenizerLimits& limits) {
  HADAL_TRY(TokenizerFile file, ReadTokenizerJson(texts.tokenizer_json, limits));
  HADAL_TRY(TokenizerConfig config, ReadTokenizerConfig(texts.config_json, limits));
  if (!texts.chat_template.empty()) config.chat_template = texts.chat_template;
  if (vocab_size > static_cast<int64_t>(limits.max_vocab)) {
    return FailField(ErrorCode::kBadFile, "vocab_size",
                     "the vocabulary has {} ids; the limit is {}", vocab_size, limits.max_vocab);
  }
  return Writer(std::move(file), std::move(config), metadata).Write(vocab_size);
}

}  // namespace hadal
