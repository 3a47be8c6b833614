import CLinux

/// The two clocks the house uses.
public enum Clock {
    /// CLOCK_BOOTTIME in nanoseconds: never jumps, counts through suspend, starts at boot. Leases are timed with it.
    public static func bootNanoseconds() -> Int64 { clinux_clock_ns(CLOCK_BOOTTIME) }

    /// CLOCK_REALTIME in seconds since 1970. Only for log lines and for a market's own time; a device never judges a lease by it.
    public static func unixSeconds() -> Int64 { clinux_clock_ns(CLOCK_REALTIME) / 1_000_000_000 }

    /// CLOCK_REALTIME in milliseconds since 1970, for log lines.
    public static func unixMilliseconds() -> Int64 { clinux_clock_ns(CLOCK_REALTIME) / 1_000_000 }

    /// A name for this boot (/proc/sys/kernel/random/boot_id): what was noted in another boot can't be a running process of this one.
    public static func bootName() -> String {
        guard let bytes = try? Files.read("/proc/sys/kernel/random/boot_id", limit: 64) else { return "" }
        return String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self)
    }
}

/// Random bytes from the kernel's CSPRNG.
public enum Random {
    /// getrandom(2) of `count` bytes; waits at boot until the pool is ready.
    public static func bytes(_ count: Int) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { getrandom($0 + done, count - done, 0) } ?? 0
            }
            if got > 0 {
                done += got
            } else if clinux_errno() != EINTR {
                throw .last("getrandom")
            }
        }
        return bytes
    }

    /// 64 random bits.
    public static func seed() throws(SystemError) -> UInt64 {
        try bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// `count` random bytes as lower-case hex digits, two a byte.
    public static func hex(_ count: Int) throws(SystemError) -> String { hexText(try bytes(count)) }
}

/// Bytes as lower-case hex digits.
public func hexText(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
