# shellcheck shell=sh disable=SC2154 # unpacked, base, board, release, programs, work and here are the caller's
# What a card is made of: the manifest (packages with their versions), and under which licences that is, by the packages' own copyright files,
# which are on the card and in the renter's machine (usr/share/doc). Sourced by board/image, never run.

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
copyright_of() { # copyright_of ROOT LIST PACKAGE VERSION
    for other in "$3" $(awk -v version="$4" '$2 == version { print $1 }' "$2"); do
        [ ! -r "$1/usr/share/doc/$other/copyright" ] || { echo "$1/usr/share/doc/$other/copyright" && return; }
    done
    die 70 "nothing in ${1##*/} says under which licence $3 is"
}

# A line for each package of a list (name, version, anything): name, version, licences.
list_licences() { # list_licences ROOT LIST
    # shellcheck disable=SC2094 # the list is read twice
    while read -r package version _; do
        file=$(copyright_of "$1" "$2" "$package" "$version") || exit
        printf '%s %s: %s\n' "$package" "$version" "$(licences_in "$file")"
    done <"$2"
}

# The packages that dpkg has installed, by its list: name, version, architecture.
installed_packages() { # installed_packages STATUS
    awk '
        function tell() {
            if (state ~ / installed$/) print name, version, architecture
            state = ""
        }
        /^Package: / { name = $2 }
        /^Status: / { state = $0 }
        /^Version: / { version = $2 }
        /^Architecture: / { architecture = $2 }
        /^$/ { tell() }
        END { tell() }' "$1" | LC_ALL=C sort
}

# Takes out of the renter's machine what is told about it here; FOLDER gets a list `packages` too.
read_renter() { # read_renter TAR FOLDER
    mkdir "$2"
    tar -C "$2" --no-same-owner -xf "$1" ./usr/lib/os-release ./usr/share/doc ./var/lib/dpkg/status || die 70 "$1 is no Debian"
    installed_packages "$2/var/lib/dpkg/status" >"$2/packages"
    [ -s "$2/packages" ] || die 70 "dpkg has installed nothing in $1"
}

# The suites of updates that board/base-image could not have, by the name that it gives such a tar.
renter_lacks() { basename "$base" | sed -n 's/^base-.*-without-\(.*\)+vault-.*/\1/p' | tr + ' '; }

write_manifest() { # write_manifest RENTER
    echo "# Sublet, $board. Packages of Debian $release: name, version, architecture."
    [ -z "${SUBLET_WITHOUT-}" ] || echo "# WARNING: made without the updates of $SUBLET_WITHOUT. Not for owners."
    cat "$unpacked/packages"
    echo "# Packages in the renter's machine, of Debian $(sed -n 's/^VERSION_CODENAME=//p' "$1/usr/lib/os-release")."
    [ -z "$(renter_lacks)" ] || echo "# WARNING: made without the updates of $(renter_lacks). Not for owners."
    cat "$1/packages"
    echo "# Files that are not Debian's, and what they are by SHA-256."
    (cd "$programs" && sha256sum governor)
    echo "$(sha256sum <"$base" | cut -d ' ' -f 1)  base.tar"
    echo "# Made with: $(mksquashfs -version | head -n 1), $(mke2fs -V 2>&1 | head -n 1), $(zstd --version | grep -o 'v[0-9.]*'), $(xz --version | head -n 1)"
}

# What is linked into the two programs that are no package, by the linker's map of each. Everything else that governor wants is a package of
# the card; vault, which is in the renter's machine, wants nothing. Behind | is the package whose copyright file has the words.
linked() {
    cat <<'TABLE'
the Swift runtime (Embedded Swift's library and its tables of Unicode), in governor and vault: Apache-2.0 with Runtime Library Exception|
the GNU C Library, in vault, and its code that starts a program, in governor: LGPL-2.1+ and others|libc6
GCC's runtime (libgcc, libgcc_eh, crtbegin, crtend), in governor and vault: GPL-3+ with GCC Runtime Library Exception|gcc-14-base
TABLE
}

# The files with a licence of the whole that lie beside the README, or that there is none.
own_licence() { # own_licence FOLDER
    stated=$(find "$1" -maxdepth 1 -type f \( -name 'LICEN[CS]E*' -o -name 'COPYING*' \) -printf '%f\n' | LC_ALL=C sort | paste -s -d ' ')
    echo "Sublet: ${stated:-no licence is stated}"
}

write_licences() { # write_licences ROOT RENTER
    echo "# Sublet, $board. Packages of Debian on the card: name, version, licences."
    list_licences "$1" "$unpacked/packages"
    echo "# Packages of Debian in the renter's machine (base.tar)."
    list_licences "$2" "$2/packages"
    echo "# What is no package."
    linked | while IFS='|' read -r line package; do
        [ -z "$package" ] || [ -r "$1/usr/share/doc/$package/copyright" ] || die 70 "the card has no copyright file of $package"
        echo "$line${package:+; usr/share/doc/$package/copyright}"
    done || exit
    own_licence "$here/.."
}
