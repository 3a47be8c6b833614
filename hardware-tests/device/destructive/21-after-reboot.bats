#!/usr/bin/env bats
# After a reboot in the lease that 12-lease.bats left.

load ../lease

file_needs() {
    needs_market
    [[ $(boot_id) != "$(<"$NOTES/boot-id")" ]] || skip "the device was not rebooted since: systemctl reboot, then the same words again"
}

@test "after a reboot the lease goes on by itself: the same machine by its host key, with its data and its password" {
    wait_for 300 "the governor" has_pid
    must_go_on
    say "$(cut -d. -f1 /proc/uptime) s after the boot"
    note boot-id "$(boot_id)"
    note phase power-cut
}
