import CLinux
import EventLoop
import Platform

/// What an engine leaves that did not end in order: a dockerd that was killed leaves container, shim, control groups and the container's
/// network behind, and nobody who would ever take them away. After an end in order there is nothing of it.
final class Remains {
    private let loop: EventLoop
    private let execRoot: String

    init(loop: EventLoop, execRoot: String) {
        self.loop = loop
        self.execRoot = execRoot
    }

    /// The folders below a folder that bears the names of containerd's namespaces, dockerd's "moby" or, of newer ones, "moby-UID.GID": all of them are ours.
    private func namespaces(of folder: String) -> [String] { Files.names(in: execRoot + folder).map { execRoot + folder + "/" + $0 } }

    /// Ends and removes all of it. No dockerd of ours may run that is still wanted.
    func clear(_ done: @escaping () -> Void) {
        // runc's folders, each with a folder for every container that was not deleted.
        let left = namespaces(of: "/runtime-runc").flatMap { folder in Files.names(in: folder).map { (folder: folder, name: $0) } }
        delete(left[...]) { [self] in
            removeShimSockets()
            loop.end(helpers, within: 0) { [self] in
                for name in Files.names(in: execRoot + "/netns") {
                    let path = execRoot + "/netns/" + name
                    _ = umount2(path, Int32(MNT_DETACH))
                    unlink(path)
                }
                done()
            }
        }
    }

    /// `runc delete --force` kills every process of a container and removes its control groups.
    private func delete(_ containers: ArraySlice<(folder: String, name: String)>, _ done: @escaping () -> Void) {
        guard let first = containers.first else { return done() }
        loop.run(Command(["runc", "--root", first.folder, "delete", "--force", first.name])) { [self] _ in
            delete(containers.dropFirst(), done)
        }
    }

    /// A shim that is killed leaves its socket, which lies in a folder that all engines of a machine share.
    private func removeShimSockets() {
        for tasks in namespaces(of: "/containerd/daemon/io.containerd.runtime.v2.task") {
            for name in Files.names(in: tasks) { removeSocket(noted: tasks + "/" + name + "/address") }
        }
    }

    private func removeSocket(noted file: String) {
        if let bytes = try? Files.read(file, limit: 4_096), bytes.starts(with: "unix:///".utf8) {
            unlink(String(decoding: bytes.dropFirst(7), as: UTF8.self))
        }
    }

    /// Shims, and what else is of ours: whoever has our folder as an argument, or one below it.
    private var helpers: [ProcessIdentity] {
        let inside = Array((execRoot + "/").utf8)
        let folder = execRoot
        return ProcessIdentity.all { $0.starts(with: inside) || $0.elementsEqual(folder.utf8) }
    }
}
