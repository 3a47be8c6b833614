#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has variables of its own, and means to
# The whole lease on a drive that is really encrypted (dm-crypt, Docker and power cuts by the fast rig). As root, after `make build`.
#
#   bats --tap hardware-tests/lease.bats                  about 4 minutes: a whole lease, and the power cut in four places
#   SUBLET_LONG=1 bats --tap hardware-tests/lease.bats    about 10: more places, and the other ways to erase
#
# The tests are one story: each goes on with the drive and the card that the one before left.

load story

setup_file() {
    needs linux.uml mmdebstrap
    lay_out_story
}

# A chapter up to the place where its power is to be cut.
chapter_to() { # chapter_to PLACE FOLDER SECONDS CHAPTER [WORD]
    chapter "$2" "$3" lease_in_rig.py "${@:4}"
    come_to "$1"
}

# A chapter to its end.
chapter_whole() { # chapter_whole FOLDER SECONDS CHAPTER [WORD]
    chapter "$1" "$2" lease_in_rig.py "${@:3}"
    chapter_ends
}

# What the whole drive holds, read on the host's side of it: no text of a renter; the words say of what.
nothing_readable() { # nothing_readable WHEN
    local first second found
    { read -r first && read -r second; } <"$STORY/io/markers"
    found=$(search drive "$first" "$second")
    echo "# the markers on the raw drive, $1: $found" >&3
    [[ $found == '0 0' ]]
}

# How often the lease's key and the key of the volume itself stand anywhere on card and drive.
keys_found() {
    local lease volume
    { read -r lease && read -r volume; } <"$STORY/io/keys"
    search card "$lease" "$volume"
    search drive "$lease" "$volume"
}

# A copy of drive and card as they are now.
keep() { # keep NAME
    mkdir "$STORY/$1"
    cp --sparse=always --reflink=auto "$STORY/drive" "$STORY/card" "$STORY/$1/"
}

only_long() { [[ -n ${SUBLET_LONG-} ]] || skip "only with SUBLET_LONG=1"; }

@test "a whole lease on an encrypted drive; the next renter sees nothing of it" {
    chapter_to live "$STORY" 1800 whole
    nothing_readable "while the lease lives"
    # And so we know that the search does find: the label of the LUKS header.
    [[ $(search drive sublet-lease) -gt 0 ]]
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
    chapter_to frozen "$STORY" 900 interrupted-erase erase-due
    cut_power
    [[ -z ${SUBLET_LONG-} ]] || keep due
}

@test "the power cut within an erase: erased before anything is opened or offered" {
    chapter_to frozen "$STORY" 900 again-interrupted slots-destroyed
    cut_power
    chapter_to frozen "$STORY" 900 erased formatted
    cut_power
    [[ -z ${SUBLET_LONG-} ]] || keep preparing
}

@test "the power cut while a drive is prepared: it gets another key; at the end nothing is left" {
    chapter_whole "$STORY" 900 prepared
}

@test "long: the power cut at every place of an erase" {
    only_long
    local place
    for place in key-file-gone erase-begun slots-destroyed header-wiped; do
        cp --sparse=always --reflink=auto "$STORY/due/drive" "$STORY/due/card" "$BATS_TEST_TMPDIR/"
        chapter_to frozen "$BATS_TEST_TMPDIR" 900 again-interrupted "$place"
        cut_power
        chapter_to frozen "$BATS_TEST_TMPDIR" 900 erased
        cut_power
    done
}

@test "long: the power cut at every place of a preparation" {
    only_long
    local place
    for place in prepare-due key-made opened file-system; do
        cp --sparse=always --reflink=auto "$STORY/preparing/drive" "$STORY/preparing/card" "$BATS_TEST_TMPDIR/"
        chapter_to frozen "$BATS_TEST_TMPDIR" 900 again-interrupted "$place"
        cut_power
        chapter_whole "$BATS_TEST_TMPDIR" 900 prepared
    done
}

@test "long: erased by discard or overwrite, not even header and key copied before read anything" {
    only_long
    local method
    for method in discard overwrite; do
        cp --sparse=always --reflink=auto "$STORY/leased/drive" "$STORY/leased/card" "$BATS_TEST_TMPDIR/"
        chapter_whole "$BATS_TEST_TMPDIR" 900 other-method "$method"
    done
}
