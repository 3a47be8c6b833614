#!/usr/bin/env bats
# Drives that are not what they claim, on the real kernel of the fast rig. As root, after `make build`.
#
#   bats --tap hardware-tests/faults.bats      about 15 s

load in-rig

setup_file() {
    needs linux.uml mmdebstrap
    lay_out "$BATS_FILE_TMPDIR/programs" governor
}

@test "a drive that lies about its size is found out before its first tenant; an honest one passes" {
    run "$PROJECT/hardware-tests/fast-rig/run" --timeout 180 --disk "$BATS_TEST_TMPDIR/real:1200M" --share "$PROJECT/hardware-tests:/tests" \
        --share "$BATS_FILE_TMPDIR/programs:/programs" -- /tests/faults/fake_flash /programs
    comment <<<"$output"
    [ "$status" = 0 ]
    [ "$(grep -c '^ok: ' <<<"$output")" = 3 ]
}
