#include "grammar/token_trie.h"

#include <algorithm>

#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace hadal::grammar {

void TokenTrie::AddNode(uint8_t byte, uint16_t depth) {
  byte_.push_back(byte);
  depth_.push_back(depth);
  end_.push_back(0);
  first_id_.push_back(static_cast<uint32_t>(ids_.size()));
}

Result<std::shared_ptr<const TokenTrie>> TokenTrie::Build(std::span<const std::string_view> bytes,
                                                          std::span<const TokenId> stops) {
  return Build(bytes, stops, {});
}

Result<std::shared_ptr<const TokenTrie>> TokenTrie::Build(std::span<const std::string_view> bytes,
                                                          std::span<const TokenId> stops,
                                                          std::vector<std::string> control) {
  std::shared_ptr<TokenTrie> trie(new TokenTrie());
  trie->control_ = std::move(control);
  std::sort(trie->control_.begin(), trie->control_.end());
  trie->offset_.push_back(0);
  std::vector<TokenId> order;
  for (size_t id = 0; id < bytes.size(); ++id) {
    if (bytes[id].size() > UINT16_MAX) {
      return Fail(ErrorCode::kInvalidArgument, "token {} has {} bytes; at most {} are supported",
                  id, bytes[id].size(), UINT16_MAX);
    }
    trie->text_ += bytes[id];
    trie->offset_.push_back(static_cast<uint32_t>(trie->text_.size()));
    trie->max_token_bytes_ =
        std::max(trie->max_token_bytes_, static_cast<uint32_t>(bytes[id].size()));
    if (!bytes[id].empty()) order.push_back(static_cast<TokenId>(id));
  }
  for (const TokenId stop : stops) {
    if (stop < 0 || static_cast<size_t>(stop) >= bytes.size()) {
      return Fail(ErrorCode::kInvalidArgument, "stop token {} is outside the vocabulary of {}",
                  stop, bytes.size());
    }
    trie->stops_.push_back(stop);
  }
  std::sort(trie->stops_.begin(), trie->stops_.end());
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const int c = trie->BytesOf(a).compare(trie->BytesOf(b));
    return c != 0 ? c < 0 : a < b;
  });
  std::vector<uint32_t> path{0};
  trie->AddNode(0, 0);
  std::string_view last;
  for (const TokenId id : order) {
    const std::string_view text = trie->BytesOf(id);
    const size_t shared = static_cast<size_t>(
        std::mismatch(last.begin(), last.end(), text.begin(), text.end()).first - last.begin());
    for (; path.size() > shared + 1; path.pop_back()) trie->end_[path.back()] = trie->n_nodes();
    for (size_t i = shared; i < text.size(); ++i) {
      path.push_back(trie->n_nodes());
      trie->AddNode(static_cast<uint8_t>(text[i]), static_cast<uint16_t>(i + 1));
    }
    trie->ids_.push_back(id);
    last = text;
  }
  for (const uint32_t node : path) trie->end_[node] = trie->n_nodes();
  trie->first_id_.push_back(static_cast<uint32_t>(trie->ids_.size()));
  return trie;
}

Result<std::shared_ptr<const TokenTrie>> TokenTrie::Build(const Tokenizer& tokenizer,
                                                          std::span<const TokenId> stops,
                                                          std::span<const TokenId> control) {
  std::vector<std::string_view> bytes(static_cast<size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view text = tokenizer.BytesOf(id);
    if (text.empty() || tokenizer.IsSpecial(id)) continue;
    const Utf8Char first = ReadUtf8Char(text);
    const bool one_character = first.kind == Utf8Char::Kind::kValid && first.length == text.size();
    if (tokenizer.IsAdded(id) && !one_character) continue;
    // No text holds the byte, and with it a token could pass for a part of a control token.
    if (text.find(kControl) != text.npos) continue;
    bytes[static_cast<size_t>(id)] = text;
  }
  std::vector<std::string> marked(control.size()), texts;
  for (size_t i = 0; i < control.size(); ++i) {
    const std::string_view text = tokenizer.BytesOf(control[i]);
    if (text.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "control token {} has no text", control[i]);
    }
    texts.emplace_back(text);
    marked[i] = kControl + texts.back();
    bytes[static_cast<size_t>(control[i])] = marked[i];
  }
  for (const TokenId stop : stops) {
    if (stop >= 0 && stop < tokenizer.vocab_size()) bytes[static_cast<size_t>(stop)] = {};
  }
  return Build(bytes, stops, std::move(texts));
}

std::string_view TokenTrie::BytesOf(TokenId id) const {
  if (id < 0 || static_cast<uint32_t>(id) >= vocab_size()) return {};
  const auto i = static_cast<size_t>(id);
  return std::string_view(text_).substr(offset_[i], offset_[i + 1] - offset_[i]);
}

bool TokenTrie::IsStop(TokenId id) const {
  return std::binary_search(stops_.begin(), stops_.end(), id);
}

}  // namespace hadal::grammar
