#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154 # each test has variables of its own, and means to; rig and out are those of in-rig
# The slow rig itself: what the tests that run in it rely on. As root, on a machine with the packages of the groups rig and vm.
# What both rigs share is tried more closely in the fast one's tests.

load ../in-rig

setup_file() {
    needs qemu-system-x86_64 linux.uml mmdebstrap
    cd "$BATS_TEST_DIRNAME" || return 1
    stay_in_folder
    RIG_ROOT=$(./root)
    export RIG_ROOT
}

setup() { cd "$BATS_TEST_DIRNAME" || return 1; }
teardown() { end_rig; }

@test "it is made once, and holds nothing of this machine" {
    SECONDS=0
    [[ $(./root) == "$RIG_ROOT" ]]
    ((SECONDS <= 5))
    [[ $(debugfs -R 'cat /etc/hostname' "$RIG_ROOT/root.img" 2>/dev/null) == rig ]]
    [[ -z $(debugfs -R 'cat /etc/resolv.conf' "$RIG_ROOT/root.img" 2>/dev/null) ]]
}

@test "output, arguments and exit status pass through; shares go both ways; the guest has what a lease needs" {
    local status=0 share="$BATS_TEST_TMPDIR/a share, odd:name"
    mkdir "$share"
    head -c 5000000 /dev/urandom >"$share/in"
    # shellcheck disable=SC2016 # the guest's shell
    ./run --timeout 300 --disk "$BATS_TEST_TMPDIR/disk, odd:64M" --share "$share:/host" -- bash -c '
        set -e
        echo "$1" >/host/words; echo fault >&2
        [[ $(blockdev --getsize64 /dev/vda) == $((64 << 20)) ]]
        for c in cpu memory pids; do grep -qw $c /sys/fs/cgroup/cgroup.subtree_control; done
        for cipher in xchacha12,aes-adiantum-plain64 aes-xts-plain64; do
            echo secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --cipher $cipher /dev/vda -
            echo secret | cryptsetup open --key-file - /dev/vda opened
            cryptsetup close opened
        done
        for type in ext4 vfat; do mkfs.$type /dev/vda >&2; mount /dev/vda /media; umount /media; done
        nft add table ip t
        nft add chain ip t c "{ type nat hook postrouting priority srcnat; }"
        nft add rule ip t c masquerade
        ip link add one type bridge; ip link add two type veth peer name three
        modprobe -a exfat loop overlay
        cat /host/in; exit 7' bash 'two  words "and" $more' >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
    [[ $status == 7 ]] || { cat "$BATS_TEST_TMPDIR/err"; return 1; }
    cmp "$BATS_TEST_TMPDIR/out" "$share/in"
    # shellcheck disable=SC2016 # as it was given
    [[ $(<"$share/words") == 'two  words "and" $more' ]]
    [[ $(head -1 "$BATS_TEST_TMPDIR/err") == fault ]]
    nothing_left
}

@test "drives come and go: a slow one, a reader whose card comes later, two of one serial refused" {
    local qmp=$BATS_TEST_TMPDIR/qmp
    truncate -s 64M "$BATS_TEST_TMPDIR/stick" "$BATS_TEST_TMPDIR/card"
    mkdir "$BATS_TEST_TMPDIR/io"
    # shellcheck disable=SC2016 # the guest's shell
    start ./run --timeout 300 --qmp "$qmp" --share "$BATS_TEST_TMPDIR/io:/io" -- bash -c '
        until_file() { until [[ -e /io/$1 ]]; do sleep 0.2; done; }
        echo up
        until [[ -e /sys/block/sdb ]]; do sleep 0.2; done
        for disk in sda sdb; do
            until info=$(udevadm info -q property /dev/$disk) && [[ $info == *ID_SERIAL_SHORT=* ]]; do sleep 0.2; done
            case $info in *=READER*) reader=$disk ;; *) stick=$disk ;; esac
        done
        echo "reader: $(cat /sys/block/$reader/size)"
        until_file card
        until [[ $(cat /sys/block/$reader/size) == 131072 ]]; do sleep 0.2; done
        began=$(date +%s)
        dd if=/dev/$stick of=/dev/null bs=1M count=4 iflag=direct
        (($(date +%s) - began >= 3)) && echo slow
        echo written | dd of=/dev/$stick bs=512 seek=1 conv=fsync
        echo pull
        until [[ ! -e /sys/block/$stick ]]; do sleep 0.2; done
        echo gone'
    until [[ -S $qmp ]]; do sleep 0.1; done
    ./usb --qmp "$qmp" plug "$BATS_TEST_TMPDIR/stick" --serial STICK-1 --rate 1000000 and reader --serial READER-1
    run ./usb --qmp "$qmp" plug "$BATS_TEST_TMPDIR/card" --serial STICK-1
    [[ $status == 1 ]]
    [[ $(./usb --qmp "$qmp" list | sort | paste -sd' ') == 'READER-1 STICK-1' ]]
    await 'reader: 0'
    ./usb --qmp "$qmp" insert READER-1 "$BATS_TEST_TMPDIR/card"
    : >"$BATS_TEST_TMPDIR/io/card"
    await pull
    ./usb --qmp "$qmp" unplug STICK-1
    await gone
    ends_with 0
    grep -q slow "$BATS_TEST_TMPDIR/out"
    [[ $(dd if="$BATS_TEST_TMPDIR/stick" bs=512 skip=1 count=1 status=none | tr -d '\0') == written ]]
}

@test "a power cut keeps what was synced; --timeout gives up; a killed rig takes its guest along" {
    local disk=$BATS_TEST_TMPDIR/disk:256M
    start ./run --disk "$disk" -- bash -ec '
        mkfs.ext4 -q /dev/vda && mount -o commit=1000 /dev/vda /media
        echo kept >/media/synced && sync && echo lost >/media/unsynced && echo written && sleep 1000'
    await written
    kill -USR1 "$rig"
    ends_with 137
    nothing_left
    start ./run --disk "$disk" -- bash -ec 'mount /dev/vda /media; ! cat /media/unsynced; cat /media/synced; sleep 1000'
    await kept
    # And so we know that what finds nothing elsewhere does find.
    run nothing_left
    [[ $status == 1 && $output == *cmdline* ]]
    kill -KILL "$rig"
    ends_with 137
    sleep 1
    # Its folder stays: nobody was left to remove it.
    rm -r "$BATS_FILE_TMPDIR"/rig.*
    nothing_left
    run ./run --timeout 2 -- sleep 1000
    [[ $status == 124 && $output == 'rig: no end after 2 s' ]]
    nothing_left
}

@test "a guest that dies says so; usage is checked before anything is made" {
    run ./run --timeout 120 -- sh -c 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 1000'
    [[ $status == 125 && $output == *'ended without a word'* ]]
    local arguments
    for arguments in '--disk' '--mem 2 -- true' '--timeout soon -- true' '--what 1 -- true' '--mem 1G --'; do
        # shellcheck disable=SC2086 # words
        run ./run $arguments
        [[ $status == 2 ]]
    done
    run ./usb --qmp nowhere plug
    [[ $status == 2 ]]
    nothing_left
}
