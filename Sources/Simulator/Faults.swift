/// What goes wrong in one universe, and how often. Every seed draws its own mix: a fault that always comes with ten others hides behind them.
struct Faults {
    /// A power cut, before one in so many actions of the governor; 0: never.
    var cutBeforeAction: Int64 = 0
    /// A power cut in the middle of so many of a thousand journal writes.
    var cutInWrite: Int64 = 0
    /// Mean seconds between two; 0: never.
    var powerCut: Int64 = 0
    var kill: Int64 = 0
    var pull: Int64 = 0
    var swap: Int64 = 0
    var marketDown: Int64 = 0
    var rollback: Int64 = 0
    var tunnelServerDown: Int64 = 0
    var foreignPort: Int64 = 0
    var containerEnds: Int64 = 0
    var tunnelBreaks: Int64 = 0
    var sickDrive: Int64 = 0
    /// Of a thousand.
    var eraseFails: Int64 = 0
    var storageFails: Int64 = 0
    var engineFails: Int64 = 0
    var lost: Int64 = 0
    var doubled: Int64 = 0
    var slow: Int64 = 0
    var stale: Int64 = 0
    var lies: Int64 = 0
    /// A second device has a copy of the first one's card.
    var hasClone = false

    /// Nothing goes wrong.
    static let none = Faults()

    /// The mix of a seed: each fault is there or not, and more or less often.
    static func drawn(_ chance: inout Chance) -> Faults {
        func rate(_ chance: inout Chance, _ range: ClosedRange<Int64>) -> Int64 { chance.once(in: 2) ? chance.of(range) : 0 }
        var faults = Faults()
        faults.cutBeforeAction = rate(&chance, 20...400)
        faults.cutInWrite = rate(&chance, 5...80)
        faults.powerCut = rate(&chance, 1_800...40_000)
        faults.kill = rate(&chance, 1_800...40_000)
        faults.pull = rate(&chance, 1_800...40_000)
        faults.swap = rate(&chance, 3_600...40_000)
        faults.marketDown = rate(&chance, 3_600...40_000)
        faults.rollback = chance.once(in: 4) ? chance.of(7_200...60_000) : 0
        faults.tunnelServerDown = rate(&chance, 3_600...40_000)
        faults.foreignPort = rate(&chance, 3_600...40_000)
        faults.containerEnds = rate(&chance, 1_800...40_000)
        faults.tunnelBreaks = rate(&chance, 900...20_000)
        faults.sickDrive = rate(&chance, 1_800...40_000)
        faults.eraseFails = rate(&chance, 10...300)
        faults.storageFails = rate(&chance, 10...300)
        faults.engineFails = rate(&chance, 10...300)
        faults.lost = rate(&chance, 5...200)
        faults.doubled = rate(&chance, 5...200)
        faults.slow = rate(&chance, 5...200)
        faults.stale = rate(&chance, 5...100)
        faults.lies = rate(&chance, 5...100)
        faults.hasClone = chance.once(in: 16)
        return faults
    }
}
