import CLinux
import Commands
import Platform
import Simulator

/// `simulate`: runs seed after seed, and stops at the first that breaks a promise.
@main struct SimulateProgram {
    static func main() {
        do throws(CommandFailure) { try run(Invocation.arguments()) } catch {
            Terminal.complain("simulate: " + error.message)
            exit(error.code.rawValue)
        }
    }

    static let help = """
        simulate: runs devices with the real lifecycle and a market with the real rules through faults, in virtual time

        usage: simulate [--seed N] [--leases M] [--story]
          --seed N     the first seed (1); each seed is one universe, and tells the same story every time
          --leases M   run seed after seed until M leases were rented (20000)
          --story      one seed only, and its story line by line

        exit status
          0 every promise held   1 a promise was broken   2 something stayed stuck after the faults   3 the code under test crashed
          64 wrong command line
        """

    private static func run(_ arguments: [String]) throws(CommandFailure) {
        if arguments.contains("--help") { return Terminal.print(help) }
        let options = try Options(arguments[...], valued: ["--seed", "--leases"], plain: ["--story"])
        let first = try options.number("--seed", 0...Int64.max) ?? 1
        let wanted = try options.number("--leases", 1...Int64(Int32.max)) ?? 20_000
        Crash.watch()
        if options.has("--story") { finish(seed: first, story(first)) }
        all(from: first, wanted: wanted)
    }

    private static let leasesInAUniverse = 10

    private static func story(_ seed: Int64) -> Ending {
        Crash.seed = seed
        return Universe(seed: UInt64(seed), leases: leasesInAUniverse) { Terminal.print($0) }.run()
    }

    private static func all(from first: Int64, wanted: Int64) {
        let began = Clock.bootNanoseconds()
        var (rented, seed): (Int64, Int64) = (0, first)
        var told = began
        while rented < wanted {
            Crash.seed = seed
            let universe = Universe(seed: UInt64(seed), leases: leasesInAUniverse)
            let outcome = universe.run()
            rented += Int64(universe.rented)
            if outcome != .fine { return finish(seed: seed, outcome, after: rented) }
            seed += 1
            let now = Clock.bootNanoseconds()
            if now - told > 5_000_000_000 {
                told = now
                let left = (now - began) / 1_000_000_000 * max(0, wanted - rented) / max(1, rented)
                Terminal.complain("\(rented * 100 / wanted) %, seed \(seed), \(left) s left")
            }
        }
        let seconds = max(1, (Clock.bootNanoseconds() - began) / 1_000_000_000)
        Terminal.print("\(rented) leases in \(seed - first) universes (seeds \(first) to \(seed - 1)), \(seconds) s: every promise held")
    }

    private static func finish(seed: Int64, _ outcome: Ending, after rented: Int64 = 0) {
        switch outcome {
        case .fine: Terminal.print("seed \(seed): every promise held")
        case .broken(let what):
            Terminal.print("seed \(seed), after \(rented) leases: a promise is broken: \(what)\nsee: simulate --seed \(seed) --story")
            exit(1)
        case .stuck(let what):
            Terminal.print("seed \(seed), after \(rented) leases: stuck: \(what)\nsee: simulate --seed \(seed) --story")
            exit(2)
        }
        exit(0)
    }
}

/// A trap in the code under test ends the process; which seed it was must be known all the same.
enum Crash {
    nonisolated(unsafe) static var seed: Int64 = 0

    static func watch() {
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGABRT, SIGBUS, SIGFPE] {
            signal(number) { _ in
                Terminal.complain("seed \(Crash.seed): crashed\nsee: simulate --seed \(Crash.seed) --story")
                _exit(3)
            }
        }
    }
}
