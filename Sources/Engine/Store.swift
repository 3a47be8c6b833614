import Platform

/// The engine's folder on the drive. dockerd notes an image as soon as it is unpacked, and syncs the note, but not what it has unpacked: after a
/// power cut there may be an image of empty files, and nothing that dockerd does will ever mend it. So the folder counts only when the container is
/// made and all of it is synced. What is unfinished when dockerd starts is made anew; nothing of a renter's is in it, for its container never ran.
///
///     nothing ──begin──▶ unfinished ──finish──▶ whole
struct Store {
    /// Where dockerd keeps everything.
    let folder: String

    /// A file beside the folder, there as long as it is unfinished.
    private var mark: String { folder + ".unfinished" }

    /// Whether a dockerd was at work there that did not come to an end.
    var isUnfinished: Bool { Files.exists(mark) }

    /// Makes the folder where there is none; it is unfinished then, also after a power cut.
    func begin() throws(SystemError) {
        guard !Files.exists(folder) else { return }
        try Files.replace(mark, with: [])
        try Files.makeFolder(folder, mode: 0o711)
    }

    /// It is whole, and all of it was synced.
    func finish() throws(SystemError) { try Files.remove(mark) }
}
