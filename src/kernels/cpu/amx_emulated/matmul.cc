// kernels/cpu/amx/matmul.cc on emulated tiles.
#define HADAL_EMULATED_TILES
#include "kernels/cpu/amx/matmul.cc"
