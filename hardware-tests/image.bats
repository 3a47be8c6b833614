#!/usr/bin/env bats
# Cards as their owners flash them: made twice the same, and booted from the very file. As root; some ten minutes for each board, more on a
# loaded machine. SUBLET_BOARDS says which boards (virtualbox-amd64); their governor and vault must have been built (board/build).

load in-rig

setup_file() {
    needs qemu-system-x86_64 mksquashfs bmaptool mcopy mmdebstrap sshpass
    stay_in_folder
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT SUBLET_BOARDS=${SUBLET_BOARDS:-virtualbox-amd64}
    local board
    for board in $SUBLET_BOARDS; do
        [[ -x $PROJECT/.build/$board/release/governor ]] || skip "needs the programs of $board: run board/build $board governor vault"
    done
}

card_of() { echo "$PROJECT/.build/image/sublet-$1.img.xz"; }

@test "the same inputs give the same card, bit for bit, and its bmap fits" {
    local board first
    for board in $SUBLET_BOARDS; do
        "$PROJECT/board/image" "$board"
        first=$(sha256sum <"$(card_of "$board")")
        "$PROJECT/board/image" "$board"
        [[ $(sha256sum <"$(card_of "$board")") == "$first" ]]
        bmaptool -q copy --bmap "${PROJECT}/.build/image/sublet-$board.bmap" "$(card_of "$board")" "$BATS_TEST_TMPDIR/flashed"
        cmp "$BATS_TEST_TMPDIR/flashed" <(xz -dc "$(card_of "$board")")
        rm "$BATS_TEST_TMPDIR/flashed"
    done
}

@test "it boots, registers with a blank USB drive, is rented, gives a shell, erases, registers again" {
    local board
    for board in $SUBLET_BOARDS; do
        "$PROJECT/hardware-tests/image-rig" "$(card_of "$board")" --until rented >"$BATS_TEST_TMPDIR/told" 2>&1 || {
            cat "$BATS_TEST_TMPDIR/told"
            return 1
        }
        comment "$BATS_TEST_TMPDIR/told"
    done
}
