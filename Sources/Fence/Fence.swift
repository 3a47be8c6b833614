import Platform

/// The renter's network on the host: a bridge of its own for one container, the way out, and the walls around it (nftables, one table of
/// ours for both families, replaced in one transaction).
///
/// What a renter sends reaches public IPv4 addresses and nothing else: nothing in this device (whatever address it is called by), nothing
/// near it, no IPv6. A renter has raw sockets, so none of this rests on how the container is set up. Nobody but the device itself opens a
/// connection to the renter's machine.
public struct Fence: Equatable, Sendable {
    /// The bridge's name, at most 15 bytes; also names the table.
    public var bridge: String
    /// The network, `a.b.c.d/30`: gateway is the first address, the container the second.
    public var subnet: Subnet
    /// Whether this kernel's nftables is to be used; without it there is neither a way out nor a wall.
    public var usesNftables: Bool
    /// What the owner opens although it is near.
    public var allowed: [AddressRange]
    /// Whether mail may be handed to other servers (SMTP, port 25); most networks lose their good name by it.
    public var passesMail: Bool

    /// A fence.
    public init(bridge: String, subnet: Subnet, usesNftables: Bool, allowed: [AddressRange] = [], passesMail: Bool = false) {
        self.bridge = bridge
        self.subnet = subnet
        self.usesNftables = usesNftables
        self.allowed = allowed
        self.passesMail = passesMail
    }

    /// What must never be reached: this network, private, shared, loopback, link-local, protocol, documentation, benchmark, multicast and
    /// reserved ranges (RFC 6890).
    static let denied = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    ]

    private var table: String { "sublet-" + bridge }

    /// The rule set, as `nft -f` reads it.
    public var rules: String {
        // One rule each: in a set of nftables ranges must not overlap.
        let opened = allowed.map { "ip daddr \($0.text) counter accept\n        " }.joined()
        let mail = passesMail ? "" : "tcp dport 25 counter drop\n        "
        return """
            \(Self.removal(of: table))
            table inet \(table) {
                chain out {
                    type nat hook postrouting priority srcnat; policy accept;
                    ip saddr \(subnet.text) oifname != "\(bridge)" masquerade
                }
                chain through {
                    type filter hook forward priority filter - 1; policy accept;
                    iifname "\(bridge)" goto outward
                    oifname "\(bridge)" goto inward
                }
                chain outward {
                    ct state established,related accept
                    meta nfproto ipv6 counter drop
                    ip saddr != \(subnet.container) counter drop
                    \(opened)ip daddr { \(Self.denied.joined(separator: ", ")) } counter drop
                    \(mail)counter accept
                }
                chain inward {
                    ct state established,related accept
                    counter drop
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

    /// Takes the table away, if it is there; and the one that an earlier version of this program made for IPv4 alone.
    private static func removal(of table: String) -> String {
        ["inet", "ip"].map { "table \($0) \(table)\ndelete table \($0) \(table)" }.joined(separator: "\n")
    }

    /// The programs that raise the fence, in order; each may run again. Walls come before the bridge is up. The bridge has no IPv6 address.
    public var raising: [Command] {
        var commands = usesNftables ? [Command(["nft", "-f", "-"], input: Array(rules.utf8))] : []
        if !Files.exists("/sys/class/net/" + bridge) { commands.append(Command(["ip", "link", "add", bridge, "type", "bridge"])) }
        commands.append(Command(["ip", "link", "set", bridge, "addrgenmode", "none"]))
        commands.append(Command(["ip", "address", "replace", subnet.gateway + "/30", "dev", bridge]))
        commands.append(Command(["ip", "link", "set", bridge, "up"]))
        return commands
    }

    /// The program that prints the rules as they stand, without what changes by itself; nil where there are none to look at.
    public var looking: Command? {
        usesNftables ? Command(["nft", "--stateless", "list", "table", "inet", table]) : nil
    }

    /// The programs that take it away; nothing of it may be missed.
    public var lowering: [Command] {
        var commands: [Command] = []
        if Files.exists("/sys/class/net/" + bridge) { commands.append(Command(["ip", "link", "delete", bridge])) }
        if usesNftables { commands.append(Command(["nft", "-f", "-"], input: Array((Self.removal(of: table) + "\n").utf8))) }
        return commands
    }
}
