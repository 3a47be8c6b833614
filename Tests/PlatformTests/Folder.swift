import Foundation
import Platform

/// A folder that is gone with its test.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "sublet-test-" + UUID().uuidString
        try Files.makeFolder(path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// The permission bits of a file.
    func mode(_ name: String) throws -> Int {
        (try FileManager.default.attributesOfItem(atPath: self(name))[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }

    func inode(_ name: String) throws -> Int {
        (try FileManager.default.attributesOfItem(atPath: self(name))[.systemFileNumber] as? NSNumber)?.intValue ?? -1
    }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
