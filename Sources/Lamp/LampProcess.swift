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
    /// What is wrong with either lamp; nil where nothing is.
    private var lineTrouble: String?
    private var ledTrouble: String?
    private var told = ""
    private let leds: String

    init(plan: LampPlan, beats: [Beat], socket: Int32, leds: String = BoardLED.leds) {
        self.plan = plan
        self.beats = beats
        self.socket = socket
        self.leds = leds
        beat = beats.first ?? Beat([0, 1])
    }

    /// Returns when the other end is gone and the lamps are dark.
    mutating func run() {
        began = Self.now()
        take()
        while true {
            light()
            say()
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

    /// Takes the lamps that are missing.
    private mutating func take() {
        retryAt = nil
        if line == nil, let wanted = plan.line {
            lineTrouble = nil
            do throws(SystemError) { line = try GPIOLine(wanted) } catch { lineTrouble = error.message }
        }
        if led == nil, let wanted = plan.led {
            ledTrouble = nil
            do throws(SystemError) { led = try BoardLED(wanted, under: leds) } catch { ledTrouble = error.message }
            showOnLED()
        }
        wasLit = nil
    }

    /// Says what is wrong, if that is new; what is missing is looked for again.
    private mutating func say() {
        var text = lineTrouble ?? ""
        if let ledTrouble { text += (text.isEmpty ? "" : "; ") + ledTrouble }
        if text.isEmpty {
            pause = 1_000
        } else if retryAt == nil {
            retryAt = Self.now() + pause
            pause = min(60_000, pause * 2)
        }
        text = (text.isEmpty ? "+" : "!") + text
        guard text != told else { return }
        told = text
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { clinux_send_message(socket, $0.baseAddress, $0.count) }
    }

    private mutating func showOnLED() {
        guard let led else { return }
        do throws(SystemError) { lightsLED = try !led.show(beat) } catch { loseLED(error) }
    }

    /// Brings what we light ourselves to where the beat is.
    private mutating func light() {
        let isLit = beat.moment(Self.now() - began).isLit
        guard isLit != wasLit else { return }
        wasLit = isLit
        do throws(SystemError) { try line?.set(isLit: isLit) } catch {
            line = nil
            lineTrouble = error.message
        }
        guard lightsLED else { return }
        do throws(SystemError) { try led?.set(isLit: isLit) } catch { loseLED(error) }
    }

    /// A lamp that no longer answers is given up and looked for again; the other one stays.
    private mutating func loseLED(_ error: SystemError) {
        led?.giveBack()
        led = nil
        lightsLED = false
        ledTrouble = error.message
    }
}
