#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154 # each test has variables of its own, and means to; rig and out are those of in-rig
# The fast rig itself: what the tests that run in it rely on. As root, on a machine with
# mmdebstrap and user-mode-linux.

load ../in-rig

setup_file() {
    needs linux.uml mmdebstrap
    cd "$BATS_TEST_DIRNAME" || return 1
    stay_in_folder
    RIG_ROOT=$(./root)
    export RIG_ROOT
    list_root >"$BATS_FILE_TMPDIR/root-before"
}

setup() { cd "$BATS_TEST_DIRNAME" || return 1; }
teardown() { end_rig; }

# Every name with mode, owner, size, times of change, link count and link target. Not the time of
# access: reading may change that.
list_root() { find "$RIG_ROOT" -printf '%P %M %U:%G %s %T@ %C@ %n %l\n' | sort; }

@test "the root is made once" {
    SECONDS=0
    [[ $(./root) == "$RIG_ROOT" ]]
    ((SECONDS <= 2))
    [[ -x $RIG_ROOT/usr/bin/dockerd || -x $RIG_ROOT/usr/sbin/dockerd ]]
}

@test "nothing of this machine is in the root" {
    [[ ! -s $RIG_ROOT/etc/resolv.conf && ! -e $RIG_ROOT/etc/apt/sources.list ]]
    # Addresses of mirrors or proxies.
    run grep -rI '://' "$RIG_ROOT/etc/apt"
    [[ $status == 1 ]]
    [[ $(<"$RIG_ROOT/etc/hostname") == rig ]]
}

@test "output, arguments and exit status pass through, without a terminal" {
    local status=0
    # shellcheck disable=SC2016 # the guest's shell
    setsid --wait ./run -- sh -c 'echo "<$1>"; echo fault >&2; uname -r; exit 7' sh 'two  words "and" $more' \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
    [[ $status == 7 ]]
    # shellcheck disable=SC2016 # as it was given
    [[ $(head -1 "$BATS_TEST_TMPDIR/out") == '<two  words "and" $more>' ]]
    [[ $(<"$BATS_TEST_TMPDIR/err") == fault ]]
    [[ $(tail -1 "$BATS_TEST_TMPDIR/out") != "$(uname -r)" ]]
    nothing_left
}

@test "many bytes arrive whole; shares go both ways; the guest has clock, cgroups and udev" {
    mkdir "$BATS_TEST_TMPDIR/a share, odd:name"
    head -c 5000000 /dev/urandom >"$BATS_TEST_TMPDIR/a share, odd:name/in"
    # shellcheck disable=SC2016 # the guest's shell
    ./run --disk "$BATS_TEST_TMPDIR/disk:64M" --share "$BATS_TEST_TMPDIR/a share, odd:name:/host" -- bash -ec '
        date +%s >/host/time
        for c in cpu memory pids; do grep -qw $c /sys/fs/cgroup/cgroup.subtree_control; done
        [[ $(blockdev --getsize64 /dev/ubda) == $((64 << 20)) ]]
        mkfs.ext4 -q /dev/ubda
        udevadm settle
        [[ -e /dev/disk/by-uuid/$(blkid -o value -s UUID /dev/ubda) ]]
        cat /host/in' >"$BATS_TEST_TMPDIR/got"
    cmp "$BATS_TEST_TMPDIR/got" "$BATS_TEST_TMPDIR/a share, odd:name/in"
    (($(date +%s) - $(<"$BATS_TEST_TMPDIR/a share, odd:name/time") < 60))
}

@test "a power cut keeps what was synced, and the disk boots again" {
    local disk=$BATS_TEST_TMPDIR/disk:256M
    # The second file is only in the guest's memory when the power goes.
    start ./run --disk "$disk" -- bash -ec '
        mkfs.ext4 -q /dev/ubda && mount -o commit=1000 /dev/ubda /media
        echo kept >/media/synced && sync && echo lost >/media/unsynced && echo written && sleep 1000'
    await written
    kill -USR1 "$rig"
    ends_with 137
    nothing_left
    run ./run --disk "$disk" -- bash -ec 'mount /dev/ubda /media; cat /media/synced; ! cat /media/unsynced'
    [[ $status == 0 && ${lines[0]} == kept ]]
}

@test "--cut-after cuts, --timeout gives up" {
    run ./run --cut-after 2 -- sleep 1000
    [[ $status == 137 && -z $output ]]
    run ./run --timeout 2 -- sleep 1000
    [[ $status == 124 && $output == 'rig: no end after 2 s' ]]
    nothing_left
}

@test "Ctrl-C and TERM leave nothing, early and late" {
    local signal
    for signal in INT TERM; do
        start ./run -- sh -c 'echo up; sleep 1000'
        await up
        kill "-$signal" "$rig"
        ends_with $((128 + $(kill -l "$signal")))
        nothing_left
    done
    local moment
    for moment in 0.05 0.1 0.2 0.5; do
        start ./run -- sleep 1000
        sleep "$moment"
        kill -TERM "$rig"
        ends_with 143
        nothing_left
    done
}

@test "a rig that is killed itself takes its guest along" {
    start ./run --timeout 1000 -- sh -c 'echo up; sleep 1000'
    await up
    # And so we know that what finds nothing elsewhere does find.
    run nothing_left
    [[ $status == 1 && $output == *cmdline* ]]
    kill -KILL "$rig"
    ends_with 137
    sleep 1
    # Its folder stays: nobody was left to remove it.
    rm -r "$BATS_FILE_TMPDIR"/rig.*
    nothing_left
}

@test "a guest that dies says so" {
    run ./run -- sh -c 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 1000'
    [[ $status == 125 && $output == *'ended without a word'* ]]
    nothing_left
}

@test "usage is checked before anything is made" {
    local arguments
    for arguments in '--disk' '--mem 2 -- true' '--timeout soon -- true' '--what 1 -- true' '--mem 1G --'; do
        # shellcheck disable=SC2086 # words
        run ./run $arguments
        [[ $status == 2 ]]
    done
    run ./run --disk "$BATS_TEST_TMPDIR/none" -- true
    [[ $status == 126 && $output == *'no size to make it with'* ]]
    nothing_left
}

@test "the parts of a lease work in it" {
    ./run --disk "$BATS_TEST_TMPDIR/disk:2G" --timeout 300 --share "$PWD:/rig-folder" -- /rig-folder/parts
}

@test "the guest cannot write the cached root" {
    ./run -- bash -c '
        rm -rf /usr/share/* /etc/docker; echo changed >/etc/passwd
        mount -o remount,rw /mnt && echo changed >/mnt/etc/passwd; echo changed >/mnt/etc/new; true' || true
    list_root | diff "$BATS_FILE_TMPDIR/root-before" -
}
