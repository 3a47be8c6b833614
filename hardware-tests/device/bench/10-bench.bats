#!/usr/bin/env bats
# Figures for the report, and whether the cipher that the governor chose is the faster one here. The best of three counts: what else the
# device does makes it slower, and nothing makes it faster.

load ../device

# MiB/s, encrypting and decrypting.
speed() { # speed CIPHER BITS
    for _ in 1 2 3; do cryptsetup benchmark --cipher "$1" --key-size "$2"; done |
        awk -v name="$1" '$1 == name { if ($3 > e) e = $3; if ($5 > d) d = $5 } END { if (e) print int(e), int(d) }'
}

@test "LUKS: the cipher for this processor is not the slower one (cryptsetup benchmark, in memory)" {
    needs cryptsetup
    needs_dm_crypt
    modprobe -a algif_skcipher xts adiantum 2>/dev/null || true
    local aes adiantum
    aes=$(speed aes-xts 512) adiantum=$(speed xchacha12,aes-adiantum 256)
    [[ -n $aes && -n $adiantum ]] || skip "this kernel can't tell the speed of both ciphers (algif_skcipher)"
    say "AES-XTS $aes MiB/s, Adiantum $adiantum MiB/s (encrypting, decrypting); the governor chooses $(wanted_cipher)"
    ! grep -q 'User Mode Linux' /proc/cpuinfo || skip "User-Mode Linux shows the host's AES flag, but has only the AES written in C"
    # Imitated instructions tell nothing of real ones.
    ! { [[ $(wanted_cipher) == aes-* ]] && grep -qs 'Raspberry Pi [1-4]' /proc/device-tree/model; } ||
        skip "this Pi is imitated: no real one before the Pi 5 has AES instructions"
    # A quarter is the noise of a busy machine.
    if [[ $(wanted_cipher) == aes-* ]]; then
        ((${aes% *} * 5 >= ${adiantum% *} * 4))
    else
        ((${adiantum% *} * 5 >= ${aes% *} * 4))
    fi
}

@test "the drive in use: read raw and through its encryption" {
    needs_governor
    local path mapper
    path=$(status_of drivePath) mapper=/dev/mapper/$SUBLET_TEST_BRIDGE-lease
    [[ -n $path && -e $mapper ]] || skip "no encrypted drive is open"
    say "raw:       $(dd if="$path" of=/dev/null bs=4M count=64 iflag=direct 2>&1 | tail -1)"
    say "encrypted: $(dd if="$mapper" of=/dev/null bs=4M count=64 iflag=direct 2>&1 | tail -1)"
}

@test "memory and wake-ups of the governor" {
    needs_governor
    local pid
    pid=$(status_of pid)
    say "RSS $(awk '$1 == "VmRSS:" { print $2 }' "/proc/$pid/status") KiB, USS $(awk '/^Private/ { sum += $2 } END { print sum }' "/proc/$pid/smaps_rollup") KiB"
    say "memory in use on the whole device: $(awk '$1 == "MemTotal:" { t = $2 } $1 == "MemAvailable:" { print int((t - $2) / 1024) }' /proc/meminfo) MiB; state $(status_of state)"
    say "wake-ups: $(status_of wakeUps) in $(ps -o etimes= -p "$pid" | tr -d ' ') s"
}

@test "how long the boot took" {
    needs systemd-analyze
    local said
    said=$(systemd-analyze time 2>&1) || skip "systemd has not booted this machine"
    say "$said"
    say "$(systemd-analyze critical-chain governor.service 2>/dev/null | head -8)"
}
