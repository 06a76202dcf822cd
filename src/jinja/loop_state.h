// Owns: where a running for loop is: what `loop` shows. Thread rule: one render, one thread; lives
// on the stack of the loop.
#pragma once

#include "jinja/value.h"

namespace hadal::jinja {

struct LoopState {
  List items;
  size_t index = 0;  // of the current item
};

}  // namespace hadal::jinja
