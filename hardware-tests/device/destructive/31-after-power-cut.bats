#!/usr/bin/env bats
# After a power cut in the lease that the reboot left.

load ../lease

file_needs() {
    needs_market
    [[ $(boot_id) != "$(<"$NOTES/boot-id")" ]] || skip "the power was not cut since: pull the plug, put it back, then the same words again"
}

# By the kernel when it was mounted, or by e2fsck before that.
is_recovered() { # is_recovered PARTITION
    dmesg | grep -q "EXT4-fs ($1): recovery complete" || journalctl -b --no-pager -o cat -u 'systemd-fsck@*' 2>/dev/null | grep -q 'recovering journal'
}

@test "after a power cut the lease goes on by itself: the same machine by its host key, with its data and its password" {
    wait_for 300 "the governor" has_pid
    must_go_on
    say "$(cut -d. -f1 /proc/uptime) s after the boot"
    # An orderly end leaves nothing to recover: then this was only another reboot.
    local source
    source=$(basename "$(realpath "$(findmnt -nvo SOURCE --target "$SUBLET_STATE")")")
    is_recovered "$source" || skip "the lease goes on, but $source was unmounted in order: this was no power cut"
}
