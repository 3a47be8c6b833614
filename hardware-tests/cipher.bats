#!/usr/bin/env bats
# The cipher follows the processor: AES-XTS where it has AES instructions, else Adiantum. QEMU imitates one with them and
# takes them away. As root, after `make build`. (Which of the two is the faster: `make bench`.)
#
#   bats --tap hardware-tests/cipher.bats

load in-rig

setup_file() {
    needs qemu-system-x86_64 linux.uml mmdebstrap
    lay_out "$BATS_FILE_TMPDIR/programs" governor
    "$PROJECT/hardware-tests/slow-rig/root" >/dev/null
}

# Prepares a drive on a processor: sets output to what /proc/cpuinfo says and to the cipher in the drive's header.
prepares_on() { # prepares_on MODEL
    run "$PROJECT/hardware-tests/slow-rig/run" --cpu "$1" --timeout 900 --disk "$BATS_TEST_TMPDIR/drive:1100M" \
        --share "$PROJECT/hardware-tests:/tests" --share "$BATS_FILE_TMPDIR/programs:/programs" -- /tests/cipher/guest chosen /programs /dev/vda
    echo "# $1: ${output/$'\n'/, }" >&3
    [[ $status == 0 ]]
}

@test "a processor with AES instructions: AES-XTS" {
    prepares_on Westmere
    [[ $output == aes$'\n'aes-xts-plain64 ]]
}

@test "the same processor without them: Adiantum" {
    prepares_on Westmere,-aes
    [[ $output == 'no aes'$'\n'xchacha12,aes-adiantum-plain64 ]]
}
