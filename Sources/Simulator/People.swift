import GovernorCore
import MarketCore
import Protocol

/// The renters, the operator, and whoever pulls plugs.
extension Universe {
    func beginLife() {
        after(chance.of(1_000...300_000)) { [self] in
            act()
            beginLife()
        }
    }

    /// Somebody looks at the listing and rents, extends, ends or visits a machine. The operator's commands need no server, only the ledger.
    private func act() {
        guard market.isUp else { return }
        let device = devices[chance.place(in: devices.count)]
        do throws(MarketError) {
            guard let record = try market.ledger.device(device.id) else { return }
            switch chance.below(isCalm ? 10 : 16) {
            case 10, 11: try extend(record)
            case 12 where chance.once(in: 4): try end(record)
            case 13, 14, 15: promises.visit(device, in: self)
            default: try rent(record)
            }
        } catch {
            if case .failed(let failure) = error { promises.breaks("the market's ledger: " + failure.message) }
        }
        promises.look(at: self)
    }

    private func rent(_ record: DeviceRecord) throws(MarketError) {
        let seconds = chance.once(in: 8) ? chance.of(7_200...100_000) : chance.of(60...5_400)
        let rental = try market.rules.rent(record, seconds: seconds, sshKeys: [], at: time)
        rented += 1
        say("renter", "rents lease \(rental.lease.text) for \(seconds) s")
        promises.sold(rental)
    }

    private func extend(_ record: DeviceRecord) throws(MarketError) {
        let seconds = chance.of(60...7_200)
        let lease = try market.rules.extend(record, seconds: seconds, at: time)
        say("renter", "extends lease \(lease.id.text) to \(lease.expires?.seconds ?? 0)")
        promises.extended(lease, by: seconds, forgetful: market.hasForgotten)
    }

    private func end(_ record: DeviceRecord) throws(MarketError) {
        let lease = try market.rules.end(record, at: time)
        say("operator", "ends lease \(lease.id.text)")
        promises.ended(lease.id)
    }

    // MARK: Mishaps

    func beginMishaps() {
        every(faults.powerCut) { $0.cutPower() }
        every(faults.kill) { $0.kill() }
        every(faults.pull) { [self] device in
            let stick = device.sticks[chance.place(in: 2)]
            if stick.isPlugged { device.pull(stick) } else { device.plug(stick) }
        }
        every(faults.swap) { [self] device in
            guard let out = device.sticks.firstIndex(where: { $0.isPlugged }) else { return device.plug(device.sticks[0]) }
            device.pull(device.sticks[out])
            let next = device.sticks[1 - out]
            after(chance.of(0...20_000)) { device.plug(next) }
        }
        every(faults.containerEnds) { $0.endContainer() }
        every(faults.tunnelBreaks) { $0.breakTunnel() }
        every(faults.sickDrive) { [self] device in
            if device.mounted != nil { device.feed(.driveHealth(DriveHealth.allCases[chance.place(in: DriveHealth.allCases.count)])) }
        }
        every(faults.marketDown) { [self] _ in marketGoes(for: chance.of(1_000...4_000_000)) }
        every(faults.tunnelServerDown) { [self] _ in
            say("tunnel server", "ends")
            tunnels.end()
            after(chance.of(1_000...600_000)) { [self] in tunnels.isUp = true }
        }
        every(faults.foreignPort) { [self] _ in
            let port = chance.of(20_000...20_017)
            tunnels.occupy(port)
            after(chance.of(60_000...3_600_000)) { [self] in tunnels.vacate(port) }
        }
        beginBackups()
    }

    private func marketGoes(for milliseconds: Int64) {
        guard market.isUp else { return }
        say("market", "goes down")
        market.isUp = false
        after(milliseconds) { [self] in
            say("market", "is back")
            market.start(in: self)
        }
    }

    private func beginBackups() {
        guard faults.rollback > 0 else { return }
        let age = chance.of(60_000...20_000_000)
        every(faults.rollback) { [self] _ in
            market.keepBackup()
            after(age) { [self] in
                guard !isCalm, market.isUp, market.fallBack() else { return }
                say("operator", "restores a backup of \(age / 1_000) s ago")
                promises.forgotten(by: devices)
                marketGoes(for: chance.of(10_000...600_000))
            }
        }
    }

    /// Does something to one of the devices, on average so often, until the faults are over.
    private func every(_ seconds: Int64, _ happen: @escaping (Device) -> Void) {
        guard seconds > 0, !isCalm else { return }
        after(chance.of(0...2_000 * seconds)) { [self] in
            guard !isCalm else { return }
            happen(devices[chance.place(in: devices.count)])
            every(seconds, happen)
        }
    }
}
