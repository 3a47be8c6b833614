# shellcheck shell=sh disable=SC2154 # boot, work, board, here and CONSOLES are the caller's
# What starts a Raspberry Pi: its firmware reads the FAT partition, loads U-Boot and a device tree by config.txt, and hands over cmdline.txt; U-Boot
# takes one of the card's two systems. Sourced by board/image, never run.

# shellcheck source=board/card/boot-uboot.sh
. "$here/card/boot-uboot.sh"

# What both systems are given; U-Boot adds which one it is.
kernel_words() {
    # shellcheck disable=SC2086 # a list of words
    printf 'ro%s panic=30 loglevel=4' "$(printf ' console=%s' $CONSOLES)"
}

# By the last part of their version, arm64 or armmp: a card may have both, and U-Boot takes the one that fits.
kernel_name() { echo "vmlinuz-${1##*-}"; }
initrd_name() { echo "initrd-${1##*-}"; }

# Fills $boot and $kernel.
make_boot() { # make_boot ROOT
    # start.elf and start4.elf, and what a Pi takes instead where config.txt says gpu_mem=16 (_cd). Not those for cameras (x) and debugging (db).
    cp "$1"/usr/lib/raspi-firmware/bootcode.bin "$boot/"
    for name in '' 4 _cd 4cd; do
        cp "$1/usr/lib/raspi-firmware/start$name.elf" "$1/usr/lib/raspi-firmware/fixup$name.dat" "$boot/"
    done
    for file in "$1"/boot/vmlinuz-*; do cp "$file" "$kernel/$(kernel_name "$file")"; done
    # arm64 has them by maker, armhf in one folder; what both have is taken from arm64.
    find "$1"/usr/lib/linux-image-*/ -name 'bcm27*-rpi-*.dtb' -o -name 'bcm283*-rpi-*.dtb' | LC_ALL=C sort -r |
        while read -r file; do cp "$file" "$boot/"; done
    cp "$here/$board/config.txt" "$boot/"
    printf '%s %s\n' "$(kernel_words)" "$(paste -s -d ' ' "$here/$board/cmdline.txt")" >"$boot/cmdline.txt"
    put_uboot "$1"
}
