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

# A card's first partition, with the owner's file on it.
make_card() { # make_card FILE
    truncate -s 64M "$1"
    mkfs.vfat -F 32 -n FIRMWARE "$1" >/dev/null 2>&1
    head -c 900 /dev/urandom | base64 >config
    mcopy -i "$1" config ::device-config.json
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

@test "power cuts while it is written again and again: the old text or a new one, and the owner's file as it was" {
    cd "$BATS_TEST_TMPDIR"
    make_card card
    options
    local number text
    for number in 1 2 3; do
        : >out
        start "${fast[@]}" --disk card -- /project/hardware-tests/device-status/again-and-again
        await '^5 times'
        sleep "0.$((RANDOM % 1000 + 1000))"
        kill -USR1 "$rig"
        ends_with 137
        text=$(mcopy -i card ::device-status.txt -)
        echo "cut $number: $(fsck.vfat -n card | tr '\n' '|')" >>cuts
        [[ $(wc -l <<<"$text") == 100 && $(sort -u <<<"$text" | wc -l) == 1 ]]
        mcopy -i card ::device-config.json - | cmp - config
    done
    comment <cuts
}

teardown() { end_rig; }
