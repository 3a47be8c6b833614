/// What the lamp shows. The one table: the lamp, `governor status` and the README's picture are made from it.
public enum LampPattern: String, CaseIterable, Sendable {
    case dark, steady, slow, fast, two, three, four, sos

    /// What it tells the owner.
    public var meaning: String {
        switch self {
        case .dark: "not running"
        case .steady: "rented"
        case .slow: "offered, waiting for a renter"
        case .fast: "working: do not unplug"
        case .two: "no network or market"
        case .three: "drive missing, or not ours to erase"
        case .four: "configuration error"
        case .sos: "quarantined: an erase could not be verified"
        }
    }

    /// How it looks, in words.
    public var look: String {
        switch self {
        case .dark: "dark"
        case .steady: "steady"
        case .slow: "slow blink (1 Hz)"
        case .fast: "fast blink (4 Hz)"
        case .two: "two flashes, pause"
        case .three: "three flashes, pause"
        case .four: "four flashes, pause"
        case .sos: "SOS"
        }
    }

    /// Its place in the table, from 0.
    public var number: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    /// How long it is lit and dark in turn, in milliseconds, lit first; then from the start again.
    public var beat: [Int] {
        switch self {
        case .dark: [0, 1000]
        case .steady: [1000, 0]
        case .slow: [500, 500]
        case .fast: [125, 125]
        case .two: Self.flashes(2)
        case .three: Self.flashes(3)
        case .four: Self.flashes(4)
        case .sos: [150, 150, 150, 150, 150, 450, 450, 150, 450, 150, 450, 450, 150, 150, 150, 150, 150, 1350]
        }
    }

    /// Flashes that can be counted, and a pause that tells where to begin.
    private static func flashes(_ count: Int) -> [Int] {
        var beat: [Int] = []
        for _ in 0..<count { beat += [200, 250] }
        beat[beat.count - 1] = 1250
        return beat
    }
}
