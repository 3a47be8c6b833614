import MarketCore
import Protocol

extension Database {
    /// Adds a tunnel host with all its ports, or writes it anew and adds the ports that are new.
    public func setTunnelHost(_ host: TunnelHost) throws(MarketError) {
        let (first, last) = (host.range.lowerBound, host.range.upperBound)
        try connection.run(
            .setHost,
            [
                .text(host.host), .integer(host.sshPort), .text(host.user), .text(host.hostKey), .text(host.bind), .integer(first),
                .integer(last), .integer(host.isLocal ? 1 : 0),
            ])
        try connection.run(.addPorts, [.text(host.host), .integer(first), .integer(last)])
        try connection.run(.countFree, [.text(host.host)])
    }

    /// A tunnel host by its name.
    public func tunnelHost(_ host: String) throws(MarketError) -> TunnelHost? {
        var found: TunnelHost?
        try connection.read(.host, [.text(host)]) { row throws(MarketError) in found = try row.tunnelHost() }
        return found
    }

    /// The tunnel hosts, the one with the most free ports first.
    public func tunnelHosts() throws(MarketError) -> [TunnelHost] {
        var found: [TunnelHost] = []
        try connection.read(.hosts, []) { row throws(MarketError) in found.append(try row.tunnelHost()) }
        return found
    }

    /// Ports that nobody has, at most `limit`, the one that has been free longest first.
    public func freePorts(on host: String, limit: Int) throws(MarketError) -> [Int64] {
        var found: [Int64] = []
        try connection.read(.freePorts, [.text(host), .integer(Int64(limit))]) { row in found.append(row.integer(0)) }
        return found
    }

    /// Moves a free port to the end of that line.
    public func postpone(_ port: Int64, on host: String) throws(MarketError) {
        try connection.run(.nextTurn, [.text(host)])
        try connection.run(.postpone, [.text(host), .integer(port)])
    }

    /// Gives three free ports to a lease. `.failed` where one is not free: two leases on one port must be impossible.
    public func claim(_ ports: ForwardPorts, on host: String, for lease: LeaseID) throws(MarketError) {
        try connection.run(.claim, three(ports, on: host) + [.text(lease.text)])
        guard connection.changes == 3 else {
            throw .failed(LedgerError(0, "database: a port for lease " + lease.text + " is not free"))
        }
        try connection.run(.counted, [.text(host), .integer(-3)])
    }

    /// Frees three ports; they go to the end of the line.
    public func release(_ ports: ForwardPorts, on host: String) throws(MarketError) {
        try connection.run(.nextTurn, [.text(host)])
        try connection.run(.free, three(ports, on: host))
        try connection.run(.counted, [.text(host), .integer(Int64(connection.changes))])
    }

    private func three(_ ports: ForwardPorts, on host: String) -> [Value] {
        [.text(host), .integer(ports.ssh), .integer(ports.http), .integer(ports.https)]
    }
}
