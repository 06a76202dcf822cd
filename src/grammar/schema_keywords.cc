// One function per kind of keyword.
#include <algorithm>

#include "grammar/formats.h"
#include "grammar/schema_reader.h"

namespace hadal::grammar {
namespace {

constexpr std::pair<std::string_view, uint8_t> kTypes[] = {
    {"null", kNullType},       {"boolean", kBooleanType},
    {"integer", kIntegerType}, {"number", kIntegerType | kFractionType},
    {"string", kStringType},   {"array", kArrayType},
    {"object", kObjectType},
};

}  // namespace

Status SchemaReader::ReadType(uint32_t keyword, Shape& shape) {
  const JsonNode& type = tree_[keyword];
  uint8_t types = 0;
  const auto add = [&](uint32_t node) -> Status {
    const JsonNode& name = tree_[node];
    for (const auto& [known, bits] : kTypes) {
      if (!name.is(JsonNode::Kind::kString) || name.text != known) continue;
      types |= bits;
      return {};
    }
    std::string shown;
    tree_.Write(node, shown);
    return Wrong(
        node, "{} is not a type; types are null, boolean, integer, number, string, array, object",
        shown.substr(0, 80));
  };
  if (type.is(JsonNode::Kind::kArray)) {
    for (const uint32_t child : type.children) HADAL_OK(add(child));
  } else {
    HADAL_OK(add(keyword));
  }
  shape.types &= types;
  return {};
}

Status SchemaReader::ReadBound(uint32_t keyword, Shape& shape) {
  const JsonNode& node = tree_[keyword];
  if (!node.is(JsonNode::Kind::kNumber)) return Wrong(keyword, "must be a number");
  const bool lower = node.key == "minimum" || node.key == "exclusiveMinimum";
  Shape bound;
  auto& place = lower ? bound.range.min : bound.range.max;
  place = {node.number, node.key.starts_with("exclusive")};
  shape = *Merge(tree_, shape, bound);
  return {};
}

Status SchemaReader::ReadMultiple(uint32_t keyword, Shape& shape) {
  const JsonNode& node = tree_[keyword];
  if (!node.is(JsonNode::Kind::kNumber) || node.number.negative || node.number.is_zero()) {
    return Wrong(keyword, "must be a number above 0");
  }
  if (!node.integral || node.number.whole.size() > 4 || std::stoi(node.number.whole) > 1000) {
    return Wrong(keyword, "multipleOf {} is not supported; integers up to 1000 are", node.text);
  }
  shape.range.multiple_of = static_cast<uint32_t>(std::stoi(node.number.whole));
  return {};
}

Status SchemaReader::ReadCount(uint32_t keyword, Shape& shape) {
  const JsonNode& node = tree_[keyword];
  if (!node.is(JsonNode::Kind::kNumber) || !node.integral || node.number.negative) {
    return Wrong(keyword, "must be an integer of at least 0");
  }
  const bool huge = node.number.whole.size() > 9;
  const uint32_t n = huge ? kNone - 1 : static_cast<uint32_t>(std::stoul(node.number.whole));
  const bool lower = node.key.starts_with("min");
  if (lower && n > budget_.limits().max_required) {
    return Wrong(keyword,
                 "{} is {}; at least that many could never be generated, at most {} are "
                 "accepted",
                 node.key, node.text, budget_.limits().max_required);
  }
  const std::string_view what = std::string_view(node.key).substr(3);
  uint32_t& place = what == "Length"  ? (lower ? shape.min_length : shape.max_length)
                    : what == "Items" ? (lower ? shape.min_items : shape.max_items)
                                      : (lower ? shape.min_properties : shape.max_properties);
  place = n;
  return {};
}

Status SchemaReader::ReadText(uint32_t keyword, Shape& shape) {
  const JsonNode& node = tree_[keyword];
  if (!node.is(JsonNode::Kind::kString)) return Wrong(keyword, "must be a string");
  if (node.key == "format") return ReadFormat(keyword, shape);
  shape.patterns.push_back(keyword);
  return {};
}

Status SchemaReader::ReadFormat(uint32_t keyword, Shape& shape) {
  const std::string& name = tree_[keyword].text;
  if (PatternOfFormat(name)) {
    shape.formats.push_back(keyword);
  } else if (name == "int32" || name == "int64") {
    // Of OpenAPI; says nothing of other types than numbers.
    Shape bound;
    const int64_t max = name == "int32" ? INT32_MAX : INT64_MAX;
    bound.range.min = {Decimal::Of(-max - 1), false};
    bound.range.max = {Decimal::Of(max), false};
    shape = *Merge(tree_, shape, bound);
  } else if (!IsAnnotationFormat(name) && !options_.ignore_unknown_formats) {
    return Wrong(keyword, "the format \"{}\" is not known", name.substr(0, 80));
  }
  return {};
}

Status SchemaReader::ReadObject(uint32_t keyword, Shape& shape, ObjectPart& object) {
  const JsonNode& node = tree_[keyword];
  if (node.key == "required") {
    HADAL_OK(ExpectList(keyword, false));
    std::set<std::string_view> seen;
    for (const uint32_t child : node.children) {
      if (!tree_[child].is(JsonNode::Kind::kString)) return Wrong(child, "must be a string");
      if (seen.insert(tree_[child].text).second) shape.required.push_back(tree_[child].text);
    }
    return {};
  }
  if (node.key == "additionalProperties") {
    object.additional = keyword;
    return ExpectSchema(keyword);
  }
  if (node.key == "propertyNames") {
    shape.property_names.push_back(keyword);
    return ExpectSchema(keyword);
  }
  if (!node.is(JsonNode::Kind::kObject)) return Wrong(keyword, "must be an object");
  for (const uint32_t child : node.children) {
    HADAL_OK(ExpectSchema(child));
    if (node.key == "properties") {
      object.properties.emplace_back(tree_[child].key, child);
    } else {
      object.patterns.emplace_back(child, child);
    }
  }
  return {};
}

// False: not a keyword of arrays.
Result<bool> SchemaReader::ReadArray(uint32_t keyword, Shape& shape, ArrayPart& array) {
  const JsonNode& node = tree_[keyword];
  if (node.key == "items") {
    if (node.is(JsonNode::Kind::kArray)) {
      return Wrong(keyword, "a list of schemas is called prefixItems in JSON Schema 2020-12");
    }
    HADAL_OK(ExpectSchema(keyword));
    array.items = keyword;
  } else if (node.key == "prefixItems") {
    HADAL_OK(ExpectList(keyword, true));
    array.prefix = node.children;
  } else if (node.key == "uniqueItems") {
    if (!node.is(JsonNode::Kind::kTrue) && !node.is(JsonNode::Kind::kFalse)) {
      return Wrong(keyword, "must be true or false");
    }
    shape.unique_items = node.is(JsonNode::Kind::kTrue);
  } else {
    return false;
  }
  return true;
}

}  // namespace hadal::grammar
