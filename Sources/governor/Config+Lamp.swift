import JSON
import Lamp

extension Config {
    /// The lamps: what `lamp` names, and nothing else; without it the board's own.
    static func lamp(_ found: consuming ObjectReader?, _ board: Board) throws(JSONError) -> LampPlan {
        guard var reader = found else { return board.lamp }
        var plan = LampPlan()
        plan.led = try reader.optionalString("led", 1...64)
        if let led = plan.led, led.utf8.first == UInt8(ascii: ".") || led.utf8.contains(UInt8(ascii: "/")) {
            throw reader.failure("led", expected: "a name in /sys/class/leds, or its last part", found: "\"" + led + "\"")
        }
        if var line = try reader.optionalObject("gpio") {
            let chip = try line.optionalString("chip", 1...31)
            guard let chips = chip.map({ [$0] }) ?? (board.chips.isEmpty ? nil : board.chips) else {
                throw line.failure("chip", expected: "the label of a GPIO chip, for this board has no usual one", found: "nothing")
            }
            plan.line = LampPlan.Line(
                chips: chips, offset: UInt32(try line.integer("line", 0...1_023)), isActiveLow: try line.optionalBool("activeLow") ?? false)
            try line.finish()
        }
        try reader.finish()
        return plan
    }

    /// The lamps of a file that is wrong elsewhere, to show just that; the board's own where `lamp` can't be read either.
    static func lampAlone(_ path: String, _ board: Board) -> LampPlan {
        do throws(JSONError) {
            var reader = try ObjectReader(try value(path))
            return try lamp(try reader.optionalObject("lamp"), board)
        } catch { return board.lamp }
    }
}
