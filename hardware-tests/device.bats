#!/usr/bin/env bats
# shellcheck disable=SC2154 # rig is in-rig's
# hardware-tests/run, the suite for devices, on a device in the fast rig: both tiers, a reboot and a power cut. As root, after `make build`.
#
#   bats --tap hardware-tests/device.bats

load story

setup_file() {
    needs linux.uml mmdebstrap jq
    lay_out_story
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
