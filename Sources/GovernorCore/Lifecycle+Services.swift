import Protocol

// The container and the tunnel: they mend themselves and tell how they are.
extension Lifecycle {
    mutating func containerUp(at now: Instant) {
        guard isServed, tenancy?.containerIsUp == false else { return }
        note(.containerUp)
        changeTenancy {
            $0.containerIsUp = true
            $0.fault = nil
        }
        settle(at: now)
    }

    mutating func containerDown(_ reason: String, at now: Instant) {
        guard isServed else { return }
        note(.containerDown, ["reason": reason])
        changeTenancy {
            $0.containerIsUp = false
            $0.fault = "container-down"
        }
        contact.soon(at: now)
    }

    mutating func tunnelUp(at now: Instant) {
        guard isServed, let tenancy, tenancy.tunnel != .up else { return }
        note(.tunnelUp, ["ssh-port": "\(tenancy.target.ports.ssh)"])
        changeTenancy { $0.tunnel = .up }
        settle(at: now)
    }

    mutating func tunnelDown(_ reason: String, refused: Bool, at now: Instant) {
        guard isServed else { return }
        note(refused ? .tunnelRefused : .tunnelDown, ["reason": reason])
        let before = tenancy?.tunnel
        changeTenancy { $0.tunnel = refused ? .refused : .down }
        // Tries that fail the same way again are no news for the market.
        if before != tenancy?.tunnel { contact.soon(at: now) }
    }

    /// Whether container and tunnel belong to the state at all; what they say in another is old.
    public var isServed: Bool {
        switch state {
        case .building, .offered, .leased: true
        case .waiting, .registering, .preparing, .suspended, .erasing, .quarantined: false
        }
    }

    /// Both up: the device is offered. A rented one tells the market at once that it is whole again.
    private mutating func settle(at now: Instant) {
        guard let tenancy, tenancy.containerIsUp, tenancy.tunnel == .up else { return }
        if case .building = state {
            state = journal.rented ? .leased(tenancy) : .offered(tenancy)
            note(.offered)
        }
        contact.soon(at: now)
    }
}
