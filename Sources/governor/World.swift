import CLinux
import Engine
import EventLoop
import Fence
import JSON
import Platform
import Protocol
import Storage
import Tunnel

/// How far long work is.
struct Progress: Equatable {
    /// `erase`, `verify`, `format`, `import`.
    let step: String
    let done: Int64
    let total: Int64
    /// CLOCK_BOOTTIME nanoseconds at the first progress of this step.
    let startedAt: Int64

    /// How far it is now, after what was told before; nil where that was the same step at the same percentage.
    init?(_ step: String, done: Int64, total: Int64, after earlier: Progress?) {
        let same = earlier.flatMap { $0.step == step ? $0 : nil }
        self.step = step
        self.done = done
        self.total = total
        startedAt = same?.startedAt ?? Clock.bootNanoseconds()
        if percent == same?.percent { return nil }
    }

    /// 0 to 100.
    var percent: Int64 { total > 0 ? done * 100 / total : 0 }

    /// Bytes a second and seconds left, once there is something to go by.
    var rate: (bytesPerSecond: Int64, secondsLeft: Int64)? {
        let elapsed = (Clock.bootNanoseconds() - startedAt) / 1_000_000
        guard elapsed > 500, done > 0 else { return nil }
        let perSecond = max(1, done * 1_000 / elapsed)
        return (perSecond, (total - done) / perSecond)
    }
}

/// The slow and dangerous work: each step is a child of this same program (`governor storage …`), one after another, so that it can be
/// watched, killed and tried by hand, and the check-in never waits for it.
final class World {
    /// Why a step failed.
    struct Trouble: Error {
        let reason: String
    }

    private let loop: EventLoop
    private let layout: Layout
    private let config: Config
    /// The drive that the steps work on; nil while none is there.
    var drive: Inspection?
    var engine: Engine?
    var tunnel: Tunnel?
    var vault: VaultDoor?
    var onProgress: (Progress?) -> Void = { _ in }
    /// A step's name and how long it took, milliseconds.
    var onStep: (String, Int64) -> Void = { _, _ in }
    private var steps: [(name: String, work: (@escaping () -> Void) -> Void)] = []
    private var isBusy = false
    /// Why the drive could not be closed.
    var onStaysOpen: (String) -> Void = { _ in }
    /// Something has changed the fence's rules, this program too.
    var onFenceChange: () -> Void = {}
    /// The rules of the fence as the kernel told them right after they were raised; nil while it is down.
    private var walls: [UInt8]?
    private var fenceWatch: FenceWatch?
    private var isLooking = false
    private var progress: Progress?
    /// Whether the last step that was put in line on the drive closes it: any other one has it from then on.
    private var isToClose = false
    private var closing: EventLoop.Token?

    init(loop: EventLoop, layout: Layout, config: Config) {
        self.loop = loop
        self.layout = layout
        self.config = config
    }

    /// Puts a step behind those that wait. It calls its argument when it is done.
    private func enqueue(_ name: String, _ work: @escaping (@escaping () -> Void) -> Void) {
        steps.append((name, work))
        next()
    }

    private func next() {
        guard !isBusy, !steps.isEmpty else { return }
        isBusy = true
        let step = steps.removeFirst()
        let started = Clock.bootNanoseconds()
        step.work { [self] in
            onStep(step.name, (Clock.bootNanoseconds() - started) / 1_000_000)
            isBusy = false
            next()
        }
    }

    /// Formats the drive of this identity, mounts. Nil, or why not.
    func prepare(_ drive: String?, _ completion: @escaping (String?) -> Void) { simple("prepare", drive, completion) }

    /// Unlocks the drive of this identity, mounts. Nil, or why not.
    func open(_ drive: String?, _ completion: @escaping (String?) -> Void) { simple("open", drive, completion) }

    private func simple(_ word: String, _ drive: String?, _ completion: @escaping (String?) -> Void) {
        isToClose = word == "close"
        enqueue("storage-" + word) { [self] done in
            storage(word, drive) { outcome in
                done()
                completion(outcome.status == 0 ? nil : outcome.reason)
            }
        }
    }

    /// Ends everything that stands on the drive and closes it; the data stays.
    func tearDown(_ completion: @escaping (String?) -> Void) {
        closeDoors()
        enqueue("engine-stop") { [self] done in if let engine { engine.stop(done) } else { done() } }
        lowerFence()
        simple("close", nil, completion)
    }

    /// Tears down, and again until the drive is closed or another step has it: what stays open keeps the drive's key in the kernel, and the next
    /// preparation, opening or erase, which close first, may be long in coming.
    func letGo() {
        tearDown { [self] reason in
            guard let reason else { return }
            onStaysOpen(reason)
            loop.cancel(closing)
            closing = loop.after(milliseconds: 30_000) { [self] in if isToClose { letGo() } }
        }
    }

    /// Ends everything that stands on the drive of this identity, destroys and verifies.
    func erase(_ drive: String, probing: Bool, _ completion: @escaping (Result<EraseReport, Trouble>) -> Void) {
        isToClose = false
        closeDoors()
        enqueue("engine-kill") { [self] done in if let engine { engine.kill(done) } else { done() } }
        enqueue("storage-erase") { [self] done in
            storage("erase", drive, more: probing ? ["--probe"] : []) { outcome in
                done()
                completion(EraseText.read(outcome))
            }
        }
        // Nobody is left behind it to be kept in.
        lowerFence()
    }

    private func closeDoors() {
        enqueue("vault-shut") { [self] done in if let vault { vault.close(done) } else { done() } }
        enqueue("tunnel-close") { [self] done in if let tunnel { tunnel.close(done) } else { done() } }
    }

    private func lowerFence() {
        enqueue("fence-lower") { [self] done in
            walls = nil
            runAll(layout.fence(config).lowering) { _ in done() }
        }
    }

    /// Raises bridge and walls, and sees that they stand. Nil, or why not.
    func raiseFence(_ completion: @escaping (String?) -> Void) {
        enqueue("fence-raise") { [self] done in
            watchFence()
            runAll(layout.fence(config).raising) { [self] trouble in
                if let trouble {
                    done()
                    return completion(trouble)
                }
                look { [self] outcome in
                    if outcome.status == 0 { walls = outcome.output }
                    done()
                    completion(outcome.status == 0 ? nil : outcome.reason)
                }
            }
        }
    }

    /// Without the kernel's news the looks with each check-in are left.
    private func watchFence() {
        guard fenceWatch == nil, config.network.usesNftables else { return }
        fenceWatch = try? FenceWatch(loop, layout.fence(config)) { [self] in onFenceChange() }
    }

    /// Whether the walls stand as they were raised: whoever reloads this machine's own firewall may have flushed them. Not called where they
    /// were not raised by this program, or are gone by the time it looks.
    func lookAtFence(_ completion: @escaping (Bool) -> Void) {
        guard walls != nil, !isLooking else { return }
        isLooking = true
        enqueue("fence-look") { [self] done in
            isLooking = false
            guard let walls else { return done() }
            look { outcome in
                done()
                completion(outcome.output == walls)
            }
        }
    }

    /// The rules as the kernel tells them; nothing where there are none by the configuration.
    private func look(_ completion: @escaping (Outcome) -> Void) {
        guard let command = layout.fence(config).looking else { return completion(Outcome(status: 0, output: [], complaint: [])) }
        loop.run(command, completion)
    }

    private func runAll(_ commands: [Command], _ completion: @escaping (String?) -> Void) {
        guard let first = commands.first else { return completion(nil) }
        loop.run(first) { [self] outcome in
            guard outcome.status == 0 else { return completion((first.arguments.first ?? "") + ": " + outcome.reason) }
            runAll(Array(commands.dropFirst()), completion)
        }
    }

    /// Runs a step on the drive that is there now, if it is still the one that was meant when the step was put in line.
    private func storage(_ word: String, _ wanted: String?, more: [String] = [], _ completion: @escaping (Outcome) -> Void) {
        progress = nil
        if let wanted, wanted != drive?.identity {
            return completion(Outcome(status: 1, output: [], complaint: Array(("the drive is away: " + wanted).utf8)))
        }
        var arguments = [Invocation.programPath(), "storage", word, "--yes", "--json"] + layout.arguments
        // Its name alone would not do: another drive may have it by the time the child looks.
        if let drive {
            arguments += [drive.path, "--drive", drive.identity]
            if let sequence = drive.sequence { arguments += ["--diskseq", "\(sequence)"] }
        }
        loop.run(Command(arguments + more), onLine: { [self] line in hear(line) }) { [self] outcome in
            if progress != nil { onProgress(nil) }
            progress = nil
            completion(outcome)
        }
    }

    private func hear(_ line: String) {
        guard let told = ProgressText.read(line),
            let fresh = Progress(told.step, done: told.done, total: told.total, after: progress)
        else { return }
        progress = fresh
        onProgress(fresh)
    }
}
