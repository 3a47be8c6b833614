#!/usr/bin/env bats
# The renter's vault on a real dm-crypt, in the fast rig. As root, after `make build`.
#
#   bats --tap hardware-tests/vault.bats        about 6 minutes on an idle machine
#
# The tests are one story: the second goes on with the drive and the card that the first left when its power was cut.

setup_file() {
    command -v linux.uml >/dev/null || skip "needs User-Mode Linux (apt-get install user-mode-linux)"
    command -v mmdebstrap >/dev/null || skip "needs mmdebstrap (apt-get install mmdebstrap)"
    [[ $(id -u) == 0 ]] || skip "must run as root"
    export TMPDIR=$BATS_FILE_TMPDIR
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT STORY=$BATS_FILE_TMPDIR/story
    mkdir -p "$STORY"/{programs,base,io}
    # Copies: nobody builds them anew while the story is told.
    cp "${SUBLET_BIN:-$PROJECT/.build/release}"/{governor,market} "$STORY/programs/"
    local base
    base=$("$PROJECT/board/base-image" "$(dpkg --print-architecture)")
    cp --reflink=auto "$base" "$STORY/base/"
    # Passphrase, what is written into the vault, what is written beside it.
    local word
    for word in passphrase vault clear; do
        printf 'sublet-%s-%s\n' "$word" "$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    done >"$STORY/io/secrets"
    "$PROJECT/hardware-tests/fast-rig/root" >/dev/null
}

setup() {
    [[ ! -e $STORY/broken ]] || skip "the story ended before"
}

teardown() {
    [[ -n ${BATS_TEST_COMPLETED-} ]] || : >"$STORY/broken"
    [[ -z ${rig-} ]] || kill -TERM "$rig" 2>/dev/null || true
    [[ -z ${rig-} ]] || wait "$rig" 2>/dev/null || true
}

chapter() { # chapter SECONDS CHAPTER
    rm -f "$STORY"/io/go-*
    out=$BATS_TEST_TMPDIR/$2
    # bats' own descriptor 3 stays out of it.
    "$PROJECT/hardware-tests/fast-rig/run" --timeout "$1" --disk "$STORY/drive:1536M" --disk "$STORY/card:512M" \
        --share "$PROJECT:/project" --share "$STORY/programs:/programs" --share "$STORY/base:/base" --share "$STORY/io:/io" -- \
        env PYTHONDONTWRITEBYTECODE=1 SUBLET_BIN=/programs python3 /project/hardware-tests/lease/vault_in_rig.py "$2" \
        >"$out" 2>&1 3>&- &
    rig=$!
}

# Waits for the guest to say that it is there; the rig's own time limit ends the waiting.
come_to() { # come_to PLACE
    until grep -qx "AT $1" "$out"; do
        if ! kill -0 "$rig" 2>/dev/null; then
            ends_with 0 || true
            echo "it never came to '$1'"
            return 1
        fi
        sleep 0.1
    done
}

ends_with() { # ends_with STATUS
    local status=0
    wait "$rig" || status=$?
    rig=''
    # As TAP comments where all went well, else as the reason.
    if [[ $status == "$1" ]]; then sed 's/^/# /' "$out" >&3; else cat "$out"; fi
    [[ $status == "$1" ]] || { echo "exit status $status"; return 1; }
}

# What drive and card hold, read on the host's side: neither the passphrase nor what was written into the vault or beside it.
nothing_readable() { # nothing_readable WHEN
    local disk found words
    mapfile -t words <"$STORY/io/secrets"
    for disk in drive card; do
        found=$("$PROJECT/hardware-tests/lease/raw-search" "$STORY/$disk" "${words[@]}" | paste -sd' ')
        echo "# passphrase, vault's text, lease's text on the raw $disk, $1: $found" >&3
        [[ $found == '0 0 0' ]]
    done
}

@test "a vault is made, used, closed by every end of its machine; its passphrase is nowhere" {
    chapter 1800 kept
    come_to searched
    nothing_readable "while it is open"
    # And so we know that the search does find.
    [[ $("$PROJECT/hardware-tests/lease/raw-search" "$STORY/drive" sublet-lease) -gt 0 ]]
    : >"$STORY/io/go-searched"
    come_to open
    kill -USR1 "$rig"
    ends_with 137
    nothing_readable "after a power cut"
}

@test "after the power cut it is closed until its passphrase comes; a thousand guesses; it ends with the lease" {
    chapter 1800 after-power-cut
    ends_with 0
    nothing_readable "after the lease"
}
