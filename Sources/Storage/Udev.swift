import CLinux
import CUdev
import Platform

/// libudev's context.
struct Udev: ~Copyable {
    let raw: OpaquePointer

    /// udev_new(3).
    init() throws(SystemError) {
        guard let raw = udev_new() else { throw .last("udev_new") }
        self.raw = raw
    }

    deinit { _ = udev_unref(raw) }

    /// The block device at a path under /sys; nil where it has gone meanwhile.
    borrowing func device(at path: String) -> UdevDevice? {
        udev_device_new_from_syspath(raw, path).map { UdevDevice(raw: $0) }
    }

    /// The block device with a number; nil where there is none.
    borrowing func blockDevice(_ number: DeviceNumber) -> UdevDevice? {
        udev_device_new_from_devnum(raw, CChar(UInt8(ascii: "b")), clinux_makedev(number.major, number.minor)).map { UdevDevice(raw: $0) }
    }

    /// Every block device there is, disks and partitions, as paths under /sys.
    borrowing func blockPaths() throws(SystemError) -> [String] {
        guard let enumerate = udev_enumerate_new(raw) else { throw .last("udev_enumerate_new") }
        defer { _ = udev_enumerate_unref(enumerate) }
        let added = udev_enumerate_add_match_subsystem(enumerate, "block")
        guard added >= 0 else { throw SystemError(-added, "udev_enumerate_add_match_subsystem") }
        let scanned = udev_enumerate_scan_devices(enumerate)
        guard scanned >= 0 else { throw SystemError(-scanned, "udev_enumerate_scan_devices") }
        var paths: [String] = []
        var next = udev_enumerate_get_list_entry(enumerate)
        while let entry = next {
            if let path = text(udev_list_entry_get_name(entry)) { paths.append(path) }
            next = udev_list_entry_get_next(entry)
        }
        return paths
    }
}

/// A device as libudev shows it.
struct UdevDevice: ~Copyable {
    private let raw: OpaquePointer

    /// Takes over a reference.
    init(raw: OpaquePointer) { self.raw = raw }

    deinit { _ = udev_device_unref(raw) }

    /// `add`, `remove`, `change` …; nil for what did not come from a monitor.
    var action: String? { text(udev_device_get_action(raw)) }
    /// The kernel's name, such as `sda1`.
    var name: String { text(udev_device_get_sysname(raw)) ?? "" }
    /// The node under /dev; nil where it has none (yet).
    var node: String? { text(udev_device_get_devnode(raw)) }
    /// Its path under /sys.
    var path: String { text(udev_device_get_syspath(raw)) ?? "" }
    /// `disk` or `partition`.
    var type: String? { text(udev_device_get_devtype(raw)) }

    /// Major and minor.
    var number: DeviceNumber {
        let number = udev_device_get_devnum(raw)
        return DeviceNumber(major: clinux_major(number), minor: clinux_minor(number))
    }

    /// A file of its folder under /sys, without white space at both ends; nil where it is not there or empty.
    func attribute(_ name: String) -> String? { trimmed(udev_device_get_sysattr_value(raw, name)) }

    /// A whole number in a file of its folder under /sys.
    func whole(_ name: String) -> Int64? { attribute(name).flatMap { Int64($0) } }

    /// The kernel's name of the device it hangs on.
    var parentName: String? { udev_device_get_parent(raw).flatMap { text(udev_device_get_sysname($0)) } }

    /// The nearest device above it of a subsystem and type; nil where it hangs on none.
    func ancestor(_ subsystem: String, _ type: String) -> Ancestor? {
        udev_device_get_parent_with_subsystem_devtype(raw, subsystem, type).map { Ancestor(raw: $0) }
    }

    /// A device above another; it lives as long as that one.
    struct Ancestor {
        fileprivate let raw: OpaquePointer

        /// The kernel's name, such as `1-1.2`.
        var name: String { text(udev_device_get_sysname(raw)) ?? "" }

        /// A file of its folder under /sys.
        func attribute(_ name: String) -> String? { trimmed(udev_device_get_sysattr_value(raw, name)) }
    }
}

private func text(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

private func trimmed(_ pointer: UnsafePointer<CChar>?) -> String? {
    guard let text = text(pointer) else { return nil }
    let bytes = Array(text.utf8)
    guard let first = bytes.firstIndex(where: { $0 > 0x20 }), let last = bytes.lastIndex(where: { $0 > 0x20 }) else { return nil }
    return String(decoding: bytes[first...last], as: UTF8.self)
}
