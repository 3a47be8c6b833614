# shellcheck shell=sh disable=SC2154 # arch, release, components, board, unpacked and here are the caller's
# Debian's packages for a card, unpacked without running any program of theirs. Sourced by board/image, never run.
#
# No foreign program runs, so a card for another processor is made as fast as one for this; and nothing of the root depends on which programs
# ran in which order.

card=$here/card

words_of() { awk '/^[^#]/ { print $1 }' "$1"; }

card_packages() {
    # shellcheck disable=SC2086 # a list of words
    { words_of "$card/packages" && printf '%s\n' $KERNEL $FIRMWARE; } | paste -s -d ,
}

# This board's, and those of kernels for another one: linux-image-arm64:arm64 on a card whose programs are armhf.
architectures() { printf '%s\n' "$ARCH" "$KERNEL" | tr ' ' '\n' | sed -n '1p; s/.*://p' | uniq | paste -s -d ,; }

# What the unpacked packages depend on, beside the state of the archive.
packages_recipe() {
    card_packages
    echo "$release $components"
}

# Keeps what is gone after mmdebstrap: which packages these were, and the date of the newest archive they came from.
write_hook() {
    cat <<HOOK
#!/bin/sh
set -eu
cd "\$1/var/cache/apt/archives"
for file in *.deb; do dpkg-deb --show --showformat='\${Package} \${Version} \${Architecture}\n' "\$file"; done | LC_ALL=C sort >'$work/packages'
sed -n 's/^Date: //p' "\$1"/var/lib/apt/lists/*_InRelease | while read -r text; do date -d "\$text" +%s; done | sort -n | tail -n 1 >'$work/date'
HOOK
}

unpack() {
    rm -rf --one-file-system "$work/root"
    release_lines "$release" "$components" >"$work/sources.list"
    run_mmdebstrap "$work/log" --variant=extract --architectures="$(architectures)" --include="$(card_packages)" --aptopt="$work/apt.conf" \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --extract-hook="$work/hook" "$release" "$work/root" "$work/sources.list"
}

# Makes $unpacked, a folder of the cache: root, packages (a line each: name, version, architecture) and date (seconds since 1970).
unpack_packages() {
    require_program mmdebstrap image
    remove_broken_off "$unpacked".tmp.*
    work=$(mktemp -d "$unpacked.tmp.XXXXXX")
    say "unpacking Debian's packages for $board (once, some minutes)"
    write_apt_options "$work/apt.conf"
    write_hook >"$work/hook"
    chmod +x "$work/hook"
    retry_on_mismatch unpack || die 70 "unpacking the packages for $board failed; the lines above say why"
    mv -T "$work" "$unpacked"
}
