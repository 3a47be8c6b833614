import CLinux

/// Waits for the end of a process, ours or not: pidfd_open(2), whose descriptor is readable from then on.
public final class EndWatch {
    private let loop: EventLoop
    private var watched: (handle: Int32, token: EventLoop.Token)?

    /// A watch that waits for nobody yet.
    public init(loop: EventLoop) { self.loop = loop }

    /// Whether somebody's end is waited for.
    public var isSet: Bool { watched != nil }

    /// Calls the handler once, when the process with this number ends, and waits for nobody else any more; false where there is none.
    public func set(_ pid: Int32, _ ended: @escaping () -> Void) -> Bool {
        cancel()
        let handle = clinux_pidfd_open(pid)
        guard handle >= 0 else { return false }
        let token = loop.watch(handle) { [self] _ in
            cancel()
            ended()
        }
        watched = (handle, token)
        return true
    }

    /// Waits no more.
    public func cancel() {
        guard let (handle, token) = watched else { return }
        loop.cancel(token)
        _ = close(handle)
        watched = nil
    }
}
