// What the other files of this folder put into its table: on the CPU's tiles, or on emulated ones.
#pragma once

#include "kernels/cpu/kernel_table.h"

#if defined(HADAL_EMULATED_TILES)
#define HADAL_FILL_PROMPT FillPromptEmulated
#define HADAL_FILL_PROMPT_ATTENTION FillPromptAttentionEmulated
#define HADAL_FILL_BLOCKS FillBlocksEmulated
#define HADAL_FILL_CACHED_ATTENTION FillCachedAttentionEmulated
#else
#define HADAL_FILL_PROMPT FillPrompt
#define HADAL_FILL_PROMPT_ATTENTION FillPromptAttention
#define HADAL_FILL_BLOCKS FillBlocks
#define HADAL_FILL_CACHED_ATTENTION FillCachedAttention
#endif

namespace hadal::cpu::amx {

void HADAL_FILL_PROMPT(KernelTable* table);
void HADAL_FILL_PROMPT_ATTENTION(KernelTable* table);
void HADAL_FILL_BLOCKS(KernelTable* table);  // matmul_blocks, over the AVX-512 ones
void HADAL_FILL_CACHED_ATTENTION(KernelTable* table);

}  // namespace hadal::cpu::amx
