#include "grammar/json_rules.h"

#include <array>

#include "grammar/code_points.h"

namespace hadal::grammar {
namespace {

constexpr int kMaxIndentation = 40;
constexpr int kMaxTabs = 10;
constexpr int kMaxDigits = 20;

void AddHex(Nfa& nfa, uint32_t from, uint32_t to) {
  nfa.Bytes(from, '0', '9', to);
  nfa.Bytes(from, 'a', 'f', to);
  nfa.Bytes(from, 'A', 'F', to);
}

// \uXXXX for everything but surrogates, and pairs of surrogates.
void AddUnicodeEscape(Nfa& nfa, uint32_t after_u, uint32_t to) {
  const auto state = [&nfa] { return nfa.AddState(); };
  const uint32_t two = state(), one = state(), three = state();  // digits still to come
  AddHex(nfa, three, two);
  AddHex(nfa, two, one);
  AddHex(nfa, one, to);
  nfa.Bytes(after_u, '0', '9', three);
  for (const char c : {'a', 'A'}) {
    const auto a = static_cast<uint8_t>(c);
    nfa.Bytes(after_u, a, static_cast<uint8_t>(a + 2), three);                            // a b c
    nfa.Bytes(after_u, static_cast<uint8_t>(a + 4), static_cast<uint8_t>(a + 5), three);  // e f
  }
  const uint32_t after_d = state(), high1 = state(), high2 = state(), slash = state(), u = state(),
                 low_d = state(), low = state();
  for (const char c : {'d', 'D'}) {
    nfa.Bytes(after_u, static_cast<uint8_t>(c), static_cast<uint8_t>(c), after_d);
    nfa.Bytes(u, static_cast<uint8_t>(c), static_cast<uint8_t>(c), low_d);
  }
  nfa.Bytes(after_d, '0', '7', two);
  nfa.Bytes(after_d, '8', '9', high1);
  nfa.Bytes(low_d, 'c', 'f', two);
  nfa.Bytes(low_d, 'C', 'F', two);
  for (const char c : {'a', 'A'}) {
    nfa.Bytes(after_d, static_cast<uint8_t>(c), static_cast<uint8_t>(c + 1), high1);
  }
  AddHex(nfa, high1, high2);
  AddHex(nfa, high2, slash);
  nfa.Bytes(slash, '\\', '\\', low);
  nfa.Bytes(low, 'u', 'u', u);
}

void AddCharacter(Nfa& nfa, uint32_t from, uint32_t to) {
  AddCharacters(nfa, from, CodePointSet{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}.Negated(), to);
  const uint32_t slash = nfa.AddState(), u = nfa.AddState();
  nfa.Bytes(from, '\\', '\\', slash);
  for (const char c : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) {
    nfa.Bytes(slash, static_cast<uint8_t>(c), static_cast<uint8_t>(c), to);
  }
  nfa.Bytes(slash, 'u', 'u', u);
  AddUnicodeEscape(nfa, u, to);
}

// first byte range, then up to `more` further digits.
uint32_t AddDigits(Nfa& nfa, uint32_t from, char lo, int more) {
  const uint32_t end = nfa.AddState();
  uint32_t at = nfa.AddState();
  nfa.Bytes(from, static_cast<uint8_t>(lo), '9', at);
  nfa.Epsilon(at, end);
  for (int i = 0; i < more; ++i) {
    const uint32_t next = nfa.AddState();
    nfa.Bytes(at, '0', '9', next);
    nfa.Epsilon(next, end);
    at = next;
  }
  return end;
}

}  // namespace

template <class F>
Result<uint32_t> JsonRules::Once(uint32_t& rule, const char* name, F define) {
  if (rule != kNone) return rule;
  HADAL_TRY(rule, builder_.Declare(name));
  Nfa nfa = builder_.NewNfa();
  HADAL_OK(define(nfa));
  builder_.Define(rule, std::move(nfa));
  return rule;
}

Result<uint32_t> JsonRules::Space(Nfa& nfa, uint32_t from) {
  if (space_ == JsonSpace::kNone) return from;
  HADAL_TRY(const uint32_t rule, Once(white_, "white space", [](Nfa& white) -> Status {
              const uint32_t end = white.accept();
              white.Epsilon(white.start(), end);
              white.Bytes(white.start(), ' ', ' ', end);
              const uint32_t line = white.AddState();
              white.Bytes(white.start(), '\n', '\n', line);
              white.Epsilon(line, end);
              for (const auto& [c, n] : {std::pair{' ', kMaxIndentation}, {'\t', kMaxTabs}}) {
                uint32_t at = line;
                for (int i = 0; i < n; ++i) {
                  at = white.Literal(at, std::string_view(&c, 1));
                  white.Epsilon(at, end);
                }
              }
              return {};
            }));
  return nfa.Calls(from, rule);
}

Result<uint32_t> JsonRules::Value() {
  return Once(value_, "any value", [this](Nfa& nfa) -> Status {
    for (const char* word : {"true", "false", "null"}) {
      nfa.Epsilon(nfa.Literal(nfa.start(), word), nfa.accept());
    }
    HADAL_TRY(const uint32_t string, String());
    HADAL_TRY(const uint32_t number, Number());
    HADAL_TRY(const uint32_t object, Object());
    HADAL_TRY(const uint32_t array, Array());
    for (const uint32_t rule : {string, number, object, array}) {
      nfa.Call(nfa.start(), rule, nfa.accept());
    }
    return {};
  });
}

// open [ member {, member} ] close
Status JsonRules::DefineList(Nfa& nfa, char open, char close, bool keys) {
  HADAL_TRY(const uint32_t value, Value());
  HADAL_TRY(const uint32_t first, Space(nfa, nfa.Literal(nfa.start(), std::string_view(&open, 1))));
  const uint32_t member = nfa.AddState(), after = nfa.AddState();
  nfa.Epsilon(first, member);
  uint32_t at = member;
  if (keys) {
    HADAL_TRY(const uint32_t string, String());
    HADAL_TRY(at, Space(nfa, nfa.Literal(nfa.Calls(at, string), ":")));
  }
  nfa.Call(at, value, after);
  HADAL_TRY(const uint32_t comma, Space(nfa, nfa.Literal(after, ",")));
  nfa.Epsilon(comma, member);
  HADAL_TRY(const uint32_t end, Space(nfa, after));
  const auto byte = static_cast<uint8_t>(close);
  nfa.Bytes(end, byte, byte, nfa.accept());
  nfa.Bytes(first, byte, byte, nfa.accept());
  return {};
}

Result<uint32_t> JsonRules::Object() {
  return Once(object_, "any object", [this](Nfa& nfa) { return DefineList(nfa, '{', '}', true); });
}

Result<uint32_t> JsonRules::Array() {
  return Once(array_, "any array", [this](Nfa& nfa) { return DefineList(nfa, '[', ']', false); });
}

Result<uint32_t> JsonRules::String() {
  return Once(string_, "any string", [](Nfa& nfa) -> Status {
    const uint32_t inside = nfa.Literal(nfa.start(), "\"");
    AddCharacter(nfa, inside, inside);
    nfa.Bytes(inside, '"', '"', nfa.accept());
    return {};
  });
}

Result<uint32_t> JsonRules::Character() {
  return Once(character_, "a character", [](Nfa& nfa) -> Status {
    AddCharacter(nfa, nfa.start(), nfa.accept());
    return {};
  });
}

Result<uint32_t> JsonRules::Number() {
  return Once(number_, "any number", [](Nfa& nfa) -> Status {
    const uint32_t sign = nfa.AddState(), whole = nfa.AddState(), fraction = nfa.AddState();
    nfa.Epsilon(nfa.start(), sign);
    nfa.Bytes(nfa.start(), '-', '-', sign);
    nfa.Bytes(sign, '0', '0', whole);
    nfa.Epsilon(AddDigits(nfa, sign, '1', kMaxDigits - 1), whole);
    nfa.Epsilon(whole, fraction);
    nfa.Epsilon(AddDigits(nfa, nfa.Literal(whole, "."), '0', kMaxDigits - 1), fraction);
    nfa.Epsilon(fraction, nfa.accept());
    const uint32_t e = nfa.AddState(), exponent = nfa.AddState();
    nfa.Bytes(fraction, 'e', 'e', e);
    nfa.Bytes(fraction, 'E', 'E', e);
    nfa.Epsilon(e, exponent);
    nfa.Bytes(e, '+', '+', exponent);
    nfa.Bytes(e, '-', '-', exponent);
    nfa.Epsilon(AddDigits(nfa, exponent, '0', 1), nfa.accept());
    return {};
  });
}

Result<uint32_t> JsonRules::Integer() {
  return Once(integer_, "any integer", [](Nfa& nfa) -> Status {
    nfa.Bytes(nfa.start(), '0', '0', nfa.accept());
    nfa.Epsilon(AddDigits(nfa, nfa.start(), '1', kMaxDigits - 1), nfa.accept());
    nfa.Epsilon(AddDigits(nfa, nfa.Literal(nfa.start(), "-"), '1', kMaxDigits - 1), nfa.accept());
    return {};
  });
}

namespace {

// How a byte is written inside quotes: as it is, or escaped.
std::string EscapeOf(uint8_t byte) {
  switch (byte) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return byte < 0x20 ? fmt::format("\\u{:04x}", byte) : std::string(1, static_cast<char>(byte));
  }
}

}  // namespace

std::string QuoteJson(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out += EscapeOf(static_cast<uint8_t>(c));
  return out + '"';
}

void EmitQuoted(Nfa& nfa, uint32_t from, const Dfa& texts, uint32_t to) {
  if (texts.empty()) return;
  std::vector<uint32_t> states(texts.states.size());
  for (uint32_t& state : states) state = nfa.AddState();
  if (nfa.overflowed()) return;
  nfa.Bytes(from, '"', '"', states[0]);
  for (size_t i = 0; i < states.size(); ++i) {
    if (texts.states[i].accept) nfa.Bytes(states[i], '"', '"', to);
    for (const Dfa::Edge& e : texts.states[i].edges) {
      int plain_from = e.lo;
      for (int byte = e.lo; byte <= e.hi + 1; ++byte) {
        const bool escaped = byte <= e.hi && (byte < 0x20 || byte == '"' || byte == '\\');
        if (!escaped && byte <= e.hi) continue;
        if (byte > plain_from) {
          nfa.Bytes(states[i], static_cast<uint8_t>(plain_from), static_cast<uint8_t>(byte - 1),
                    states[e.to]);
        }
        plain_from = byte + 1;
        if (escaped) {
          nfa.Epsilon(nfa.Literal(states[i], EscapeOf(static_cast<uint8_t>(byte))), states[e.to]);
        }
      }
    }
  }
}

}  // namespace hadal::grammar
