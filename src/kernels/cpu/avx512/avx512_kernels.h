// The AVX-512 kernels, for the table of this folder.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu::avx512 {

void MatMulF32(const MatMulTile& t);
void MatMulBf16(const MatMulTile& t);
void MatMulF16(const MatMulTile& t);
void MatMulInt8(const MatMulTile& t);
void Quantise(const float* x, int64_t k, int8_t* q, float* scales);
void FillBlocks(KernelTable* table);  // matmul_blocks
void QuantiseGroups8(const float* x, int64_t k, ActivationGroup8* out);
void QuantiseGroups16(const float* x, int64_t k, ActivationGroup16* out);
void Attend(const AttentionTile& t);
void FillCachedAttention(KernelTable* table);  // of AVX512_BF16

}  // namespace hadal::cpu::avx512
