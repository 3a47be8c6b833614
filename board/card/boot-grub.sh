# shellcheck shell=sh disable=SC2154 # boot, work, disk_id, volume_id and CONSOLES are the caller's
# What starts a PC: GRUB by BIOS (before the first partition) and by UEFI (a file on the FAT partition). Sourced by board/image, never run.
# The programs that make GRUB's images are the ones in the unpacked packages, for the host's may be of another release.

grub_modules="part_msdos fat normal linux configfile search search_fs_uuid echo test serial terminal reboot halt minicmd all_video"

grub_image() { # grub_image ROOT FORMAT FILE MODULE...
    root=$1 format=$2 file=$3
    shift 3
    # shellcheck disable=SC2086 # a list of words
    chroot "$root" grub-mkimage -O "$format" -c /tmp/start.cfg -p /grub -o "/tmp/$file" $grub_modules "$@" >&2 ||
        die 70 "grub-mkimage failed for $format"
}

kernel_words() {
    # shellcheck disable=SC2086 # a list of words
    printf 'root=PARTUUID=%s-02 ro%s panic=30 loglevel=4\n' "$disk_id" "$(printf ' console=%s' $CONSOLES)"
}

write_grub_config() {
    cat <<CONFIG
set timeout=0
linux /vmlinuz $(kernel_words)
initrd /initrd
boot
CONFIG
}

initrd_name() { echo initrd; }

# Needs the packages as they were unpacked; fills $boot, and makes $work/mbr (what lies before the first partition).
make_boot() { # make_boot ROOT
    ensure_runnable "$ARCH"
    # shellcheck disable=SC2016 # GRUB's variable
    printf 'search --fs-uuid --set=root %s\nset prefix=($root)/grub\nconfigfile /grub/grub.cfg\n' "$volume_id" >"$1/tmp/start.cfg"
    grub_image "$1" i386-pc core.img biosdisk
    grub_image "$1" x86_64-efi boot.efi
    { head -c 440 "$1/usr/lib/grub/i386-pc/boot.img" && head -c 72 /dev/zero && cat "$1/tmp/core.img"; } >"$work/mbr"
    install -D "$1/tmp/boot.efi" "$boot/EFI/BOOT/BOOTX64.EFI"
    mkdir -p "$boot/grub"
    write_grub_config >"$boot/grub/grub.cfg"
    cp "$1"/boot/vmlinuz-* "$boot/vmlinuz"
}
