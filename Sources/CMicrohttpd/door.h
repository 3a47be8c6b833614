// The door to libmicrohttpd.
#pragma once
#include <microhttpd.h>
