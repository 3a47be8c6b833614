# shellcheck shell=bash
# What the bats files for both rigs share: `load in-rig`.

# Skips the file's tests on a machine that can't run them.
needs() { # needs PROGRAM...
    local program
    [[ $(id -u) == 0 ]] || skip "must run as root"
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "needs $program: run board/host/needs test rig vm"
    done
}

# All that a file's tests lay down is in bats' folder for it, and their processes name that folder.
stay_in_folder() {
    export TMPDIR=$BATS_FILE_TMPDIR
}

# Sets PROJECT, copies our programs to a folder (nobody builds them anew while a test runs), and makes the fast rig's root.
lay_out() { # lay_out FOLDER PROGRAM...
    local folder=$1
    shift
    stay_in_folder
    PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
    export PROJECT
    mkdir -p "$folder"
    (cd "${SUBLET_BIN:-$PROJECT/.build/release}" && cp "$@" "$folder/")
    "$PROJECT/hardware-tests/fast-rig/root" >/dev/null
}

# The renter's base image, in a folder of its own.
lay_out_base() { # lay_out_base FOLDER
    local base
    mkdir -p "$1"
    base=$("$PROJECT/board/base-image" "$(dpkg --print-architecture)")
    cp --reflink=auto "$base" "$1/"
}

# Sets PROJECT, and SUBLET_BOARDS where nobody has: for tests of cards.
lay_out_cards() {
    stay_in_folder
    PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
    export PROJECT SUBLET_BOARDS=${SUBLET_BOARDS:-virtualbox-amd64}
}

needs_machines() {
    [[ " $SUBLET_BOARDS" != *" pi-"* ]] || needs qemu-system-aarch64
    [[ -x ${SUBLET_BIN:-$PROJECT/.build/release}/market ]] || skip "needs the market: run make build"
}

needs_cards() {
    local board
    needs_machines
    for board in $SUBLET_BOARDS; do
        [[ -e $(card_of "$board") ]] || skip "needs a card: run make image BOARD=$board"
    done
}

card_of() { echo "$PROJECT/.build/image/sublet-$1.img.xz"; }

# A rig of cards that must end well; what it tells is shown.
goes_well() { # goes_well RIG OPTION...
    "$PROJECT/hardware-tests/$1" "${@:2}" >"$BATS_TEST_TMPDIR/told" 2>&1 || {
        cat "$BATS_TEST_TMPDIR/told"
        return 1
    }
    comment "$BATS_TEST_TMPDIR/told"
}

# Says in TAP comments what the guest printed.
comment() { sed 's/^/# /' "$@" >&3; }

# A rig in the background: `rig` is its process, `out` the file of what it prints.
# shellcheck disable=SC2016 # perl's variables
start() { # start RIG ARGUMENT...
    out=${out:-$BATS_TEST_TMPDIR/out}
    # bats' own descriptor 3 stays out of it; perl, because bash starts background jobs deaf for Ctrl-C.
    perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$@" >"$out" 2>&1 3>&- &
    rig=$!
}

# Waits for a line that the guest prints, at most half an hour; the rig's own time limit may end it before.
await() { # await PATTERN
    local last=$((SECONDS + 1800))
    until grep -q -- "$1" "$out"; do
        if ((SECONDS > last)) || ! kill -0 "$rig" 2>/dev/null; then
            kill -TERM "$rig" 2>/dev/null || true
            ends_with 0 || true
            echo "it never said '$1'"
            return 1
        fi
        sleep 0.1
    done
}

# Waits for the end; prints why it is not the one that was expected.
ends_with() { # ends_with STATUS
    local status=0
    wait "$rig" || status=$?
    rig=''
    [[ $status == "$1" ]] || { echo "exit status $status"; grep -a 'FAILED' "$out" || true; cat "$out"; return 1; }
}

# For a file's `teardown`: nothing that a failed test has started goes on.
end_rig() {
    [[ -n ${rig-} ]] || return 0
    kill -TERM "$rig" 2>/dev/null || true
    wait "$rig" 2>/dev/null || true
}

# Whether no rig of this file runs, and none has left its folder or a mount.
nothing_left() {
    local left
    # The pattern comes from a file, or grep would find itself.
    echo "$BATS_FILE_TMPDIR/rig." >"$BATS_FILE_TMPDIR/ours"
    left=$(
        grep -lsF -f "$BATS_FILE_TMPDIR/ours" /proc/[0-9]*/cmdline /proc/self/mountinfo
        compgen -G "$BATS_FILE_TMPDIR/rig.*"
    ) || true
    [[ -z $left ]] || { echo "left: $left"; return 1; }
}
