import GovernorCore
import MarketCore
import Protocol

/// What Sublet promises, held against the truth: what lies on the drives and what was sold, whatever device and market believe.
struct Promises {
    /// What a renter paid for.
    struct Sale {
        let device: DeviceID
        let password: Secret
        /// When it ends, by what the renter was told last.
        var end: UnixTime
        /// When it ends, by what the device has been told: an extension can't reach a device whose market is away until then.
        var heard: UnixTime
        /// Whether it was ended before that, by somebody who may.
        var isEnded = false
    }

    /// The first promise that was broken, nil while all hold.
    private(set) var broken: String?
    private var sales: [LeaseID: Sale] = [:]
    private var looks = 0

    mutating func breaks(_ what: String) { if broken == nil { broken = what } }

    private mutating func promise(_ holds: Bool, _ what: @autoclosure () -> String) { if !holds { breaks(what()) } }

    // MARK: What is sold

    mutating func sold(_ rental: Rental) {
        promise(sales[rental.lease] == nil, "lease \(rental.lease.text) is sold twice")
        promise(!sales.values.contains { $0.password == rental.password }, "a password is given twice")
        sales[rental.lease] = Sale(device: rental.device, password: rental.password, end: rental.expires, heard: rental.expires)
    }

    mutating func extended(_ lease: LeaseRecord, by seconds: Int64, forgetful: Bool) {
        guard let expires = lease.expires, let sale = sales[lease.id] else { return }
        promise(forgetful || expires.seconds == sale.end.seconds + seconds, "lease \(lease.id.text) is extended by less than was paid")
        sales[lease.id]?.end = max(sale.end, expires)
    }

    /// A device has taken an answer in, and lives. One with a wrong time it need not believe.
    mutating func heard(_ terms: LeaseTerms, at now: UnixTime) {
        guard terms.state == .rented, abs(terms.time.seconds - now.seconds) < 60, let told = terms.expires, let sale = sales[terms.lease]
        else { return }
        sales[terms.lease]?.heard = max(sale.heard, min(told, sale.end))
    }

    /// The market fell back to a backup: what it forgot before the device heard of it nobody knows any more but the renter. A renter who was
    /// told more than his device was has no claim to that.
    mutating func forgotten(by devices: [Device]) {
        for (lease, sale) in sales {
            let known = devices.compactMap { $0.card.journal }.filter { $0.lease == lease && $0.rented }.compactMap { $0.expires }.max()
            sales[lease] = known.map { known in
                var kept = sale
                (kept.end, kept.heard) = (min(sale.end, known), min(sale.heard, known))
                return kept
            }
        }
    }

    mutating func ended(_ lease: LeaseID) { sales[lease]?.isEnded = true }

    /// Whether a renter has a claim to a lease now.
    private func isAlive(_ lease: LeaseID, _ now: UnixTime) -> Bool {
        guard let sale = sales[lease] else { return false }
        return !sale.isEnded && now < sale.heard
    }

    // MARK: 1. A renter's data outlives everything but the lease

    mutating func losesKey(_ device: Device, _ how: String) {
        guard let lease = device.card.key else { return }
        promise(!isAlive(lease, device.universe.time), "device \(device.number) \(how) of lease \(lease.text), which is rented")
        guard let sale = sales[lease], !sale.isEnded, device.universe.time < sale.end else { return }
        // Extended while the device could not hear it, and over before it could: nobody can keep that.
        sales[lease]?.isEnded = true
    }

    mutating func erases(_ stick: Stick, by device: Device) {
        guard case .lease(let lease) = stick.content else { return }
        // A copied card may have had the lease, and its drive; what counts is who has the data.
        promise(!isAlive(lease, device.universe.time), "device \(device.number) erases lease \(lease.text), which is rented")
    }

    // MARK: 2. A lease's data outlives nothing

    mutating func registers(_ device: Device) {
        promise(device.chosen?.content == .clean, "device \(device.number) registers a drive that is not clean")
    }

    mutating func formats(_ stick: Stick, by device: Device) {
        promise(stick.content == .clean, "device \(device.number) formats what is not clean: \(stick.content)")
    }

    mutating func starts(_ lease: LeaseID, on stick: Stick?, by device: Device) {
        promise(
            stick?.content == .lease(lease) || stick?.content == .formatted(lease),
            "device \(device.number) starts lease \(lease.text) over something else")
        promise(device.card.key == lease, "device \(device.number) starts lease \(lease.text) without its key")
    }

    mutating func proves(_ lease: LeaseID, _ device: Device) {
        promise(
            !device.sticks.contains { $0.content == .lease(lease) },
            "device \(device.number) proves that lease \(lease.text) is gone, and it is not")
    }

    /// A drive that is away, and with it whatever was on it, is held open for nobody; but for a lease that lives, which the device may still
    /// find in its place.
    private mutating func closes(_ device: Device) {
        guard let journal = device.life?.journal, journal.stage != .live, device.isAtRest else { return }
        promise(device.mounted == nil && device.container == nil, "device \(device.number) holds a drive open that is away")
    }

    // MARK: Ports and visits

    /// A renter looks whether the machine behind his port is his own.
    mutating func visit(_ device: Device, in universe: Universe) {
        let alive = sales.filter { $0.value.device == device.id && isAlive($0.key, universe.time) }
        for (lease, _) in alive {
            guard let record = universe.market.ledger.contents.leases[lease], record.state == .rented,
                let holder = universe.tunnels.holder(of: record.ports.ssh)
            else { continue }
            promise(
                holder.lease == lease || universe.market.hasForgotten, "the port of lease \(lease.text) leads to lease \(holder.lease.text)"
            )
        }
    }

    /// Now and then: the books of the market are right.
    mutating func look(at universe: Universe) {
        looks += 1
        for device in universe.devices { closes(device) }
        if looks % 32 == 0 { audit(universe) }
    }

    /// Every running lease has its three ports, no port has two leases, none is lost; nothing that is sold was ended before its time.
    mutating func audit(_ universe: Universe) {
        let books = universe.market.ledger.contents
        let line = books.lines[MarketSide.host] ?? []
        let taken = books.taken[MarketSide.host] ?? [:]
        promise(line.count + taken.count == 18 && Set(line).isDisjoint(with: taken.keys), "ports are lost or doubled")
        var held = 0
        for (id, lease) in books.leases where lease.state != .ended {
            promise(lease.ports.all.allSatisfy { taken[$0] == id }, "lease \(id.text) has a port of another")
            held += 3
        }
        promise(held == taken.count, "ports belong to leases that are over")
        guard !universe.market.hasForgotten else { return }
        for (id, sale) in sales where !sale.isEnded && universe.time < sale.end {
            guard let lease = books.leases[id] else { return breaks("the market does not know lease \(id.text)") }
            promise(lease.state == .rented && lease.expires == sale.end, "lease \(id.text) is \(lease.state.rawValue) in its time")
        }
    }
}
