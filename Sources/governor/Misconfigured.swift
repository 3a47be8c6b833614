import CLinux
import Commands
import EventLoop
import GovernorCore
import Lamp
import Platform

/// A device whose device-config.json is wrong. Where there is a lamp, or `--stay` asks for it, the program stays to show that, does nothing
/// else, and goes on when the file is mended. By hand, without either, it ends at once: status 78, nothing touched.
enum Misconfigured {
    /// Milliseconds between two looks at the file. No inotify: the file system it lies on may itself come later.
    private static let pause: Int64 = 5_000

    /// The configuration, as soon as it can be read; nil where a signal ended the wait.
    static func wait(_ layout: Layout, _ log: Log, stays: Bool) throws(CommandFailure) -> Config? {
        let failure: CommandFailure
        do throws(CommandFailure) { return try layout.config() } catch { failure = error }
        let plan = Config.lampAlone(layout.configPath, Board.read(layout.boardPath))
        guard stays || !plan.isEmpty, Invocation.isRoot else { throw failure }
        // Held while we show it: another governor may be at work with the configuration that it has read.
        let lock = try RunCommand.takeLock(layout)
        defer { _ = lock.raw }
        return try system(otherwise: .failed) { () throws(SystemError) in try show(failure.message, plan, layout, log) }
    }

    private static func show(_ reason: String, _ plan: LampPlan, _ layout: Layout, _ log: Log) throws(SystemError) -> Config? {
        let signals = FileDescriptor(owning: clinux_signal_descriptor())
        guard signals.raw >= 0 else { throw .last("signalfd") }
        let loop = try EventLoop()
        var config: Config?
        var told: String?
        var files = StatusFiles(layout)
        func look() {
            do throws(CommandFailure) {
                config = try layout.config()
                loop.stop()
            } catch {
                if error.message != told { complain(error.message) }
            }
        }
        func complain(_ reason: String) {
            told = reason
            log.write(Note(.configurationBad, ["reason": reason]))
            files.publish("misconfigured", .four, reason)
        }
        func lookLater() {
            loop.after(milliseconds: pause) {
                look()
                lookLater()
            }
        }
        complain(reason)
        let keeper = Lamps.keeper(loop, plan) { note in log.write(note) }
        defer { keeper?.end() }
        keeper?.show(LampPattern.four.number)
        lookLater()
        let number = signals.raw
        loop.watch(number) { _ in
            guard clinux_read_signal(number) == SIGHUP else { return loop.stop() }
            // Who asks is told again.
            told = nil
            look()
        }
        Supervisor()?.ready(loop)
        try loop.run()
        return config
    }
}
