import Testing

@testable import Storage

/// By what a drive is known for ever.
@Suite struct IdentityTests {
    static let stick = Identity.USB(vendor: "0951", product: "1666", serial: "E0D55EA573FC", socket: "1-1.2", bytes: 15_728_640_000)

    static func changed(_ change: (inout Identity.USB) -> Void) -> String {
        var drive = stick
        change(&drive)
        return Identity.of(drive)
    }

    @Test func `a serial that tells is used, with maker and size`() {
        #expect(Identity.of(Self.stick) == "serial:0951:1666:E0D55EA573FC@15728640000")
    }

    @Test func `the socket does not matter where there is a serial`() {
        #expect(Self.changed { $0.socket = "3-4" } == Identity.of(Self.stick))
    }

    @Test func `each slot of a card reader is a drive of its own`() {
        #expect(Self.changed { $0.unit = "0:1" } == "serial:0951:1666:E0D55EA573FC:0:1@15728640000")
    }

    @Test func `another disk in the same dock is another drive`() {
        #expect(Self.changed { $0.bytes = 4_000_787_030_016 } != Identity.of(Self.stick))
    }

    @Test func `without a serial a World Wide Name`() {
        #expect(Self.changed { ($0.serial, $0.wwid) = (nil, "naa.5000c500a1b2c3d4") } == "wwid:naa.5000c500a1b2c3d4@15728640000")
    }

    @Test(arguments: ["t10.Generic Flash Disk      A1B2C3D4", "naa.0000000000000000", "eui.", "uuid.1", "naa.\u{1B}[31m"])
    func `a name that is not world wide is none`(name: String) {
        #expect(Self.changed { ($0.serial, $0.wwid) = (nil, name) } == "like:0951:1666:1-1.2:0:0@15728640000")
    }

    @Test(arguments: [
        "(null)", "(NULL)", "", "0", "00000000", "000000000001", "FFFFFFFFFFFF", "0123456789AB", "0123456789ABCDEF", "123456789012",
        "12345678",
        "123456789ABC", "0123456789abcdef", "1234", "unknown", "A\u{7F}BCDEFGH", "\u{4E2D}\u{6587}12345", "No Serial", "USBSTICK",
    ])
    func `a serial that many have is none`(serial: String) {
        #expect(Self.changed { $0.serial = serial } == "like:0951:1666:1-1.2:0:0@15728640000")
    }

    @Test(arguments: ["E0D55EA573FC", "4C530001230523115431", "07B20E0B7C31A5F2", "20190612-0042", "AA00000000000489", "57584c314137"])
    func `a serial of its own tells`(serial: String) { #expect(Identity.isTelling(serial)) }

    @Test func `what a drive calls itself can't write on a terminal`() {
        #expect(printable("SanDisk \u{1B}[2JUltra\n\u{E9}") == "SanDisk ?[2JUltra???")
    }

    @Test func `sticks without a serial are told apart by their sockets`() {
        let one = Self.changed { $0.serial = nil }
        let other = Self.changed { ($0.serial, $0.socket) = (nil, "1-1.3") }
        #expect(one != other)
    }
}
