#!/usr/bin/env bats
# shellcheck disable=SC2317 # each disturbance brings its own mend_…
# A lease from its offer on: rented, used, and disturbed. Each test goes on where the one before left; the lease stays for the reboot.

load ../lease

file_needs() {
    needs_market
    needs_governor
    needs ssh ssh-keyscan
}

teardown() {
    mend_network
    mend_clock
    mend_usb
    mend_session
    start_governor
    as_it_was "$BATS_TEST_TMPDIR/before"
}

mend_network() { :; }
mend_clock() { :; }
mend_usb() { :; }
mend_session() { :; }

@test "the drive is taken without a hand, and offered; the lamp blinks slowly" {
    is_offered() { state_is offered && [[ $(status_of drive) == "$SUBLET_TEST_DRIVE" && $(row .state) == offered ]]; }
    SECONDS=0
    wait_for 1800 "the offer" is_offered
    say "offered after $SECONDS s; $(status_of drive)"
    [[ $(status_of lamp) == slow ]]
}

@test "rented: the governor says so, and the lamp is steady" {
    make_notes
    (umask 077 && market rent "$(row .name)" --for 6h --json >"$NOTES/access.json") || { rm "$NOTES/access.json"; fail "not rented"; }
    note identity "$SUBLET_TEST_DRIVE"
    note phase rented
    wait_for 300 "the governor to know" state_is leased
    [[ $(status_of lease) == "$(access lease)" && $(status_of lamp) == steady ]]
    wait_for 600 "the renter's login" renter_greets
}

@test "ssh through the tunnel: the renter is in a machine on this device, on the encrypted drive, and its root is nobody here" {
    needs_lease
    # shellcheck disable=SC2016 # the other machine's
    renter 'cat /proc/sys/kernel/random/boot_id; hostname; awk "\$2 == \"/data\" { print \$1 }" /proc/mounts; cat /proc/self/uid_map' \
        </dev/null >"$BATS_TEST_TMPDIR/said"
    say "port $(access sshPort) of $(access host); $(paste -sd' ' "$BATS_TEST_TMPDIR/said")"
    grep -qx "$(boot_id)" "$BATS_TEST_TMPDIR/said" || fail "it runs on another device"
    grep -qx "/dev/mapper/$SUBLET_TEST_BRIDGE-lease" "$BATS_TEST_TMPDIR/said" || fail "/data does not lie on the encrypted drive"
    [[ $(tail -1 "$BATS_TEST_TMPDIR/said" | awk '{ print $2 }') -ge 1000 ]] || fail "its root is root here"
    # The way in is the tunnel: with it gone there is none.
    [[ $(status_of tunnel) == up ]]
    renter 'head -c 4M /dev/urandom | tee ~/marker >/data/marker; sync; cat ~/marker /data/marker | sha256sum' </dev/null >"$BATS_TEST_TMPDIR/digest"
    note digest "$(<"$BATS_TEST_TMPDIR/digest")"
    note host-key "$(host_key)"
    [[ -s $NOTES/host-key ]]
}

@test "a wrong password is refused" {
    needs_lease
    jq '.password = "wrong-" + .password' "$NOTES/access.json" >"$SUBLET_TEST_FOLDER/wrong.json"
    ! ACCESS=$SUBLET_TEST_FOLDER/wrong.json renter_greets || fail "it was taken"
}

# The control group of the renter's machine, by the shim that holds it.
machine_group() {
    local id
    id=$(tr '\0' '\n' </proc/"$(machine_shim)"/cmdline | grep -A1 -x -- -id | tail -1)
    find /sys/fs/cgroup -type d -name "*$id*" | head -1
}

@test "the memory limit bites in the renter's machine: a hog is killed, the machine and the device go on" {
    needs_lease
    local group limit before
    group=$(machine_group)
    [[ -n $group ]] || fail "no control group of the renter's machine is found"
    limit=$(<"$group/memory.max")
    [[ $limit =~ ^[0-9]+$ ]] || fail "its memory has no limit"
    [[ -z $(config .limits.memoryMiB) || $limit == $(($(config .limits.memoryMiB) << 20)) ]] || fail "the limit is $limit bytes"
    killed() { awk '$1 == "oom_kill" { print $2 }' "$group/memory.events"; }
    before=$(killed)
    # On a slow device it goes on when the renter's patience is at its end.
    renter "head -c $((limit + (64 << 20))) /dev/zero | tail -c $((limit + (64 << 20))) >/dev/null" </dev/null || true
    more_killed() { (($(killed) > before)); }
    wait_for 300 "the kernel to kill it" more_killed
    say "limit $((limit >> 20)) MiB; the kernel killed $(($(killed) - before))"
    must_go_on
}

@test "the governor is restarted: the renter's open session does not notice" {
    needs_lease
    local session before
    renter 'while sleep 0.5; do echo tick; done' </dev/null >"$BATS_TEST_TMPDIR/ticks" &
    session=$!
    # timeout hands the signal on to ssh.
    mend_session() { kill "$(pgrep -P "$session" || echo "$session")" 2>/dev/null || true; }
    wait_for 60 "the session" grep -q tick "$BATS_TEST_TMPDIR/ticks"
    stop_governor
    start_governor
    wait_for 300 "the lease" state_is leased
    before=$(wc -l <"$BATS_TEST_TMPDIR/ticks")
    more_ticks() { (($(wc -l <"$BATS_TEST_TMPDIR/ticks") > before + 4)); }
    wait_for 120 "the session to go on" more_ticks
    mend_session
    wait "$session" || true
    must_go_on
}

@test "the clock falls back to 1970 and the governor starts with that: the lease goes on" {
    needs_lease
    local wall since
    wall=$(date +%s) since=$(awk '{ print int($1) }' /proc/uptime)
    mend_clock() { date -s "@$((wall + $(awk '{ print int($1) }' /proc/uptime) - since))" >/dev/null; }
    stop_governor
    # 1970, as long as the device is up for less than a year: Linux takes no clock by which it booted before that.
    date -s "@$((since + 1000))" >/dev/null
    start_governor
    wait_for 300 "the lease" state_is leased
    is_back_then() { (($(date +%s) < wall - 86400)); }
    is_back_then || skip "something sets the clock right at once"
    # Long enough for some check-ins, or tries of it.
    sleep 20
    is_back_then || say "something has set the clock right meanwhile"
    state_is leased
    [[ $(status_of lease) == "$(access lease)" ]]
    mend_clock
    must_go_on
}

# Address and port of the market and of the tunnel's far end.
far_ends() {
    local server port pid host
    server=$(config .server) port=443
    [[ $server != http://* ]] || port=80
    server=${server#*://} server=${server%%/*}
    [[ $server != *:* ]] || port=${server##*:}
    host=${server%:*}
    getent ahostsv4 "$host" | awk -v port="$port" '!seen[$1]++ { print $1, port }'
    pid=$(ssh -F none -S "$SUBLET_RUN/tunnel.sock" -O check tunnel 2>&1 | sed -n 's/.*pid=\([0-9]*\).*/\1/p')
    ss -tnpH state established 2>/dev/null | awk -v pid="pid=$pid," 'index($0, pid) { n = split($4, part, ":"); print part[1], part[n] }' | sort -u
}

# Drops what goes there, by whichever of the two this kernel has; other connections of this device stay.
drop_network() {
    local address port
    far_ends | sort -u >"$BATS_TEST_TMPDIR/far-ends"
    [[ $(wc -l <"$BATS_TEST_TMPDIR/far-ends") -ge 2 ]] || fail "market and tunnel are not both known: $(cat "$BATS_TEST_TMPDIR/far-ends")"
    # A kernel may list tables and make none of this kind. One that can't be made leaves nothing.
    if nft -f - <<<'table inet sublet-test { chain out { type filter hook output priority 0; }; }' 2>"$BATS_TEST_TMPDIR/nft"; then
        mend_network() { nft delete table inet sublet-test 2>/dev/null || true; }
        while read -r address port; do nft add rule inet sublet-test out ip daddr "$address" tcp dport "$port" drop; done <"$BATS_TEST_TMPDIR/far-ends"
    else
        say "by iptables: $(head -1 "$BATS_TEST_TMPDIR/nft")"
        mend_network() {
            while read -r address port; do
                iptables -D OUTPUT -p tcp -d "$address" --dport "$port" -j DROP 2>/dev/null || true
            done <"$BATS_TEST_TMPDIR/far-ends"
        }
        while read -r address port; do iptables -I OUTPUT -p tcp -d "$address" --dport "$port" -j DROP; done <"$BATS_TEST_TMPDIR/far-ends"
    fi
}

@test "the network drops: the lease goes on without a market, the lamp stays steady, and the tunnel comes back" {
    needs_lease
    needs ss
    local group
    group=$(machine_group)
    drop_network
    is_cut_off() { (($(status_of marketFailures) >= 3)); }
    wait_for 900 "three check-ins to fail" is_cut_off
    ! renter_greets || fail "the renter still gets in"
    state_is leased && [[ $(status_of lamp) == steady ]]
    [[ $(status_of container) == up && -d $group ]] || fail "the renter's machine was ended"
    say "$(status_of marketFailures) check-ins failed; state $(status_of state), lamp $(status_of lamp)"
    mend_network
    is_heard() { [[ $(status_of marketFailures) == 0 && $(status_of tunnel) == up ]]; }
    wait_for 900 "market and tunnel to be back" is_heard
    must_go_on
}

# The USB device that the drive hangs on, in sysfs.
usb_device() {
    local folder
    folder=$(realpath "/sys/class/block/$(basename "$1")")
    while [[ $folder == /sys/devices/* ]]; do
        if [[ -e $folder/authorized && -e $folder/idVendor ]]; then
            echo "$folder"
            return
        fi
        folder=${folder%/*}
    done
}

@test "the drive is pulled: suspended, three flashes; plugged in again the lease goes on with its data" {
    needs_lease
    local device drive
    drive=$(status_of drivePath)
    device=$(usb_device "$drive")
    [[ -n $device ]] || skip "the drive $drive does not hang on USB"
    if has_hand; then
        hand pull "$SUBLET_TEST_DRIVE" -- "Pull the USB drive"
        mend_usb() { :; }
    else
        # What the kernel does is the same; only the contacts are missing.
        say "without a hand: the USB port is told to let go of the drive"
        mend_usb() { echo 1 >"$device/authorized"; }
        echo 0 >"$device/authorized"
    fi
    wait_for 120 "the lease to be suspended" state_is suspended
    [[ $(status_of lamp) == three ]]
    say "suspended: $(status_of driveReason)"
    if has_hand; then hand plug "$SUBLET_TEST_DRIVE" -- "Plug the USB drive in again, in whichever socket"; else mend_usb; fi
    must_go_on
}

@test "a lease with data is left for the reboot" {
    needs_lease
    must_go_on
    note boot-id "$(boot_id)"
    note phase reboot
}
