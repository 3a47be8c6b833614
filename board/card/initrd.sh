# shellcheck shell=sh disable=SC2154 # card and work are the caller's
# The card's initrd: busybox, the drivers of disks and cards, and card/initrd-init. Sourced by board/image, never run.
#
# Not initramfs-tools: its scripts would run as foreign programs for half an hour, what they make depends on the machine they run on, and
# all that is wanted here is to find a disk and to lay RAM over it.

# The modules that the patterns name, and those they depend on, as files.
initrd_modules() { # initrd_modules ROOT VERSION
    words_of "$card/initrd-modules" | while read -r pattern; do
        # shellcheck disable=SC2086 # a pattern
        (cd "$1/usr/lib/modules/$2/kernel" && ls -d $pattern 2>/dev/null) || true
    done | sed 's,.*/,,; s,\.ko.*,,' | LC_ALL=C sort -u | xargs modprobe -d "$1" -S "$2" -a --show-depends --ignore-install |
        awk '$1 == "insmod" { print $2 }' | LC_ALL=C sort -u
}

# Busybox loads no packed modules, so they are unpacked, and the whole is packed at the end.
make_initrd() { # make_initrd ROOT VERSION FILE
    tree=$work/initrd
    rm -rf "$tree"
    for folder in bin proc sys dev run new "lib/modules/$2"; do mkdir -p "$tree/$folder"; done
    cp "$1/usr/bin/busybox" "$tree/bin/"
    install -m 755 "$card/initrd-init" "$tree/init"
    initrd_modules "$1" "$2" >"$work/initrd-modules"
    [ -s "$work/initrd-modules" ] || die 70 "no modules for the initrd"
    while read -r file; do
        name=${file##*/}
        case $name in
            *.ko.xz) xz -dc "$file" >"$tree/lib/modules/$2/${name%.xz}" ;;
            *.ko) cp "$file" "$tree/lib/modules/$2/" ;;
            *) die 70 "$name is packed in a way that this script does not know" ;;
        esac
    done <"$work/initrd-modules"
    cp "$1/usr/lib/modules/$2"/modules.builtin* "$1/usr/lib/modules/$2/modules.order" "$tree/lib/modules/$2/"
    depmod -b "$tree" "$2"
    find "$tree" -exec touch -h -d "@$date" '{}' +
    (cd "$tree" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) | zstd -q -19 -T1 >"$3"
}
