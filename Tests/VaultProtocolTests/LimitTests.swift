import Foundation
import Platform
import Testing
import VaultProtocol

@Suite struct PatienceTests {
    private let second: Int64 = 1_000_000_000

    @Test func `three wrong ones are free, then the pauses double up to a minute`() {
        var patience = VaultPatience()
        var pauses: [Int64] = []
        for _ in 0..<12 {
            patience.heardWrong(at: 50 * second)
            pauses.append(patience.secondsLeft(at: 50 * second))
        }
        #expect(pauses == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
    }

    @Test func `a pause ends, and the right one forgets all`() {
        var patience = VaultPatience()
        for _ in 0..<6 { patience.heardWrong(at: 100 * second) }
        #expect(patience.secondsLeft(at: 101 * second) == 7)
        #expect(patience.secondsLeft(at: 107 * second + 1) == 1)
        #expect(patience.secondsLeft(at: 108 * second) == 0)
        patience.heardRight()
        #expect(patience == VaultPatience())
    }

    @Test func `a clock that went back does not make anybody wait longer`() {
        var patience = VaultPatience()
        for _ in 0..<5 { patience.heardWrong(at: 1_000 * second) }
        #expect(patience.secondsLeft(at: 0) == 4)
    }

    @Test func `numbers that no device has end nothing`() throws {
        var patience = try #require(VaultPatience(Array("\(Int64.max / 4) \(Int64.max / 4)".utf8)))
        #expect(patience.secondsLeft(at: 0) == 60)
        patience.heardWrong(at: second)
        #expect(VaultPatience(Array(patience.text.utf8)) == patience)
    }

    @Test func `it comes back from a file; anything else does not`() throws {
        var patience = VaultPatience()
        for moment in 1...4 as ClosedRange<Int64> { patience.heardWrong(at: moment * second) }
        #expect(VaultPatience(Array(patience.text.utf8)) == patience)
        for bad in ["", "1", "1 2 3", "-1 2", "1 -2", "x y", "99999999999999999999 1", "4 9223372036854775807", "9223372036854775807 0"] {
            #expect(VaultPatience(Array(bad.utf8)) == nil)
        }
    }
}

@Suite struct ByteSizeTests {
    @Test(arguments: [("10G", 10 << 30), ("64M", 64 << 20), ("1t", 1 << 40), ("65536k", 64 << 20), ("0G", 0)] as [(String, Int64)])
    func `sizes are read`(text: String, bytes: Int64) { #expect(ByteSize.read(text) == bytes) }

    @Test(arguments: ["", "G", "10", "1.5G", "-1G", "+1G", " 1G", "10GB", "10 G", "99999999999999999G", "9999T", "0x1G"])
    func `anything else is refused`(text: String) { #expect(ByteSize.read(text) == nil) }

    @Test func `sizes are told`() {
        #expect(ByteSize.text(0) == "0 bytes")
        #expect(ByteSize.text(1_023) == "1023 bytes")
        #expect(ByteSize.text(1 << 30) == "1.0 GiB")
        #expect(ByteSize.text((10 << 30) + (512 << 20)) == "10.5 GiB")
        #expect(ByteSize.text((1 << 30) - 1) == "1023.9 MiB")
        #expect(ByteSize.text(1 << 50) == "1024.0 TiB")
    }
}

@Suite struct LockedBytesTests {
    /// What the kernel says of the mapping that holds an address: its flags in /proc/self/smaps.
    private func flags(of address: UInt) throws -> Set<Substring> {
        let text = String(decoding: try Files.read("/proc/self/smaps", limit: 64 << 20), as: UTF8.self)
        var isInside = false
        for line in text.split(separator: "\n") {
            let range = line.prefix { $0 != " " }.split(separator: "-")
            if range.count == 2, let low = UInt(range[0], radix: 16), let high = UInt(range[1], radix: 16) {
                isInside = (low..<high).contains(address)
            } else if isInside, line.hasPrefix("VmFlags:") {
                return Set(line.split(separator: " ").dropFirst())
            }
        }
        return []
    }

    /// The sanitizers make mlock(2) do nothing.
    static let isSanitized = dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil

    @Test(.disabled(if: isSanitized, "a sanitizer is at work")) func `the memory is locked, and in no core dump`() throws {
        let bytes = try LockedBytes(capacity: 512)
        let address = bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        let found = try flags(of: address)
        #expect(found.contains("lo") && found.contains("dd"), "\(found)")
        // It must live until here.
        _ = bytes.count
    }

    @Test func `bytes are added, removed and compared`() throws {
        var first = try LockedBytes(capacity: 4)
        for byte in [1, 2, 3] as [UInt8] { first.append(byte) }
        var second = try LockedBytes(capacity: 8)
        second.append(9)
        second.append(first, from: 1)
        #expect((0..<second.count).map { second[$0] } == [9, 2, 3])
        let areEqual = first.equals(second)
        #expect(!areEqual)
        second.removeLast()
        second.removeLast()
        #expect(second.count == 1)
    }

    @Test func `a removed byte is wiped`() throws {
        var bytes = try LockedBytes(capacity: 4)
        bytes.append(7)
        let address = bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        bytes.removeLast()
        #expect(UnsafePointer<UInt8>(bitPattern: address)?.pointee == 0)
    }
}
