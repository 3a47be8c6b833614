# shellcheck shell=bash disable=SC2154 # rig is in-rig's
# A story in chapters: each is one boot of the fast rig on the drive and the card that the one before left, told by a script in
# lease/. `load story`; then $STORY holds drive, card, programs, base and io (the folder that both sides see).

load in-rig

lay_out_story() {
    export STORY=$BATS_FILE_TMPDIR/story
    mkdir -p "$STORY/io"
    lay_out "$STORY/programs" governor market
    lay_out_base "$STORY/base"
}

setup() {
    [[ ! -e $STORY/broken ]] || skip "the story ended before"
}

teardown() {
    [[ -n ${BATS_TEST_COMPLETED-} ]] || : >"$STORY/broken"
    end_rig
}

# Boots the drive and card in a folder, and begins a chapter of a script.
chapter() { # chapter FOLDER SECONDS SCRIPT CHAPTER [WORD]...
    local folder=$1 seconds=$2 script=$3
    shift 3
    rm -f "$STORY"/io/go-*
    out=$BATS_TEST_TMPDIR/$(IFS=-; echo "$*")
    start "$PROJECT/hardware-tests/fast-rig/run" --timeout "$seconds" --disk "$folder/drive:1536M" --disk "$folder/card:512M" \
        --share "$PROJECT:/project" --share "$STORY/programs:/programs" --share "$STORY/base:/base" --share "$STORY/io:/io" -- \
        env PYTHONDONTWRITEBYTECODE=1 SUBLET_BIN=/programs python3 "/project/hardware-tests/lease/$script" "$@"
}

# Waits until the guest says that it is there.
come_to() { await "^AT $1$"; }

# Lets it go on from there.
go() { : >"$STORY/io/go-$1"; }

chapter_ends() { # chapter_ends [STATUS]
    ends_with "${1:-0}"
    comment "$out"
}

cut_power() {
    kill -USR1 "$rig"
    chapter_ends 137
}

# How often each text stands on the raw drive or card, on the host's side of it.
search() { # search drive|card TEXT...
    "$PROJECT/hardware-tests/lease/raw-search" "$STORY/$1" "${@:2}" | paste -sd' '
}
