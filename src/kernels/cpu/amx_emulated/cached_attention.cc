// kernels/cpu/amx/cached_attention.cc on emulated tiles.
#define HADAL_EMULATED_TILES
#include "kernels/cpu/amx/cached_attention.cc"
