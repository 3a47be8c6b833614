#!/usr/bin/env bats
# Our systemd units, read by systemd itself. They are not started here.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return
    command -v systemd-analyze >/dev/null || skip "needs systemd-analyze: run board/host/needs test"
}

# A copy of the unit whose programs are there: only in that does this machine differ from the one that it is for.
readable() { # readable UNIT
    local copy
    copy=$BATS_TEST_TMPDIR/$(basename "$1")
    sed -E 's,^(Exec[A-Za-z]+=)[-+!@:]*/[^ ]+,\1/bin/true,' "$1" >"$copy"
    echo "$copy"
}

@test "systemd understands every line of our units" {
    local unit count=0
    for unit in rootfs-overlay/etc/systemd/system/*.service board/*/overlay/etc/systemd/system/*.service board/market/*.service; do
        run systemd-analyze verify --man=no --recursive-errors=no "$(readable "$unit")"
        echo "$unit: $output"
        [ "$status" = 0 ] && [ -z "$output" ]
        count=$((count + 1))
    done
    [ "$count" -ge 2 ]
    # And so we know that it does say something.
    printf '[Service]\nExecStart=/bin/true\nProtectSytem=strict\n' >"$BATS_TEST_TMPDIR/wrong.service"
    run systemd-analyze verify --man=no --recursive-errors=no "$BATS_TEST_TMPDIR/wrong.service"
    [[ $output == *ProtectSytem* ]]
}

@test "the market's unit leaves it little" {
    # In tenths: 15 is an exposure of 1.5; without the unit's own lines it is 95.
    systemd-analyze security --offline=true --threshold=15 board/market/market.service
    printf '[Service]\nExecStart=/bin/true\nUser=nobody\n' >"$BATS_TEST_TMPDIR/open.service"
    run systemd-analyze security --offline=true --threshold=15 "$BATS_TEST_TMPDIR/open.service"
    [ "$status" != 0 ]
}

@test "the governor's unit closes what engine and renter can't need" {
    # Exposure 8.2; without these lines it is 95 in tenths.
    systemd-analyze security --offline=true --threshold=83 rootfs-overlay/etc/systemd/system/governor.service
    grep -vE '^(Capability|Restrict(Address|Real)|SystemCall)' rootfs-overlay/etc/systemd/system/governor.service >"$BATS_TEST_TMPDIR/open.service"
    run systemd-analyze security --offline=true --threshold=83 "$BATS_TEST_TMPDIR/open.service"
    [ "$status" != 0 ]
}

@test "the owner's ssh opens the door that the device's walls have" {
    [[ $(id -u) == 0 ]] || skip "must run as root"
    command -v nft >/dev/null || skip "needs nft: run board/host/needs run"
    local order count=0
    while read -r order; do
        # shellcheck disable=SC2016 # for the inner shell
        unshare -n sh -ec 'nft -f rootfs-overlay/etc/nftables.conf; nft add element inet sublet-device open "{ 22 }"; eval "$1"' - "nft ${order//[\{\}]/\\&}"
        count=$((count + 1))
    done < <(sed -n 's,^Exec.*=-*/usr/sbin/nft ,,p' rootfs-overlay/etc/systemd/system/sublet-ssh.service)
    [ "$count" = 2 ]
}
