import JSON
import Protocol

@testable import GovernorCore
@testable import Storage
@testable import Tunnel

/// What lies on the card and in /run: read the same again; and a device that starts with such a journal keeps what it says. A lease that
/// lives is not ended before the market was heard, one that is over does not come back.
func fuzzJournal(_ input: [UInt8]) {
    if let target = TunnelNote.read(input) { expect(TunnelNote.read(TunnelNote.write(target)) == target, "another target") }
    guard let json = try? JSON.parse(input) else { return }
    if let mark = try? EraseMark(json) { expect(mark.done <= mark.bytes, "more erased than there is") }
    fuzzClock(json)
    do throws(JSONError) {
        let journal = try Journal(json)
        expect((try? Journal(JSON.parse(journal.json.encoded()))) == journal, "written and read it is another")
        start(with: journal)
    } catch { expect(isLine(error.message), "an error that is no line: " + error.message) }
}

private func fuzzClock(_ json: JSON) {
    let now = Instant.seconds(100_000)
    guard let clock = try? MarketClock(json, boot: "b", now: now) else { return }
    let again = clock.json(boot: "b").flatMap { try? MarketClock($0, boot: "b", now: now) }
    expect(again == clock, "written and read it is another clock")
    var moved = clock
    for time in [UnixTime.sane.lowerBound, 1_800_000_000, UnixTime.sane.upperBound] {
        _ = moved.take(UnixTime(time), at: now, MarketClock.Known(ends: UnixTime(1_800_000_000)))
        _ = moved.instant(of: UnixTime(time))
    }
}

private func start(with journal: Journal) {
    var life = Lifecycle(journal: journal, seed: 1)
    let drives = Set(journal.claims + ["another"]).sorted().prefix(4)
    var now = Instant.seconds(30)
    var events: [Event] = [.started, .driveWanted("no drive"), .waitingUnheard("no network")]
    for drive in drives { events += [.driveReady(Drive(identity: drive, bytes: 1 << 36)), .storageReady, .containerUp, .tunnelUp] }
    events += [.checkInFailed("no network"), .deadline, .tunnelDown("gone"), .deadline]
    for drive in drives { events += [.driveGone(drive, reason: "pulled")] }
    for event in events {
        now = now.adding(seconds: 700)
        let actions = life.handle(event, at: now)
        expectWritable(actions)
        for action in actions {
            switch action {
            case .openStorage, .startContainer, .openTunnel:
                expect([.live, .preparing].contains(journal.stage), "an ended lease comes back")
            case .erase(let lease?, _), .destroyKey(let lease):
                expect(journal.stage != .live || journal.lease != lease, "a lease ends that lives")
            default: break
            }
        }
    }
}
