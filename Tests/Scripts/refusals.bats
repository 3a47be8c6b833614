#!/usr/bin/env bats
# What the scripts say where something is lacking: one line, an exit status of sysexits.h, and nothing is changed. As root.

setup_file() {
    [[ $(id -u) == 0 ]] || skip "must run as root"
    PROJECT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
    export PROJECT
}

# A PATH on which Debian's own programs are, and what $BATS_TEST_TMPDIR/bin holds first.
own_path() {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    echo "$BATS_TEST_TMPDIR/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

somebody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# The command ended with STATUS and one line that holds WORDS.
says() { # says STATUS WORDS
    echo "$output"
    [[ $status == "$1" && ${#lines[@]} == 1 && $output == *"$2"* ]]
}

# A compiler that tells a version.
fake_swift() { # fake_swift VERSION
    PATH=$(own_path)
    printf '#!/bin/sh\necho "Swift version %s"\n' "$1" >"$BATS_TEST_TMPDIR/bin/swift"
    chmod +x "$BATS_TEST_TMPDIR/bin/swift"
}

@test "no Swift toolchain" {
    PATH=$(own_path) run "$PROJECT/board/host/needs" --toolchain
    says 69 'there is no swift on PATH: install the Swift 6.3 toolchain'
}

@test "an older toolchain, and one that does not run" {
    fake_swift 6.2.1
    run "$PROJECT/board/host/needs" --toolchain
    says 69 'this is Swift 6.2.1, and 6.3 is needed'
    printf '#!/bin/sh\nexit 127\n' >"$BATS_TEST_TMPDIR/bin/swift"
    run "$PROJECT/board/host/needs" --toolchain
    says 69 'does not run'
    fake_swift 6.3.1
    run "$PROJECT/board/host/needs" --toolchain
    [[ $status == 0 && -z $output ]]
}

@test "make demo and make test without a toolchain stop at that line" {
    local target
    for target in demo test; do
        # These tests may be run by make themselves; a make below another says so on every line.
        PATH=$(own_path) run env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS make -s --no-print-directory -C "$PROJECT" "$target"
        [[ $status == 2 && ${lines[0]} == *'there is no swift on PATH'* && ${lines[1]} == make:* && ${#lines[@]} == 2 ]]
    done
}

@test "not root" {
    # Where the project lies, nobody else may be able to look: /root, for one.
    local copy=$BATS_TEST_TMPDIR/project
    mkdir -m 755 "$copy" "$copy/Tests"
    cp -r "$PROJECT/board" "$copy/"
    cp "$PROJECT/Tests/run" "$copy/Tests/"
    chmod -R o+rX "$copy"
    chmod o+x "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/test "$BATS_TEST_TMPDIR"
    run somebody "$copy/board/host/check-kernel"
    says 77 'needs root'
    run somebody "$copy/Tests/run"
    says 77 'must be root'
    # A folder that is not there yet, so that there is something to make.
    mkdir -m 777 "$BATS_TEST_TMPDIR/cache"
    SUBLET_CACHE=$BATS_TEST_TMPDIR/cache SUBLET_VAULT=/bin/true run somebody "$copy/board/base-image" "$(dpkg --print-architecture)"
    says 77 'needs root'
    SUBLET_CACHE=$BATS_TEST_TMPDIR/none/of/it SUBLET_VAULT=/bin/true run somebody "$copy/board/base-image" "$(dpkg --print-architecture)"
    says 69 "can't make the cache folder"
}

@test "no disk space" {
    run "$PROJECT/board/host/check-kernel" --space 1000000 "$BATS_TEST_TMPDIR"
    says 69 'disk space is missing: '
    [[ $output == *"and 1000000 are needed (for $BATS_TEST_TMPDIR)"* ]]
    # Folders on one disk add up.
    mount -t tmpfs -o size=3G,nr_inodes=9 small "$(mkdir -p "$BATS_TEST_TMPDIR/disk" && echo "$BATS_TEST_TMPDIR/disk")"
    run "$PROJECT/board/host/check-kernel" --space 2 "$BATS_TEST_TMPDIR/disk"
    local alone=$status
    run "$PROJECT/board/host/check-kernel" --space 2 "$BATS_TEST_TMPDIR/disk/a" --space 2 "$BATS_TEST_TMPDIR/disk/b"
    umount "$BATS_TEST_TMPDIR/disk"
    [[ $alone == 0 ]]
    says 69 'has 3 GB free, and 4 are needed'
}

@test "no PyPI: the schema fuzzer is missed in one line" {
    mkdir -p "$BATS_TEST_TMPDIR/project"
    cp -r "$PROJECT/Tests" "$PROJECT/docs" "$BATS_TEST_TMPDIR/project/"
    env -u PIP_FIND_LINKS PIP_RETRIES=0 PIP_INDEX_URL=http://127.0.0.1:9/simple \
        bash -c '"$@" 2>&1' bash "$BATS_TEST_TMPDIR/project/Tests/Contract/run" /bin/true >"$BATS_TEST_TMPDIR/said" || status=$?
    output=$(<"$BATS_TEST_TMPDIR/said")
    mapfile -t lines <"$BATS_TEST_TMPDIR/said"
    says 69 "can't be had from PyPI"
    [[ ! -e $BATS_TEST_TMPDIR/project/.build/venv/version ]]
}

@test "a foreign architecture that nobody knows" {
    run "$PROJECT/board/base-image" sparc
    says 64 "there is no image for 'sparc'"
}

# By what apt says of it.
@test "a mirror whose index does not match its Release file is told by its suite, and by nothing else" {
    source "$PROJECT/board/host/lib.sh"
    printf 'Err:4 http://mirror bookworm-security/main armhf Packages\n  File has unexpected size (1 != 2). Mirror sync in progress?\n' \
        >"$BATS_TEST_TMPDIR/log"
    [[ $(mismatched_suites "$BATS_TEST_TMPDIR/log") == bookworm-security ]]
    printf 'Err:4 http://mirror bookworm/main armhf Packages\n  404  Not Found\n' >"$BATS_TEST_TMPDIR/log"
    [[ -z $(mismatched_suites "$BATS_TEST_TMPDIR/log") ]]
}

@test "the base image takes no vault that was built for another processor" {
    local other=arm64
    [[ $(dpkg --print-architecture) != arm64 ]] || other=armhf
    SUBLET_CACHE=$BATS_TEST_TMPDIR/cache SUBLET_VAULT=/bin/true run "$PROJECT/board/base-image" "$other"
    says 69 "is not a program for $other"
    [[ ! -e $BATS_TEST_TMPDIR/cache ]]
    SUBLET_CACHE=$BATS_TEST_TMPDIR/cache SUBLET_VAULT=/nowhere run "$PROJECT/board/base-image" "$other"
    says 69 "is not built"
}

@test "a bare machine of a release that nobody knows" {
    run "$PROJECT/Tests/bare-machine" sid true
    says 64 'bookworm|trixie'
}
