import Testing

@testable import GovernorCore

/// What the owner sees.
@Suite struct LampTests {
    static let table: [(Stand, LampPattern)] = [
        (.waiting, .three), (.held, .three), (.cleaning, .fast), (.drawing, .fast), (.registering, .fast), (.preparing, .fast),
        (.building, .fast), (.offered, .slow), (.leased, .steady), (.suspended, .three), (.erasing, .fast), (.erasingAway, .fast),
        (.quarantined, .sos), (.quarantinedAway, .sos),
    ]

    @Test(arguments: table)
    func `the lamp of each state`(stand: Stand, pattern: LampPattern) { #expect(Device.at(stand).life.lamp == pattern) }

    @Test func `the table has every state`() { #expect(Set(Self.table.map(\.0)) == Set(Stand.allCases)) }

    @Test func `three failures to register: no network or market`() {
        var device = Device.at(.registering)
        device.feed(.registrationFailed("timeout"), .registrationFailed("timeout"))
        #expect(device.life.lamp == .fast)
        device.feed(.registrationFailed("timeout"))
        #expect(device.life.lamp == .two)
    }

    @Test func `three failed check-ins of an offered device: no network or market, until one is answered`() {
        var device = Device.at(.offered)
        for _ in 1...3 { device.failCheckIn() }
        #expect(device.life.lamp == .two)
        device.answer(.offered)
        #expect(device.life.lamp == .slow)
    }

    @Test func `a rented device stays steady without a market`() {
        var device = Device.at(.leased)
        for _ in 1...5 { device.failCheckIn() }
        #expect(device.life.lamp == .steady)
    }

    @Test(arguments: LampPattern.allCases)
    func `every pattern has a look and a meaning of its own`(pattern: LampPattern) {
        let others = LampPattern.allCases.filter { $0 != pattern }
        #expect(!pattern.look.isEmpty && !others.map(\.look).contains(pattern.look))
        #expect(!pattern.meaning.isEmpty && !others.map(\.meaning).contains(pattern.meaning))
    }

    @Test(arguments: [Stand.waiting, .leased, .quarantined])
    func `the word for the state`(stand: Stand) {
        #expect(Device.at(stand).life.word == (stand == .waiting ? "waiting" : stand == .leased ? "leased" : "quarantined"))
    }
}

extension Device {
    /// Goes on to the next check-in and lets it fail.
    mutating func failCheckIn(_ reason: String = "timeout") {
        ask()
        feed(.checkInFailed(reason))
    }
}
