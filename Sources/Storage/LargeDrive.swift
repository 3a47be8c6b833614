import CLinux
import Platform
import Protocol

extension Volume {
    /// Discards and overwrites a sparse file of 16 GiB in a folder, with data behind places that 31 and 32 bits can't count to; nil where that
    /// went well, else what did not. It takes some 30 MiB of room, and no device-mapper.
    public static func selftest(in folder: String) throws(StorageError) -> String? {
        let bytes: Int64 = 16 << 30
        let volume = Volume(
            path: folder + "/large.img", identity: "path:large", mountPoint: folder + "/drive", keyPath: folder + "/large.key",
            mapperName: "sublet-selftest", isEncrypted: false, newFileBytes: bytes)
        try volume.makeFileIfNew()
        let device = try system { () throws(SystemError) in try FileDescriptor.open(volume.path, O_RDWR) }
        let places: [Int64] = [(2 << 30) - 4_096, 5 << 30, bytes - 4_096]
        try system { () throws(SystemError) in
            for place in places { try device.write([UInt8](repeating: 7, count: 4_096), at: place) }
            try device.synchronize()
        }
        guard try Inspect.size(of: device) == bytes else { return "a file of 16 GiB has another size" }
        if (try? volume.verifyErased(.discard) { _ in }) != nil { return "data far out is not seen" }
        guard volume.discard(device, bytes, { _ in }) else { return folder + " is on a file system that can't make holes in a file" }
        for place in places where !isZero(device, at: place, 4_096) { return "data is left at byte \(place)" }
        // From a mark near the end on: all of it would be 16 GiB.
        let mark = EraseMark(drive: volume.identity, bytes: bytes, done: bytes - (8 << 20))
        try system { () throws(SystemError) in
            try mark.write(volume.markPath)
            try device.write([UInt8](repeating: 7, count: 4_096), at: bytes - (2 << 20))
        }
        guard EraseMark.read(volume.markPath, drive: volume.identity, bytes: bytes) == mark.done else {
            return "a mark came back different"
        }
        let report = try volume.erase(.overwrite, probing: true) { _ in }
        return report.bytes == bytes && report.checks.contains("all-zero") ? nil : "an overwrite was not verified"
    }
}
