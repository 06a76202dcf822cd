// Owns: the frequency rule of Llama 3 and its other spelling, one divisor per frequency, which is
// what GGUF files keep of it (rope_freqs.weight). Must not know files.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "formats/model_config.h"

namespace hadal {

// What each of the dims / 2 frequencies is divided by: wavelengths beyond original / low are
// divided by factor, those below original / high are kept, with a linear blend between.
std::vector<double> Llama3Divisors(const RopeConfig& rope, int64_t dims);

// The llama3 settings that give these divisors for frequencies of base theta: those of the
// published models if they do, otherwise others with low_freq_factor 1 (the three lengths only
// matter relative to one another). Empty when no settings give them.
std::optional<RopeConfig> Llama3OfDivisors(std::span<const double> divisors, double theta);

}  // namespace hadal
