// The door to libcurl. curl_easy_setopt and curl_easy_getinfo are variadic, which Swift can't call: one wrapper for each type.
#pragma once
// The same feature macros in every door: the C library names struct members by them.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <curl/curl.h>

static inline CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value) { return curl_easy_setopt(handle, option, value); }
static inline CURLcode ccurl_set_size(CURL *handle, CURLoption option, curl_off_t value) { return curl_easy_setopt(handle, option, value); }
static inline CURLcode ccurl_set_string(CURL *handle, CURLoption option, const char *value) { return curl_easy_setopt(handle, option, value); }
static inline CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) { return curl_easy_setopt(handle, option, value); }
static inline CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *value) { return curl_easy_setopt(handle, option, value); }

typedef size_t (*ccurl_data_function)(char *bytes, size_t size, size_t count, void *context);
static inline CURLcode ccurl_set_function(CURL *handle, CURLoption option, ccurl_data_function value) { return curl_easy_setopt(handle, option, value); }

static inline long ccurl_response_code(CURL *handle) {
    long code = 0;
    return curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code) == CURLE_OK ? code : 0;
}

/// The tag set with CURLOPT_PRIVATE, by which a finished transfer is known again.
static inline void *ccurl_private(CURL *handle) {
    char *tag = NULL;
    return curl_easy_getinfo(handle, CURLINFO_PRIVATE, &tag) == CURLE_OK ? tag : NULL;
}

/// The result in a CURLMsg of kind CURLMSG_DONE (a union member, which Swift sees only as bytes).
static inline CURLcode ccurl_result(const CURLMsg *message) { return message->data.result; }
