// The reference kernels: plain loops that define what each operation of the table means.
// Matrices of float32, F16 and in blocks; bf16 and int8 have no reference form. A reference backend
// prepares float32 only: the kernels of F16 and of blocks are here to say what the others must
// give.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu::ref {

void MatMulF32(const MatMulTile& t);
void MatMulF16(const MatMulTile& t);
void MatMulBlocks(const BlockFormat& format, const MatMulTile& t);
void QuantiseGroups8(const float* x, int64_t k, ActivationGroup8* out);
void QuantiseGroups16(const float* x, int64_t k, ActivationGroup16* out);
void RmsNorm(const float* x, const float* weight, float eps, int64_t n, float* out);
void Add(float* x, const float* delta, int64_t n);
void Axpy(float a, const float* x, int64_t n, float* y);
void SwiGlu(const float* gate, const float* up, int64_t n, float* out);
void Rope(float* x, const float* cos, const float* sin, int64_t pairs, bool adjacent);
void ToBf16(const float* x, int64_t n, uint16_t* out);
void FromBf16(const uint16_t* x, int64_t n, float* out);
void FromF16(const uint16_t* x, int64_t n, float* out);
void Attend(const AttentionTile& t);

}  // namespace hadal::cpu::ref
