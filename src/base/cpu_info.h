// What this CPU can do and how much of it this process may use.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal {

// Instruction set levels, lowest first. Each needs all of the lower ones.
// kAmxEmulated: the kernels of kAmx with their tile instructions written out in AVX-512, for
// checking the results of an AMX machine anywhere; never chosen by BestIsa.
enum class Isa { kRef, kAvx2, kAvx512, kAmxEmulated, kAmx };

std::string_view NameOf(Isa isa);             // "ref" "avx2" "avx512" "amx_emulated" "amx"
Result<Isa> ParseIsa(std::string_view name);  // kInvalidArgument

// Levels that this CPU and kernel run: kAvx2 = AVX2+FMA+F16C; kAvx512 = F,BW,DQ,VL,VNNI;
// kAmx = AMX tile+int8+bf16 plus AVX512_BF16, with the tile state permitted by the kernel.
// Asking for kAmx requests the permission (arch_prctl) once per process.
std::vector<Isa> SupportedIsas();
Isa BestIsa();
// Of kAvx512: dot products of bf16 pairs, which not every CPU of the level has.
bool HasAvx512Bf16();

// Threads worth starting: the affinity mask, cut by the cgroup CPU quota (v1 and v2), at least 1.
int UsableCpus();

}  // namespace hadal
