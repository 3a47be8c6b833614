import Protocol

extension Market {
    /// `check-in`: a device lives, and learns the terms of its lease as they stand.
    /// Refused: no such lease, or it is another device's.
    public func checkIn(_ request: CheckInRequest, from device: DeviceID, at now: UnixTime) throws(MarketError) -> CheckInAnswer {
        try store.atomically { () throws(MarketError) in
            guard var lease = try store.lease(request.lease), lease.device == device else {
                throw .refused(Refusal(.notFound, "this device has no lease \(request.lease.text)", time: now))
            }
            try settle(&lease, at: now)
            if !lease.sighting.isLater(than: request, at: now) {
                lease.sighting = lease.sighting.after(request, at: now)
                if try needsOtherPorts(lease, at: now) { try move(&lease) }
                try store.setSighting(lease.sighting, of: lease.id)
            }
            return CheckInAnswer(terms: try terms(lease, at: now))
        }
    }

    /// `waiting`: a device without a lease tells why it asks for none. It says nothing about any lease.
    public func note(_ request: WaitRequest, from id: DeviceID, at now: UnixTime) throws(MarketError) -> WaitAnswer {
        try store.atomically { () throws(MarketError) in
            guard var device = try store.device(id) else { throw .refused(Self.unauthorized) }
            if device.waiting?.reason != request.reason { world.note(.waiting(id, request.reason)) }
            device.waiting = DeviceRecord.Waiting(reason: request.reason, told: now)
            try store.updateDevice(device)
            return WaitAnswer(time: now, checkInSeconds: try store.rules().checkInSeconds)
        }
    }

    private func needsOtherPorts(_ lease: LeaseRecord, at now: UnixTime) throws(MarketError) -> Bool {
        guard lease.state != .ended, let since = lease.sighting.refusedSince else { return false }
        return now.seconds - since.seconds >= (try store.rules().refusedSeconds)
    }

    /// Gives the lease other ports. Where there are none it keeps the old ones: a device must hear its terms whatever the ports do.
    private func move(_ lease: inout LeaseRecord) throws(MarketError) {
        let (oldHost, oldPorts) = (lease.host, lease.ports)
        let place: (host: String, ports: ForwardPorts)
        do throws(MarketError) { place = try findPorts() } catch {
            guard case .refused(let refusal) = error else { throw error }
            world.note(.stuck(lease.id, lease.device, refusal.message))
            return
        }
        lease.move(to: place.host, place.ports)
        try store.claim(place.ports, on: place.host, for: lease.id)
        try store.release(oldPorts, on: oldHost)
        try store.updateLease(lease)
        world.note(.moved(lease.id, lease.device, from: oldPorts, to: place.ports))
    }

    /// Ends every lease whose time is up, at most `limit` in one transaction; answers how many there were.
    public func sweep(at now: UnixTime, limit: Int = 1_000) throws(MarketError) -> Int {
        // Looked up outside a transaction first: in most sweeps there is nothing, and nothing needs no lock.
        guard try !store.overdueLeases(at: now, limit: 1).isEmpty else { return 0 }
        return try store.atomically { () throws(MarketError) in
            let overdue = try store.overdueLeases(at: now, limit: limit)
            for lease in overdue {
                var lease = lease
                try settle(&lease, at: now)
            }
            return overdue.count
        }
    }
}
