import CLinux
import GovernorCore
import Platform
import Protocol

/// The file in which the renter's machine reads when its lease ends, in the folder that it sees as /run/sublet: seconds since the boot of
/// this device (CLOCK_BOOTTIME, as in /proc/uptime, the one clock here that is right), a space, and seconds since 1970. It is not there while
/// the end is not known. The machine itself warns its renter: see board/base/overlay/usr/local/sbin/sublet-start.
struct LeaseEndFile {
    private let path: String
    /// What is in it; nil while that is not known.
    private var text: String?

    /// The file in a folder; what an earlier program has left in it is not believed.
    init(in folder: String) { path = folder + "/expires" }

    /// Writes it anew where something has changed. The folder may not be there yet: then the next call does it.
    mutating func show(_ end: Instant?, _ expires: UnixTime?) {
        var wanted = ""
        if let end, let expires { wanted = "\(end.nanoseconds / 1_000_000_000) \(expires.seconds)\n" }
        guard wanted != text else { return }
        if wanted.isEmpty {
            unlink(path)
        } else {
            do throws(SystemError) { try Files.publish(path, Array(wanted.utf8)) } catch { return }
        }
        text = wanted
    }
}
