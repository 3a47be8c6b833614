# shellcheck shell=bash
# What the tests of a lease share: `load ../lease`. What is known of the lease lies in SUBLET_TEST_NOTES, on the card.

load ../device

NOTES=$SUBLET_TEST_NOTES

# The market's operator, wherever that is.
market() { bash -c "$SUBLET_TEST_MARKET \"\$@\"" market "$@"; }

needs_market() {
    [[ -n $SUBLET_TEST_MARKET ]] || skip "nobody can rent this device from here: --market COMMAND"
}

needs_lease() {
    [[ -e $NOTES/access.json ]] || skip "the device was not rented for this"
}

# This device's row in the market's list.
row() { market device list --json | jq -r --arg id "$(config .deviceId)" ".[] | select(.id == \$id) | $1 // empty"; }

access() { jq -r ".$1" "$NOTES/access.json"; }

# Runs a command in the rented machine, as its renter does: by password, through the tunnel.
renter() {
    local askpass=$SUBLET_TEST_FOLDER/askpass
    # shellcheck disable=SC2016 # askpass's own
    printf '#!/bin/sh\njq -r .password %q\n' "${ACCESS:-$NOTES/access.json}" >"$askpass"
    chmod 700 "$askpass"
    SSH_ASKPASS=$askpass SSH_ASKPASS_REQUIRE=force timeout 120 ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o LogLevel=ERROR -o ConnectTimeout=20 -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 \
        -p "$(access sshPort)" -l "$(access user)" "$(access host)" "$@" 3>&-
}

renter_greets() { renter true </dev/null >/dev/null 2>&1; }

host_key() { timeout 30 ssh-keyscan -p "$(access sshPort)" -t ed25519 "$(access host)" 2>/dev/null | awk '{ print $3 }'; }

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# The process that holds the renter's machine, whose first process is its child.
machine_shim() { pgrep -f "containerd-shim.* -id .*$SUBLET_RUN" | head -1; }

make_notes() { [[ -d $NOTES ]] || mkdir -m 700 "$NOTES"; }

# Keeps something for after a power cut.
note() { # note NAME VALUE
    make_notes
    printf '%s\n' "$2" >"$NOTES/$1.new"
    sync "$NOTES/$1.new"
    mv "$NOTES/$1.new" "$NOTES/$1"
    sync "$NOTES"
}

# The lease goes on: the same one, the same machine, the same data.
must_go_on() {
    wait_for 900 "the lease to go on" state_is leased
    [[ $(status_of lease) == "$(access lease)" ]] || fail "it is another lease: $(status_of lease)"
    wait_for 600 "the renter's login" renter_greets
    [[ $(renter 'cat ~/marker /data/marker | sha256sum' </dev/null) == "$(<"$NOTES/digest")" ]] || fail "the renter's data is not what it was"
    [[ $(host_key) == "$(<"$NOTES/host-key")" ]] || fail "it is another machine, by its host key"
    [[ $(status_of lamp) == steady ]] || fail "the lamp is $(status_of lamp)"
}
