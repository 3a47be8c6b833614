# shellcheck shell=sh disable=SC2154 # boot, work, disk_id, volume_id and CONSOLES are the caller's
# What starts a PC: GRUB by BIOS (before the first partition) and by UEFI (a file on the FAT partition). It takes one of the card's two systems
# and counts. Sourced by board/image, never run.
# The programs that make GRUB's images are the ones in the unpacked packages, for the host's may be of another release.

grub_modules="part_msdos fat normal linux configfile search search_fs_uuid echo test regexp loadenv serial terminal reboot halt minicmd all_video"

grub_image() { # grub_image ROOT FORMAT FILE MODULE...
    root=$1 format=$2 file=$3
    shift 3
    # shellcheck disable=SC2086 # a list of words
    chroot "$root" grub-mkimage -O "$format" -c /tmp/start.cfg -p /grub -o "/tmp/$file" $grub_modules "$@" >&2 ||
        die 70 "grub-mkimage failed for $format"
}

# The RAM for a crash's log. Not reserve_mem=, which takes the RAM's end: a BIOS starts anew there. The sign before the address is one of GRUB's.
crash_words="memmap=0x$crash_size\\\$0x$crash_address ramoops.mem_address=0x$crash_address ramoops.mem_size=0x$crash_size"
crash_words="$crash_words ramoops.record_size=0x$crash_record ramoops.ecc=1"

kernel_words() { # kernel_words SLOT NUMBER
    # shellcheck disable=SC2086 # a list of words
    printf 'root=PARTUUID=%s-%02d ro%s panic=30 loglevel=4 %s rauc.slot=%s\n' "$disk_id" "$2" "$(printf ' console=%s' $CONSOLES)" "$crash_words" "$1"
}

# GRUB can't count, so each number is named. What its file does not say, or where it can't be read, is as on a new card.
grub_slot() { # grub_slot SLOT ROOT KERNEL
    cat <<CONFIG
        if [ -z "\$slot" -a "\$one" = $1 -a "\$$1_OK" = 1 -a "\$$1_TRY" != $most_tries ]; then
            set slot=$1
            set kernel=$3
            set words="$(kernel_words "$1" "$2")"
            if [ "\$$1_TRY" = 0 ]; then set $1_TRY=1; elif [ "\$$1_TRY" = 1 ]; then set $1_TRY=2; else set $1_TRY=$most_tries; fi
        fi
CONFIG
}

# Where no system is left that may be tried, all begin again.
write_grub_config() {
    cat <<CONFIG
set timeout=0
set ORDER="A B"
set A_OK=1
set A_TRY=0
set B_OK=0
set B_TRY=0
load_env ORDER A_OK A_TRY B_OK B_TRY
regexp --set=1:disk '^(.*),' "\$root"
for round in 1 2; do
    for one in \$ORDER; do
$(grub_slot A "$root_a" "$boot_a")
$(grub_slot B "$root_b" "$boot_b")
    done
    if [ -z "\$slot" ]; then
        set A_TRY=0
        set B_TRY=0
    fi
done
save_env A_TRY B_TRY
linux (\$disk,msdos\$kernel)/vmlinuz \$words
initrd (\$disk,msdos\$kernel)/initrd
boot
# Only where something is missing.
reboot
CONFIG
}

initrd_name() { echo initrd; }

# Needs the packages as they were unpacked; fills $boot and $kernel, and makes $work/mbr (what lies before the first partition).
make_boot() { # make_boot ROOT
    ensure_runnable "$ARCH"
    # shellcheck disable=SC2016 # GRUB's variable
    printf 'search --fs-uuid --set=root %s\nset prefix=($root)/grub\nconfigfile /grub/grub.cfg\n' "$volume_id" >"$1/tmp/start.cfg"
    grub_image "$1" i386-pc core.img biosdisk
    grub_image "$1" x86_64-efi boot.efi
    { head -c 440 "$1/usr/lib/grub/i386-pc/boot.img" && head -c 72 /dev/zero && cat "$1/tmp/core.img"; } >"$work/mbr"
    install -D "$1/tmp/boot.efi" "$boot/EFI/BOOT/BOOTX64.EFI"
    write_grub_config >"$boot/grub/grub.cfg"
    cp "$boot/grub/grub.cfg" "$1/tmp/"
    chroot "$1" grub-script-check /tmp/grub.cfg || die 70 "GRUB does not understand its configuration"
    cp "$1"/boot/vmlinuz-* "$kernel/vmlinuz"
}
