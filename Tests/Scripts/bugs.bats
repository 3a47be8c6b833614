#!/usr/bin/env bats
# The deliberate bugs that simulator, fuzzers and soak test must find (each is built, which takes long): what they change must still be in the
# sources.

setup() { cd "$BATS_TEST_DIRNAME/../.." || return 1; }

@test "every deliberate bug can still be put in" {
    export PYTHONDONTWRITEBYTECODE=1
    Tests/Simulator/run --there
    Tests/Fuzz/bugs --there
    Tests/Soak/bugs --there
}

@test "one whose place is gone is told by its name" {
    mkdir "$BATS_TEST_TMPDIR/Tests"
    cp -r Tests/Simulator Tests/planting.py "$BATS_TEST_TMPDIR/Tests/"
    cp -r Sources "$BATS_TEST_TMPDIR/"
    cd "$BATS_TEST_TMPDIR"
    sed -i 's/isFolderSynced = true/isFolderSynced = !false/' Sources/Simulator/Card.swift
    run env PYTHONDONTWRITEBYTECODE=1 Tests/Simulator/run --there
    [[ $status == 1 && $output == 'NOT THERE   the folder of the journal is not synced:'* ]]
}
