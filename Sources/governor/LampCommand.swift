import CLinux
import Commands
import EventLoop
import GovernorCore
import Lamp
import Platform

/// The table of patterns, for the hands that show it.
enum Lamps {
    /// Who keeps the lamps of a plan; nil where there is none.
    static func keeper(_ loop: EventLoop, _ plan: LampPlan, _ write: @escaping (Note) -> Void) -> Keeper? {
        guard !plan.isEmpty else { return nil }
        return Keeper(loop: loop, plan: plan, beats: LampPattern.allCases.map { Beat($0.beat) }) { trouble in
            write(trouble.map { Note(.lampFailed, ["reason": $0]) } ?? Note(.lampMended))
        }
    }
}

/// `governor lamp`, `governor lamp test`, `governor lamp show PATTERN`.
enum LampCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        switch (options.words.first, options.words.count) {
        case (nil, _): list(layout)
        case ("test", 1): try show(LampPattern.allCases, layout, options, seconds: 5)
        case ("show", 2):
            guard let pattern = LampPattern(rawValue: options.words[1]) else {
                throw CommandFailure(.usage, "lamp show: no pattern is named \"" + options.words[1] + "\"; see governor lamp")
            }
            try show([pattern], layout, options, seconds: nil)
        default: throw CommandFailure(.usage, "expected lamp, lamp test or lamp show PATTERN; see --help")
        }
    }

    /// A file that is wrong elsewhere does not hide the lamp, but is told of.
    private static func plan(_ layout: Layout) -> LampPlan {
        do throws(CommandFailure) { return try layout.config().lamp } catch {
            Terminal.complain("governor: " + error.message)
            return Config.lampAlone(layout.configPath, Board.read(layout.boardPath))
        }
    }

    private static func list(_ layout: Layout) {
        for pattern in LampPattern.allCases { Terminal.print(line(pattern)) }
        let plan = plan(layout)
        if let line = plan.line { Terminal.print("lamp is " + line.name) }
        if let led = plan.led { Terminal.print("lamp is the board's LED " + led) }
        if plan.isEmpty { Terminal.print("this device has no lamp") }
    }

    private static func line(_ pattern: LampPattern) -> String {
        var line = pattern.rawValue
        while line.utf8.count < 8 { line += " " }
        line += pattern.look
        while line.utf8.count < 28 { line += " " }
        return line + pattern.meaning
    }

    private static func show(_ patterns: [LampPattern], _ layout: Layout, _ options: Options, seconds: Int64?) throws(CommandFailure) {
        let plan = plan(layout)
        guard !plan.isEmpty else {
            throw CommandFailure(.unavailable, "this device has no lamp: name one in device-config.json, \"lamp\"")
        }
        let seconds = try options.number("--seconds", 1...3_600) ?? seconds
        // A governor that runs shows its own pattern on the same lamp.
        let lock = try RunCommand.takeLock(layout)
        let trouble = try system(otherwise: .failed) { () throws(SystemError) in
            let signals = clinux_signal_descriptor()
            guard signals >= 0 else { throw .last("signalfd") }
            let loop = try EventLoop()
            var trouble: String?
            let keeper = Lamps.keeper(loop, plan) { note in trouble = note.fields.first?.value }
            defer { keeper?.end() }
            loop.watch(signals) { _ in loop.stop() }
            step(patterns[...], loop, keeper, seconds)
            try loop.run()
            return trouble
        }
        _ = lock.raw
        if let trouble { throw CommandFailure(.unavailable, "lamp: " + trouble) }
    }

    private static func step(_ patterns: ArraySlice<LampPattern>, _ loop: EventLoop, _ keeper: Keeper?, _ seconds: Int64?) {
        guard let pattern = patterns.first, keeper?.trouble == nil else { return loop.stop() }
        keeper?.show(pattern.number)
        Terminal.print(line(pattern))
        guard let seconds else { return }
        loop.after(milliseconds: seconds * 1_000) { step(patterns.dropFirst(), loop, keeper, seconds) }
    }
}
