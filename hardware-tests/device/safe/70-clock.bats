#!/usr/bin/env bats
# The clock. A Pi has none of its own; a lease does not depend on it, but TLS does: with a clock at 1970 no certificate is valid.

load ../device

@test "the clock is not before the day this program was made" {
    local made now
    made=$(stat -c %Y "$GOVERNOR") now=$(date +%s)
    say "$(date -u +%FT%TZ)"
    ((now >= made)) || fail "the clock says $(date -u -d "@$now" +%F), the program is of $(date -u -d "@$made" +%F)"
}

@test "the clock is the market's, within a minute" {
    needs curl
    local server said
    server=$(config .server)
    [[ -n $server ]] || skip "no device-config.json names a market"
    said=$(curl -sI --max-time 20 "$server/" | tr -d '\r' | sed -n 's/^[Dd]ate: //p') || true
    [[ -n $said ]] || skip "the market did not tell its time"
    said=$(($(date +%s) - $(date -d "$said" +%s)))
    say "$said s beside the market's"
    ((said > -60 && said < 60)) || fail "the clock is $said s beside the market's"
}

# The clock and the time since boot, in ms, read one right after the other by bash itself: a program's start takes a second on a busy device.
both_clocks() {
    local since
    read -r since _ </proc/uptime
    echo "$((${EPOCHREALTIME/[.,]/} / 1000)) $((10#${since/./} * 10))"
}

@test "the clock runs as fast as the time since boot" {
    local wall since wall_before since_before
    # Something may come between the two readings now and then, not each time.
    for _ in {1..4}; do
        read -r wall_before since_before < <(both_clocks)
        sleep 5
        read -r wall since < <(both_clocks)
        wall=$((wall - wall_before)) since=$((since - since_before))
        say "$wall ms by the clock, $since ms since boot"
        ((wall - since >= 500 || since - wall >= 500)) || return 0
    done
    fail "the clock is not as fast as the time since boot"
}
