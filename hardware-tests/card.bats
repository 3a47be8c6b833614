#!/usr/bin/env bats
# A card with what goes wrong at its owner's: the file, the network, the clock, the power. As root; what boots a machine with SUBLET_LONG,
# an hour for each board on a quiet machine. SUBLET_BOARDS says which boards (virtualbox-amd64); their cards must have been made (make image).

load in-rig

setup_file() {
    needs qemu-system-x86_64 mcopy mkfs.vfat sfdisk debugfs journalctl nginx
    lay_out_cards
}

# What boots a machine.
long() {
    [[ -n ${SUBLET_LONG-} ]] || skip "takes minutes to an hour: set SUBLET_LONG"
    needs_cards
}

tried() { # tried OPTION...: on each board
    local board
    long
    for board in $SUBLET_BOARDS; do goes_well card-rig "$(card_of "$board")" "$@"; done
}

# A broken device must fail its trial with these words. On a PC alone: a Pi's machine hands nothing over that way.
fails() { # fails SABOTAGE WORDS OPTION...
    long
    [[ " $SUBLET_BOARDS " == *" virtualbox-amd64 "* ]] || skip "SUBLET_BOARDS has no PC"
    local sabotage=$1 words=$2
    shift 2
    run "$PROJECT/hardware-tests/card-rig" "$(card_of virtualbox-amd64)" --sabotage "$sabotage" "$@"
    [[ $status == 1 && $output == *"card-rig: "*"$words"* ]] || {
        echo "$output"
        return 1
    }
    grep -a '^card-rig: ' <<<"$output" | comment
}

@test "what the rig looks at on a card is seen to be spoilt" {
    run "$PROJECT/hardware-tests/image/spoilt_cards.py" "$BATS_TEST_TMPDIR"
    comment <<<"$output"
    [[ $status == 0 ]]
}

@test "a wrong device-config.json blinks, and device-status.txt says what is wrong; a byte order mark does no harm" { tried --only files; }

@test "without a network, with lying names and behind a portal it waits, and goes on by itself" { tried --only network; }

@test "with 1970 on the clock it waits for the time, and goes on by itself" { tried --only clock; }

@test "the power is cut ten times before the first lease: it comes up, and nothing is lost" { tried --only cuts --cuts 10 --seed "$RANDOM"; }

@test "broken: nothing writes device-status.txt" { fails status "device-status.txt should say" --only files; }

@test "broken: another LED is the lamp" { fails lamp "the lamp should show four; it was" --only files; }

@test "broken: names are asked for where nobody answers" { fails names "for the name server to be asked" --only network --patience 400; }

@test "broken: nobody sets the clock" { fails time "for 'event=lease" --only clock --patience 600; }

@test "broken: the data partition is wiped when it grows" { fails grow "for 'event=governor" --only cuts --cuts 1 --seed 57 --patience 400; }

@test "broken: a byte of the system is written" { fails root "changed on the card: ['partition 2']" --only cuts --cuts 1 --seed 0; }

@test "broken: the key is made anew at each start" { fails key "the device's key is another one" --only cuts --cuts 1 --seed 0; }
