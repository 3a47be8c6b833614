/// How much of the owner's line a renter gets. What is too much is dropped (policed, not queued): that needs nothing but the walls' own
/// table, so it comes and goes with them, and TCP finds its pace by what is lost.
public struct LineShare: Equatable, Sendable {
    /// Megabits a second that leave the renter's machine, through the tunnel too; nil for as many as the line takes.
    public var upMbit: Int64?
    /// Megabits a second that come to it.
    public var downMbit: Int64?
    /// Connections that the renter has begun and that the kernel still tracks, at most; a datagram's peer counts as one for 30 s.
    public var connections: Int64

    /// A share. By default the number of connections is half of the smallest table that a board's kernel makes for all of them (4096, with
    /// 512 MiB of memory); many home routers have no larger one.
    public init(upMbit: Int64? = nil, downMbit: Int64? = nil, connections: Int64 = 2_048) {
        self.upMbit = upMbit
        self.downMbit = downMbit
        self.connections = connections
    }

    private var rates: [(name: String, mbit: Int64)] {
        [("up", upMbit), ("down", downMbit)].compactMap { name, mbit in mbit.map { (name, $0) } }
    }

    /// The named limits: each counts the bytes of every chain that asks it. To its burst the kernel adds what a second brings; so much may
    /// come at once, which TCP wants where answers take their time. The kernel makes packets of up to 64 KiB of many.
    var limits: String {
        rates.map { name, mbit in "limit \(name) {\n        rate over \(mbit * 125_000) bytes/second burst 131072 bytes\n    }\n    " }
            .joined()
    }

    /// The rule that drops what is over a limit; nothing where there is none.
    func rule(_ name: String) -> String {
        rates.contains { $0.name == name } ? "limit name \"\(name)\" counter drop\n        " : ""
    }

    /// New connections in a second. The kernel's count takes a note of each one that is tried, and clears only a few away with each that
    /// comes: a flood of them would take its memory.
    static let pace = "limit rate over 200/second burst 500 packets counter drop"
}
