import CLinux
import Commands
import EventLoop
import GovernorCore
import JSON
import Lamp
import Platform

/// A device whose device-config.json is wrong. Where there is a lamp, the program stays to show that, and does nothing else.
enum Misconfigured {
    /// The configuration, as soon as it can be read; nil where a signal ended the wait. Without a lamp a wrong one ends the program at once.
    static func wait(_ layout: Layout, _ log: Log) throws(CommandFailure) -> Config? {
        let failure: CommandFailure
        do throws(CommandFailure) { return try layout.config() } catch { failure = error }
        let plan = Config.lampAlone(layout.configPath, Board.read(layout.boardPath))
        guard !plan.isEmpty, Invocation.isRoot else { throw failure }
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
        let number = signals.raw
        func complain(_ reason: String) {
            log.write(Note(.configurationBad, ["reason": reason]))
            publish(reason, layout)
        }
        complain(reason)
        let keeper = Lamps.keeper(loop, plan) { note in log.write(note) }
        defer { keeper?.end() }
        keeper?.show(LampPattern.four.number)
        loop.watch(number) { _ in
            guard clinux_read_signal(number) == SIGHUP else { return loop.stop() }
            do throws(CommandFailure) {
                config = try layout.config()
                loop.stop()
            } catch { complain(error.message) }
        }
        Supervisor()?.ready(loop)
        try loop.run()
        return config
    }

    private static func publish(_ reason: String, _ layout: Layout) {
        let status = JSON.object(Status.head("misconfigured", .four) + [.init("fault", .string(reason))])
        // Without it `governor status` says less; the lamp and the log say it too.
        do throws(SystemError) { try Files.publish(layout.statusPath, status.encoded()) } catch { return }
    }
}
