import GovernorCore
import MarketCore
import Protocol

/// How a universe came out.
public enum Ending: Equatable, Sendable {
    /// Every promise held, and everything works again.
    case fine
    /// A promise was broken; what was seen.
    case broken(String)
    /// Faults are over, and something still does not work.
    case stuck(String)
}

/// One seed's world: devices with the real lifecycle, a market with the real rules, and between them drives, engines, tunnels, a network and
/// clocks that are simulated. First everything that the seed drew goes wrong; then nothing does, and all must work again.
public final class Universe {
    /// What may happen at most before the faults end, so that every universe ends.
    private static let mostHappenings = 60_000
    /// Virtual milliseconds in which a device must work again once faults are over: four days.
    static let patience: Int64 = 4 * 86_400_000

    var chance: Chance
    /// What goes wrong; nothing in the calm at the end.
    var faults: Faults
    /// Virtual milliseconds since the universe began.
    private(set) var now: Int64 = 0
    private var agenda = Agenda()
    private(set) var devices: [Device] = []
    let tunnels: TunnelServer
    let market: MarketSide
    var promises = Promises()
    /// Leases that were rented.
    public internal(set) var rented = 0
    private let wanted: Int
    /// Every line of the story, as it is told; nobody listens by default.
    private let tell: ((String) -> Void)?
    var isCalm = false
    /// How often the market's clock has lied.
    var lies: Int64 = 0

    /// The universe of a seed, which goes on until so many leases were rented. `tell` hears its story, line by line.
    public init(seed: UInt64, leases: Int, tell: ((String) -> Void)? = nil) {
        self.tell = tell
        wanted = leases
        chance = Chance(seed: seed)
        faults = Faults.drawn(&chance)
        tunnels = TunnelServer()
        market = MarketSide(seed: chance.next(), tunnels: tunnels)
    }

    /// The market's time, which is the true one.
    var time: UnixTime { UnixTime(1_800_000_000 + now / 1_000) }

    /// Puts something down for later, milliseconds from now.
    func after(_ milliseconds: Int64, _ happen: @escaping () -> Void) { agenda.add(at: now + max(0, milliseconds), happen) }

    /// Tells the story; the words are made only where somebody listens.
    func say(_ who: String, _ words: @autoclosure () -> String) {
        guard let tell else { return }
        let seconds = now / 1_000
        func two(_ number: Int64) -> String { (number < 10 ? "0" : "") + "\(number)" }
        let clock = two(seconds / 3_600 % 24) + ":" + two(seconds / 60 % 60) + ":" + two(seconds % 60)
        tell("day \(seconds / 86_400) \(clock)  \(who): \(words())")
    }

    /// Lives the universe to its end.
    public func run() -> Ending {
        begin()
        var left = Self.mostHappenings
        _ = live {
            left -= 1
            return rented < wanted && left >= 0
        }
        let outcome = promises.broken.map { Ending.broken($0) } ?? calm()
        // Devices and what is put down for them hold each other.
        agenda.clear()
        devices.removeAll()
        return outcome
    }

    /// Lets happen what is put down, for as long as it is wanted and no promise is broken; false where time is over or nothing is left.
    private func live(until end: Int64 = .max, while isWanted: () -> Bool) -> Bool {
        while promises.broken == nil, isWanted() {
            guard now < end, let (at, happen) = agenda.next() else { return false }
            now = at
            happen()
        }
        return true
    }

    private func begin() {
        market.open(self)
        let count = 1 + chance.place(in: 3)
        for number in 0..<count { devices.append(Device(self, number: number, like: nil)) }
        if faults.hasClone { devices.append(Device(self, number: count, like: devices[0])) }
        for device in devices { device.powerOn(after: chance.of(0...60_000)) }
        beginLife()
        beginMishaps()
    }

    /// The faults end, everything is whole; each drive of each device in turn must serve twice more, and the books must be right.
    private func calm() -> Ending {
        say("world", "the faults are over")
        isCalm = true
        faults = .none
        market.start(in: self)
        tunnels.becomeWhole()
        for device in devices { device.becomeWhole() }
        if let trouble = devices.contains(where: { $0.isClone }) ? goOn(until: now + 86_400_000) : serveAll() { return trouble }
        promises.audit(self)
        return promises.broken.map { .broken($0) } ?? .fine
    }

    /// First as everything stands, for a power cut or another drive mends much; then each drive alone, after a power cut.
    private func serveAll() -> Ending? {
        for device in devices where !device.sticks.contains(where: { $0.isPlugged }) { device.plug(device.sticks[0]) }
        if let trouble = serve(more: 1) { return trouble }
        for turn in 0..<2 {
            for device in devices { device.plugOnly(turn) }
            if let trouble = serve(more: 2) { return trouble }
        }
        return nil
    }

    /// Goes on until each device has served so many more leases.
    private func serve(more count: Int) -> Ending? {
        let before = devices.map { $0.served }
        func late() -> Device? { devices.first { $0.served < before[$0.number] + count } }
        if !live(until: now + Self.patience, while: { late() != nil }) {
            return .stuck("device \(late()?.number ?? 0) is \(late()?.word ?? "off") and serves no more")
        }
        return promises.broken.map { .broken($0) }
    }

    private func goOn(until end: Int64) -> Ending? {
        _ = live(until: end) { true }
        return promises.broken.map { .broken($0) }
    }
}
