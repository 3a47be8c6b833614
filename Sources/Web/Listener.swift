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

    /// socket(2), bind(2), listen(2), without waiting; the descriptor and the port it got.
    func listen() throws(SystemError) -> (descriptor: FileDescriptor, port: UInt16) {
        let raw = socket(isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard raw >= 0 else { throw .last("socket") }
        let descriptor = FileDescriptor(owning: raw)
        var yes: Int32 = 1
        // Without it a restart would wait a minute for the old connections.
        guard setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw .last("setsockopt SO_REUSEADDR")
        }
        let port = try isIPv6 ? bindIPv6(raw) : bindIPv4(raw)
        guard CLinux.listen(raw, 4_096) == 0 else { throw .last("listen " + text(port: port)) }
        return (descriptor, port)
    }

    private func bindIPv4(_ raw: Int32) throws(SystemError) -> UInt16 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr(host)
        try bindAndAsk(raw, &address, MemoryLayout<sockaddr_in>.size)
        return UInt16(bigEndian: address.sin_port)
    }

    private func bindIPv6(_ raw: Int32) throws(SystemError) -> UInt16 {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        inet_pton(AF_INET6, host, &address.sin6_addr)
        try bindAndAsk(raw, &address, MemoryLayout<sockaddr_in6>.size)
        return UInt16(bigEndian: address.sin6_port)
    }

    /// bind(2) and then getsockname(2) into the same struct.
    private func bindAndAsk(_ raw: Int32, _ address: UnsafeMutableRawPointer, _ size: Int) throws(SystemError) {
        let generic = address.assumingMemoryBound(to: sockaddr.self)
        guard bind(raw, generic, socklen_t(size)) == 0 else { throw .last("listen on " + text(port: port)) }
        var length = socklen_t(size)
        guard getsockname(raw, generic, &length) == 0 else { throw .last("getsockname") }
    }
}
