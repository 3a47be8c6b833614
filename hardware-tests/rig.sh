# shellcheck shell=bash
# What `run` of both rigs shares on the host's side. Sourced by a script that has set `here` (its folder) and then calls
# `run_rig "$@"`. The script has these functions of its own:
#
#   own_option NAME VALUE    takes an option that only this rig has; fails if there is none of that name
#   check_machine            ends with `lacking` if this machine can't run the rig
#   prepare                  sets `root`, lays what the guest needs into $folder
#   start                    starts the guest in the background and what copies its output to ours; sets `guest` to the pid
#                            that leads the guest's session, `readers` to the pids of the copying
#
# After `parse`: mem, root, kernel_log, disks, shares, kernel_args, command.

say() { printf 'rig: %s\n' "$*" >&2; }
usage() {
    say "$*"
    # shellcheck disable=SC2154 # the script that sources us has set it
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$here/run" >&2
    exit 2
}
lacking() {
    say "$*"
    exit 126
}

mem=2G timeout='' cut_after='' root='' kernel_log='' folder='' guest='' outcome=''
disks=() shares=() kernel_args=() command=() readers=()

parse() {
    while (($#)); do
        if [[ $1 == -- ]]; then
            shift
            command=("$@")
            break
        fi
        [[ $1 == --* ]] || usage "'$1' is no option"
        (($# > 1)) || usage "$1 wants a value"
        case $1 in
        --mem) mem=$2 ;;
        --disk) disks+=("$2") ;;
        --share) shares+=("$2") ;;
        --timeout) timeout=$2 ;;
        --cut-after) cut_after=$2 ;;
        --root) root=$2 ;;
        --kernel-log) kernel_log=$2 ;;
        --kernel-arg) kernel_args+=("$2") ;;
        *) own_option "$1" "$2" || usage "unknown option '$1'" ;;
        esac
        shift 2
    done
    check_options
}

check_options() {
    local seconds
    ((${#command[@]})) || usage "no command"
    ((${#disks[@]} <= 8)) || usage "more than 8 disks"
    [[ $mem =~ ^[0-9]+[KMG]$ ]] || usage "--mem wants a number with K, M or G, got '$mem'"
    for seconds in "$timeout" "$cut_after"; do
        [[ -z $seconds || $seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage "not a number of seconds: '$seconds'"
    done
}

# The run's own folder. Its path goes over the command line of a kernel or a machine, where spaces, commas and colons
# part things; everything with a name we do not choose is bound or linked into it.
make_folder() {
    [[ ${TMPDIR:-/tmp} != *[[:space:],:]* ]] || lacking "TMPDIR must be without spaces, commas and colons"
    folder=$(mktemp -d "${TMPDIR:-/tmp}/rig.XXXXXXXX")
    mkdir "$folder/guest"
    : >"$folder/kernel.log"
    cp "$here/guest-init" "$here/../guest-common" "$folder/guest/"
    printf '%s\0' "${command[@]}" >"$folder/guest/arguments"
}

# Lays the disks in $folder/disk-N. Only a file that is not there is made: a second boot finds its data.
make_disks() {
    local number file size
    for number in "${!disks[@]}"; do
        file=${disks[number]} size=''
        if [[ $file =~ ^(.+):([0-9]+[KMGT])$ ]]; then
            file=${BASH_REMATCH[1]} size=${BASH_REMATCH[2]}
        fi
        if [[ ! -e $file ]]; then
            [[ -n $size ]] || lacking "no disk file '$file', and no size to make it with"
            truncate -s "$size" "$file"
        fi
        ln -s "$(realpath "$file")" "$folder/disk-$number"
    done
}

# Lays the shared folders in $folder/from-N and puts the guest's name of each into share_points.
link_shares() {
    local number host guest_folder
    share_points=()
    for number in "${!shares[@]}"; do
        host=${shares[number]%:*} guest_folder=${shares[number]##*:}
        [[ -d $host && $guest_folder == /* ]] ||
            lacking "--share wants DIR:GUESTDIR, a folder and an absolute path; got '${shares[number]}'"
        ln -s "$(realpath "$host")" "$folder/from-$number"
        share_points+=("$guest_folder")
    done
}

# The whole guest ends at once, as when the plug is pulled.
end_guest() { # end_guest OUTCOME
    outcome=${outcome:-$1}
    [[ -n $guest ]] || return 0
    # The session is young: it may not be a group yet.
    kill -KILL -- "-$guest" 2>/dev/null || kill -KILL "$guest" 2>/dev/null || true
    # Here, and not later, where bash would tell about the kill.
    wait "$guest" 2>/dev/null || true
}

await_end() {
    local timeout_timer='' cut_timer='' ended=''
    if [[ -n $timeout ]]; then
        setpriv --pdeathsig KILL sleep "$timeout" &
        timeout_timer=$!
    fi
    if [[ -n $cut_after ]]; then
        setpriv --pdeathsig KILL sleep "$cut_after" &
        cut_timer=$!
    fi
    while [[ -z $outcome ]]; do
        # shellcheck disable=SC2086 # timers that are not there shall be no words
        wait -n -p ended $guest $timeout_timer $cut_timer 2>/dev/null || true
        case ${ended-} in
        '') ;;
        "$guest") outcome=${outcome:-ended} ;;
        "$timeout_timer") end_guest timeout ;;
        "$cut_timer") end_guest cut ;;
        esac
    done
    # shellcheck disable=SC2086 # as above
    kill $timeout_timer $cut_timer 2>/dev/null || true
    await_readers
}

# The readers end with the last process of the guest: from then on the disk files are at rest.
await_readers() {
    local reader
    for reader in "${readers[@]}"; do
        # A signal may break off the waiting.
        while kill -0 "$reader" 2>/dev/null; do
            wait "$reader" || true
        done
    done
}

tidy() {
    end_guest "${outcome:-failed}"
    ((${#readers[@]} == 0)) || await_readers
    [[ -z $folder ]] || rm -rf --one-file-system "$folder"
}

finish() {
    [[ -z $kernel_log ]] || cp "$folder/kernel.log" "$kernel_log"
    case $outcome in
    cut) exit 137 ;;
    timeout)
        say "no end after $timeout s"
        exit 124
        ;;
    INT) exit 130 ;;
    TERM) exit 143 ;;
    HUP) exit 129 ;;
    esac
    if [[ ! -s $folder/guest/status ]]; then
        say "the guest ended without a word; its kernel log ends:"
        tail -n 25 "$folder/kernel.log" >&2
        exit 125
    fi
    exit "$(<"$folder/guest/status")"
}

run_rig() {
    parse "$@"
    [[ $(id -u) == 0 ]] || lacking "must run as root"
    check_machine
    trap tidy EXIT
    trap 'end_guest cut' USR1
    trap 'end_guest INT' INT
    trap 'end_guest TERM' TERM
    trap 'end_guest HUP' HUP
    [[ -n $root ]] || root=$("$here/root")
    root=$(realpath "$root")
    make_folder
    make_disks
    link_shares
    prepare
    start
    # A signal that came before there was anything to kill.
    [[ -z $outcome ]] || end_guest "$outcome"
    await_end
    finish
}
