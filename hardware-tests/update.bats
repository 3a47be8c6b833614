#!/usr/bin/env bats
# Updates of a device, from a card's file, with real bundles, GRUB and RAUC. As root; half an hour and more. Wants the card of board/image and the
# bundle of board/bundle for virtualbox-amd64.

load in-rig

setup_file() {
    needs qemu-system-x86_64 rauc mksquashfs unsquashfs mcopy sshpass
    stay_in_folder
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT CARD=$PROJECT/.build/image/sublet-virtualbox-amd64
    [[ -e $CARD.img.xz ]] || skip "needs a card: run make image BOARD=virtualbox-amd64"
    "$PROJECT/board/bundle" virtualbox-amd64 >/dev/null
}

updates() { # updates OPTION...
    "$PROJECT/hardware-tests/update-rig" "$CARD.img.xz" "$CARD.raucb" "$@" >"$BATS_TEST_TMPDIR/told" 2>&1 || {
        cat "$BATS_TEST_TMPDIR/told"
        return 1
    }
    comment "$BATS_TEST_TMPDIR/told"
}

@test "a foreign key is refused; a power cut leaves the former system; a good update starts; bad ones fall back" {
    updates --only wrong,cut,good,panic,silent
}

@test "a lease survives an update" {
    updates --only good --rent
}
