#!/usr/bin/env bats
# The program and what it says of itself.

load ../device

@test "governor selftest: the program works on this processor" {
    run governor selftest --offline
    echo "$output"
    [[ $status == 0 ]]
    say "${lines[-1]}"
}

@test "governor selftest: the machine has what it needs" {
    [[ -e $SUBLET_CONFIG ]] || skip "no device-config.json is at $SUBLET_CONFIG"
    run governor selftest
    echo "$output"
    [[ $status == 0 && ${lines[-1]} == "this machine has what it needs" ]]
}

@test "governor status: a running governor says its state, and the lamp that goes with it" {
    needs_governor
    local said state lamp
    # Asked once: between two questions it may go on to another state.
    said=$(governor status --json)
    state=$(jq -r .state <<<"$said") lamp=$(jq -r .lamp <<<"$said")
    say "$(jq -r '"state \(.state), lamp \(.lamp) (\(.lampMeaning)), wake-ups \(.wakeUps)"' <<<"$said")"
    # docs/lamp.md; without a market the device may flash two.
    case $state in
    waiting) [[ $lamp =~ ^(three|fast)$ ]] ;;
    preparing | building | erasing) [[ $lamp == fast ]] ;;
    registering) [[ $lamp =~ ^(fast|two)$ ]] ;;
    offered) [[ $lamp =~ ^(slow|two)$ ]] ;;
    leased) [[ $lamp == steady ]] ;;
    suspended) [[ $lamp == three ]] ;;
    quarantined) [[ $lamp == sos ]] ;;
    misconfigured) [[ $lamp == four ]] ;;
    *) fail "no such state: $state" ;;
    esac
}

# Each turn of its loop counts. An image that is handed to the engine takes thousands of them; a wait that returns at once, thousands a second.
@test "the governor sleeps between its tasks: its loop does not turn on the spot" {
    needs_governor
    local turns seconds
    turns=$(status_of wakeUps) seconds=$(ps -o etimes= -p "$(status_of pid)" | tr -d ' ')
    say "$turns wake-ups in $seconds s"
    ((turns < 300 * (seconds + 30))) || fail "it woke $turns times in $seconds s"
}

@test "governor.service: the unit runs, and was not started over and over" {
    under_systemd || skip "the governor is no unit of systemd here"
    local restarts
    restarts=$(systemctl show -P NRestarts governor)
    say "restarts: $restarts; watchdog: $(systemctl show -P WatchdogUSec governor)"
    [[ $restarts == 0 ]]
}

@test "the walls around the renter stand as the governor raised them" {
    needs_governor
    needs nft
    [[ $(config .network.fence) != none ]] || skip "this device has no fence (network.fence)"
    state_is building offered leased || skip "walls stand only around a renter's machine; the device is $(status_of state)"
    nft list table inet "sublet-$SUBLET_TEST_BRIDGE" >"$BATS_TEST_TMPDIR/table"
    grep -q drop "$BATS_TEST_TMPDIR/table"
}
