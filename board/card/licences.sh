# shellcheck shell=sh disable=SC2154 # unpacked is the caller's
# Under which licences the packages on a card are, by their own copyright files, which are on the card too (usr/share/doc). Sourced by
# board/image, never run.

# The short names in a file of Debian's copyright format; other files are in their makers' own words.
licences_in() { # licences_in FILE
    if head -n 5 "$1" | grep -qi '^Format:.*copyright-format'; then
        # A name may go on for "or" and "and"; what follows it is text.
        sed -n 's/^License: *//p' "$1" | sed 's/[[:space:]]*$//' | grep . | LC_ALL=C sort -u | paste -s -d ';' | sed 's/;/; /g'
    else
        echo "in its own words: usr/share/doc/$(basename "$(dirname "$1")")/copyright"
    fi
}

# The package's copyright file. Some packages have a link to that of another one of their source instead, which is not unpacked: it is one
# of the same version.
copyright_of() { # copyright_of ROOT PACKAGE VERSION
    for other in "$2" $(awk -v version="$3" '$2 == version { print $1 }' "$unpacked/packages"); do
        [ ! -r "$1/usr/share/doc/$other/copyright" ] || { echo "$1/usr/share/doc/$other/copyright" && return; }
    done
    die 70 "nothing on the card says under which licence $2 is"
}

# A line for each package: name, version, licences.
list_licences() { # list_licences ROOT
    while read -r package version _; do
        file=$(copyright_of "$1" "$package" "$version") || exit
        printf '%s %s: %s\n' "$package" "$version" "$(licences_in "$file")"
    done <"$unpacked/packages"
}
