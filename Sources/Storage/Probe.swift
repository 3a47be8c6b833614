import CLinux
import Platform

/// Whether a drive has the size that it claims. Fake flash answers for blocks it does not have: what is written there is dropped, or lands on
/// blocks that hold something else. So some blocks all over the drive are written, each with something of its own, and read back only when
/// all are written.
enum Probe {
    static let blockBytes = 4_096

    /// Where to look: evenly over the drive, and around every power of two from 1 MiB on, where fakes wrap. The last block is always among
    /// them.
    static func offsets(_ bytes: Int64) -> [Int64] {
        let block = Int64(blockBytes)
        let last = bytes / block * block - block
        guard last > 0 else { return [] }
        var found: Set<Int64> = [last]
        for step in 0..<Int64(64) { found.insert(last / 64 * step / block * block) }
        var power: Int64 = 1 << 20
        while power < last {
            found.insert(power)
            found.insert(power - block)
            power <<= 1
        }
        return found.sorted()
    }

    /// Writes, reads back, and leaves zeros there. What was on those blocks is gone.
    static func check(_ device: borrowing FileDescriptor, _ path: String, _ bytes: Int64) throws(StorageError) {
        let places = offsets(bytes)
        var lie: Int64?
        do throws(SystemError) {
            let nonce = try Random.bytes(16)
            // The order on the drive does not help a fake that keeps the newest writes in a small memory: the first are read first.
            for place in places { try device.write(block(nonce, place), at: place) }
            try device.synchronize()
            forgetCached(device)
            for place in places where lie == nil {
                if try device.read(blockBytes, at: place) != block(nonce, place) { lie = place }
            }
            let zeros = [UInt8](repeating: 0, count: blockBytes)
            for place in places { try device.write(zeros, at: place) }
            try device.synchronize()
        } catch { throw StorageError(error.within("probe " + path)) }
        if let lie {
            let found = "it claims \(bytes >> 20) MiB, but what is written at \(lie >> 20) MiB is not there"
            throw StorageError(path + " lies about its size: " + found)
        }
    }

    /// A block that is found nowhere else: nonce and place, over and over.
    private static func block(_ nonce: [UInt8], _ place: Int64) -> [UInt8] {
        let unit = nonce + (0..<8).map { UInt8(truncatingIfNeeded: place >> ($0 * 8)) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(blockBytes + unit.count)
        while bytes.count < blockBytes { bytes += unit }
        return Array(bytes[..<blockBytes])
    }
}
