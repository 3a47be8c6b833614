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

# The machine's way to its archive (a proxy, a snapshot's dates), for an apt that works in another root.
write_apt_options() {
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ' >"$1" || true
}

# Runs mmdebstrap quietly: its own progress only on a terminal, its whole log only if it fails.
run_mmdebstrap() {
    log=$1
    shift
    if [ -t 2 ]; then
        nice mmdebstrap "$@" && return 0
    else
        nice mmdebstrap --verbose "$@" >"$log" 2>&1 && return 0
        tail -n 20 "$log" >&2
    fi
    return 70
}
