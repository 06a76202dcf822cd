// Owns: walking over tokens, and how deep the parser is. Knows nothing of grammar.
// Thread rule: one parser, one thread; the tokens outlive it.
#pragma once

#include <string_view>
#include <vector>

#include "jinja/lexer.h"

namespace hadal::jinja {

class TokenReader {
 public:
  TokenReader(const std::vector<Token>& tokens, int max_depth)
      : tokens_(tokens), max_depth_(max_depth) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Position position() const { return current().position; }
  const Token& Take() {  // the end is never passed
    const Token& token = current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool TakeIf(std::string_view op) {
    const bool is = current().Is(op);
    if (is) Take();
    return is;
  }
  bool TakeIfName(std::string_view name) {
    const bool is = current().IsName(name);
    if (is) Take();
    return is;
  }
  Status Expect(std::string_view op) {
    if (TakeIf(op)) return {};
    return Unexpected(op);
  }
  tl::unexpected<Error> Unexpected(std::string_view wanted) const {
    return FailAt(position(), "{} stands where {} is expected", Describe(current()), wanted);
  }
  static std::string Describe(const Token& token);

  // One more bracket, block or unary operator; a Nesting is left when it goes out of scope.
  class Nesting {
   public:
    explicit Nesting(int& depth) : depth_(&depth) {}
    Nesting(Nesting&& other) noexcept : depth_(std::exchange(other.depth_, nullptr)) {}
    Nesting& operator=(Nesting&&) = delete;
    ~Nesting() {
      if (depth_ != nullptr) --*depth_;
    }

   private:
    int* depth_;
  };
  Result<Nesting> Enter() {
    if (depth_ >= max_depth_) {
      return FailAt(position(), "blocks and expressions are nested more than {} deep", max_depth_);
    }
    ++depth_;
    return Nesting(depth_);
  }

 private:
  const std::vector<Token>& tokens_;
  const int max_depth_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace hadal::jinja
