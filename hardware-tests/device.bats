#!/usr/bin/env bats
# shellcheck disable=SC2154 # rig is in-rig's
# hardware-tests/run, the suite for devices, on a device in the fast rig: both tiers, a reboot and a power cut. As root, after `make build`.
#
#   bats --tap hardware-tests/device.bats

load story

setup_file() {
    needs linux.uml mmdebstrap jq
    lay_out_story
    "$PROJECT/hardware-tests/drive/thin-base" "$STORY"/base/*.tar "$STORY/thin.tar"
    rm "$STORY"/base/*
    mv "$STORY/thin.tar" "$STORY/base/base.tar"
}

teardown_file() { nothing_left; }

@test "safe, bench, and destructive up to the reboot" {
    chapter "$STORY" 2400 device_in_rig.py whole
    come_to reboot
    cut_power
}

@test "destructive after the reboot, up to the power cut" {
    chapter "$STORY" 1200 device_in_rig.py rebooted
    come_to power-cut
    cut_power
}

@test "destructive after the power cut, to the end" {
    chapter "$STORY" 1200 device_in_rig.py cut
    come_to over
    go over
    chapter_ends
}

# The same once more, with everything that is tested broken, one thing after the other (docs/hardware-tests.md).
sabotage() { # sabotage CHAPTER PLACE
    [[ -n ${SUBLET_LONG-} ]] || skip "long: SUBLET_LONG=1"
    mkdir -p "$STORY/sabotage"
    chapter "$STORY/sabotage" 3600 sabotage_in_rig.py "$1"
    come_to "$2"
}

@test "long: each test of the safe tier fails when what it tests is broken" {
    sabotage safe over
    go over
    chapter_ends
    # It has damaged the card.
    rm -r "$STORY/sabotage"
}

@test "long: each test of a drive's steps by hand fails when what it tests is broken" {
    sabotage by-hand over
    go over
    chapter_ends
    rm -r "$STORY/sabotage"
}

@test "long: each test of a lease fails when what it tests is broken" {
    sabotage lease reboot
    cut_power
}

@test "long: each test after a reboot fails when what it tests is broken" {
    sabotage reboot power-cut
    cut_power
}

@test "long: each test after a power cut, and of the end, fails when what it tests is broken" {
    sabotage power-cut over
    go over
    chapter_ends
}
