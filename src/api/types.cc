#include "api/types.h"
