// Marks of trust, and the limits that hold whatever a template does.
#include "jinja/template.h"
#include "jinja/testing_render.h"

namespace hadal::jinja {
namespace {

using ::testing::HasSubstr;

// The output with untrusted bytes in square brackets.
std::string Marked(std::string_view source, const Json& data,
                   const Json& trusted = Json::object()) {
  const auto rendered = TryRender(source, data, {}, trusted);
  if (!rendered) return "error: " + rendered.error().message;
  std::string out;
  bool inside = false;
  for (size_t i = 0; i < rendered->text.size(); ++i) {
    if (inside == (rendered->trusted[i] != 0)) {
      out += inside ? ']' : '[';
      inside = !inside;
    }
    out += rendered->text[i];
  }
  return inside ? out + "]" : out;
}

const Json kData = {{"u", "<|x|>"}, {"list", {"<|a|>", "<|b|>"}}, {"map", {{"<|k|>", "v"}}}};

TEST(Marks, TemplateTextIsTrustedAndDataIsNot) {
  EXPECT_EQ(Marked("<|s|>{{ u }}{{ '<|e|>' }}", kData), "<|s|>[<|x|>]<|e|>");
  EXPECT_EQ(Marked("{{ bos }}{{ u }}", kData, {{"bos", "<s>"}}), "<s>[<|x|>]");
}

TEST(Marks, TrustedValuesLieOverDataInsideListsAndObjects) {
  const Json data = {{"messages", {{{"role", "user"}, {"content", "<|x|>"}}}}};
  const Json trusted = {{"messages", {{{"role", "user"}}}}};
  EXPECT_EQ(
      Marked("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}", data, trusted),
      "<|user|>[<|x|>]");
}

TEST(Marks, EveryStringOperationKeepsThem) {
  EXPECT_EQ(Marked("{{ 'a' + u + 'b' ~ u }}", kData), "a[<|x|>]b[<|x|>]");
  EXPECT_EQ(Marked("{{ (u + 'ab')[3:6] }}{{ (u ~ 'ab')[::-1] }}", kData), "[|>]aba[>|x|<]");
  EXPECT_EQ(Marked("{{ (' ' + u + ' ')|trim }}{{ u.strip('<') }}", kData), "[<|x|>|x|>]");
  EXPECT_EQ(Marked("{{ 'a-b'.replace('-', u) }}{{ u|replace('x', 'y') }}", kData),
            "a[<|x|>]b[<|]y[|>]");
  EXPECT_EQ(Marked("{{ ('a,' ~ u).split(',')|join('+') }}{{ list|join('-') }}", kData),
            "a+[<|x|><|a|>]-[<|b|>]");
  EXPECT_EQ(Marked("{{ u|upper }}{{ u|title }}{{ u|indent }}{{ u * 2 }}", kData),
            "[<|X|><|x|><|x|><|x|><|x|>]");
  EXPECT_EQ(Marked("{{ '%s;'|format(u) }}{{ '{};'.format(u) }}", kData), "[<|x|>];[<|x|>];");
  EXPECT_EQ(Marked("{% set x %}a{{ u }}{% endset %}{{ x }}{{ u|list|first }}", kData), "a[<|x|><]");
  EXPECT_EQ(Marked("{% macro m(a) %}({{ a }}){% endmacro %}{{ m(u) }}", kData), "([<|x|>])");
}

TEST(Marks, WrittenListsAndJsonAreNotTrustedAroundTheirStrings) {
  EXPECT_EQ(Marked("{{ [u, 't'] }}", kData), "[['<|x|>', ']t[']]");
  EXPECT_EQ(Marked("{{ map|tojson }}{{ map|items|list|first|first }}", kData),
            "[{\"<|k|>\": \"v\"}<|k|>]");
  EXPECT_EQ(Marked("{% for c in u %}{{ c }}{% endfor %}{{ map.keys()|join }}", kData),
            "[<|x|><|k|>]");
  EXPECT_EQ(Marked("{{ strftime_now(u) }}{{ strftime_now('%Y') }}", kData), "[<|x|>]2023");
}

std::string Repeat(std::string_view text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(Limits, NestingOfTheSourceIsBounded) {
  for (const int n : {5'500, 80'000}) {
    const std::string text = Repeat("{% if 1 %}", n);
    EXPECT_THAT(ErrorOf(text), HasSubstr("nested more than 100 deep")) << n;
  }
  const Limits large{.max_source_bytes = 32u << 20};
  for (const char* part : {"{% if 1 %}", "{% for x in y %}", "{% macro m() %}", "{% set x %}"}) {
    EXPECT_THAT(ErrorOf(Repeat(part, 1'000'000), Json::object(), large),
                HasSubstr("nested more than"))
        << part;
  }
  const std::pair<const char*, const char*> brackets[] = {
      {"not ", ""}, {"- ", ""},  {"a if b else ", ""}, {"(", ")"},    {"[", "]"},
      {"a[", "]"},  {"a(", ")"}, {"{'a':", "}"},       {"a|d(", ")"}, {"a is eq(", ")"}};
  for (const auto& [open, close] : brackets) {
    const std::string text =
        "{{ " + Repeat(open, 1'000'000) + "1" + Repeat(close, 1'000'000) + " }}";
    EXPECT_THAT(ErrorOf(text, Json::object(), large), HasSubstr("nested more than")) << open;
  }
  EXPECT_THAT(ErrorOf("{% set " + Repeat("(", 300'000) + "a" + Repeat(")", 300'000) + " = 1 %}"),
              HasSubstr("nested more than"));
}

TEST(Limits, LongChainsAreNotDeep) {
  EXPECT_EQ(Render("{{ 1" + Repeat("+1", 100'000) + " }}"), "100001");
  EXPECT_EQ(Render("{{ 'a'" + Repeat("|upper", 10'000) + " }}"), "A");
  EXPECT_EQ(Render("{{ true" + Repeat(" and true", 10'000) + " }}"), "True");
  EXPECT_EQ(Render("{{ 1" + Repeat(" < 2 > 1", 10'000) + " }}"), "True");
  EXPECT_EQ(Render("{% if 0 %}" + Repeat("{% elif 0 %}", 10'000) + "{% else %}x{% endif %}"), "x");
  EXPECT_THAT(ErrorOf("{{ a" + Repeat(".b", 100'000) + " }}"), HasSubstr("'a' is undefined"));
}

TEST(Limits, RecursionOfMacrosIsBounded) {
  EXPECT_THAT(ErrorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
              HasSubstr("inside each other"));
  const std::string nested = Repeat("{% if 1 %}{{ (((", 1) + "m()" + "))) }}{% endif %}";
  EXPECT_THAT(ErrorOf("{% macro m() %}" + nested + "{% endmacro %}{{ m() }}"),
              HasSubstr("inside each other"));
  EXPECT_THAT(ErrorOf("{% macro a(x=b()) %}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}"
                      "{{ b() }}"),
              HasSubstr("inside each other"));
}

TEST(Limits, StepsAreBounded) {
  EXPECT_THAT(ErrorOf("{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}"
                      "{% endfor %}"),
              HasSubstr("more than 2000000 steps"));
  const Json many = {{"a", std::string(1 << 20, 'x')}};
  EXPECT_THAT(ErrorOf("{% for i in range(1000) %}{% if 'y' in a %}{% endif %}{% endfor %}", many),
              HasSubstr("steps"));
  EXPECT_THAT(ErrorOf("{% set ns = namespace(x=[]) %}{% for i in range(100000) %}"
                      "{% set ns.x = ns.x + [i] %}{% endfor %}"),
              HasSubstr("steps"));
}

TEST(Limits, RangesAreBounded) {
  EXPECT_THAT(ErrorOf("{{ range(10**9) }}"), HasSubstr("more than 100000 numbers"));
  EXPECT_THAT(ErrorOf("{{ range(0, -(10**18), -1)|length }}"), HasSubstr("more than 100000"));
}

TEST(Limits, MemoryIsBounded) {
  EXPECT_THAT(ErrorOf("{{ 'a' * 10**9 }}"), HasSubstr("bytes of memory"));
  EXPECT_THAT(ErrorOf("{{ 'a' * 10**18 }}"), HasSubstr("bytes of memory"));
  EXPECT_THAT(ErrorOf("{{ [0] * 10**9 }}"),
              testing::AnyOf(HasSubstr("memory"), HasSubstr("steps")));
  EXPECT_THAT(ErrorOf("{% set ns = namespace(x='a') %}{% for i in range(100) %}"
                      "{% set ns.x = ns.x + ns.x %}{% endfor %}"),
              HasSubstr("bytes of memory"));
  EXPECT_THAT(ErrorOf("{{ ('a' * 10**6)|replace('a', 'b' * 10**6) }}"), HasSubstr("memory"));
  EXPECT_THAT(ErrorOf("{{ ('a' * 10**6)|list|join('b' * 10**6) }}"),
              testing::AnyOf(HasSubstr("memory"), HasSubstr("steps")));
  EXPECT_THAT(ErrorOf("{{ 'a'|indent(10**9, true) }}"), HasSubstr("memory"));
  EXPECT_THAT(ErrorOf("{{ [[1]]|tojson(indent=10**9) }}"), HasSubstr("memory"));
}

TEST(Limits, ValuesThatShareThemselvesAreBoundedByStepsWhenWritten) {
  const std::string doubled =
      "{% set ns = namespace(x=['a']) %}{% for i in range(90) %}"
      "{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  EXPECT_EQ(Render(doubled + "ok"), "ok");
  for (const char* use : {"{{ ns.x|tojson }}", "{{ ns.x }}", "{{ ns.x == ns.x ~ '' }}",
                          "{{ ns.x == [ns.x[0], ns.x[1]] }}"}) {
    EXPECT_THAT(ErrorOf(doubled + use), testing::AnyOf(HasSubstr("steps"), HasSubstr("memory")))
        << use;
  }
  EXPECT_THAT(ErrorOf("{% set ns = namespace(x=[]) %}{% for i in range(1000) %}"
                      "{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("more than 100 deep"));
}

TEST(Limits, OutputIsBounded) {
  const Limits small{.max_output_bytes = 1000};
  EXPECT_THAT(ErrorOf("{% for i in range(200) %}123456{% endfor %}", Json::object(), small),
              HasSubstr("more than 1000 bytes"));
  EXPECT_THAT(
      ErrorOf("{% set x %}" + std::string(1001, 'a') + "{% endset %}", Json::object(), small),
      HasSubstr("more than 1000 bytes"));
  EXPECT_EQ(Render("{{ 'a' * 1000000 }}").size(), 1'000'000u);
}

TEST(Limits, TheClockEndsARender) {
  const auto parsed = Template::Parse("{% for i in range(100000) %}{% endfor %}");
  ASSERT_TRUE(parsed);
  int64_t now = 0;
  const auto ticking = [&] { return now += 1000; };
  const auto rendered = parsed->Render(Json::object(), Json::object(), {.milliseconds = ticking});
  ASSERT_FALSE(rendered);
  EXPECT_EQ(rendered.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(rendered.error().message, HasSubstr("more than 2000 ms"));
}

TEST(Limits, DataIsHostileToo) {
  Json deep = 1;
  for (int i = 0; i < 200; ++i) deep = Json::array({std::move(deep)});
  EXPECT_THAT(ErrorOf("x", {{"a", deep}}), HasSubstr("nested more than 100 deep"));
  EXPECT_THAT(ErrorOf("x", {{"a", std::string(40u << 20, 'x')}}), HasSubstr("memory"));
  EXPECT_EQ(Render("{{ a[1] }}|{{ a|length }}|{{ a|upper|tojson }}", {{"a",
                                                                       "\xff\xfe"
                                                                       "b"}}),
            "\xfe|3|\"\xff\xfe"
            "B\"");
}

TEST(Limits, SourcesAreBounded) {
  const auto parsed = Template::Parse(std::string(1000, 'x'), {.max_source_bytes = 999});
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message, HasSubstr("1000 bytes; at most 999"));
}

}  // namespace
}  // namespace hadal::jinja
