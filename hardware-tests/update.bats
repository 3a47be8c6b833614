#!/usr/bin/env bats
# Updates of a device, from a card's file, with real bundles, boot loader and RAUC. As root; an hour and more for each board, hours for a Pi.
# SUBLET_BOARDS says which boards (virtualbox-amd64); wants their cards of board/image.

load in-rig

setup_file() {
    needs qemu-system-x86_64 rauc mksquashfs unsquashfs mcopy sshpass
    local board
    lay_out_cards
    needs_cards
    for board in $SUBLET_BOARDS; do "$PROJECT/board/bundle" "$board" >/dev/null; done
}

updates() { # updates OPTION...
    local board card
    for board in $SUBLET_BOARDS; do
        card=$(card_of "$board")
        goes_well update-rig "$card" "${card%.img.xz}.raucb" "$@"
    done
}

@test "a foreign key is refused; ten power cuts leave the former system and all that is remembered; a good update starts; bad ones fall back" {
    updates --only wrong,cut,good,panic,silent
}

@test "a lease survives an update" {
    updates --only good --rent
}
