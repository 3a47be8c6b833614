#!/usr/bin/env bats
# Heat, supply and the card: what the board's own sensors and the kernel's log say. Nothing is written.

load ../device

hwmon() { # hwmon NAME: its folder
    local folder
    for folder in /sys/class/hwmon/*; do
        [[ ! -e $folder/name || $(<"$folder/name") != "$1" ]] || echo "$folder"
    done
}

# Fails where one of these bits of the firmware's word is set; adds what was looked at to $looked.
look_at_throttling() { # look_at_throttling MASK MEANING
    local flags
    command -v vcgencmd >/dev/null && flags=$(vcgencmd get_throttled) && [[ $flags == throttled=* ]] || return 0
    flags=${flags#throttled=}
    looked+="get_throttled $flags"
    ((!(flags & $1))) || fail "vcgencmd get_throttled says $flags: $2"
}

@test "supply: no under-voltage, now or since boot" {
    local folder looked=''
    folder=$(hwmon rpi_volt)
    if [[ -n $folder ]]; then
        looked+="rpi_volt $(<"$folder/in0_lcrit_alarm") "
        [[ $(<"$folder/in0_lcrit_alarm") == 0 ]] || fail "rpi_volt: the supply's voltage is too low now"
    fi
    look_at_throttling 0x10001 "under-voltage (bit 0 now, bit 16 since boot)"
    [[ -n $looked ]] || skip "this board tells nothing of its supply (neither rpi_volt nor vcgencmd)"
    ! dmesg | grep -i 'under-\?voltage detected' || fail "the kernel's log tells of under-voltage"
    say "$looked"
}

@test "heat: below 80 °C, and not throttled since boot" {
    local zone degrees looked=''
    for zone in /sys/class/thermal/thermal_zone*; do
        # A zone may have no value at the moment.
        degrees=$(cat "$zone/temp" 2>/dev/null) || continue
        looked+="$(<"$zone/type") $((degrees / 1000)) °C "
        ((degrees < 80000)) || fail "$(<"$zone/type"): $((degrees / 1000)) °C"
    done
    look_at_throttling 0xE000E "throttled (bits 1 to 3 now, 17 to 19 since boot)"
    [[ -n $looked ]] || skip "this board tells no temperature"
    say "$looked"
}

@test "the card: no errors in the kernel's log, not worn out, and its first 64 MiB can be read" {
    local disk card='' value
    for disk in /sys/block/mmcblk*; do
        [[ -e $disk && $disk != *boot[0-9] ]] || continue
        card=${disk##*/}
        value=$(cat "$disk/device/pre_eol_info" 2>/dev/null) || value=''
        # JEDEC eMMC: 1 normal, 2 four fifths of the spare blocks are used, 3 nine tenths. SD cards have no such word.
        [[ -z $value ]] || ((value <= 1)) || fail "$card: pre_eol_info $value: replace it"
        # shellcheck disable=SC2013 # words
        for value in $(cat "$disk/device/life_time" 2>/dev/null); do
            ((value <= 9)) || fail "$card: life_time $value: more than nine tenths of its life are used"
        done
        say "$card: $(cat "$disk/device/name" 2>/dev/null) $(cat "$disk/device/date" 2>/dev/null), life_time $(cat "$disk/device/life_time" 2>/dev/null || echo 'not told')"
        dd if="/dev/$card" of=/dev/null bs=4M count=16 iflag=direct status=none
    done
    [[ -n $card ]] || skip "this machine has no SD card"
    ! dmesg | grep -E 'mmc[0-9].*(error|timeout|CRC)|I/O error, dev mmcblk' || fail "the kernel's log tells of errors of the card"
}

@test "no mounted ext4 has counted errors" {
    local file looked=0
    for file in /sys/fs/ext4/*/errors_count; do
        [[ -e $file ]] || continue
        looked=$((looked + 1))
        [[ $(<"$file") == 0 ]] || fail "$file: $(<"$file")"
    done
    ((looked > 0)) || skip "no ext4 is mounted"
    say "$looked looked at"
}
