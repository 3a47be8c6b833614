#!/usr/bin/env bats
# The file by which boot loader and RAUC choose one of a card's two systems. That they do: hardware-tests/update.bats.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export SUBLET_CARD=$BATS_TEST_TMPDIR
    mkdir "$SUBLET_CARD/grub"
    file=$SUBLET_CARD/grub/grubenv
}

slots() { sh rootfs-overlay/usr/lib/sublet/slots "$@"; }

@test "without a file it is as on a new card: A, and B may not start" {
    [[ $(slots get-primary) == A && $(slots get-state A) == good && $(slots get-state B) == bad ]]
    run slots is-new A
    [[ $status != 0 ]]
}

@test "an update: the other system is bad while it is written, then first and new, then good" {
    slots set-state B bad
    [[ $(slots get-primary) == A ]]
    slots set-primary B
    [[ $(slots get-primary) == B ]]
    slots is-new B
    sed -i 's/^B_TRY=0/B_TRY=2/' "$file"
    slots set-state B good
    [[ $(slots get-primary) == B && $(slots get-state A) == good ]]
    grep -qx B_TRY=0 "$file"
    run slots is-new B
    [[ $status != 0 ]]
}

@test "one that is given up leaves the other one first" {
    slots set-primary B
    slots set-state B bad
    [[ $(slots get-primary) == A ]]
}

@test "the file is a block as GRUB wants it, and all that counts is in its first sector" {
    slots set-primary B
    [[ $(stat -c %s "$file") == 1024 && $(head -n 1 "$file") == "# GRUB Environment Block" ]]
    [[ $(tail -c 512 "$file" | tr -d '#' | wc -c) == 0 ]]
    # A file that somebody cut off, or wrote something else into, is made anew.
    for text in '' 'ORDER=B A' "$(seq 5000)"; do
        printf '%s' "$text" >"$file"
        slots set-state A good
        [[ $(stat -c %s "$file") == 1024 && $(head -n 1 "$file") == "# GRUB Environment Block" ]]
    done
}

@test "what is no order is refused, and changes nothing" {
    slots set-state A good
    cp "$file" "$BATS_TEST_TMPDIR/before"
    for words in '' 'set-primary C' 'set-primary' 'set-state A' 'set-state A fine' 'get-state' 'remove A'; do
        # shellcheck disable=SC2086 # several words
        run slots $words
        [[ $status == 64 ]]
    done
    cmp "$file" "$BATS_TEST_TMPDIR/before"
}
