#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "base/file.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer_file.h"
#include "tokenizer/utf8.h"

namespace hadal {
namespace {

// Bytes that occur in no UTF-8 text; vocabularies may lack them.
bool OccursInUtf8(int byte) { return byte != 0xC0 && byte != 0xC1 && byte < 0xF5; }

// A character of ordinary text that the file adds as a token: it cannot control a model.
bool IsPlainCharacter(const AddedToken& token) {
  return !token.special && ReadUtf8Char(token.content).length == token.content.size();
}

class ByteLevelTokenizer final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Make(TokenizerFile file, TokenizerConfig config);

  std::vector<TokenId> Encode(std::string_view text, Special special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;

  std::string_view BytesOf(TokenId id) const override {
    if (id < 0 || id >= vocab_size()) return {};
    const auto at = static_cast<size_t>(id);
    return std::string_view(bytes_).substr(offsets_[at], offsets_[at + 1] - offsets_[at]);
  }
  std::optional<TokenId> IdOf(std::string_view added_token) const override {
    return added_ids_.Find(added_token);
  }
  bool IsSpecial(TokenId id) const override { return Flag(is_special_, id); }
  bool IsAdded(TokenId id) const override { return Flag(is_added_, id); }
  int vocab_size() const override { return static_cast<int>(offsets_.size()) - 1; }
  std::optional<TokenId> bos() const override { return bos_; }
  std::optional<TokenId> eos() const override { return eos_; }
  bool add_bos() const override { return add_bos_; }
  std::string_view chat_template() const override { return chat_template_; }

 private:
  ByteLevelTokenizer() = default;

  static bool Flag(const std::vector<bool>& flags, TokenId id) {
    return id >= 0 && static_cast<size_t>(id) < flags.size() && flags[static_cast<size_t>(id)];
  }
  Result<Bpe::Spec> SetTokens(TokenizerFile& file);
  void SetAddedTokens(const std::vector<AddedToken>& tokens, uint64_t seed);
  Status SetBosAndEos(const TokenizerFile& file, const TokenizerConfig& config);
  // A user's text.
  std::vector<TokenId> EncodeAsText(std::string_view text) const;
  // One run of text without added tokens, normalised already.
  void EncodeText(std::string_view text, bool allow_added, std::vector<TokenId>& out) const;
  std::string_view Normalize(std::string_view text, std::string& storage) const {
    return nfc_ ? NormalizeNfc(text, storage) : text;
  }

  std::string bytes_;              // of all tokens, in id order
  std::vector<uint32_t> offsets_;  // [vocab_size + 1] into bytes_
  std::vector<bool> is_special_, is_added_;
  std::string added_contents_;  // what added_ids_ points into
  TokenTable added_ids_;
  AddedTokenMatcher raw_matcher_;         // looks in the raw text
  AddedTokenMatcher normalized_matcher_;  // looks in the normalised text
  AddedTokenMatcher character_matcher_;   // plain characters only, for users' texts
  std::optional<PreTokenizer> pre_tokenizer_;
  std::optional<Bpe> bpe_;
  bool nfc_ = false;
  std::optional<TokenId> bos_, eos_;
  bool add_bos_ = false;
  std::string chat_template_;
};

Result<std::unique_ptr<Tokenizer>> ByteLevelTokenizer::Make(TokenizerFile file,
                                                            TokenizerConfig config) {
  std::unique_ptr<ByteLevelTokenizer> t(new ByteLevelTokenizer());
  t->nfc_ = file.nfc;
  HADAL_TRY(t->pre_tokenizer_, PreTokenizer::Make(file.pre_tokenizer));
  t->SetAddedTokens(file.added, file.hash_seed);
  t->is_special_.resize(file.tokens.size());
  t->is_added_.resize(file.tokens.size());
  for (const AddedToken& token : file.added) {
    t->is_special_[static_cast<size_t>(token.id)] = token.special;
    t->is_added_[static_cast<size_t>(token.id)] = true;
  }
  HADAL_TRY(Bpe::Spec spec, t->SetTokens(file));
  t->bpe_.emplace(std::move(spec));
  HADAL_OK(t->SetBosAndEos(file, config));
  t->chat_template_ = std::move(config.chat_template);
  return std::unique_ptr<Tokenizer>(std::move(t));
}

Result<Bpe::Spec> ByteLevelTokenizer::SetTokens(TokenizerFile& file) {
  Bpe::Spec spec;
  spec.byte_tokens.fill(-1);
  spec.seed = file.hash_seed;
  spec.merges = std::move(file.merges);
  spec.is_added = is_added_;
  offsets_.reserve(file.tokens.size() + 1);
  std::vector<TokenId> words;  // tokens of the byte alphabet
  for (size_t id = 0; id < file.tokens.size(); ++id) {
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
    bool in_alphabet = false;
    std::string bytes = BytesOfToken(file.tokens[id], &in_alphabet);
    // Added tokens are text as it stands: "ü" of deepseek-llm is a letter, not byte 0xFC.
    if (is_added_[id] && bytes != file.tokens[id]) {
      bytes = file.tokens[id];
      in_alphabet = false;
    }
    bytes_ += bytes;
    if (!in_alphabet || bytes.empty()) continue;
    words.push_back(static_cast<TokenId>(id));
    if (bytes.size() == 1) {
      spec.byte_tokens[static_cast<unsigned char>(bytes[0])] = static_cast<TokenId>(id);
    }
  }
  offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  for (int byte = 0; byte < 256; ++byte) {
    if (spec.byte_tokens[static_cast<size_t>(byte)] >= 0 || !OccursInUtf8(byte)) continue;
    return FailField(ErrorCode::kBadFile, "model.vocab",
                     "model.vocab has no token \"{}\" for byte 0x{:02X}; a byte-level vocabulary "
                     "needs one for every byte",
                     ByteLevelChar(static_cast<uint8_t>(byte)), byte);
  }
  if (file.ignore_merges) {
    spec.whole_words = TokenTable(file.hash_seed, words.size());
    for (const TokenId id : words) spec.whole_words.Insert(BytesOf(id), id);
  }
  return spec;
}

void ByteLevelTokenizer::SetAddedTokens(const std::vector<AddedToken>& tokens, uint64_t seed) {
  size_t n_bytes = 0;
  for (const AddedToken& token : tokens) n_bytes += token.content.size();
  added_contents_.reserve(n_bytes);  // views into it must not move
  added_ids_ = TokenTable(seed, tokens.size());
  for (const AddedToken& token : tokens) {
    const size_t begin = added_contents_.size();
    added_contents_ += token.content;
    added_ids_.Insert(std::string_view(added_contents_).substr(begin), token.id);
    AddedToken pattern = token;
    if (token.normalized) {
      std::string storage;
      pattern.content = std::string(Normalize(token.content, storage));
    }
    if (IsPlainCharacter(token)) character_matcher_.Add(pattern);
    (token.normalized ? normalized_matcher_ : raw_matcher_).Add(std::move(pattern));
  }
  character_matcher_.Seal();
  raw_matcher_.Seal();
  normalized_matcher_.Seal();
}

Status ByteLevelTokenizer::SetBosAndEos(const TokenizerFile& file, const TokenizerConfig& config) {
  const auto find = [&](const std::optional<std::string>& token,
                        std::string_view field) -> Result<std::optional<TokenId>> {
    if (!token) return std::nullopt;
    if (const auto id = added_ids_.Find(*token)) return id;
    const auto it = std::find(file.tokens.begin(), file.tokens.end(), *token);
    if (it != file.tokens.end() && !token->empty()) {
      return std::optional(static_cast<TokenId>(it - file.tokens.begin()));
    }
    return FailField(ErrorCode::kBadFile, std::string(field),
                     "{} of tokenizer_config.json is \"{}\", which is not in tokenizer.json", field,
                     token->substr(0, 64));
  };
  HADAL_TRY(bos_, find(config.bos_token, "bos_token"));
  HADAL_TRY(eos_, find(config.eos_token, "eos_token"));
  if (!bos_) bos_ = file.template_bos;
  add_bos_ = config.add_bos_token.value_or(file.template_bos.has_value()) && bos_.has_value();
  return {};
}

void ByteLevelTokenizer::EncodeText(std::string_view text, bool allow_added,
                                    std::vector<TokenId>& out) const {
  Bpe::Scratch scratch;
  pre_tokenizer_->Split(
      text, [&](std::string_view word) { bpe_->Encode(word, allow_added, scratch, out); });
}

std::vector<TokenId> ByteLevelTokenizer::EncodeAsText(std::string_view text) const {
  std::string storage;
  std::vector<AddedTokenMatcher::Part> parts;
  character_matcher_.Split(Normalize(text, storage), parts);
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 4);
  for (const auto& part : parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      EncodeText(part.text, /*allow_added=*/false, ids);
    }
  }
  return ids;
}

std::vector<TokenId> ByteLevelTokenizer::Encode(std::string_view text, Special special) const {
  std::string repaired, storage;
  if (!IsValidUtf8(text)) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  if (special == Special::kAsText) return EncodeAsText(text);
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 4);
  std::vector<AddedTokenMatcher::Part> raw_parts, parts;
  raw_matcher_.Split(text, raw_parts);
  for (const auto& raw : raw_parts) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    parts.clear();
    normalized_matcher_.Split(Normalize(raw.text, storage), parts);
    for (const auto& part : parts) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        EncodeText(part.text, /*allow_added=*/true, ids);
      }
    }
  }
  return ids;
}

std::string ByteLevelTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (!skip_special || !IsSpecial(id)) bytes += BytesOf(id);
  }
  return RepairUtf8(bytes);
}

}  // namespace

Result<TokenizerTexts> ReadTokenizerTexts(const std::filesystem::path& directory,
                                          const TokenizerLimits& limits) {
  TokenizerTexts texts;
  HADAL_TRY(texts.tokenizer_json, ReadFile(directory / "tokenizer.json", limits.max_file_bytes));
  const auto read = [&](std::string_view name, size_t max_bytes, std::string& text) -> Status {
    auto file = ReadFile(directory / name, max_bytes);
    if (file) {
      text = std::move(*file);
    } else if (file.error().code != ErrorCode::kNotFound) {
      return tl::make_unexpected(std::move(file).error());
    }
    return {};
  };
  HADAL_OK(read("tokenizer_config.json", limits.max_file_bytes, texts.config_json));
  HADAL_OK(read("chat_template.jinja", limits.max_template_bytes, texts.chat_template));
  if (IsValidUtf8(texts.chat_template)) return texts;
  return FailField(ErrorCode::kBadFile, "chat_template", "{} is not UTF-8",
                   (directory / "chat_template.jinja").string());
}

namespace {

Result<TokenizerTexts> ReadTextsOf(const std::filesystem::path& path,
                                   const TokenizerLimits& limits) {
  if (!IsGguf(path)) return ReadTokenizerTexts(path, limits);
  HADAL_TRY(const auto file, GgufFile::Open(path));
  auto texts = TokenizerTextsOfGguf(file->metadata(), limits);
  if (!texts) return tl::make_unexpected(texts.error().In(path.string()));
  return texts;
}

Result<std::unique_ptr<Tokenizer>> MakeTokenizer(std::string_view tokenizer_json,
                                                 std::string_view config_json,
                                                 std::string chat_template,
                                                 const TokenizerLimits& limits) {
  HADAL_TRY(TokenizerFile file, ReadTokenizerJson(tokenizer_json, limits));
  HADAL_TRY(TokenizerConfig config, ReadTokenizerConfig(config_json, limits));
  if (!chat_template.empty()) config.chat_template = std::move(chat_template);
  return ByteLevelTokenizer::Make(std::move(file), std::move(config));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::filesystem::path& path,
                                                   const TokenizerLimits& limits) {
  HADAL_TRY(TokenizerTexts texts, ReadTextsOf(path, limits));
  auto tokenizer = MakeTokenizer(texts.tokenizer_json, texts.config_json,
                                 std::move(texts.chat_template), limits);
  if (!tokenizer) return tl::make_unexpected(tokenizer.error().In(path.string()));
  return tokenizer;
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::Parse(std::string_view tokenizer_json,
                                                    std::string_view config_json,
                                                    const TokenizerLimits& limits) {
  return MakeTokenizer(tokenizer_json, config_json, "", limits);
}

}  // namespace hadal
