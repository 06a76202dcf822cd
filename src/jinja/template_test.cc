// Features, one sentence each. The expectations are what jinja2 3.1.6 gives with trim_blocks,
// lstrip_blocks and loop controls.
#include "jinja/template.h"

#include "jinja/testing_render.h"

namespace hadal::jinja {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const Json& Data() {
  static const Json* const data = new Json(Json::parse(R"({
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": null}],
    "tools": [{"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": [1.5, true]}}}],
    "numbers": [3, 1, 2], "words": ["b", "A", "c"], "text": "  Ab ab  ", "n": 7, "none": null
  })"));
  return *data;
}
std::string R(std::string_view source) { return Render(source, Data()); }
std::string E(std::string_view source) { return ErrorOf(source, Data()); }

TEST(Template, TextStandsAsItIsButForTheLastNewline) {
  EXPECT_EQ(R("a\r\nb\n"), "a\nb");
  EXPECT_EQ(R("{ } % # {"), "{ } % # {");
  EXPECT_EQ(R(""), "");
}

TEST(Template, WhiteSpaceControlFollowsTheSignsAndTheBlockRules) {
  EXPECT_EQ(R("  {% if true %}\n  x\n  {% endif %}\ny"), "  x\ny");
  EXPECT_EQ(R("a  {%- if true -%}  b  {%- endif -%}  c"), "abc");
  EXPECT_EQ(R("  {%+ if true %}x{% endif +%}\ny"), "  x\ny");
  EXPECT_EQ(R("a  {{- 1 -}}  b {{ 2 }}\n"), "a1b 2");
  EXPECT_EQ(R("x\n  {# c #}\ny{#- d -#}  z"), "x\nyz");
  EXPECT_EQ(R("{% raw %}{{ a }} {% if %}{% endraw %}b"), "{{ a }} {% if %}b");
}

TEST(Template, StringsHaveTheEscapesOfPython) {
  EXPECT_EQ(R(R"({{ 'it\'s' "\n\x41\u4e2d" '\q' }})"), "it's\nA中\\q");
  EXPECT_EQ(R("{{ '}}' }}{{ '%}' }}"), "}}%}");
}

TEST(Template, OperatorsBindAndCountAsInPython) {
  EXPECT_EQ(R("{{ 1 + 2 * 3 - 4 / 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }}"), "5.0 -4 2 1024");
  EXPECT_EQ(R("{{ 'a' ~ 1 ~ none ~ missing ~ [1] }} {{ 'ab' * 2 }} {{ [1] + [2] }}"),
            "a1None[1] abab [1, 2]");
  EXPECT_EQ(R("{{ 1 < 2 < 3 }} {{ 'b' in 'abc' }} {{ 4 not in numbers }} {{ 1 == 1.0 }}"),
            "True True True True");
  EXPECT_EQ(R("{{ 0 or 'x' }} {{ 1 and 'y' }} {{ not 1 }} {{ 'a' if n > 5 else 'b' }}"),
            "x y False a");
  EXPECT_EQ(R("{{ 'a' + 'b'|upper }} {{ -3|abs }} {{ numbers|length - 1 }}"), "aB 3 2");
}

TEST(Template, NumbersAreWrittenAsPythonWritesThem) {
  EXPECT_EQ(R("{{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 1.5e-5 }} {{ 0.0001 }} {{ 1/3 }}"),
            "1.0 1e+16 1000000000000000.0 1.5e-05 0.0001 0.3333333333333333");
}

TEST(Template, ValuesAreReachedByKeyIndexAndSlice) {
  EXPECT_EQ(R("{{ messages[0].role }} {{ messages[-1]['role'] }} {{ tools.0.type }}"),
            "user assistant function");
  EXPECT_EQ(R("{{ numbers[1:] }} {{ text[::-1] }} {{ '日本語'[-1] }} {{ 'abc'[5:] }}"),
            "[1, 2]   ba bA   語 ");
}

TEST(Template, UndefinedIsEmptyButHasNoAttributes) {
  EXPECT_EQ(R("[{{ missing }}{{ messages[9] }}{{ n.x }}{{ none.x }}]"), "[]");
  EXPECT_EQ(R("{% for x in missing %}x{% else %}none{% endfor %}"), "none");
  EXPECT_EQ(E("a\n{{ missing.x }}"),
            "line 2, column 11: 'missing' is undefined, so it has no attribute 'x'");
  EXPECT_THAT(E("{{ messages[9].role }}"), HasSubstr("has no item 9"));
  EXPECT_THAT(E("{{ missing + 'x' }}"), HasSubstr("'missing' is undefined"));
}

TEST(Template, LoopsKnowWhereTheyAre) {
  EXPECT_EQ(R("{% for x in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}"
              "{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.previtem }}"
              "{{ loop.nextitem }}{{ loop.cycle('a', 'b') }} {% endfor %}"),
            "10TrueFalse331a 21FalseFalse3232b 32FalseTrue311a ");
  EXPECT_EQ(R("{% for x in numbers if x > 1 %}{{ x }}/{{ loop.length }} {% endfor %}"), "3/2 2/2 ");
  EXPECT_EQ(R("{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}"
              "{% if loop.last %}{% break %}{% endif %}{% endfor %}"),
            "32");
  EXPECT_EQ(R("{% for k, v in tools[0].function.items() %}{{ k }},{% endfor %}"),
            "name,arguments,");
  EXPECT_THAT(E("{% for a, b in [1] %}{% endfor %}"), HasSubstr("no items to go over"));
  EXPECT_THAT(E("{% break %}"), HasSubstr("outside of a loop"));
}

TEST(Template, AssignmentsStayInTheirBlock) {
  EXPECT_EQ(R("{% set x = 1 %}{% for i in numbers %}{% set x = i %}{{ x }}{% endfor %}{{ x }}"),
            "3121");
  EXPECT_EQ(R("{% set ns = namespace(a=0) %}{% for i in numbers %}{% set ns.a = ns.a + i %}"
              "{% endfor %}{{ ns.a }}"),
            "6");
  EXPECT_EQ(R("{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set x | upper %}q{% endset %}{{ x }}"), "12Q");
  EXPECT_EQ(R("{% with a = 1 %}{{ a }}{% endwith %}{{ a }}{% filter upper %}x{% endfilter %}"),
            "1X");
  EXPECT_THAT(E("{% set n.x = 1 %}"), HasSubstr("'n' is not a namespace"));
  EXPECT_THAT(E("{% set a = namespace() %}{% set b = [a] %}"), HasSubstr("cannot be stored"));
}

TEST(Template, MacrosTakeDefaultsAndGiveText) {
  EXPECT_EQ(R("{% macro m(a, b='B') %}<{{ a }}{{ b }}>{% endmacro %}"
              "{{ m(1) }}{{ m(b=3, a=2)|upper }}{{ m() }}"),
            "<1B><23><B>");
  EXPECT_EQ(R("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}"
              "{{ f(3) }}"),
            "3210");
  EXPECT_THAT(E("{% macro m() %}{% endmacro %}{{ m(1) }}"), HasSubstr("at most 0 arguments"));
}

TEST(Template, JsonIsSpelledAsPythonSpellsIt) {
  EXPECT_EQ(
      R("{{ tools|tojson }}"),
      R"([{"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": [1.5, true]}}}])");
  EXPECT_EQ(R("{{ {'a': [1, {}], 'b': none}|tojson(indent=2) }}"),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": null\n}");
  EXPECT_EQ(R(R"({{ '日<"\\\n\x01'|tojson }}{{ '日😀'|tojson(ensure_ascii=true) }})"),
            R"("日<\"\\\n\u0001""\u65e5\ud83d\ude00")");
  EXPECT_EQ(R("{{ {'b': 1, 'a': 2}|tojson(separators=(',', ':'), sort_keys=true) }}"),
            R"({"a":2,"b":1})");
  EXPECT_THAT(E("{{ numbers|map('string')|tojson }}"), HasSubstr("generator"));
  EXPECT_THAT(E("{{ missing|tojson }}"), HasSubstr("Undefined"));
}

TEST(Template, FiltersDoWhatTheirNamesSay) {
  EXPECT_EQ(R("{{ text|trim|title }} {{ 'aB'|upper }}{{ 'aB'|lower }}{{ 'aB'|capitalize }}"),
            "Ab Ab ABabAb");
  EXPECT_EQ(R("{{ words|join('-') }} {{ tools|map(attribute='function.name')|list }}"),
            "b-A-c ['f']");
  EXPECT_EQ(R("{{ words|sort }}{{ words|sort(case_sensitive=true) }}{{ [1, 1, 2]|unique|list }}"),
            "['A', 'b', 'c']['A', 'b', 'c'][1, 2]");
  EXPECT_EQ(R("{{ numbers|first }}{{ numbers|last }}{{ 'x1'|int(5) }}{{ '12'|int }}{{ 2|float }}"),
            "325122.0");
  EXPECT_EQ(R("{{ missing|default('d') }}{{ ''|d('e', true) }}{{ 'aab'|replace('a', 'x', 1) }}"),
            "dexab");
  EXPECT_EQ(R("{{ messages|selectattr('role', 'equalto', 'user')|list|length }}"
              "{{ numbers|reject('odd')|list }}{{ {'b': 1, 'a': 2}|dictsort }}"),
            "1[2][('a', 2), ('b', 1)]");
  EXPECT_EQ(R("{{ 'a\nb'|indent(2) }}{{ '%s-%d'|format('x', 3) }}"), "a\n  bx-3");
}

TEST(Template, MethodsOfStringsAndMappingsAreAnAllowList) {
  EXPECT_EQ(R("{{ 'a,b,c'.split(',', 1) }}{{ ' a b '.split() }}{{ 'xax'.strip('x') }}"),
            "['a', 'b,c']['a', 'b']a");
  EXPECT_EQ(
      R("{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('x') }}{{ 'ab'.replace('a', '') }}"),
      "TrueFalseb");
  EXPECT_EQ(R("{{ tools[0].get('type') }}{{ tools[0].get('x', 1) }}{{ tools[0].keys()|list }}"),
            "function1['type', 'function']");
  EXPECT_THAT(E("{{ numbers.append(1) }}"), HasSubstr("has no method 'append'"));
  EXPECT_THAT(E("{{ tools[0].update({}) }}"), HasSubstr("has no method 'update'"));
  EXPECT_THAT(E("{{ text.__class__ }}"), HasSubstr("'__class__' is not allowed"));
  EXPECT_EQ(R("[{{ text['__class__'] }}{{ text.mro }}]"), "[]");
}

TEST(Template, TestsTellKindsApart) {
  EXPECT_EQ(R("{{ n is defined }}{{ missing is undefined }}{{ none is none }}{{ text is string }}"
              "{{ tools[0] is mapping }}{{ numbers is sequence }}{{ n is iterable }}"
              "{{ n is number }}{{ n is odd }}{{ n is divisibleby 7 }}{{ true is true }}"),
            "TrueTrueTrueTrueTrueTrueFalseTrueTrueTrueTrue");
  EXPECT_EQ(R("{{ n is not none and n is in [7] }}"), "True");
}

TEST(Template, WhatIsNotKnownIsRefusedByName) {
  EXPECT_EQ(E("ab {{ text|pprint }}"), "line 1, column 12: there is no filter 'pprint'");
  EXPECT_EQ(R("{% if false %}{{ text|from_json }}{% endif %}ok"), "ok");
  EXPECT_THAT(E("{% if true %}{{ text|from_json }}{% endif %}"), HasSubstr("'from_json'"));
  for (const char* block : {"include 'x'", "import 'x' as y", "extends 'x'", "block b", "call m()",
                            "do x", "autoescape true"}) {
    EXPECT_THAT(E(std::string("{% ") + block + " %}"), HasSubstr("is not supported")) << block;
  }
  EXPECT_THAT(E("{{ open('x') }}"), HasSubstr("'open' is undefined"));
}

TEST(Template, BrokenSyntaxIsRefusedWithItsPlace) {
  EXPECT_EQ(E("x\n {% if a %}"), "line 2, column 5: the block has no 'endif'");
  EXPECT_THAT(E("{{ 1 + }}"), StartsWith("line 1, column 8: '}}' stands where"));
  EXPECT_THAT(E("{{ 'abc }}"), HasSubstr("the string has no end"));
  EXPECT_THAT(E("{{ a"), HasSubstr("has no end '}}'"));
  EXPECT_THAT(E("{# a"), HasSubstr("the comment has no end"));
  EXPECT_THAT(E("{{ a) }}"), HasSubstr("')' closes nothing"));
  EXPECT_THAT(E("{% endif %}"), HasSubstr("'endif'"));
  EXPECT_THAT(E("{{ 99999999999999999999 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(E("a\xff"), HasSubstr("not UTF-8 at byte 1"));
}

TEST(Template, FunctionsGiveTheTimeAndRaise) {
  EXPECT_EQ(R("{{ strftime_now('%d %b %Y') }} {{ range(1, 4)|list }} {{ dict(a=1) }}"),
            "14 Nov 2023 [1, 2, 3] {'a': 1}");
  const auto raised = TryRender("{{ raise_exception('roles must alternate') }}");
  ASSERT_FALSE(raised);
  EXPECT_EQ(raised.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(raised.error().message, "roles must alternate");
}

TEST(Template, ArithmeticThatDoesNotFitIsRefused) {
  EXPECT_THAT(E("{{ 9223372036854775807 + 1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(E("{{ (-9223372036854775807 - 1) // -1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(E("{{ (-9223372036854775807 - 1) % -1 }}"), HasSubstr("no error: 0"));
  EXPECT_THAT(E("{{ 10 ** 100 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(E("{{ 1 / 0 }}"), HasSubstr("division by zero"));
  EXPECT_THAT(E("{{ 'x' + 1 }}"), HasSubstr("+ does not take str and int"));
}

}  // namespace
}  // namespace hadal::jinja
