# shellcheck shell=sh disable=SC2154 # board, base, pack_level, programs, card, work, here and START are the caller's
# Makes a root of unpacked packages: what their maintainer scripts would have done, as far as a card needs it, and what is ours. Sourced by
# board/image, never run.

# The accounts that packages declare for systemd-sysusers, as lines of passwd (USERS=1) or of group. Not by the program of that name: the
# build machine's may be older than the declarations. Who has no number there gets one from 999 down, in the files' order.
declared_accounts() { # declared_accounts ROOT USERS
    for folder in "$1/usr/lib/sysusers.d" "$1/etc/sysusers.d"; do LC_ALL=C ls -d "$folder"/*.conf 2>/dev/null; done | xargs cat |
        awk -v users="$2" -v group_file="$1/etc/group" -v passwd_file="$1/etc/passwd" '
            BEGIN {
                next_number = 999
                while ((getline line <group_file) > 0) { split(line, part, ":"); group[part[1]] = part[3] }
                while ((getline line <passwd_file) > 0) { split(line, part, ":"); user[part[1]] = part[3] }
            }
            $1 !~ /^[ug]!?$/ || ($1 == "g" && $2 in group) || ($1 ~ /^u/ && $2 in user) { next }
            {
                name = $2
                split($3, number, ":")
                if (!(name in group) && number[2] == "") {
                    group[name] = number[1] ~ /^[0-9]+$/ ? number[1] : next_number--
                    if (!users) print name ":*:" group[name] ":"
                }
            }
            $1 ~ /^u/ {
                words = ""
                if (match($0, /"[^"]*"/)) words = substr($0, RSTART + 1, RLENGTH - 2)
                home = $0
                sub(/^[^"]*("[^"]*"|-) */, "", home)
                split(home, place, " ")
                its_group = number[2] == "" ? group[name] : number[2] in group ? group[number[2]] : number[2]
                user[name] = number[1] ~ /^[0-9]+$/ ? number[1] : number[2] == "" ? group[name] : next_number--
                if (users) print name ":*:" user[name] ":" its_group ":" words ":" (place[1] ~ /^\// ? place[1] : "/") ":/usr/sbin/nologin"
            }'
}

# Nobody has a password.
make_accounts() { # make_accounts ROOT
    for file in passwd group; do cp "$1/usr/share/base-passwd/$file.master" "$1/etc/$file"; done
    declared_accounts "$1" 0 >"$work/groups"
    declared_accounts "$1" 1 >"$work/users"
    cat "$work/groups" >>"$1/etc/group"
    cat "$work/users" >>"$1/etc/passwd"
    for name in systemd-network systemd-resolve systemd-timesync messagebus sshd dockremap; do
        grep -q "^$name:" "$1/etc/passwd" || die 70 "no package declares the account $name"
    done
    awk -F : '{ print $1 ":*:::::::" }' "$1/etc/passwd" >"$1/etc/shadow"
    chmod 640 "$1/etc/shadow"
    chown 0:42 "$1/etc/shadow"
}

# The logins' rules, as pam-auth-update writes them where nothing is asked for.
make_pam() { # make_pam ROOT
    printf 'auth required pam_unix.so\n' >"$1/etc/pam.d/common-auth"
    printf 'account required pam_unix.so\n' >"$1/etc/pam.d/common-account"
    printf 'password required pam_unix.so obscure yescrypt\n' >"$1/etc/pam.d/common-password"
    printf 'session required pam_unix.so\n' | tee "$1/etc/pam.d/common-session" >"$1/etc/pam.d/common-session-noninteractive"
}

# What alternatives, links and generated files of Debian's maintainer scripts are here.
make_links() { # make_links ROOT
    # The extract variant leaves the merged-/usr links out on some releases; the folders below /var are base-files' to link.
    for name in bin sbin lib; do [ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"; done
    rm -rf "$1/var/run" "$1/var/lock"
    ln -s /run "$1/var/run"
    ln -s /run/lock "$1/var/lock"
    ln -sf mawk "$1/usr/bin/awk"
    for name in iptables ip6tables; do
        for part in '' -save -restore; do ln -sf xtables-nft-multi "$1/usr/sbin/$name$part"; done
    done
    for name in db db.p7s; do ln -sf "regulatory.$name-debian" "$1/usr/lib/firmware/regulatory.$name"; done
    ln -sf /run/systemd/resolve/resolv.conf "$1/etc/resolv.conf"
    ln -sf /usr/share/zoneinfo/Etc/UTC "$1/etc/localtime"
    printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' >"$1/etc/nsswitch.conf"
    cp "$1/usr/share/base-files/profile" "$1/etc/profile"
    cp "$1/usr/share/openssh/sshd_config" "$1/etc/ssh/sshd_config"
    mkdir -p "$1/etc/ssl/certs"
    (cd "$1/usr/share/ca-certificates" && find . -name '*.crt' | LC_ALL=C sort | xargs cat) >"$1/etc/ssl/certs/ca-certificates.crt"
}

# The renter's machine as it lies on the card: dockerd unpacks it by itself. Packed as one, with a window of 4 MiB, which is what dockerd needs
# for it in memory; squashfs packs 256 KiB at a time, and more comes of that. Cached: it takes minutes.
pack_base() {
    packed_base=$(cache_dir)/packed-$(sha256sum <"$base" | cut -c 1-12)-$pack_level.zst
    [ ! -e "$packed_base" ] || { touch -c "$packed_base" && return 0; }
    lock_cache "$packed_base"
    [ ! -e "$packed_base" ] || return 0
    find "$(cache_dir)" -maxdepth 1 -name 'packed-*.zst*' -mtime +1 -delete
    step "packing the renter's machine"
    # shellcheck disable=SC2046 # a word or none
    nice zstd -q $(on_terminal -v) -f -T2 "-$pack_level" --zstd=wlog=22 "$base" -o "$packed_base.new"
    mv "$packed_base.new" "$packed_base"
}

# Ours: the overlays (all boards', then the board's own), the programs, the renter's image, the board's facts, the suite for testers.
add_ours() { # add_ours ROOT
    for overlay in "$here/../rootfs-overlay" "$here/$board/overlay"; do
        [ -d "$overlay" ] || continue
        (
            cd "$overlay" || exit
            find . -type f ! -perm -100 -exec install -D -m 644 '{}' "$1/{}" \;
            find . -type f -perm -100 -exec install -D -m 755 '{}' "$1/{}" \;
            find . -type l -exec cp -P --parents '{}' "$1" \;
        )
    done
    sed -i "s/^compatible=sublet-\$/&$board/" "$1/etc/rauc/system.conf"
    install -D -m 755 "$programs/governor" "$1/usr/sbin/governor"
    install -D -m 644 "$packed_base" "$1/usr/lib/sublet/base.tar.zst"
    # Where the governor looks for it, also by hand.
    ln -s base.tar.zst "$1/usr/lib/sublet/base.tar"
    install -D -m 644 "$here/$board/facts" "$1/usr/lib/sublet/board"
    (
        cd "$here/../hardware-tests" || exit
        install -D -m 755 run "$1/usr/lib/sublet/hardware-tests/run"
        find device -type f -exec install -D -m 644 '{}' "$1/usr/lib/sublet/hardware-tests/{}" \;
    )
    ln -s ../lib/sublet/hardware-tests/run "$1/usr/sbin/hardware-tests"
    mkdir -p "$1/boot/firmware" "$1/var/lib/sublet" "$1/var/log/journal"
}

# The lines of a table that this card's kind of start is in: the first word, @ being the kernel's drivers.
meant() { # meant TABLE
    awk -v kind="$START" '/^[^#]/ && ($2 == "all" || $2 == kind) { sub(/^@/, "usr/lib/modules/*/kernel", $1); print $1 }' "$1"
}

leave_out() { # leave_out ROOT
    for version in $kernel_versions; do depmod -b "$1" "$version"; done
    meant "$card/left-out" | while read -r pattern; do
        # shellcheck disable=SC2086 # a pattern
        (cd "$1" && rm -rf $pattern)
    done
    for version in $kernel_versions; do (cd "$1/usr/lib/modules/$version" && drop_stranded); done
    find "$1/dev" "$1/run" "$1/tmp" -mindepth 1 -delete
    mkdir -p "$1/boot/firmware" "$1/var/log/journal" "$1/var/cache"
}

# Drivers that can't be loaded any more, for one that they depend on is gone (modules.dep is from before, and names all that a driver wants).
drop_stranded() {
    tr -d : <modules.dep | while read -r driver wanted; do
        for other in $wanted; do [ -e "$other" ] || rm -f "$driver"; done
    done
}

# Whether a kernel has a driver, in itself or in a file; - and _ are the same to it.
has_driver() { # has_driver FOLDER NAME
    sed 's/:.*//' "$1/modules.dep" "$1/modules.builtin" | sed 's,.*/,,; s,\.ko.*,,; s,_,-,g' | grep -qxF "$(echo "$2" | tr _ -)"
}

# Whatever the packages of tomorrow and the table of what is left out say: without these it is no card.
check_needed() { # check_needed ROOT
    meant "$card/needed" | while read -r name; do
        case $name in
            */*) [ -e "$1/$name" ] || echo "$name" ;;
            *)
                for version in $kernel_versions; do
                    # Behind @ which kernel it is of, where a card has two.
                    case $name in *@*) [ "${version##*-}" = "${name#*@}" ] || continue ;; esac
                    has_driver "$1/usr/lib/modules/$version" "${name%@*}" || echo "${name%@*} ($version)"
                done
                ;;
        esac
    done >"$work/missing"
    [ ! -s "$work/missing" ] || die 70 "the card lacks what card/needed names: $(paste -s -d ' ' "$work/missing")"
}

# Services: what the preset file of the overlay names is on, everything else off.
enable_units() { # enable_units ROOT
    ln -sf multi-user.target "$1/usr/lib/systemd/system/default.target"
    systemctl --root="$1" preset-all >/dev/null 2>"$work/presets" || {
        cat "$work/presets" >&2
        die 70 "systemctl could not enable the services"
    }
}

# Makes ROOT a root that a card can start, and sets kernel_versions.
finish_tree() { # finish_tree ROOT
    kernel_versions=$(cd "$1/usr/lib/modules" && echo *)
    make_links "$1"
    make_pam "$1"
    leave_out "$1"
    add_ours "$1"
    make_accounts "$1"
    for version in $kernel_versions; do depmod -b "$1" "$version"; done
    check_needed "$1"
    enable_units "$1"
    : >"$1/etc/machine-id"
    : >"$1/usr/lib/clock-epoch" # its date is the earliest time that a machine without a clock begins at
    # systemd compares them with the date of /usr; where it is newer, each boot would make caches anew that this root does without.
    for folder in etc var; do printf 'TIMESTAMP_NSEC=%s000000000\n' "$date" >"$1/$folder/.updated"; done
}
