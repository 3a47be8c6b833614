# shellcheck shell=sh
# Running programs of another architecture here, by qemu-user and the kernel's binfmt_misc. Sourced after lib.sh, never run.

binfmt=/proc/sys/fs/binfmt_misc
handler=
mounted=

qemu_name() {
    case $1 in
        amd64) echo qemu-x86_64 ;;
        arm64) echo qemu-aarch64 ;;
        armhf) echo qemu-arm ;;
        *) die 64 "there is no image for '$1'; there are: amd64 arm64 armhf" ;;
    esac
}

# The processor of a program, by the two bytes of its ELF header that name it.
architecture_of() {
    case $(od -An -tx1 -j 18 -N 2 "$1" | tr -d ' ') in
        3e00) echo amd64 ;;
        b700) echo arm64 ;;
        2800) echo armhf ;;
        *) echo another ;;
    esac
}

mount_binfmt() {
    mount -t binfmt_misc binfmt_misc "$binfmt" 2>/dev/null ||
        die 69 "$1 programs can't run here: the kernel has no binfmt_misc (try modprobe binfmt_misc), or this container may not mount; make the $1 image on another machine"
    mounted=1
}

# Lets this kernel run the programs of an architecture, until forget_foreign. Nothing where it can by nature, or has a handler already.
ensure_runnable() { # ensure_runnable ARCH
    [ "$1" != "$(dpkg --print-architecture)" ] || return 0
    name=$(qemu_name "$1")
    [ -e "$binfmt/register" ] || mount_binfmt "$1"
    if [ -e "$binfmt/$name" ]; then return 0; fi
    [ -r "/usr/lib/binfmt.d/$name.conf" ] || die 69 "$1 programs can't run here: $name is missing. Run board/host/needs foreign"
    handler="sublet-$name-$$"
    # C: sudo and its like get the rights that they have on a machine of their own.
    sed "s/^:$name:/:$handler:/; s/\(:[A-Z]*\)$/\1C/" "/usr/lib/binfmt.d/$name.conf" >"$binfmt/register" ||
        die 69 "$1 programs can't run here: the kernel refused the binfmt_misc entry of $name"
}

forget_foreign() {
    if [ -n "$handler" ] && [ -e "$binfmt/$handler" ]; then echo -1 >"$binfmt/$handler"; fi
    # Busy where somebody else uses it too.
    [ -z "$mounted" ] || umount "$binfmt" 2>/dev/null || true
}
