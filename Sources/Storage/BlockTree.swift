import CLinux
import Platform

/// The number by which the kernel knows a block device.
public struct DeviceNumber: Hashable, Sendable {
    /// Which driver.
    public let major: UInt32
    /// Which of its devices.
    public let minor: UInt32

    /// A number.
    public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    init(_ number: dev_t) { self.init(major: clinux_major(number), minor: clinux_minor(number)) }

    /// Reads `8:1`.
    init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: ":"))
        guard parts.count == 2, let major = UInt32(String(decoding: Array(parts[0]), as: UTF8.self)),
            let minor = UInt32(String(decoding: Array(parts[1]), as: UTF8.self))
        else { return nil }
        self.init(major: major, minor: minor)
    }

    /// That of a block device's node; nil where there is no such node.
    static func of(node: String) -> DeviceNumber? {
        guard let status = try? Files.status(node), clinux_is_block(status.st_mode) else { return nil }
        return DeviceNumber(status.st_rdev)
    }
}

/// What stands on a disk.
public enum DiskUse: Equatable, Sendable {
    /// A file system, mounted at this folder.
    case mounted(String)
    /// Swap space.
    case swap
    /// Another block device is made of it: a mapping, an array, a loop device.
    case held(by: String)
    /// The lease that runs here.
    case lease
}

/// Which block device stands on which, what is mounted, and where is swap: a picture of one moment, to decide by.
struct BlockTree: Equatable {
    /// A block device.
    struct Node: Equatable {
        /// The kernel's name.
        let name: String
        let number: DeviceNumber
        /// The disk that this is a partition of.
        var disk: String?
        /// The kernel's names of the devices made of it (sysfs, holders/).
        var holders: [String] = []
        /// Its name under /dev/mapper, where device-mapper made it.
        var mapping: String?
        /// What is behind it, where it is a loop device: a block device by its number, or a file by its path.
        var backingDevice: DeviceNumber?
        var backingFile: String?
    }

    /// A mounted file system.
    struct Mount: Equatable {
        let number: DeviceNumber
        let point: String
    }

    /// What our own lease is known by.
    struct Lease: Equatable {
        let mapping: String
        let mountPoint: String
    }

    var nodes: [Node] = []
    var mounts: [Mount] = []
    var swaps: [DeviceNumber] = []
    /// Swap files by their paths.
    var swapFiles: [String] = []

    /// What stands on a disk, on its partitions, and on everything that is made of these.
    func uses(ofDisk name: String, lease: Lease) -> [DiskUse] {
        guard let root = nodes.first(where: { $0.name == name }) else { return [] }
        var seen: Set<String> = []
        return uses(of: root, isHolder: false, lease, &seen)
    }

    /// What stands on a file: the loop devices that it is behind, and swap.
    func uses(ofFile path: String, lease: Lease) -> [DiskUse] {
        var seen: Set<String> = []
        let loops = nodes.filter { $0.backingFile == path }
        return (swapFiles.contains(path) ? [.swap] : []) + loops.flatMap { uses(of: $0, isHolder: true, lease, &seen) }
    }

    private func uses(of node: Node, isHolder: Bool, _ lease: Lease, _ seen: inout Set<String>) -> [DiskUse] {
        // Devices that hold each other would go round for ever.
        guard seen.insert(node.name).inserted else { return [] }
        // What stands on our own lease is the lease's: nothing to ask further.
        if isLease(node, lease) { return [.lease] }
        var found: [DiskUse] = []
        if let mount = mounts.first(where: { $0.number == node.number }) { found.append(.mounted(mount.point)) }
        if swaps.contains(node.number) { found.append(.swap) }
        for above in standing(on: node) { found += uses(of: above, isHolder: above.disk != node.name, lease, &seen) }
        // A loop device or mapping that only carries our lease is our own work.
        if isHolder && found != [.lease] { found.append(.held(by: node.mapping ?? node.name)) }
        return found
    }

    private func isLease(_ node: Node, _ lease: Lease) -> Bool {
        if node.mapping == lease.mapping { return true }
        return mounts.contains { $0.number == node.number && $0.point == lease.mountPoint }
    }

    private func standing(on node: Node) -> [Node] {
        nodes.filter { $0.disk == node.name || node.holders.contains($0.name) || $0.backingDevice == node.number }
    }
}

extension BlockTree {
    /// The picture of now, from sysfs, /proc/self/mountinfo and /proc/swaps. Every block device that there is, is shown on the way.
    static func read(_ udev: borrowing Udev, _ show: (borrowing UdevDevice) -> Void = { _ in }) throws(SystemError) -> BlockTree {
        var tree = BlockTree()
        for path in try udev.blockPaths() {
            guard let device = udev.device(at: path) else { continue }
            show(device)
            var node = Node(name: device.name, number: device.number)
            if device.type == "partition" { node.disk = device.parentName }
            node.holders = Files.names(in: path + "/holders")
            node.mapping = device.attribute("dm/name")
            if let backing = device.attribute("loop/backing_file") {
                node.backingDevice = DeviceNumber.of(node: backing)
                node.backingFile = node.backingDevice == nil ? backing : nil
            }
            tree.nodes.append(node)
        }
        for entry in Mounts.all() {
            // btrfs and others have numbers of their own; the device is then the source.
            let number = entry.number.major == 0 ? DeviceNumber.of(node: entry.source) ?? entry.number : entry.number
            tree.mounts.append(Mount(number: number, point: entry.point))
        }
        tree.readSwaps()
        return tree
    }

    /// /proc/swaps: the first column is the path.
    private mutating func readSwaps() {
        guard let bytes = try? Files.read("/proc/swaps", limit: 1 << 20) else { return }
        for line in bytes.split(separator: UInt8(ascii: "\n")).dropFirst() {
            guard let field = line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).first else { continue }
            let path = Mounts.unescaped(field)
            if let number = DeviceNumber.of(node: path) { swaps.append(number) } else { swapFiles.append(path) }
        }
    }
}
