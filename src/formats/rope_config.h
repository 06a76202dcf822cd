// Owns: reading both spellings of the rotary embedding's settings. Private to formats/; callers use
// model_config.h. Thread rule: a free function.
#pragma once

#include "formats/config_reader.h"
#include "formats/model_config.h"

namespace hadal {

// `top` reads config.json itself; problems are noted there. rope_parameters wins over rope_scaling.
RopeConfig ReadRope(ConfigReader& top, int64_t max_position_embeddings);

}  // namespace hadal
