import CLinux
import Platform

/// Looks for the word of its owner that a drive may be erased: an empty file `ERASE-THIS-DRIVE` in the root of a file system on it.
///
/// Not one byte of the drive changes. The file system lies behind a read-only loop device, so nothing could be written even by a driver
/// that wants to (a journal to replay, a mark that it was mounted). It is mounted without a mount point (fsmount(2)): nobody else sees it,
/// and whatever ends this process ends it too.
enum GivenUp {
    /// The name, in capitals.
    static let name = "ERASE-THIS-DRIVE"

    enum Answer: Equatable {
        case yes
        case no
        /// Something of that name is there that does not count, in words.
        case almost(String)
    }

    /// File systems whose drivers are asked, and what keeps each from touching its journal. Every one more is one more that reads what a
    /// stranger wrote.
    private static let drivers: [(type: String, driver: String, flags: [String])] = [
        ("vfat", "vfat", []), ("exfat", "exfat", []), ("ntfs", "ntfs3", []), ("ext2", "ext4", ["noload"]), ("ext3", "ext4", ["noload"]),
        ("ext4", "ext4", ["noload"]),
    ]
    private static let mostPartitions = 32

    /// Looks on the disk itself, whose signature is known, and on its partitions. What can't be read holds no word of anybody.
    static func look(at disk: Disk, _ signature: String?) -> Answer {
        guard geteuid() == 0 else { return .no }
        var best = Answer.no
        func consider(_ node: String, _ type: String?) -> Bool {
            guard let type, let (_, driver, flags) = drivers.first(where: { $0.type == type }) else { return false }
            do throws(SystemError) {
                let answer = try look(node, driver, flags)
                if answer != .no { best = answer }
                return answer == .yes
            } catch {
                // Else its owner would wonder why the file is not seen. Other errors are the file system's: it holds no word of anybody.
                if error.code == ENODEV { best = .almost("this kernel can't read " + type + ", so the file must be on FAT or exFAT") }
                return false
            }
        }
        if consider(disk.node, signature) { return .yes }
        guard disk.kind == .disk else { return best }
        let partitions = (try? Finder.partitions(of: disk.node)) ?? []
        for node in partitions.prefix(mostPartitions) {
            if consider(node, (try? Inspect.signature(of: node))?.type) { return .yes }
        }
        return best
    }

    private static func look(_ node: String, _ driver: String, _ flags: [String]) throws(SystemError) -> Answer {
        let loop = try LoopDevice(readOnly: node)
        let root = try mounted(loop.path, driver, flags)
        var status = stat()
        guard fstatat(root.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return .no }
        guard clinux_is_regular(status.st_mode) else { return .almost(name + " on it is no plain file") }
        return status.st_size == 0 ? .yes : .almost(name + " on it is not empty")
    }

    /// fsopen(2), fsconfig(2), fsmount(2): a mount that is nowhere, and ends with its descriptor.
    private static func mounted(_ source: String, _ driver: String, _ flags: [String]) throws(SystemError) -> FileDescriptor {
        var raw = fsopen(driver, UInt32(FSOPEN_CLOEXEC))
        if raw < 0, clinux_errno() == ENODEV {
            // ntfs3 has no alias by which the kernel would load it.
            _ = try? tool(["modprobe", driver])
            raw = fsopen(driver, UInt32(FSOPEN_CLOEXEC))
        }
        guard raw >= 0 else { throw .last("fsopen " + driver) }
        let context = FileDescriptor(owning: raw)
        func configure(_ command: fsconfig_command, _ key: String?, _ value: String?) throws(SystemError) {
            guard fsconfig(context.raw, command.rawValue, key, value, 0) == 0 else { throw .last("fsconfig " + (key ?? driver)) }
        }
        try configure(FSCONFIG_SET_STRING, "source", source)
        for flag in ["ro"] + flags { try configure(FSCONFIG_SET_FLAG, flag, nil) }
        try configure(FSCONFIG_CMD_CREATE, nil, nil)
        let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
        let mount = fsmount(context.raw, UInt32(FSMOUNT_CLOEXEC), UInt32(attributes))
        guard mount >= 0 else { throw .last("fsmount " + driver) }
        return FileDescriptor(owning: mount)
    }
}
