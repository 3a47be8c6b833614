#!/usr/bin/env bats
# device-status.txt on the card's FAT partition, on a kernel with vfat: the fast rig. As root; about a minute.

load in-rig

setup_file() {
    needs linux.uml mmdebstrap mkfs.vfat mcopy
    stay_in_folder
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT
    "$PROJECT/hardware-tests/fast-rig/root" >/dev/null
}

# A card's first partition, with the owner's file, a kernel and as many other files as a Pi's has.
make_card() { # make_card FILE
    truncate -s 40M "$1"
    mkfs.vfat -F 32 -n FIRMWARE "$1" >/dev/null
    head -c 900 /dev/urandom | base64 >config
    head -c 300000 /dev/urandom >kernel
    mcopy -i "$1" config ::device-config.json
    mcopy -i "$1" kernel ::kernel.img
    touch $(seq -f overlay-file-with-a-long-name-%02g.dtbo 30)
    mcopy -i "$1" overlay-file-* ::
}

# All that the guest needs, and no option that a test has of its own.
options() { fast=("$PROJECT/hardware-tests/fast-rig/run" --mem 512M --timeout 240 --share "$PROJECT:/project"); }

@test "it is copied when it is new, and the partition is writable for that moment only" {
    cd "$BATS_TEST_TMPDIR"
    make_card card
    options
    run "${fast[@]}" --disk card -- /project/hardware-tests/device-status/guest
    comment <<<"$output"
    [ "$status" = 0 ]
    [ "$(grep -c '^ok: ' <<<"$output")" = 15 ]
    mcopy -i card ::device-config.json - | cmp - config
}

@test "every state that a power cut can leave while it is written: the old text, the new one or none, and all else as it was" {
    cd "$BATS_TEST_TMPDIR"
    make_card card
    cp card before
    options
    run "${fast[@]}" --disk card --disk log:64M -- /project/hardware-tests/device-status/record
    echo "$output"
    [ "$status" = 0 ]
    run python3 "$PROJECT/hardware-tests/device-status/every_cut.py" before log config kernel
    comment <<<"$output"
    [ "$status" = 0 ]
}

teardown() { end_rig; }
