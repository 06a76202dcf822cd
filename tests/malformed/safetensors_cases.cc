// Damage of safetensors files, alone and as shards of an index.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "formats/testing_files.h"
#include "malformed_case.h"
#include "tiny_models.h"

namespace hadal::malformed {
namespace {

constexpr const char* kRight = R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                               R"("b":{"dtype":"F16","shape":[4],"data_offsets":[16,24]}})";
const std::string kData(24, '\0');

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

class Group {
 public:
  void Add(const std::string& name, std::function<std::string()> make,
           Must must = Must::kBeRefusedWithOffset) {
    cases_.push_back({"safetensors " + name, Reader::kSafetensors, must, "x.safetensors",
                      [make = std::move(make)] { return Files{{"x.safetensors", make()}}; }});
  }
  void Bytes(const std::string& name, std::string bytes) {
    Add(name, [bytes = std::move(bytes)] { return bytes; });
  }
  void Header(const std::string& name, const std::string& header,
              Must must = Must::kBeRefusedWithOffset) {
    Add(name, [header] { return SafetensorsBytes(header, kData); }, must);
  }
  void Change(std::string_view from, std::string_view to, Must must = Must::kBeRefusedWithOffset) {
    Header(fmt::format("{} becomes {}", from, to), Replaced(kRight, from, to), must);
  }
  Cases Take() { return std::move(cases_); }

 private:
  Cases cases_;
};

void AddLengths(Group& g) {
  const std::string right = SafetensorsBytes(kRight, kData);
  for (const uint64_t n :
       {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{right.size()}, uint64_t{17} << 20,
        uint64_t{1} << 32, uint64_t{1} << 62, uint64_t{1} << 63, UINT64_MAX - 7, UINT64_MAX}) {
    g.Bytes(fmt::format("header length {}", n), LengthBytes(n) + right.substr(8));
  }
  for (const size_t n : {size_t{1}, size_t{7}, size_t{8}, size_t{9}, right.size() / 2,
                         right.size() - 25, right.size() - 1}) {
    g.Bytes(fmt::format("truncated at {}", n), right.substr(0, n));
  }
  g.Bytes("with a byte left over", right + "x");
  g.Bytes("with a page left over", right + std::string(4096, '\0'));
}

void AddHeaders(Group& g) {
  for (const char* text : {"[]", "null", "1", "\"x\"", "{", "{}x", "{\"a\":1}", "{\"a\":{}}",
                           "\x80", "{\"a\":{\"dtype\":\"F32\"}}", "{\"__metadata__\":{\"k\":1}}",
                           "{\"__metadata__\":[]}", "{\"a\":NaN}", "{'a':1}"}) {
    g.Header(fmt::format("header {:?}", text), text);
  }
  for (const int depth : {100, 1000, 100'000}) {
    const auto n = static_cast<size_t>(depth);
    g.Header(fmt::format("header of {} arrays", depth),
             "{\"a\":" + std::string(n, '[') + std::string(n, ']') + "}");
    std::string objects;
    for (int i = 0; i < depth; ++i) objects += "{\"a\":";
    g.Header(fmt::format("header of {} objects", depth), objects);
  }
  g.Change("\"b\":", "\"a\":", Must::kBeRefused);  // the tensor is named
  g.Change("\"b\":", "\"\":");
  g.Change("\"b\":", "\"\\u0000\":", Must::kNotCrash);  // no model has such a tensor
  g.Change("\"b\":", "\"\xff\":");
  g.Change("\"b\":", "\"\\ud800\":");
  g.Change("\"F16\"", "\"F32\"");
  g.Change("\"F16\"", "\"F999\"");
  g.Change("\"F16\"", "16");
  g.Change("\"dtype\":\"F16\"", "\"dtype\":\"F16\",\"dtype\":\"F32\"");
  for (const char* shape :
       {"[]", "[3]", "[5]", "[-4]", "[2,2,2]", "[4.5]", "[\"4\"]", "4", "null",
        "[9223372036854775807]", "[18446744073709551616]", "[0]", "[4294967296,4294967296]",
        "[2305843009213693952,8]", "[1,1,1,1,4]", "[[4]]", "[4611686018427387904,4,1,1]"}) {
    g.Change("[4]", shape);
  }
  for (const char* range :
       {"[16,25]", "[16,23]", "[15,23]", "[17,25]", "[0,8]", "[8,16]", "[24,16]", "[16]", "[]",
        "[16,24,32]", "[-8,0]", "[16.0,24]", "[\"16\",24]", "[18446744073709551600,24]",
        "[9223372036854775807,9223372036854775815]", "[32,40]", "[16,18446744073709551615]"}) {
    g.Change("[16,24]", range);
  }
  g.Add("100001 tensors", [] {
    std::string header = "{";
    for (int i = 0; i <= 100'000; ++i) {
      header += fmt::format("{}\"t{}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{},{}]}}",
                            i ? "," : "", i, i, i + 1);
    }
    return SafetensorsBytes(header + "}", std::string(100'001, '\0'));
  });
  g.Add("a name of 10 MB", [] {
    return SafetensorsBytes("{\"" + std::string(10u << 20, 'n') +
                            "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
  });
}

// A small model whose tensors hold what no weight may.
void AddWeights(Cases* all) {
  const struct {
    const char* what;
    float value;
  } values[] = {{"NaN", NAN}, {"infinity", INFINITY}, {"-infinity", -INFINITY}};
  for (const auto& [what, value] : values) {
    for (const char* name : {"lm_head.weight", "model.norm.weight", "model.embed_tokens.weight",
                             "model.layers.1.mlp.down_proj.weight"}) {
      all->push_back({fmt::format("model with {} in {}", what, name), Reader::kModel,
                      Must::kBeRefused, "", [name, v = value] {
                        TinyCheckpoint t = TinyDense();
                        t.tensors.at(name).values[5] = v;
                        return FilesOf(t);
                      }});
    }
  }
}

void AddTensors(Cases* all) {
  const TinyCheckpoint right = TinyDense();
  for (const auto& [name, unused] : right.tensors) {
    all->push_back({fmt::format("model without {}", name), Reader::kModel, Must::kBeRefused, "",
                    [removed = name] {
                      TinyCheckpoint t = TinyDense();
                      t.tensors.erase(removed);
                      return FilesOf(t);
                    }});
    all->push_back({fmt::format("model with {} transposed and longer", name), Reader::kModel,
                    Must::kBeRefused, "", [changed = name] {
                      TinyCheckpoint t = TinyDense();
                      const Shape shape = t.tensors.at(changed).shape;
                      t.Add(changed, shape.rank() == 2 ? Shape{shape[1], shape[0] + 1}
                                                       : Shape{shape[0] + 1});
                      return FilesOf(t);
                    }});
  }
}

}  // namespace

Cases SafetensorsCases() {
  Group g;
  AddLengths(g);
  AddHeaders(g);
  Cases all = g.Take();
  AddWeights(&all);
  AddTensors(&all);
  return all;
}

Cases IndexCases() {
  const std::string shard = "model-00001-of-00001.safetensors";
  const std::pair<std::string, std::string> texts[] = {
      {"names ../x", R"({"weight_map":{"lm_head.weight":"../x.safetensors"}})"},
      {"names /etc/passwd", R"({"weight_map":{"lm_head.weight":"/etc/passwd"}})"},
      {"names a/../../x", R"({"weight_map":{"lm_head.weight":"a/../../x.safetensors"}})"},
      {"names a sub-directory", R"({"weight_map":{"lm_head.weight":"a/x.safetensors"}})"},
      {"names a backslash path", R"({"weight_map":{"lm_head.weight":"..\\x.safetensors"}})"},
      {"names ..", R"({"weight_map":{"lm_head.weight":".."}})"},
      {"names the empty file", R"({"weight_map":{"lm_head.weight":""}})"},
      {"names a file with NUL", R"({"weight_map":{"lm_head.weight":"x\u0000.safetensors"}})"},
      {"names a missing file", R"({"weight_map":{"lm_head.weight":"y.safetensors"}})"},
      {"names a pickle", R"({"weight_map":{"lm_head.weight":"pytorch_model.bin"}})"},
      {"names itself", R"({"weight_map":{"lm_head.weight":"model.safetensors.index.json"}})"},
      {"names a tensor the shard lacks", R"({"weight_map":{"nothing":")" + shard + "\"}}"},
      {"is empty", ""},
      {"is no JSON", "weight_map"},
      {"is an array", "[]"},
      {"has no weight_map", "{}"},
      {"has an empty weight_map", R"({"weight_map":{}})"},
      {"has a list as weight_map", R"({"weight_map":["lm_head.weight"]})"},
      {"maps to a number", R"({"weight_map":{"lm_head.weight":1}})"},
      {"maps to null", R"({"weight_map":{"lm_head.weight":null}})"},
      {"is deep", "{\"weight_map\":" + std::string(100'000, '[') + "}"},
  };
  Cases all;
  for (const auto& [name, text] : texts) {
    all.push_back(
        {"index.json that " + name, Reader::kModel, Must::kBeRefused, "", [shard, index = text] {
           Files files = FilesOf(TinyDense());
           files[1].first = shard;
           files.push_back({"model.safetensors.index.json", index});
           return files;
         }});
  }
  return all;
}

}  // namespace hadal::malformed
