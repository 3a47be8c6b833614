// The door to libmicrohttpd: its start and its options are variadic.
#pragma once
// The same feature macros in every door: the C library names struct members by them.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <microhttpd.h>
#include <stdarg.h>

static inline void cmicrohttpd_silent(void *context, const char *format, va_list arguments) {
    (void)context; (void)format; (void)arguments;
}

/// MHD_start_daemon on a listening socket, with epoll and no thread of its own: the caller polls its epoll descriptor and calls MHD_run.
static inline struct MHD_Daemon *cmicrohttpd_start(int listening, MHD_AccessHandlerCallback handler, void *context,
                                                   MHD_RequestCompletedCallback completed, unsigned connections,
                                                   unsigned timeout_seconds, size_t header_bytes) {
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0, NULL, NULL, handler, context,
                            MHD_OPTION_LISTEN_SOCKET, listening, MHD_OPTION_NOTIFY_COMPLETED, completed, context,
                            MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, timeout_seconds,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, header_bytes, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_EXTERNAL_LOGGER, cmicrohttpd_silent, NULL, MHD_OPTION_END);
}

/// MHD_get_daemon_info(MHD_DAEMON_INFO_EPOLL_FD); -1 where there is none.
static inline int cmicrohttpd_descriptor(struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info == NULL ? -1 : info->epoll_fd;
}

/// Milliseconds until MHD_run has something to do by itself; -1 where only a descriptor can wake it.
static inline long long cmicrohttpd_wait(struct MHD_Daemon *daemon) {
    MHD_UNSIGNED_LONG_LONG milliseconds = 0;
    return MHD_get_timeout(daemon, &milliseconds) == MHD_YES ? (long long)milliseconds : -1;
}

/// MHD_set_connection_option(MHD_CONNECTION_OPTION_TIMEOUT).
static inline void cmicrohttpd_set_timeout(struct MHD_Connection *connection, unsigned seconds) {
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/// MHD_lookup_connection_value of a header; NULL where it is absent.
static inline const char *cmicrohttpd_header(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/// Whether the request's target had a query with at least one name.
static inline int cmicrohttpd_has_query(struct MHD_Connection *connection) {
    return MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, NULL, NULL) > 0;
}

/// A response with a copy of the bytes.
static inline struct MHD_Response *cmicrohttpd_response(void *bytes, size_t length) {
    return MHD_create_response_from_buffer(length, bytes, MHD_RESPMEM_MUST_COPY);
}
