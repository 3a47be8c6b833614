# shellcheck shell=sh
# What the scripts under board/ share. Sourced, never run.

me=${0##*/}

say() { printf '%s: %s\n' "$me" "$*" >&2; }

# Exit codes are those of sysexits.h: 64 usage, 69 a part of the machine is missing, 70 our own step failed, 77 not allowed.
die() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

require_root() {
    # shellcheck disable=SC2016 # sudo's own PATH would hide the toolchain
    [ "$(id -u)" -eq 0 ] || die 77 "needs root ($1): run it as root, or with sudo env \"PATH=\$PATH\" before it"
}

require_program() {
    command -v "$1" >/dev/null 2>&1 || die 69 "the program $1 is missing: run board/host/needs $2"
}

# The folder that every cached artefact lives in. It is safe to delete at any time.
cache_dir() {
    dir=${SUBLET_CACHE:-/var/cache/sublet}
    mkdir -p "$dir" 2>/dev/null || die 69 "can't make the cache folder $dir: set SUBLET_CACHE to a folder you may write"
    (cd "$dir" && pwd -P)
}

# A short name for everything that decides what an artefact will be: the files named as arguments, plus standard input.
recipe_hash() {
    { cat "$@" && cat; } | sha256sum | cut -c 1-12
}

# A cached artefact can be wanted by two builds at once; the second waits instead of doing the work twice.
lock_cache() {
    exec 9>"$1.lock"
    flock -n 9 || {
        say "waiting for another build of ${1##*/}"
        flock 9
    }
}

# Removes what a build that was killed has left; the lock says that nobody works there. Its mmdebstrap may have left /proc mounted below,
# and nobody wants to remove that.
remove_broken_off() { # remove_broken_off FOLDER...
    for folder in "$@"; do
        [ -e "$folder" ] || continue
        awk -v folder="$folder/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r point; do
            umount -l "$point"
        done
        rm -rf --one-file-system "$folder"
    done
}

debian_targets() {
    # shellcheck disable=SC2016 # apt fills these in
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
        grep -E '^Debian\|(Debian|Debian-Security)\|[^|]+\|[^|]+\|main$' | sort -u
}

# "LABEL|URI|SUITE" (the suite by its code name) of every Debian archive that this machine's apt uses. apt itself reads its configuration, whichever of the
# two formats it is in; a third party's archive has another Origin and is left out.
debian_sources() {
    targets=$(debian_targets || true)
    if [ -z "$targets" ]; then
        apt-get update -qq >/dev/null 2>&1 || true # a container image may come without lists
        targets=$(debian_targets || true)
    fi
    [ -n "$targets" ] || die 69 "apt knows no Debian archive here: add one to /etc/apt/sources.list.d and run apt-get update"
    printf '%s\n' "$targets" | cut -d '|' -f 2-4
}

debian_mirror() {
    debian_sources | awk -F '|' '$1 == "Debian" { print $2; exit }'
}

# apt's lines for a release of Debian, from where this machine has its own.
release_lines() { # release_lines RELEASE COMPONENTS
    mirror=$(debian_mirror)
    security=$(debian_sources | awk -F '|' '$1 == "Debian-Security" { print $2; exit }')
    [ -n "$security" ] || die 69 "apt knows no security archive of Debian here: add it to /etc/apt/sources.list.d and run apt-get update"
    printf 'deb %s %s\n' "$mirror" "$1 $2" "$mirror" "$1-updates $2" "$security" "$1-security $2" |
        awk -v without=" ${SUBLET_WITHOUT-} " '!index(without, " " $3 " ")'
}

# The machine's way to its archive (a proxy, a snapshot's dates), for an apt that works in another root. What the network drops is asked
# for again.
write_apt_options() {
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ' >"$1" || true
    echo 'Acquire::Retries "3";' >>"$1"
}

# Runs mmdebstrap: one line of progress on a terminal, its log only if it fails. In a session of its own, so that a Ctrl-C is the
# script's alone, which ends it without its noise (end_mmdebstrap). All that it makes on its way goes to the folder of the log. 75 where
# an index did not match the archive's Release file.
run_mmdebstrap() {
    log=$1
    shift
    chmod 755 "${log%/*}" # apt downloads as a user of its own
    # Without the descriptors of who called us: mmdebstrap hands its own on by number, and sh knows none of two digits.
    TMPDIR=${log%/*} setsid nice mmdebstrap --verbose "$@" >"$log" 2>&1 </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    mmdebstrap=$!
    while kill -0 "$mmdebstrap" 2>/dev/null; do
        [ ! -t 2 ] || printf '\r\033[K%s: %s ' "$me" "$(mmdebstrap_step "$log")" >&2
        sleep 1
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    failed=0
    wait "$mmdebstrap" || failed=$?
    mmdebstrap=
    [ "$failed" != 0 ] || return 0
    [ -z "$(mismatched_suites "$log")" ] || return 75
    tail -n 20 "$log" >&2
    return 70
}

mmdebstrap_step() {
    awk '/^Get:/ { doing = "downloading" } /^Unpacking / { doing = "unpacking" } /^Setting up / { doing = "setting up" }
        /^(Get:|Unpacking |Setting up )/ { count[doing]++ }
        END { print doing == "" ? "starting" : doing " " count[doing] }' "$1"
}

# Ends an mmdebstrap that still runs. It and what it has started put signals off till they have time, so it is killed; its mounts are in
# a namespace of its own, and its folder is in ours.
end_mmdebstrap() {
    [ -n "${mmdebstrap-}" ] || return 0
    kill -KILL "-$mmdebstrap" 2>/dev/null || true
    wait "$mmdebstrap" 2>/dev/null || true
    mmdebstrap=
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# The suites whose index was not the one that their Release file names, by the log of an mmdebstrap that failed.
mismatched_suites() {
    awk '/^Err:/ { split($3, part, "/"); suite = part[1] }
        /File has unexpected size|Hash Sum mismatch/ && suite != "" { print suite; suite = "" }' "$1" | sort -u | paste -s -d ' '
}

# Runs a command, and again after a pause while it ends with 75: a mirror that is being brought up to date mends itself.
retry_on_mismatch() {
    for pause in 10 30 0; do
        outcome=0
        "$@" || outcome=$?
        if [ "$outcome" != 75 ] || [ "$pause" = 0 ]; then return "$outcome"; fi
        say "an index of the mirror does not match its Release file ($(mismatched_suites "$log")): trying again in $pause s"
        # In small pieces, for a signal is heard only between them.
        while [ "$pause" -gt 0 ]; do sleep 1 && pause=$((pause - 1)); done
    done
}
