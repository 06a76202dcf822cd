#include "grammar/schema_reader.h"

#include <algorithm>

namespace hadal::grammar {
namespace {

constexpr std::string_view kAnnotations[] = {
    "title",           "description",      "default",     "example",       "examples",
    "deprecated",      "readOnly",         "writeOnly",   "$comment",      "$schema",
    "contentEncoding", "contentMediaType", "$vocabulary", "contentSchema", "discriminator",
    "$defs",           "definitions"};

bool IsAnnotation(std::string_view key) {
  return key.starts_with("x-") ||
         std::find(std::begin(kAnnotations), std::end(kAnnotations), key) != std::end(kAnnotations);
}

}  // namespace

bool SchemaReader::IsPlainReference(uint32_t node) const {
  if (!tree_[node].is(JsonNode::Kind::kObject)) return false;
  bool found = false;
  for (const uint32_t child : tree_[node].children) {
    const std::string& key = tree_[child].key;
    if (key == "$ref") {
      found = true;
    } else if (!IsAnnotation(key)) {
      return false;
    }
  }
  return found;
}

Result<uint32_t> SchemaReader::Target(uint32_t reference) {
  const JsonNode& node = tree_[reference];
  if (!node.is(JsonNode::Kind::kString)) return Wrong(reference, "$ref must be a string");
  const std::string shown = node.text.substr(0, 120);
  if (!node.text.starts_with('#')) {
    return Wrong(reference,
                 "\"{}\" is outside this schema and is not fetched; move it under $defs and use "
                 "\"#/$defs/...\"",
                 shown);
  }
  const uint32_t target = tree_.Resolve(node.text);
  if (target == UINT32_MAX) {
    return Wrong(reference, "\"{}\" names nothing in this schema (anchors are not supported)",
                 shown);
  }
  return target;
}

Status SchemaReader::AddTo(Nodes& nodes, uint32_t node) {
  for (int steps = 0; IsPlainReference(node); ++steps) {
    if (steps > budget_.limits().max_depth) {
      return Wrong(node, "the chain of $ref is a circle or longer than {}",
                   budget_.limits().max_depth);
    }
    HADAL_OK(budget_.Spend(1 + tree_[node].children.size()));
    HADAL_TRY(node, Target(tree_.Find(node, "$ref")));
  }
  HADAL_OK(ExpectSchema(node));
  const JsonNode& schema = tree_[node];
  const bool allows_all =
      schema.is(JsonNode::Kind::kTrue) ||
      (schema.is(JsonNode::Kind::kObject) &&
       std::all_of(schema.children.begin(), schema.children.end(),
                   [&](uint32_t child) { return IsAnnotation(tree_[child].key); }));
  if (allows_all) return {};
  const auto at = std::lower_bound(nodes.begin(), nodes.end(), node);
  if (at == nodes.end() || *at != node) nodes.insert(at, node);
  return {};
}

Result<Nodes> SchemaReader::PlainAlternatives(uint32_t node) {
  if (!tree_[node].is(JsonNode::Kind::kObject)) return Nodes{};
  uint32_t list = kNone;
  for (const uint32_t child : tree_[node].children) {
    const std::string& key = tree_[child].key;
    if (IsAnnotation(key)) continue;
    if (list != kNone || (key != "anyOf" && key != "oneOf")) return Nodes{};
    list = child;
  }
  if (list == kNone) return Nodes{};
  HADAL_OK(ExpectList(list, true));
  if (tree_[list].key == "oneOf") {
    // Checks that the schemas exclude each other.
    expanding_.insert(node);
    auto checked = Alternatives(list, true, 0);
    expanding_.erase(node);
    if (!checked) return tl::make_unexpected(checked.error());
  }
  return tree_[list].children;
}

Result<std::vector<Shape>> SchemaReader::ShapesOf(const Nodes& nodes) {
  Shapes shapes{Shape{}};
  for (const uint32_t node : nodes) {
    HADAL_TRY(const Shapes own, Expand(node, 0));
    HADAL_TRY(shapes, Multiply(node, shapes, own));
  }
  return shapes;
}

Result<std::vector<Shape>> SchemaReader::Multiply(uint32_t node, const Shapes& a, const Shapes& b) {
  Shapes out;
  if (a.size() * b.size() > budget_.limits().max_alternatives) {
    return Wrong(node,
                 "anyOf, oneOf and allOf multiply to {} alternatives; at most {} are accepted",
                 a.size() * b.size(), budget_.limits().max_alternatives);
  }
  for (const Shape& x : a) {
    for (const Shape& y : b) {
      HADAL_OK(budget_.Spend(16 + x.objects.size() + y.objects.size()));
      auto both = Merge(tree_, x, y);
      if (!both) return Wrong(node, "the combined multipleOf is larger than 1000");
      if (both->types == 0 || (both->values && both->values->empty())) continue;
      out.push_back(std::move(*both));
    }
  }
  return out;
}

Result<std::vector<Shape>> SchemaReader::Expand(uint32_t node, int depth) {
  HADAL_OK(budget_.Spend(16));
  HADAL_OK(ExpectSchema(node));
  if (tree_[node].is(JsonNode::Kind::kTrue)) return Shapes{Shape{}};
  if (tree_[node].is(JsonNode::Kind::kFalse)) return Shapes{};
  if (const auto it = expanded_.find(node); it != expanded_.end()) return it->second;
  if (depth > budget_.limits().max_depth) {
    return Wrong(node, "schemas refer to each other deeper than {}", budget_.limits().max_depth);
  }
  if (!expanding_.insert(node).second) {
    return Wrong(node, "the schema is defined by itself, through $ref, without anything between");
  }
  auto shapes = ExpandObject(node, depth);
  expanding_.erase(node);
  if (shapes) expanded_[node] = *shapes;
  return shapes;
}

Result<std::vector<Shape>> SchemaReader::ExpandObject(uint32_t node, int depth) {
  Shape own;
  ObjectPart object;
  ArrayPart array;
  for (const uint32_t keyword : tree_[node].children) {
    HADAL_OK(ReadKeyword(keyword, own, object, array));
  }
  if (!object.properties.empty() || !object.patterns.empty() || object.additional != kNone) {
    own.objects.push_back(std::move(object));
  }
  if (!array.prefix.empty() || array.items != kNone) own.arrays.push_back(std::move(array));
  Shapes shapes;
  if (own.types != 0) shapes.push_back(std::move(own));
  for (const uint32_t keyword : tree_[node].children) {
    const std::string& key = tree_[keyword].key;
    if (key == "$ref") {
      HADAL_TRY(const uint32_t target, Target(keyword));
      HADAL_TRY(const Shapes other, Expand(target, depth + 1));
      HADAL_TRY(shapes, Multiply(keyword, shapes, other));
    } else if (key == "allOf") {
      HADAL_OK(ExpectList(keyword, true));
      for (const uint32_t child : tree_[keyword].children) {
        HADAL_TRY(const Shapes other, Expand(child, depth + 1));
        HADAL_TRY(shapes, Multiply(keyword, shapes, other));
      }
    } else if (key == "anyOf" || key == "oneOf") {
      HADAL_OK(ExpectList(keyword, true));
      HADAL_TRY(const Shapes other, Alternatives(keyword, key == "oneOf", depth + 1));
      HADAL_TRY(shapes, Multiply(keyword, shapes, other));
    }
  }
  return shapes;
}

Result<std::vector<Shape>> SchemaReader::Alternatives(uint32_t list, bool exclusive, int depth) {
  std::vector<Shapes> each;
  Shapes all;
  for (const uint32_t child : tree_[list].children) {
    HADAL_TRY(each.emplace_back(), Expand(child, depth));
    all.insert(all.end(), each.back().begin(), each.back().end());
    if (all.size() > budget_.limits().max_alternatives) {
      return Wrong(list, "there are more than {} alternatives", budget_.limits().max_alternatives);
    }
  }
  if (exclusive) HADAL_OK(Exclusive(list, each, depth));
  return all;
}

Status SchemaReader::Exclusive(uint32_t list, const std::vector<Shapes>& shapes, int depth) {
  for (size_t i = 0; i < shapes.size(); ++i) {
    for (size_t k = i + 1; k < shapes.size(); ++k) {
      for (const Shape& a : shapes[i]) {
        for (const Shape& b : shapes[k]) {
          HADAL_OK(budget_.Spend(16));
          HADAL_TRY(const bool disjoint, Disjoint(a, b, depth));
          if (disjoint) continue;
          return Wrong(
              list,
              "schemas {} and {} of oneOf could hold at once; use anyOf, or tell them apart "
              "by a required property with const",
              i, k);
        }
      }
    }
  }
  return {};
}

Status SchemaReader::ExpectSchema(uint32_t node) const {
  const JsonNode& n = tree_[node];
  if (n.is(JsonNode::Kind::kObject) || n.is(JsonNode::Kind::kTrue) ||
      n.is(JsonNode::Kind::kFalse)) {
    return {};
  }
  return Wrong(node, "a schema must be an object or a boolean");
}

Status SchemaReader::ExpectList(uint32_t node, bool schemas) const {
  if (!tree_[node].is(JsonNode::Kind::kArray) || (schemas && tree_[node].children.empty())) {
    return Wrong(node, "must be a list that is not empty");
  }
  for (const uint32_t child : tree_[node].children) {
    if (schemas) HADAL_OK(ExpectSchema(child));
  }
  return {};
}

// Keywords that say something are read in schema_keywords.cc; this one only sorts them.
Status SchemaReader::ReadKeyword(uint32_t keyword, Shape& shape, ObjectPart& object,
                                 ArrayPart& array) {
  const std::string& key = tree_[keyword].key;
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), key) != names.end();
  };
  HADAL_OK(budget_.Spend(4));
  if (is({"$ref", "allOf", "anyOf", "oneOf"}) || IsAnnotation(key)) return {};
  if (key == "type") return ReadType(keyword, shape);
  if (is({"enum", "const"})) {
    Shape values;
    if (key == "enum" && !tree_[keyword].is(JsonNode::Kind::kArray)) {
      return Wrong(keyword, "must be a list");
    }
    values.values = key == "enum" ? tree_[keyword].children : Nodes{keyword};
    HADAL_OK(budget_.Spend(values.values->size()));
    shape = *Merge(tree_, shape, values);
    return {};
  }
  if (is({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})) {
    return ReadBound(keyword, shape);
  }
  if (key == "multipleOf") return ReadMultiple(keyword, shape);
  if (is({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})) {
    return ReadCount(keyword, shape);
  }
  if (key == "pattern" || key == "format") return ReadText(keyword, shape);
  if (is({"properties", "required", "additionalProperties", "patternProperties",
          "propertyNames"})) {
    return ReadObject(keyword, shape, object);
  }
  HADAL_TRY(const bool known, ReadArray(keyword, shape, array));
  if (known) return {};
  if (key == "$id" && tree_[keyword].parent == SchemaTree::kRoot) return {};
  if (is({"not",
          "if",
          "then",
          "else",
          "contains",
          "minContains",
          "maxContains",
          "dependentRequired",
          "dependentSchemas",
          "dependencies",
          "unevaluatedItems",
          "unevaluatedProperties",
          "additionalItems",
          "$dynamicRef",
          "$dynamicAnchor",
          "$recursiveRef",
          "$recursiveAnchor",
          "$anchor",
          "$id",
          "id",
          "nullable"})) {
    return Wrong(keyword, "\"{}\" is not supported", key);
  }
  if (options_.ignore_unknown_keywords) return {};
  return Wrong(keyword, "\"{}\" is not a keyword of JSON Schema 2020-12", key.substr(0, 80));
}

}  // namespace hadal::grammar
