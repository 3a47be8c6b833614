#!/usr/bin/env bats
# The lamp, on a virtual Raspberry Pi with Debian's own kernel: what the GPIO line and the board's LED really do, read from outside, from the
# chip's registers. As root, on a machine with the packages of the groups build, embedded and pi. lamp/lamp_on_pi.py says what is tried.

setup_file() {
    [[ $(id -u) == 0 ]] || skip "must run as root"
    command -v qemu-system-aarch64 >/dev/null || skip "needs qemu-system-aarch64: run board/host/needs pi embedded"
    cd "$BATS_TEST_DIRNAME/.." || return 1
    governor=$(board/build pi-arm64 governor)/governor
    [[ -x $governor ]]
    export governor
}

# The C door alone, static, against the library of a release: 12 has version 1.6, 13 has 2.x.
door() { # door SYSROOT GCC FILE
    "$(dirname "$(realpath "$(command -v swift)")")/clang" --target=aarch64-linux-gnu --sysroot="$1" -fuse-ld=lld -static -O1 -Wall -Wextra -Werror \
        --gcc-install-dir="$1/usr/lib/gcc/aarch64-linux-gnu/$2" -o "$3" hardware-tests/lamp/door.c -lgpiod
}

# What a program says becomes TAP comments; fails unless it came to its end without a failure.
judge() { # judge PROGRAM WORD...
    # (As comments: bats counts what looks like a result.)
    python3 "$@" | sed -u 's/^/# /' | tee /dev/fd/3 >"$BATS_TEST_TMPDIR/said"
    grep -q '^# 1\.\.' "$BATS_TEST_TMPDIR/said"
    [[ $(grep -c '^# not ok' "$BATS_TEST_TMPDIR/said") == 0 ]]
}

@test "the lamp on a virtual Pi, seen from outside" {
    cd "$BATS_TEST_DIRNAME/.."
    door "$(hardware-tests/pi-rig/old-gpiod)" 12 "$BATS_TEST_TMPDIR/door-1.6"
    door "$(board/sysroot pi-arm64)" 14 "$BATS_TEST_TMPDIR/door-2.x"
    judge hardware-tests/lamp/lamp_on_pi.py "$governor" "$BATS_TEST_TMPDIR"/door-*
}

@test "hardware-tests/run on a virtual Pi: its tests of the lamp" {
    cd "$BATS_TEST_DIRNAME/.."
    judge hardware-tests/lamp/suite_on_pi.py "$governor" "$(hardware-tests/pi-rig/tools)"
}

@test "hardware-tests/run on a virtual Pi: each of its tests of the lamp fails when the lamp is wrong" {
    cd "$BATS_TEST_DIRNAME/.."
    judge hardware-tests/lamp/suite_on_pi.py "$governor" "$(hardware-tests/pi-rig/tools)" --sabotage
}
