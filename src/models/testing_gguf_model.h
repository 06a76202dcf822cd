// Owns: writing a checkpoint as a GGUF file in one type, with the deviations that tests need. Tests
// only. Thread rule: free functions.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf_model.h"
#include "formats/model_files.h"
#include "formats/weight_writer.h"
#include "quant/codec.h"

namespace hadal {

// May change the plan and the metadata before they are written.
using GgufChange =
    std::function<void(const ModelFiles&, std::vector<GgufTensorPlan>&, GgufMetadata&)>;

// Vectors and routers are F32, as are rows that are no whole number of blocks.
inline TensorType TypeOfPlanned(const GgufTensorPlan& t, TensorType type) {
  const int64_t cols = t.shape[t.shape.rank() - 1];
  const bool fits = BytesOf(type, 1, cols) > 0;
  return t.vector || t.router || !fits ? TensorType(DType::kF32) : type;
}

inline std::vector<std::byte> EncodeAs(TensorType type, const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  std::vector<std::byte> out(static_cast<size_t>(BytesOf(type, 1, n)));
  if (const auto* quant = std::get_if<QuantType>(&type)) {
    EncodeBlocks(*quant, values.data(), n, out.data());
    return out;
  }
  const DType dtype = std::get<DType>(type);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = dtype == DType::kF16 ? FloatToF16(values[i]) : FloatToBf16(values[i]);
    if (dtype == DType::kF32) {
      std::memcpy(out.data() + 4 * i, &values[i], 4);
    } else {
      std::memcpy(out.data() + 2 * i, &half, 2);
    }
  }
  return out;
}

// value_type: of the tensors that hold values or the way up in their names, when not `type`.
inline void WritePlan(const std::filesystem::path& path, const std::vector<GgufTensorPlan>& plan,
                      const GgufMetadata& metadata, TensorType type,
                      std::optional<TensorType> value_type = std::nullopt) {
  std::vector<DeclaredTensor> declared;
  for (const auto& t : plan) {
    const bool value =
        t.name.find("attn_v.") != std::string::npos || t.name.find("ffn_up") != std::string::npos;
    declared.push_back(
        {t.name, TypeOfPlanned(t, value ? value_type.value_or(type) : type), t.shape});
  }
  auto out = NewGgufWriter(path, declared, metadata);
  ASSERT_TRUE(out.has_value()) << out.error().message;
  for (size_t i = 0; i < plan.size(); ++i) {
    const int64_t cols = plan[i].shape[plan[i].shape.rank() - 1];
    const int64_t rows = plan[i].shape.elements() / cols;
    constexpr int64_t kSlice = 7;  // rows at a time: heads and experts are cut anywhere
    for (int64_t row = 0; row < rows; row += kSlice) {
      const int64_t n = std::min(kSlice, rows - row);
      std::vector<float> values(static_cast<size_t>(n * cols));
      plan[i].decode(row, n, values.data());
      const Status appended = (*out)->Append(EncodeAs(declared[i].type, values));
      ASSERT_TRUE(appended.has_value()) << appended.error().message;
    }
  }
  const Status finished = (*out)->Finish();
  ASSERT_TRUE(finished.has_value()) << finished.error().message;
}

// `from`: whatever OpenModelFiles opens.
inline void WriteGguf(const std::filesystem::path& from, const std::filesystem::path& to,
                      TensorType type, const GgufChange& change = {},
                      std::optional<TensorType> value_type = std::nullopt) {
  const auto files = OpenModelFiles(from);
  ASSERT_TRUE(files.has_value()) << files.error().message;
  auto metadata = GgufMetadataOf(files->config, files->generation, "test");
  ASSERT_TRUE(metadata.has_value()) << metadata.error().message;
  auto plan = PlanGgufTensors(files->config, *files->checkpoint);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  if (change) change(*files, *plan, *metadata);
  WritePlan(to, *plan, *metadata, type, value_type);
}

}  // namespace hadal
