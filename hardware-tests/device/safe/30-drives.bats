#!/usr/bin/env bats
# Which disks the governor sees, and that it leaves alone what is not its own. Nothing is written on any disk: what stands in for a
# stranger's drive is a file of ours, and steps on real disks are asked without an answer, so that even a governor that would format has no yes.

load ../device

# As a governor sees them that has no drive yet.
list() {
    [[ -n ${OWN-} ]] || make_own '{}'
    own storage list --json
}

@test "governor storage list names every disk that lsblk shows, with its size, and no other" {
    local wanted found
    make_own '{}'
    # Loops, mappings and RAM disks hold no disk's data; an empty reader has no size.
    wanted=$(lsblk -dnbrpo NAME,SIZE,TYPE | awk '$3 == "disk" && $2 > 0 && $1 !~ "/(ram|zram|loop|dm-)" { print $1, $2 }' | sort)
    found=$(list | jq -r '.[] | select(.bytes > 0) | "\(.path) \(.bytes)"' | grep -vE '^/dev/(ram|zram|loop|dm-|sr|mapper)' | sort)
    diff <(echo "$wanted") <(echo "$found") || fail "< lsblk   > governor"
    say "$wanted"
}

@test "each USB drive: the governor's identity is that of udev (maker, product, serial), and it knows that it is on USB" {
    needs udevadm
    local path identity checked=0
    make_own '{}'
    while read -r path identity; do
        udevadm info -q property "$path" >"$BATS_TEST_TMPDIR/udev"
        # What is on USB to udev is on USB to us, and the other way round.
        if ! grep -qx 'ID_BUS=usb' "$BATS_TEST_TMPDIR/udev" && ! grep -q '^DEVPATH=.*/usb[0-9]' "$BATS_TEST_TMPDIR/udev"; then
            [[ $(list | jq -r --arg path "$path" '.[] | select(.path == $path) | .usb') == false ]] || fail "$path is not on USB to udev"
            continue
        fi
        [[ $(list | jq -r --arg path "$path" '.[] | select(.path == $path) | .usb') == true ]] || fail "$path is on USB to udev"
        checked=$((checked + 1))
        say "$path $identity"
        [[ $identity == serial:* ]] || continue
        [[ $identity == "serial:$(property ID_VENDOR_ID):$(property ID_MODEL_ID):"*"@$(blockdev --getsize64 "$path")" ]]
        # udev puts the place of a unit behind the serial of a UAS disk, and has two names for it.
        [[ $identity == *":$(property ID_USB_SERIAL_SHORT)@"* || $identity == *":$(property ID_SERIAL_SHORT)@"* ]]
    done < <(list | jq -r '.[] | select(.bytes > 0) | .path + " " + .identity')
    ((checked > 0)) || skip "no USB drive is plugged in"
}

property() { sed -n "s/^$1=//p" "$BATS_TEST_TMPDIR/udev"; }

@test "the disks with the system, the boot files and the governor's state are refused, told by path, by inspect and prepare" {
    local disk disks
    disks=$({ disks_under / && disks_under "$SUBLET_STATE" && disks_under /boot/firmware && disks_under "$SUBLET_CONFIG"; } 2>/dev/null | sort -u)
    [[ -n $disks ]] || skip "nothing of the system lies on a disk here"
    for disk in $disks; do
        make_own "{\"path\": \"$disk\", \"adopt\": \"any\"}"
        [[ $(own_verdict) == refused:* ]] || fail "$disk: $(own_verdict)"
        is_refused prepare
        is_refused erase
        is_refused open
    done
}

@test "a drive that is not ours is left alone: refused by prepare and erase even with --yes, and not a byte of it changes" {
    truncate -s 1100M "$BATS_TEST_TMPDIR/stranger"
    mkfs.ext4 -q -F -L PHOTOS -d "$BATS_TEST_DIRNAME" "$BATS_TEST_TMPDIR/stranger"
    cp --sparse=always "$BATS_TEST_TMPDIR/stranger" "$BATS_TEST_TMPDIR/before-it"
    make_own "{\"path\": \"$BATS_TEST_TMPDIR/stranger\", \"encryption\": \"none\"}"
    [[ $(own_verdict) == "foreign: holds ext4"* ]] || fail "$(own_verdict)"
    is_refused prepare --yes
    is_refused erase --yes
    cmp "$BATS_TEST_TMPDIR/stranger" "$BATS_TEST_TMPDIR/before-it"
}

@test "a disk here that is not ours waits: not mounted, not mapped, and governor status says why" {
    needs_governor
    [[ -z $(config .storage.path) ]] || skip "device-config.json names the drive (storage.path)"
    local path reason checked=0
    make_own '{}'
    while IFS=$'\t' read -r path reason; do
        checked=$((checked + 1))
        say "$path: $reason"
        ! lsblk -nro MOUNTPOINT "$path" | grep -q . || fail "$path is mounted"
        governor status --json | jq -e --arg path "$path" '.drivesLeft[] | select(.path == $path)' >/dev/null
        is_refused prepare "$path"
    done < <(list | jq -r '.[] | select(.verdict == "foreign") | [.path, .reason] | @tsv')
    ((checked > 0)) || skip "no disk with somebody's data is plugged in"
}
