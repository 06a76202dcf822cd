#include "tokenizer/tokenizer_pipeline.h"

#include <vector>

namespace hadal {
namespace {

constexpr size_t kMaxSteps = 64;

struct Step {
  json::Object object;
  std::string path;
  std::string_view type;
};

// root[key] as a list of steps: absent or null = none, {"type": "Sequence"} = its members, else
// itself. Sequences inside sequences are flattened.
Status Flatten(json::Element element, const std::string& path, std::string_view list_key,
               std::vector<Step>& out) {
  HADAL_TRY(const json::Object object, json::As<json::Object>(element, path));
  HADAL_TRY(const std::string_view type, json::Required<std::string_view>(object, "type", path));
  if (type != "Sequence") {
    if (out.size() >= kMaxSteps) {
      return FailField(ErrorCode::kBadFile, path, "{}: more than {} steps", path, kMaxSteps);
    }
    out.push_back({object, path, type});
    return {};
  }
  HADAL_TRY(const json::Array list, json::Required<json::Array>(object, list_key, path));
  size_t i = 0;
  for (const json::Element member : list) {
    HADAL_OK(Flatten(member, fmt::format("{}.{}[{}]", path, list_key, i++), list_key, out));
  }
  return {};
}

Result<std::vector<Step>> StepsOf(json::Object root, std::string_view key,
                                  std::string_view list_key) {
  std::vector<Step> steps;
  json::Element element;
  if (root[key].get(element) == simdjson::SUCCESS && !element.is_null()) {
    HADAL_OK(Flatten(element, std::string(key), list_key, steps));
  }
  return steps;
}

tl::unexpected<Error> Unsupported(const Step& step, std::string_view supported) {
  return FailField(ErrorCode::kUnsupportedModel, step.path, "{} is \"{}\"; this build supports {}",
                   step.path, step.type, supported);
}

Result<SplitRule> ReadSplit(const Step& step, size_t max_pattern_bytes) {
  SplitRule rule;
  HADAL_TRY(const json::Object pattern,
            json::Required<json::Object>(step.object, "pattern", step.path));
  const std::string path = step.path + ".pattern";
  HADAL_TRY(const auto regex, json::Optional<std::string_view>(pattern, "Regex", path));
  HADAL_TRY(const auto text, json::Optional<std::string_view>(pattern, "String", path));
  if (regex.has_value() == text.has_value()) {
    return FailField(ErrorCode::kBadFile, path, "{} must hold one of \"Regex\" and \"String\"",
                     path);
  }
  rule.literal = text.has_value();
  rule.pattern = regex ? *regex : *text;
  if (rule.pattern.size() > max_pattern_bytes || rule.pattern.empty()) {
    return FailField(ErrorCode::kBadFile, path, "{} has {} bytes; it must have 1 to {}", path,
                     rule.pattern.size(), max_pattern_bytes);
  }
  HADAL_TRY(const std::string_view behavior,
            json::Required<std::string_view>(step.object, "behavior", step.path));
  if (behavior != "Isolated" && behavior != "Removed") {
    return FailField(ErrorCode::kUnsupportedModel, step.path + ".behavior",
                     "{}.behavior is \"{}\"; this build supports Isolated and Removed", step.path,
                     behavior);
  }
  rule.behavior =
      behavior == "Removed" ? SplitRule::Behavior::kRemoved : SplitRule::Behavior::kIsolated;
  HADAL_TRY(rule.invert, json::OptionalOr<bool>(step.object, "invert", step.path, false));
  return rule;
}

}  // namespace

Result<bool> ReadNormalizer(json::Object root) {
  HADAL_TRY(const std::vector<Step> steps, StepsOf(root, "normalizer", "normalizers"));
  for (const Step& step : steps) {
    if (step.type != "NFC") return Unsupported(step, "NFC");
  }
  return !steps.empty();
}

Result<PreTokenizerSpec> ReadPreTokenizer(json::Object root, size_t max_pattern_bytes) {
  HADAL_TRY(const std::vector<Step> steps, StepsOf(root, "pre_tokenizer", "pretokenizers"));
  PreTokenizerSpec spec;
  bool ended = false;
  for (const Step& step : steps) {
    if (ended) {
      return FailField(ErrorCode::kUnsupportedModel, step.path,
                       "{}: ByteLevel must be the last step of the pre_tokenizer", step.path);
    }
    if (step.type == "Split") {
      HADAL_TRY(SplitRule rule, ReadSplit(step, max_pattern_bytes));
      spec.splits.push_back(std::move(rule));
    } else if (step.type == "Digits") {
      HADAL_TRY(const bool each,
                json::OptionalOr<bool>(step.object, "individual_digits", step.path, false));
      spec.splits.push_back({.pattern = each ? R"(\p{N})" : R"(\p{N}+)"});
    } else if (step.type == "ByteLevel") {
      ended = true;
      HADAL_TRY(spec.add_prefix_space,
                json::OptionalOr<bool>(step.object, "add_prefix_space", step.path, true));
      HADAL_TRY(spec.use_regex, json::OptionalOr<bool>(step.object, "use_regex", step.path, true));
    } else {
      return Unsupported(step, "Split, Digits and ByteLevel");
    }
  }
  if (!ended) {
    return FailField(ErrorCode::kUnsupportedModel, "pre_tokenizer",
                     "pre_tokenizer has no ByteLevel step; this build reads byte-level BPE only");
  }
  return spec;
}

Status CheckDecoder(json::Object root) {
  HADAL_TRY(const std::vector<Step> steps, StepsOf(root, "decoder", "decoders"));
  for (const Step& step : steps) {
    if (step.type != "ByteLevel") return Unsupported(step, "ByteLevel");
  }
  if (steps.empty()) {
    return FailField(ErrorCode::kUnsupportedModel, "decoder",
                     "decoder is missing; this build supports ByteLevel");
  }
  return {};
}

Result<std::optional<std::string>> ReadTemplateBos(json::Object root) {
  HADAL_TRY(const std::vector<Step> steps, StepsOf(root, "post_processor", "processors"));
  for (const Step& step : steps) {
    if (step.type != "TemplateProcessing") continue;  // offsets only, or pairs of texts
    HADAL_TRY(const json::Array single,
              json::Required<json::Array>(step.object, "single", step.path));
    json::Element first;
    json::Object piece;
    if (single.at(0).get(first) != simdjson::SUCCESS || first.get(piece) != simdjson::SUCCESS) {
      continue;
    }
    const std::string path = step.path + ".single[0]";
    HADAL_TRY(const auto special, json::Optional<json::Object>(piece, "SpecialToken", path));
    if (!special) continue;
    HADAL_TRY(const std::string_view id,
              json::Required<std::string_view>(*special, "id", path + ".SpecialToken"));
    return std::optional(std::string(id));
  }
  return std::nullopt;
}

}  // namespace hadal
