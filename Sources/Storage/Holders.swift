import CLinux
import Platform

/// Who keeps a drive in use after it was unmounted here.
///
/// A process that works on the drive, or whose root lies there (a container's), is ended. Somebody else's mount namespace that began as a copy
/// of ours (`unshare --mount`) holds our mounts too, and the people in it know nothing of that: there they are unmounted, and nobody is hurt.
enum Holders {
    /// Ends the renter's processes and releases the mounts in foreign namespaces.
    static func release(_ mountPoint: String) {
        let own = mountNamespace(of: "self")
        var seen: [String] = [own]
        for name in Files.names(in: "/proc") {
            guard let pid = Int32(name), pid > 1, pid != getpid(), let identity = ProcessIdentity.of(pid) else { continue }
            if worksIn(mountPoint, pid) || isRootedIn(mountPoint, pid) {
                identity.send(SIGKILL)
                continue
            }
            let namespace = mountNamespace(of: name)
            if !seen.contains(namespace) {
                seen.append(namespace)
                unmount(mountPoint, in: name)
            }
        }
    }

    private static func mountNamespace(of process: String) -> String { Files.link("/proc/" + process + "/ns/mnt") }

    private static func worksIn(_ folder: String, _ pid: Int32) -> Bool {
        let inside = Array((folder + "/").utf8)
        var paths = [Files.link("/proc/\(pid)/cwd"), Files.link("/proc/\(pid)/exe"), Files.link("/proc/\(pid)/root")]
        for descriptor in Files.names(in: "/proc/\(pid)/fd") { paths.append(Files.link("/proc/\(pid)/fd/" + descriptor)) }
        return paths.contains { $0 == folder || $0.utf8.starts(with: inside) }
    }

    /// Whether a process's root is an overlay of folders on the drive: it names them in its options.
    private static func isRootedIn(_ folder: String, _ pid: Int32) -> Bool {
        guard let bytes = try? Files.read("/proc/\(pid)/mountinfo", limit: 8 << 20) else { return false }
        return bytes.split(separator: UInt8(ascii: "\n")).contains { line in
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            return fields.count > 5 && fields[4].elementsEqual([UInt8(ascii: "/")]) && contains(fields[5], folder + "/")
        }
    }

    /// Goes into a process's mount namespace, unmounts what lies at the folder and below it, and comes back.
    private static func unmount(_ folder: String, in process: String) {
        let entries = Mounts.within(folder, of: process)
        guard !entries.isEmpty, let home = try? FileDescriptor.open("/proc/self/ns/mnt", O_RDONLY),
            let place = try? FileDescriptor.open(".", O_RDONLY | O_DIRECTORY),
            let there = try? FileDescriptor.open("/proc/" + process + "/ns/mnt", O_RDONLY)
        else { return }
        guard setns(there.raw, CLONE_NEWNS) == 0 else { return }
        for entry in entries { _ = umount2(entry.point, Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW)) }
        // Without the way home no path that follows would mean what it says.
        guard setns(home.raw, CLONE_NEWNS) == 0, fchdir(place.raw) == 0 else { preconditionFailure("setns: no way back to our own mounts") }
    }
}
