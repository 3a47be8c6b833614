import Testing

@testable import Storage

/// A disk by what udev and sysfs say of it.
@Suite struct DiskFactsTests {
    static let stick = DiskFacts(
        name: "sda", node: "/dev/sda", type: "disk", sectors: 30_720_000,
        usb: DiskFacts.USB(name: "1-1.2", vendor: "0951", product: "1666", serial: "E0D55EA573FC"),
        scsi: DiskFacts.SCSI(name: "0:0:0:0", type: "0", vendor: "Kingston", model: "DataTraveler", wwid: nil))

    static func disk(_ change: (inout DiskFacts) -> Void = { _ in }) -> Disk {
        var facts = stick
        change(&facts)
        return facts.disk { "other:" + $0 + $1 }
    }

    @Test func `a stick`() {
        #expect(
            Self.disk()
                == Disk(
                    node: "/dev/sda", identity: "serial:0951:1666:E0D55EA573FC@15728640000", bytes: 15_728_640_000,
                    model: "Kingston DataTraveler"))
    }

    @Test(arguments: [nil, -1, .max, .max / 512, (1 << 51) + 1] as [Int64?])
    func `a size that makes no sense is none`(sectors: Int64?) { #expect(Self.disk { $0.sectors = sectors }.bytes == 0) }

    @Test func `what is not on USB is known otherwise`() {
        let disk = Self.disk { ($0.usb, $0.scsi, $0.model) = (nil, nil, "SC32G") }
        #expect(disk.identity == "other:sda/dev/sda" && !disk.isUSB && disk.model == "SC32G")
    }

    @Test(arguments: [("0", .disk), ("7", .disk), ("14", .disk), ("5", .other), ("", .other), (nil, .disk)] as [(String?, Disk.Kind)])
    func `a CD-ROM is no disk`(type: String?, kind: Disk.Kind) { #expect(Self.disk { $0.scsi?.type = type }.kind == kind) }

    @Test func `a partition is none either`() { #expect(Self.disk { $0.type = "partition" }.kind == .partition) }

    @Test func `an identity has no control characters and fits into a receipt, whatever a drive says`() {
        let long = String(repeating: "\u{1B}x", count: 200)
        for serial in [nil, long] {
            let identity = Self.disk {
                $0.usb = DiskFacts.USB(name: long, vendor: long, product: long, serial: serial)
                $0.scsi?.name = "0:0:" + long + ":" + long
            }.identity
            #expect(identity.utf8.count <= 256 && identity.utf8.allSatisfy { (0x20...0x7E).contains($0) })
        }
    }
}
