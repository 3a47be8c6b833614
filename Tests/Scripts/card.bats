#!/usr/bin/env bats
# shellcheck disable=SC2034,SC2329 # what the sourced script reads and calls
# What is left out of a card and what must be on it: on a small root with a few drivers. board/image holds every real card against the same table.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    root=$BATS_TEST_TMPDIR/root work=$BATS_TEST_TMPDIR card=$BATS_TEST_TMPDIR kernel_versions=6.1.0
    modules=$root/usr/lib/modules/6.1.0
    mkdir -p "$root"/{dev,run,tmp,usr/bin} "$modules/kernel/drivers/usb"
    : >"$root/usr/bin/wanted"
    : >"$root/usr/bin/unwanted"
    : >"$modules/modules.builtin"
    for name in lead follow other; do : >"$modules/kernel/drivers/usb/$name.ko"; done
    # depmod's own work, with drivers that are empty files: one follows another.
    depmod() {
        printf '%s\n' kernel/drivers/usb/lead.ko: 'kernel/drivers/usb/follow.ko: kernel/drivers/usb/lead.ko' kernel/drivers/usb/other.ko: >"$modules/modules.dep"
    }
    die() {
        shift
        echo "$*"
        exit 70
    }
    . board/card/tree.sh
    START=raspi
}

left() { (cd "$root" && find . -type f ! -name 'modules.*' -printf '%f\n' | sort | paste -s -d ' '); }

@test "what the table says for all cards and for this kind of card is gone, and nothing else" {
    printf '%s\n' '# words' 'usr/bin/un* all nobody calls it' '@/drivers/usb/other.ko grub not here' >"$card/left-out"
    leave_out "$root"
    [[ $(left) == "follow.ko lead.ko other.ko wanted" ]]
    echo '@/drivers/usb/oth[!x]* raspi here' >>"$card/left-out"
    leave_out "$root"
    [[ $(left) == "follow.ko lead.ko wanted" ]]
}

@test "a driver that depends on one that is gone goes too" {
    echo '@/drivers/usb/lead.ko all gone' >"$card/left-out"
    leave_out "$root"
    [[ $(left) == "other.ko unwanted wanted" ]]
}

@test "a card without a driver or a file that it needs is none" {
    printf '%s\n' 'lead all it leads' 'follow grub not here' 'usr/bin/wanted all it is wanted' >"$card/needed"
    depmod
    check_needed "$root"
    echo 'in_kernel raspi in the kernel itself' >>"$card/needed"
    run check_needed "$root"
    [[ $status == 70 && $output == *"card/needed names: in_kernel (6.1.0)" ]]
    echo kernel/drivers/in-kernel.ko >"$modules/modules.builtin"
    check_needed "$root"
    rm "$root/usr/bin/wanted"
    run check_needed "$root"
    [[ $status == 70 && $output == *"card/needed names: usr/bin/wanted" ]]
}

@test "a driver may be needed of one kernel alone" {
    mkdir -p "$root/usr/lib/modules/6.1.0-arm64"
    kernel_versions="6.1.0 6.1.0-arm64"
    echo kernel/drivers/lone.ko >"$root/usr/lib/modules/6.1.0-arm64/modules.builtin"
    : >"$root/usr/lib/modules/6.1.0-arm64/modules.dep"
    depmod
    echo 'lone@arm64 raspi the other kernel has not got it' >"$card/needed"
    check_needed "$root"
    echo 'other@arm64 raspi not there' >"$card/needed"
    run check_needed "$root"
    [[ $status == 70 && $output == *"card/needed names: other (6.1.0-arm64)" ]]
}

@test "each line of both tables says what, on which cards and why, and none stands twice" {
    local table
    for table in left-out needed; do
        run awk '/^[^#]/ && (NF < 3 || $2 !~ /^(all|grub|raspi)$/ || seen[$1, $2]++)' "board/card/$table"
        echo "$table: $output"
        [[ -z $output ]]
    done
}

@test "an appliance's disk is the same each time, however long the number is that qemu-img draws" {
    command -v qemu-img >/dev/null || skip "needs qemu-img: run board/host/needs vm"
    local number
    # What qemu-img made, with a number of our own in it.
    mkdir "$BATS_TEST_TMPDIR/bin"
    cat >"$BATS_TEST_TMPDIR/bin/qemu-img" <<-'EOF'
	#!/usr/bin/python3
	import os, re, subprocess, sys
	path = sys.argv[-1]
	subprocess.run([os.environ["REAL"], *sys.argv[1:]], check=True)
	whole = open(path, "rb").read()
	words = whole[512:10752]
	other = re.sub(rb"CID=[0-9a-f]+\n", b"CID=%s\n" % os.environ["NUMBER"].encode(), words, count=1).rstrip(b"\0")
	open(path, "wb").write(whole[:512] + other.ljust(len(words), b"\0") + whole[10752:])
	EOF
    chmod +x "$BATS_TEST_TMPDIR/bin/qemu-img"
    REAL=$(command -v qemu-img)
    export REAL NUMBER
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    . board/card/appliance.sh
    head -c 1M /dev/urandom >"$root/raw"
    for number in 7 abcdef0 89abcdef; do
        NUMBER=$number
        mkdir "$root/$number"
        # Its name is in the description too.
        make_disk_file "$root/raw" "$root/$number/disk.vmdk"
        cmp "$root/$number/disk.vmdk" "$root/7/disk.vmdk"
        "$REAL" compare -f raw -F vmdk "$root/raw" "$root/$number/disk.vmdk"
    done
    grep -aqx CID=5b1e7001 "$root/7/disk.vmdk"
}
