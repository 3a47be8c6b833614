/// What udev and sysfs say of a block device. The kernel passes on what a drive says of itself, which may be anything.
struct DiskFacts {
    /// The kernel's name, such as `sda`.
    var name = ""
    /// The node under /dev; nil where there is none (yet).
    var node: String?
    /// `disk` or `partition`.
    var type: String?
    /// Sectors of 512 bytes.
    var sectors: Int64?
    /// The number of this appearance.
    var sequence: Int64?
    var isReadOnly = false
    /// `device/model`, for what is not SCSI.
    var model: String?
    /// The USB device that it hangs on; nil where it hangs on none.
    var usb: USB?
    /// The SCSI device that it hangs on; nil where it hangs on none.
    var scsi: SCSI?

    struct USB {
        /// The kernel's name, such as `1-1.2`.
        var name = ""
        var vendor: String?
        var product: String?
        var serial: String?
    }

    struct SCSI {
        /// Host, channel, target, unit: `0:0:0:0`.
        var name = ""
        /// The peripheral type, a number.
        var type: String?
        var vendor: String?
        var model: String?
        var wwid: String?
    }

    /// The largest size that is believed, in bytes; more than any drive has.
    static let largest: Int64 = 1 << 60

    /// Its size in bytes; 0 where it has none, or one that makes no sense.
    var bytes: Int64 {
        guard let sectors, (0...(Self.largest / 512)).contains(sectors) else { return 0 }
        return sectors * 512
    }

    private var kind: Disk.Kind {
        guard type == "disk" else { return .partition }
        // SCSI peripheral types (SPC-5): 0 disk, 7 optical memory, 14 simplified disk. 5 is a CD-ROM.
        guard let type = scsi?.type else { return .disk }
        return ["0", "7", "14"].contains(type) ? .disk : .other
    }

    /// The disk, without what stands on it. One that is not on USB is known by another identity, made of its name and node.
    func disk(otherIdentity: (String, String) -> String) -> Disk {
        let node = node ?? "/dev/" + name
        // What others than SCSI call a vendor is a number.
        let vendor = printable(scsi?.vendor ?? "")
        let model = printable(scsi?.model ?? model ?? "")
        return Disk(
            node: node, identity: usb.map { identity($0) } ?? otherIdentity(name, node), bytes: bytes, sequence: sequence,
            model: vendor.isEmpty || model.isEmpty ? vendor + model : vendor + " " + model, kind: kind, isUSB: usb != nil,
            isReadOnly: isReadOnly)
    }

    private func identity(_ usb: USB) -> String {
        var drive = Identity.USB(bytes: bytes)
        drive.vendor = usb.vendor ?? ""
        drive.product = usb.product ?? ""
        drive.serial = usb.serial
        drive.socket = usb.name
        drive.wwid = scsi?.wwid
        // The first number, the host, is counted anew at every plugging in.
        let parts = (scsi?.name ?? "").utf8.split(separator: UInt8(ascii: ":")).map { String(decoding: Array($0), as: UTF8.self) }
        if parts.count == 4 { drive.unit = parts[2] + ":" + parts[3] }
        return Identity.of(drive)
    }
}

extension DiskFacts {
    /// Asks udev.
    init(_ device: borrowing UdevDevice) {
        name = device.name
        node = device.node
        type = device.type
        sectors = device.whole("size")
        sequence = device.whole("diskseq")
        isReadOnly = device.whole("ro") == 1
        model = device.attribute("device/model")
        if let above = device.ancestor("usb", "usb_device") {
            usb = USB(
                name: above.name, vendor: above.attribute("idVendor"), product: above.attribute("idProduct"),
                serial: above.attribute("serial"))
        }
        if let above = device.ancestor("scsi", "scsi_device") {
            scsi = SCSI(
                name: above.name, type: above.attribute("type"), vendor: above.attribute("vendor"), model: above.attribute("model"),
                wwid: above.attribute("wwid"))
        }
    }
}

/// What a drive calls itself, for a terminal: it may say anything.
func printable(_ text: String) -> String {
    String(decoding: text.utf8.map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
}
