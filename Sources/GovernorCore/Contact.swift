import Protocol

/// When the market is to be spoken to next: an interval while all is well, a backoff with jitter while it is not.
struct Contact: Equatable, Sendable {
    /// When the next message is due; nil while one is on its way or none is wanted.
    private(set) var due: Instant?
    /// Whether a message is on its way.
    private(set) var isUnderWay = false
    /// Whether another is wanted as soon as that one is answered.
    private var isWantedAgain = false
    /// Two minutes at most: so long it may take after an owner has plugged the network in.
    private var backoff = Backoff(first: 2_000, longest: 120_000)
    /// Seconds between check-ins, by the market's last word.
    var interval: Int64 = 600

    /// Whether the last three messages failed.
    var isFailing: Bool { backoff.failures >= 3 }

    /// Failures in a row.
    var failures: Int { backoff.failures }

    /// Something changed that the market should know now. While it does not answer, the backoff decides.
    @inline(never)
    mutating func soon(at now: Instant) {
        if isUnderWay { isWantedAgain = true } else if backoff.failures == 0 || due == nil { due = now }
    }

    /// A message goes out.
    @inline(never)
    mutating func send() {
        due = nil
        isUnderWay = true
        isWantedAgain = false
    }

    /// It was answered; the next is due after the interval, or earlier if something happened or `before` comes first.
    @inline(never)
    mutating func succeed(at now: Instant, before moment: Instant?) {
        backoff.succeed()
        isUnderWay = false
        due = isWantedAgain ? now : now.adding(seconds: interval)
        isWantedAgain = false
        guard let moment else { return }
        for seconds in LeaseTerms.lastCalls(checkInSeconds: interval) {
            let last = moment.adding(seconds: -seconds)
            if last > now, let planned = due, last < planned { due = last }
        }
    }

    /// The next message is due at this moment, if not before.
    @inline(never)
    mutating func hurry(to moment: Instant) {
        if let planned = due, moment < planned { due = moment }
    }

    /// The owner has mended something: what failed is tried again now.
    @inline(never)
    mutating func again(at now: Instant) {
        if backoff.failures > 0 { hurry(to: now) }
    }

    /// It was not answered, or not sensibly.
    @inline(never)
    mutating func fail(at now: Instant, _ jitter: inout Jitter) {
        isUnderWay = false
        isWantedAgain = false
        due = backoff.fail(at: now, &jitter, atMost: max(2_000, interval * 1_000))
    }

    /// Nothing is to be said.
    @inline(never)
    mutating func rest() {
        due = nil
        isUnderWay = false
        isWantedAgain = false
        backoff.succeed()
    }
}
