// The door to libcryptsetup (LUKS2).
#pragma once
// The same feature macros in every door: the C library names struct members by them.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <libcryptsetup.h>

/// Flags that the header makes with UINT32_C, which Swift can't import.
static inline uint32_t ccryptsetup_no_benchmark(void) { return CRYPT_PBKDF_NO_BENCHMARK; }
static inline uint32_t ccryptsetup_allow_discards(void) { return CRYPT_ACTIVATE_ALLOW_DISCARDS; }
