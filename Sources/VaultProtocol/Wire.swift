/// The limits of the conversation between `vault` in the renter's machine and the governor: one request a connection, then answers, each a
/// frame of a length (four bytes, big-endian, of what follows) and at most so many bytes.
public enum VaultWire {
    /// Of this description; another one is refused.
    public static let version: UInt8 = 1
    /// The socket in the renter's machine.
    public static let socket = "/run/sublet/vault.sock"
    /// The longest passphrase, bytes.
    public static let longestPassphrase = 512
    /// The shortest that a vault is made with, bytes.
    public static let shortestPassphrase = 8
    /// The longest frame without its length, bytes.
    public static let frameLimit = 4_096
    /// How long a message may take to arrive, milliseconds.
    public static let patience: Int64 = 5_000
    /// The smallest vault, bytes: the header takes 16 MiB of it.
    public static let smallest: Int64 = 64 << 20
    /// The largest, bytes.
    public static let largest: Int64 = 1 << 50
}

/// Why a message was not understood.
public struct VaultWireError: Error, Equatable, Sendable {
    /// What was expected, and what was found.
    public let message: String

    init(_ message: String) { self.message = message }
}

/// The length that a frame begins with, four bytes, or why it can't be one.
public func frameLength(_ bytes: [UInt8]) throws(VaultWireError) -> Int {
    guard bytes.count == 4 else { throw VaultWireError("a message of \(bytes.count) bytes") }
    let length = bytes.reduce(0) { $0 << 8 | Int($1) }
    guard length >= 2, length <= VaultWire.frameLimit else {
        throw VaultWireError("expected a message of 2 to \(VaultWire.frameLimit) bytes, found \(length)")
    }
    return length
}

/// A number as so many bytes, big-endian.
func bigEndian(_ number: Int64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: number >> Int64(8 * (count - 1 - $0))) }
}
