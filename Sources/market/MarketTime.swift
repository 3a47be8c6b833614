import Commands
import JSON
import MarketCore
import Platform
import Protocol

/// The market's time on this machine: the same for `serve` and for every command, by a file beside the ledger.
struct MarketTime {
    private let clock: SteadyClock
    private let path: String

    /// Goes on with the count of this boot, or begins one where none is kept. A file that can't be read counts as none.
    init(_ options: Options) {
        path = options.dataFolder + "/clock.json"
        let reading = Self.reading()
        let kept = (try? Files.read(path, limit: 4_096)).flatMap { bytes in
            (try? JSON.parse(bytes)).flatMap { try? SteadyClock($0, boot: Clock.bootName(), now: reading) }
        }
        clock = kept ?? SteadyClock(from: reading)
    }

    /// Keeps the count for other programs of this boot.
    func keep() throws(SystemError) { try Files.publish(path, clock.json(boot: Clock.bootName()).encoded(), mode: 0o600) }

    /// The time to go by.
    func now() -> UnixTime { clock.time(Self.reading()) }

    /// What is wrong with the machine's clock and what to do about it; nil where nothing is.
    func trouble() -> String? {
        let reading = Self.reading()
        guard clock.isOff(reading) else { return nil }
        return "this machine's clock jumped to \(utcText(reading.clock)) and is not followed: by the market's own count it is "
            + utcText(clock.time(reading).seconds) + "; set the clock, or if it is right, delete \(path) and restart the market"
    }

    private static func reading() -> SteadyClock.Reading {
        SteadyClock.Reading(clock: Clock.unixSeconds(), uptime: Clock.bootNanoseconds() / 1_000_000_000)
    }
}

/// The time for a command. Where the machine's clock is wrong, its operator reads that first.
func currentTime(_ options: Options) -> UnixTime {
    let time = MarketTime(options)
    if let trouble = time.trouble() { Terminal.complain("market: " + trouble) }
    return time.now()
}
