#!/usr/bin/env bats
# Updates of a device, from a card's file, with real bundles, GRUB and RAUC. As root; half an hour and more. Wants the card of board/image and the
# bundle of board/bundle for virtualbox-amd64.

load in-rig

setup_file() {
    needs qemu-system-x86_64 rauc mksquashfs unsquashfs mcopy sshpass
    export SUBLET_BOARDS=virtualbox-amd64
    lay_out_cards
    needs_cards
    "$PROJECT/board/bundle" virtualbox-amd64 >/dev/null
}

updates() { # updates OPTION...
    local card
    card=$(card_of virtualbox-amd64)
    goes_well update-rig "$card" "${card%.img.xz}.raucb" "$@"
}

@test "a foreign key is refused; a power cut leaves the former system; a good update starts; bad ones fall back" {
    updates --only wrong,cut,good,panic,silent
}

@test "a lease survives an update" {
    updates --only good --rent
}
