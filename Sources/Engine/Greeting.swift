import CLinux
import EventLoop
import Platform

/// A look whether a server greets: one TCP connection that waits for the first byte.
final class Greeting {
    private let loop: EventLoop
    private var socket: Int32 = -1
    private var watching: EventLoop.Token?
    private var timer: EventLoop.Token?

    init(loop: EventLoop) { self.loop = loop }

    /// Connects and tells within 5 seconds whether a byte came.
    func open(_ address: String, port: UInt16, _ completion: @escaping (Bool) -> Void) {
        close()
        socket = clinux_connect(address, port)
        guard socket >= 0 else {
            timer = loop.after(milliseconds: 100) { completion(false) }
            return
        }
        func end(_ isThere: Bool) {
            close()
            completion(isThere)
        }
        timer = loop.after(milliseconds: 5_000) { end(false) }
        watching = loop.watch(socket) { [self] _ in
            var byte: UInt8 = 0
            end(read(socket, &byte, 1) == 1)
        }
    }

    /// Gives the connection up.
    func close() {
        loop.cancel(watching)
        loop.cancel(timer)
        watching = nil
        timer = nil
        if socket >= 0 { _ = CLinux.close(socket) }
        socket = -1
    }
}
