import CLinux
import Platform

/// Room on the drive that is kept for the engine: a drive that the renter has filled must not keep dockerd from starting after the next power
/// cut, for only in the machine that it starts can the renter make room. Neither quotas nor ext4's reserved blocks do that: what the renter
/// writes outside of /data is written with the rights of who mounted the overlay, the engine's root, which both let pass.
///
/// The room is files, so that it is inodes too: they go before something must start, and come back as soon as the machine greets.
struct Spare {
    let folder: String

    static let files = 128
    /// Of each, bytes: 32 MiB in all. A start of dockerd and container wants less than one.
    private static let bytes: Int64 = 256 << 10

    /// Gives the room back where there is hardly any other.
    func give() {
        guard isScarce else { return }
        for name in Files.names(in: folder) { unlink(folder + "/" + name) }
    }

    /// Takes the room again, as much of it as there is; nothing where it is whole.
    func keep() {
        guard Files.names(in: folder).count < Self.files else { return }
        do throws(SystemError) {
            try Files.makeFolder(folder)
            for number in 0..<Self.files where !Files.exists(path(number)) { try take(number) }
        } catch {
            // The drive is full, or gone: the next look tries again.
        }
    }

    private func path(_ number: Int) -> String { "\(folder)/\(number)" }

    private func take(_ number: Int) throws(SystemError) {
        let file = try FileDescriptor.open(path(number), O_WRONLY | O_CREAT)
        let code = posix_fallocate(file.raw, 0, off_t(Self.bytes))
        guard code != 0 else { return }
        unlink(path(number))
        throw SystemError(code, "posix_fallocate")
    }

    private var isScarce: Bool {
        var space = statvfs()
        guard statvfs(folder, &space) == 0 else { return false }
        return Int64(space.f_ffree) < Int64(Self.files) || Int64(space.f_bfree) * Int64(space.f_frsize) < Self.bytes * Int64(Self.files)
    }
}
