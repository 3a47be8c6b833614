import CLinux
import Platform

/// Where a lease's drive is and how it is used: everything the steps below need to know.
public struct Volume: Equatable, Sendable {
    /// A block device, or a file that serves as one.
    public var path: String
    /// By what the drive at the path is known for ever.
    public var identity: String
    /// Where the file system is mounted.
    public var mountPoint: String
    /// Where the lease's key lies on the card, 0600.
    public var keyPath: String
    /// The name under /dev/mapper.
    public var mapperName: String
    /// Whether the data is encrypted: false only where the owner asked for it in words.
    public var isEncrypted: Bool
    /// The size in bytes of a file that does not exist yet; nil refuses to make one.
    public var newFileBytes: Int64?

    /// A volume.
    public init(
        path: String, identity: String, mountPoint: String, keyPath: String, mapperName: String, isEncrypted: Bool, newFileBytes: Int64?
    ) {
        self.path = path
        self.identity = identity
        self.mountPoint = mountPoint
        self.keyPath = keyPath
        self.mapperName = mapperName
        self.isEncrypted = isEncrypted
        self.newFileBytes = newFileBytes
    }

    /// The label on whatever we format, LUKS2 header or file system: how a drive is known as ours.
    public static let label = "sublet-lease"

    /// The device node of the unlocked volume.
    var mapperPath: String { "/dev/mapper/" + mapperName }
}

/// Steps tell how far they are.
public struct StepProgress: Equatable, Sendable {
    /// What is going on: `erase`, `verify`, `format`.
    public let step: String
    /// Bytes done.
    public let done: Int64
    /// Bytes in all.
    public let total: Int64
}

/// A loop device behind a file; gone by itself when the last user closes it.
struct LoopDevice: ~Copyable {
    /// Its device node.
    let path: String
    private let handle: FileDescriptor

    /// For reading and writing.
    init(file: String) throws(SystemError) { try self.init(file, isReadOnly: false) }

    /// For the vault: with sectors of 4 KiB and, where the file allows it, without a second copy of its data in memory.
    init(vault file: String) throws(SystemError) { try self.init(file, isReadOnly: false, sectorsOf4KiB: true) }

    /// Only for reading: the kernel itself refuses every write.
    init(readOnly file: String) throws(SystemError) { try self.init(file, isReadOnly: true) }

    /// LOOP_CTL_GET_FREE and LOOP_CONFIGURE; tries again where another process takes the free one first.
    private init(_ file: String, isReadOnly: Bool, sectorsOf4KiB: Bool = false) throws(SystemError) {
        let access = isReadOnly ? O_RDONLY : O_RDWR
        let control = try FileDescriptor.open("/dev/loop-control", O_RDWR)
        let backing = try FileDescriptor.open(file, access)
        for _ in 0..<16 {
            let number = clinux_loop_free(control.raw)
            guard number >= 0 else { throw .last("LOOP_CTL_GET_FREE") }
            let path = "/dev/loop\(number)"
            let loop = try FileDescriptor.open(path, access)
            if clinux_loop_attach(loop.raw, backing.raw, file, isReadOnly, sectorsOf4KiB) == 0 {
                self.path = path
                handle = loop
                return
            }
            let failure = SystemError.last("LOOP_CONFIGURE " + path)
            guard failure.code == EBUSY else { throw failure }
        }
        throw SystemError(EBUSY, "LOOP_CONFIGURE: no free loop device")
    }

    /// Whether a loop device has this file behind it, whoever made it (sysfs, loop/backing_file).
    static func isBehindOne(file: String) -> Bool {
        let name = Array(Files.resolved(file).utf8)
        for device in Files.names(in: "/sys/block") where device.utf8.starts(with: "loop".utf8) {
            guard let backing = try? Files.read("/sys/block/" + device + "/loop/backing_file", limit: 8_192) else { continue }
            if backing.elementsEqual(name + [UInt8(ascii: "\n")]) { return true }
        }
        return false
    }
}

/// What is mounted, from /proc/self/mountinfo (proc(5)).
public enum Mounts {
    /// One mount: where it is and what is mounted there.
    public struct Entry: Equatable, Sendable {
        /// The file system's device number; major 0 where no single block device is behind it.
        public let number: DeviceNumber
        /// The mount point, with the kernel's octal escapes undone.
        public let point: String
        /// The source, such as a device node.
        public let source: String
        /// The file system's own options.
        let options: String
    }

    /// Every mount of this process's namespace, in the order they were made.
    public static func all() -> [Entry] { read("/proc/self/mountinfo") }

    /// Every mount that a process sees, in the order they were made.
    static func all(of process: String) -> [Entry] { read("/proc/" + process + "/mountinfo") }

    /// What is mounted at a folder, nil where nothing is.
    public static func at(_ point: String) -> Entry? { all().last { $0.point == point } }

    /// Every mount at a folder or below it as a process sees it, the newest first: the order to unmount in.
    static func within(_ point: String, of process: String = "self") -> [Entry] {
        read("/proc/" + process + "/mountinfo").filter { $0.point == point || $0.point.utf8.starts(with: (point + "/").utf8) }.reversed()
    }

    private static func read(_ path: String) -> [Entry] {
        (try? Files.read(path, limit: 8 << 20)).map { entries($0) } ?? []
    }

    /// The mounts of a mountinfo, a line each.
    static func entries(_ bytes: [UInt8]) -> [Entry] {
        bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "))
            // After the optional fields comes a lone dash, then type and source.
            guard fields.count > 6, let number = DeviceNumber(String(decoding: fields[2], as: UTF8.self)),
                let dash = fields.firstIndex(where: { $0.elementsEqual([UInt8(ascii: "-")]) }),
                fields.count > dash + 2
            else { return nil }
            let options = fields.count > dash + 3 ? unescaped(fields[dash + 3]) : ""
            return Entry(number: number, point: unescaped(fields[4]), source: unescaped(fields[dash + 2]), options: options)
        }
    }

    /// `\040` and the like.
    static func unescaped(_ field: ArraySlice<UInt8>) -> String {
        var bytes: [UInt8] = []
        var index = field.startIndex
        while index < field.endIndex {
            if field[index] == UInt8(ascii: "\\"), index + 3 < field.endIndex {
                let value = field[(index + 1)...(index + 3)].reduce(0) { $0 * 8 + Int($1 &- UInt8(ascii: "0")) }
                bytes.append(UInt8(truncatingIfNeeded: value))
                index += 4
            } else {
                bytes.append(field[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
