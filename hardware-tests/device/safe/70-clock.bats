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

@test "the clock runs as fast as the time since boot" {
    local wall since
    read -r since _ </proc/uptime
    wall=${EPOCHREALTIME/[.,]/}
    sleep 5
    wall=$((${EPOCHREALTIME/[.,]/} - wall))
    since=$(awk -v before="$since" '{ print int(($1 - before) * 1000) }' /proc/uptime)
    say "$((wall / 1000)) ms by the clock, $since ms since boot"
    ((wall / 1000 - since < 500 && since - wall / 1000 < 500))
}
