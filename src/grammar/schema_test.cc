#include "grammar/schema.h"

#include <gtest/gtest.h>

#include "grammar/testing_schema.h"
#include "grammar/testing_vocabulary.h"

namespace hadal::grammar {
namespace {

using testing::Json;
using testing::Make;

ConstraintSource Schema(std::string_view text, SchemaOptions options = {}) {
  return {ConstraintKind::kJsonSchema, text, options};
}
bool Valid(std::string_view schema, std::string_view text) {
  return testing::Matches(Schema(schema), text);
}
// The error's field; "" when the schema compiles.
std::string RefusedAt(std::string_view schema, SchemaOptions options = {}) {
  const auto made = Compile(Schema(schema, options), {});
  if (made) return "";
  EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(made.error().message.empty());
  return made.error().field;
}

TEST(Schema, EveryFinishedRandomOutputOfARandomSchemaIsValid) {
  const testing::SmallVocabulary vocabulary;
  std::mt19937 random(2026);
  testing::RandomSchema schemas(random);
  int compiled = 0, outputs = 0;
  for (int i = 0; i < 500; ++i) {
    const Json schema = schemas.Next();
    const auto automaton = Compile(Schema(schema.dump()), {});
    if (!automaton) continue;  // bounds that exclude each other, or a refusal
    ++compiled;
    const auto constraint =
        std::make_shared<const Constraint>(*automaton, vocabulary.trie, Limits{});
    for (int walk = 0; walk < 4; ++walk) {
      Matcher matcher(constraint);
      const std::string out = testing::RandomOutput(matcher, random, 25, 1500);
      if (::testing::Test::HasFailure()) FAIL() << schema.dump();
      if (out.empty()) continue;
      ++outputs;
      const Json value = Json::parse(out, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << out << "\n" << schema.dump();
      ASSERT_TRUE(testing::Validator(schema).Valid(schema, value)) << out << "\n" << schema.dump();
    }
  }
  EXPECT_GT(compiled, 400);
  EXPECT_GT(outputs, 1400);
}

TEST(Schema, PropertiesComeInTheOrderOfTheSchemaAndOptionalOnesMayBeLeftOut) {
  const char* schema = R"({"type":"object","properties":{"b":{"type":"null"},"a":{"type":"boolean"},
                          "c":{"type":"null"}},"required":["a"]})";
  EXPECT_TRUE(Valid(schema, R"({"b":null,"a":true,"c":null})"));
  EXPECT_TRUE(Valid(schema, R"({"a":true})"));
  EXPECT_TRUE(Valid(schema, "{\n  \"a\": true, \"c\": null\n}"));
  EXPECT_FALSE(Valid(schema, R"({"a":true,"b":null})"));
  EXPECT_FALSE(Valid(schema, R"({"b":null})"));
  EXPECT_FALSE(Valid(schema, R"({"a":true,"d":1})"));
  EXPECT_FALSE(Valid(schema, R"({"a":true,"a":true})"));
}

TEST(Schema, AdditionalPropertiesFollowTheirSchemaAndNeverRepeatAListedName) {
  const char* schema = R"({"type":"object","properties":{"a":{"type":"null"}},
                          "additionalProperties":{"type":"integer"}})";
  EXPECT_TRUE(Valid(schema, R"({"a":null,"ab":1,"b":-2})"));
  EXPECT_TRUE(Valid(schema, R"({"":1})"));
  EXPECT_FALSE(Valid(schema, R"({"b":1,"a":null})"));
  EXPECT_FALSE(Valid(schema, R"({"a":1})"));
  EXPECT_FALSE(Valid(schema, R"({"b":null})"));
  const char* silent = R"({"type":"object","properties":{"a":{"type":"null"}}})";
  EXPECT_FALSE(Valid(silent, R"({"b":1})"));
  EXPECT_TRUE(testing::Matches(Schema(silent, {.open_objects = true}), R"({"b":1})"));
  EXPECT_TRUE(Valid(R"({"type":"object"})", R"({"b":[{}]})"));
}

TEST(Schema, PatternPropertiesAndPropertyNamesLimitTheKeys) {
  const char* schema = R"({"type":"object","patternProperties":{"^x_":{"type":"integer"},
                          "^y":{"type":"null"}},"additionalProperties":false})";
  EXPECT_TRUE(Valid(schema, R"({"x_a":1,"yy":null,"x_":2})"));
  EXPECT_FALSE(Valid(schema, R"({"x_a":null})"));
  EXPECT_FALSE(Valid(schema, R"({"z":null})"));
  EXPECT_EQ(RefusedAt(R"({"type":"object","patternProperties":{"a":{"type":"integer"},"b":true}})"),
            "#/patternProperties/b");
  const char* names = R"({"type":"object","propertyNames":{"enum":["k","m"]}})";
  EXPECT_TRUE(Valid(names, R"({"m":1,"k":{}})"));
  EXPECT_FALSE(Valid(names, R"({"n":1})"));
}

TEST(Schema, NumbersOfPropertiesAndItemsAreCounted) {
  const char* object = R"({"type":"object","minProperties":1,"maxProperties":2})";
  EXPECT_FALSE(Valid(object, "{}"));
  EXPECT_TRUE(Valid(object, R"({"a":1})"));
  EXPECT_TRUE(Valid(object, R"({"a":1,"b":2})"));
  EXPECT_FALSE(Valid(object, R"({"a":1,"b":2,"c":3})"));
  EXPECT_EQ(RefusedAt(R"({"type":"object","minProperties":2})"), "#");
  const char* array = R"({"type":"array","prefixItems":[{"type":"null"}],"items":{"type":"integer"},
                         "minItems":2,"maxItems":3})";
  EXPECT_FALSE(Valid(array, "[null]"));
  EXPECT_TRUE(Valid(array, "[null,1]"));
  EXPECT_TRUE(Valid(array, "[null, 1, 2]"));
  EXPECT_FALSE(Valid(array, "[null,1,2,3]"));
  EXPECT_FALSE(Valid(array, "[1,1]"));
  EXPECT_TRUE(Valid(R"({"type":"array","maxItems":0})", "[]"));
  EXPECT_FALSE(Valid(R"({"type":"array","maxItems":0})", "[1]"));
}

TEST(Schema, UniqueItemsIsEnforcedForEnumsAndRefusedElsewhere) {
  const char* schema =
      R"({"type":"array","items":{"enum":["a","b",3]},"uniqueItems":true,"minItems":2})";
  EXPECT_TRUE(Valid(schema, R"(["b","a"])"));
  EXPECT_TRUE(Valid(schema, R"([3,"b","a"])"));
  EXPECT_FALSE(Valid(schema, R"(["a","a"])"));
  EXPECT_FALSE(Valid(schema, R"(["a"])"));
  EXPECT_EQ(RefusedAt(R"({"type":"array","items":{"type":"string"},"uniqueItems":true})"), "#");
  EXPECT_EQ(RefusedAt(R"({"type":"array","uniqueItems":true,"maxItems":1})"), "");
}

TEST(Schema, LengthsAreCharactersAndAnEscapeIsOne) {
  const char* schema = R"({"type":"string","minLength":2,"maxLength":3})";
  EXPECT_FALSE(Valid(schema, "\"é\""));
  EXPECT_TRUE(Valid(schema, "\"é😀\""));
  EXPECT_TRUE(Valid(schema, "\"你好吗\""));
  EXPECT_TRUE(Valid(schema, R"("\ud83d\ude00\n\"")"));
  EXPECT_FALSE(Valid(schema, "\"abcd\""));
  EXPECT_TRUE(Valid(R"({"type":"string","maxLength":0})", "\"\""));
  EXPECT_TRUE(Valid(R"({"type":"string","pattern":"é","maxLength":2})", "\"aé\""));
  EXPECT_FALSE(Valid(R"({"type":"string","pattern":"é","maxLength":2})", "\"abé\""));
}

TEST(Schema, PatternsSearchUnlessTheyAreAnchored) {
  EXPECT_TRUE(Valid(R"({"type":"string","pattern":"b+"})", "\"abbc\""));
  EXPECT_FALSE(Valid(R"({"type":"string","pattern":"b+"})", "\"ac\""));
  EXPECT_FALSE(Valid(R"({"type":"string","pattern":"^b+"})", "\"ab\""));
  EXPECT_TRUE(Valid(R"({"type":"string","pattern":"^b+"})", "\"bc\""));
  EXPECT_FALSE(Valid(R"({"type":"string","pattern":"b$"})", "\"bc\""));
  EXPECT_TRUE(Valid(R"({"type":"string","pattern":"^a|b$"})", "\"xb\""));
  EXPECT_TRUE(Valid(R"({"type":"string","pattern":"^\"\\\\\\n$"})", R"("\"\\\n")"));
}

TEST(Schema, FormatsAreEnforcedAndUnknownOnesAreRefused) {
  const auto is = [](const char* format, const char* text) {
    return Valid(fmt::format(R"({{"type":"string","format":"{}"}})", format),
                 fmt::format("\"{}\"", text));
  };
  EXPECT_TRUE(is("date", "2024-02-29"));
  EXPECT_FALSE(is("date", "2023-02-29"));
  EXPECT_FALSE(is("date", "2023-13-01"));
  EXPECT_FALSE(is("date", "1900-02-29"));
  EXPECT_TRUE(is("date", "2000-02-29"));
  EXPECT_TRUE(is("time", "23:59:59.25+08:00"));
  EXPECT_FALSE(is("time", "24:00:00Z"));
  EXPECT_TRUE(is("date-time", "2026-01-31T00:00:00Z"));
  EXPECT_TRUE(is("email", "a.b@example.com"));
  EXPECT_FALSE(is("email", "a@b"));
  EXPECT_TRUE(is("uuid", "123e4567-e89b-12d3-a456-426614174000"));
  EXPECT_FALSE(is("uuid", "123e4567"));
  EXPECT_TRUE(is("ipv4", "255.0.10.1"));
  EXPECT_FALSE(is("ipv4", "256.0.0.1"));
  EXPECT_TRUE(is("ipv6", "fe80::1"));
  EXPECT_TRUE(is("uri", "https://example.com:80/a?b=c#d"));
  EXPECT_FALSE(is("uri", "example.com"));
  EXPECT_TRUE(is("hostname", "a-b.example"));
  EXPECT_FALSE(is("hostname", "-a"));
  EXPECT_TRUE(is("duration", "P1DT2H"));
  EXPECT_FALSE(is("duration", "P"));
  EXPECT_EQ(RefusedAt(R"({"type":"string","format":"colour"})"), "#/format");
  EXPECT_EQ(RefusedAt(R"({"type":"string","format":"colour"})", {.ignore_unknown_formats = true}),
            "");
  EXPECT_FALSE(Valid(R"({"type":"integer","format":"int32"})", "2147483648"));
  EXPECT_TRUE(Valid(R"({"type":"integer","format":"int32"})", "-2147483648"));
}

TEST(Schema, BoundsOfNumbersAreExact) {
  const char* integer = R"({"type":"integer","minimum":-12,"exclusiveMaximum":105})";
  for (int i = -200; i < 1200; ++i) {
    ASSERT_EQ(Valid(integer, std::to_string(i)), i >= -12 && i < 105) << i;
  }
  EXPECT_FALSE(Valid(integer, "-0"));
  EXPECT_FALSE(Valid(integer, "1.0"));
  const char* number = R"({"type":"number","exclusiveMinimum":-0.25,"maximum":1.5})";
  EXPECT_TRUE(Valid(number, "-0.249"));
  EXPECT_FALSE(Valid(number, "-0.25"));
  EXPECT_FALSE(Valid(number, "-0.250"));
  EXPECT_FALSE(Valid(number, "-0.3"));
  EXPECT_TRUE(Valid(number, "0"));
  EXPECT_TRUE(Valid(number, "1.5"));
  EXPECT_TRUE(Valid(number, "1.50"));
  EXPECT_FALSE(Valid(number, "1.51"));
  EXPECT_FALSE(Valid(number, "2"));
  EXPECT_FALSE(Valid(number, "15"));
  const char* negative = R"({"type":"number","exclusiveMaximum":0})";
  EXPECT_TRUE(Valid(negative, "-0.001"));
  EXPECT_FALSE(Valid(negative, "-0.000"));
  EXPECT_FALSE(Valid(negative, "0"));
  const char* seventh = R"({"type":"integer","multipleOf":7,"minimum":10})";
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(Valid(seventh, std::to_string(i)), i >= 10 && i % 7 == 0) << i;
  }
  EXPECT_EQ(RefusedAt(R"({"type":"number","multipleOf":0.01})"), "#/multipleOf");
  EXPECT_TRUE(Valid(R"({"type":"integer","maximum":9223372036854775807})", "9223372036854775807"));
  EXPECT_FALSE(Valid(R"({"type":"integer","maximum":9223372036854775807})", "9223372036854775808"));
}

TEST(Schema, EnumsAreFilteredByTheirSiblings) {
  const char* schema =
      R"({"enum":["a","abc",3,30,null,{"b":[1]}],"type":["string","integer","object"],
                          "maxLength":2,"maximum":10})";
  EXPECT_TRUE(Valid(schema, "\"a\""));
  EXPECT_FALSE(Valid(schema, "\"abc\""));
  EXPECT_TRUE(Valid(schema, "3"));
  EXPECT_FALSE(Valid(schema, "30"));
  EXPECT_FALSE(Valid(schema, "null"));
  EXPECT_TRUE(Valid(schema, R"({"b":[1]})"));
  EXPECT_TRUE(Valid(R"({"const":1.5e2})", "150"));
  EXPECT_EQ(RefusedAt(R"({"enum":[]})"), "#");
}

TEST(Schema, AllOfIsMergedAndOneOfMustBeExclusive) {
  const char* schema = R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},
      "required":["a"]},{"properties":{"a":{"minimum":5},"b":{"type":"null"}}}]})";
  EXPECT_TRUE(Valid(schema, R"({"a":5,"b":null})"));
  EXPECT_FALSE(Valid(schema, R"({"a":4})"));
  const char* closed = R"({"allOf":[{"type":"object","properties":{"a":true},
      "additionalProperties":false},{"properties":{"b":true}}]})";
  EXPECT_TRUE(Valid(closed, R"({"a":1})"));
  EXPECT_FALSE(Valid(closed, R"({"b":1})"));
  EXPECT_EQ(RefusedAt(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"), "#/oneOf");
  EXPECT_EQ(RefusedAt(R"({"oneOf":[{"type":"integer"},{"type":"string"}]})"), "");
  EXPECT_EQ(RefusedAt(R"({"oneOf":[{"const":1},{"enum":[2,3]}]})"), "");
  EXPECT_EQ(
      RefusedAt(R"({"oneOf":[{"maximum":1,"type":"integer"},{"minimum":1,"type":"integer"}]})"),
      "#/oneOf");
}

TEST(Schema, RecursiveReferencesWork) {
  const char* schema = R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":
      {"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["next"]}}})";
  EXPECT_TRUE(Valid(schema, R"({"next":{"next":{"next":null}}})"));
  EXPECT_FALSE(Valid(schema, R"({"next":{"next":{"next":1}}})"));
  EXPECT_FALSE(Valid(schema, R"({"next":{"next":{}}})"));
  EXPECT_TRUE(Valid(R"({"type":"array","items":{"$ref":"#"}})", "[[],[[]]]"));
  EXPECT_TRUE(Valid(R"({"$ref":"#/$defs/a~1%20b","$defs":{"a/ b":{"type":"null"}}})", "null"));
}

TEST(Schema, WhatCannotBeEnforcedIsRefusedWithItsPointer) {
  EXPECT_EQ(RefusedAt(R"({"properties":{"a":{"not":{}}}})"), "#/properties/a/not");
  for (const char* key : {"if", "contains", "dependentRequired", "unevaluatedProperties",
                          "$dynamicRef", "$anchor", "nullable", "minLenght"}) {
    EXPECT_EQ(RefusedAt(fmt::format(R"({{"{}":true}})", key)), fmt::format("#/{}", key));
  }
  EXPECT_EQ(RefusedAt(R"({"minLenght":1})", {.ignore_unknown_keywords = true}), "");
  EXPECT_EQ(RefusedAt(R"({"title":"t","x-a":1,"default":3,"$comment":"c","$id":"urn:x"})"), "");
  EXPECT_EQ(RefusedAt(R"({"items":[{}]})"), "#/items");
  EXPECT_EQ(RefusedAt(R"({"type":"object","required":["a"],"properties":{"a":false}})"), "#");
  EXPECT_EQ(RefusedAt("false"), "#");
}

}  // namespace
}  // namespace hadal::grammar
