import Protocol

// Port control. The ledger keeps the free ports of each tunnel host in a line: who leaves goes to its end, who needs ports takes from its
// front. So taking is a look-up, whatever the size of the range, and a port that a former renter's friends still call rests longest.
extension Market {
    /// How many held ports one allocation looks past before it gives up. Each one it met goes to the end of the line.
    static var patience: Int { 1_024 }

    /// Three free ports on the tunnel host that has most room, for the caller to claim. Refused: no host has three free ports.
    func findPorts() throws(MarketError) -> (host: String, ports: ForwardPorts) {
        let hosts = try store.tunnelHosts()
        guard !hosts.isEmpty else {
            throw .refused(.unavailable, "the market has no tunnel host yet; its operator adds one with: market tunnel add")
        }
        for host in hosts where host.free >= 3 {
            if let ports = try freeTriple(on: host) { return (host.host, ports) }
        }
        throw .refused(.unavailable, "no tunnel host has three free ports; come again later")
    }

    /// The three ports that have been free longest and that no program holds; nil where there are not three.
    private func freeTriple(on host: TunnelHost) throws(MarketError) -> ForwardPorts? {
        var found: [Int64] = []
        var met: [Int64] = []
        while met.count < Self.patience {
            let line = try store.freePorts(on: host.host, limit: found.count + 3)
            var isNew = false
            for port in line where !found.contains(port) {
                // The line has come round: every free port was looked at.
                if met.contains(port) { return nil }
                isNew = true
                if world.isFree(port, on: host) {
                    found.append(port)
                    if found.count == 3 { return ForwardPorts(ssh: found[0], http: found[1], https: found[2]) }
                } else {
                    met.append(port)
                    world.note(.portTaken(host.host, port))
                    try store.postpone(port, on: host.host)
                }
            }
            if !isNew { return nil }
        }
        return nil
    }

    /// Adds a tunnel host, or changes one: its range may only grow, for leases have ports in it.
    public func setTunnelHost(_ host: TunnelHost) throws(MarketError) {
        try check(host)
        try store.atomically { () throws(MarketError) in
            if let known = try store.tunnelHost(host.host) {
                guard host.range.contains(known.range.lowerBound), host.range.contains(known.range.upperBound) else {
                    throw .refused(
                        .conflict, "the range of \(host.host) can only grow; it is \(known.range.lowerBound)-\(known.range.upperBound)")
                }
            }
            try store.setTunnelHost(host)
        }
    }

    private func check(_ host: TunnelHost) throws(MarketError) {
        guard isHostName(host.host), isHostName(host.bind) else {
            throw .refused(.badRequest, "host and bind are names or addresses")
        }
        guard (1...65_535).contains(host.sshPort), isUserName(host.user) else {
            throw .refused(.badRequest, "a tunnel host has an ssh port of 1 to 65535 and a user name")
        }
        guard isEd25519Key(host.hostKey) else {
            throw .refused(.badRequest, "the host key is \"ssh-ed25519 \" and 68 base64 characters, as in ssh_host_ed25519_key.pub")
        }
        guard ForwardPorts.range.contains(host.range.lowerBound), ForwardPorts.range.contains(host.range.upperBound),
            host.range.count >= 3, !host.range.contains(host.sshPort)
        else {
            throw .refused(.badRequest, "the ports are at least three of 1024 to 65535, and sshd's own port is not among them")
        }
    }
}
