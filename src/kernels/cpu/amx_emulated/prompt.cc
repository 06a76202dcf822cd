// kernels/cpu/amx/prompt.cc on emulated tiles.
#define HADAL_EMULATED_TILES
#include "kernels/cpu/amx/prompt.cc"
