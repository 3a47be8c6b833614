import CLinux
import Platform

/// The kernel's news of this machine's nftables rules, whoever changes them.
public struct RuleNews: ~Copyable {
    private let socket: FileDescriptor

    /// Listens from now on. ENOPROTONOSUPPORT where the kernel has no netfilter.
    public init() throws(SystemError) {
        let raw = clinux_rules_socket()
        guard raw >= 0 else { throw .last("netlink socket") }
        socket = FileDescriptor(owning: raw)
    }

    /// Readable when there is news. Stays this value's to close.
    public var descriptor: Int32 { socket.raw }

    /// Takes the news there is; whether any of it is about this fence, or so much came that some was lost.
    public borrowing func concern(_ fence: Fence) -> Bool { clinux_rules_changed(socket.raw, fence.table) }
}
