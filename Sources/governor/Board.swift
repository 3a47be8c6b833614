import Lamp
import Platform

/// What the image's build wrote down of the board (its fact file, board/NAME/facts), as far as the governor asks. A machine without that
/// file has no lamp of its own.
struct Board {
    /// LAMP_LED: the LED that is the lamp unless the owner says otherwise.
    private(set) var led: String?
    /// GPIO_CHIPS: labels of the chips that the pins of the header may hang on.
    private(set) var chips: [String] = []
    /// DRIVE: the disk for leases unless the owner names one, where it is there. Without it a USB drive is.
    private(set) var drive: String?

    /// The lamp where the owner names none.
    var lamp: LampPlan { LampPlan(led: led) }

    /// Reads KEY=value, one a line, the value perhaps in double quotes.
    static func read(_ path: String) -> Board {
        var board = Board()
        guard let bytes = try? Files.read(path, limit: 65_536) else { return board }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            if let words = words(of: "LAMP_LED=", in: line) { board.led = words.first }
            if let words = words(of: "GPIO_CHIPS=", in: line) { board.chips = words }
            if let words = words(of: "DRIVE=", in: line) { board.drive = words.first }
        }
        return board
    }

    @inline(never)
    private static func words(of key: String, in line: ArraySlice<UInt8>) -> [String]? {
        guard line.starts(with: key.utf8) else { return nil }
        return line.dropFirst(key.utf8.count).split { $0 == UInt8(ascii: "\"") || $0 <= 0x20 }.map { String(decoding: $0, as: UTF8.self) }
    }
}
