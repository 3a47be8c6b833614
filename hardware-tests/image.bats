#!/usr/bin/env bats
# Cards as their owners flash them: made twice the same, and booted from the very file. As root; some ten minutes for each board, more on a
# loaded machine. SUBLET_BOARDS says which boards (virtualbox-amd64); their governor and vault must have been built (board/build).

load in-rig

setup_file() {
    needs qemu-system-x86_64 qemu-img genisoimage mksquashfs bmaptool mcopy mmdebstrap sshpass
    local board
    lay_out_cards
    needs_machines
    for board in $SUBLET_BOARDS; do
        [[ -x $PROJECT/.build/$board/release/governor ]] || skip "needs the programs of $board: run board/build $board governor vault"
    done
}

boots() { goes_well image-rig "$@"; } # boots FILE OPTION...

# What board/image made of a board, as sums.
sums_of() { (cd "$PROJECT/.build/image" && find . -name "sublet-$1.*" ! -name '*.lock' -exec sha256sum '{}' + | sort); }

@test "the same inputs give the same card and appliance, bit for bit, and its bmap fits" {
    local board first
    for board in $SUBLET_BOARDS; do
        "$PROJECT/board/image" "$board"
        first=$(sums_of "$board")
        "$PROJECT/board/image" "$board"
        [[ $(sums_of "$board") == "$first" ]]
        bmaptool -q copy --bmap "${PROJECT}/.build/image/sublet-$board.bmap" "$(card_of "$board")" "$BATS_TEST_TMPDIR/flashed"
        cmp "$BATS_TEST_TMPDIR/flashed" <(xz -dc "$(card_of "$board")")
        rm "$BATS_TEST_TMPDIR/flashed"
    done
}

@test "the appliance is what VirtualBox wants, and its disk is the card" {
    local board ova
    for board in $SUBLET_BOARDS; do
        ova=$PROJECT/.build/image/sublet-$board.ova
        [[ ! -e $PROJECT/board/$board/appliance.ovf ]] || "$PROJECT/hardware-tests/check-appliance" "$ova" "$(card_of "$board")"
    done
}

@test "the appliance boots with its owner's file on a CD, and offers its second disk" {
    local board
    for board in $SUBLET_BOARDS; do
        [[ -e $PROJECT/board/$board/appliance.ovf ]] || continue
        boots "$PROJECT/.build/image/sublet-$board.ova" --until offered
    done
}

@test "a PC starts it by UEFI too" {
    [[ " $SUBLET_BOARDS " == *" virtualbox-amd64 "* ]] || skip "SUBLET_BOARDS has no PC"
    [[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ]] || skip "needs ovmf: run board/host/needs vm"
    boots "$(card_of virtualbox-amd64)" --until registered --uefi
}

@test "it boots, registers with a blank USB drive, is rented, gives a shell, erases, registers again" {
    local board
    for board in $SUBLET_BOARDS; do
        boots "$(card_of "$board")" --until rented --checks
    done
}

# What the test above wants of the lamp it must miss where the lamp is on another line.
@test "a lamp on another GPIO line is seen to be wrong" {
    local board tried=0
    for board in $SUBLET_BOARDS; do
        [[ $board == pi-* ]] || continue
        run "$PROJECT/hardware-tests/image-rig" "$(card_of "$board")" --until online --lamp 18
        [[ $status == 1 && $output == *"the lamp on line 17 should show three; it was "* ]]
        tried=$((tried + 1))
    done
    ((tried > 0)) || skip "SUBLET_BOARDS has no Pi"
}
