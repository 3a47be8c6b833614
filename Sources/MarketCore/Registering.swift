import Protocol

extension Market {
    /// `register`: a device asks for a lease. The same id again gives the same answer, whatever became of the first answer.
    /// Refused: the id or the key is another device's; the device's earlier lease is rented; no port is free.
    public func register(
        _ request: RegisterRequest, from id: DeviceID, at now: UnixTime
    ) throws(MarketError) -> RegisterAnswer {
        try store.atomically { () throws(MarketError) in
            try meet(request, from: id)
            var lease = try knownOrNew(request.lease, of: id, at: now)
            try settle(&lease, at: now)
            let password = lease.account.password
            return RegisterAnswer(
                terms: try terms(lease, at: now), account: password.map { Account(user: lease.account.user, password: $0) })
        }
    }

    /// Keeps what the device says of itself.
    private func meet(_ request: RegisterRequest, from id: DeviceID) throws(MarketError) {
        guard let device = try store.device(id) else { throw .refused(Self.unauthorized) }
        if let holder = try store.device(holding: request.tunnelKey), holder.id != id {
            throw .refused(.conflict, "the tunnel key belongs to another device; was the card copied?")
        }
        var met = device
        met.tunnelKey = request.tunnelKey
        met.governor = request.governor
        met.hardware = request.hardware
        met.waiting = nil
        if met != device { try store.updateDevice(met) }
    }

    private func knownOrNew(_ id: LeaseID, of device: DeviceID, at now: UnixTime) throws(MarketError) -> LeaseRecord {
        guard let lease = try store.lease(id) else { return try offer(id, from: device, at: now) }
        guard lease.device == device else { throw .refused(.conflict, "lease \(id.text) is another device's") }
        return lease
    }

    /// A new lease, in the place of the earlier one if nobody has rented that.
    private func offer(_ id: LeaseID, from device: DeviceID, at now: UnixTime) throws(MarketError) -> LeaseRecord {
        if let earlier = try endOffer(of: device, .replaced, at: now), let expires = earlier.expires {
            throw .refused(.conflict, "lease \(earlier.id.text) is rented until \(expires.seconds); end it before registering another")
        }
        let place = try findPorts()
        let account = try Credentials.account(from: world)
        let lease = LeaseRecord(offering: id, device: device, account: account, host: place.host, ports: place.ports, at: now)
        try store.addLease(lease)
        try store.claim(place.ports, on: place.host, for: id)
        world.note(.registered(id, device, try store.device(device)?.hardware?.encryption))
        return lease
    }
}
