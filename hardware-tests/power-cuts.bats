#!/usr/bin/env bats
# Power cuts at random moments (fast rig, real LUKS and Docker). As root, after `make build`.
#
#   bats --tap hardware-tests/power-cuts.bats                     30 cuts: 10 minutes or so
#   SUBLET_CUTS=300 SUBLET_SEED=7 bats --tap hardware-tests/power-cuts.bats
#   SUBLET_LONG=1 …                                                and as many in one lease whose renter is at work

load in-rig

setup_file() {
    needs linux.uml mmdebstrap sshpass
    [[ -e /dev/net/tun ]] || skip "needs /dev/net/tun"
}

cuts() { # cuts OPTION…
    local words=(--count "${SUBLET_CUTS:-30}" "$@") status=0
    [[ -z ${SUBLET_SEED-} ]] || words+=(--seed "$SUBLET_SEED")
    "$BATS_TEST_DIRNAME/power-cuts" "${words[@]}" >&3 2>&3 || status=$?
    [[ $status == 0 ]] || { echo "exit status $status"; return 1; }
}

@test "the power cut at random moments of prepare, build, run and erase: the state is right after every boot" {
    cuts
}

@test "the power cut while the renter writes, syncs and installs packages: all that was told to be there is there, and dpkg goes on" {
    [[ -n ${SUBLET_LONG-} ]] || skip "long: set SUBLET_LONG=1"
    cuts --busy
}
