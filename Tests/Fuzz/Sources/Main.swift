// Fuzzers of everything that comes from outside: `Tests/Fuzz/run`, or `make fuzz`.
//
// A target is a function of some bytes that must not crash, take long or want much memory, and whose `expect`ations must hold whatever the
// bytes are. libFuzzer changes what lies in seeds/TARGET so that ever more of the rooms' branches are taken (SUBLET_FUZZ makes them count).
// Inputs that showed a bug stay there, by the bug's name. The address sanitizer looks at what Swift doesn't: C's memory.
//
// The governor's own configuration is a link to its file, for an executable's code can't be imported.
import CFuzzer

/// A target: its name, and what it does with an input.
struct Target: Sendable {
    let name: String
    let run: @Sendable ([UInt8]) -> Void
    /// Whether its inputs are JSON texts, which are then changed as such too.
    var isJSON = true
}

/// All of them.
let targets = [
    Target(name: "json", run: fuzzJSON),
    Target(name: "config", run: fuzzConfig),
    Target(name: "request", run: fuzzRequest),
    Target(name: "answer", run: fuzzAnswer),
    Target(name: "docker", run: fuzzDocker),
    Target(name: "journal", run: fuzzJournal),
    Target(name: "udev", run: fuzzUdev, isJSON: false),
    Target(name: "mounts", run: fuzzMounts, isJSON: false),
    Target(name: "vault", run: fuzzVault, isJSON: false),
]

/// More processor time than this for one input is a hang, nanoseconds.
private let longest: Int64 = 1_000_000_000

/// The target of this run. Written once, before the fuzzer begins, which has one thread.
nonisolated(unsafe) var current = targets[0]

/// Ends the run: what the fuzzer found is kept as an input.
func expect(_ condition: @autoclosure () -> Bool, _ words: @autoclosure () -> String) {
    if !condition() { fatalError(words()) }
}

@main struct Fuzz {
    static func main() {
        let name = CommandLine.arguments.dropFirst().first ?? ""
        guard let target = targets.first(where: { $0.name == name }) else {
            for target in targets { print(target.name) }
            return
        }
        current = target
        // What libFuzzer sees of the command line is the rest.
        var count = CommandLine.argc - 1
        var words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
        _ = LLVMFuzzerRunDriver(&count, &words) { start, count in
            let input = Array(UnsafeBufferPointer(start: start, count: count))
            let began = cfuzzer_processor_time()
            current.run(input)
            let took = cfuzzer_processor_time() - began
            expect(took < longest, "an input of \(count) bytes took \(took / 1_000_000) ms of processor time")
            return 0
        }
    }
}
