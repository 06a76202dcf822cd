#include "jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "jinja/expression_parser.h"

namespace hadal::jinja {
namespace {

using Kind = Statement::Kind;
using EndTags = std::initializer_list<std::string_view>;

StatementPtr New(Kind kind, Position position) {
  auto node = std::make_unique<Statement>();
  node->kind = kind;
  node->position = position;
  return node;
}

class Parser {
 public:
  Parser(const std::vector<Token>& tokens, const Limits& limits)
      : reader_(tokens, limits.max_depth), expressions_(reader_) {}

  Result<Body> ParseTemplate() { return ParseBody({}, Position()); }

 private:
  // Up to one of the end tags, whose name is the current token then.
  Result<Body> ParseBody(EndTags ends, Position opened) {
    HADAL_TRY(const TokenReader::Nesting nesting, reader_.Enter());
    Body body;
    while (true) {
      const Token& token = reader_.current();
      if (token.kind == Token::Kind::kEnd) {
        if (ends.size() == 0) return body;
        return FailAt(opened, "the block has no {}", Quote(*(ends.end() - 1)));
      }
      if (token.kind == Token::Kind::kBlockBegin && IsOneOf(reader_.next(), ends)) {
        reader_.Take();
        return body;
      }
      HADAL_TRY(StatementPtr statement, ParseStatement());
      body.push_back(std::move(statement));
    }
  }
  static bool IsOneOf(const Token& token, EndTags names) {
    return token.kind == Token::Kind::kName &&
           std::find(names.begin(), names.end(), token.text) != names.end();
  }
  Status EndBlock() {
    if (reader_.current().kind != Token::Kind::kBlockEnd) return reader_.Unexpected("'%}'");
    reader_.Take();
    return {};
  }
  // The rest of a block: its body and {% end %}.
  Result<Body> ParseBlock(std::string_view end, Position opened) {
    HADAL_OK(EndBlock());
    HADAL_TRY(Body body, ParseBody({end}, opened));
    reader_.Take();
    HADAL_OK(EndBlock());
    return body;
  }

  Result<StatementPtr> ParseStatement() {
    const Token& token = reader_.Take();
    if (token.kind == Token::Kind::kText) {
      StatementPtr text = New(Kind::kText, token.position);
      text->text = Literal(token.text);
      return text;
    }
    if (token.kind == Token::Kind::kPrintBegin) {
      StatementPtr print = New(Kind::kPrint, token.position);
      HADAL_TRY(print->expression, expressions_.ParseTuple(/*with_condition=*/true));
      if (reader_.current().kind != Token::Kind::kPrintEnd) return reader_.Unexpected("'}}'");
      reader_.Take();
      return print;
    }
    return ParseTag();
  }

  Result<StatementPtr> ParseTag() {
    const Token& tag = reader_.current();
    if (tag.kind != Token::Kind::kName) return reader_.Unexpected("the name of a block");
    reader_.Take();
    const Position position = tag.position;
    if (tag.text == "if") return ParseIf(position);
    if (tag.text == "for") return ParseFor(position);
    if (tag.text == "set") return ParseSet(position);
    if (tag.text == "macro") return ParseMacro(position);
    if (tag.text == "with") return ParseWith(position);
    if (tag.text == "filter") return ParseFilterBlock(position);
    if (tag.text == "generation") {
      StatementPtr node = New(Kind::kScope, position);
      HADAL_TRY(node->body, ParseBlock("endgeneration", position));
      return node;
    }
    if (tag.text == "break" || tag.text == "continue") {
      if (loops_ == 0) return FailAt(position, "'{}' stands outside of a loop", tag.text);
      StatementPtr node = New(tag.text == "break" ? Kind::kBreak : Kind::kContinue, position);
      HADAL_OK(EndBlock());
      return node;
    }
    return FailAt(position, "the block {} is not supported here", Quote(tag.text));
  }

  Result<StatementPtr> ParseIf(Position position) {
    StatementPtr node = New(Kind::kIf, position);
    const bool lenient = expressions_.lenient();
    expressions_.set_lenient(true);
    while (true) {
      Statement::Branch branch;
      HADAL_TRY(branch.condition, expressions_.ParseTuple(/*with_condition=*/true));
      HADAL_OK(EndBlock());
      HADAL_TRY(branch.body, ParseBody({"elif", "else", "endif"}, position));
      node->branches.push_back(std::move(branch));
      const Token& end = reader_.Take();
      if (end.text == "elif") continue;
      if (end.text == "else") {
        HADAL_TRY(node->otherwise, ParseBlock("endif", position));
      } else {
        HADAL_OK(EndBlock());
      }
      break;
    }
    expressions_.set_lenient(lenient);
    return node;
  }

  Result<StatementPtr> ParseFor(Position position) {
    StatementPtr node = New(Kind::kFor, position);
    HADAL_TRY(Target target, ParseTarget(/*with_attribute=*/false));
    node->assignments.push_back({std::move(target), nullptr});
    if (!reader_.TakeIfName("in")) return reader_.Unexpected("'in'");
    HADAL_TRY(node->expression, expressions_.ParseTuple(/*with_condition=*/false));
    if (reader_.TakeIfName("if")) {
      HADAL_TRY(node->condition, expressions_.Parse());
    }
    if (reader_.current().IsName("recursive")) {
      return FailAt(reader_.position(), "recursive loops are not supported");
    }
    HADAL_OK(EndBlock());
    ++loops_;
    auto body = ParseBody({"else", "endfor"}, position);
    --loops_;
    if (!body) return tl::make_unexpected(std::move(body).error());
    node->body = std::move(*body);
    if (reader_.Take().text == "else") {
      HADAL_TRY(node->otherwise, ParseBlock("endfor", position));
    } else {
      HADAL_OK(EndBlock());
    }
    return node;
  }

  Result<Target> ParseOneTarget(bool with_attribute) {
    Target target;
    target.position = reader_.position();
    if (reader_.TakeIf("(")) {
      HADAL_TRY(target, ParseTarget(with_attribute));
      HADAL_OK(reader_.Expect(")"));
      return target;
    }
    HADAL_TRY(target.name, expressions_.ParseName("a name to assign to"));
    for (const char* reserved : {"true", "false", "none", "True", "False", "None"}) {
      if (target.name == reserved) {
        return FailAt(target.position, "'{}' cannot be assigned to", reserved);
      }
    }
    if (with_attribute && reader_.TakeIf(".")) {
      HADAL_TRY(target.attribute, expressions_.ParseName("the name of an attribute"));
    }
    return target;
  }
  Result<Target> ParseTarget(bool with_attribute) {
    HADAL_TRY(const TokenReader::Nesting nesting, reader_.Enter());
    HADAL_TRY(Target first, ParseOneTarget(with_attribute));
    if (!reader_.current().Is(",")) return first;
    Target all;
    all.position = first.position;
    all.targets.push_back(std::move(first));
    while (reader_.TakeIf(",")) {
      if (reader_.current().IsName("in") || reader_.current().Is("=")) break;
      HADAL_TRY(Target next, ParseOneTarget(with_attribute));
      all.targets.push_back(std::move(next));
    }
    return all;
  }

  Result<StatementPtr> ParseSet(Position position) {
    StatementPtr node = New(Kind::kSet, position);
    HADAL_TRY(Target target, ParseTarget(/*with_attribute=*/true));
    node->assignments.push_back({std::move(target), nullptr});
    if (reader_.TakeIf("=")) {
      HADAL_TRY(node->expression, expressions_.ParseTuple(/*with_condition=*/true));
      HADAL_OK(EndBlock());
      return node;
    }
    node->kind = Kind::kSetBlock;
    HADAL_TRY(node->filters, expressions_.ParseFilters());
    HADAL_TRY(node->body, ParseBlock("endset", position));
    return node;
  }

  Result<StatementPtr> ParseMacro(Position position) {
    StatementPtr node = New(Kind::kMacro, position);
    HADAL_TRY(node->name, expressions_.ParseName("the name of the macro"));
    HADAL_OK(reader_.Expect("("));
    while (!reader_.current().Is(")")) {
      if (!node->assignments.empty()) HADAL_OK(reader_.Expect(","));
      if (reader_.current().Is(")")) break;
      Statement::Assignment parameter;
      HADAL_TRY(parameter.target, ParseOneTarget(/*with_attribute=*/false));
      if (reader_.TakeIf("=")) {
        HADAL_TRY(parameter.value, expressions_.Parse());
      } else if (!node->assignments.empty() && node->assignments.back().value != nullptr) {
        return FailAt(parameter.target.position, "a parameter without a default follows one with");
      }
      node->assignments.push_back(std::move(parameter));
    }
    HADAL_OK(reader_.Expect(")"));
    const int loops = std::exchange(loops_, 0);
    auto body = ParseBlock("endmacro", position);
    loops_ = loops;
    if (!body) return tl::make_unexpected(std::move(body).error());
    node->body = std::move(*body);
    return node;
  }

  Result<StatementPtr> ParseWith(Position position) {
    StatementPtr node = New(Kind::kWith, position);
    while (reader_.current().kind != Token::Kind::kBlockEnd) {
      if (!node->assignments.empty()) HADAL_OK(reader_.Expect(","));
      Statement::Assignment assignment;
      HADAL_TRY(assignment.target, ParseOneTarget(/*with_attribute=*/false));
      HADAL_OK(reader_.Expect("="));
      HADAL_TRY(assignment.value, expressions_.Parse());
      node->assignments.push_back(std::move(assignment));
    }
    HADAL_TRY(node->body, ParseBlock("endwith", position));
    return node;
  }

  Result<StatementPtr> ParseFilterBlock(Position position) {
    StatementPtr node = New(Kind::kFilterBlock, position);
    HADAL_TRY(Suffix first, expressions_.ParseFilter());
    HADAL_TRY(node->filters, expressions_.ParseFilters());
    node->filters.insert(node->filters.begin(), std::move(first));
    HADAL_TRY(node->body, ParseBlock("endfilter", position));
    return node;
  }

  TokenReader reader_;
  ExpressionParser expressions_;
  int loops_ = 0;
};

}  // namespace

Result<Body> ParseTokens(const std::vector<Token>& tokens, const Limits& limits) {
  return Parser(tokens, limits).ParseTemplate();
}

}  // namespace hadal::jinja
