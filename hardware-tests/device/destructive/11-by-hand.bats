#!/usr/bin/env bats
# A drive's steps by hand, on the drive that its tester gave up: prepared, closed, opened, erased, verified. The governor stands still meanwhile;
# the steps have a state folder of their own.

load ../lease

setup_file() {
    if has_pid; then
        # The lease that the governor holds on it dies with its data, and only the market can say so.
        if [[ $(status_of drive) == "$SUBLET_TEST_DRIVE" && -z $SUBLET_TEST_MARKET ]]; then
            echo "the governor holds an offer on this drive, which only the market can end: --market COMMAND" >"$BATS_FILE_TMPDIR/skip"
            return
        fi
        status_of lease >"$BATS_FILE_TMPDIR/lease"
        stop_governor
        governor halt
    fi
    export OWN_FOLDER=$BATS_FILE_TMPDIR/own
    # Another drive than a USB one is found only where it is named.
    if [[ -n $(config .storage.path) ]]; then make_own "$(jq -c '.storage | del(.sizeMiB)' "$SUBLET_CONFIG")"; else make_own '{}'; fi
}

teardown_file() {
    start_governor
    [[ ! -s $BATS_FILE_TMPDIR/lease || -z $SUBLET_TEST_MARKET ]] || market end "$(row .name)" >/dev/null || true
}

file_needs() {
    [[ ! -e $BATS_FILE_TMPDIR/skip ]] || skip "$(<"$BATS_FILE_TMPDIR/skip")"
    OWN=$OWN_FOLDER
    drive=$(own storage list --json | jq -r --arg id "$SUBLET_TEST_DRIVE" '.[] | select(.identity == $id) | .path')
    [[ -b $drive ]] || fail "the drive $SUBLET_TEST_DRIVE is not there"
}

by_hand() { # by_hand STEP WORD...
    own storage "$1" "$drive" --drive "$SUBLET_TEST_DRIVE" "${@:2}"
}

header() { dd if="$drive" bs=1M count=16 iflag=direct status=none | sha256sum; }

# Whether the drive's first 16 MiB are zero, read past every cache.
is_zero() { dd if="$drive" bs=1M count=16 iflag=direct status=none | cmp -s -n $((16 << 20)) - /dev/zero; }

@test "a step that names another drive does nothing" {
    local before status=0 said
    before=$(header)
    said=$(own storage erase "$drive" --drive serial:another --yes 2>&1) || status=$?
    [[ $status == 75 && $said == *"and not serial:another"* ]] || fail "status $status: $said"
    [[ $(header) == "$before" ]]
}

@test "prepare: LUKS2 with the cipher for this processor, a key of its own on the card, and nothing readable past the encryption" {
    needs filefrag
    by_hand prepare --yes >/dev/null
    [[ $(header_cipher "$drive") == "$(wanted_cipher)" ]]
    [[ $(stat -c '%a %u %s' "$OWN/state/lease.key") == "600 0 64" ]]
    local file=$OWN/run/drive/marker block
    { yes "sublet-hardware-marker $BATS_SUITE_TMPDIR" || true; } | head -c 4M >"$file"
    sync
    sha256sum <"$file" >"$BATS_FILE_TMPDIR/digest"
    block=$(filefrag -e -b4096 "$file" | awk -F'[:.]+ *' '$1 ~ /^ *0$/ { print $4; exit }')
    echo "block $block"
    # The same blocks through the mapping and past it; data begins behind a header of 16 MiB.
    dd if=/dev/mapper/subtest0-lease bs=4096 skip="$block" count=16 iflag=direct status=none | grep -q sublet-hardware-marker
    dd if="$drive" bs=4096 skip=$((block + 4096)) count=16 iflag=direct status=none >"$BATS_TEST_TMPDIR/raw"
    ! grep -q sublet-hardware-marker "$BATS_TEST_TMPDIR/raw" || fail "the marker stands readable on the drive"
    ! cmp -s -n 65536 "$BATS_TEST_TMPDIR/raw" /dev/zero || fail "there is nothing where the marker should be"
    own storage close
}

@test "closed and opened again with its key: the data is there; with another key it stays closed" {
    by_hand open
    [[ $(sha256sum <"$OWN/run/drive/marker") == "$(<"$BATS_FILE_TMPDIR/digest")" ]]
    own storage close
    mv "$OWN/state/lease.key" "$BATS_FILE_TMPDIR/key"
    head -c 64 /dev/urandom >"$OWN/state/lease.key"
    ! by_hand open >/dev/null 2>&1 || fail "it opened with another key"
    cp -p "$BATS_FILE_TMPDIR/key" "$OWN/state/lease.key"
}

@test "erase: no header, no key, no signature; the old key opens nothing; and verify agrees" {
    local before
    before=$(header)
    SECONDS=0
    by_hand erase --yes --json >"$BATS_TEST_TMPDIR/report"
    say "$(tail -1 "$BATS_TEST_TMPDIR/report") after $SECONDS s"
    [[ $(header) != "$before" ]]
    is_zero
    [[ ! -e $OWN/state/lease.key ]]
    local status=0
    blkid -p "$drive" || status=$?
    [[ $status == 2 ]] || fail "blkid finds something"
    if command -v cryptsetup >/dev/null; then
        ! cryptsetup open --test-passphrase --key-file "$BATS_FILE_TMPDIR/key" "$drive" 2>/dev/null || fail "the old key opens it"
    fi
    by_hand verify >/dev/null
}

@test "verify says no where one byte is left" {
    printf x | dd of="$drive" bs=1 seek=$((5 << 20)) conv=notrunc,fsync status=none
    local status=0 said
    said=$(by_hand verify 2>&1) || status=$?
    say "$said"
    [[ $status == 70 ]] || fail "status $status"
    dd if=/dev/zero of="$drive" bs=4096 seek=$(((5 << 20) / 4096)) count=1 conv=notrunc,fsync status=none
    by_hand verify >/dev/null
}
