import CLinux
import Platform

/// Where a server listens.
public struct ListenAddress: Equatable, Sendable {
    /// A numeric IPv4 or IPv6 address.
    public let host: String
    /// 0 to 65535; 0 lets the kernel choose.
    public let port: UInt16

    /// Reads `127.0.0.1:8080` or `[::1]:8080`; nil where it is neither.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")), let port = UInt16(String(decoding: bytes[(colon + 1)...], as: UTF8.self))
        else { return nil }
        var host = bytes[..<colon]
        if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]") { host = host.dropFirst().dropLast() }
        self.host = String(decoding: host, as: UTF8.self)
        self.port = port
        guard isIPv6 || inet_addr(self.host) != INADDR_NONE else { return nil }
    }

    var isIPv6: Bool {
        var address = in6_addr()
        return inet_pton(AF_INET6, host, &address) == 1
    }

    /// Whether only this machine can reach it: 127.0.0.0/8 or ::1.
    public var isLoopback: Bool { isIPv6 ? host == "::1" : host.utf8.starts(with: Array("127.".utf8)) }

    /// `127.0.0.1:8080`.
    public func text(port: UInt16) -> String { (isIPv6 ? "[" + host + "]" : host) + ":\(port)" }

    /// socket(2), bind(2), listen(2); accepting does not wait.
    func listen() throws(SystemError) -> FileDescriptor {
        let descriptor = try bound()
        guard CLinux.listen(descriptor.raw, 4_096) == 0 else { throw .last("listen on " + text(port: port)) }
        return descriptor
    }

    private func bound() throws(SystemError) -> FileDescriptor {
        let raw = clinux_stream_socket(isIPv6 ? AF_INET6 : AF_INET)
        guard raw >= 0 else { throw .last("socket") }
        let descriptor = FileDescriptor(owning: raw)
        guard clinux_bind(raw, host, port) == 0 else { throw .last("listen on " + text(port: port)) }
        return descriptor
    }

    /// Binds, and gives back at once: whether it can be listened on. It does not listen, for whoever connected meanwhile would be hung up on.
    public func probe() throws(SystemError) { _ = try bound() }

    /// The port that a listening socket got.
    func port(of descriptor: borrowing FileDescriptor) throws(SystemError) -> UInt16 {
        let port = clinux_bound_port(descriptor.raw)
        guard port >= 0 else { throw .last("getsockname") }
        return UInt16(truncatingIfNeeded: port)
    }
}
