import CLinux
import Platform
import Protocol

/// How the open drive is, as far as the kernel tells without reading from it.
public enum Health {
    /// Less than this is full for a renter, in bytes.
    static let leastFree: Int64 = 16 << 20

    /// Looks at what is mounted there: statvfs(3), and ext4's count of errors in sysfs.
    public static func look(at mountPoint: String) -> DriveHealth {
        var space = statvfs()
        guard statvfs(mountPoint, &space) == 0 else { return .errors }
        if UInt(space.f_flag) & UInt(ST_RDONLY) != 0 || isStopped(mountPoint) { return .readOnly }
        if errors(at: mountPoint) > 0 { return .errors }
        return Int64(space.f_bavail) * Int64(space.f_frsize) < leastFree ? .full : .good
    }

    /// Linux 6.15 and later no longer say read-only of a file system that ext4 stopped after an error: it is a mount option there.
    private static func isStopped(_ mountPoint: String) -> Bool {
        guard let options = Mounts.at(mountPoint)?.options else { return false }
        return options.utf8.split(separator: UInt8(ascii: ",")).contains { $0.elementsEqual("emergency_ro".utf8) }
    }

    /// `/sys/fs/ext4/NAME/errors_count`; 0 where there is none.
    private static func errors(at mountPoint: String) -> Int64 {
        guard let source = Mounts.at(mountPoint)?.source, let name = Block.name(of: source) else { return 0 }
        return Files.number("/sys/fs/ext4/" + name + "/errors_count") ?? 0
    }
}
