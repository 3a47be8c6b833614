#!/usr/bin/env bats
# The renter's vault on a real dm-crypt, in the fast rig. As root, after `make build`.
#
#   bats --tap hardware-tests/vault.bats        about 6 minutes on an idle machine
#
# The tests are one story: the second goes on with the drive and the card that the first left when its power was cut.

load story

setup_file() {
    needs linux.uml mmdebstrap
    lay_out_story
    # Passphrase, what is written into the vault, what is written beside it.
    local word
    for word in passphrase vault clear; do
        printf 'sublet-%s-%s\n' "$word" "$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    done >"$STORY/io/secrets"
}

# What drive and card hold, read on the host's side: neither the passphrase nor what was written into the vault or beside it.
nothing_readable() { # nothing_readable WHEN
    local disk found words
    mapfile -t words <"$STORY/io/secrets"
    for disk in drive card; do
        found=$(search "$disk" "${words[@]}")
        echo "# passphrase, vault's text, lease's text on the raw $disk, $1: $found" >&3
        [[ $found == '0 0 0' ]]
    done
}

@test "a vault is made, used, closed by every end of its machine; its passphrase is nowhere" {
    chapter "$STORY" 1800 vault_in_rig.py kept
    come_to searched
    nothing_readable "while it is open"
    # And so we know that the search does find.
    [[ $(search drive sublet-lease) -gt 0 ]]
    go searched
    come_to open
    cut_power
    nothing_readable "after a power cut"
}

@test "after the power cut it is closed until its passphrase comes; a thousand guesses; it ends with the lease" {
    chapter "$STORY" 1800 vault_in_rig.py after-power-cut
    chapter_ends
    nothing_readable "after the lease"
}
