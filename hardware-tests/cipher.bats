#!/usr/bin/env bats
# The cipher follows the processor: AES-XTS where it has AES instructions, else Adiantum. QEMU imitates one with them and
# takes them away. As root, after `make build`. (Which of the two is the faster: `make bench`.)
#
#   bats --tap hardware-tests/cipher.bats

setup_file() {
    [[ $(id -u) == 0 ]] || skip "must run as root"
    local program
    for program in qemu-system-x86_64 linux.uml mmdebstrap; do
        command -v "$program" >/dev/null || skip "needs $program: run board/host/needs vm rig"
    done
    export TMPDIR=$BATS_FILE_TMPDIR
    PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd -P)
    export PROJECT
    mkdir "$BATS_FILE_TMPDIR/programs"
    cp "${SUBLET_BIN:-$PROJECT/.build/release}/governor" "$BATS_FILE_TMPDIR/programs/"
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
