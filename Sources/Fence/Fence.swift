import Platform

/// The renter's network on the host: a bridge of its own for one container, the way out, and the walls around it (nftables, one table of
/// ours, replaced in one transaction).
public struct Fence: Equatable, Sendable {
    /// The bridge's name, at most 15 bytes; also names the table.
    public var bridge: String
    /// The network, `a.b.c.d/30`: gateway is the first address, the container the second.
    public var subnet: Subnet
    /// Whether this kernel's nftables is to be used; without it there is neither a way out nor a wall.
    public var usesNftables: Bool

    /// A fence.
    public init(bridge: String, subnet: Subnet, usesNftables: Bool) {
        self.bridge = bridge
        self.subnet = subnet
        self.usesNftables = usesNftables
    }

    /// What must never be reached: private, shared, link-local, loopback and multicast ranges (RFC 6890).
    static let denied = [
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4",
    ]

    private var table: String { "sublet-" + bridge }

    /// The rule set, as `nft -f` reads it.
    public var rules: String {
        let walls = Self.denied.reduce("") { $0.isEmpty ? $1 : $0 + ", " + $1 }
        return """
            table ip \(table)
            delete table ip \(table)
            table ip \(table) {
                chain out {
                    type nat hook postrouting priority srcnat; policy accept;
                    ip saddr \(subnet.text) oifname != "\(bridge)" masquerade
                }
                chain through {
                    type filter hook forward priority filter - 1; policy accept;
                    iifname != "\(bridge)" accept
                    ct state established,related accept
                    ip saddr != \(subnet.container) drop
                    ip daddr { \(walls) } counter drop
                }
                chain host {
                    type filter hook input priority filter - 1; policy accept;
                    iifname != "\(bridge)" accept
                    ct state established,related accept
                    counter drop
                }
            }

            """
    }

    /// The programs that raise the fence, in order; each may run again. Walls come before the bridge is up.
    public var raising: [Command] {
        var commands = usesNftables ? [Command(["nft", "-f", "-"], input: Array(rules.utf8))] : []
        if !Files.exists("/sys/class/net/" + bridge) { commands.append(Command(["ip", "link", "add", bridge, "type", "bridge"])) }
        commands.append(Command(["ip", "address", "replace", subnet.gateway + "/30", "dev", bridge]))
        commands.append(Command(["ip", "link", "set", bridge, "up"]))
        return commands
    }

    /// The programs that take it away; nothing of it may be missed.
    public var lowering: [Command] {
        var commands: [Command] = []
        if Files.exists("/sys/class/net/" + bridge) { commands.append(Command(["ip", "link", "delete", bridge])) }
        if usesNftables {
            commands.append(Command(["nft", "-f", "-"], input: Array("table ip \(table)\ndelete table ip \(table)\n".utf8)))
        }
        return commands
    }
}

/// An IPv4 network of four addresses.
public struct Subnet: Equatable, Sendable {
    private let base: UInt32

    /// Reads `a.b.c.d/30`; nil where it is none, or not on a multiple of four.
    public init?(_ text: String) {
        let halves = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard halves.count == 2, halves[1].elementsEqual("30".utf8) else { return nil }
        let parts = halves[0].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let number = UInt8(String(decoding: part, as: UTF8.self)) else { return nil }
            value = value << 8 | UInt32(number)
        }
        guard value % 4 == 0 else { return nil }
        base = value
    }

    private func address(_ offset: UInt32) -> String {
        let value = base + offset
        return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    }

    /// `a.b.c.d/30`.
    public var text: String { address(0) + "/30" }
    /// The bridge's address.
    public var gateway: String { address(1) }
    /// The container's address: the only one left.
    public var container: String { address(2) }
}
