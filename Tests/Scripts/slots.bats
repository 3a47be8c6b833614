#!/usr/bin/env bats
# shellcheck disable=SC2016 # U-Boot's variables
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

# What U-Boot does by it: hardware-tests/uboot.bats.
uboot_script() { sh -euc '. board/card/slots.sh; . board/card/boot-uboot.sh; disk_id=$(sed -n "s/^PARTUUID=\(.*\)-01 .*/\1/p" rootfs-overlay/etc/fstab); write_uboot_script'; }

@test "a Pi's boot script reads and writes back the very names that are in the file, and knows the roots that RAUC writes" {
    local names slot
    slots set-state A good
    names=$(sed -n 's/^\([AB_A-Z]*\)=.*/\1/p' "$file" | sort | paste -s -d ' ')
    [[ $names == *A_TRY* ]]
    for words in 'env import -t 1000000 ${filesize}' 'env export -t -s 400 1000000'; do
        [[ $(uboot_script | grep -F "$words " | sed 's/.*000000 \(${filesize} \)\?//' | tr ' ' '\n' | sort | paste -s -d ' ') == "$names" ]]
    done
    for slot in A:02 B:05; do
        uboot_script | grep -qF "root=PARTUUID=5b1e7000-${slot#*:} rauc.slot=${slot%:*}\""
        grep -B1 -A2 "^device=.*/5b1e7000-${slot#*:}$" rootfs-overlay/etc/rauc/system.conf | grep -qx "bootname=${slot%:*}"
    done
}

@test "mkimage packs that script, the same each time" {
    command -v mkimage >/dev/null || skip "needs mkimage: run board/host/needs image"
    local round
    uboot_script >"$BATS_TEST_TMPDIR/script"
    for round in 1 2; do
        SOURCE_DATE_EPOCH=1700000000 mkimage -A arm -T script -C none -n Sublet -d "$BATS_TEST_TMPDIR/script" "$BATS_TEST_TMPDIR/packed-$round" >/dev/null
        sleep 1
    done
    cmp "$BATS_TEST_TMPDIR"/packed-[12]
    # Behind a header of 64 bytes and two words of lengths.
    cmp "$BATS_TEST_TMPDIR/script" <(tail -c +73 "$BATS_TEST_TMPDIR/packed-1")
}
