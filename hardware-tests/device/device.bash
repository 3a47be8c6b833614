# shellcheck shell=bash
# What the tests in these folders share: `load ../device`. ../run starts them, and has set
#
#   GOVERNOR            the program
#   SUBLET_CONFIG …     where its files lie, by the names that the governor itself knows, all of them absolute
#   SUBLET_TEST_MARK    in the environment of whatever the tests start, and of nothing else
#   SUBLET_TEST_NOTES   a folder on the card, for what must outlive a power cut
#   SUBLET_TEST_DRIVE   identity of the drive whose tester gave it up; empty in the other tiers
#   SUBLET_TEST_MARKET  a command that stands for `market`; SUBLET_TEST_HAND one that does what a hand does; both may be empty
#   SUBLET_TEST_BRIDGE  the governor's bridge; SUBLET_TEST_NFT 1 where nft works
#   SUBLET_TEST_SHARED  1 where others make mounts, loops and links on this machine too
#   SUBLET_TEST_ASK     1 where a tester sits at a terminal
#
# A test that can't be made here says why by `skip`: nothing is ok that was not looked at.

setup() {
    snapshot >"$BATS_TEST_TMPDIR/before"
    file_needs
}

# What each test of a file needs, or is skipped without. Not in setup_file: there Debian 12's bats takes a skip for a failure.
file_needs() { :; }

teardown() {
    end_own
    as_it_was "$BATS_TEST_TMPDIR/before"
}

# --- Words

say() { printf '# %s\n' "${*//$'\n'/$'\n'# }" >&3; }

fail() {
    echo "$*"
    return 1
}

needs() { # needs PROGRAM...
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "needs the program $program"
    done
}

# Waits until a command holds. SUBLET_TEST_PATIENCE is a percentage of the time given: less where something is known to be broken.
wait_for() { # wait_for SECONDS WHAT COMMAND...
    local last=$((SECONDS + $1 * ${SUBLET_TEST_PATIENCE:-100} / 100)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < last)) || fail "waited in vain for $what" || return 1
        sleep 0.3
    done
}

# --- The governor

governor() { "$GOVERNOR" "$@"; }

# One value of its status; empty where there is none, or no governor.
status_of() { { governor status --json 2>/dev/null || true; } | jq -r --arg key "$1" '.[$key] // empty'; }

state_is() { [[ " $* " == *" $(status_of state) "* ]]; }

needs_governor() { has_pid || skip "no governor runs here"; }

# What device-config.json says.
config() { jq -r "$1 // empty" "$SUBLET_CONFIG" 2>/dev/null || true; }

under_systemd() { command -v systemctl >/dev/null && systemctl is-active --quiet governor 2>/dev/null; }

# Ends the governor; what it takes to start it again is kept: the unit, or the very command line, environment and log of before.
stop_governor() {
    local pid
    pid=$(status_of pid)
    [[ -n $pid ]] || return 0
    if under_systemd; then
        echo unit >"$SUBLET_TEST_FOLDER/stopped"
        systemctl stop governor
    else
        cp "/proc/$pid/cmdline" "$SUBLET_TEST_FOLDER/words"
        cp "/proc/$pid/environ" "$SUBLET_TEST_FOLDER/environment"
        readlink "/proc/$pid/fd/1" >"$SUBLET_TEST_FOLDER/log"
        echo words >"$SUBLET_TEST_FOLDER/stopped"
        kill -TERM "$pid"
    fi
    SUBLET_TEST_PATIENCE=100 wait_for 30 "the governor to end" state_is "not running"
}

start_governor() {
    local how words environment log file
    how=$(cat "$SUBLET_TEST_FOLDER/stopped" 2>/dev/null) || return 0
    if [[ $how == unit ]]; then
        systemctl start governor
    else
        mapfile -d '' -t words <"$SUBLET_TEST_FOLDER/words"
        mapfile -d '' -t environment <"$SUBLET_TEST_FOLDER/environment"
        log=$(<"$SUBLET_TEST_FOLDER/log")
        [[ -f $log ]] || log=/dev/null
        (
            # It must hold nothing of ours: who reads our output would wait for its end.
            for file in "/proc/$BASHPID/fd"/*; do
                ((${file##*/} <= 2)) || eval "exec ${file##*/}>&-"
            done
            exec env -i "${environment[@]}" setsid "${words[@]}" >>"$log" 2>&1 </dev/null
        ) &
    fi
    rm -f "$SUBLET_TEST_FOLDER/stopped"
    SUBLET_TEST_PATIENCE=100 wait_for 60 "the governor to be back" has_pid
}

# By the file that it writes, without a program.
has_pid() {
    local text
    [[ -r $SUBLET_RUN/status.json ]] || return 1
    text=$(<"$SUBLET_RUN/status.json")
    [[ $text =~ \"pid\":([0-9]+) && -e /proc/${BASH_REMATCH[1]} ]]
}

# --- A governor's storage steps with files of our own: another bridge, another key, another journal. The device's own ones are untouched.

make_own() { # make_own STORAGE-JSON
    OWN=${OWN_FOLDER:-$BATS_TEST_TMPDIR/own}
    mkdir -p "$OWN"
    jq -n --argjson storage "$1" '{server: "http://127.0.0.1:9", deviceId: "11111111-2222-4333-8444-555555555555",
        deviceKey: ("0123456789abcdef" * 4), storage: $storage, network: {bridge: "subtest0"}, lamp: {}}' >"$OWN/config.json"
}

own() { governor "$@" --config "$OWN/config.json" --state "$OWN/state" --run "$OWN/run"; }

end_own() {
    [[ -n ${OWN-} && -e $OWN/run ]] || return 0
    own storage close >/dev/null 2>&1 || true
}

# What the governor says of a drive in our own files.
own_verdict() { own storage inspect "$@" --json | jq -r '.verdict + ": " + .reason'; }

# Fails unless a step of ours is refused, before it would ask. Standard input is empty, so that no answer can be yes.
is_refused() { # is_refused STEP [DEV]
    local status=0 said
    said=$(own storage "$@" </dev/null 2>&1) || status=$?
    [[ $status == 75 ]] || fail "governor storage $*: expected to be refused (75), found status $status: $said"
    say "$1: $said"
}

needs_dm_crypt() {
    modprobe dm-crypt 2>/dev/null || true
    grep -qw device-mapper /proc/misc || skip "this kernel has no device-mapper"
}

# The cipher in a LUKS2 header: its JSON begins at 4 KiB.
header_cipher() { # header_cipher DEVICE
    dd if="$1" bs=4096 skip=1 count=3 status=none | tr -d '\0' | jq -r '.segments["0"].encryption' 2>/dev/null
}

# What /proc/cpuinfo says to the governor (ARM writes "Features", x86 "flags").
wanted_cipher() {
    if grep -E -m1 '^(flags|Features)' /proc/cpuinfo | grep -qw aes; then
        echo aes-xts-plain64
    else
        echo xchacha12,aes-adiantum-plain64
    fi
}

# The whole disks that a mount point lies on.
disks_under() { # disks_under PATH
    local source
    source=$(findmnt -nvo SOURCE --target "$1") && [[ $source == /dev/* ]] || return 0
    lsblk -nrspo NAME,TYPE "$source" 2>/dev/null | awk '$2 == "disk" { print $1 }'
}

# --- Hands and eyes

# Asks who sits at the terminal; fails on no. Where nobody does, skips.
asks() { # asks QUESTION
    local answer
    [[ $SUBLET_TEST_ASK == 1 ]] || skip "somebody must look: run it at a terminal"
    printf '\n>>> %s [y/n] ' "$1" >/dev/tty
    read -r answer </dev/tty
    [[ $answer == y* ]] || fail "the tester says no: $1"
}

# Something that only a hand can do: by a tester, or by what stands in for one.
hand() { # hand WORD... -- TEXT
    local words=()
    while [[ $1 != -- ]]; do
        words+=("$1")
        shift
    done
    if [[ -n $SUBLET_TEST_HAND ]]; then
        bash -c "$SUBLET_TEST_HAND \"\$@\"" hand "${words[@]}"
    elif [[ $SUBLET_TEST_ASK == 1 ]]; then
        printf '\n>>> %s, then press Enter: ' "$2" >/dev/tty
        read -r </dev/tty
    else
        skip "wants a hand ($2): run it at a terminal"
    fi
}

has_hand() { [[ -n $SUBLET_TEST_HAND || $SUBLET_TEST_ASK == 1 ]]; }

# --- The machine before and after

# Mounts (but those of the governor's drive, which come and go with the lease, and of systemd's credentials, which do so with its units), loops,
# mappings, links, nft tables, whether a governor runs, and what we left running. All of it by bash itself where that can be: it is looked at
# twice a test, and a program start may take long.
snapshot() {
    local point file words
    while read -r _ _ _ _ point _; do
        [[ $point == "$SUBLET_RUN"/* || $point == /run/credentials/* ]] || echo "mount $point"
    done </proc/self/mountinfo
    for file in /sys/block/loop*/loop/backing_file; do
        { read -r words <"$file"; } 2>/dev/null || continue
        # Behind a read-only one, for a moment, the governor looks for ERASE-THIS-DRIVE on somebody's drive.
        [[ $words == /dev/* && $(<"${file%/loop/*}/ro") != 0 ]] 2>/dev/null || echo "loop $words"
    done
    for file in /sys/block/dm-*/dm/name; do
        { read -r words <"$file"; } 2>/dev/null || continue
        [[ $words == "$SUBLET_TEST_BRIDGE-lease" ]] || echo "mapping $words"
    done
    for file in /sys/class/net/*; do
        # Those of containers have names of the moment.
        [[ ${file##*/} == veth* || ${file##*/} == "$SUBLET_TEST_BRIDGE" ]] || echo "link ${file##*/}"
    done
    for file in /sys/fs/cgroup/{,*/}sublet-test*; do
        [[ ! -e $file ]] || echo "control group $file"
    done
    if [[ $SUBLET_TEST_NFT == 1 ]]; then
        nft list tables | while read -r words; do
            [[ $words == *" sublet-$SUBLET_TEST_BRIDGE" ]] || echo "nft $words"
        done
    fi
    ! has_pid || echo "a governor"
    processes_of_ours
}

# What of a difference is ours for sure, where others work too.
only_ours() {
    if [[ $SUBLET_TEST_SHARED == 1 ]]; then
        grep -E "process|governor|sub(let-)?test|$BATS_RUN_TMPDIR" || true
    else
        cat
    fi
}

# Those that carry our mark and are neither bats nor a part of it.
processes_of_ours() {
    local folder words environment
    for folder in /proc/[0-9]*; do
        words=() environment=()
        { mapfile -d '' -t environment <"$folder/environ" && mapfile -d '' -t words <"$folder/cmdline"; } 2>/dev/null || continue
        [[ " ${environment[*]} " == *" SUBLET_TEST_MARK=$SUBLET_TEST_MARK "* ]] || continue
        # What has no command line has ended.
        [[ ${#words[@]} == 0 || "${words[*]}" =~ bats|hardware-tests/run ]] || echo "process ${words[*]}"
    done
}

# Fails if something is there that was not, or is gone; what ends by itself has ten seconds.
as_it_was() { # as_it_was SNAPSHOT
    local difference='' last=$((SECONDS + 10))
    while :; do
        snapshot >"$1.after"
        [[ $(<"$1") != "$(<"$1.after")" ]] || return 0
        difference=$(diff <(sort "$1") <(sort "$1.after") | sed -n 's/^> /new: /p; s/^< /gone: /p' | only_ours)
        [[ -n $difference ]] || return 0
        ((SECONDS < last)) || break
        sleep 0.5
    done
    fail "the machine is not as it was: $difference"
}
