# shellcheck shell=sh
# Two systems on one card, A and B, and who may put one there. Sourced by board/image and board/bundle, never run.
#
# Root and kernel of A and of B are partitions of their own; the FAT partition and the data are there once. The data partition's number is the
# same on all cards, so B's root and both kernels are in an extended partition before it.

# shellcheck disable=SC2034 # the callers'
root_a=2 root_b=5 boot_a=6 boot_b=7
# shellcheck disable=SC2034
slot_mebibytes=384 kernel_mebibytes=64
# How often a system is started that is not found good.
# shellcheck disable=SC2034
most_tries=3
# A piece of RAM for a crash's log (ramoops), where no kernel and no boot loader of any board writes: the place of Raspberry Pi's own overlay of that
# name. In hexadecimal; a record's length.
# shellcheck disable=SC2034
crash_address=b000000 crash_size=10000 crash_record=4000

keys=${SUBLET_UPDATE:-$HOME/.sublet-update}

# The key that signs updates, and the certificate that a device believes: no authority's, for devices trust this one alone.
need_keys() {
    [ ! -e "$keys/key.pem" ] || return 0
    say "making a key for updates in $keys: keep it"
    (
        umask 077
        mkdir -p "$keys"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=Sublet updates" \
            -keyout "$keys/key.pem.new" -out "$keys/cert.pem" 2>/dev/null
        mv "$keys/key.pem.new" "$keys/key.pem"
    ) || die 70 "openssl could not make a key"
}

# Its images are packed already.
sign_bundle() { # sign_bundle FOLDER BOARD VERSION FILE
    cat >"$1/manifest.raucm" <<MANIFEST
[update]
compatible=sublet-$2
version=$3

[bundle]
format=verity

[image.rootfs]
filename=root.img

[image.boot]
filename=boot.img
MANIFEST
    rm -f "$4"
    nice rauc bundle --cert="$keys/cert.pem" --key="$keys/key.pem" --mksquashfs-args="-comp zstd -Xcompression-level 1" "$1" "$4" >&2 ||
        die 70 "rauc could not make the bundle"
}
