# shellcheck shell=sh disable=SC2154 # work, date, boot, disk_id and volume_id are the caller's
# A card's partitions and what goes around them, as one file. Sourced by board/image, never run.

mebibyte=1048576
boot_mebibytes=128
data_mebibytes=64
pack_level=${SUBLET_PACK:-19}
squash_options="-comp zstd -Xcompression-level $pack_level -b 256K -no-xattrs -no-exports -noappend -quiet"

mebibytes_of() { echo $((($(stat -c %s "$1") + mebibyte - 1) / mebibyte)); }

# A word for a program that is to show how far it is, where somebody looks; or another one.
on_terminal() { if [ -t 2 ]; then echo "$1"; else echo "${2-}"; fi; } # on_terminal WORD [WORD]

# Every file in it has the archive's date.
make_root_image() { # make_root_image ROOT FILE
    # shellcheck disable=SC2046,SC2086 # lists of words
    nice mksquashfs "$1" "$2" $squash_options $(on_terminal -progress -no-progress) \
        -mkfs-time "$date" -all-time "$date" >"$(on_terminal /dev/stderr /dev/null)" || # its bar goes to standard output
        die 70 "mksquashfs failed"
}

make_fat() { # make_fat FOLDER FILE MEBIBYTES LABEL ID
    truncate -s "${3}M" "$2"
    mkfs.vfat --invariant -F 32 -n "$4" -i "$(echo "$5" | tr -d -)" "$2" >/dev/null
    find "$1" -exec touch -d "@$date" '{}' +
    (cd "$1" && find . -mindepth 1 | LC_ALL=C sort) | while read -r name; do
        if [ -d "$1/$name" ]; then mmd -i "$2" "::$name"; else mcopy -m -i "$2" "$1/$name" "::$name"; fi
    done
}

# The governor's memory, empty: files copied into it would bring the time of this build along.
make_data_image() { # make_data_image FILE
    E2FSPROGS_FAKE_TIME=$date mke2fs -q -t ext4 -b 4096 -m 0 -L data -U "$data_uuid" \
        -E "hash_seed=$data_uuid,root_owner=0:0,nodiscard,lazy_itable_init=0,lazy_journal_init=0" \
        -O "^orphan_file,^metadata_csum_seed" "$1" "${data_mebibytes}M" >/dev/null
}

# In full, without holes but after the root: what a flashed card had before shall not come back as a table of files or a journal.
put() { dd if="$1" of="$2" bs=1M seek="$3" conv=notrunc status=none; }

# The second system's partitions are an extended one's, before the data; each of them begins a mebibyte behind what describes it.
second_system() {
    cat <<TABLE
start=$((data_at - extended_mebibytes))MiB, size=${extended_mebibytes}MiB, type=f
start=$((data_at - extended_mebibytes + 1))MiB, size=${root_mebibytes}MiB, type=83
start=${kernel_at}MiB, size=${kernel_mebibytes}MiB, type=c
start=$((kernel_at + kernel_mebibytes + 1))MiB, size=${kernel_mebibytes}MiB, type=c
TABLE
}

# Where the parts lie, in mebibytes.
place_parts() { # place_parts ROOT
    root_mebibytes=$(mebibytes_of "$1")
    [ "$root_mebibytes" -le "$slot_mebibytes" ] || die 70 "the root has $root_mebibytes MiB, and a slot $slot_mebibytes"
    root_mebibytes=$slot_mebibytes
    root_at=$((1 + boot_mebibytes))
    extended_mebibytes=$((slot_mebibytes + 2 * kernel_mebibytes + 3))
    data_at=$((root_at + slot_mebibytes + extended_mebibytes))
    kernel_at=$((data_at - 2 * kernel_mebibytes - 1))
}

make_disk() { # make_disk BOOT ROOT DATA KERNEL FILE
    place_parts "$2"
    truncate -s "$((data_at + data_mebibytes))M" "$5"
    [ ! -e "$work/mbr" ] || dd if="$work/mbr" of="$5" conv=notrunc status=none
    sfdisk -q "$5" <<TABLE
label: dos
label-id: 0x$disk_id
start=1MiB, size=${boot_mebibytes}MiB, type=c, bootable
start=${root_at}MiB, size=${root_mebibytes}MiB, type=83
start=${data_at}MiB, size=${data_mebibytes}MiB, type=83
$(second_system)
TABLE
    put "$1" "$5" 1
    put "$2" "$5" "$root_at"
    put "$3" "$5" "$data_at"
    put "$4" "$5" "$kernel_at"
}
