#!/usr/bin/env bats
# Which of a card's two systems a Pi's U-Boot starts, and how it counts: on QEMU's raspi3b, some seconds for each start. U-Boot and device tree
# are those of the card of board/image for pi-arm64, the script is board/card's as it is now; instead of kernels there are files of a known size,
# which U-Boot loads, finds to be none, and resets. As root.

load in-rig

setup_file() {
    needs qemu-system-aarch64 mcopy mkfs.vfat sfdisk mkimage xz
    stay_in_folder
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT
    local card made=$BATS_FILE_TMPDIR/made.img
    card=$(card_of pi-arm64)
    [[ -e $card ]] || skip "needs a card: run make image BOARD=pi-arm64"
    cd "$BATS_FILE_TMPDIR" || return 1
    xz -dc "$card" 2>/dev/null | head -c 129M >start.img || true
    mcopy -n -i start.img@@1M ::u-boot-arm64.bin ::bcm2837-rpi-3-b.dtb .
    rm start.img
    # shellcheck disable=SC2016 # the inner shell's
    env -C "$PROJECT" sh -euc '. board/card/slots.sh; . board/card/boot-uboot.sh; disk_id=5b1e7000 work=$0 boot=$0; pack_uboot_script' "$PWD"
    truncate -s 64M "$made"
    sfdisk -q "$made" <<-'TABLE'
	label: dos
	start=1MiB, size=34MiB, type=c, bootable
	start=35MiB, size=1MiB, type=83
	start=62MiB, size=1MiB, type=83
	start=36MiB, size=20MiB, type=f
	start=37MiB, size=1MiB, type=83
	start=39MiB, size=3MiB, type=c
	start=43MiB, size=3MiB, type=c
	TABLE
    part 1 34 -F 32
    mmd -i "$made@@1M" ::grub
    mcopy -i "$made@@1M" boot.scr uboot.env ::
    part 39 3
    part 43 3
    head -c 1111 /dev/zero | mcopy -i "$made@@39M" - ::vmlinuz-arm64
    head -c 2222 /dev/zero | mcopy -i "$made@@43M" - ::vmlinuz-arm64
}

# A FAT file system at a mebibyte of the card.
part() { # part AT MEBIBYTES OPTION...
    mkfs.vfat "${@:3}" part.img -C "$(($2 << 10))" >/dev/null
    dd if=part.img of=made.img bs=1M seek="$1" conv=notrunc status=none
    rm part.img
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_FILE_TMPDIR/made.img" card.img
    mkdir -p grub
    export SUBLET_CARD=$PWD
}

slots() { sh "$PROJECT/rootfs-overlay/usr/lib/sublet/slots" "$@"; }

# Puts the file of the choice onto the card.
put() { mcopy -o -i card.img@@1M grub/grubenv ::grub/grubenv; }

# Starts the card once, and takes the file back. Says which system's kernel was loaded.
starts() {
    timeout 300 nice -n 10 qemu-system-aarch64 -M raspi3b -no-reboot -kernel "$BATS_FILE_TMPDIR/u-boot-arm64.bin" \
        -dtb "$BATS_FILE_TMPDIR/bcm2837-rpi-3-b.dtb" -drive file=card.img,format=raw,if=sd -serial null -serial stdio \
        -display none -monitor none </dev/null >console
    mcopy -n -o -i card.img@@1M ::grub/grubenv grub/
    sed -n 's/^1111 bytes read.*/A/p; s/^2222 bytes read.*/B/p' console
}

value() { sed -n "s/^$1=//p" grub/grubenv; }

@test "a new system is tried three times, then the other one, and then all begin again" {
    local number
    slots set-state A good
    slots set-primary B
    put
    for number in 1 2 3; do [[ $(starts) == B && $(value B_TRY) == "$number" && $(value A_TRY) == 0 ]]; done
    for number in 1 2 3; do [[ $(starts) == A && $(value A_TRY) == "$number" && $(value B_TRY) == 3 ]]; done
    [[ $(starts) == B && $(value B_TRY) == 1 && $(value A_TRY) == 0 ]]
    # What U-Boot has written, slots reads, and the other way round.
    [[ $(slots get-primary) == B ]]
    slots is-new B
    slots set-state B good
    put
    [[ $(starts) == B && $(value B_TRY) == 1 && $(value B_NEW) == 0 && $(value A_OK) == 1 ]]
}

@test "nothing but the card is looked at; where U-Boot has another number for the card, it finds the script all the same" {
    [[ $(starts) == A && $(value A_TRY) == 1 ]]
    run grep -aiE 'usb|bootflow|bootaa64|autoboot' console
    [[ -z $output ]]
    # By EFI: the kernel can then start the machine anew without a driver.
    grep -aq 'No UEFI binary' console
    mdel -i card.img@@1M ::uboot.env
    [[ $(starts) == A && $(value A_TRY) == 2 ]]
    grep -aq 'stop autoboot' console
}

@test "one that was given up is not started" {
    slots set-primary B
    slots set-state B bad
    put
    [[ $(starts) == A && $(value A_TRY) == 1 && $(value B_OK) == 0 ]]
}

@test "counting changes a byte of the card, in the file's first sector" {
    slots set-state A good
    put
    [[ $(starts) == A ]]
    cp card.img before.img
    [[ $(starts) == A && $(value A_TRY) == 2 ]]
    [[ $(cmp -l before.img card.img | wc -l) == 1 ]]
}

@test "a file that is not there, or is none, is as a new card: A starts" {
    [[ $(starts) == A && $(value A_TRY) == 1 && $(value B_OK) == 0 && $(value ORDER) == "A B" ]]
    for text in '' "$(head -c 3000 /dev/urandom | base64)"; do
        printf '%s' "$text" >grub/grubenv
        put
        [[ $(starts) == A && $(value A_TRY) == 1 ]]
    done
}

# What each model's tree is when it is handed on, as U-Boot prints it: a Pi 3's is the one that is there, the others are loaded.
@test "every model's tree has a place for a crash's log, and a lamp that is dark; one that lacks the LED does no harm" {
    local tree change
    change=$(sh -euc '. "$0/board/card/slots.sh"; . "$0/board/card/boot-uboot.sh"; uboot_tree' "$PROJECT")
    xz -dc "$(card_of pi-arm64)" 2>/dev/null | head -c 129M >start.img || true
    mcopy -n -i start.img@@1M ::bcm2711-rpi-4-b.dtb ::bcm2711-rpi-400.dtb .
    rm start.img
    {
        for tree in '' bcm2711-rpi-4-b bcm2711-rpi-400; do
            [[ -z $tree ]] || echo "load \${devtype} \${devnum}:1 2000000 $tree.dtb; setenv fdt_addr 2000000"
            echo "echo == \${fdt_addr}; fdt addr \${fdt_addr}"
            echo "$change"
            echo 'fdt print /reserved-memory/ramoops@b000000; fdt print /leds/led-act; echo goes on'
        done
        echo reset
    } >boot.txt
    mkimage -A arm -T script -C none -n Sublet -d boot.txt boot.scr >/dev/null
    mcopy -o -i card.img@@1M boot.scr bcm2711-*.dtb ::
    slots set-state A good
    put
    starts
    [[ $(grep -ac 'goes on' console) == 3 ]]
    [[ $(grep -ac 'compatible = "ramoops"' console) == 3 ]]
    [[ $(grep -ac 'reg = <0x0b000000 0x00010000>' console) == 1 ]]
    [[ $(grep -ac 'reg = <0x00000000 0x0b000000 0x00010000>' console) == 2 ]]
    [[ $(grep -ac 'linux,default-trigger = "none"' console) == 2 && $(grep -ac 'default-state = "off"' console) == 2 ]]
}
