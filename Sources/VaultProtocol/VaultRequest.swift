import Platform

/// What a renter may ask for.
public enum VaultVerb: UInt8, CaseIterable, Sendable {
    case create = 1
    case open = 2
    case close = 3
    case status = 4
    case forget = 5

    /// The word on the command line and in the log.
    public var word: String {
        switch self {
        case .create: "create"
        case .open: "open"
        case .close: "close"
        case .status: "status"
        case .forget: "forget"
        }
    }

    /// Whether a passphrase comes with it.
    public var wantsPassphrase: Bool { self == .create || self == .open }
}

/// A request: version, verb, the size in bytes (8 bytes, big-endian, 0 but for `create`), and to the end of the frame the passphrase.
public struct VaultRequest: ~Copyable {
    /// What is asked for.
    public let verb: VaultVerb
    /// Bytes, for `create`; else 0.
    public let size: Int64
    /// Of no bytes where none is wanted.
    public let passphrase: LockedBytes

    /// Version, verb and size.
    private static let fixedBytes = 10

    /// How many bytes of a message, from its length on, tell the verb. None of them is the passphrase's.
    public static let verbBytes = 6

    /// The verb by the first bytes of a message; nil where they don't tell.
    public static func verb(_ bytes: [UInt8]) -> VaultVerb? {
        bytes.count >= verbBytes && bytes[4] == VaultWire.version ? VaultVerb(rawValue: bytes[5]) : nil
    }

    /// The frame of a request, length included, in memory that is wiped. The passphrase is given for the verbs that want one.
    public static func frame(
        _ verb: VaultVerb, size: Int64, passphrase: borrowing LockedBytes
    ) throws(SystemError) -> LockedBytes {
        var frame = try LockedBytes(capacity: VaultWire.frameLimit + 4)
        let length = Int64(fixedBytes + passphrase.count)
        for byte in bigEndian(length, 4) + [VaultWire.version, verb.rawValue] + bigEndian(size, 8) { frame.append(byte) }
        frame.append(passphrase)
        return frame
    }

    /// Reads a frame (without its length) strictly.
    public init(_ frame: borrowing LockedBytes) throws(VaultWireError) {
        guard frame.count >= 1, frame[0] == VaultWire.version else {
            throw VaultWireError("expected version \(VaultWire.version) of the vault's messages")
        }
        guard frame.count >= Self.fixedBytes, let verb = VaultVerb(rawValue: frame[1]) else {
            throw VaultWireError("expected a verb and a size")
        }
        var size: Int64 = 0
        for index in 2..<Self.fixedBytes { size = size << 8 | Int64(frame[index]) }
        guard verb == .create ? (VaultWire.smallest...VaultWire.largest).contains(size) : size == 0 else {
            throw VaultWireError("the size is out of range")
        }
        let shortest = verb == .create ? VaultWire.shortestPassphrase : verb.wantsPassphrase ? 1 : 0
        let longest = verb.wantsPassphrase ? VaultWire.longestPassphrase : 0
        guard (shortest...longest).contains(frame.count - Self.fixedBytes) else {
            throw VaultWireError("expected a passphrase of \(shortest) to \(longest) bytes")
        }
        do throws(SystemError) {
            var passphrase = try LockedBytes(capacity: VaultWire.longestPassphrase)
            passphrase.append(frame, from: Self.fixedBytes)
            self.passphrase = passphrase
        } catch { throw VaultWireError(error.message) }
        self.verb = verb
        self.size = size
    }
}
