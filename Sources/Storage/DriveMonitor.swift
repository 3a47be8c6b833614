import CLinux
import CUdev
import Platform

/// udev's news of block devices: a descriptor to wait on, and what happened. Only a trigger; the truth is what the next look finds.
public final class DriveMonitor {
    /// What happened to a block device.
    public struct News: Equatable, Sendable {
        /// Its device node; empty where it has none.
        public let node: String
        /// Whether it went away.
        public let isGone: Bool
        /// Whether it is no hardware but something made of it: a mapping, a loop device.
        public let isVirtual: Bool
    }

    private struct Handle: ~Copyable {
        let raw: OpaquePointer

        deinit { _ = udev_monitor_unref(raw) }
    }

    private let udev: Udev
    private let handle: Handle

    /// Listens from now on: what changes after this is told, what was there before is for the first look to find.
    ///
    /// With a udevd its news is taken, which comes after its rules have run and the node is there; without one the kernel's.
    public init() throws(SystemError) {
        let udev = try Udev()
        let source = Files.exists("/run/udev/control") ? "udev" : "kernel"
        guard let raw = udev_monitor_new_from_netlink(udev.raw, source) else { throw .last("udev_monitor_new_from_netlink") }
        let handle = Handle(raw: raw)
        // A hub with everything on it pulled at once says a lot before we get to read. The error of a refused size does no harm.
        _ = udev_monitor_set_receive_buffer_size(raw, 1 << 20)
        let filtered = udev_monitor_filter_add_match_subsystem_devtype(raw, "block", nil)
        guard filtered >= 0 else { throw SystemError(-filtered, "udev_monitor_filter_add_match_subsystem_devtype") }
        let enabled = udev_monitor_enable_receiving(raw)
        guard enabled >= 0 else { throw SystemError(-enabled, "udev_monitor_enable_receiving") }
        self.udev = udev
        self.handle = handle
    }

    /// Readable when there is news. Stays this value's to close.
    public var descriptor: Int32 { udev_monitor_get_fd(handle.raw) }

    /// All the news there is now; empty also where some was lost (ENOBUFS), which is a reason to look as well.
    public func receive() -> [News] {
        var news: [News] = []
        while news.count < 1_024, let device = udev_monitor_receive_device(handle.raw).map({ UdevDevice(raw: $0) }) {
            let isVirtual = device.path.utf8.starts(with: "/sys/devices/virtual/".utf8)
            news.append(News(node: device.node ?? "", isGone: device.action == "remove", isVirtual: isVirtual))
        }
        return news
    }
}
