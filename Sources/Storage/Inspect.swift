import CLinux
import Platform

/// Looks at what is on drives.
public enum Inspect {
    /// The smallest drive that serves where the owner says nothing, in bytes: engine, base image and some room for the renter.
    public static let smallest: Int64 = 1 << 30
    private static let mebibyte: Int64 = 1 << 20

    /// What decides beside the drive itself.
    public struct Rule: Equatable, Sendable {
        /// The smallest drive that is taken, bytes.
        public var minimumBytes: Int64
        /// Whether its owner named it by its path; else only USB drives are taken.
        public var isTold: Bool
        /// The size of a file that does not exist yet, bytes; nil makes none.
        public var newFileBytes: Int64?

        /// A rule.
        public init(minimumBytes: Int64, isTold: Bool, newFileBytes: Int64?) {
            self.minimumBytes = minimumBytes
            self.isTold = isTold
            self.newFileBytes = newFileBytes
        }
    }

    /// Looks at what is at a path. It may take as long as the drive takes to answer, which for a bad one is for ever.
    public static func look(at path: String, _ finder: Finder, _ rule: Rule) -> Inspection {
        func failed(_ verdict: Inspection.Verdict, _ reason: String, bytes: Int64 = 0) -> Inspection {
            Inspection(path: path, identity: "path:" + path, bytes: bytes, verdict: verdict, reason: reason)
        }
        do throws(StorageError) {
            if let disk = try finder.disk(at: path) { return look(at: disk, rule) }
            guard rule.isTold, let bytes = rule.newFileBytes, Files.exists(Files.parent(of: path)) else {
                return failed(.missing, "nothing is at " + path)
            }
            return failed(.absent, "a file of \(bytes) bytes will be made", bytes: bytes)
        } catch { return failed(.unreadable, error.message) }
    }

    /// What can be said of a disk without opening it; nil where what is on it decides.
    public static func triage(_ disk: Disk, _ rule: Rule) -> Inspection? {
        if disk.isEmpty { return Inspection(disk, .missing, "no medium in it") }
        return disk.refusal(minimumBytes: rule.minimumBytes, isTold: rule.isTold).map { Inspection(disk, .refused, $0) }
    }

    /// Looks at what is on a disk.
    static func look(at disk: Disk, _ rule: Rule) -> Inspection {
        if let found = triage(disk, rule) { return found }
        if disk.carriesLease { return Inspection(disk, .inUse, "in use by the lease of this device", volume: volume(at: disk.node)) }
        do throws(StorageError) { return try contents(of: disk) } catch {
            return Inspection(disk, error.code == EWOULDBLOCK ? .busy : .unreadable, error.message)
        }
    }

    private static func contents(of disk: Disk) throws(StorageError) -> Inspection {
        let grip = try Grip(disk.node, waitingSeconds: 5)
        guard try grip.isFree() else { return Inspection(disk, .refused, "in use by something on this machine") }
        if let found = try signature(of: disk.node) {
            if found.isOurs { return Inspection(disk, .ours, "our label", signature: found.type, volume: found.uuid) }
            return judge(disk, holding: found.type, "holds " + found.type)
        }
        let bytes = disk.bytes
        let isBlank = try grip.read { device throws(SystemError) in
            let first = try device.read(Int(mebibyte), at: 0)
            let last = try device.read(Int(mebibyte), at: bytes - mebibyte)
            return first.allSatisfy { $0 == 0 } && last.allSatisfy { $0 == 0 }
        }
        return isBlank ? Inspection(disk, .blank, "blank") : judge(disk, holding: nil, "holds data without a signature")
    }

    /// Somebody's data: given up, or not ours to erase.
    private static func judge(_ disk: Disk, holding signature: String?, _ reason: String) -> Inspection {
        switch GivenUp.look(at: disk, signature) {
        case .yes: Inspection(disk, .givenUp, "given up: " + GivenUp.name + " is on it", signature: signature)
        case .no: Inspection(disk, .foreign, reason, signature: signature)
        case .almost(let why): Inspection(disk, .foreign, reason + "; " + why, signature: signature)
        }
    }

    /// The size of an open file or block device, in bytes.
    static func size(of device: borrowing FileDescriptor) throws(StorageError) -> Int64 {
        do throws(SystemError) {
            let status = try device.status()
            guard clinux_is_block(status.st_mode) else { return Int64(status.st_size) }
            var bytes: UInt64 = 0
            guard clinux_block_size(device.raw, &bytes) == 0 else { throw .last("BLKGETSIZE64") }
            return Int64(bytes)
        } catch { throw StorageError(error) }
    }

    /// What libblkid sees.
    struct Signature: Equatable {
        /// `vfat`, `crypto_LUKS`, `gpt` …
        var type = "a signature"
        var label: String?
        var uuid: String?

        /// Reads `blkid -o export`. Some file systems look as if they had a partition table too (exFAT's boot sector): then they are what
        /// counts.
        init(export output: [UInt8]) {
            var table: String?
            var system: String?
            for line in output.split(separator: UInt8(ascii: "\n")) {
                guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
                let value = String(decoding: line[(equals + 1)...], as: UTF8.self)
                switch String(decoding: line[..<equals], as: UTF8.self) {
                case "TYPE": system = value
                case "PTTYPE": table = value
                case "LABEL": label = value
                case "UUID": uuid = value
                default: break
                }
            }
            if let found = system ?? table { type = found }
        }

        /// Our label, on what we put it on.
        var isOurs: Bool { label == Volume.label && (type == "crypto_LUKS" || type == "ext4") }
    }

    /// Asks libblkid (`blkid -p`); nil where it knows no signature.
    static func signature(of path: String) throws(StorageError) -> Signature? {
        // 2: nothing found. 8: several that contradict each other.
        let outcome = try tool(["blkid", "-p", "-o", "export", path], accepting: [0, 2, 8])
        guard outcome.status != 2 else { return nil }
        return Signature(export: outcome.output)
    }

    /// The UUID of our volume at a path; nil where there is none.
    public static func volume(at path: String) -> String? {
        guard let found = try? signature(of: path), found.isOurs else { return nil }
        return found.uuid
    }

    /// The serial or WWID that sysfs gives for a block device that is not on USB, where it fits into a receipt, else its path.
    static func identity(name: String, path: String) -> String {
        for file in ["device/serial", "serial", "device/wwid", "wwid"] {
            guard let bytes = try? Files.read("/sys/class/block/" + name + "/" + file, limit: 512) else { continue }
            let text = String(decoding: bytes.filter { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
            // What a driver prints that knows none (User-Mode Linux's ubd): every one of its drives would be the same.
            if (1...200).contains(text.utf8.count) && text != "(null)" { return "serial:" + text }
        }
        return "path:" + path
    }
}
