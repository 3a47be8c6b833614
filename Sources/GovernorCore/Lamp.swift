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
}
