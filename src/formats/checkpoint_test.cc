#include "formats/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "formats/binder.h"
#include "formats/testing_files.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A tensor to write that owns its bytes.
struct Item {
  std::string name;
  DType dtype;
  Shape shape;
  std::string bytes;
};

void WriteItems(const std::filesystem::path& path, const std::vector<Item>& items) {
  std::vector<TensorToWrite> tensors;
  for (const auto& i : items) tensors.push_back({i.name, i.dtype, i.shape, AsBytes(i.bytes)});
  const auto status = WriteSafetensors(path, tensors);
  ASSERT_TRUE(status.has_value()) << status.error().message;
}

Item Floats(std::string name, const Shape& shape, float value = 1) {
  return {std::move(name), DType::kF32, shape,
          Raw(std::vector<float>(static_cast<size_t>(shape.elements()), value))};
}

// An F8_E4M3 tensor whose byte at index i is `i % 0x7f` (never NaN).
Item Fp8(std::string name, const Shape& shape) {
  std::string bytes;
  for (int64_t i = 0; i < shape.elements(); ++i) bytes += static_cast<char>(i % 0x7f);
  return {std::move(name), DType::kF8E4M3, shape, bytes};
}

std::unique_ptr<Checkpoint> OpenOrFail(const std::filesystem::path& path,
                                       const CheckpointOptions& options = {}) {
  auto checkpoint = Checkpoint::Open(path, options);
  if (!checkpoint) {
    ADD_FAILURE() << checkpoint.error().message;
    return nullptr;
  }
  return std::move(*checkpoint);
}

std::string OpenRefusal(const std::filesystem::path& path, ErrorCode code,
                        const CheckpointOptions& options = {}) {
  const auto checkpoint = Checkpoint::Open(path, options);
  if (checkpoint) {
    ADD_FAILURE() << "opened " << path;
    return "";
  }
  EXPECT_EQ(checkpoint.error().code, code) << checkpoint.error().message;
  return checkpoint.error().message;
}

// ---- opening

TEST(Checkpoint, OpensADirectoryWithOneFileAndTheFileItself) {
  const TestDirectory dir;
  WriteItems(dir / "model.safetensors", {Floats("b", {2}), Floats("a", {3, 1})});
  for (const auto& path : {dir.path(), dir / "model.safetensors"}) {
    const auto c = OpenOrFail(path);
    ASSERT_NE(c, nullptr);
    EXPECT_THAT(c->names(), ElementsAre("a", "b"));
    EXPECT_EQ(c->total_bytes(), 20u);
    EXPECT_EQ(c->Find("a")->shape, (Shape{3, 1}));
    EXPECT_EQ(c->Find("c"), nullptr);
    EXPECT_FALSE(c->damaged());
  }
}

TEST(Checkpoint, OpensShardsThroughTheIndex) {
  const TestDirectory dir;
  WriteItems(dir / "m-1.safetensors", {Floats("a", {1}, 4)});
  WriteItems(dir / "m-2.safetensors", {Floats("b", {1}, 5)});
  dir.Write("model.safetensors.index.json",
            R"({"metadata":{"total_size":8},"weight_map":{"a":"m-1.safetensors",)"
            R"("b":"m-2.safetensors"}})");
  const auto c = OpenOrFail(dir.path());
  ASSERT_NE(c, nullptr);
  float value = 0;
  DecodeRows(*c->Find("b"), 0, 1, &value);
  EXPECT_EQ(value, 5);
  EXPECT_EQ(c->Find("a")->file->filename(), "m-1.safetensors");
}

TEST(Checkpoint, RefusesAnIndexThatReachesOutsideItsDirectory) {
  const TestDirectory dir;
  std::filesystem::create_directory(dir / "inner");
  WriteItems(dir / "x.safetensors", {Floats("a", {1})});
  const std::string too_long = std::string(250, 'n') + ".safetensors";
  for (const std::string& shard :
       {std::string("../x.safetensors"), (dir / "x.safetensors").string(), std::string(".."),
        std::string("inner/../../x.safetensors"), std::string("..\\\\x.safetensors"),
        std::string(""), std::string("a\\u0000.safetensors"), too_long}) {
    dir.Write("inner/model.safetensors.index.json", R"({"weight_map":{"a":")" + shard + R"("}})");
    EXPECT_THAT(OpenRefusal(dir / "inner", ErrorCode::kBadFile), HasSubstr("names the shard"))
        << shard;
  }
}

TEST(Checkpoint, NamesEveryShardThatDoesNotExist) {
  const TestDirectory dir;
  dir.Write("model.safetensors.index.json",
            R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  EXPECT_THAT(
      OpenRefusal(dir.path(), ErrorCode::kBadFile),
      AllOf(HasSubstr("m-1.safetensors"), HasSubstr("m-2.safetensors"), HasSubstr("do not exist")));
}

TEST(Checkpoint, ReportsDifferencesBetweenIndexAndShardsBothWays) {
  const TestDirectory dir;
  WriteItems(dir / "m-1.safetensors", {Floats("a", {1}), Floats("unlisted", {1})});
  WriteItems(dir / "m-2.safetensors", {Floats("moved", {1})});
  dir.Write("model.safetensors.index.json",
            R"({"weight_map":{"a":"m-1.safetensors","moved":"m-1.safetensors",)"
            R"("gone":"m-2.safetensors"}})");
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kBadFile),
              AllOf(HasSubstr("'unlisted' is in 'm-1.safetensors' but is not listed"),
                    HasSubstr("'moved' is listed for 'm-1.safetensors' but is not in it"),
                    HasSubstr("'gone' is listed"), HasSubstr("3 difference(s)")));
}

TEST(Checkpoint, RefusesOneTensorInTwoShards) {
  const TestDirectory dir;
  WriteItems(dir / "m-1.safetensors", {Floats("a", {1})});
  WriteItems(dir / "m-2.safetensors", {Floats("a", {1}), Floats("b", {1})});
  dir.Write("model.safetensors.index.json",
            R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kBadFile), HasSubstr("stands in both"));
}

TEST(Checkpoint, RefusesABrokenIndex) {
  const TestDirectory dir;
  for (const char* text : {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
                           R"({"weight_map":{"a":1}})", R"({"weight_map":{"a":{}}})",
                           R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})"}) {
    dir.Write("model.safetensors.index.json", text);
    EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kBadFile), HasSubstr("index.json")) << text;
  }
}

TEST(Checkpoint, LimitsShardsAndTensors) {
  const TestDirectory dir;
  WriteItems(dir / "m-1.safetensors", {Floats("a", {1})});
  WriteItems(dir / "m-2.safetensors", {Floats("b", {1})});
  dir.Write("model.safetensors.index.json",
            R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  CheckpointOptions options;
  options.max_shards = 1;
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kBadFile, options),
              HasSubstr("2 shards; the limit is 1"));
  options = {};
  options.max_tensors = 1;
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kBadFile, options), HasSubstr("the limit is 1"));
  options = {};
  options.max_index_bytes = 10;
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kBadFile, options), HasSubstr("10 bytes"));
}

TEST(Checkpoint, NeverReadsPickles) {
  const TestDirectory dir;
  for (const char* name : {"pytorch_model.bin", "model.pt", "model.pth", "weights.pkl"}) {
    const auto path = dir.Write(name, "x");
    EXPECT_THAT(OpenRefusal(path, ErrorCode::kUnsupportedModel), HasSubstr("can run code"));
    EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kUnsupportedModel), HasSubstr(name));
    std::filesystem::remove(path);
  }
  dir.Write("model.safetensors.index.json", R"({"weight_map":{"a":"pytorch_model.bin"}})");
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kUnsupportedModel), HasSubstr("can run code"));
}

TEST(Checkpoint, SaysWhatItLooksForWhenThereIsNothing) {
  const TestDirectory dir;
  EXPECT_THAT(OpenRefusal(dir.path(), ErrorCode::kNotFound), HasSubstr("model.safetensors"));
  EXPECT_THAT(OpenRefusal(dir / "absent", ErrorCode::kNotFound), HasSubstr("no checkpoint"));
  EXPECT_THAT(OpenRefusal(dir.Write("m.txt", "x"), ErrorCode::kUnsupportedModel),
              HasSubstr("neither a .safetensors nor a GGUF file"));
}

TEST(Checkpoint, AFileThatShrinksWhileMappedIsReportedDamaged) {
  const TestDirectory dir;
  WriteItems(dir / "model.safetensors", {Floats("w", {64, 1024}, 3)});
  const auto c = OpenOrFail(dir.path());
  ASSERT_NE(c, nullptr);
  std::vector<float> row(1024);
  DecodeRows(*c->Find("w"), 0, 1, row.data());
  EXPECT_EQ(row[0], 3);
  EXPECT_FALSE(c->damaged());
  std::filesystem::resize_file(dir / "model.safetensors", 4096);
  DecodeRows(*c->Find("w"), 63, 1, row.data());
  EXPECT_EQ(row[1023], 0);
  EXPECT_TRUE(c->damaged());
}

// ---- decoding

// F16 and BF16, in and out of the rope's order, at addresses of any kind.
TEST(ReadStoredRows, GivesTheValuesOfDecodedRows) {
  constexpr int64_t kRows = 12, kCols = 5;
  for (const DType type : {DType::kF16, DType::kBf16}) {
    for (const int64_t head_dim : {0, 4, 6}) {
      const TestDirectory dir;
      std::vector<uint16_t> values(kRows * kCols);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(0x3c00 + 7 * i);
      WriteItems(dir / "model.safetensors",
                 {{"odd", DType::kU8, Shape{1}, "x"}, {"w", type, {kRows, kCols}, Raw(values)}});
      const auto c = OpenOrFail(dir.path());
      ASSERT_NE(c, nullptr);
      TensorEntry entry = *c->Find("w");
      entry.row_order.head_dim = head_dim;
      ASSERT_EQ(StoredRowBytes(entry), 2 * kCols);
      for (const int64_t row0 : {0, 3, 11}) {
        const int64_t n = std::min<int64_t>(5, kRows - row0);
        std::vector<uint16_t> stored(static_cast<size_t>(n * kCols));
        std::vector<float> decoded(stored.size());
        ReadStoredRows(entry, row0, n, reinterpret_cast<std::byte*>(stored.data()));
        DecodeRows(entry, row0, n, decoded.data());
        for (size_t i = 0; i < stored.size(); ++i) {
          ASSERT_EQ(type == DType::kF16 ? F16ToFloat(stored[i]) : Bf16ToFloat(stored[i]),
                    decoded[i])
              << NameOf(type) << " " << head_dim << " " << row0 << " " << i;
        }
      }
    }
  }
}

TEST(DecodeRows, ReadsEveryFloatTypeRowByRow) {
  const TestDirectory dir;
  const std::vector<float> values = {1.5f, -0.25f, 448.0f, 0.0f, -1.0f, 2.0f};
  std::vector<uint16_t> f16, bf16;
  for (float v : values) f16.push_back(FloatToF16(v));
  for (float v : values) bf16.push_back(FloatToBf16(v));
  WriteItems(dir / "model.safetensors",
             {{"odd", DType::kU8, Shape{1}, "x"},  // what follows is unaligned
              {"f32", DType::kF32, Shape{3, 2}, Raw(values)},
              {"f16", DType::kF16, Shape{3, 2}, Raw(f16)},
              {"bf16", DType::kBf16, Shape{3, 2}, Raw(bf16)}});
  const auto c = OpenOrFail(dir.path());
  ASSERT_NE(c, nullptr);
  for (const char* name : {"f32", "f16", "bf16"}) {
    std::vector<float> rows(4);
    DecodeRows(*c->Find(name), 1, 2, rows.data());
    EXPECT_THAT(rows, ElementsAre(448.0f, 0.0f, -1.0f, 2.0f)) << name;
  }
  EXPECT_FALSE(IsDecodable(*c->Find("odd")));
}

TEST(DecodeRows, AVectorIsOneRowAndAStackIsItsRows) {
  TensorEntry e;
  e.shape = Shape{7};
  EXPECT_EQ(e.rows(), 1);
  EXPECT_EQ(e.cols(), 7);
  e.shape = Shape{2, 3, 5};
  EXPECT_EQ(e.rows(), 6);
  EXPECT_EQ(e.cols(), 5);
  e.shape = Shape{};
  EXPECT_EQ(e.rows() * e.cols(), 1);
}

TEST(DecodeRows, MultipliesFp8ByTheScaleOfItsBlockAlsoAtRaggedEdges) {
  const TestDirectory dir;
  const Shape shape = {130, 200};
  const std::vector<float> scales = {1, 2, 4, 8};  // [2, 2]
  WriteItems(dir / "model.safetensors",
             {Fp8("w", shape), {"w_scale_inv", DType::kF32, Shape{2, 2}, Raw(scales)}});
  const auto c = OpenOrFail(dir.path());
  ASSERT_NE(c, nullptr);
  Binder b(*c);
  const TensorEntry* w = b.Require("w", shape);
  const auto finished = b.Finish();
  ASSERT_TRUE(finished.has_value()) << finished.error().message;
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->scale_inv, c->Find("w_scale_inv"));
  std::vector<float> rows(3 * 200);
  DecodeRows(*w, 127, 3, rows.data());
  for (int64_t r = 127; r < 130; ++r) {
    for (int64_t k = 0; k < 200; ++k) {
      const float code = F8E4M3ToFloat(static_cast<uint8_t>((r * 200 + k) % 0x7f));
      const float scale = scales[static_cast<size_t>((r >= 128) * 2 + (k >= 128))];
      ASSERT_EQ(rows[static_cast<size_t>((r - 127) * 200 + k)], code * scale) << r << " " << k;
    }
  }
  // The same as codes, with scales for 16 rows each: 112 - 127, then 128 and 129.
  ASSERT_TRUE(IsFp8InTiles(*w));
  std::vector<uint8_t> codes(18 * 200);
  std::vector<float> of_tiles(4);
  ReadFp8Rows(*w, 112, 18, codes.data(), of_tiles.data());
  EXPECT_THAT(of_tiles, ElementsAre(1, 2, 4, 8));
  for (size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(codes[i], (112 * 200 + i) % 0x7f) << i;
}

TEST(DecodeRows, UsesTheBlockSizeItWasOpenedWith) {
  const TestDirectory dir;
  WriteItems(dir / "model.safetensors",
             {{"w", DType::kF8E4M3, Shape{2, 3}, std::string(6, '\x38')},  // 1.0
              {"w_scale_inv", DType::kF32, Shape{2, 2}, Raw<float>({1, 2, 3, 4})}});
  CheckpointOptions options;
  options.block = {.rows = 1, .cols = 2};
  const auto c = OpenOrFail(dir.path(), options);
  ASSERT_NE(c, nullptr);
  std::vector<float> rows(6);
  DecodeRows(*c->Find("w"), 0, 2, rows.data());
  EXPECT_THAT(rows, ElementsAre(1, 1, 2, 3, 3, 4));
  EXPECT_FALSE(IsFp8InTiles(*c->Find("w")));
}

TEST(DecodeRows, KeepsNanAndInfinityOfEveryFloatType) {
  const TestDirectory dir;
  const auto bf16 = [](float last) {
    std::vector<uint16_t> v(9000, FloatToBf16(3e38f));
    v.back() = FloatToBf16(last);
    return Raw(v);
  };
  const auto f16 = [](float last) { return Raw(std::vector<uint16_t>{1, FloatToF16(last)}); };
  std::string e4m3(300, '\x7e'), e4m3_bad(300, '\x7e');
  e4m3_bad.back() = '\xff';
  WriteItems(dir / "model.safetensors",
             {{"f32.good", DType::kF32, Shape{2}, Raw<float>({0, -3e38f})},
              {"f32.bad", DType::kF32, Shape{2}, Raw<float>({0, kNan})},
              {"bf16.good", DType::kBf16, Shape{9000}, bf16(1)},
              {"bf16.bad", DType::kBf16, Shape{9000}, bf16(-kInfinity)},
              {"f16.good", DType::kF16, Shape{2}, f16(65504)},
              {"f16.bad", DType::kF16, Shape{2}, f16(kNan)},
              {"f8.good", DType::kF8E4M3, Shape{1, 300}, e4m3},
              {"f8.good_scale_inv", DType::kF32, Shape{1, 3}, Raw<float>({1, 1, 1})},
              {"f8.bad", DType::kF8E4M3, Shape{1, 300}, e4m3_bad},
              {"f8.bad_scale_inv", DType::kF32, Shape{1, 3}, Raw<float>({1, 1, 1})},
              {"f8scale.bad", DType::kF8E4M3, Shape{1, 300}, e4m3},
              {"f8scale.bad_scale_inv", DType::kF32, Shape{1, 3}, Raw<float>({1, 1, kInfinity})},
              {"f8overflow.bad", DType::kF8E4M3, Shape{1, 300}, e4m3},
              {"f8overflow.bad_scale_inv", DType::kF32, Shape{1, 3}, Raw<float>({1, 1, 1e38f})}});
  const auto c = OpenOrFail(dir.path());
  ASSERT_NE(c, nullptr);
  for (const auto& e : c->entries()) {
    if (e.name.ends_with("_scale_inv")) continue;
    std::vector<float> values(static_cast<size_t>(e.shape.elements()));
    DecodeRows(e, 0, e.rows(), values.data());
    const bool finite =
        std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
    EXPECT_EQ(finite, !e.name.ends_with(".bad")) << e.name;
  }
}

// ---- binding

class BinderTest : public testing::Test {
 protected:
  const Checkpoint& With(const std::vector<Item>& items) {
    WriteItems(dir_ / "model.safetensors", items);
    checkpoint_ = OpenOrFail(dir_.path());
    return *checkpoint_;
  }
  static std::string Problems(Binder& b) {
    const auto status = b.Finish();
    return status ? "" : status.error().message;
  }
  TestDirectory dir_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

TEST_F(BinderTest, ReportsEveryMissingMisshapenAndUnexpectedTensorAtOnce) {
  Binder b(With({Floats("good", {2}), Floats("flat", {6}), Floats("stranger", {1})}));
  EXPECT_NE(b.Require("good", {2}), nullptr);
  EXPECT_EQ(b.Require("absent.1", {4, 4}), nullptr);
  EXPECT_EQ(b.Require("absent.2", {5}), nullptr);
  EXPECT_EQ(b.Require("flat", {2, 3}), nullptr);
  EXPECT_EQ(b.Optional("absent.3", {1}), nullptr);
  EXPECT_THAT(Problems(b), AllOf(HasSubstr("4 problem(s)"), HasSubstr("missing: 'absent.1' [4, 4]"),
                                 HasSubstr("missing: 'absent.2' [5]"),
                                 HasSubstr("wrong shape: 'flat' is [6], expected [2, 3]"),
                                 HasSubstr("unexpected: 'stranger' F32 [1]"),
                                 Not(HasSubstr("absent.3")), Not(HasSubstr("good"))));
}

TEST_F(BinderTest, AnOptionalTensorOfTheWrongShapeIsAProblem) {
  Binder b(With({Floats("bias", {2})}));
  EXPECT_EQ(b.Optional("bias", {3}), nullptr);
  EXPECT_THAT(Problems(b), HasSubstr("'bias' is [2], expected [3]"));
}

TEST_F(BinderTest, CutsALongListAfterFortyLines) {
  Binder b(With({Floats("only", {1})}));
  b.Require("only", {1});
  for (int i = 0; i < 60; ++i) b.Require(fmt::format("layer.{}", i), {1});
  const std::string text = Problems(b);
  EXPECT_THAT(text, AllOf(HasSubstr("60 problem(s)"), HasSubstr("'layer.39'"),
                          Not(HasSubstr("'layer.40'")), HasSubstr("... and 20 more")));
}

TEST_F(BinderTest, IgnoresByPatternAndTheTwoKindsThatMeanNothing) {
  Binder b(With({Floats("model.layers.61.a.weight", {1}), Floats("model.layers.6.weight", {1}),
                 Floats("model.layers.0.self_attn.rotary_emb.inv_freq", {1}),
                 Floats("logits_scale_inv", {1, 3}), Floats("x.bias", {1})}));
  b.Ignore("model.layers.61.*");
  b.Ignore("*.bias");
  EXPECT_THAT(Problems(b), AllOf(HasSubstr("1 problem(s)"), HasSubstr("'model.layers.6.weight'")));
}

TEST_F(BinderTest, AnFp8MatrixNeedsScalesOfTheRightShapeAndType) {
  Binder b(With({Fp8("bare", {4, 4}),
                 Fp8("misshapen", {129, 4}),
                 Floats("misshapen_scale_inv", {1, 1}),
                 Fp8("mistyped", {4, 4}),
                 {"mistyped_scale_inv", DType::kBf16, Shape{1, 1}, "ab"},
                 Fp8("vector", {4}),
                 Fp8("good", {129, 4}),
                 Floats("good_scale_inv", {2, 1})}));
  EXPECT_EQ(b.Require("bare", {4, 4}), nullptr);
  EXPECT_EQ(b.Require("misshapen", {129, 4}), nullptr);
  EXPECT_EQ(b.Require("mistyped", {4, 4}), nullptr);
  EXPECT_EQ(b.Require("vector", {4}), nullptr);
  EXPECT_NE(b.Require("good", {129, 4}), nullptr);
  EXPECT_THAT(Problems(b),
              AllOf(HasSubstr("4 problem(s)"), HasSubstr("missing: 'bare_scale_inv' F32 [1, 1]"),
                    HasSubstr("'misshapen_scale_inv' is F32 [1, 1], expected F32 [2, 1]"),
                    HasSubstr("'mistyped_scale_inv' is BF16"), HasSubstr("only a matrix may be")));
}

TEST_F(BinderTest, RefusesDTypesThatNoWeightMayHaveByName) {
  dir_.Write("model.safetensors",
             SafetensorsBytes(R"({"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                              R"("i":{"dtype":"I8","shape":[1],"data_offsets":[8,9]},)"
                              R"("unused":{"dtype":"BOOL","shape":[1],"data_offsets":[9,10]}})",
                              "0123456789"));
  const auto c = OpenOrFail(dir_.path());
  ASSERT_NE(c, nullptr);
  Binder b(*c);
  EXPECT_EQ(b.Require("w", {1}), nullptr);
  EXPECT_EQ(b.Require("i", {1}), nullptr);
  b.Ignore("unused");
  EXPECT_THAT(Problems(b),
              AllOf(HasSubstr("2 problem(s)"), HasSubstr("'w' is F64"), HasSubstr("'i' is I8")));
}

TEST_F(BinderTest, BindsIntegerTablesOfTheExactType) {
  Binder b(With({{"tid2eid", DType::kI64, Shape{2, 1}, Raw<int64_t>({1, 2})}}));
  EXPECT_NE(b.RequireInteger("tid2eid", {2, 1}, DType::kI64), nullptr);
  EXPECT_EQ(Problems(b), "");
  Binder wrong(*checkpoint_);
  EXPECT_EQ(wrong.RequireInteger("tid2eid", {2, 1}, DType::kI32), nullptr);
  EXPECT_EQ(wrong.RequireInteger("absent", {2, 1}, DType::kI32), nullptr);
  EXPECT_THAT(Problems(wrong), HasSubstr("is I64 [2, 1], expected I32 [2, 1]"));
}

}  // namespace
}  // namespace hadal
