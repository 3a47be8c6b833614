import Protocol

/// What a renter is told, once.
public struct Rental: Equatable, Sendable {
    /// The lease.
    public let lease: LeaseID
    /// The device.
    public let device: DeviceID
    /// The machine to connect to.
    public let host: String
    /// The ports there.
    public let ports: ForwardPorts
    /// The user name.
    public let user: String
    /// The password. The market forgets it with this answer.
    public let password: Secret
    /// When the lease ends.
    public let expires: UnixTime
    /// How the device keeps the renter's data; nil where it has not said.
    public let encryption: Encryption?
}

extension Market {
    /// Rents the lease that a device offers, for `seconds` from now. Refused, with a sentence that says why: nothing is offered, the device
    /// isn't ready or hasn't been heard of lately, a bad duration (1 s to 400 days) or key.
    public func rent(
        _ device: DeviceRecord, seconds: Int64, sshKeys: [String], at now: UnixTime
    ) throws(MarketError) -> Rental {
        guard (1...UnixTime.longestLease).contains(seconds) else {
            throw .refused(.badRequest, "a lease lasts from one second to 400 days")
        }
        try check(sshKeys)
        return try store.atomically { () throws(MarketError) in
            var lease = try rentable(device, at: now)
            guard let password = lease.account.password else {
                throw .failed(LedgerError(0, "lease \(lease.id.text) is offered, but its password is gone"))
            }
            let expires = UnixTime(now.seconds + seconds)
            lease.rent(until: expires, sshKeys: sshKeys, passwordHash: try Credentials.hash(password, from: world))
            try store.updateLease(lease)
            world.note(.rented(lease.id, device.id, until: expires))
            return Rental(
                lease: lease.id, device: device.id, host: lease.host, ports: lease.ports, user: lease.account.user, password: password,
                expires: expires, encryption: device.hardware?.encryption)
        }
    }

    /// To be called when the market begins to serve: what it knows of its devices may come from a backup, and a lease that was sold after it
    /// must not be sold again, with the same password. So nothing is rented out before its device was heard anew.
    public func reopen() throws(MarketError) {
        try store.atomically { () throws(MarketError) in
            var offered: [LeaseRecord] = []
            try store.eachDevice { _, lease in if let lease, lease.state == .offered { offered.append(lease) } }
            for lease in offered {
                var sighting = lease.sighting
                sighting.tunnel = .down
                try store.setSighting(sighting, of: lease.id)
            }
        }
    }

    private func check(_ sshKeys: [String]) throws(MarketError) {
        guard sshKeys.count <= 16 else { throw .refused(.badRequest, "at most 16 ssh keys") }
        for key in sshKeys where !isPublicKeyLine(key) || !(40...8_192).contains(key.utf8.count) {
            throw .refused(.badRequest, "an ssh key is one line of a .pub file: a type, base64 and a comment")
        }
    }

    /// The device's lease, if somebody can rent it right now.
    private func rentable(_ device: DeviceRecord, at now: UnixTime) throws(MarketError) -> LeaseRecord {
        guard var lease = try store.latestLease(of: device.id) else {
            throw .refused(.conflict, "device \(device.name) has not registered yet")
        }
        try settle(&lease, at: now)
        switch lease.state {
        case .offered: break
        case .rented: throw .refused(.conflict, "device \(device.name) is rented until \(lease.expires?.seconds ?? 0)")
        case .ended: throw .refused(.conflict, "device \(device.name) ended its last lease and has not offered another yet")
        }
        let seen = lease.sighting
        guard seen.phase == .offered else {
            throw .refused(.conflict, "device \(device.name) isn't ready: it is \(seen.phase.rawValue)")
        }
        guard seen.tunnel == .up else { throw .refused(.conflict, "the tunnel of device \(device.name) is \(seen.tunnel.rawValue)") }
        let silence = now.seconds - seen.seen.seconds
        guard silence <= (try store.rules().freshSeconds) else {
            throw .refused(.conflict, "device \(device.name) has been silent for \(silence) seconds")
        }
        return lease
    }

    /// Moves the end of a rented lease `seconds` further. Refused: it isn't rented, ends within seconds, or would end more than 400 days
    /// from now.
    public func extend(_ device: DeviceRecord, seconds: Int64, at now: UnixTime) throws(MarketError) -> LeaseRecord {
        guard (1...UnixTime.longestLease).contains(seconds) else {
            throw .refused(.badRequest, "a lease is extended by one second to 400 days")
        }
        return try store.atomically { () throws(MarketError) in
            guard var lease = try store.latestLease(of: device.id) else {
                throw .refused(.conflict, "device \(device.name) has no lease")
            }
            try settle(&lease, at: now)
            guard lease.state == .rented, let expires = lease.expires else {
                throw .refused(.conflict, "the lease of device \(device.name) is \(lease.state.rawValue), not rented")
            }
            let left = expires.seconds - now.seconds
            guard left > (try store.rules().lastCallSeconds) else {
                throw .refused(
                    .conflict, "the lease of device \(device.name) ends in \(left) s: the device may not hear of an extension in time")
            }
            let later = UnixTime(expires.seconds + seconds)
            guard later.seconds <= now.seconds + UnixTime.longestLease else {
                throw .refused(.badRequest, "a lease ends at most 400 days from now")
            }
            lease.extend(until: later)
            try store.updateLease(lease)
            world.note(.extended(lease.id, device.id, until: later))
            return lease
        }
    }

    /// Ends the device's lease now. Refused: it has none that runs.
    public func end(_ device: DeviceRecord, at now: UnixTime) throws(MarketError) -> LeaseRecord {
        try store.atomically { () throws(MarketError) in
            guard var lease = try store.latestLease(of: device.id), lease.state != .ended else {
                throw .refused(.conflict, "device \(device.name) has no lease that runs")
            }
            // One whose time was up is noted as expired: that is what the renter was promised.
            if lease.isOverdue(at: now) { try settle(&lease, at: now) } else { try end(&lease, .ended, at: now) }
            return lease
        }
    }
}
