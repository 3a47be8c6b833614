// The door to json-c. Nothing here needs a wrapper but the option macros.
#pragma once
// The same feature macros in every door: the C library names struct members by them.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <json-c/json.h>

/// JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8.
static inline int cjson_strict_flags(void) { return JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8; }
