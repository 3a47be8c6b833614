// The door to libcrypto: SHA-256, HMAC and the comparison that takes the same time whatever it compares.
#pragma once
// The same feature macros in every door: the C library names struct members by them.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/// HMAC-SHA-256 (RFC 2104, FIPS 180-4) of `bytes` into the 32 bytes at `out`; 1 on success.
static inline int ccrypto_hmac_sha256(const void *key, int key_length, const unsigned char *bytes, size_t length, unsigned char *out) {
    unsigned int written = 0;
    return HMAC(EVP_sha256(), key, key_length, bytes, length, out, &written) != NULL && written == 32;
}

/// SHA-256 (FIPS 180-4) of `bytes` into the 32 bytes at `out`; 1 on success.
static inline int ccrypto_sha256(const void *bytes, size_t length, unsigned char *out) {
    unsigned int written = 0;
    return EVP_Digest(bytes, length, out, &written, EVP_sha256(), NULL) == 1 && written == 32;
}
