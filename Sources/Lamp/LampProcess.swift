import CLinux
import Platform

/// The process that holds the lamps until the other end of its socket is gone. A byte that comes names the beat to show; what it says is
/// `+`, or `!` and what is wrong.
struct LampProcess: ~Copyable {
    private let plan: LampPlan
    private let beats: [Beat]
    private let socket: Int32
    private var beat: Beat
    /// When the beat began, milliseconds.
    private var began: Int64 = 0
    private var line: GPIOLine?
    private var led: BoardLED?
    /// Whether the LED needs us to blink.
    private var lightsLED = false
    /// What was shown last; nil where that is not known.
    private var wasLit: Bool?
    /// When to look again for a lamp that is not there, milliseconds, and the pause before the look after that.
    private var retryAt: Int64?
    private var pause: Int64 = 1_000
    private var told = ""

    init(plan: LampPlan, beats: [Beat], socket: Int32) {
        self.plan = plan
        self.beats = beats
        self.socket = socket
        beat = beats.first ?? Beat([0, 1])
    }

    /// Returns when the other end is gone and the lamps are dark.
    mutating func run() {
        began = Self.now()
        take()
        while true {
            light()
            var ready = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let count = poll(&ready, 1, patience())
            if count < 0, clinux_errno() != EINTR { break }
            if count > 0, !hear() { break }
            if let retryAt, retryAt <= Self.now() { take() }
        }
        line = nil
        led?.giveBack()
    }

    private static func now() -> Int64 { Clock.bootNanoseconds() / 1_000_000 }

    /// Milliseconds until there is something to do; -1 for ever.
    private func patience() -> Int32 {
        let now = Self.now()
        var next = retryAt.map { max(0, $0 - now) }
        if line != nil || lightsLED, let left = beat.moment(now - began).left { next = min(next ?? left, left) }
        return next.map { Int32(clamping: $0) } ?? -1
    }

    /// Takes the orders that have come; false at the end of the connection.
    private mutating func hear() -> Bool {
        var byte: UInt8 = 0
        let count = read(socket, &byte, 1)
        if count == 0 { return false }
        guard count == 1, beats.indices.contains(Int(byte)) else { return true }
        beat = beats[Int(byte)]
        began = Self.now()
        wasLit = nil
        showOnLED()
        return true
    }

    /// Takes the lamps that are missing, and says what is wrong with them.
    private mutating func take() {
        var troubles: [String] = []
        if line == nil, let wanted = plan.line {
            do throws(SystemError) { line = try GPIOLine(wanted) } catch { troubles.append(error.message) }
        }
        if led == nil, let wanted = plan.led {
            do throws(SystemError) { led = try BoardLED(wanted) } catch { troubles.append(error.message) }
            showOnLED()
        }
        wasLit = nil
        say(troubles)
    }

    private mutating func say(_ troubles: [String]) {
        retryAt = troubles.isEmpty ? nil : Self.now() + pause
        pause = troubles.isEmpty ? 1_000 : min(60_000, pause * 2)
        var text = troubles.isEmpty ? "+" : "!"
        for (index, trouble) in troubles.enumerated() { text += (index > 0 ? "; " : "") + trouble }
        guard text != told else { return }
        told = text
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { clinux_send_message(socket, $0.baseAddress, $0.count) }
    }

    private mutating func showOnLED() {
        guard let led else { return }
        do throws(SystemError) { lightsLED = try !led.show(beat) } catch { lose(error) }
    }

    /// Brings what we light ourselves to where the beat is.
    private mutating func light() {
        let isLit = beat.moment(Self.now() - began).isLit
        guard isLit != wasLit else { return }
        wasLit = isLit
        do throws(SystemError) {
            try line?.set(isLit: isLit)
            if lightsLED { try led?.set(isLit: isLit) }
        } catch { lose(error) }
    }

    /// A lamp that no longer answers is given up and looked for again.
    private mutating func lose(_ error: SystemError) {
        line = nil
        led = nil
        lightsLED = false
        say([error.message])
    }
}
