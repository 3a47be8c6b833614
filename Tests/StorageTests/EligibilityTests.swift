import Testing

@testable import Storage

/// Which disks are never taken, by what stands on them.
@Suite struct EligibilityTests {
    static let lease = BlockTree.Lease(mapping: "sublet0-lease", mountPoint: "/run/sublet/drive")

    static func number(_ minor: UInt32) -> DeviceNumber { DeviceNumber(major: 8, minor: minor) }

    /// sda: two partitions, on the second one a volume group with root and swap. sdb: nothing. sdc: the lease.
    static var machine: BlockTree {
        var tree = BlockTree()
        tree.nodes = [
            .init(name: "sda", number: number(0)), .init(name: "sda1", number: number(1), disk: "sda"),
            .init(name: "sda2", number: number(2), disk: "sda", holders: ["dm-0", "dm-1"]),
            .init(name: "dm-0", number: number(100), mapping: "vg-root"), .init(name: "dm-1", number: number(101), mapping: "vg-swap"),
            .init(name: "sdb", number: number(16)),
            .init(name: "sdc", number: number(32), holders: ["dm-2"]), .init(name: "dm-2", number: number(102), mapping: "sublet0-lease"),
        ]
        tree.mounts = [
            .init(number: number(100), point: "/"), .init(number: number(1), point: "/boot/firmware"),
            .init(number: number(102), point: "/run/sublet/drive"),
        ]
        tree.swaps = [number(101)]
        return tree
    }

    static func refusal(_ uses: [DiskUse]) -> String? {
        Disk(node: "/dev/sdx", identity: "serial:x", bytes: 8 << 30, uses: uses).refusal(minimumBytes: 1 << 30, isTold: false)
    }

    static func refusal(_ name: String, in tree: BlockTree) -> String? { refusal(tree.uses(ofDisk: name, lease: lease)) }

    @Test func `the disk under LVM under the system is the system's`() {
        #expect(Self.refusal("sda", in: Self.machine) == "the system is on it")
    }

    @Test func `nothing stands on a free disk`() {
        #expect(Self.machine.uses(ofDisk: "sdb", lease: Self.lease) == [])
        #expect(Self.refusal("sdb", in: Self.machine) == nil)
    }

    @Test func `our lease is no stranger`() {
        #expect(Self.machine.uses(ofDisk: "sdc", lease: Self.lease) == [.lease])
        #expect(Self.refusal("sdc", in: Self.machine) == nil)
    }

    @Test func `another device's lease on this machine is one`() {
        let other = BlockTree.Lease(mapping: "sublet1-lease", mountPoint: "/run/other/drive")
        #expect(Self.refusal(Self.machine.uses(ofDisk: "sdc", lease: other)) == "mounted at /run/sublet/drive")
    }

    @Test func `a lease without encryption is known by its mount point`() {
        var tree = Self.machine
        tree.mounts.append(.init(number: Self.number(16), point: "/run/sublet/drive"))
        #expect(tree.uses(ofDisk: "sdb", lease: Self.lease) == [.lease])
    }

    @Test(arguments: ["/", "/boot", "/boot/efi", "/home"])
    func `a mounted disk`(point: String) {
        var tree = Self.machine
        tree.mounts.append(.init(number: Self.number(16), point: point))
        #expect(Self.refusal("sdb", in: tree) != nil)
    }

    @Test func `a mounted partition`() {
        var tree = Self.machine
        tree.nodes.append(.init(name: "sdb1", number: Self.number(17), disk: "sdb"))
        #expect(Self.refusal("sdb", in: tree) == nil)
        tree.mounts.append(.init(number: Self.number(17), point: "/media/photos"))
        #expect(Self.refusal("sdb", in: tree) == "mounted at /media/photos")
    }

    @Test func `swap on a partition`() {
        var tree = Self.machine
        tree.nodes.append(.init(name: "sdb1", number: Self.number(17), disk: "sdb"))
        tree.swaps.append(Self.number(17))
        #expect(Self.refusal("sdb", in: tree) == "in use as swap")
    }

    @Test func `an array and a mapping that nobody mounted`() {
        var tree = Self.machine
        tree.nodes[5].holders = ["md0"]
        tree.nodes.append(.init(name: "md0", number: Self.number(120)))
        #expect(Self.refusal("sdb", in: tree) == "in use by md0")
    }

    @Test func `a loop device on it, and what is mounted on that one's partition`() {
        var tree = Self.machine
        tree.nodes.append(.init(name: "loop0", number: Self.number(200), backingDevice: Self.number(16)))
        tree.nodes.append(.init(name: "loop0p1", number: Self.number(201), disk: "loop0"))
        #expect(Self.refusal("sdb", in: tree) == "in use by loop0")
        tree.mounts.append(.init(number: Self.number(201), point: "/mnt"))
        #expect(Self.refusal("sdb", in: tree) == "mounted at /mnt")
    }

    @Test func `devices that hold each other do not go round for ever`() {
        var tree = Self.machine
        tree.nodes[5].holders = ["dm-9"]
        tree.nodes.append(.init(name: "dm-9", number: Self.number(109), holders: ["sdb"]))
        #expect(Self.refusal("sdb", in: tree) == "in use by dm-9")
    }

    @Test func `a file that is swap, or behind somebody's loop device`() {
        var tree = Self.machine
        tree.swapFiles = ["/swapfile"]
        tree.nodes.append(.init(name: "loop1", number: Self.number(202), backingFile: "/var/disk.img"))
        #expect(Self.refusal(tree.uses(ofFile: "/swapfile", lease: Self.lease)) == "in use as swap")
        #expect(Self.refusal(tree.uses(ofFile: "/var/disk.img", lease: Self.lease)) == "in use by loop1")
        #expect(tree.uses(ofFile: "/var/other.img", lease: Self.lease) == [])
    }

    @Test func `our lease on a file, with and without encryption`() {
        var tree = Self.machine
        tree.nodes.append(.init(name: "loop1", number: Self.number(202), holders: ["dm-2"], backingFile: "/var/drive.img"))
        tree.nodes.append(.init(name: "loop2", number: Self.number(203), backingFile: "/var/plain.img"))
        tree.mounts.append(.init(number: Self.number(203), point: "/run/sublet/drive"))
        #expect(tree.uses(ofFile: "/var/drive.img", lease: Self.lease) == [.lease])
        #expect(tree.uses(ofFile: "/var/plain.img", lease: Self.lease) == [.lease])
    }

    /// What speaks against a disk that is free.
    static let properties: [(String?, Bool, @Sendable (inout Disk) -> Void)] = [
        (nil, false, { _ in }),
        ("not a USB disk", false, { $0.isUSB = false }),
        (nil, true, { $0.isUSB = false }),
        ("read-only", true, { $0.isReadOnly = true }),
        ("smaller than 1 GiB", false, { $0.bytes = (1 << 30) - 512 }),
        (nil, false, { $0.bytes = 1 << 30 }),
        ("not a disk", true, { $0.kind = .other }),
        ("a partition; a drive is a whole disk", true, { $0.kind = .partition }),
        ("mounted at /", true, { $0.uses = [.mounted("/x")] }),
        ("smaller than 1 GiB", true, { ($0.kind, $0.bytes) = (.file, 0) }),
    ]

    @Test(arguments: properties.indices)
    func `what a disk must be`(index: Int) {
        let (reason, isTold, change) = Self.properties[index]
        var disk = Disk(node: "/dev/sdx", identity: "serial:x", bytes: 8 << 30)
        change(&disk)
        let found = disk.refusal(minimumBytes: 1 << 30, isTold: isTold)
        #expect(reason == nil ? found == nil : found?.hasPrefix(reason ?? "") == true)
    }

    @Test func `a reader without a card is missing its medium`() {
        let rule = Inspect.Rule(minimumBytes: 1 << 30, isTold: false, newFileBytes: nil)
        var disk = Disk(node: "/dev/sdx", identity: "serial:x", bytes: 0)
        #expect(Inspect.triage(disk, rule)?.verdict == .missing)
        disk.bytes = 8 << 30
        #expect(Inspect.triage(disk, rule) == nil)
        disk.uses = [.mounted("/")]
        #expect(Inspect.triage(disk, rule)?.verdict == .refused)
    }

    @Test func `the size that is asked for is named`() {
        let disk = Disk(node: "/dev/sdx", identity: "serial:x", bytes: 8 << 30)
        #expect(disk.refusal(minimumBytes: 9 << 30, isTold: false) == "smaller than 9 GiB")
        #expect(disk.refusal(minimumBytes: 8_193 << 20, isTold: false) == "smaller than 8193 MiB")
    }

    @Test(arguments: [("8:1", 8, 1), ("254:0", 254, 0), ("0:26", 0, 26)] as [(String, UInt32, UInt32)])
    func `device numbers are read`(text: String, major: UInt32, minor: UInt32) {
        #expect(DeviceNumber(text) == DeviceNumber(major: major, minor: minor))
    }

    @Test(arguments: ["", "8", "8:", ":1", "8:1:2", "a:b", "-1:0"])
    func `what is no device number`(text: String) { #expect(DeviceNumber(text) == nil) }
}
