// Owns: the files of models that load, for cases that damage them. Tests only.
// Thread rule: free functions.
#pragma once

#include "formats/testing_files.h"
#include "malformed_case.h"
#include "models/tiny_checkpoints.h"

namespace hadal::malformed {

inline std::string SafetensorsOf(const TinyCheckpoint& t) {
  std::string header = "{", data;
  for (const auto& [name, v] : t.tensors) {
    const std::string bytes = Raw(v.values);
    std::string shape;
    for (int i = 0; i < v.shape.rank(); ++i) shape += fmt::format("{}{}", i ? "," : "", v.shape[i]);
    header +=
        fmt::format("{}\"{}\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                    data.empty() ? "" : ",", name, shape, data.size(), data.size() + bytes.size());
    data += bytes;
  }
  return SafetensorsBytes(header + "}", data);
}

inline Files FilesOf(const TinyCheckpoint& t) {
  return {{"config.json", t.config}, {"model.safetensors", SafetensorsOf(t)}};
}

}  // namespace hadal::malformed
