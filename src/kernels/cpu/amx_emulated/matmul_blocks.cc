// kernels/cpu/amx/matmul_blocks.cc on emulated tiles.
#define HADAL_EMULATED_TILES
#include "kernels/cpu/amx/matmul_blocks.cc"
