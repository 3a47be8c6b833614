# shellcheck shell=sh disable=SC2154 # board, card, date and IMAGER are the caller's
# An entry for Raspberry Pi Imager: `rpi-imager --repo FILE` offers the card, checks it and flashes it. Sourced by board/image, never run.

imager_name() { sed -n '2s/^# \(.*\)\.$/\1/p' "$1"; }

# Everything that Imager compares is counted from the files themselves. The address is where the file is going to lie, SUBLET_URL, or where
# it lies now. Without init_format Imager offers no settings of its own: what it would write is nothing that a card reads.
write_os_list() { # write_os_list FACTS PACKED SIZE SHA256     the last two are the unpacked image's
    cat <<LIST
{
  "os_list": [
    {
      "name": "Sublet ($board)",
      "description": "A server that can be rented. $(imager_name "$1"). Copy device-config.json onto the card afterwards.",
      "icon": "data:image/svg+xml;base64,$(base64 -w 0 "$card/icon.svg")",
      "url": "${SUBLET_URL:-file://$(dirname "$2")}/$(basename "$2")",
      "extract_size": $3,
      "extract_sha256": "$4",
      "image_download_size": $(stat -c %s "$2"),
      "image_download_sha256": "$(sha256sum <"$2" | cut -d ' ' -f 1)",
      "release_date": "$(date -u -d "@$date" +%F)",
      "devices": [$(printf '"%s", ' $IMAGER | sed 's/, $//')]
    }
  ]
}
LIST
}
