// The prompt kernels of this folder, for its table: on the CPU's tiles, or on emulated ones.
#pragma once

#include "kernels/cpu/kernel_table.h"

#if defined(HADAL_EMULATED_TILES)
#define HADAL_FILL_PROMPT FillPromptEmulated
#else
#define HADAL_FILL_PROMPT FillPrompt
#endif

namespace hadal::cpu::amx {

void HADAL_FILL_PROMPT(KernelTable* table);

}  // namespace hadal::cpu::amx
