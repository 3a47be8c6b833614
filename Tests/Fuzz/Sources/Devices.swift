import JSON
import Protocol

@testable import GovernorCore

/// The base64 of an Ed25519 key that is nobody's.
let edKey = "AAAAC3NzaC1lZDI1NTE5AAAAI" + String(repeating: "x", count: 43)

/// A device that has the lease 0123456789abcdef0123456789abcdef rented, and hears something of the market.
enum RentedDevice {
    private static let text = """
        {"version":1,"stage":"live","lease":"0123456789abcdef0123456789abcdef","drive":"stick-0001","rented":true,"expires":1800007200,
        "marketTime":1800000000,"starts":1,"tunnel":{"host":"tunnel.example","port":22,"user":"tunnel","hostKey":"ssh-ed25519
        """ + " " + edKey
        + #"","bind":"127.0.0.1","ports":{"ssh":20000,"http":20001,"https":20002}},"sshKeys":[]}"#

    /// The device a minute after its boot, when it has asked the market and heard nothing yet.
    private static let device: Lifecycle = {
        guard let journal = try? Journal(JSON.parse(Array(text.utf8))) else { fatalError("a journal that can't be read") }
        var life = Lifecycle(journal: journal, seed: 1)
        for event in [Event.started, .driveReady(Drive(identity: "stick-0001", bytes: 1 << 36)), .storageReady, .containerUp, .tunnelUp] {
            _ = life.handle(event, at: .seconds(60))
        }
        return life
    }()

    /// Hears it as the answer to every check-in of an hour: one alone ends nothing.
    static func hears(_ event: Event, about terms: LeaseTerms?) {
        var life = device
        var actions: [Action] = []
        for round in 0..<5 as Range<Int64> {
            let now = Instant.seconds(61 + round * 700)
            actions += life.handle(.deadline, at: now)
            actions += life.handle(event, at: now.adding(seconds: 1))
        }
        expectWritable(actions)
        guard terms?.lease.text != "0123456789abcdef0123456789abcdef" else { return }
        if case .leaseUnknown = event { return }
        expect(!actions.contains { isFinal($0) }, "an answer that is not about this lease ends it")
    }
}

/// Whether it can't be undone.
func isFinal(_ action: Action) -> Bool {
    switch action {
    case .erase, .destroyKey, .prepareStorage: true
    default: false
    }
}

/// Every journal that a device writes is one that it can read.
func expectWritable(_ actions: [Action]) {
    for case .journal(let journal) in actions {
        expect((try? Journal(JSON.parse(journal.json.encoded()))) == journal, "a journal that can't be read: " + journal.json.pretty())
    }
}
