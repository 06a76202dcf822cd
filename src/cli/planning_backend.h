// Owns: a backend that prepares nothing and computes nothing: loading a model with it makes every
// check of a real load (names, shapes, what the family supports) and says what memory that would
// take, without reading the weights.
// Thread rule: as Backend.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace hadal::cli {

// Forward must not be called on a model that was loaded with it.
// `real`: whose formats are counted.
std::unique_ptr<Backend> NewPlanningBackend(std::unique_ptr<Backend> real);

}  // namespace hadal::cli
