# shellcheck shell=sh disable=SC2154 # here, board, work, date and mebibyte are the caller's
# A card as a virtual machine that VirtualBox imports: .ova, a tar of the machine's description, its disks and their sums. Sourced by
# board/image, never run.

# What the disks pretend to be; the files hold what is written. The data partition grows to the first one's end.
system_mebibytes=4096
lease_mebibytes=16384

# A stream-optimised VMDK. One thread, for several write in the order in which they end. qemu-img leaves a random number in the description, CID=
# and up to eight digits, and no mark of the end, without which VirtualBox reads on behind the last data.
make_disk_file() { # make_disk_file RAW FILE
    nice qemu-img convert -m 1 -f raw -O vmdk -o subformat=streamOptimized "$1" "$2" || die 70 "qemu-img failed"
    # Where the description is and how long it may be, in sectors: bytes 28 and 36 of the header.
    read -r at size <<-EOF
	$(od -An -t u8 -j 28 -N 16 "$2")
	EOF
    dd if="$2" bs=512 skip="$at" count="$size" status=none | tr -d '\0' | sed 's/^CID=[0-9a-f]\{1,8\}$/CID=5b1e7001/' >"$2.words"
    grep -qx 'CID=5b1e7001' "$2.words" || die 70 "$2 is not described as expected"
    [ "$(stat -c %s "$2.words")" -le $((size * 512)) ] || die 70 "the description of $2 is too long"
    dd if="$2.words" of="$2" bs=512 seek="$at" conv=notrunc status=none
    rm "$2.words"
    truncate -s %512 "$2"
    truncate -s +512 "$2"
}

describe_machine() { # describe_machine NAME FOLDER
    sed -e "s/@SYSTEM@/$1-system.vmdk/" -e "s/@SYSTEM_SIZE@/$(stat -c %s "$2/$1-system.vmdk")/" \
        -e "s/@LEASE@/$1-lease.vmdk/" -e "s/@LEASE_SIZE@/$(stat -c %s "$2/$1-lease.vmdk")/" \
        -e "s/@SYSTEM_CAPACITY@/$((system_mebibytes * mebibyte))/" -e "s/@LEASE_CAPACITY@/$((lease_mebibytes * mebibyte))/" \
        "$here/$board/appliance.ovf"
}

# The machine comes first and the sums last: who reads the tar as a stream needs them in this order.
make_appliance() { # make_appliance CARD FILE
    name=sublet-$board
    folder=$work/appliance
    mkdir "$folder"
    cp --reflink=auto --sparse=always "$1" "$work/system.img"
    truncate -s "${system_mebibytes}M" "$work/system.img"
    truncate -s "${lease_mebibytes}M" "$work/lease.img"
    for disk in system lease; do
        make_disk_file "$work/$disk.img" "$folder/$name-$disk.vmdk"
        rm "$work/$disk.img"
    done
    describe_machine "$name" "$folder" >"$folder/$name.ovf"
    set -- "$2" "$name.ovf" "$name-system.vmdk" "$name-lease.vmdk"
    for file in "$2" "$3" "$4"; do
        echo "SHA256($file)= $(sha256sum <"$folder/$file" | cut -d ' ' -f 1)"
    done >"$folder/$name.mf"
    tar -C "$folder" --format=ustar --owner=0 --group=0 --numeric-owner --mode=644 --mtime="@$date" -cf "$1" "$2" "$3" "$4" "$name.mf"
    rm -r "$folder"
}
