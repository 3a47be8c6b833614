import CLinux

/// Files by path: read whole within a limit, replaced atomically, removed; folders made.
public enum Files {
    /// The whole file, at most `limit` bytes; EFBIG where it is longer.
    public static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
        let file = try FileDescriptor.open(path, O_RDONLY)
        var bytes: [UInt8] = []
        do throws(SystemError) {
            while true {
                let part = try file.read(upTo: min(65_536, limit + 1 - bytes.count))
                if part.isEmpty { return bytes }
                bytes += part
                if bytes.count > limit { throw SystemError(EFBIG, "read: more than \(limit) bytes") }
            }
        } catch { throw error.within(path) }
    }

    /// The whole file, or nil where there is none.
    public static func readIfPresent(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
        do throws(SystemError) { return try read(path, limit: limit) } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
    }

    /// Replaces the file so that a power cut leaves either the old or the new content: write beside it, fsync, rename, fsync the folder.
    public static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600) throws(SystemError) {
        try replace(path, mode: mode) { file throws(SystemError) in try file.write(bytes) }
    }

    /// The same, with what `fill` puts into the new file.
    public static func replace(
        _ path: String, mode: mode_t = 0o600, fill: (borrowing FileDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) {
        do throws(SystemError) {
            try put(path, mode, isDurable: true, fill)
            try synchronizeFolder(of: path)
        } catch { throw error.within("replace " + path) }
    }

    /// Replaces a file whose loss does no harm (it lies in RAM or is made anew at every start): atomic for readers, not synced.
    public static func publish(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o644) throws(SystemError) {
        do throws(SystemError) {
            try put(path, mode, isDurable: false) { file throws(SystemError) in try file.write(bytes) }
        } catch { throw error.within("publish " + path) }
    }

    private static func put(
        _ path: String, _ mode: mode_t, isDurable: Bool, _ fill: (borrowing FileDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) {
        let beside = path + ".new"
        let file = try FileDescriptor.open(beside, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        guard fchmod(file.raw, mode) == 0 else { throw SystemError.last("fchmod") }
        try fill(file)
        if isDurable { try file.synchronize() }
        guard rename(beside, path) == 0 else { throw SystemError.last("rename") }
    }

    /// fsync of the folder that holds `path`, which makes a create, rename or unlink in it durable.
    public static func synchronizeFolder(of path: String) throws(SystemError) {
        let folder = try FileDescriptor.open(parent(of: path), O_RDONLY | O_DIRECTORY)
        try folder.synchronize()
    }

    /// unlink(2) and fsync of the folder; false where there was nothing.
    @discardableResult
    public static func remove(_ path: String) throws(SystemError) -> Bool {
        guard unlink(path) == 0 else {
            let failure = SystemError.last("unlink " + path)
            if failure.code == ENOENT { return false }
            throw failure
        }
        try synchronizeFolder(of: path)
        return true
    }

    /// Overwrites the file's bytes in place, syncs and unlinks it; for key files. False where there was nothing.
    @discardableResult
    public static func destroy(_ path: String) throws(SystemError) -> Bool {
        do throws(SystemError) {
            let file = try FileDescriptor.open(path, O_WRONLY)
            let size = try file.status().st_size
            try file.write([UInt8](repeating: 0, count: Int(size)))
            try file.synchronize()
        } catch {
            if error.code == ENOENT { return false }
            throw error.within("destroy " + path)
        }
        return try remove(path)
    }

    /// mkdir -p.
    public static func makeFolder(_ path: String, mode: mode_t = 0o700) throws(SystemError) {
        if mkdir(path, mode) == 0 { return }
        let failure = SystemError.last("mkdir " + path)
        if failure.code == EEXIST, let there = try status(path), clinux_is_directory(there.st_mode) { return }
        guard failure.code == ENOENT, path != parent(of: path) else { throw failure }
        try makeFolder(parent(of: path), mode: mode)
        guard mkdir(path, mode) == 0 || clinux_errno() == EEXIST else { throw .last("mkdir " + path) }
    }

    /// Whether something is at this path (links followed).
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// stat(2), or nil where nothing is there.
    public static func status(_ path: String) throws(SystemError) -> stat? {
        var status = stat()
        if stat(path, &status) == 0 { return status }
        let failure = SystemError.last("stat " + path)
        if failure.code == ENOENT || failure.code == ENOTDIR { return nil }
        throw failure
    }

    /// The names in a folder, without "." and "..", in no order; empty where there is no such folder.
    public static func names(in path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Bytes that an unprivileged user could still write on the file system of `path`.
    public static func freeBytes(at path: String) throws(SystemError) -> UInt64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw .last("statvfs " + path) }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    /// The path with every link followed; as it is where there is nothing.
    public static func resolved(_ path: String) -> String {
        guard let found = realpath(path, nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }

    /// The number that is all of a file, as the kernel and daemons write them; nil where it can't be read or is none.
    public static func number(_ path: String) -> Int64? {
        guard let bytes = try? read(path, limit: 64) else { return nil }
        return Int64(String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self))
    }

    /// Where a symbolic link points, readlink(2); empty where it can't be read.
    public static func link(_ path: String) -> String {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = buffer.withUnsafeMutableBytes { bytes in bytes.baseAddress.map { readlink(path, $0, 4_096) } ?? -1 }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
    }

    /// The folder that holds `path`.
    public static func parent(of path: String) -> String {
        let bytes = Array(path.utf8)
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == 0 ? "/" : String(decoding: bytes[..<slash], as: UTF8.self)
    }
}

/// Whether a text holds a phrase.
public func contains(_ bytes: [UInt8], _ phrase: String) -> Bool { contains(bytes[...], phrase) }

/// Whether a part of a text holds a phrase.
public func contains(_ bytes: ArraySlice<UInt8>, _ phrase: String) -> Bool {
    let wanted = Array(phrase.utf8)
    guard let first = wanted.first else { return true }
    var rest = bytes
    while let found = rest.firstIndex(of: first) {
        if rest[found...].starts(with: wanted) { return true }
        rest = rest[(found + 1)...]
    }
    return false
}
