import CLinux
import Platform

/// Finds disks: from udev and sysfs, by what they hang on and what stands on them, not by names. Opens none of them.
public struct Finder: Sendable {
    private let lease: BlockTree.Lease

    /// A finder that knows our own lease by the name of its mapping and by its mount point.
    public init(mapping: String, mountPoint: String) { lease = BlockTree.Lease(mapping: mapping, mountPoint: mountPoint) }

    /// Every whole disk that there is, in the order of their nodes. Left out are empty virtual ones (a kernel's spare loop devices) and the
    /// mapping of our own lease, which is no disk but what is on one.
    public func disks() throws(StorageError) -> [Disk] {
        let lease = lease
        return try system { () throws(SystemError) in
            var found: [(name: String, disk: Disk)] = []
            let tree = try BlockTree.read(try Udev()) { device in
                guard device.type != "partition", device.attribute("dm/name") != lease.mapping else { return }
                let disk = read(device)
                if disk.bytes > 0 || disk.isUSB { found.append((device.name, disk)) }
            }
            for index in found.indices { found[index].disk.uses = tree.uses(ofDisk: found[index].name, lease: lease) }
            return found.map { $0.disk }.sorted { $0.node < $1.node }
        }
    }

    /// What is at a path, a block device or a regular file, links followed; nil where nothing is.
    public func disk(at path: String) throws(StorageError) -> Disk? {
        let lease = lease
        return try system { () throws(SystemError) in
            guard let status = try Files.status(path) else { return nil }
            let udev = try Udev()
            let tree = try BlockTree.read(udev)
            guard !clinux_is_regular(status.st_mode) else {
                let uses = tree.uses(ofFile: Files.resolved(path), lease: lease)
                return Disk(
                    node: path, identity: "path:" + path, bytes: Int64(status.st_size), kind: .file, isUSB: false, uses: uses)
            }
            guard clinux_is_block(status.st_mode), let device = udev.blockDevice(DeviceNumber(status.st_rdev)) else {
                return Disk(node: path, identity: "path:" + path, bytes: 0, kind: .other, isUSB: false)
            }
            var disk = read(device)
            disk.uses = tree.uses(ofDisk: device.name, lease: lease)
            // The name that the owner wrote stays the one it is known by.
            if disk.identity == "path:" + disk.node { disk.identity = "path:" + path }
            disk.node = path
            return disk
        }
    }

    /// The nodes of a disk's partitions, in the order of their numbers.
    static func partitions(of node: String) throws(SystemError) -> [String] {
        guard let number = DeviceNumber.of(node: node) else { return [] }
        let udev = try Udev()
        guard let name = udev.blockDevice(number)?.name else { return [] }
        var found: [(number: Int64, node: String)] = []
        for path in try udev.blockPaths() {
            guard let device = udev.device(at: path), device.type == "partition", device.parentName == name else { continue }
            found.append((device.whole("partition") ?? 0, device.node ?? "/dev/" + device.name))
        }
        return found.sorted { $0.number < $1.number }.map { $0.node }
    }
}

/// All but what stands on it.
private func read(_ device: borrowing UdevDevice) -> Disk { DiskFacts(device).disk { Inspect.identity(name: $0, path: $1) } }
