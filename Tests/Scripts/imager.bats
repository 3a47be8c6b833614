#!/usr/bin/env bats
# The entry for Raspberry Pi Imager: what Imager compares before it writes the first mebibyte.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    command -v jq >/dev/null || skip "needs jq: run board/host/needs test"
    head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/card.img"
    xz -0 -k "$BATS_TEST_TMPDIR/card.img"
}

# The entry for a board, its image being the one of setup.
entry() { # entry BOARD
    local image=$BATS_TEST_TMPDIR/card.img
    BOARD=$1 IMAGE=$image SUM=$(sha256sum <"$image" | cut -d ' ' -f 1) sh -c '
        board=$BOARD card=board/card date=1763600000
        . "./board/$board/facts"
        . ./board/card/imager.sh
        write_os_list "board/$board/facts" "$IMAGE.xz" "$(stat -c %s "$IMAGE")" "$SUM"'
}

@test "sizes and sums are those of the files that it names" {
    local told packed unpacked
    told=$(entry pi-arm64 | jq -c '.os_list[0]')
    packed=$(jq -r .url <<<"$told")
    packed=${packed#file://}
    [[ $(jq .image_download_size <<<"$told") == "$(stat -c %s "$packed")" ]]
    [[ $(jq -r .image_download_sha256 <<<"$told") == "$(sha256sum <"$packed" | cut -d ' ' -f 1)" ]]
    unpacked=$BATS_TEST_TMPDIR/unpacked
    xz -dc "$packed" >"$unpacked"
    [[ $(jq .extract_size <<<"$told") == "$(stat -c %s "$unpacked")" ]]
    [[ $(jq -r .extract_sha256 <<<"$told") == "$(sha256sum <"$unpacked" | cut -d ' ' -f 1)" ]]
}

@test "it has all keys that Imager requires, an icon that is a picture, and models" {
    local board
    for board in pi-arm64 pi-armhf; do
        entry "$board" | jq -e '.os_list[0] | (["name", "description", "icon", "url", "extract_size", "extract_sha256", "image_download_size",
            "release_date"] - keys == []) and (.description | test("Raspberry Pi")) and (.release_date == "2025-11-20") and
            (.devices | length > 0 and all(test("^pi[2-5]-(32|64)bit$")))'
        entry "$board" | jq -r '.os_list[0].icon' | sed 's/^data:image.svg+xml;base64,//' | base64 -d | cmp - board/card/icon.svg
    done
}

@test "with an address it names that" {
    [[ $(SUBLET_URL=https://cards.example entry pi-armhf | jq -r '.os_list[0].url') == https://cards.example/card.img.xz ]]
}
