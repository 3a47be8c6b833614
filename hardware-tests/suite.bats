#!/usr/bin/env bats
# The hardware tests inside a card, as a tester runs them, and a card that is broken in each tier. As root; an hour for each board, more on a
# loaded machine. SUBLET_BOARDS says which boards (virtualbox-amd64); their cards must have been made (make image).

load in-rig

setup_file() {
    needs qemu-system-x86_64 mcopy sshpass nginx
    lay_out_cards
    needs_cards
}

# For each board; what it says is in `told`.
suite() { # suite STATUS OPTION...
    local board status expected=$1
    shift
    for board in $SUBLET_BOARDS; do
        status=0
        "$PROJECT/hardware-tests/suite-rig" "$(card_of "$board")" "$@" >"$BATS_TEST_TMPDIR/told" 2>&1 || status=$?
        comment "$BATS_TEST_TMPDIR/told"
        [[ $status == "$expected" ]] || fail "$board: status $status"
    done
}

says() { grep -qE -- "$1" "$BATS_TEST_TMPDIR/told" || fail "it does not say: $1"; }

fail() {
    echo "$*"
    return 1
}

@test "safe, bench, and destructive with a reboot and a power cut in the lease" {
    suite 0 --tier safe,bench,destructive
}

# A command for the device, which puts a governor in front of its own that does something else where its words match a pattern.
liar() { # liar PATTERN COMMAND...
    echo "cd /usr/sbin && mv governor governor.real && cat >governor <<'END' && chmod 755 governor"
    echo '#!/bin/sh'
    # shellcheck disable=SC2016 # the device's own
    echo 'case "$*" in'
    printf '%s) %s ;;\n' "$@"
    # shellcheck disable=SC2016
    echo '*) exec /usr/sbin/governor.real "$@" ;;'
    printf 'esac\nEND\n'
}

# shellcheck disable=SC2016 # the device's own
@test "safe: a governor that forgets a disk is seen" {
    suite 1 --filter 'storage list names' --before "$(liar '"storage list --json"*' '/usr/sbin/governor.real "$@" | jq "del(.[-1])"')"
    says '^not ok .* governor storage list names every disk'
}

# shellcheck disable=SC2016
@test "safe: a unit that was started again, a drive of another's serial and a drive with data that nobody speaks of are seen" {
    suite 1 --filter '^(governor.service|each USB drive|a disk here)' --before "systemctl kill --signal KILL --kill-whom main governor; sleep 30
$(liar '"storage list --json"*' '/usr/sbin/governor.real "$@" | jq "map(.identity |= sub(\"RIG-\"; \"RAG-\"))"' \
        '"status --json"*' '/usr/sbin/governor.real "$@" | jq "del(.drivesLeft)"')"
    says '^not ok .* governor.service: the unit runs'
    says '^not ok .* each USB drive'
    says '^not ok .* a disk here that is not ours waits'
}

@test "bench: a governor that takes AES on a processor without its instructions is seen" {
    [[ $SUBLET_BOARDS == virtualbox-amd64 ]] || skip "SUBLET_BOARDS has more than the PC, whose processor is known to be slow at it"
    suite 1 --tier bench --filter LUKS --before 'sed "s/^flags.*/& aes/" /proc/cpuinfo >/run/cpuinfo && mount --bind /run/cpuinfo /proc/cpuinfo'
    says '^not ok .* LUKS: the cipher'
}

@test "destructive: a verify that always agrees is seen" {
    suite 1 --tier destructive --filter '^(erase|verify)' --before "$(liar '"storage verify"*' 'exit 0')"
    says '^not ok .* verify says no where one byte is left'
}

# shellcheck disable=SC2016 # the device's own
@test "destructive: a drive that stays in its socket is seen" {
    suite 1 --tier destructive --filter '^(the drive is taken|rented|the drive is pulled)' --before 'mkdir -p /usr/local/bin && cat >/usr/local/bin/ssh <<"END" && chmod 755 /usr/local/bin/ssh
#!/bin/sh
case "$*" in *" hand pull "*) exit 0 ;; esac
exec /usr/bin/ssh "$@"
END'
    says '^not ok .* the drive is pulled'
}
