#!/usr/bin/env bats
# shellcheck disable=SC1090,SC1091,SC2016 # each board's file is read; a backtick is one
# Every board's fact file has every fact, in the form that sh, make and the governor can read.

setup() { cd "$BATS_TEST_DIRNAME/../.." || return 1; }

# What docs/boards.md names, in its order.
wanted() { sed -n 's/^| `\([A-Z_]*\)` |.*/\1/p' docs/boards.md; }

@test "there is a board, and each has all facts and no others" {
    local facts count=0
    for facts in board/*/facts; do
        echo "$facts"
        diff <(wanted | sort) <(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$facts" | sort)
        count=$((count + 1))
    done
    ((count >= 3))
}

@test "a line is a comment or KEY=value, the value a word or quoted, and sh reads it so" {
    local facts key
    for facts in board/*/facts; do
        echo "$facts"
        run grep -vE '^#|^[A-Z_]+=([^" $`\\]+|"[^"$`\\]*")$' "$facts"
        [[ -z $output ]]
        for key in $(wanted); do
            [[ $(sed -n "s/^$key=//p" "$facts" | tr -d '"') == "$(. "./$facts" && echo "${!key}")" ]]
        done
    done
}

@test "each board is of a processor of its own name, and has a lamp" {
    local facts
    for facts in board/*/facts; do
        (
            . "./$facts"
            [[ ${facts%/facts} == *"-$ARCH" && -n $LAMP_LED && $GNU == *-linux-gnu* ]]
        )
    done
}

@test "the worked example of docs/boards.md makes a board" {
    cp -r board "$BATS_TEST_TMPDIR/"
    local example
    example=$(sed -n '/^## Another board/,$s/^    //p' docs/boards.md | sed '/^bats /,$d')
    cd "$BATS_TEST_TMPDIR"
    eval "$example"
    [[ $(. board/thinclient-amd64/facts && echo "$ARCH $START $LAMP_LED ${DRIVE:-none}") == "amd64 grub capslock none" ]]
    diff <(sed -n 's/^\([A-Z_]*\)=.*/\1/p' board/thinclient-amd64/facts) <(sed -n 's/^\([A-Z_]*\)=.*/\1/p' board/virtualbox-amd64/facts)
}
