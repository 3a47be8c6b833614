/// By what a drive is known for ever, under whatever name the kernel gives it today.
///
///     serial:0951:1666:E0D55EA573FC@15728640000   a USB drive: maker, product, serial, size in bytes
///     wwid:naa.5000c500a1b2c3d4@1000204886016     one without a serial that tells, but with a World Wide Name
///     like:0951:1666:1-1.2:0:0@15728640000        one with neither: what it looks like, and the socket it is in
///     serial:VB1234-5678, path:/dev/ubda          what the owner named by its path
///
/// The size is part of it because docks and card readers give their own serial, whatever is put into them.
enum Identity {
    /// What a USB drive says of itself.
    struct USB: Equatable {
        /// idVendor and idProduct, four hex digits each.
        var vendor = ""
        var product = ""
        /// iSerialNumber.
        var serial: String?
        /// SCSI VPD page 0x83, as the kernel writes it.
        var wwid: String?
        /// The socket: bus and ports.
        var socket = ""
        /// SCSI target and unit: a card reader has several behind one serial.
        var unit = "0:0"
        var bytes: Int64 = 0
    }

    static func of(_ drive: USB) -> String {
        let size = "@\(drive.bytes)"
        let maker = word(drive.vendor) + ":" + word(drive.product) + ":"
        // Blanks as udev writes them.
        if let serial = drive.serial.map({ underscored($0) }), isTelling(serial) {
            return "serial:" + maker + serial + (drive.unit == "0:0" ? "" : ":" + word(drive.unit)) + size
        }
        // The other kind, t10, is made of model and serial, which were found wanting.
        if let wwid = drive.wwid, isWorldWide(wwid) { return "wwid:" + wwid + size }
        return "like:" + maker + word(drive.socket) + ":" + word(drive.unit) + size
    }

    /// What the kernel writes in digits and dots; whatever it was, it fits into a receipt.
    private static func word(_ text: String) -> String { printable(String(decoding: Array(text.utf8.prefix(24)), as: UTF8.self)) }

    private static func underscored(_ text: String) -> String {
        String(decoding: text.utf8.map { $0 == 0x20 ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
    }

    private static func isWorldWide(_ wwid: String) -> Bool {
        guard wwid.utf8.starts(with: "naa.".utf8) || wwid.utf8.starts(with: "eui.".utf8), wwid.utf8.count <= 64 else { return false }
        let digits = Array(wwid.utf8.dropFirst(4))
        return digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) } && digits.contains { $0 != UInt8(ascii: "0") }
    }

    /// Whether a serial tells one drive from another: not what cheap controllers give to every drive they are in.
    static func isTelling(_ serial: String) -> Bool {
        let bytes = Array(serial.utf8)
        guard (5...128).contains(bytes.count), bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return false }
        guard Set(bytes).count > 2 else { return false }
        let upper = bytes.map { (0x61...0x7A).contains($0) ? $0 - 0x20 : $0 }
        if dummies.contains(where: { $0.utf8.elementsEqual(upper) }) { return false }
        return !runs.contains { isPart(upper, of: Array($0.utf8)) }
    }

    private static let dummies = ["(NULL)", "UNKNOWN", "DEFAULT", "SERIAL", "NO_SERIAL", "NOSERIAL", "INVALID", "USBSTICK"]

    /// Counting is no serial: 123456789ABC, 0123456789, 12345678901234567890.
    private static let runs = [
        "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", "012345678901234567890123456789012345678901234567890123456789",
        "FEDCBA9876543210FEDCBA9876543210", "98765432109876543210",
    ]

    private static func isPart(_ bytes: [UInt8], of run: [UInt8]) -> Bool {
        guard bytes.count <= run.count else { return false }
        return (0...(run.count - bytes.count)).contains { run[$0..<($0 + bytes.count)].elementsEqual(bytes) }
    }
}
