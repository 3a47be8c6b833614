#!/usr/bin/env bats
# The lamp, read back from the kernel: the board's LED from the LED class, a GPIO line from the kernel's list of lines. At a terminal the
# tester is asked too, for what the kernel says is not what is seen.

load ../device

# Milliseconds lit and dark in turn, as in docs/lamp.md.
beat() {
    case $1 in
    slow) echo 500 500 ;;
    fast) echo 125 125 ;;
    two) echo 200 250 200 1250 ;;
    three) echo 200 250 200 250 200 1250 ;;
    four) echo 200 250 200 250 200 250 200 1250 ;;
    sos) echo 150 150 150 150 150 450 450 150 450 150 450 450 150 150 150 150 150 1350 ;;
    esac
}

plan() { governor lamp 2>/dev/null | grep '^lamp is'; }

# Sets `led` to the LED's folder and `line` to the GPIO line's offset, and `lamps` to those of them that can be read back; skips where there is none.
find_lamp() {
    local name folder
    led='' line='' lamps=()
    name=$(plan | sed -n "s/^lamp is the board's LED //p")
    line=$(plan | sed -n 's/^lamp is line \([0-9]*\) .*/\1/p')
    for folder in "/sys/class/leds/$name" /sys/class/leds/*:"$name"; do
        [[ -z $name || ! -e $folder/brightness ]] || led=$folder
    done
    if [[ -n $name && -z $led ]]; then
        [[ -n $(config .lamp.led) ]] || skip "this machine has no LED $name"
        fail "device-config.json names the LED $name, and the kernel has none"
    fi
    [[ -n $led$line ]] || skip "this device has no lamp"
    [[ -z $led ]] || lamps+=("$led")
    [[ -z $line ]] || [[ -z $(lines) ]] || lamps+=("$line")
    [[ -n ${lamps[*]} ]] || skip "this kernel does not tell the level of a line (debugfs)"
}

# The kernel's list of GPIO lines that are held, mounted for this look alone.
lines() { unshare -m sh -c 'mount -t debugfs none /sys/kernel/debug 2>/dev/null; cat /sys/kernel/debug/gpio 2>/dev/null'; }

is_held() { [[ $(lines) == *'|sublet'* ]]; }

# Whether the line is among the lamps that are read back.
reads_line() { [[ -n $line && ${lamps[-1]} == "$line" ]]; }

# Prints "LEVEL MILLISECONDS" for each time that the lamp was lit or dark; the first and the last are cut off.
watch_lamp() { # watch_lamp LAMP SECONDS
    if [[ $1 == "$led" ]]; then
        sample "$2" "$led/brightness"
    else
        # shellcheck disable=SC2016 # the inner shell's
        unshare -m bash -c 'mount -t debugfs none /sys/kernel/debug 2>/dev/null; source "$1"; sample "$2" /sys/kernel/debug/gpio "$3"' \
            watch "$BATS_TEST_TMPDIR/sample" "$2" "$line"
    fi
}

# Reads a file as often as it can, by nothing but bash: a program start costs more than a flash.
sample() { # sample SECONDS FILE [LINE]: a line of debugfs's list holds "GPIO17 |sublet ) out hi"
    local now end since='' level last='' text
    end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
    while now=${EPOCHREALTIME/[.,]/} && ((now < end)); do
        text=$(<"$2")
        if [[ -n ${3-} ]]; then
            level=0
            [[ $text =~ \|sublet[^$'\n']*out\ hi ]] && level=1
        else
            level=$((text > 0))
        fi
        if [[ $level != "$last" ]]; then
            [[ -z $since ]] || echo "$last $(((now - since) / 1000))"
            last=$level since=$now
        fi
    done
    [[ -n $since ]] && echo "$last $(((now - since) / 1000))"
}

# Fails unless each lamp shows the pattern; they are looked at one after the other.
must_show() { # must_show PATTERN
    local lamp
    for lamp in "${lamps[@]}"; do lamp_must_show "$lamp" "$1" || return 1; done
}

# Fails unless a lamp goes once through the whole pattern, from wherever it is in it: a busy machine holds some flashes up.
lamp_must_show() { # lamp_must_show LAMP PATTERN
    local seen wanted
    declare -f sample >"$BATS_TEST_TMPDIR/sample"
    wanted=$(beat "$2")
    for _ in {1..8}; do
        # Two rounds of the pattern, wherever they begin, and more for the short ones.
        seen=$(watch_lamp "$1" $(((${wanted:+${wanted// /+}+}0) * 3 / 1000 + 3)))
        case $2 in
        steady) [[ $(wc -l <<<"$seen") == 1 && $seen == 1\ * ]] && return ;;
        dark) [[ $(wc -l <<<"$seen") == 1 && $seen == 0\ * ]] && return ;;
        *) shows "$wanted" "$seen" && return ;;
        esac
    done
    fail "the lamp should show $2; it was, on ${1##*/} (lit 1 or dark 0, milliseconds): ${seen//$'\n'/, }"
}

# Whether the whole pattern is in what was seen, each time with a slack of 80 ms and a quarter.
shows() { # shows WANTED SEEN
    awk -v wanted="$1" '
        { level[NR] = $1; time[NR] = $2 }
        END {
            n = split(wanted, beat, " ")
            # Three flashes end as two do: it takes two rounds to tell them apart. Two times of the right length may be chance; six are not.
            length_ = n > 8 ? n : n < 3 ? 6 : 2 * n
            for (first = 2; first + length_ - 1 < NR; first++)
                for (turn = 1; turn <= n; turn++) {
                    good = 1
                    for (i = 0; i < length_ && good; i++) {
                        at = (turn - 1 + i) % n + 1
                        off = time[first + i] - beat[at]
                        if (off < 0) off = -off
                        good = level[first + i] == at % 2 && off <= 80 + beat[at] / 4
                    }
                    if (good) exit 0
                }
            exit 1
        }' <<<"$2"
}

@test "the lamp shows what governor status says, read back from the kernel" {
    needs_governor
    find_lamp
    [[ -z $(status_of lampFault) ]] || fail "$(status_of lampFault)"
    local pattern
    pattern=$(status_of lamp)
    must_show "$pattern"
    say "it shows $pattern"
    [[ $SUBLET_TEST_ASK != 1 ]] || asks "Does the lamp show $(governor lamp | grep "^$pattern ")?"
}

@test "each pattern, read back from the kernel, and dark when it ends (only where no governor runs, which shows its own)" {
    ! has_pid || skip "a governor runs: systemctl stop governor shows all of them (a lease goes on)"
    find_lamp
    make_own '{}'
    jq --argjson lamp "$(config .lamp | grep . || echo null)" 'if $lamp then .lamp = $lamp else del(.lamp) end' "$OWN/config.json" >"$OWN/lamp.json"
    local pattern shower
    for pattern in dark steady slow fast two three four sos; do
        "$GOVERNOR" lamp show "$pattern" --config "$OWN/lamp.json" --state "$OWN/state" --run "$OWN/lamp" >/dev/null 3>&- &
        shower=$!
        # On a busy board a program may take its time to start; a line that nobody holds is dark too.
        ! reads_line || wait_for 60 "the line to be held" is_held || { kill "$shower"; return 1; }
        sleep 1
        must_show "$pattern" || { kill "$shower"; return 1; }
        [[ $SUBLET_TEST_ASK != 1 ]] || asks "Does the lamp show $(governor lamp | grep "^$pattern ")?" || { kill "$shower"; return 1; }
        kill -TERM "$shower"
        wait "$shower" || true
    done
    [[ -z $led ]] || lamp_must_show "$led" dark
    ! reads_line || ! is_held || fail "line $line is still held"
}

@test "the governor holds the lamp's GPIO line: a second request is refused, and told who has it" {
    find_lamp
    [[ -n $line ]] || skip "the lamp is no GPIO line, but the LED ${led##*/}"
    make_own '{}'
    jq --argjson lamp "$(config .lamp)" '.lamp = ($lamp | del(.led))' "$OWN/config.json" >"$OWN/lamp.json"
    local holder='' status=0 said
    if ! has_pid; then
        "$GOVERNOR" lamp show steady --config "$OWN/lamp.json" --state "$OWN/state" --run "$OWN/holder" >/dev/null 3>&- &
        holder=$!
        # On a busy board a program may take its time to start.
        wait_for 60 "the line to be held" is_held || { kill "$holder"; return 1; }
    fi
    said=$(governor lamp show steady --seconds 1 --config "$OWN/lamp.json" --state "$OWN/state" --run "$OWN/second" 2>&1) || status=$?
    [[ -z $holder ]] || { kill -TERM "$holder" && wait "$holder" || true; }
    say "$said"
    [[ $status == 69 && $said == *'held by "sublet"'* ]]
}
