#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2034,SC2317,SC2329 # what the sourced script reads and calls
# What is on a card and in the renter's machine: the release that is asked for, the manifest, the licences. On small made-up ones.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    here=$PWD/board work=$BATS_TEST_TMPDIR board=a-board release=trixie
    programs=$work/programs unpacked=$work/unpacked base=$work/base-trixie-amd64-1+vault-2.tar
    die() {
        shift
        echo "$*" >&2
        exit 70
    }
    . board/card/licences.sh
}

# FOLDER/usr/share/doc/PACKAGE/copyright, in Debian's format where there is a licence.
copyright() { # copyright FOLDER PACKAGE [LICENCE...]
    local file=$1/usr/share/doc/$2/copyright
    mkdir -p "${file%/*}"
    shift 2
    if [[ $# == 0 ]]; then echo "Do as you like."; else
        echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
        printf 'License: %s\n words\n' "$@"
    fi >"$file"
}

paragraph() { printf 'Package: %s\nStatus: %s\nArchitecture: amd64\nVersion: %s\nDescription: words\n Version: of words\n\n' "$@"; }

# A card's root with three packages, and a renter's machine with two, one being removed.
make_both() {
    mkdir -p "$unpacked" "$programs" "$work/machine/usr/lib" "$work/machine/var/lib/dpkg"
    echo governor >"$programs/governor"
    printf '%s\n' 'gcc-14-base 14 amd64' 'libc6 2.41 amd64' 'libgcc-s1 14 amd64' >"$unpacked/packages"
    copyright "$work/root" gcc-14-base
    copyright "$work/root" libc6 LGPL-2.1+ GPL-2 LGPL-2.1+
    printf 'NAME="Debian"\nVERSION_CODENAME=trixie\n' >"$work/machine/usr/lib/os-release"
    {
        paragraph sudo 'install ok installed' 1:1.9-3
        paragraph gone 'deinstall ok config-files' 1
        paragraph bash 'hold ok installed' 5.2
    } >"$work/machine/var/lib/dpkg/status"
    copyright "$work/machine" sudo ISC
    copyright "$work/machine" bash 'GPL-3+ '
    tar -C "$work/machine" -cf "$base" .
}

@test "the manifest has the packages of both, with versions, by name, and says of which release each is" {
    make_both
    read_renter "$base" "$work/renter"
    write_manifest "$work/renter" >"$work/manifest"
    diff - <(sed '/^# Made with/d' "$work/manifest") <<EOF
# Sublet, a-board. Packages of Debian trixie: name, version, architecture.
gcc-14-base 14 amd64
libc6 2.41 amd64
libgcc-s1 14 amd64
# Packages in the renter's machine, of Debian trixie.
bash 5.2 amd64
sudo 1:1.9-3 amd64
# Files that are not Debian's, and what they are by SHA-256.
$(sha256sum <"$programs/governor" | cut -d ' ' -f 1)  governor
$(sha256sum <"$base" | cut -d ' ' -f 1)  base.tar
EOF
    grep -q '^# Made with: mksquashfs version' "$work/manifest"
}

@test "a manifest says what either was made without" {
    make_both
    SUBLET_WITHOUT=trixie-updates
    base=$work/base-trixie-amd64-1-without-trixie-security+trixie-updates+vault-2.tar
    mv "$work"/base-*.tar "$base"
    read_renter "$base" "$work/renter"
    [[ $(write_manifest "$work/renter" | grep WARNING) == "# WARNING: made without the updates of trixie-updates. Not for owners.
# WARNING: made without the updates of trixie-security trixie-updates. Not for owners." ]]
}

@test "licences are listed of every package of both, of what is linked in, and of the whole" {
    make_both
    here=$work/project/board
    mkdir -p "$here"
    read_renter "$base" "$work/renter"
    write_licences "$work/root" "$work/renter" >"$work/licences"
    diff - <(sed '/^# What/,$d' "$work/licences") <<EOF
# Sublet, a-board. Packages of Debian on the card: name, version, licences.
gcc-14-base 14: in its own words: usr/share/doc/gcc-14-base/copyright
libc6 2.41: GPL-2; LGPL-2.1+
libgcc-s1 14: in its own words: usr/share/doc/gcc-14-base/copyright
# Packages of Debian in the renter's machine (base.tar).
bash 5.2: GPL-3+
sudo 1:1.9-3: ISC
EOF
    grep -q '^the Swift runtime .*: Apache-2.0 with Runtime Library Exception$' "$work/licences"
    grep -q '^the GNU C Library.*; usr/share/doc/libc6/copyright$' "$work/licences"
    [[ $(tail -n 1 "$work/licences") == "Sublet: no licence is stated" ]]
    : >"$work/project/LICENSE.txt"
    [[ $(write_licences "$work/root" "$work/renter" | tail -n 1) == "Sublet: LICENSE.txt" ]]
}

@test "no card without the licence of a package of either, or of what is linked in" {
    make_both
    read_renter "$base" "$work/renter"
    mv "$work/renter/usr/share/doc/sudo" "$work/sudo"
    run write_licences "$work/root" "$work/renter"
    [[ $status == 70 && $output == *"nothing in renter says under which licence sudo is" ]]
    mv "$work/sudo" "$work/renter/usr/share/doc/sudo"
    rm -r "$work/root/usr/share/doc/libc6"
    run write_licences "$work/root" "$work/renter"
    [[ $status == 70 && $output == *"nothing in root says under which licence libc6 is" ]]
    sed -i /libc6/d "$unpacked/packages"
    run write_licences "$work/root" "$work/renter"
    [[ $status == 70 && $output == *"the card has no copyright file of libc6" ]]
}

@test "a renter's machine that is no Debian, or an empty one, is refused" {
    make_both
    : >"$work/machine/var/lib/dpkg/status"
    tar -C "$work/machine" -cf "$base" .
    run read_renter "$base" "$work/renter"
    [[ $status == 70 && $output == *"dpkg has installed nothing in $base" ]]
    tar -C "$work" -cf "$base" programs
    run read_renter "$base" "$work/other"
    [[ $status == 70 && $output == *"$base is no Debian" ]]
}

# An archive with three suites of each release, an apt that knows those of this machine's, and an mmdebstrap that only notes what it is asked for.
make_archive() {
    local suite
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    for suite in {"$own",sid-next}{,-updates,-security}; do
        mkdir -p "$work/archive/dists/$suite"
        printf 'Hash: SHA256\nDate: Sat, 05 Sep 2026 10:00:00 UTC\n' >"$work/archive/dists/$suite/InRelease"
    done
    printf 'Date: Sat, 05 Sep 2026 11:00:00 UTC\n' >"$work/archive/dists/sid-next-security/InRelease"
    mkdir "$work/bin"
    cat >"$work/bin/apt-get" <<EOF
#!/bin/sh
printf 'Debian|Debian%s|file:$work/archive/|%s|main\n' '' $own '' $own-updates -Security $own-security '' another
EOF
    cat >"$work/bin/mmdebstrap" <<EOF
#!/bin/sh
for word in "\$@"; do last=\$word; done
echo "\$SOURCE_DATE_EPOCH" >'$work/asked'
printf '%s\n' "\$@" | tail -n 3 | head -n 1 >>'$work/asked'
sort "\$last" >>'$work/asked'
cat "\${last%/*}/debian.sources" >'$work/debian.sources'
exit 1
EOF
    chmod +x "$work"/bin/*
    PATH=$work/bin:$PATH
}

make_base() { SUBLET_CACHE=$work/cache SUBLET_VAULT=/bin/true run board/base-image "$(dpkg --print-architecture)"; }

@test "the renter's machine is of this machine's release, or of the one that is named, whose date it has" {
    [[ $(id -u) == 0 ]] || skip "must run as root"
    make_archive
    make_base
    [[ $status == 70 ]]
    diff - "$work/asked" <<EOF
$(date -d 'Sat, 05 Sep 2026 10:00:00 UTC' +%s)
$own
deb file:$work/archive/ $own main
deb file:$work/archive/ $own-security main
deb file:$work/archive/ $own-updates main
EOF
    SUBLET_RELEASE=sid-next make_base
    [[ $status == 70 ]]
    diff - "$work/asked" <<EOF
$(date -d 'Sat, 05 Sep 2026 11:00:00 UTC' +%s)
sid-next
deb file:$work/archive/ sid-next main
deb file:$work/archive/ sid-next-security main
deb file:$work/archive/ sid-next-updates main
EOF
    [[ $(sed -n 's/^Suites: //p' "$work/debian.sources" | paste -s -d ' ') == "sid-next sid-next-updates sid-next-security" ]]
    # Each has a place of its own in the cache.
    ls "$work/cache/base-sid-next-"*.tar.lock "$work/cache/base-$own-"*.tar.lock
    SUBLET_RELEASE=nothing make_base
    [[ $status == 69 && $output == *"gives no nothing"* ]]
}

@test "a card asks for its own release, whatever this machine runs" {
    grep -qx 'release=trixie' board/image
    # shellcheck disable=SC2016 # the script's
    grep -q '^base=.*SUBLET_RELEASE=$release .*/base-image' board/image
}

@test "progress is shown to a terminal alone, and the root's bytes are the same" {
    command -v mksquashfs >/dev/null || skip "needs mksquashfs: run board/host/needs image"
    mkdir "$work/tree"
    head -c 3000000 /dev/urandom >"$work/tree/file"
    cat >"$work/try" <<'EOF'
. board/card/disk.sh
make_root_image "$1/tree" "$2"
EOF
    date=1700000000 SUBLET_PACK=1 sh "$work/try" "$work" "$work/silent.img" >"$work/said" 2>&1
    [[ ! -s $work/said ]]
    date=1700000000 SUBLET_PACK=1 script -qec "stty cols 90; sh '$work/try' '$work' '$work/loud.img'" "$work/said" </dev/null >/dev/null
    grep -q '100%' "$work/said"
    cmp "$work/silent.img" "$work/loud.img"
}
