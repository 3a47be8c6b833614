import CLinux
import Platform

/// One of the board's own LEDs in the kernel's LED class. The kernel's `pattern` trigger blinks by itself, its `timer` trigger knows
/// only one flash and one pause; what neither can do is left to the caller.
struct BoardLED {
    /// Where the kernel has them.
    static let leds = "/sys/class/leds"

    /// Its folder in the LED class.
    let folder: String
    private let full: Int
    /// Who lit it before us.
    private let former: String

    /// Finds it. ENODEV where there is none of that name.
    init(_ name: String, under leds: String = BoardLED.leds) throws(SystemError) {
        var found = name
        if !Files.exists(leds + "/" + name) {
            let suffix = Array((":" + name).utf8)
            guard let other = Files.names(in: leds).first(where: { Array($0.utf8).suffix(suffix.count) == suffix[...] }) else {
                throw SystemError(ENODEV, "no LED is named " + name + " in " + leds)
            }
            found = other
        }
        folder = leds + "/" + found
        full = try Files.read(folder + "/max_brightness", limit: 64).reduce(0) {
            (0x30...0x39).contains($1) ? $0 * 10 + Int($1 - 0x30) : $0
        }
        former = Self.former(try Files.read(folder + "/trigger", limit: 65_536))
    }

    /// Shows a beat; false where the caller must light it and make it dark by `set` itself.
    func show(_ beat: Beat) throws(SystemError) -> Bool {
        if let isLit = beat.constant {
            try write("none", to: "trigger")
            try set(isLit: isLit)
            return true
        }
        let triggers = try Files.read(folder + "/trigger", limit: 65_536)
        if contains(triggers, "pattern") {
            try write("pattern", to: "trigger")
            try write(pattern(beat), to: "pattern")
            return true
        }
        if contains(triggers, "timer"), beat.lengths.count == 2 {
            try write("timer", to: "trigger")
            try write("\(beat.lengths[0])", to: "delay_on")
            try write("\(beat.lengths[1])", to: "delay_off")
            return true
        }
        try write("none", to: "trigger")
        return false
    }

    /// Lights it or makes it dark, where no trigger does.
    func set(isLit: Bool) throws(SystemError) { try write(isLit ? "\(full)" : "0", to: "brightness") }

    /// Makes it dark and gives it to whoever had it before. What fails here nobody can mend.
    func giveBack() {
        for (file, text) in [("trigger", "none"), ("brightness", "0"), ("trigger", former)] {
            do throws(SystemError) { try write(text, to: file) } catch { continue }
        }
    }

    /// Brightness and milliseconds in turn. The kernel would fade from one to the next; a second one of no length makes it jump.
    private func pattern(_ beat: Beat) -> String {
        var text = ""
        for (index, length) in beat.lengths.enumerated() {
            let level = index % 2 == 0 ? full : 0
            text += "\(level) \(length) \(level) 0 "
        }
        return text
    }

    /// Never inlined: it is called seven times, and the program must stay small.
    @inline(never)
    private func write(_ text: String, to name: String) throws(SystemError) {
        let path = folder + "/" + name
        do throws(SystemError) { try FileDescriptor.open(path, O_WRONLY | O_TRUNC).write(Array(text.utf8)) } catch {
            throw error.within(path)
        }
    }

    /// The trigger in brackets, of all that there are.
    private static func former(_ triggers: [UInt8]) -> String {
        guard let from = triggers.firstIndex(of: UInt8(ascii: "[")), let to = triggers.firstIndex(of: UInt8(ascii: "]")), from < to else {
            return "none"
        }
        let name = triggers[(from + 1)..<to]
        // A governor that was killed leaves these two behind; what they showed nobody could bring back anyway.
        if contains(name, "pattern") || contains(name, "timer") { return "none" }
        return String(decoding: name, as: UTF8.self)
    }
}
