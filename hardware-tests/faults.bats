#!/usr/bin/env bats
# Drives that are not what they claim, on the real kernel of the fast rig. As root, after `make build`.
#
#   bats --tap hardware-tests/faults.bats      about 15 s

setup_file() {
    command -v linux.uml >/dev/null || skip "needs User-Mode Linux (apt-get install user-mode-linux)"
    [[ $(id -u) == 0 ]] || skip "must run as root"
    export TMPDIR=$BATS_FILE_TMPDIR
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT
    mkdir "$BATS_FILE_TMPDIR/programs"
    cp "${SUBLET_BIN:-$PROJECT/.build/release}/governor" "$BATS_FILE_TMPDIR/programs/"
    "$PROJECT/hardware-tests/fast-rig/root" >/dev/null
}

@test "a drive that lies about its size is found out before its first tenant; an honest one passes" {
    run "$PROJECT/hardware-tests/fast-rig/run" --timeout 180 --disk "$BATS_TEST_TMPDIR/real:1200M" --share "$PROJECT/hardware-tests:/tests" \
        --share "$BATS_FILE_TMPDIR/programs:/programs" -- /tests/faults/fake_flash /programs
    sed 's/^/# /' <<<"$output" >&3
    [ "$status" = 0 ]
    [ "$(grep -c '^ok: ' <<<"$output")" = 3 ]
}
