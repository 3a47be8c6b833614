/// A disk, or a file that serves as one, by what can be known without opening it.
public struct Disk: Equatable, Sendable {
    /// What kind of thing is at the path.
    public enum Kind: String, Sendable {
        /// A whole disk.
        case disk
        /// A part of one.
        case partition
        /// Something that the kernel calls a disk and that holds no data of ours: a CD-ROM, a tape.
        case other
        /// A regular file.
        case file
    }

    /// Its device node, or the file's path.
    public var node: String
    /// By what it is known for ever.
    public var identity: String
    /// Its size in bytes; 0 where no medium is in it.
    public var bytes: Int64
    /// The kernel's number of this appearance (diskseq): no other disk in this boot has it, whatever its name. Nil for a file.
    public var sequence: Int64?
    /// Maker and model as it tells them; for people.
    public var model: String
    /// What it is.
    public var kind: Kind
    /// Whether it hangs on USB.
    public var isUSB: Bool
    /// Whether the kernel lets nobody write to it.
    public var isReadOnly: Bool
    /// What stands on it.
    public var uses: [DiskUse]

    /// A disk.
    public init(
        node: String, identity: String, bytes: Int64, sequence: Int64? = nil, model: String = "", kind: Kind = .disk, isUSB: Bool = true,
        isReadOnly: Bool = false, uses: [DiskUse] = []
    ) {
        self.node = node
        self.identity = identity
        self.bytes = bytes
        self.sequence = sequence
        self.model = model
        self.kind = kind
        self.isUSB = isUSB
        self.isReadOnly = isReadOnly
        self.uses = uses
    }

    /// Whether the lease that runs here lives on it.
    public var carriesLease: Bool { uses.contains(.lease) }

    /// Whether it is the slot of a reader, or a drive with its medium taken out.
    public var isEmpty: Bool { bytes == 0 && kind == .disk }

    /// Why it is never taken, whatever is on it; nil where nothing speaks against it. Told means: its owner named it by its path.
    public func refusal(minimumBytes: Int64, isTold: Bool) -> String? {
        switch kind {
        case .partition: return "a partition; a drive is a whole disk"
        case .other: return "not a disk"
        case .disk, .file: break
        }
        if let use = foreignUse { return use }
        guard isUSB || isTold else { return "not a USB disk" }
        if isReadOnly { return "read-only" }
        return bytes < minimumBytes ? "smaller than " + gibibytes(minimumBytes) : nil
    }

    /// The most telling of what stands on it and is not our lease.
    private var foreignUse: String? {
        var points: [String] = []
        for case .mounted(let point) in uses { points.append(point) }
        if points.contains("/") { return "the system is on it" }
        if let boot = points.first(where: { $0 == "/boot" || $0.utf8.starts(with: "/boot/".utf8) }) {
            return "the system boots from it: " + boot
        }
        if let point = points.first { return "mounted at " + point }
        if uses.contains(.swap) { return "in use as swap" }
        for case .held(let name) in uses { return "in use by " + name }
        return nil
    }
}

/// `1 GiB`, or `1536 MiB` where that is no whole number of them.
private func gibibytes(_ bytes: Int64) -> String {
    bytes % (1 << 30) == 0 ? "\(bytes >> 30) GiB" : "\(bytes >> 20) MiB"
}
