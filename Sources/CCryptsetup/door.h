// The door to libcryptsetup (LUKS2).
#pragma once
#include <libcryptsetup.h>
