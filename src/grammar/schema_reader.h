// Owns: the meaning of the keywords of JSON Schema 2020-12: tree nodes to Shapes. Knows nothing of
// automata. Every keyword is enforced, refused by name, or an annotation; see schema.h for the
// list. Thread rule: a value of one thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/limits.h"
#include "grammar/schema.h"
#include "grammar/schema_shape.h"

namespace hadal::grammar {

class SchemaReader {
 public:
  SchemaReader(const SchemaTree& tree, const SchemaOptions& options, Budget& budget)
      : tree_(tree), options_(options), budget_(budget) {}

  // One of the shapes must hold; none at all: nothing is valid.
  Result<std::vector<Shape>> ShapesOf(const Nodes& nodes);
  // Adds `node` to a conjunction: plain references are followed, schemas that allow all left out.
  Status AddTo(Nodes& nodes, uint32_t node);
  // The alternatives when `node` is nothing but an anyOf, or a oneOf whose schemas exclude each
  // other; empty otherwise.
  Result<Nodes> PlainAlternatives(uint32_t node);
  // Whether the node is nothing but a reference.
  bool IsPlainReference(uint32_t node) const;

  template <class... A>
  tl::unexpected<Error> Wrong(uint32_t node, fmt::format_string<A...> format, A&&... args) const {
    std::string pointer = tree_.PointerOf(node);
    std::string text =
        fmt::format("{}: {}", pointer, fmt::format(format, std::forward<A>(args)...));
    return tl::make_unexpected(
        Error{ErrorCode::kInvalidArgument, std::move(text), std::move(pointer)});
  }

 private:
  using Shapes = std::vector<Shape>;
  Result<Shapes> Expand(uint32_t node, int depth);
  Result<Shapes> ExpandObject(uint32_t node, int depth);
  Result<Shapes> Multiply(uint32_t node, const Shapes& a, const Shapes& b);
  Result<Shapes> Alternatives(uint32_t list, bool exclusive, int depth);
  Status Exclusive(uint32_t list, const std::vector<Shapes>& shapes, int depth);
  // Nothing can be valid under both. False when that could not be shown.
  Result<bool> Disjoint(const Shape& a, const Shape& b, int depth);
  Result<bool> DisjointObjects(const Shape& a, const Shape& b, int depth);
  bool Forbids(const Shape& shape, const std::string& property) const;
  Result<uint32_t> Target(uint32_t reference);

  Status ReadKeyword(uint32_t keyword, Shape& shape, ObjectPart& object, ArrayPart& array);
  Status ReadType(uint32_t keyword, Shape& shape);
  Status ReadBound(uint32_t keyword, Shape& shape);
  Status ReadMultiple(uint32_t keyword, Shape& shape);
  Status ReadText(uint32_t keyword, Shape& shape);
  Status ReadCount(uint32_t keyword, Shape& shape);
  Status ReadFormat(uint32_t keyword, Shape& shape);
  Status ReadObject(uint32_t keyword, Shape& shape, ObjectPart& object);
  Result<bool> ReadArray(uint32_t keyword, Shape& shape, ArrayPart& array);
  Status ExpectSchema(uint32_t node) const;
  Status ExpectList(uint32_t node, bool schemas) const;

  const SchemaTree& tree_;
  const SchemaOptions options_;
  Budget& budget_;
  std::set<uint32_t> expanding_;  // a node inside its own expansion refers to itself
  std::map<uint32_t, Shapes> expanded_;
};

}  // namespace hadal::grammar
