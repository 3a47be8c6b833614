#!/usr/bin/env bats
# Memory limits. A Pi's kernel ignores them in silence unless its command line says cgroup_enable=memory; a renter could then starve the device.

load ../device

teardown() {
    [[ ! -d ${group-} ]] || rmdir "$group"
    as_it_was "$BATS_TEST_TMPDIR/before"
}

# Sets `group` to a new control group of 32 MiB without swap, and `events` to its counters.
make_group() {
    local unified=/sys/fs/cgroup
    if [[ -e $unified/cgroup.controllers ]]; then
        grep -qw memory "$unified/cgroup.controllers" || fail "the kernel has no memory controller: add cgroup_enable=memory to its command line"
        grep -qw memory "$unified/cgroup.subtree_control" || fail "the memory controller is not on in $unified/cgroup.subtree_control"
        group=$unified/sublet-test-$$
        mkdir "$group"
        echo $((32 << 20)) >"$group/memory.max"
        [[ ! -e $group/memory.swap.max ]] || echo 0 >"$group/memory.swap.max"
        events=$group/memory.events
    elif [[ -d $unified/memory ]]; then
        group=$unified/memory/sublet-test-$$
        mkdir "$group"
        echo $((32 << 20)) >"$group/memory.limit_in_bytes"
        events=$group/memory.oom_control
    else
        fail "the kernel has no memory controller: add cgroup_enable=memory to its command line"
    fi
}

kills() { awk '$1 == "oom_kill" { print $2 }' "$events"; }

@test "a memory limit bites: a process that wants 128 MiB in a group of 32 is killed by the kernel, and one that wants 8 is not" {
    make_group
    local status=0
    # tail keeps a line without an end in memory.
    bash -c 'echo $$ >"$1/cgroup.procs"; head -c 8M /dev/zero | tail -c 8M >/dev/null' small "$group"
    [[ $(kills) == 0 ]]
    bash -c 'echo $$ >"$1/cgroup.procs"; head -c 128M /dev/zero | tail -c 128M >/dev/null; exit "${PIPESTATUS[1]}"' hog "$group" || status=$?
    say "the hog ended with status $status; the kernel killed $(kills)"
    [[ $status == 137 && $(kills) -ge 1 ]]
}
