import JSON

/// Seconds since 1970-01-01 UTC, by the market's clock. What is outside 2025 to 2100 is refused wherever it is read.
public struct UnixTime: Equatable, Comparable, Hashable, Sendable {
    /// The seconds.
    public let seconds: Int64

    /// A time.
    public init(_ seconds: Int64) { self.seconds = seconds }

    /// What a sane clock can say: 2025-01-01 to 2100-01-01.
    public static let sane: ClosedRange<Int64> = 1_735_689_600...4_102_444_800

    /// The longest a lease may run ahead of the answer that tells it: 400 days, in seconds.
    public static let longestLease: Int64 = 400 * 86_400

    /// Earlier or later.
    public static func < (one: UnixTime, other: UnixTime) -> Bool { one.seconds < other.seconds }
}

/// A lease's name: 32 lower-case hex digits, drawn by the device before it registers, so that a lost answer makes no second lease.
public struct LeaseID: Equatable, Hashable, Sendable {
    /// The 32 digits.
    public let text: String

    /// Checks the digits.
    public init?(_ text: String) {
        guard text.utf8.count == 32, text.utf8.allSatisfy(isHexDigit) else { return nil }
        self.text = text
    }
}

/// A device's public name: a GUID (RFC 9562) in lower case. It stands in listings; it is no secret.
public struct DeviceID: Equatable, Hashable, Sendable {
    /// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    public let text: String

    /// Checks the form.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return nil }
        for (index, byte) in bytes.enumerated() {
            let isDash = index == 8 || index == 13 || index == 18 || index == 23
            guard isDash ? byte == UInt8(ascii: "-") : isHexDigit(byte) else { return nil }
        }
        self.text = text
    }

    /// The form, in the words of an error message.
    public static let form = "a GUID in lower case, such as 0a1b2c3d-0a1b-4c2d-8e3f-0a1b2c3d4e5f"
}

/// 0-9 and a-f.
func isHexDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
}

/// A password or key. It can't be logged or printed by accident: its description is `•••`.
public struct Secret: Equatable, Sendable, CustomStringConvertible {
    private let bytes: [UInt8]

    /// Hides a text.
    public init(_ text: String) { bytes = Array(text.utf8) }

    /// Hides bytes.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The bytes. Every use of this is a place to look at in a review.
    public func reveal() -> [UInt8] { bytes }

    /// The text. Every use of this is a place to look at in a review.
    public func revealText() -> String { String(decoding: bytes, as: UTF8.self) }

    /// Never the secret.
    public var description: String { "•••" }
}

#if !hasFeature(Embedded)
// Without this `dump`, and a failed #expect, would print the bytes as numbers.
extension Secret: CustomReflectable {
    /// Without children.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
#endif

/// How the drive keeps a lease's data.
public enum Encryption: String, CaseIterable, Sendable {
    /// LUKS2 with a key of its own for each lease.
    case luks2
    /// In the clear: only where the owner asked for it in words.
    case none
}

/// How a drive is erased at the end of a lease.
public enum EraseMethod: String, CaseIterable, Sendable {
    /// Every copy of the key is destroyed, and the header with it.
    case key
    /// The drive is told to forget every block.
    case discard
    /// Every block is written over.
    case overwrite
}

/// Where a lease stands, by the market's word.
public enum LeaseState: String, CaseIterable, Sendable {
    /// Nobody has rented it yet.
    case offered
    /// A renter has it until it expires.
    case rented
    /// It is over: the device erases and registers again.
    case ended
}

/// Where the device stands in the lifecycle, as it tells the market.
public enum DevicePhase: String, CaseIterable, Sendable {
    case registering, preparing, building, offered, leased, suspended, erasing, quarantined
}

/// The state of the device's tunnel, as it tells the market.
public enum TunnelState: String, CaseIterable, Sendable {
    /// No connection to the tunnel server.
    case down
    /// All three forwards stand.
    case up
    /// The tunnel server refused a forward: another process holds the port.
    case refused
}

/// The three ports on the tunnel host that lead into the renter's container.
public struct ForwardPorts: Equatable, Hashable, Sendable {
    /// To the container's port 22.
    public let ssh: Int64
    /// To the container's port 80.
    public let http: Int64
    /// To the container's port 443.
    public let https: Int64

    /// Three ports, each 1024 to 65535.
    public init(ssh: Int64, http: Int64, https: Int64) {
        self.ssh = ssh
        self.http = http
        self.https = https
    }

    /// What a forward may listen on.
    public static let range: ClosedRange<Int64> = 1_024...65_535

    /// The ports in the order ssh, http, https.
    public var all: [Int64] { [ssh, http, https] }
}

/// How a mounted drive is, as far as the kernel tells.
public enum DriveHealth: String, CaseIterable, Sendable {
    /// Nothing is wrong.
    case good
    /// The renter has filled it. Nothing is to be done; the renter hears of it.
    case full = "drive-full"
    /// The file system counts errors, or can't be asked.
    case errors = "drive-errors"
    /// The kernel took writing away, as it does after errors: checked and mounted anew it may serve again.
    case readOnly = "drive-read-only"
}
