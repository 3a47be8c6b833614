# shellcheck shell=sh disable=SC2154 # the sourced files' variables are the caller's
# U-Boot, between a Raspberry Pi's firmware and a kernel: it takes one of the card's two systems and counts, as GRUB does (boot-grub.sh). Sourced by
# boot-raspi.sh, never run.
#
# The firmware's cmdline.txt and device tree (with the owner's words, the memory, the serial number) are at $fdt_addr and go on to the kernel; where the
# FAT partition is the variables of U-Boot's `bootflow scan` say, which number the card differently from model to model.
#
# The 64-bit kernel is started as U-Boot's EFI does it, for one reason: it can then start the machine anew by U-Boot's own code, without a driver. The
# driver of a Pi's watchdog, its other way, is a module in the initrd, and a kernel that panics before it would halt for good. The 32-bit kernel has no such way.
#
# In the tree U-Boot changes two things. It keeps the RAM for a crash's log (slots.sh): above the initrd, below what firmware and U-Boot use, on every
# model. And the LED that is the lamp is dark: in Debian's trees it beats
# from the kernel's start on, as if a governor said something.

# Above what the 32-bit kernel unpacks itself to, room for the 64-bit one, and below the device tree (in QEMU it is at 128 MiB). The 64-bit kernel
# fetches its initrd itself, from where it came from (initrd=).
kernel_address=1000000 initrd_address=6000000
# There the tree has room to grow: what lies behind it where the firmware has put it nobody knows.
tree_address=a000000 tree_size=20000
state_names="ORDER A_OK A_TRY A_NEW B_OK B_TRY B_NEW"

# Each number is named, as in GRUB's, so that what else the file may say comes to the same.
uboot_slot() { # uboot_slot SLOT ROOT KERNEL
    cat <<SCRIPT
        if test -z "\${slot}" -a "\${one}" = $1 -a "\${$1_OK}" = 1 -a "\${$1_TRY}" != $most_tries; then
            setenv slot $1
            setenv kernel $3
            setenv words "root=PARTUUID=$disk_id-$(printf %02d "$2") rauc.slot=$1"
            if test "\${$1_TRY}" = 0; then setenv $1_TRY 1; elif test "\${$1_TRY}" = 1; then setenv $1_TRY 2; else setenv $1_TRY $most_tries; fi
        fi
SCRIPT
}

# The tree's numbers for an address and a size have one cell or two, by model. Where something is not there (a Pi 400 has no such LED) U-Boot says so
# and goes on.
uboot_tree() {
    # A fact; what is tried without a board has the Pis'.
    led=/leds/led-$(echo "${LAMP_LED:-ACT}" | tr '[:upper:]' '[:lower:]')
    crash=/reserved-memory/ramoops@$crash_address
    cat <<SCRIPT
if fdt move \${fdt_addr} $tree_address $tree_size; then setenv fdt_addr $tree_address; fi
setenv at 0x$crash_address
setenv long 0x$crash_size
fdt get value cells /reserved-memory "#address-cells"
if test "\${cells}" = 0x00000002; then setenv at "0 \${at}"; fi
fdt get value cells /reserved-memory "#size-cells"
if test "\${cells}" = 0x00000002; then setenv long "0 \${long}"; fi
if fdt mknode /reserved-memory ramoops@$crash_address; then
    fdt set $crash reg "<\${at} \${long}>"
    fdt set $crash record-size "<0x$crash_record>"
    fdt set $crash ecc-size "<16>"
    fdt set $crash compatible ramoops
fi
fdt set $led linux,default-trigger none
fdt set $led default-state off
SCRIPT
}

# Numbers are U-Boot's, in hexadecimal. What it writes back is the file as usr/lib/sublet/slots has it, as long as before and in place, filled up with
# zeros. Where no system is left that may be tried, all begin again.
write_uboot_script() {
    cat <<SCRIPT
setenv card "\${devtype} \${devnum}"
if load \${card}:\${distro_bootpart} $kernel_address grub/grubenv; then
    env import -t $kernel_address \${filesize} $state_names
fi
test -n "\${ORDER}" || setenv ORDER "A B"
test -n "\${A_OK}" || setenv A_OK 1
test -n "\${B_OK}" || setenv B_OK 0
for name in A_TRY A_NEW B_TRY B_NEW; do
    env exists \${name} || setenv \${name} 0
done
for round in 1 2; do
    for one in \${ORDER}; do
$(uboot_slot A "$root_a" "$boot_a")
$(uboot_slot B "$root_b" "$boot_b")
    done
    if test -z "\${slot}"; then
        setenv A_TRY 0
        setenv B_TRY 0
    fi
done
env export -t -s 400 $kernel_address $state_names
fatwrite \${card}:\${distro_bootpart} $kernel_address grub/grubenv 400
env default cpu
fdt addr \${fdt_addr}
fdt get value given /chosen bootargs
$(uboot_tree)
setenv bootargs "\${given} \${words}"
echo "Sublet: system \${slot}, tried: A \${A_TRY}, B \${B_TRY}"
if test "\${cpu}" = armv8; then
    setenv bootargs "\${bootargs} initrd=initrd-arm64"
    if load \${card}:\${kernel} $kernel_address vmlinuz-arm64; then
        bootefi $kernel_address \${fdt_addr}
    fi
elif load \${card}:\${kernel} $kernel_address vmlinuz-armmp; then
    if load \${card}:\${kernel} $initrd_address initrd-armmp; then
        bootz $kernel_address $initrd_address:\${filesize} \${fdt_addr}
    fi
fi
# Only where something is missing.
sleep 2
reset
SCRIPT
}

# Settings instead of U-Boot's own, which it reads from the card that it calls mmc 0 (a Pi 2's and 3's; where the card has another number its own hold):
# nobody can stop it, by a key or by noise on the serial line; it looks for no other system, and lets USB alone, where the drive of a lease hangs.
write_uboot_settings() {
    cat <<SETTINGS
bootcmd=load mmc 0:1 $initrd_address boot.scr && source $initrd_address; bootflow scan; reset
bootdelay=-2
devnum=0
devtype=mmc
distro_bootpart=1
fdt_high=ffffffffffffffff
initrd_high=ffffffffffffffff
loadaddr=0x1000000
stderr=serial,vidconsole
stdin=serial
stdout=serial,vidconsole
SETTINGS
}

# Makes boot.scr and uboot.env.
pack_uboot_script() {
    write_uboot_script >"$work/boot.txt"
    mkimage -A arm -T script -C none -n Sublet -d "$work/boot.txt" "$boot/boot.scr" >"$work/log" ||
        die 70 "mkimage could not pack U-Boot's script: $(cat "$work/log")"
    write_uboot_settings | mkenvimage -s 0x4000 -o "$boot/uboot.env" - ||
        die 70 "mkenvimage could not pack U-Boot's settings"
    chmod 644 "$boot/uboot.env"
}

# The U-Boots that config.txt names, by the kernels that they start, and the script.
put_uboot() { # put_uboot ROOT
    for name in arm64:arm64 2:armmp; do
        file=$1/usr/lib/u-boot/rpi_${name%:*}/u-boot.bin
        [ ! -e "$file" ] || cp "$file" "$boot/u-boot-${name#*:}.bin"
    done
    sed -n 's/^kernel=//p' "$boot/config.txt" | while read -r name; do
        [ -e "$boot/$name" ] || die 70 "config.txt names $name, and no package of FIRMWARE has brought it"
    done
    pack_uboot_script
}
