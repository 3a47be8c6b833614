#!/usr/bin/env bats
# Drive and card in every state in which a power cut can leave them, and a drive that fails in every step (fast rig, real LUKS). As root,
# after `make build`.
#
#   bats --tap hardware-tests/every-cut.bats                    every fourth state, and the failing drive
#   SUBLET_LONG=1 bats --tap hardware-tests/every-cut.bats      every state

load in-rig

setup_file() {
    needs linux.uml mmdebstrap
    lay_out "$BATS_FILE_TMPDIR/programs" governor market
    lay_out_base "$BATS_FILE_TMPDIR/base"
}

@test "the governor comes to the right state from every flush of one preparation and one erase (dm-log-writes)" {
    local every=4 status=0
    [[ -z ${SUBLET_LONG-} ]] || every=1
    SUBLET_BIN=$BATS_FILE_TMPDIR/programs "$PROJECT/hardware-tests/flush-points" --every "$every" >"$BATS_TEST_TMPDIR/out" 2>&1 || status=$?
    comment "$BATS_TEST_TMPDIR/out"
    [[ $status == 0 ]]
}

@test "a drive that fails in any step (dm-flakey, dm-dust): it says so, never a false 'erased', and the job is finished" {
    local status=0
    mkdir "$BATS_TEST_TMPDIR/io"
    "$PROJECT/hardware-tests/fast-rig/run" --timeout 2400 --disk "$BATS_TEST_TMPDIR/drive:2G" --disk "$BATS_TEST_TMPDIR/card:256M" \
        --share "$PROJECT:/project" --share "$BATS_FILE_TMPDIR/programs:/programs" --share "$BATS_FILE_TMPDIR/base:/base" \
        --share "$BATS_TEST_TMPDIR/io:/io" -- \
        env PYTHONDONTWRITEBYTECODE=1 SUBLET_BIN=/programs python3 /project/hardware-tests/cuts/bad_drive_in_rig.py \
        >"$BATS_TEST_TMPDIR/out" 2>&1 || status=$?
    comment "$BATS_TEST_TMPDIR/out"
    [[ $status == 0 ]]
}
