import GovernorCore
import MarketCore
import Protocol

/// What a device says to the market.
enum Request {
    case register(RegisterRequest)
    case checkIn(CheckInRequest)
    case waiting(WaitRequest)
    case receipt(Receipt)
}

/// What comes back.
enum Answer {
    case registered(RegisterAnswer)
    case checkedIn(CheckInAnswer)
    case waited(WaitAnswer)
    case received(ReceiptAnswer)
    case refused(Refusal)
    case failed(String)
}

/// What lies between a device and the market: it loses, doubles, delays and reorders, and brings answers from the past.
extension Universe {
    /// Milliseconds after which a device gives up waiting for an answer.
    private static let limit: Int64 = 30_000

    /// Sends a request; `hear` gets the answer, or that there was none. It is called once.
    func send(_ request: Request, from device: Device, _ hear: @escaping (Answer) -> Void) {
        let there = chance.of(10...300)
        if chance.per(mille: faults.lost) {
            say("network", "loses a request of device \(device.number)")
            return after(Self.limit) { hear(.failed("timeout")) }
        }
        if chance.per(mille: faults.doubled) {
            after(there + chance.of(1...90_000)) { [self] in _ = reach(request, device) }
        }
        if chance.per(mille: faults.slow) {
            // The device gives up; the market hears it all the same, later than what comes after it.
            after(chance.of(Self.limit...3 * Self.limit)) { [self] in _ = reach(request, device) }
            return after(Self.limit) { hear(.failed("timeout")) }
        }
        after(there) { [self] in
            let answer = reach(request, device)
            if chance.per(mille: faults.lost) {
                say("network", "loses an answer to device \(device.number)")
                return after(Self.limit) { hear(.failed("timeout")) }
            }
            let told = disturbed(answer, device)
            after(chance.of(10...300)) { hear(told) }
        }
    }

    private func reach(_ request: Request, _ device: Device) -> Answer {
        guard market.isUp else { return .failed("connection refused") }
        let answer = market.answer(request, from: device.id, in: self)
        promises.look(at: self)
        return answer
    }

    /// An answer from the past in place of this one, or one of a market whose clock lies.
    private func disturbed(_ answer: Answer, _ device: Device) -> Answer {
        guard case .checkedIn(let now) = answer else { return answer }
        if chance.per(mille: faults.stale) {
            say("network", "device \(device.number) gets an answer from the past")
            // The seal covers a number that is new in every request: what belongs to another request is no answer to this one.
            return .failed("status 200 without the market's seal")
        }
        if chance.per(mille: faults.lies), let terms = lying(now.terms, to: device) {
            say("network", "device \(device.number) gets a lie: time \(terms.time.seconds), \(terms.state.rawValue)")
            return .checkedIn(CheckInAnswer(terms: terms))
        }
        return answer
    }

    /// A market with a broken clock. It never says the same wrong time twice (an hour earlier each time, while ours goes on), and that a lease
    /// is over only of one that the device knows to be rented: nobody could tell these from the truth.
    private func lying(_ terms: LeaseTerms, to device: Device) -> LeaseTerms? {
        var lie = terms
        lies += 1
        lie.time = UnixTime(2_147_483_648 - lies * 3_600)
        switch chance.below(4) {
        case 3:
            // Behind, for this answer or for many: a server whose clock is not set yet.
            lie.time = UnixTime(terms.time.seconds - chance.of(100...90_000))
            return lie
        case 0: return lie
        case 1 where device.knowsRental:
            lie.state = .ended
            return lie
        case 2 where terms.expires != nil && device.knowsRental:
            (lie.time, lie.expires) = (terms.time, terms.expires.map { UnixTime($0.seconds - 1_800) })
            return lie
        default: return nil
        }
    }
}
