import Protocol

// What is said to the market and what is believed of its answers.
extension Lifecycle {
    /// Sends the message that is due in this state.
    mutating func makeContact(at now: Instant) {
        switch state {
        case .registering:
            guard let lease = journal.lease, !contact.isUnderWay else { return }
            contact.send()
            act(.register(lease))
        case .erasing, .quarantined:
            guard let lease = journal.lease, journal.stage != .cleaning, let phase else { return contact.rest() }
            contact.send()
            checkIn(lease, phase, .down, fault: nil)
        case .waiting(held: nil):
            guard drive == nil, let wanted else { return contact.rest() }
            contact.send()
            act(.tellWaiting(wanted))
        default:
            guard let tenancy, let phase else { return contact.rest() }
            contact.send()
            checkIn(tenancy.lease, phase, tenancy.tunnel, fault: tenancy.toldFault)
        }
    }

    /// What an earlier start has said may still be on its way; the market must know which is the later word.
    private mutating func checkIn(_ lease: LeaseID, _ phase: DevicePhase, _ tunnel: TunnelState, fault: String?) {
        if !isCounted { write { $0.starts += 1 } }
        isCounted = true
        act(.checkIn(lease, phase: phase, tunnel: tunnel, fault: fault))
    }

    /// Without a lease the market hears only why.
    mutating func driveWanted(_ reason: String, at now: Instant) {
        guard wanted != reason else { return }
        wanted = reason
        if case .waiting(held: nil) = state, drive == nil { contact.soon(at: now) }
    }

    mutating func waitingHeard(checkInSeconds: Int64, at now: Instant) {
        guard case .waiting(held: nil) = state, contact.isUnderWay else { return }
        contact.interval = checkInSeconds
        contact.succeed(at: now, before: nil)
    }

    mutating func waitingUnheard(_ reason: String, at now: Instant) {
        if case .waiting(held: nil) = state { checkInFailed(reason, at: now) }
    }

    mutating func leaseDrawn(_ lease: LeaseID, at now: Instant) {
        guard case .registering = state, journal.lease == nil else { return }
        write {
            $0.stage = .registering
            $0.lease = lease
        }
        makeContact(at: now)
    }

    mutating func registered(_ answer: RegisterAnswer, at now: Instant) {
        guard case .registering(let drive) = state, let lease = journal.lease else { return }
        switch weigh(answer.terms, about: lease, at: now) {
        case .believed: break
        case .refused(let reason): return refuseRegistration(reason, at: now)
        case .unconfirmed: return refuseRegistration("expected a lease that is not over", at: now)
        }
        guard answer.terms.state != .ended else {
            // The market has closed this lease; nothing of it is on the drive. The next one gets a new name.
            note(.registrationUseless, ["reason": "the market has ended this lease"])
            contact.rest()
            write { $0.forgetLease() }
            return act(.drawLease)
        }
        guard let account = answer.account else {
            return refuseRegistration("the answer has no account and none is on the drive", at: now)
        }
        contact.interval = answer.terms.checkInSeconds
        contact.succeed(at: now, before: nil)
        note(.registered, ["ssh-port": "\(answer.terms.tunnel.ports.ssh)"])
        mendBackoff.succeed()
        let time = clock.time(at: now)
        write {
            $0.stage = .preparing
            $0.drive = drive.identity
            $0.clean = nil
            Self.take(answer.terms, time, into: &$0)
        }
        var tenancy = Tenancy(lease: lease, drive: drive.identity, target: answer.terms.tunnel)
        tenancy.storageBusy = true
        state = .preparing(tenancy)
        act(.prepareStorage(lease, account))
    }

    private mutating func refuseRegistration(_ reason: String, at now: Instant) {
        note(.answerRefused, ["reason": reason])
        contact.fail(at: now, &jitter)
    }

    mutating func registrationFailed(_ reason: String, at now: Instant) {
        guard case .registering = state else { return }
        contact.fail(at: now, &jitter)
        note(.registrationFailed, ["reason": reason, "failures": "\(contact.failures)"])
    }

    mutating func checkInFailed(_ reason: String, at now: Instant) {
        guard contact.isUnderWay else { return }
        contact.fail(at: now, &jitter)
        note(.checkInFailed, ["reason": reason, "failures": "\(contact.failures)"])
    }

    /// A market that lost a lease nobody rented can't rent it out: it is ended here too, and another is asked for. One that was rented goes
    /// on to its known end, for a market that fell back to an old backup must not destroy it.
    mutating func leaseUnknown(_ time: UnixTime?, at now: Instant) {
        let reason = "the market knows no such lease"
        if contact.isUnderWay, tenancy != nil {
            guard journal.rented else {
                note(.endedByMarket, ["reason": reason])
                contact.rest()
                return endLease(at: now)
            }
            if let time {
                let known = MarketClock.Known(ends: journal.expires, told: journal.marketTime, kept: journal.expires)
                if case .unconfirmed(let until) = clock.take(time, at: now, known) { return wait(for: until, time, at: now) }
            }
        }
        checkInFailed(reason, at: now)
    }

    mutating func checkedIn(_ answer: CheckInAnswer, at now: Instant) {
        guard contact.isUnderWay else { return }
        let terms = answer.terms
        guard let lease = tenancy?.lease ?? journal.lease else { return contact.rest() }
        switch weigh(terms, about: lease, at: now) {
        case .believed: break
        case .unconfirmed(let until):
            contact.interval = terms.checkInSeconds
            return wait(for: until, terms.time, at: now)
        case .refused(let reason):
            contact.fail(at: now, &jitter)
            return note(.answerRefused, ["reason": reason])
        }
        contact.interval = terms.checkInSeconds
        guard let before = tenancy else {
            // Erasing: the answer sets the clock and no more.
            return contact.succeed(at: now, before: nil)
        }
        note(.checkedIn, ["state": terms.state.rawValue])
        if terms.state == .ended {
            note(.endedByMarket)
            contact.rest()
            return endLease(at: now)
        }
        adopt(terms, at: now)
        contact.succeed(at: now, before: end)
        if before.target != terms.tunnel, isServing { act(.openTunnel(terms.tunnel)) }
        // The expiry may have passed while the device was off.
        if let end, end <= now {
            note(.expired)
            return endLease(at: now)
        }
        // Asked once more, with another drive waiting: nobody has rented what stood on the one that is gone.
        if case .waiting(held: let held?) = state, let drive, drive.identity != held.drive { begin(with: drive, at: now, givingUp: true) }
    }

    /// Whether the drive is open, so that engine and tunnel stand or are coming.
    private var isServing: Bool {
        switch state {
        case .building, .offered, .leased: true
        default: false
        }
    }

    /// Takes believed terms over: journal, keys, and the step from offered to leased.
    private mutating func adopt(_ terms: LeaseTerms, at now: Instant) {
        let before = journal
        let time = clock.time(at: now)
        write { Self.take(terms, time, into: &$0) }
        changeTenancy { $0.target = terms.tunnel }
        if journal.sshKeys != before.sshKeys, isServing { act(.authorize(journal.sshKeys)) }
        if journal.rented && !before.rented {
            note(.rented, ["expires": "\(journal.expires?.seconds ?? 0)"])
            switch state {
            case .offered(let tenancy): state = .leased(tenancy)
            case .waiting(held: let tenancy?): state = .suspended(tenancy)
            default: break
            }
            contact.soon(at: now)
        } else if journal.rented && journal.expires != before.expires {
            note(.extended, ["expires": "\(journal.expires?.seconds ?? 0)"])
        }
    }

    /// The terms, and the market's time for the next boot: where the end moved exactly, else to the hour, for a card does not like to be
    /// written to.
    private static func take(_ terms: LeaseTerms, _ time: UnixTime?, into journal: inout Journal) {
        let expires = terms.state == .rented ? terms.expires : nil
        if let time, journal.expires != expires || journal.marketTime.map({ abs(time.seconds - $0.seconds) >= 3_600 }) ?? true {
            journal.marketTime = time
        }
        journal.rented = terms.state == .rented
        journal.expires = expires
        journal.tunnel = terms.tunnel
        journal.sshKeys = terms.sshKeys
    }

    /// What an answer is worth.
    private enum Belief {
        case believed
        /// It changes nothing, for a reason.
        case refused(String)
        /// By it the lease is over, and nothing else says so: it takes another like it, at this moment or later.
        case unconfirmed(until: Instant)
    }

    /// Weighs an answer; believing it sets the clock. The market is a witness, not a weapon: an answer about another lease, from a clock that
    /// jumped, or from an old backup that forgot a rental changes nothing.
    private mutating func weigh(_ terms: LeaseTerms, about lease: LeaseID, at now: Instant) -> Belief {
        guard terms.lease == lease else { return .refused("expected an answer about this lease, found " + terms.lease.text) }
        if !journal.rented, terms.state == .rented, let told = terms.expires, told <= terms.time {
            return .refused("expected an expiration after the answer's own time, found \(told.seconds)")
        }
        // What an old backup says of a lease is not believed; its clock is a clock like any other, and without one no lease would ever end.
        let stale = staleness(of: terms)
        let ends = tenancy == nil ? nil : stale == nil ? end(by: terms, at: now) : journal.expires
        // By an answer that says so it is over, whenever that would have been.
        let kept = terms.state == .ended && journal.rented ? terms.time : journal.expires
        switch clock.take(terms.time, at: now, MarketClock.Known(ends: ends, told: journal.marketTime, kept: kept)) {
        case .believed: return stale.map { .refused($0) } ?? .believed
        case .unconfirmed(let until): return .unconfirmed(until: until)
        case .jumped:
            return .refused("expected the market's clock near \(clock.time(at: now)?.seconds ?? 0), found \(terms.time.seconds)")
        }
    }

    /// Why terms are older than what we know; nil where they are not. Whoever ends a lease before its time leaves its expiration as it was; a
    /// market that fell back to a backup does not know of the rental, or of an extension.
    private func staleness(of terms: LeaseTerms) -> String? {
        guard journal.rented, let known = journal.expires else { return nil }
        guard terms.state != .offered, let told = terms.expires else {
            return "expected a rented lease, found one that was never rented: an old answer"
        }
        return told < known ? "expected an expiration not before \(known.seconds), found \(told.seconds): an old answer" : nil
    }

    /// When the lease ends that somebody would lose; one of which that is not known, if it is said to have ended, ends now.
    private func end(by terms: LeaseTerms, at now: Instant) -> UnixTime? {
        switch terms.state {
        case .rented: terms.expires
        case .ended: journal.expires ?? clock.time(at: now)
        case .offered: nil
        }
    }

    /// The first answer of this boot says that the lease ran out meanwhile. It may have; but nothing is destroyed on the word of one clock.
    private mutating func wait(for until: Instant, _ time: UnixTime, at now: Instant) {
        note(.clockDoubted, ["time": "\(time.seconds)", "asks-again-in-s": "\(max(1, until.seconds(since: now)))"])
        contact.succeed(at: now, before: nil)
        contact.hurry(to: until)
    }
}
