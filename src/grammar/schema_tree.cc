#include "grammar/schema_tree.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>

#include "grammar/json_rules.h"

namespace hadal::grammar {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Copies simdjson's tree; its parser has bounded the depth, so recursion is bounded.
class Copy {
 public:
  explicit Copy(std::vector<JsonNode>& nodes) : nodes_(nodes) {}

  Status Add(element from, uint32_t parent, std::string key) {
    const auto id = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({.parent = parent, .key = std::move(key)});
    if (parent != UINT32_MAX) nodes_[parent].children.push_back(id);
    switch (from.type()) {
      case element_type::NULL_VALUE:
        break;
      case element_type::BOOL:
        nodes_[id].kind =
            from.get_bool().value_unsafe() ? JsonNode::Kind::kTrue : JsonNode::Kind::kFalse;
        break;
      case element_type::INT64:
        Number(id, Decimal::Of(int64_t{from.get_int64().value_unsafe()}));
        break;
      case element_type::UINT64:
        Number(id, Decimal::Of(uint64_t{from.get_uint64().value_unsafe()}));
        break;
      case element_type::DOUBLE:
        Number(id, Decimal::Of(from.get_double().value_unsafe()));
        break;
      case element_type::STRING:
        nodes_[id].kind = JsonNode::Kind::kString;
        nodes_[id].text = std::string(std::string_view(from));
        break;
      case element_type::ARRAY: {
        nodes_[id].kind = JsonNode::Kind::kArray;
        size_t index = 0;
        for (const element child : from.get_array().value_unsafe()) {
          HADAL_OK(Add(child, id, fmt::format("{}", index++)));
        }
        break;
      }
      case element_type::OBJECT:
        nodes_[id].kind = JsonNode::Kind::kObject;
        for (const auto [name, value] : from.get_object().value_unsafe()) {
          HADAL_OK(Add(value, id, std::string(name)));
        }
        return NoKeyTwice(id);
    }
    return {};
  }

 private:
  void Number(uint32_t id, Decimal value) {
    JsonNode& node = nodes_[id];
    node.kind = JsonNode::Kind::kNumber;
    node.integral = value.fraction.empty();
    node.text = (value.negative ? "-" : "") + value.whole;
    if (!node.integral) node.text += "." + value.fraction;
    node.number = std::move(value);
  }
  Status NoKeyTwice(uint32_t id) const {
    std::vector<std::string_view> keys;
    for (const uint32_t child : nodes_[id].children) keys.push_back(nodes_[child].key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return {};
    return Fail(ErrorCode::kInvalidArgument, "the schema has the key \"{}\" twice in one object",
                twice->substr(0, 80));
  }
  std::vector<JsonNode>& nodes_;
};

std::optional<std::string> Unescape(std::string_view token) {
  std::string out;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '%') {
      const auto digit = [&](size_t at) {
        const int c = at < token.size() ? token[at] : 0, lower = c | 0x20;
        return c >= '0' && c <= '9'           ? c - '0'
               : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                              : -1;
      };
      const int high = digit(i + 1), low = digit(i + 2);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += token[i];
    }
  }
  std::string plain;
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == '~' && i + 1 < out.size() && (out[i + 1] == '0' || out[i + 1] == '1')) {
      plain += out[++i] == '0' ? '~' : '/';
    } else {
      plain += out[i];
    }
  }
  return plain;
}

}  // namespace

Result<SchemaTree> SchemaTree::Parse(std::string_view json, const Limits& limits) {
  if (json.size() > limits.max_source_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "the schema has {} bytes; at most {} are accepted",
                json.size(), limits.max_source_bytes);
  }
  simdjson::dom::parser parser;
  element root;
  auto error = parser.allocate(json.size() + 1, static_cast<size_t>(limits.max_depth));
  if (!error) error = parser.parse(json.data(), json.size()).get(root);
  if (error == simdjson::DEPTH_ERROR) {
    return Fail(ErrorCode::kInvalidArgument, "the schema is nested deeper than {}",
                limits.max_depth);
  }
  if (error) {
    return Fail(ErrorCode::kInvalidArgument, "the schema is not JSON: {}",
                simdjson::error_message(error));
  }
  SchemaTree tree;
  HADAL_OK(Copy(tree.nodes_).Add(root, UINT32_MAX, ""));
  return tree;
}

uint32_t SchemaTree::Find(uint32_t object, std::string_view key) const {
  if (!nodes_[object].is(JsonNode::Kind::kObject)) return UINT32_MAX;
  for (const uint32_t child : nodes_[object].children) {
    if (nodes_[child].key == key) return child;
  }
  return UINT32_MAX;
}

std::string SchemaTree::PointerOf(uint32_t node) const {
  std::vector<uint32_t> path;
  for (; nodes_[node].parent != UINT32_MAX; node = nodes_[node].parent) path.push_back(node);
  std::string out = "#";
  for (auto it = path.rbegin(); it != path.rend(); ++it) {
    out += '/';
    for (const char c : std::string_view(nodes_[*it].key).substr(0, 80)) {
      out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    }
  }
  return out;
}

uint32_t SchemaTree::Resolve(std::string_view fragment) const {
  if (!fragment.starts_with('#')) return UINT32_MAX;
  fragment.remove_prefix(1);
  uint32_t at = kRoot;
  while (!fragment.empty()) {
    if (fragment[0] != '/') return UINT32_MAX;
    fragment.remove_prefix(1);
    const size_t end = std::min(fragment.find('/'), fragment.size());
    const auto token = Unescape(fragment.substr(0, end));
    fragment.remove_prefix(end);
    if (!token) return UINT32_MAX;
    const auto& children = nodes_[at].children;
    const auto it = std::find_if(children.begin(), children.end(),
                                 [&](uint32_t child) { return nodes_[child].key == *token; });
    if (it == children.end()) return UINT32_MAX;
    at = *it;
  }
  return at;
}

void SchemaTree::Write(uint32_t node, std::string& out) const {
  const JsonNode& from = nodes_[node];
  const bool object = from.is(JsonNode::Kind::kObject);
  switch (from.kind) {
    case JsonNode::Kind::kNull:
      out += "null";
      return;
    case JsonNode::Kind::kFalse:
      out += "false";
      return;
    case JsonNode::Kind::kTrue:
      out += "true";
      return;
    case JsonNode::Kind::kNumber:
      out += from.text;
      return;
    case JsonNode::Kind::kString:
      out += QuoteJson(from.text);
      return;
    case JsonNode::Kind::kArray:
    case JsonNode::Kind::kObject:
      break;
  }
  out += object ? '{' : '[';
  for (size_t i = 0; i < from.children.size(); ++i) {
    if (i > 0) out += ',';
    if (object) out += QuoteJson(nodes_[from.children[i]].key) + ':';
    Write(from.children[i], out);
  }
  out += object ? '}' : ']';
}

bool SchemaTree::Equal(uint32_t a, uint32_t b) const {
  const JsonNode &x = nodes_[a], &y = nodes_[b];
  if (x.kind != y.kind || x.children.size() != y.children.size() || x.text != y.text) return false;
  for (size_t i = 0; i < x.children.size(); ++i) {
    const uint32_t other =
        x.is(JsonNode::Kind::kObject) ? Find(b, nodes_[x.children[i]].key) : y.children[i];
    if (other == UINT32_MAX || !Equal(x.children[i], other)) return false;
  }
  return true;
}

}  // namespace hadal::grammar
