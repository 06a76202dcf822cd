// Owns: random JSON Schemas and a validator written from the specification alone, for tests. It
// knows nothing of the compiler beside it. Included by tests only.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <string>
#include <vector>

namespace hadal::grammar::testing {

using Json = nlohmann::ordered_json;

// Whether `value` is valid under `schema`; the schemas that RandomSchema makes, and references.
class Validator {
 public:
  explicit Validator(const Json& root) : root_(root) {}

  bool Valid(const Json& schema, const Json& value) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [key, says] : schema.items()) {
      if (!Keyword(schema, key, says, value)) return false;
    }
    return true;
  }

 private:
  static bool IsType(const std::string& type, const Json& value) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "string") return value.is_string();
    if (type == "array") return value.is_array();
    if (type == "object") return value.is_object();
    if (!value.is_number()) return false;
    return type == "number" || std::floor(value.get<double>()) == value.get<double>();
  }
  static size_t Length(const std::string& text) {
    size_t n = 0;
    for (const char c : text) n += (static_cast<unsigned char>(c) >> 6) != 2;
    return n;
  }
  bool Count(const std::string& key, const Json& says, size_t n) const {
    return key.starts_with("min") ? n >= says.get<size_t>() : n <= says.get<size_t>();
  }
  bool Keyword(const Json& schema, const std::string& key, const Json& says,
               const Json& value) const {
    if (key == "type") {
      if (says.is_string()) return IsType(says, value);
      return std::any_of(says.begin(), says.end(),
                         [&](const Json& type) { return IsType(type, value); });
    }
    if (key == "enum") return std::find(says.begin(), says.end(), value) != says.end();
    if (key == "const") return says == value;
    if (key == "$ref") {
      const std::string ref = says;
      return Valid(root_.at(Json::json_pointer(ref.substr(1))), value);
    }
    if (key == "anyOf" || key == "oneOf" || key == "allOf") {
      const auto n = static_cast<size_t>(std::count_if(
          says.begin(), says.end(), [&](const Json& each) { return Valid(each, value); }));
      return key == "anyOf" ? n > 0 : key == "oneOf" ? n == 1 : n == says.size();
    }
    if (value.is_number()) return Number(key, says, value.get<double>());
    if (value.is_string()) return String(key, says, value);
    if (value.is_array()) return Array(schema, key, says, value);
    if (value.is_object()) return Object(schema, key, says, value);
    return true;
  }
  static bool Number(const std::string& key, const Json& says, double x) {
    if (key == "minimum") return x >= says.get<double>();
    if (key == "maximum") return x <= says.get<double>();
    if (key == "exclusiveMinimum") return x > says.get<double>();
    if (key == "exclusiveMaximum") return x < says.get<double>();
    if (key == "multipleOf") return std::fmod(x, says.get<double>()) == 0;
    return true;
  }
  bool String(const std::string& key, const Json& says, const std::string& text) const {
    if (key == "minLength" || key == "maxLength") return Count(key, says, Length(text));
    if (key == "pattern") return std::regex_search(text, std::regex(says.get<std::string>()));
    if (key == "format" && says == "date") {
      return std::regex_match(text, std::regex("\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])"));
    }
    if (key == "format" && says == "uuid") {
      return std::regex_match(text,
                              std::regex("[\\da-fA-F]{8}(-[\\da-fA-F]{4}){3}-[\\da-fA-F]{12}"));
    }
    return true;
  }
  bool Array(const Json& schema, const std::string& key, const Json& says,
             const Json& value) const {
    if (key == "minItems" || key == "maxItems") return Count(key, says, value.size());
    if (key == "uniqueItems" && says == true) {
      for (size_t i = 0; i < value.size(); ++i) {
        for (size_t k = 0; k < i; ++k) {
          if (value[i] == value[k]) return false;
        }
      }
    }
    const size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (key == "prefixItems" && i < prefix && !Valid(says[i], value[i])) return false;
      if (key == "items" && i >= prefix && !Valid(says, value[i])) return false;
    }
    return true;
  }
  bool Object(const Json& schema, const std::string& key, const Json& says,
              const Json& value) const {
    if (key == "minProperties" || key == "maxProperties") return Count(key, says, value.size());
    if (key == "required") {
      return std::all_of(says.begin(), says.end(),
                         [&](const Json& name) { return value.contains(name.get<std::string>()); });
    }
    for (const auto& [name, member] : value.items()) {
      const bool listed = schema.contains("properties") && schema["properties"].contains(name);
      bool matched = listed;
      if (schema.contains("patternProperties")) {
        for (const auto& [pattern, each] : schema["patternProperties"].items()) {
          if (!std::regex_search(name, std::regex(pattern))) continue;
          matched = true;
          if (key == "patternProperties" && !Valid(each, member)) return false;
        }
      }
      if (key == "properties" && listed && !Valid(says[name], member)) return false;
      if (key == "additionalProperties" && !matched && !Valid(says, member)) return false;
      if (key == "propertyNames" && !Valid(says, Json(name))) return false;
    }
    return true;
  }
  const Json& root_;
};

class RandomSchema {
 public:
  explicit RandomSchema(std::mt19937& random) : random_(random) {}

  Json Next() {
    Json root = Schema(3);
    if (root.is_boolean()) root = Json::object({{"type", "boolean"}});
    root["$defs"] = {{"leaf", Schema(0)},
                     {"tree",
                      {{"type", "object"},
                       {"properties",
                        {{"v", {{"type", "integer"}}},
                         {"l", {{"anyOf", {{{"$ref", "#/$defs/tree"}}, {{"type", "null"}}}}}}}},
                       {"required", {"v"}},
                       {"additionalProperties", false}}}};
    return root;
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool Maybe() { return Below(2) == 0; }

  Json Schema(int depth) {
    switch (Below(depth > 0 ? 12 : 7)) {
      case 0:
        return {{"type", Below(3) == 0 ? Json({"null", "boolean"}) : Json("boolean")}};
      case 1:
        return Integer();
      case 2:
        return Number();
      case 3:
      case 4:
        return String();
      case 5:
        return {{"enum", {"a", 1, nullptr, "é\"\\\n", Json::object({{"k", {1, 2}}})}}};
      case 6:
        return depth > 0 ? Json({{"$ref", Maybe() ? "#/$defs/leaf" : "#/$defs/tree"}})
                         : Json({{"const", Below(100)}});
      case 7:
        return Array(depth);
      case 8:
        return {{"anyOf", {Schema(depth - 1), Schema(depth - 1)}}};
      case 9:
        return {{"oneOf",
                 {{{"type", "object"},
                   {"properties", {{"kind", {{"const", "x"}}}, {"p", Schema(depth - 1)}}},
                   {"required", {"kind"}}},
                  {{"type", "object"},
                   {"properties", {{"kind", {{"const", "y"}}}, {"q", Schema(depth - 1)}}},
                   {"required", {"kind", "q"}}},
                  {{"type", "null"}}}}};
      default:
        return Object(depth);
    }
  }
  Json Integer() {
    Json out{{"type", "integer"}};
    const int low = Below(4000) - 2000;
    if (Maybe()) out[Maybe() ? "minimum" : "exclusiveMinimum"] = low;
    if (Maybe()) out[Maybe() ? "maximum" : "exclusiveMaximum"] = low + 3 + Below(3000);
    if (Below(4) == 0) out["multipleOf"] = 1 + Below(2);
    return out;
  }
  Json Number() {
    Json out{{"type", "number"}};
    const double low = (Below(400000) - 200000) / 1000.0;
    if (Maybe()) out[Maybe() ? "minimum" : "exclusiveMinimum"] = low;
    if (Maybe()) out[Maybe() ? "maximum" : "exclusiveMaximum"] = low + (1 + Below(50000)) / 1000.0;
    return out;
  }
  Json String() {
    Json out{{"type", "string"}};
    switch (Below(5)) {
      case 0:
        out["pattern"] = Maybe() ? "^[a-c]{2,4}(x|yz)?$" : "b[0-9]+";
        if (Maybe()) out["maxLength"] = 8;
        break;
      case 1:
        out["format"] = Maybe() ? "date" : "uuid";
        break;
      case 2:
        out["minLength"] = Below(5);
        out["maxLength"] = 5 + Below(5);
        break;
      default:
        break;
    }
    return out;
  }
  Json Array(int depth) {
    Json out{{"type", "array"}};
    if (Below(5) == 0) {
      out["items"] = {{"enum", {"r", "g", "b"}}};
      out["uniqueItems"] = true;
      return out;
    }
    if (Below(3) == 0) out["prefixItems"] = {Schema(depth - 1), Schema(depth - 1)};
    if (Below(4) != 0) out["items"] = Schema(depth - 1);
    if (Maybe()) out["minItems"] = Below(3);
    if (Maybe()) out["maxItems"] = 2 + Below(3);
    return out;
  }
  Json Object(int depth) {
    static const char* const kNames[] = {"a", "ab", "né", "q\"", "long name", "z"};
    Json out{{"type", "object"}, {"properties", Json::object()}};
    Json required = Json::array();
    for (const char* name : kNames) {
      if (Maybe()) continue;
      out["properties"][name] = Schema(depth - 1);
      if (Maybe()) required.push_back(name);
    }
    if (!required.empty()) out["required"] = required;
    switch (Below(6)) {
      case 0:
        out["additionalProperties"] = Schema(depth - 1);
        break;
      case 1:
        out["additionalProperties"] = false;
        break;
      case 2:
        out["patternProperties"] = {{"^x_", Schema(depth - 1)}, {"[0-9]$", Schema(depth - 1)}};
        out["patternProperties"].erase(Maybe() ? "^x_" : "[0-9]$");
        break;
      case 3:
        out["maxProperties"] = std::max<int>(static_cast<int>(required.size()), 1 + Below(3));
        out["minProperties"] = std::min<int>(static_cast<int>(out["properties"].size()), Below(2));
        break;
      case 4:
        out = {{"allOf",
                {out, {{"properties", {{"more", Schema(depth - 1)}}}, {"required", {"more"}}}}}};
        break;
      default:
        break;
    }
    return out;
  }
  std::mt19937& random_;
};

}  // namespace hadal::grammar::testing
