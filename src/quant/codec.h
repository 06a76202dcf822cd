// Owns: the reference codecs of every block type. THE definition of what a stored weight is worth:
// kernels and converters are compared with these.
// Must not know files, kernels or models.
// Blocks are little-endian and may be unaligned. A decoded row is exact to float32 arithmetic in
// the order of the formats' definitions (llama.cpp's ggml-quants), so that all readers agree bit by
// bit. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/quant_type.h"

namespace hadal {

// n weights (a multiple of the block) to float32.
void DecodeBlocks(QuantType type, const std::byte* blocks, int64_t n, float* out);

// Nearest blocks that the search of the type finds; type must be encodable, n a multiple of the
// block, values finite. Deterministic: the same values give the same bytes on every machine.
void EncodeBlocks(QuantType type, const float* values, int64_t n, std::byte* out);

// The value table of 4-bit types that look values up: IQ4_NL and IQ4_XS.
std::span<const int8_t, 16> Iq4Values();
// MXFP4: twice the e2m1 value, as integers; the block scale is then 2^(e - 128).
std::span<const int8_t, 16> Mxfp4Values();

}  // namespace hadal
