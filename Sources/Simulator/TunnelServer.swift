import Protocol

/// The tunnel host's sshd: which ports are listened on, and for whom.
final class TunnelServer {
    /// One connection of a device.
    struct Connection: Equatable {
        let number: Int
        let device: Int
        let lease: LeaseID
        let ports: ForwardPorts
    }

    private(set) var connections: [Connection] = []
    /// Ports that somebody else's program holds.
    private var foreign: Set<Int64> = []
    private var drawn = 0
    var isUp = true

    func isFree(_ port: Int64) -> Bool { !foreign.contains(port) && !connections.contains { $0.ports.all.contains(port) } }

    /// Listens on three ports for a device; nil where one is taken.
    func connect(_ device: Int, _ lease: LeaseID, _ ports: ForwardPorts) -> Int? {
        guard isUp, ports.all.allSatisfy({ isFree($0) }) else { return nil }
        drawn += 1
        connections.append(Connection(number: drawn, device: device, lease: lease, ports: ports))
        return drawn
    }

    func close(_ number: Int?) { connections.removeAll { $0.number == number } }

    func has(_ number: Int?) -> Bool { connections.contains { $0.number == number } }

    /// Who is reached at a port.
    func holder(of port: Int64) -> Connection? { connections.first { $0.ports.all.contains(port) } }

    /// It ends with all its sessions.
    func end() {
        isUp = false
        connections = []
    }

    func occupy(_ port: Int64) { if isFree(port) { foreign.insert(port) } }

    func vacate(_ port: Int64) { foreign.remove(port) }

    func becomeWhole() {
        isUp = true
        foreign = []
    }
}
