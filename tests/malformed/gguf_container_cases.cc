// Damage of the GGUF container: what a reader must refuse before it knows any architecture.
#include <fmt/format.h>

#include "gguf_draft.h"
#include "malformed_case.h"
#include "quant/quant_type.h"

namespace hadal::malformed {
namespace {

constexpr uint64_t kHuge[] = {uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 60,
                              uint64_t{1} << 61, uint64_t{1} << 62, uint64_t{1} << 63,
                              UINT64_MAX - 31,   UINT64_MAX};
constexpr uint32_t kText = 8, kArray = 9;

// Three pairs, three tensors; right as it stands.
GgufDraft Right() {
  GgufDraft d;
  d.Text("general.architecture", "llama").U32("llama.block_count", 1);
  d.Set("some.list", kArray,
        LittleEndian<uint32_t>(4) + LittleEndian<uint64_t>(2) + LittleEndian<uint32_t>(1) +
            LittleEndian<uint32_t>(2));
  d.Set("some.texts", kArray,
        LittleEndian<uint32_t>(kText) + LittleEndian<uint64_t>(2) + GgufText("ab") + GgufText(""));
  d.tensors.push_back({"a.weight", {4, 2}, 0, std::string(32, 'a')});
  d.tensors.push_back({"b.weight", {64}, 8, std::string(68, 'b')});
  d.tensors.push_back({"c.weight", {256}, 12, std::string(144, 'c')});
  return d;
}

class Group {
 public:
  void Add(const std::string& name, std::string bytes) {
    cases_.push_back({"gguf " + name, Reader::kGguf, Must::kBeRefusedWithOffset, "x.gguf",
                      [bytes = std::move(bytes)] { return Files{{"x.gguf", bytes}}; }});
  }
  void Add(const std::string& name, const GgufDraft& d) { Add(name, d.Build()); }
  Cases Take() { return std::move(cases_); }

 private:
  Cases cases_;
};

void AddFront(Group& g) {
  const char* magics[] = {"gguf",       "GGUG",       "ggml",   "ggjt", "FUGG",
                          "PK\x03\x04", "\x80\x02}q", "{\"a\"", "<!DO", "versi"};
  for (const char* magic : magics) {
    GgufDraft d = Right();
    d.magic = std::string(magic).substr(0, 4);
    g.Add(fmt::format("magic {:?}", d.magic), d);
  }
  g.Add("magic of four zero bytes", std::string(200, '\0'));
  for (const uint32_t version : {0u, 1u, 4u, 5u, 255u, 65536u, 0x01000000u, 0x02000000u,
                                 0x03000000u, 0x80000000u, 0xffffffffu}) {
    GgufDraft d = Right();
    d.version = version;
    g.Add(fmt::format("version {:#x}", version), d);
  }
  for (uint64_t n : kHuge) {
    GgufDraft tensors = Right(), pairs = Right();
    tensors.tensor_count = n;
    pairs.pair_count = n;
    g.Add(fmt::format("tensor count {}", n), tensors);
    g.Add(fmt::format("pair count {}", n), pairs);
  }
  for (const uint64_t more : {1, 5, 100, 65'536, 100'000}) {
    GgufDraft tensors = Right(), pairs = Right();
    tensors.tensor_count = 3 + more;
    pairs.pair_count = 4 + more;
    g.Add(fmt::format("tensor count {} too many", more), tensors);
    g.Add(fmt::format("pair count {} too many", more), pairs);
  }
}

void AddTruncations(Group& g) {
  std::vector<size_t> ends;
  const std::string whole = Right().Build(&ends);
  size_t last = 0;
  for (size_t i = 0; i < ends.size(); ++i) {
    const size_t end = ends[i];
    if (end == whole.size()) break;
    if (end != last)
      g.Add(fmt::format("truncated after field {} at {}", i, end), whole.substr(0, end));
    if (end - 1 > last) {
      g.Add(fmt::format("truncated within field {} at {}", i, end - 1), whole.substr(0, end - 1));
    }
    last = end;
  }
  g.Add("one byte short", whole.substr(0, whole.size() - 1));
}

// A length that is stored at `at` of the right file becomes n.
std::string WithLength(size_t at, uint64_t n) {
  std::string bytes = Right().Build();
  bytes.replace(at, 8, LittleEndian(n));
  return bytes;
}

void AddLengths(Group& g) {
  const std::string bytes = Right().Build();
  const struct {
    std::string what;
    size_t at;
  } lengths[] = {
      {"key length", bytes.find("general.architecture") - 8},
      {"text length", bytes.find("general.architecture") + 20 + 4},
      {"array element length", bytes.find("some.texts") + 10 + 4 + 12},
      {"tensor name length", bytes.find("a.weight") - 8},
  };
  for (const auto& [what, at] : lengths) {
    for (const uint64_t n : kHuge) g.Add(fmt::format("{} {}", what, n), WithLength(at, n));
    for (const uint64_t n : {uint64_t{65'536}, uint64_t{5} << 20, uint64_t{bytes.size()}}) {
      g.Add(fmt::format("{} {}", what, n), WithLength(at, n));
    }
  }
  g.Add("key length 0", WithLength(lengths[0].at, 0));
  g.Add("tensor name length 0", WithLength(lengths[3].at, 0));
}

void AddNames(Group& g) {
  const struct {
    const char* what;
    std::string text;
  } names[] = {
      {"empty", ""},
      {"with NUL", std::string("a\0b", 3)},
      {"with a newline", "a\nb"},
      {"not UTF-8: lone continuation", "a\x80"},
      {"not UTF-8: cut sequence", "a\xe4\xbd"},
      {"not UTF-8: overlong", "\xc0\xaf"},
      {"not UTF-8: surrogate", "\xed\xa0\x80"},
      {"not UTF-8: beyond Unicode", "\xf5\x80\x80\x80"},
      {"of 70000 bytes", std::string(70'000, 'k')},
  };
  for (const auto& [what, text] : names) {
    GgufDraft key = Right(), tensor = Right();
    key.pairs[1].key = text;
    tensor.tensors[1].name = text;
    g.Add(fmt::format("key {}", what), key);
    g.Add(fmt::format("tensor name {}", what), tensor);
  }
  GgufDraft key = Right(), tensor = Right(), longer = Right();
  key.pairs.push_back(key.pairs[0]);
  tensor.tensors[2].name = tensor.tensors[0].name;
  longer.tensors[0].name = std::string(513, 't');
  g.Add("key twice", key);
  g.Add("tensor name twice", tensor);
  g.Add("tensor name of 513 bytes", longer);
}

void AddValues(Group& g) {
  const auto with = [](uint32_t type, std::string value) {
    GgufDraft d = Right();
    d.pairs[1].type = type;
    d.pairs[1].value = std::move(value);
    return d;
  };
  for (const uint32_t type : {13u, 14u, 99u, 0x80000000u, 0xffffffffu}) {
    g.Add(fmt::format("value type {}", type), with(type, LittleEndian<uint64_t>(1)));
    g.Add(fmt::format("array of type {}", type),
          with(kArray, LittleEndian(type) + LittleEndian<uint64_t>(1) + LittleEndian<uint64_t>(1)));
  }
  std::string nested = LittleEndian(kArray) + LittleEndian<uint64_t>(1);
  for (const int depth : {1, 2, 16, 1000}) {
    std::string value;
    for (int i = 0; i < depth; ++i) value += nested;
    g.Add(fmt::format("array nested {} deep", depth), with(kArray, value));
  }
  for (const uint32_t element : {0u, 2u, 4u, 7u, 8u, 10u}) {
    for (const uint64_t n : kHuge) {
      g.Add(fmt::format("array of {} elements of type {}", n, element),
            with(kArray, LittleEndian(element) + LittleEndian(n) + std::string(64, '\0')));
    }
    for (const uint64_t n : {uint64_t{4'000'001}, uint64_t{2000}}) {
      g.Add(fmt::format("array of {} elements of type {}", n, element),
            with(kArray, LittleEndian(element) + LittleEndian(n) + std::string(64, '\0')));
    }
  }
  for (const int v : {2, 3, 128, 255}) {
    const std::string byte(1, static_cast<char>(v));
    g.Add(fmt::format("bool {}", v), with(7, byte));
    g.Add(fmt::format("array with bool {}", v),
          with(kArray, LittleEndian<uint32_t>(7) + LittleEndian<uint64_t>(2) + '\1' + byte));
  }
  for (const uint64_t v : {uint64_t{1} << 63, UINT64_MAX}) {
    g.Add(fmt::format("u64 {}", v), with(10, LittleEndian(v)));
    g.Add(fmt::format("array with u64 {}", v),
          with(kArray, LittleEndian<uint32_t>(10) + LittleEndian<uint64_t>(1) + LittleEndian(v)));
  }
}

void AddAlignments(Group& g) {
  for (const uint32_t n : {0u, 1u, 2u, 3u, 7u, 24u, 33u, 1u << 21, 1u << 31, 0xffffffffu}) {
    g.Add(fmt::format("alignment {}", n), Right().U32("general.alignment", n));
  }
  const auto set = [](uint32_t type, const std::string& value) {
    return Right().Set("general.alignment", type, value);
  };
  g.Add("alignment a text", set(kText, GgufText("32")));
  g.Add("alignment a float", set(6, LittleEndian(32.0f)));
  g.Add("alignment a bool", set(7, "\1"));
  g.Add("alignment -32", set(5, LittleEndian<int32_t>(-32)));
  g.Add("alignment an array", set(kArray, LittleEndian<uint32_t>(4) + LittleEndian<uint64_t>(1) +
                                              LittleEndian<uint32_t>(32)));
  g.Add("alignment 2^40", set(10, LittleEndian(uint64_t{1} << 40)));
  g.Add("alignment 128 of data laid out by 32", Right().U32("general.alignment", 128));
}

template <class Change>
void AddTensor(Group& g, const std::string& name, const Change& change) {
  GgufDraft d = Right();
  change(d.tensors[1]);
  g.Add("tensor " + name, d);
}

void AddShapes(Group& g) {
  for (const uint32_t rank : {0u, 5u, 6u, 255u, 1u << 31, 0xffffffffu}) {
    AddTensor(g, fmt::format("with n_dims {}", rank), [&](auto& t) { t.rank = rank; });
  }
  constexpr uint64_t k31 = uint64_t{1} << 31, k32 = uint64_t{1} << 32, k62 = uint64_t{1} << 62;
  const std::vector<std::vector<uint64_t>> shapes = {
      {0},
      {64, 0},
      {64, 1, 0},
      {0, 1, 1, 1},
      {uint64_t{1} << 63},
      {UINT64_MAX - 63},
      {64, UINT64_MAX},
      {k32, k32},
      {k31, k31, 4},
      {k31, k31, 8},
      {k62, 2},
      {k62, 4},
      {k62, k62, k62, k62},
      {k62},
      {uint64_t{INT64_MAX} - 31},
      {uint64_t{1} << 40},
      {32, uint64_t{1} << 58},
      {32, uint64_t{1} << 59},
      {64, 65'536, 65'536, 65'536},
      {64, 2},
  };
  for (const auto& ne : shapes) {
    AddTensor(g, fmt::format("with ne {}", fmt::join(ne, "x")), [&](auto& t) { t.ne = ne; });
    // Of bytes, where the count of elements is the count of bytes.
    AddTensor(g, fmt::format("of I8 with ne {}", fmt::join(ne, "x")), [&](auto& t) {
      t.ne = ne;
      t.type = 24;
    });
  }
}

void AddTypes(Group& g) {
  for (const uint32_t type :
       {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 41u, 100u, 0xffffu, 0x7fffffffu, 0xffffffffu}) {
    AddTensor(g, fmt::format("of unknown type {}", type), [&](auto& t) { t.type = type; });
  }
  for (const uint32_t type :
       {9u, 15u, 16u, 17u, 18u, 19u, 21u, 22u, 25u, 28u, 29u, 34u, 35u, 40u}) {
    AddTensor(g, fmt::format("of unread type {} ({})", type, GgufTypeName(type)),
              [&](auto& t) { t.type = type; });
  }
  for (int i = 0; i < kQuantTypes; ++i) {
    const QuantTraits& traits = TraitsOf(static_cast<QuantType>(i));
    if (traits.gguf_id < 0) continue;
    const auto elements = static_cast<uint64_t>(traits.elements);
    const auto bytes = static_cast<size_t>(traits.bytes);
    const auto set = [&](auto& t, uint64_t columns, size_t data) {
      t.type = static_cast<uint32_t>(traits.gguf_id);
      t.ne = {columns};
      t.data = std::string(data, 'q');
    };
    for (const uint64_t columns : {elements / 2, elements - 1, elements + 1}) {
      AddTensor(g, fmt::format("row of {} in {}", columns, traits.name),
                [&](auto& t) { set(t, columns, 2 * bytes); });
    }
    AddTensor(g, fmt::format("of {} split over two rows", traits.name), [&](auto& t) {
      set(t, elements / 2, bytes);
      t.ne.push_back(2);
    });
    GgufDraft d = Right();
    d.tensors.resize(2);
    set(d.tensors[1], elements, bytes - 1);
    g.Add(fmt::format("data of {} one byte short", traits.name), d);
  }
}

void AddOffsets(Group& g) {
  const uint64_t right = 32;
  for (const uint64_t n : {uint64_t{1}, uint64_t{16}, uint64_t{31}, right + 1, right + 16}) {
    AddTensor(g, fmt::format("at unaligned offset {}", n), [&](auto& t) { t.offset = n; });
  }
  AddTensor(g, "at the offset of another", [](auto& t) { t.offset = 0; });
  AddTensor(g, "that overlaps the end of another", [](auto& t) { t.offset = 96; });
  for (const uint64_t n : {uint64_t{320}, uint64_t{4096}, uint64_t{1} << 32, uint64_t{1} << 40,
                           uint64_t{1} << 62, uint64_t{1} << 63, UINT64_MAX - 31}) {
    AddTensor(g, fmt::format("at offset {} beyond the file", n), [&](auto& t) { t.offset = n; });
  }
  // begin + bytes wraps to a small number.
  AddTensor(g, "whose end wraps to the begin", [](auto& t) { t.offset = uint64_t{0} - 64; });
  AddTensor(g, "whose absolute offset wraps", [](auto& t) { t.offset = uint64_t{0} - 512; });
}

}  // namespace

Cases GgufContainerCases() {
  Group g;
  AddFront(g);
  AddTruncations(g);
  AddLengths(g);
  AddNames(g);
  AddValues(g);
  AddAlignments(g);
  AddShapes(g);
  AddTypes(g);
  AddOffsets(g);
  return g.Take();
}

}  // namespace hadal::malformed
