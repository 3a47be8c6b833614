#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has variables of its own, and means to
# The whole lease on a drive that is really encrypted (dm-crypt, Docker and power cuts by the fast rig). As root, after `make build`.
#
#   bats --tap hardware-tests/lease.bats                  about 4 minutes: a whole lease, and the power cut in four places
#   SUBLET_LONG=1 bats --tap hardware-tests/lease.bats    about 10: more places, and the other ways to erase
#
# The tests are one story: each goes on with the drive and the card that the one before left.

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

# Boots the drive and card in a folder, and returns when the guest has come to a place, or to its end.
chapter() { # chapter FOLDER SECONDS PLACE|end CHAPTER [WORD]
    local folder=$1 seconds=$2 place=$3
    shift 3
    rm -f "$STORY"/io/go-*
    out=$BATS_TEST_TMPDIR/${1}${2+-$2}
    # bats' own descriptor 3 stays out of it.
    "$PROJECT/hardware-tests/fast-rig/run" --timeout "$seconds" --disk "$folder/drive:1536M" --disk "$folder/card:512M" \
        --share "$PROJECT:/project" --share "$STORY/programs:/programs" --share "$STORY/base:/base" --share "$STORY/io:/io" -- \
        env PYTHONDONTWRITEBYTECODE=1 SUBLET_BIN=/programs python3 /project/hardware-tests/lease/lease_in_rig.py "$@" \
        >"$out" 2>&1 3>&- &
    rig=$!
    [[ $place == end ]] || come_to "$place"
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

go() { : >"$STORY/io/go-$1"; }

cut_power() {
    kill -USR1 "$rig"
    ends_with 137
}

ends_with() { # ends_with STATUS
    local status=0
    wait "$rig" || status=$?
    rig=''
    # As TAP comments where all went well, else as the reason.
    if [[ $status == "$1" ]]; then sed 's/^/# /' "$out" >&3; else cat "$out"; fi
    [[ $status == "$1" ]] || { echo "exit status $status"; return 1; }
}

# What the whole drive holds, read on the host's side of it: no text of a renter; the words say of what.
nothing_readable() { # nothing_readable WHEN
    local first second found
    { read -r first && read -r second; } <"$STORY/io/markers"
    found=$("$PROJECT/hardware-tests/lease/raw-search" "$STORY/drive" "$first" "$second" | paste -sd' ')
    echo "# the markers on the raw drive, $1: $found" >&3
    [[ $found == '0 0' ]]
}

# How often the lease's key and the key of the volume itself stand anywhere on card and drive.
keys_found() {
    local lease volume
    { read -r lease && read -r volume; } <"$STORY/io/keys"
    "$PROJECT/hardware-tests/lease/raw-search" "$STORY/card" "$lease" "$volume" | paste -sd' '
    "$PROJECT/hardware-tests/lease/raw-search" "$STORY/drive" "$lease" "$volume" | paste -sd' '
}

# A copy of drive and card as they are now.
keep() { # keep NAME
    mkdir "$STORY/$1"
    cp --sparse=always --reflink=auto "$STORY/drive" "$STORY/card" "$STORY/$1/"
}

only_long() { [[ -n ${SUBLET_LONG-} ]] || skip "only with SUBLET_LONG=1"; }

@test "a whole lease on an encrypted drive; the next renter sees nothing of it" {
    chapter "$STORY" 600 live whole
    nothing_readable "while the lease lives"
    # And so we know that the search does find: the label of the LUKS header.
    [[ $("$PROJECT/hardware-tests/lease/raw-search" "$STORY/drive" sublet-lease) -gt 0 ]]
    # Most of the drive was written, and the lease's key is on the card: also found.
    (($(du --block-size=1M "$STORY/drive" | cut -f1) > 1000))
    [[ $(keys_found) == $'1 0\n0 0' ]]
    go live
    come_to erased
    nothing_readable "after the erase"
    [[ $(keys_found) == $'0 0\n0 0' ]]
    cmp -n $((16 << 20)) "$STORY/drive" /dev/zero
    go erased
    come_to leased
    cut_power
    nothing_readable "after a power cut in the next lease"
    [[ -z ${SUBLET_LONG-} ]] || keep leased
}

@test "the power cut in the middle of a lease: it goes on with its data; cut again when its erase is due" {
    chapter "$STORY" 150 frozen interrupted-erase erase-due
    cut_power
    [[ -z ${SUBLET_LONG-} ]] || keep due
}

@test "the power cut within an erase: erased before anything is opened or offered" {
    chapter "$STORY" 90 frozen again-interrupted slots-destroyed
    cut_power
    chapter "$STORY" 90 frozen erased formatted
    cut_power
    [[ -z ${SUBLET_LONG-} ]] || keep preparing
}

@test "the power cut while a drive is prepared: it gets another key; at the end nothing is left" {
    chapter "$STORY" 120 end prepared
    ends_with 0
}

@test "long: the power cut at every place of an erase" {
    only_long
    local place
    for place in key-file-gone erase-begun slots-destroyed header-wiped; do
        cp --sparse=always --reflink=auto "$STORY/due/drive" "$STORY/due/card" "$BATS_TEST_TMPDIR/"
        chapter "$BATS_TEST_TMPDIR" 90 frozen again-interrupted "$place"
        cut_power
        chapter "$BATS_TEST_TMPDIR" 90 frozen erased
        cut_power
    done
}

@test "long: the power cut at every place of a preparation" {
    only_long
    local place
    for place in prepare-due key-made opened file-system; do
        cp --sparse=always --reflink=auto "$STORY/preparing/drive" "$STORY/preparing/card" "$BATS_TEST_TMPDIR/"
        chapter "$BATS_TEST_TMPDIR" 90 frozen again-interrupted "$place"
        cut_power
        chapter "$BATS_TEST_TMPDIR" 120 end prepared
        ends_with 0
    done
}

@test "long: erased by discard or overwrite, not even header and key copied before read anything" {
    only_long
    local method
    for method in discard overwrite; do
        cp --sparse=always --reflink=auto "$STORY/leased/drive" "$STORY/leased/card" "$BATS_TEST_TMPDIR/"
        chapter "$BATS_TEST_TMPDIR" 400 end other-method "$method"
        ends_with 0
    done
}
