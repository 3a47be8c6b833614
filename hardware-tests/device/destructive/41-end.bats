#!/usr/bin/env bats
# The end of the lease that the tests rented: erased, witnessed by a receipt, and offered again.

load ../lease

file_needs() {
    needs_market
    needs_lease
}

@test "the market ends the lease: erased before anything else; the renter's machine is gone, and the old account opens nothing" {
    local path machine
    path=$(status_of drivePath)
    machine=$(pgrep -P "$(machine_shim)" | head -1)
    [[ -n $machine ]] || fail "no machine of the renter's is found"
    market end "$(row .name)" >/dev/null
    over() { [[ -n $(status_of state) && $(status_of lease) != "$(access lease)" ]]; }
    wait_for 900 "the erase" over
    is_ended() { [[ ! -d /proc/$machine ]]; }
    wait_for 60 "the renter's machine to end" is_ended
    ! renter_greets || fail "the renter still gets in"
    say "the governor is $(status_of state); $path"
}

@test "the market has a wipe receipt of it that verifies, and one with a changed word does not" {
    local file=$BATS_TEST_TMPDIR/receipt
    has_receipt() { market receipt show "$(access lease)" >"$file" 2>/dev/null; }
    wait_for 300 "the receipt" has_receipt
    # The market may be on another machine: a file there is one that it can read.
    if [[ $SUBLET_TEST_MARKET == ssh* ]]; then
        say "it verifies where it is: market receipt show $(access lease) > FILE; market receipt verify FILE"
        skip "the market is on another machine, and takes no file from here"
    fi
    market receipt verify "$file"
    sed 's/header-zero/header-none/' "$file" >"$file.changed"
    ! cmp -s "$file" "$file.changed" || fail "the receipt does not say header-zero: $(cat "$file")"
    local status=0
    market receipt verify "$file.changed" || status=$?
    [[ $status == 65 ]] || fail "a changed receipt gets status $status"
}

@test "it is offered again, with another lease; nothing of the test stays on the card" {
    wait_for 1800 "the next offer" state_is offered
    [[ -n $(status_of lease) && $(status_of lease) != "$(access lease)" ]]
    rm -rf "$NOTES"
}
