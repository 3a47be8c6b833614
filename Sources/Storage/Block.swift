import CLinux
import Platform

/// Facts about a block device. In sysfs it is found by its number: names get reused.
enum Block {
    /// The kernel's name, such as `dm-0`; nil where the path is not a block device.
    static func name(of path: String) -> String? {
        guard let number = DeviceNumber.of(node: path) else { return nil }
        return Files.resolved(place(number)).utf8.split(separator: UInt8(ascii: "/")).last.flatMap { String($0) }
    }

    /// Whether it takes discards (queue/discard_max_bytes).
    static func canDiscard(_ path: String) -> Bool {
        guard let number = DeviceNumber.of(node: path) else { return false }
        return (Files.number(place(number) + "/queue/discard_max_bytes") ?? 0) > 0
    }

    /// Whether a mount in any namespace, a mapping or an array has it: O_EXCL on a block device asks the kernel just that.
    static func isHeld(_ path: String) throws(StorageError) -> Bool {
        do throws(SystemError) { _ = try FileDescriptor.open(path, O_RDONLY | O_EXCL) } catch {
            guard error.code == EBUSY else { throw StorageError(error) }
            return true
        }
        return false
    }

    private static func place(_ number: DeviceNumber) -> String { "/sys/dev/block/\(number.major):\(number.minor)" }
}
