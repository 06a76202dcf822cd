// The prompt kernels of this folder, for its table: on the CPU's tiles, or on emulated ones.
#pragma once

#include "kernels/cpu/kernel_table.h"

#if defined(HADAL_EMULATED_TILES)
#define HADAL_FILL_PROMPT FillPromptEmulated
#define HADAL_FILL_PROMPT_ATTENTION FillPromptAttentionEmulated
#else
#define HADAL_FILL_PROMPT FillPrompt
#define HADAL_FILL_PROMPT_ATTENTION FillPromptAttention
#endif

namespace hadal::cpu::amx {

void HADAL_FILL_PROMPT(KernelTable* table);
void HADAL_FILL_PROMPT_ATTENTION(KernelTable* table);

}  // namespace hadal::cpu::amx
