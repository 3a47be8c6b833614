#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154 # each test has variables of its own, and means to; rig is in-rig's
# USB drives that come and go under a real kernel and a real udev: what is taken, what is left alone, what is finished later. The
# drives are images, plugged into the slow rig; market, tunnel server and device run in the guest. As root, after `make build`.
#
#   bats --tap hardware-tests/drive.bats                  up to the first offer
#   SUBLET_LONG=1 bats --tap hardware-tests/drive.bats    and a lease whose drive is pulled
#
# The tests are one story on one machine: each goes on where the one before left. Only `boot`, `board` and `usb` below
# know that it is a rig.

load in-rig

setup_file() {
    needs qemu-system-x86_64 linux.uml mmdebstrap mkfs.vfat mcopy mkntfs cryptsetup
    export STORY=$BATS_FILE_TMPDIR/story
    mkdir -p "$STORY"/{base,io}
    lay_out "$STORY/programs" governor market
    "$PROJECT/hardware-tests/drive/thin-base" "$("$PROJECT/board/base-image" "$(dpkg --print-architecture)")" "$STORY/base/base.tar"
    "$PROJECT/hardware-tests/slow-rig/root" >/dev/null
    make_photos
    fingerprint photos >"$STORY/photos.before"
    boot
}

teardown_file() {
    [[ ! -e $STORY/rig ]] || kill -TERM "$(<"$STORY/rig")" 2>/dev/null || true
    # It takes its guest along, and its folder.
    for _ in {1..300}; do
        ! nothing_left >/dev/null || break
        sleep 0.2
    done
}

setup() {
    [[ ! -e $STORY/broken ]] || skip "the story ended before"
    cd "$STORY" || return 1
}

teardown() {
    [[ -n ${BATS_TEST_COMPLETED-} ]] || : >"$STORY/broken"
}

# A stick with a FAT file system and photos, as a camera leaves it.
make_photos() {
    local number
    truncate -s 1200M "$STORY/photos"
    mkfs.vfat -n HOLIDAY "$STORY/photos" >/dev/null
    for number in 1 2 3; do
        head -c 2000000 /dev/urandom >"$STORY/photo-$number.jpg"
        mcopy -i "$STORY/photos" "$STORY/photo-$number.jpg" ::
    done
}

# Boots the board, with the photos plugged in before its kernel runs.
boot() {
    out=$STORY/out start "$PROJECT/hardware-tests/slow-rig/run" --timeout 7200 --qmp "$STORY/qmp" --kernel-log "$STORY/kernel.log" --disk "$STORY/card:1G" \
        --share "$PROJECT:/project" --share "$STORY/programs:/programs" --share "$STORY/base:/base" --share "$STORY/io:/io" -- \
        env PYTHONDONTWRITEBYTECODE=1 SUBLET_BIN=/programs python3 /project/hardware-tests/drive/drive_on_board.py /io /dev/vda
    echo "$rig" >"$STORY/rig"
    usb plug photos --serial PHOTOS
}

# The hand at the board's sockets.
usb() {
    local words=()
    # Drives are named by their files here.
    for word in "$@"; do
        if [[ -f $STORY/$word ]]; then words+=("$STORY/$word"); else words+=("$word"); fi
    done
    "$PROJECT/hardware-tests/slow-rig/usb" --qmp "$STORY/qmp" "${words[@]}"
}

# A step of the board's side; what it says becomes TAP comments, or the reason of the failure.
board() { # board STEP [WORD...]
    local number
    number=$(($(cat "$STORY/orders" 2>/dev/null || echo 0) + 1))
    echo "$number" >"$STORY/orders"
    printf '%s\0' "$@" >"$STORY/io/order.new"
    mv "$STORY/io/order.new" "$STORY/io/order-$number"
    until [[ -e $STORY/io/done-$number ]]; do
        kill -0 "$(<"$STORY/rig")" 2>/dev/null || { cat "$STORY/out"; echo "the board is gone"; return 1; }
        sleep 0.1
    done
    if [[ $(<"$STORY/io/done-$number") == ok ]]; then
        sed "s/^/${SECONDS} s  /" "$STORY/io/said-$number" | comment
    else
        cat "$STORY/io/said-$number"
        return 1
    fi
}

# Whether the last step said this.
said() { grep -q "$1" "$STORY/io/said-$(<"$STORY/orders")"; }

# Whether the last step's suite has passed this test, and not skipped it.
passed() { grep "^ok [0-9]* $1" "$STORY/io/said-$(<"$STORY/orders")" | grep -v '# skip'; }

# Blank drives are files without one written block.
blank() { # blank NAME SIZE
    rm -f "$STORY/$1"
    truncate -s "$2" "$STORY/$1"
}

is_blank() { cmp -n "$(stat -c %s "$STORY/$1")" "$STORY/$1" /dev/zero; }

fingerprint() { sha256sum <"$STORY/$1"; }

# The drive is pulled while the board stands still in an erase, and comes back after the board has told of it.
pulled_and_back() {
    usb unplug LARGER
    board go-on
    board is-calm
    board key-is-gone
    board mark
    usb plug larger --serial LARGER
}

only_long() { [[ -n ${SUBLET_LONG-} ]] || skip "only with SUBLET_LONG=1"; }

@test "none of our code: a stick, a UAS disk and a CD-ROM come and go, and udev tells of it" {
    board udev-shows PHOTOS
    blank volumes 1100M
    blank disc 2M
    usb plug volumes --serial STICK-1 --removable and plug disc --serial DISC-1 --cdrom
    board udev-shows STICK-1
    board udev-shows DISC-1
    board with-volumes STICK-1
    usb unplug STICK-1 and plug volumes --serial SSD-01 --uas
    board udev-shows SSD-01 uas
    usb unplug SSD-01 and unplug DISC-1
    board udev-forgets STICK-1 SSD-01 DISC-1
}

@test "a stick with photos, plugged before the kernel ran, and somebody's LUKS, plugged while the device starts: left alone, and said why" {
    blank luks 1100M
    echo secret | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 luks -
    fingerprint luks >luks.before
    usb plug luks --serial LUKS-01
    board start-device
    board is-left PHOTOS foreign ERASE-THIS-DRIVE
    board is-left LUKS-01 foreign crypto_LUKS
    board waits
    board market-hears holds ERASE-THIS-DRIVE
}

@test "a CD-ROM, a reader without a card and with one, LVM, mapped, small and write-protected ones: left alone" {
    blank small 512M
    blank card 600M
    blank locked 1100M
    local name
    for name in volumes small locked; do fingerprint "$name" >"$name.before"; done
    usb plug disc --serial DISC-1 --cdrom and reader --serial READER-1 and plug volumes --serial LVM-01 and \
        plug small --serial SMALL-1 and plug locked --serial LOCKED-1 --read-only
    # Whose fault is it, if the governor does not tell of them?
    for name in LVM-01 SMALL-1 LOCKED-1; do board udev-shows "$name"; done
    board is-left LVM-01 foreign gpt
    board is-left SMALL-1 refused 'smaller than'
    board is-left LOCKED-1 refused read-only
    board is-left DISC-1 refused 'not a disk'
    board list-agrees READER-1
    board waits
    usb insert READER-1 card
    board is-left READER-1 refused 'smaller than'
    board held used LVM-01
    board by-path-refused LVM-01 'in use by'
    board held free LVM-01
    usb unplug DISC-1 and unplug READER-1 and unplug LUKS-01 and unplug LVM-01 and unplug SMALL-1 and unplug LOCKED-1
    board udev-forgets DISC-1 READER-1 LUKS-01 LVM-01 SMALL-1 LOCKED-1
    for name in luks volumes small locked; do [[ $(fingerprint "$name") == "$(<"$name.before")" ]]; done
    is_blank card
}

@test "told by path: the system's disk, the card and a mounted stick are refused; not one byte of the photos changed" {
    board system-disks-refused
    board mounted-refused PHOTOS
    usb unplug PHOTOS
    board udev-forgets PHOTOS
    board market-hears 'no USB drive is plugged in'
    [[ $(fingerprint photos) == "$(<photos.before)" ]]
}

@test "pulled while it is looked at, at several moments" {
    local moment
    for moment in 0 1 2 3 5; do
        blank quick 2G
        usb plug quick --serial QUICK-1
        sleep "$moment"
        usb unplug QUICK-1
    done
    board is-calm
}

@test "pulled while it gets its file system, which fails before udev tells why: nothing of it stays open" {
    blank quick 2G
    board mark
    usb plug quick --serial QUICK-2
    board is-taken QUICK-2
    board stop-at file-system
    board hold-udev
    usb unplug QUICK-2
    board fails-before-udev-tells
    board is-lost QUICK-2
}

@test "pulled while something else holds what it was opened as: that is said, and it is closed as soon as it can be" {
    blank quick 2G
    board mark
    usb plug quick --serial QUICK-3
    board is-taken QUICK-3
    board stop-at file-system
    board hold-mapping
    usb unplug QUICK-3
    board go-on
    board stays-open
    board release-mapping
    board is-lost QUICK-3
}

@test "its owner puts ERASE-THIS-DRIVE on it: taken; pulled while it is prepared, and finished when it comes back" {
    : >ERASE-THIS-DRIVE
    mcopy -i photos ERASE-THIS-DRIVE ::
    board mark
    usb plug photos --serial PHOTOS
    board is-taken PHOTOS
    board stop-at formatting
    usb unplug PHOTOS
    board go-on
    board is-lost PHOTOS
    board mark
    usb plug photos --serial PHOTOS --port 7
    board is-prepared
    usb unplug PHOTOS
    board is-lost PHOTOS
}

@test "a stick of a PC, NTFS, with ERASE-THIS-DRIVE: taken where the kernel reads NTFS, else said why and not changed" {
    blank ntfs 1100M
    mkntfs -F -Q -q ntfs >/dev/null 2>&1
    ntfscp -f ntfs ERASE-THIS-DRIVE ERASE-THIS-DRIVE 2>/dev/null
    fingerprint ntfs >ntfs.before
    board mark
    usb plug ntfs --serial NTFS-1
    board looks-for-driver ntfs3
    if said 'it has ntfs3'; then
        board is-taken NTFS-1
        usb unplug NTFS-1
        board is-lost NTFS-1
    else
        board is-left NTFS-1 foreign "this kernel can't read ntfs"
        usb unplug NTFS-1
        board udev-forgets NTFS-1
        [[ $(fingerprint ntfs) == "$(<ntfs.before)" ]]
    fi
}

@test "two blank ones at once: the larger is taken and offered without a hand; the other is named and stays blank" {
    blank larger 3G
    blank smaller 2G
    board mark
    usb plug smaller --serial SMALLER and plug larger --serial LARGER
    board is-taken LARGER
    board is-spare SMALLER 'not needed'
    board is-offered LARGER
    usb unplug SMALLER
    is_blank smaller
}

@test "long: hardware-tests/run on this board: all of its tiers, with a drive that is let go by its port" {
    only_long
    blank smaller 2G
    usb plug smaller --serial SMALLER
    # Neither ours nor blank: it must wait.
    truncate -s 1100M stranger
    mkfs.vfat -n HOLIDAY stranger >/dev/null
    fingerprint stranger >stranger.before
    usb plug stranger --serial STRANGER
    board is-left STRANGER foreign ERASE-THIS-DRIVE
    board suite 0 safe
    passed 'the walls' && passed 'each USB drive' && passed 'a disk here that is not ours waits'
    board suite 75 destructive --drive UNKNOWN
    board suite 75 destructive --drive STRANGER
    usb unplug STRANGER and unplug SMALLER
    [[ $(fingerprint stranger) == "$(<stranger.before)" ]]
    board suite 0 destructive --drive LARGER
    passed 'the drive is pulled' && passed 'the network drops'
    board mark
    board suite 0 destructive --drive LARGER --finish
    board is-offered LARGER
    is_blank smaller
}

@test "long: pulled in the middle of a lease: suspended; another drive in its place is not touched; back in another socket, it goes on" {
    only_long
    board rent
    board mark
    usb unplug LARGER
    board is-suspended
    blank other 3G
    usb plug other --serial OTHER-1
    board is-foreign OTHER-1
    board mark
    usb plug larger --serial LARGER --port 8
    board is-back LARGER
    usb unplug OTHER-1
    is_blank other
}

@test "long: pulled in a lease while something holds what it was opened as; back before that is let go, it goes on afterwards" {
    only_long
    board mark
    board hold-mapping
    usb unplug LARGER
    board stays-open
    board mark
    usb plug larger --serial LARGER
    board stays-closed-to-us
    board release-mapping
    board is-back LARGER
}

@test "long: pulled while it is erased: the erase is finished when it comes back, before anything is offered" {
    only_long
    board mark
    board end-lease
    board stop-at erasing
    pulled_and_back
    board is-erased LARGER
}

@test "long: pulled while it is overwritten: that goes on where it was when it comes back" {
    only_long
    board is-offered LARGER
    board mark
    board erases-by overwrite
    board rent
    board mark
    board end-lease
    board stop-at overwriting
    pulled_and_back
    board goes-on-overwriting
    board is-erased LARGER overwrite
}

@test "it ends, and leaves nothing" {
    board end
    while kill -0 "$(<rig)" 2>/dev/null; do sleep 0.2; done
    cat out
}
