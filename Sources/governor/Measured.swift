import CLinux
import Platform

/// What the device measures of itself.
enum Measured {
    /// `x86_64`, `aarch64`, `armv7l` (uname(2)).
    static func architecture() -> String {
        var name = utsname()
        guard uname(&name) == 0 else { return "unknown" }
        return withUnsafePointer(to: &name.machine) {
            $0.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
        }
    }

    /// Processors that may be used: where a unit or a container leaves us fewer than are online, dockerd makes no machine with more.
    static func processors() -> Int64 {
        let allowed = Int64(clinux_processors())
        return allowed > 0 ? allowed : max(1, Int64(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }

    /// MemTotal of /proc/meminfo, MiB.
    static func memoryMiB() -> Int64 {
        guard let bytes = try? Files.read("/proc/meminfo", limit: 65_536) else { return 1 }
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: "MemTotal:".utf8) {
            let digits = line.filter { (0x30...0x39).contains($0) }
            return max(1, (Int64(String(decoding: digits, as: UTF8.self)) ?? 1_024) / 1_024)
        }
        return 1
    }

    /// Seconds since boot.
    static func uptime() -> Int64 { Clock.bootNanoseconds() / 1_000_000_000 }
}
