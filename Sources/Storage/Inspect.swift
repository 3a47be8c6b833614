import CLinux
import Platform

/// What a look at a drive found. Looking changes nothing.
public struct Inspection: Equatable, Sendable {
    /// Whether we may format it.
    public enum Verdict: String, CaseIterable, Sendable {
        /// Nothing is at the path, and a file of the configured size may be made there.
        case absent
        /// No signature that libblkid knows, first and last MiB zero.
        case blank
        /// Our label on it.
        case ours
        /// Anything else: not ours to erase.
        case foreign
        /// Nothing is there, or it can't be used; not a question of whose it is.
        case missing
    }

    /// By what it is known for ever: serial or path.
    public let identity: String
    /// Its size in bytes; 0 where it is missing.
    public let bytes: Int64
    /// Whether we may format it.
    public let verdict: Verdict
    /// What was found, in words.
    public let reason: String

    /// The adoption rule: ours, blank or not made yet; anything else only where the journal claims it (a half-formatted drive has no label),
    /// or the owner gave it up in words.
    public func mayBeTaken(claims: [String], adoptsAny: Bool) -> Bool {
        switch verdict {
        case .missing: false
        case .foreign: claims.contains(identity) || adoptsAny
        case .absent, .blank, .ours: true
        }
    }

    /// A finding.
    public init(identity: String, bytes: Int64, verdict: Verdict, reason: String) {
        self.identity = identity
        self.bytes = bytes
        self.verdict = verdict
        self.reason = reason
    }
}

/// Looks at drives.
public enum Inspect {
    /// The smallest drive that serves, in bytes: engine, base image and some room for the renter.
    public static let smallest: Int64 = 1 << 30
    private static let mebibyte: Int64 = 1 << 20

    /// Looks at the drive of a volume. An error only where looking itself failed.
    public static func look(at volume: Volume) throws(StorageError) -> Inspection {
        let identity = identity(of: volume.path)
        func found(_ verdict: Inspection.Verdict, _ bytes: Int64, _ reason: String) -> Inspection {
            Inspection(identity: identity, bytes: bytes, verdict: verdict, reason: reason)
        }
        guard let status = try system({ () throws(SystemError) in try Files.status(volume.path) }) else {
            guard let bytes = volume.newFileBytes, Files.exists(Files.parent(of: volume.path)) else {
                return found(.missing, 0, "nothing is at " + volume.path)
            }
            return found(.absent, bytes, "a file of \(bytes) bytes will be made")
        }
        guard clinux_is_regular(status.st_mode) || clinux_is_block(status.st_mode) else {
            return found(.missing, 0, "neither a block device nor a file")
        }
        let device = try system { () throws(SystemError) in try FileDescriptor.open(volume.path, O_RDONLY) }
        let bytes = try size(of: device)
        guard bytes >= smallest else { return found(.missing, bytes, "smaller than 1 GiB") }
        if clinux_is_block(status.st_mode), clinux_block_read_only(device.raw) != 0 { return found(.missing, bytes, "read-only") }
        if let label = try signature(of: volume.path) {
            return label == Volume.label ? found(.ours, bytes, "our label") : found(.foreign, bytes, "holds " + label)
        }
        let isBlank = try system { () throws(SystemError) in
            let first = try device.read(Int(mebibyte), at: 0)
            let last = try device.read(Int(mebibyte), at: bytes - mebibyte)
            return first.allSatisfy { $0 == 0 } && last.allSatisfy { $0 == 0 }
        }
        return isBlank ? found(.blank, bytes, "blank") : found(.foreign, bytes, "holds data without a signature")
    }

    /// The size of an open file or block device, in bytes.
    static func size(of device: borrowing FileDescriptor) throws(StorageError) -> Int64 {
        let raw = device.raw
        return try system { () throws(SystemError) in
            var status = stat()
            guard fstat(raw, &status) == 0 else { throw .last("fstat") }
            guard clinux_is_block(status.st_mode) else { return Int64(status.st_size) }
            var bytes: UInt64 = 0
            guard clinux_block_size(raw, &bytes) == 0 else { throw .last("BLKGETSIZE64") }
            return Int64(bytes)
        }
    }

    /// What libblkid sees (`blkid -p`): our label, or the type of somebody else's signature; nil where it knows none.
    private static func signature(of path: String) throws(StorageError) -> String? {
        let outcome = try tool(["blkid", "-p", "-o", "export", path], accepting: [0, 2])
        guard outcome.status == 0 else { return nil }
        var type = "a signature"
        for line in outcome.output.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line, as: UTF8.self)
            if text == "LABEL=" + Volume.label { return Volume.label }
            for key in ["TYPE=", "PTTYPE="] where text.utf8.starts(with: key.utf8) { type = String(text.dropFirst(key.utf8.count)) }
        }
        return type
    }

    /// The serial or WWID that sysfs gives for a block device, else the path.
    public static func identity(of path: String) -> String {
        let name = path.utf8.split(separator: UInt8(ascii: "/")).last.map { String($0) ?? path } ?? path
        for file in ["device/serial", "serial", "device/wwid", "wwid"] {
            guard let bytes = try? Files.read("/sys/class/block/" + name + "/" + file, limit: 512) else { continue }
            let text = String(decoding: bytes.filter { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
            // What a driver prints that knows none (User-Mode Linux's ubd): every one of its drives would be the same.
            if !text.isEmpty && text != "(null)" { return "serial:" + text }
        }
        return "path:" + path
    }
}
