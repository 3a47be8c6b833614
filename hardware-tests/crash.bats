#!/usr/bin/env bats
# What is kept of a crash of the kernel. The first test takes a second; the others boot a card, as root, with SUBLET_LONG: some minutes for each
# board, more on a loaded machine. SUBLET_BOARDS says which boards (virtualbox-amd64); their cards must have been made (make image).

load in-rig

setup_file() {
    needs mcopy debugfs
    lay_out_cards
}

long() {
    [[ -n ${SUBLET_LONG-} ]] || skip "takes ten minutes and more: set SUBLET_LONG"
    needs qemu-system-x86_64
    needs_cards
}

keep() { sh "$PROJECT/rootfs-overlay/usr/lib/sublet/keep-crash" "$BATS_TEST_TMPDIR/store" "$BATS_TEST_TMPDIR/crashes"; }

kept() { (cd "$BATS_TEST_TMPDIR/crashes" && echo *); }

@test "a crash's log moves out of the RAM; the last five are kept, for root alone; without a crash nothing happens" {
    local number
    cd "$BATS_TEST_TMPDIR"
    mkdir store
    keep
    [[ ! -e crashes ]]
    for number in $(seq 12); do
        echo "$number" >store/dmesg-ramoops-0
        keep
        [[ -z $(ls store) ]]
    done
    [[ $(kept) == "10 11 12 8 9" && $(cat crashes/12/dmesg-ramoops-0) == 12 ]]
    [[ -z $(find crashes -perm /077) ]]
    # A copy that a power cut left half made.
    mkdir crashes/13.new
    echo again >store/dmesg-ramoops-0
    keep
    [[ $(kept) == "10 11 12 13 9" && $(cat crashes/13/dmesg-ramoops-0) == again ]]
    # Where nothing can be written the RAM keeps it.
    rm -r crashes
    touch crashes
    echo more >store/dmesg-ramoops-0
    run keep
    [[ $status != 0 && $(cat store/dmesg-ramoops-0) == more ]]
}

@test "the kernel crashes: it starts anew by itself, and its last words are on the card" {
    long
    local board
    for board in $SUBLET_BOARDS; do goes_well image-rig "$(card_of "$board")" --crash; done
}

@test "broken: no RAM is set apart for it" {
    long
    [[ " $SUBLET_BOARDS " == *" virtualbox-amd64 "* ]] || skip "SUBLET_BOARDS has no PC"
    local card=$BATS_TEST_TMPDIR/sublet-virtualbox-amd64.img
    xz -dc "$(card_of virtualbox-amd64)" >"$card"
    mcopy -n -i "$card@@1M" ::grub/grub.cfg - | sed 's/ ramoops\.mem_address=[^ ]*//' | mcopy -o -i "$card@@1M" - ::grub/grub.cfg
    run "$PROJECT/hardware-tests/image-rig" "$card" --crash
    [[ $status == 1 && $output == *"image-rig: "*"what it said last"* ]]
}
