import Foundation
import Platform
import Testing

/// Files on a real file system.
@Suite struct FilesTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    @Test func `what was written is read back`() throws {
        let all = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        try Files.replace(folder("a"), with: all)
        #expect(try Files.read(folder("a"), limit: all.count) == all)
    }

    @Test func `one byte more than the limit is EFBIG, and the error names the file`() throws {
        try Files.replace(folder("a"), with: bytes("12345"))
        #expect(try Files.read(folder("a"), limit: 5) == bytes("12345"))
        let error = #expect(throws: SystemError.self) { try Files.read(folder("a"), limit: 4) }
        #expect(error?.code == EFBIG && error?.context == folder("a") + ": read: more than 4 bytes")
    }

    @Test func `an endless file stops at the limit`() {
        let error = #expect(throws: SystemError.self) { try Files.read("/dev/zero", limit: 100_000) }
        #expect(error?.code == EFBIG)
    }

    @Test func `an empty file is empty, at a limit of nothing too`() throws {
        try Files.replace(folder("a"), with: [])
        #expect(try Files.read(folder("a"), limit: 0) == [])
    }

    @Test func `no file is ENOENT, or nil where that is asked for`() throws {
        let error = #expect(throws: SystemError.self) { try Files.read(folder("none"), limit: 9) }
        #expect(error?.code == ENOENT)
        #expect(try Files.readIfPresent(folder("none"), limit: 9) == nil)
    }

    @Test func `a folder in its place is an error, not nil`() {
        let error = #expect(throws: SystemError.self) { try Files.readIfPresent(folder.path, limit: 9) }
        #expect(error?.code == EISDIR)
    }

    @Test(arguments: [0o600, 0o644, 0o400])
    func `replace gives the mode it is told, whatever was there and whatever the umask`(mode: Int) throws {
        try Files.replace(folder("a"), with: bytes("old"), mode: 0o666)
        try Files.replace(folder("a"), with: bytes("new"), mode: mode_t(mode))
        #expect(try folder.mode("a") == mode)
    }

    @Test func `replace is 0600 by itself`() throws {
        try Files.replace(folder("a"), with: bytes("key"))
        #expect(try folder.mode("a") == 0o600)
    }

    @Test func `replace leaves the old file whole for who has it open, and nothing beside the new one`() throws {
        try Files.replace(folder("a"), with: bytes("old"))
        let open = try FileDescriptor.open(folder("a"), O_RDONLY)
        let inode = try folder.inode("a")
        try Files.replace(folder("a"), with: bytes("new!"))
        #expect(try open.read(3, at: 0) == bytes("old") && folder.inode("a") != inode)
        #expect(Files.names(in: folder.path) == ["a"])
    }

    @Test func `a reader sees the old or the new content, never half`() async throws {
        let path = folder("a")
        try Files.replace(path, with: [UInt8](repeating: 0, count: 50_000))
        let writer = Task.detached {
            for round in 1...100 { try Files.replace(path, with: [UInt8](repeating: UInt8(round), count: 50_000)) }
        }
        for _ in 0..<300 {
            let seen = try Files.read(path, limit: 60_000)
            #expect(seen.count == 50_000 && Set(seen).count == 1)
        }
        try await writer.value
    }

    @Test func `a replace that was cut leaves the old file, and the next one works`() throws {
        try Files.replace(folder("a"), with: bytes("old"))
        _ = FileManager.default.createFile(atPath: folder("a.new"), contents: Data("half of a much longer text".utf8))
        #expect(try Files.read(folder("a"), limit: 9) == bytes("old"))
        try Files.replace(folder("a"), with: bytes("new"))
        #expect(try Files.read(folder("a"), limit: 9) == bytes("new"))
    }

    @Test func `replace in a folder that is not there names what it tried`() {
        let error = #expect(throws: SystemError.self) { try Files.replace(folder("no/a"), with: []) }
        #expect(error?.code == ENOENT && error?.context.hasPrefix("replace " + folder("no/a") + ": open ") == true)
    }

    @Test func `destroy overwrites the bytes in place before it unlinks: a hard link sees zeros`() throws {
        try Files.replace(folder("key"), with: bytes("a secret key"))
        try FileManager.default.linkItem(atPath: folder("key"), toPath: folder("link"))
        #expect(try Files.destroy(folder("key")))
        #expect(!Files.exists(folder("key")))
        #expect(try Files.read(folder("link"), limit: 99) == [UInt8](repeating: 0, count: 12))
    }

    @Test func `destroying nothing is no error`() throws { #expect(try !Files.destroy(folder("none"))) }

    @Test func `destroying a folder is an error`() {
        let error = #expect(throws: SystemError.self) { try Files.destroy(folder.path) }
        #expect(error?.code == EISDIR)
    }

    @Test func `remove tells whether something was there`() throws {
        try Files.replace(folder("a"), with: [])
        #expect(try Files.remove(folder("a")))
        #expect(try !Files.remove(folder("a")))
    }

    @Test func `folders are made with all above them, twice without harm, for their owner only`() throws {
        try Files.makeFolder(folder("x/y/z"))
        try Files.makeFolder(folder("x/y/z"))
        #expect(try folder.mode("x") == 0o700 && folder.mode("x/y/z") == 0o700)
    }

    @Test func `a folder can't be made below a file, nor in its place`() throws {
        try Files.replace(folder("a"), with: [])
        let below = #expect(throws: SystemError.self) { try Files.makeFolder(folder("a/b")) }
        #expect(below?.code == ENOTDIR)
        let inPlace = #expect(throws: SystemError.self) { try Files.makeFolder(folder("a")) }
        #expect(inPlace?.code == EEXIST)
    }

    @Test(arguments: [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/c", "a/b"), ("/", "/")])
    func `the folder that holds a path`(path: String, parent: String) { #expect(Files.parent(of: path) == parent) }

    @Test func `names, status, existence`() throws {
        try Files.replace(folder("a"), with: bytes("123"))
        #expect(Files.names(in: folder.path) == ["a"] && Files.names(in: folder("none")) == [])
        #expect(try Files.status(folder("a"))?.st_size == 3 && Files.status(folder("none")) == nil && Files.status(folder("a/b")) == nil)
        #expect(Files.exists(folder("a")) && !Files.exists(folder("none")))
    }

    @Test func `publish gives the mode it is told, whatever lay there before`() throws {
        _ = FileManager.default.createFile(atPath: folder("s.new"), contents: nil, attributes: [.posixPermissions: 0o666])
        try Files.publish(folder("s"), bytes("{}"), mode: 0o600)
        #expect(try Files.read(folder("s"), limit: 9) == bytes("{}") && folder.mode("s") == 0o600)
    }

    @Test func `a full disk is an error`() {
        let error = #expect(throws: SystemError.self) {
            let full = try FileDescriptor.open("/dev/full", O_WRONLY)
            try full.write(bytes("x"))
        }
        #expect(error?.code == ENOSPC && error?.message == "write: No space left on device")
    }

    @Test func `reading beyond the end is EIO`() throws {
        try Files.replace(folder("a"), with: bytes("123"))
        let file = try FileDescriptor.open(folder("a"), O_RDONLY)
        let error = #expect(throws: SystemError.self) { try file.read(4, at: 0) }
        #expect(error?.code == EIO)
    }

    @Test func `writing at an offset leaves the rest`() throws {
        try Files.replace(folder("a"), with: bytes("abcdef"))
        let file = try FileDescriptor.open(folder("a"), O_RDWR)
        try file.write(bytes("XY"), at: 2)
        #expect(try file.read(6, at: 0) == bytes("abXYef"))
    }

    @Test func `a lock is held once, until it is closed`() throws {
        try Files.replace(folder("lock"), with: [])
        do {
            let one = try FileDescriptor.open(folder("lock"), O_RDWR)
            let other = try FileDescriptor.open(folder("lock"), O_RDWR)
            let (first, second) = (try one.lock(), try other.lock())
            #expect(first && !second)
        }
        let third = try FileDescriptor.open(folder("lock"), O_RDWR)
        let again = try third.lock()
        #expect(again)
    }

    @Test func `a released descriptor stays open, a dropped one is closed`() throws {
        try Files.replace(folder("a"), with: [])
        let raw = try FileDescriptor.open(folder("a"), O_RDONLY).release()
        #expect(fcntl(raw, F_GETFD) == FD_CLOEXEC)
        do { _ = FileDescriptor(owning: raw) }
        // Another test may have got the number since; then it is another file.
        let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(raw)")
        #expect(link != folder("a"))
    }
}
