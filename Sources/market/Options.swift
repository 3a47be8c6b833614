import Commands
import Platform
import Protocol

extension Options {
    /// `90s`, `30m`, `2h` or `7d`, in seconds.
    func duration(_ name: String) throws(CommandFailure) -> Int64 {
        let text = try value(name)
        let units: [(UInt8, Int64)] = [(0x73, 1), (0x6D, 60), (0x68, 3_600), (0x64, 86_400)]
        if let unit = units.first(where: { $0.0 == text.utf8.last }), let count = Int64(text.dropLast()),
            (1...UnixTime.longestLease).contains(count), count * unit.1 <= UnixTime.longestLease
        {
            return count * unit.1
        }
        throw CommandFailure(.usage, name + ": expected a duration such as 90s, 30m, 2h or 7d, at most 400d, found " + text)
    }

    /// The folder with the market's records: `--data`, else SUBLET_MARKET_DATA, else the usual place.
    var dataFolder: String {
        optional("--data") ?? Invocation.environment("SUBLET_MARKET_DATA") ?? "/var/lib/sublet-market"
    }
}
