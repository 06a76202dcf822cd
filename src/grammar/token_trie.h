// Owns: the byte strings of a vocabulary in one tree, and which tokens stop. Built once per
// tokenizer and shared by every constraint. Knows nothing of grammars.
// Tokens that control a model (special tokens, and added tokens longer than one character) are not
// in the tree, so no mask ever allows them, but for those that a caller lists: they stand in it as
// kControl and their text. No UTF-8 text holds that byte, so only an automaton that names a control
// token allows it, never one that allows its text.
// Thread rule: immutable after Build.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "core/ids.h"

namespace hadal {
class Tokenizer;
}

namespace hadal::grammar {

class TokenTrie {
 public:
  static constexpr char kControl = '\xFF';

  // bytes[id]; an empty string is a token that is never allowed. `stops` may be among those.
  // kInvalidArgument: a token of more than 65,535 bytes, a stop out of range.
  static Result<std::shared_ptr<const TokenTrie>> Build(std::span<const std::string_view> bytes,
                                                        std::span<const TokenId> stops);
  // The tokens of `tokenizer`; rows of the model beyond its vocabulary are never allowed. control:
  // tokens that a grammar may name; kInvalidArgument where one has no text.
  static Result<std::shared_ptr<const TokenTrie>> Build(const Tokenizer& tokenizer,
                                                        std::span<const TokenId> stops,
                                                        std::span<const TokenId> control = {});

  // Nodes in preorder; node 0 is the root (no byte), `end` is one past the subtree.
  uint32_t n_nodes() const { return static_cast<uint32_t>(byte_.size()); }
  uint8_t byte(uint32_t node) const { return byte_[node]; }
  uint16_t depth(uint32_t node) const { return depth_[node]; }
  uint32_t end(uint32_t node) const { return end_[node]; }
  std::span<const TokenId> tokens(uint32_t node) const {
    return {ids_.data() + first_id_[node], ids_.data() + first_id_[node + 1]};
  }

  std::string_view BytesOf(TokenId id) const;  // "" for what is not in the tree
  // The texts of the control tokens that are in the tree, without kControl; sorted.
  std::span<const std::string> control() const { return control_; }
  bool IsStop(TokenId id) const;
  std::span<const TokenId> stops() const { return stops_; }
  uint32_t vocab_size() const { return static_cast<uint32_t>(offset_.size() - 1); }
  uint32_t max_token_bytes() const { return max_token_bytes_; }
  size_t n_words() const { return (vocab_size() + 63) / 64; }  // of a mask

 private:
  TokenTrie() = default;
  static Result<std::shared_ptr<const TokenTrie>> Build(std::span<const std::string_view> bytes,
                                                        std::span<const TokenId> stops,
                                                        std::vector<std::string> control);
  void AddNode(uint8_t byte, uint16_t depth);
  std::string text_;
  std::vector<uint32_t> offset_;  // of each id in text_; one more than there are ids
  std::vector<TokenId> stops_;    // sorted
  std::vector<std::string> control_;
  std::vector<TokenId> ids_;  // by bytes
  std::vector<uint32_t> first_id_;
  std::vector<uint8_t> byte_;
  std::vector<uint16_t> depth_;
  std::vector<uint32_t> end_;
  uint32_t max_token_bytes_ = 0;
};

}  // namespace hadal::grammar
