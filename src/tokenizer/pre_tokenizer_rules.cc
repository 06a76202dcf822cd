#include "tokenizer/pre_tokenizer_rules.h"

#include <algorithm>
#include <array>

#include "tokenizer/json_writer.h"

namespace hadal {
namespace {

// Patterns as the published tokenizer.json files write them.
constexpr std::string_view kDeepSeekLlm[] = {
    "[\r\n]",
    R"(\s?)"
    "[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-Ⴥ"
    "Ꭰ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐ"
    "ῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯ"
    "ꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
    R"(\s+$)",
    "[一-龥ࠀ-一가-퟿]+",
};
constexpr std::string_view kDeepSeekCoder[] = {
    "[\r\n]",
    R"(\s?\p{L}+)",
    R"(\s?\p{P}+)",
    "[一-龥ࠀ-一가-퟿]+",
};
constexpr std::string_view kDeepSeekV3[] = {
    R"(\p{N}{1,3})",
    "[一-龥぀-ゟ゠-ヿ]+",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
};
constexpr std::string_view kQwen2[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
};
constexpr std::string_view kLlama3[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

constexpr std::array<SplitRules, 6> kRules = {{
    {.name = "deepseek-llm", .patterns = kDeepSeekLlm, .digits = true},
    {.name = "deepseek-coder", .patterns = kDeepSeekCoder, .digits = true},
    {.name = "deepseek-v3", .patterns = kDeepSeekV3},
    {.name = "qwen2", .patterns = kQwen2, .trim_offsets = false, .nfc = true},
    {.name = "deepseek-r1-qwen", .patterns = kQwen2, .trim_offsets = false, .nfc = true},
    {.name = "llama-bpe", .patterns = kLlama3, .ignore_merges = true, .add_bos = true},
}};

constexpr std::string_view kDigit = R"(\p{N})";

PreTokenizerSpec SpecOf(const SplitRules& rules) {
  PreTokenizerSpec spec;
  for (const std::string_view pattern : rules.patterns) {
    spec.splits.push_back({.pattern = std::string(pattern)});
  }
  if (rules.digits) spec.splits.push_back({.pattern = std::string(kDigit)});
  return spec;
}

}  // namespace

const SplitRules* FindSplitRules(std::string_view pre) {
  if (pre == "llama3" || pre == "llama-v3") pre = "llama-bpe";
  const auto it =
      std::find_if(kRules.begin(), kRules.end(), [&](const auto& r) { return r.name == pre; });
  return it == kRules.end() ? nullptr : &*it;
}

const SplitRules* RecogniseSplitRules(const PreTokenizerSpec& spec, std::string_view bos_token) {
  const auto it =
      std::find_if(kRules.begin(), kRules.end(), [&](const auto& r) { return SpecOf(r) == spec; });
  if (it == kRules.end()) return nullptr;
  const bool distilled = it->name == "qwen2" && bos_token == "<｜begin▁of▁sentence｜>";
  return distilled ? FindSplitRules("deepseek-r1-qwen") : &*it;
}

std::string KnownSplitRules() {
  std::string names;
  for (const SplitRules& rules : kRules) {
    if (!names.empty()) names += ", ";
    names += rules.name;
  }
  return names;
}

std::string PreTokenizerJson(const SplitRules& rules) {
  std::string out = R"({"type":"Sequence","pretokenizers":[)";
  for (const std::string_view pattern : rules.patterns) {
    out += R"({"type":"Split","pattern":{"Regex":)";
    json::AppendString(out, pattern);
    out += R"(},"behavior":"Isolated","invert":false},)";
  }
  if (rules.digits) out += R"({"type":"Digits","individual_digits":true},)";
  out += R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":)";
  out += rules.trim_offsets ? "true" : "false";
  return out + R"(,"use_regex":false}]})";
}

}  // namespace hadal
