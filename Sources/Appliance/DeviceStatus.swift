import GovernorCore

/// device-status.txt, what an owner who can't log in reads on a PC. Windows' line ends; nothing in it changes by itself, for each change is
/// written to the card.
public enum DeviceStatus {
    /// The longest line, in bytes: words of the owner's own file may be in it.
    static let longest = 500

    /// The text: the program's version, what `governor status` says (one `label  value` a line), and what to do.
    public static func text(version: String, lines: [String], _ pattern: LampPattern) -> [UInt8] {
        let all = ["Sublet " + version + ": how this device was when it last wrote this file", ""] + lines + ["", advice(pattern)]
        var text: [UInt8] = []
        for line in all {
            text += line.utf8.prefix(longest).map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }
            text += [0x0D, 0x0A]
        }
        return text
    }

    private static func advice(_ pattern: LampPattern) -> String {
        switch pattern {
        case .dark: "It could not start. Mend what is said above, if you can, or show this file to whoever gave you the card."
        case .steady: "Somebody rents this device: leave it running, with its drive."
        case .slow: "All is well; it waits for somebody who rents it."
        case .fast: "It is working: do not unplug it."
        case .two:
            "It can't reach its market. Look at the cable, or at ssid and passphrase in device-config.json. It goes on by itself when the way is free."
        case .three:
            "Plug in a USB drive: a blank one, or, while somebody rents this device, the one that was in it. A drive with files on it is left "
                + "alone until an empty file named ERASE-THIS-DRIVE lies beside them."
        case .four:
            "Mend device-config.json on this card with a plain text editor, and start the device again. READ-ME-FIRST.txt says what may be in it."
        case .sos:
            "An erase could not be verified. Leave the drive plugged in: it is tried again. If this stays so, the drive is broken: take another."
        }
    }
}
