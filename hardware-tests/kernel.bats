#!/usr/bin/env bats
# Kernels that lack what a lease needs (the fast rig leaves it out): check-kernel and `governor run` say so, before anything is changed.
# As root, after `make build`; half a minute, or a minute where the machine is busy.

load in-rig

setup_file() {
    needs linux.uml mmdebstrap
    lay_out "$BATS_FILE_TMPDIR/programs" governor
}

# What the guest's `lacks` prints goes to $output. The words before "--" are the rig's.
lacks() { # lacks [RIG OPTION]... -- COMMAND...
    local options=()
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    run "$PROJECT/hardware-tests/fast-rig/run" --timeout 120 --mem 3G "${options[@]}" --share "$PROJECT:/project" \
        --share "$BATS_FILE_TMPDIR/programs:/programs" "$@"
    echo "$output"
    [[ $status == 0 ]]
}

# Both programs said one line each, with these words, and changed nothing. Lines that a missing module takes along may be allowed.
both_say() { # both_say WORDS GOVERNOR-WORDS
    [[ ${lines[0]} == 'check-kernel 69' && ${lines[1]} == *"$1"* ]]
    [[ ${lines[2]} == 'governor 69' && ${lines[3]} == "governor: this machine lacks $2"*"; get it: "* ]]
    [[ ${lines[4]} == unchanged && ${#lines[@]} == 5 ]]
}

drive=/srv/drive.img
try=/project/hardware-tests/kernel/lacks

@test "a kernel with everything: nothing is said, and the governor runs" {
    lacks -- $try $drive
    [[ ${lines[0]} == 'check-kernel 0' && ${lines[1]} == 'governor 137' && $output == *event=governor.started* ]]
    # And so we know that what looks for changes finds them.
    [[ $output != *unchanged* && $output == *'> /run/sublet'* ]]
}

@test "no loop devices" {
    lacks --without loop -- $try $drive
    both_say 'loop devices are missing: modprobe loop' 'loop devices, for a drive that is a file'
}

@test "no loop devices, and a real drive: the governor needs none" {
    lacks --without loop --disk "$BATS_TEST_TMPDIR/disk:1G" -- $try /dev/ubda
    [[ ${lines[0]} == 'check-kernel 69' && $output == *'governor 137'* && $output == *event=governor.started* ]]
}

@test "no overlay" {
    lacks --without overlay -- $try $drive
    both_say 'overlayfs is missing: modprobe overlay' 'overlay in this kernel'
}

@test "no bridge" {
    lacks --without bridge -- $try $drive
    both_say 'network links of type bridge are missing: modprobe bridge' 'network links of type bridge'
}

@test "no veth" {
    lacks --without veth -- $try $drive
    both_say 'network links of type veth are missing: modprobe veth' 'network links of type veth'
}

@test "no dm-crypt: only encryption needs it" {
    lacks --without dm-crypt -- $try $drive luks2
    [[ ${lines[0]} == 'check-kernel 0' && ${lines[1]} == 'governor 69' ]]
    [[ ${lines[2]} == *'lacks device-mapper with dm-crypt'*'"encryption": "none"'* && ${lines[3]} == unchanged ]]
}

@test "no memory controller" {
    lacks --kernel-arg cgroup_disable=memory -- $try $drive
    both_say 'the cgroup controller memory is missing' 'the cgroup controller memory'
}

@test "no user namespaces" {
    lacks -- sh -c "echo 0 >/proc/sys/user/max_user_namespaces && exec $try $drive"
    both_say 'user namespaces are missing: sysctl' 'user namespaces'
}

@test "no cgroups at all" {
    lacks -- sh -c "umount /sys/fs/cgroup && exec $try $drive"
    both_say 'cgroups are missing' 'cgroups'
}
