// Sets of GGUF parts that contradict each other.
#include <fmt/format.h>

#include "gguf_draft.h"
#include "malformed_case.h"

namespace hadal::malformed {
namespace {

constexpr const char* kFirst = "m-00001-of-00002.gguf";
constexpr const char* kSecond = "m-00002-of-00002.gguf";

GgufDraft Part(uint16_t number) {
  GgufDraft d;
  d.Text("general.architecture", "llama");
  d.Set("split.no", 2, LittleEndian(number));
  d.Set("split.count", 2, LittleEndian<uint16_t>(2));
  d.Set("split.tensors.count", 5, LittleEndian<int32_t>(2));
  d.tensors.push_back({number == 0 ? "a.weight" : "b.weight", {8}, 0, std::string(32, 'x')});
  return d;
}

Case Of(const std::string& name, Files files, const std::string& open = kFirst) {
  return {"gguf split: " + name, Reader::kGguf, Must::kBeRefused, open,
          [files = std::move(files)] { return files; }};
}

Case Lie(const std::string& key, int32_t value, bool second) {
  GgufDraft first = Part(0), other = Part(1);
  (second ? other : first).Set(key, 5, LittleEndian(value));
  return Of(fmt::format("{} is {} in part {}", key, value, second ? 2 : 1),
            {{kFirst, first.Build()}, {kSecond, other.Build()}});
}

}  // namespace

Cases GgufSplitCases() {
  const std::string first = Part(0).Build(), second = Part(1).Build();
  Cases all;
  all.push_back(Of("the second part is missing", {{kFirst, first}}));
  all.push_back(Of("the first part is missing", {{kSecond, second}}, kSecond));
  all.push_back(Of("the name does not say which part", {{"m.gguf", first}}, "m.gguf"));
  all.push_back(Of("the name says another count", {{"m-00001-of-00003.gguf", first}},
                   "m-00001-of-00003.gguf"));
  all.push_back(Of("both files are the first part", {{kFirst, first}, {kSecond, first}}));
  all.push_back(Of("the parts are exchanged", {{kFirst, second}, {kSecond, first}}));
  all.push_back(Of("the second part is empty", {{kFirst, first}, {kSecond, ""}}));
  all.push_back(Of("the second part is not GGUF", {{kFirst, first}, {kSecond, "{}          "}}));
  all.push_back(
      Of("the second part is a directory", {{kFirst, first}, {kSecond + std::string("/x"), ""}}));
  for (const size_t cut : {5u, 30u, 100u}) {
    all.push_back(Of(fmt::format("the second part is cut at {}", cut),
                     {{kFirst, first}, {kSecond, second.substr(0, cut)}}));
  }
  GgufDraft same = Part(1), bare = Part(1);
  same.tensors[0].name = "a.weight";
  bare.pairs.resize(1);
  all.push_back(Of("a tensor stands in both parts", {{kFirst, first}, {kSecond, same.Build()}}));
  all.push_back(
      Of("the second part has no split keys", {{kFirst, first}, {kSecond, bare.Build()}}));
  for (const bool part : {false, true}) {
    for (const int32_t v : {-1, 2, 65'535}) all.push_back(Lie("split.no", v, part));
    for (const int32_t v : {-1, 3, 1001, INT32_MAX}) all.push_back(Lie("split.count", v, part));
    for (const int32_t v : {-1, 0, 1, 3, INT32_MAX})
      all.push_back(Lie("split.tensors.count", v, part));
  }
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) {
    GgufDraft text = Part(0);
    text.Text(key, "2");
    all.push_back(
        Of(fmt::format("{} is a text", key), {{kFirst, text.Build()}, {kSecond, second}}));
  }
  return all;
}

}  // namespace hadal::malformed
