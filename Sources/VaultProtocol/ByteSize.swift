/// Sizes as people write them.
public enum ByteSize {
    private static let units: [(letter: UInt8, shift: Int64)] = [
        (UInt8(ascii: "T"), 40), (UInt8(ascii: "G"), 30), (UInt8(ascii: "M"), 20), (UInt8(ascii: "K"), 10),
    ]

    /// A whole number and K, M, G or T (powers of 1024); nil for anything else.
    public static func read(_ text: String) -> Int64? {
        guard let last = text.utf8.last, let unit = units.first(where: { $0.letter == last & 0xDF }) else { return nil }
        let digits = text.utf8.dropLast()
        guard (1...15).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int64(String(decoding: Array(digits), as: UTF8.self)), number <= VaultWire.largest >> unit.shift
        else { return nil }
        return number << unit.shift
    }

    /// `10.0 GiB`: one place behind the point, rounded down.
    public static func text(_ bytes: Int64) -> String {
        for unit in units where bytes >= 1 << unit.shift {
            let tenths = ((bytes >> (unit.shift - 10)) * 10) >> 10
            return "\(tenths / 10).\(tenths % 10) " + String(decoding: [unit.letter], as: UTF8.self) + "iB"
        }
        return "\(bytes) bytes"
    }
}
