#!/usr/bin/env bats
# Which cipher a drive gets: AES-XTS where the processor has AES instructions, else Adiantum. (Which is the faster: the tier bench.)

load ../device

@test "a drive that the governor prepares here, a file, gets the cipher for this processor, and opens with its key alone" {
    needs_dm_crypt
    local file=$BATS_TEST_TMPDIR/drive wanted
    (($(df --output=avail -k "$BATS_TEST_TMPDIR" | tail -1) > 300000)) || skip "less than 300 MB are free in $BATS_TEST_TMPDIR"
    make_own "{\"path\": \"$file\", \"sizeMiB\": 1024}"
    own storage prepare --yes >/dev/null
    wanted=$(wanted_cipher)
    say "$(header_cipher "$file"), for $(lscpu | sed -n 's/^Model name: *//p')"
    [[ $(header_cipher "$file") == "$wanted" ]] || fail "expected $wanted, found $(header_cipher "$file")"
    dmsetup table subtest0-lease | grep -qw "$wanted" || fail "the kernel's mapping is another: $(dmsetup table subtest0-lease)"
    own storage close
    rm "$OWN/state/lease.key"
    ! own storage open >/dev/null 2>&1 || fail "it opened without its key"
}

@test "the drive in use has the cipher for this processor" {
    needs_governor
    local path
    path=$(status_of drivePath)
    [[ -n $path && $(status_of encryption) == luks2 ]] || skip "no encrypted drive is in use"
    state_is building offered leased || skip "the drive is not open; the device is $(status_of state)"
    say "$path: $(header_cipher "$path")"
    [[ $(header_cipher "$path") == "$(wanted_cipher)" ]]
}
