import GovernorCore
import JSON
import Protocol

@testable import Storage

/// What udev says of a drive, a value a line: its identity and its names can go into journal, receipts, logs and onto a terminal, and one
/// that is refused by its kind never passes for a disk.
func fuzzUdev(_ input: [UInt8]) {
    var lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }[
        ...]
    func next() -> String? { lines.popFirst().flatMap { $0.isEmpty ? nil : $0 } }
    var facts = DiskFacts(name: "sda", node: next(), type: next(), sectors: next().flatMap { Int64($0) })
    facts.isReadOnly = next() != nil
    facts.model = next()
    if let name = next() { facts.usb = DiskFacts.USB(name: name, vendor: next(), product: next(), serial: next()) }
    if let name = next() {
        facts.scsi = DiskFacts.SCSI(name: name, type: next(), vendor: next(), model: next(), wwid: next())
    }
    let disk = facts.disk { "path:\($1)" }
    expect((0...DiskFacts.largest).contains(disk.bytes), "\(disk.bytes) bytes")
    expect(disk.model.utf8.allSatisfy { (0x20...0x7E).contains($0) }, "a model that is no text: " + disk.model)
    if facts.usb != nil { expectCarried(disk.identity) }
    expect(facts.type == "disk" || disk.kind == .partition, "what is no disk passes for one")
    if disk.refusal(minimumBytes: 1 << 30, isTold: false) == nil {
        expect(disk.isUSB && disk.bytes >= 1 << 30 && !disk.isReadOnly && disk.kind == .disk, "a drive that must not be taken")
    }
    _ = Inspect.triage(disk, Inspect.Rule(minimumBytes: 1 << 30, isTold: false, newFileBytes: nil))
}

/// The identity can stand in everything that names a drive.
private func expectCarried(_ identity: String) {
    var journal = Journal()
    (journal.stage, journal.drive) = (.quarantined, identity)
    expect((try? Journal(JSON.parse(journal.json.encoded()))) == journal, "an identity that no journal takes: " + identity)
    expectReceipted(identity)
}

/// A drive's name fits into the receipt of its erase, or no market would ever take that.
func expectReceipted(_ drive: String) {
    let report = EraseReport(
        method: .key, encryption: .luks2, drive: drive, bytes: 1, eraseMilliseconds: 1, checkMilliseconds: 1, checks: [])
    expect(
        (try? JSON.parse(report.json.encoded())).flatMap { try? EraseReport(ObjectReader($0)) } == report,
        "a drive that no receipt takes: " + drive)
}

/// What the kernel says is mounted, and what blkid says is on a drive: names of the renter's and of strangers' drives are among it.
func fuzzMounts(_ input: [UInt8]) {
    let mounts = Mounts.entries(input)
    expect(mounts.count <= input.count / 8 + 1, "more mounts than there can be")
    var tree = BlockTree()
    for mount in mounts {
        tree.mounts.append(BlockTree.Mount(number: mount.number, point: mount.point))
        tree.nodes.append(BlockTree.Node(name: mount.source, number: mount.number, disk: mount.options, holders: [mount.point]))
    }
    let lease = BlockTree.Lease(mapping: "lease", mountPoint: "/run/sublet/drive")
    for node in tree.nodes.prefix(8) {
        let uses = tree.uses(ofDisk: node.name, lease: lease)
        // The first node of a name is the one that is meant.
        if tree.nodes.first(where: { $0.name == node.name }) == node, mounts.contains(where: { $0.number == node.number }) {
            expect(!uses.isEmpty, "a mounted disk that nothing uses")
        }
    }
    let found = Inspect.Signature(export: input)
    if found.isOurs { expect(found.label == Volume.label, "ours without our label") }
}
