#!/usr/bin/env bats
# Which disks are taken and which are left alone, on a kernel with FAT, partition tables and device-mapper: the fast rig. As root, after
# `make build`. (Hot-plug over real USB is drive.bats; what needs no such kernel is Tests/Integration/test_drives.py.)
#
#   bats --tap hardware-tests/adopt.bats                  about 1 minute
#   SUBLET_LONG=1 bats --tap hardware-tests/adopt.bats    and exFAT and NTFS, in the slow rig: some minutes more

load in-rig

setup_file() {
    needs linux.uml mmdebstrap mkfs.vfat mcopy sfdisk
    lay_out "$BATS_FILE_TMPDIR/programs" governor
}

# A file system as a camera leaves it.
make_photos() { # make_photos FILE SIZE
    local number
    truncate -s "$2" "$1"
    mkfs.vfat -n HOLIDAY "$1" >/dev/null
    for number in 1 2 3; do
        head -c 2000000 /dev/urandom >photo
        mcopy -i "$1" photo "::photo-$number.jpg"
    done
}

give_up() { : >empty && mcopy -i "$1" empty ::ERASE-THIS-DRIVE; }

# A table with photos on the first partition; the second one is given up.
make_table() {
    make_photos first 300M
    make_photos second 300M
    give_up second
    truncate -s 1100M "$1"
    sfdisk -q "$1" <<<$'label: dos\nstart=2048, size=614400, type=c\nstart=616448, size=614400, type=c'
    dd if=first of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
    dd if=second of="$1" bs=1M seek=301 conv=notrunc,sparse status=none
}

@test "photos, given-up sticks, partitions, mappings, LUKS, a stick that hangs: each as specified, and not a byte of somebody's changes" {
    cd "$BATS_TEST_TMPDIR"
    make_photos photos 1100M
    make_photos given-up 1100M
    give_up given-up
    make_table table
    sha256sum photos given-up table >before
    run "$PROJECT/hardware-tests/fast-rig/run" --timeout 240 --disk photos --disk given-up --disk table --disk held:1100M \
        --disk lease:1100M --share "$PROJECT/hardware-tests:/tests" --share "$BATS_FILE_TMPDIR/programs:/programs" -- /tests/adopt/guest /programs
    comment <<<"$output"
    [ "$status" = 0 ]
    [ "$(grep -c '^ok: ' <<<"$output")" = 16 ]
    sha256sum --check --quiet before
}

@test "long: exFAT and NTFS are read for their owner's word, and not written to" {
    [[ -n ${SUBLET_LONG-} ]] || skip "long: SUBLET_LONG=1"
    needs qemu-system-x86_64 mkfs.exfat mkntfs
    cd "$BATS_TEST_TMPDIR"
    truncate -s 1100M exfat ntfs
    mkfs.exfat exfat >/dev/null
    mkntfs -F -Q -q ntfs >/dev/null 2>&1
    run "$PROJECT/hardware-tests/slow-rig/run" --timeout 1500 --disk exfat --disk ntfs --share "$PROJECT/hardware-tests:/tests" \
        --share "$BATS_FILE_TMPDIR/programs:/programs" -- /tests/adopt/others /programs
    comment <<<"$output"
    [ "$status" = 0 ]
    [ "${lines[-1]}" = "that is all" ]
}
