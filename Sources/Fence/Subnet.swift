/// A range of IPv4 addresses, `a.b.c.d` or `a.b.c.d/n`.
public struct AddressRange: Equatable, Sendable {
    /// As it was written.
    public let text: String
    let base: UInt32
    /// Bits that all of it share, 1 to 32.
    let bits: UInt32

    /// Reads a range strictly; nil where it is none, or the address has bits beyond the range's.
    public init?(_ text: String) {
        let halves = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard let first = halves.first, halves.count <= 2 else { return nil }
        let parts = first.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let number = plainNumber(part, atMost: 255) else { return nil }
            value = value << 8 | number
        }
        var bits: UInt32 = 32
        if halves.count == 2 {
            guard let number = plainNumber(halves[1], atMost: 32), number > 0 else { return nil }
            bits = number
        }
        guard bits == 32 || value << bits == 0 else { return nil }
        (self.text, base, self.bits) = (text, value, bits)
    }
}

/// Digits without a sign or a leading zero, which some programs read as octal.
private func plainNumber(_ digits: some Collection<UInt8>, atMost most: UInt32) -> UInt32? {
    guard (1...3).contains(digits.count), digits.count == 1 || digits.first != UInt8(ascii: "0") else { return nil }
    var value: UInt32 = 0
    for digit in digits {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
        value = value * 10 + UInt32(digit - UInt8(ascii: "0"))
    }
    return value <= most ? value : nil
}

/// An IPv4 network of four addresses.
public struct Subnet: Equatable, Sendable {
    private let base: UInt32

    /// Reads `a.b.c.d/30`; nil where it is none, or not on a multiple of four.
    public init?(_ text: String) {
        guard let range = AddressRange(text), range.bits == 30 else { return nil }
        base = range.base
    }

    private func address(_ offset: UInt32) -> String {
        let value = base + offset
        return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    }

    /// `a.b.c.d/30`.
    public var text: String { address(0) + "/30" }
    /// The bridge's address.
    public var gateway: String { address(1) }
    /// The container's address: the only one left.
    public var container: String { address(2) }
}
