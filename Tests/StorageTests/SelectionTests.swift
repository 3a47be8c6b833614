import Testing

@testable import Storage

/// Which drive is taken.
@Suite struct SelectionTests {
    static func drive(
        _ name: String, _ verdict: Inspection.Verdict = .blank, gib: Int64 = 8, signature: String? = nil, volume: String? = nil
    ) -> Inspection {
        Inspection(
            path: "/dev/" + name, identity: "serial:" + name, bytes: gib << 30, verdict: verdict, reason: verdict.rawValue,
            signature: signature, volume: volume)
    }

    static func taken(_ found: [Inspection], claims: [String] = [], chosen: String? = nil, any: Bool = false) -> String? {
        Selection(found, claims: claims, chosen: chosen, adoptsAny: any).taken?.path
    }

    @Test func `nothing is nothing`() {
        #expect(Selection([], claims: [], chosen: nil, adoptsAny: true) == Selection([], claims: [], chosen: nil, adoptsAny: false))
    }

    @Test func `the largest`() { #expect(Self.taken([Self.drive("a"), Self.drive("b", gib: 16), Self.drive("c")]) == "/dev/b") }

    @Test func `of two of one size always the same`() {
        #expect(Self.taken([Self.drive("b"), Self.drive("a")]) == "/dev/a")
        #expect(Self.taken([Self.drive("a"), Self.drive("b")]) == "/dev/a")
    }

    @Test func `the one that was chosen before stays`() {
        #expect(Self.taken([Self.drive("a"), Self.drive("b", gib: 16)], chosen: "serial:a") == "/dev/a")
    }

    @Test func `the one that the journal claims wins over size and choice`() {
        #expect(Self.taken([Self.drive("a"), Self.drive("b", gib: 16)], claims: ["serial:a"], chosen: "serial:b") == "/dev/a")
    }

    @Test func `a quarantined one is taken only where there is no other`() {
        let found = [Self.drive("a", gib: 16), Self.drive("b")]
        func taken(_ found: [Inspection]) -> String? {
            Selection(found, claims: ["serial:a"], quarantined: ["serial:a"], chosen: "serial:a", adoptsAny: false).taken?.path
        }
        #expect(taken(found) == "/dev/b" && taken([found[0]]) == "/dev/a")
    }

    @Test func `claims count in their order`() {
        #expect(Self.taken([Self.drive("a"), Self.drive("b")], claims: ["serial:b", "serial:a"]) == "/dev/b")
    }

    @Test func `the drive of the running lease wins over everything`() {
        #expect(Self.taken([Self.drive("a"), Self.drive("b", .inUse, gib: 4)], claims: ["serial:a"]) == "/dev/b")
    }

    @Test(arguments: Inspection.Verdict.allCases)
    func `what may be taken`(verdict: Inspection.Verdict) {
        let may: Set<Inspection.Verdict> = [.absent, .blank, .ours, .givenUp, .inUse]
        #expect((Self.taken([Self.drive("a", verdict)]) != nil) == may.contains(verdict))
    }

    @Test(arguments: Inspection.Verdict.allCases)
    func `"any" takes a stranger's drive, and never one that is refused`(verdict: Inspection.Verdict) {
        let never: Set<Inspection.Verdict> = [.missing, .refused, .unreadable, .busy]
        #expect((Self.taken([Self.drive("a", verdict)], any: true) != nil) == !never.contains(verdict))
    }

    @Test(arguments: [(nil, true), ("crypto_LUKS", true), ("vfat", false), ("gpt", false), ("LVM2_member", false)] as [(String?, Bool)])
    func `a claim covers our own half-done work and no file system`(signature: String?, may: Bool) {
        let found = Self.drive("a", .foreign, signature: signature)
        #expect((Self.taken([found], claims: ["serial:a"]) != nil) == may)
        #expect(Self.taken([found], claims: ["serial:b"]) == nil)
    }

    @Test func `a drive at which another step is at work is taken only where the journal claims it`() {
        #expect(Self.taken([Self.drive("a", .busy)], claims: ["serial:a"]) == "/dev/a")
        #expect(Self.taken([Self.drive("a", .busy)], claims: ["serial:b"]) == nil)
    }

    @Test func `the others are named with the reason`() {
        let found = [Self.drive("a", gib: 16), Self.drive("b"), Self.drive("c", .foreign), Self.drive("d", .refused)]
        let left = Selection(found, claims: [], chosen: nil, adoptsAny: false).left
        #expect(left.map(\.drive.path) == ["/dev/b", "/dev/c", "/dev/d"])
        #expect(left[0].reason == "not needed beside /dev/a")
        #expect(
            left[1].reason == "foreign: not ours to erase, unless you put an empty file ERASE-THIS-DRIVE on it or set \"adopt\": \"any\"")
        #expect(left[2].reason == "refused")
    }

    @Test(arguments: [[], ["serial:a"]])
    func `of two drives that say they are the same none is touched`(claims: [String]) {
        var twin = Self.drive("b", gib: 8)
        twin.identity = "serial:a"
        let selection = Selection([Self.drive("a"), twin, Self.drive("c", gib: 2)], claims: claims, chosen: nil, adoptsAny: true)
        #expect(selection.taken?.path == "/dev/c")
        #expect(selection.left.map(\.reason) == Array(repeating: "another drive says that it is the same: serial:a", count: 2))
    }

    @Test func `the lease goes on beside a twin of its drive`() {
        var twin = Self.drive("b")
        twin.identity = "serial:a"
        #expect(Self.taken([twin, Self.drive("a", .inUse)]) == "/dev/a")
    }

    // MARK: Known again by the volume

    static let known = [KnownDrive(identity: "serial:a", volume: "V")]

    @Test func `a drive in another socket is known by its volume`() {
        let found = KnownDrive.recognize([Self.drive("z", .ours, volume: "V")], Self.known)
        #expect(found.map(\.identity) == ["serial:a"])
    }

    @Test func `of two with one serial the one with the volume is meant`() {
        var twin = Self.drive("b", .ours, volume: "W")
        twin.identity = "serial:a"
        let found = KnownDrive.recognize([twin, Self.drive("a", .ours, volume: "V")], Self.known)
        #expect(Self.taken(found, claims: ["serial:a"]) == "/dev/a")
        #expect(found[0].verdict == .refused)
    }

    @Test func `a copy of the volume does not take its place`() {
        let found = KnownDrive.recognize([Self.drive("copy", .ours, volume: "V"), Self.drive("a", .ours, volume: "V")], Self.known)
        #expect(found.map(\.identity) == ["serial:copy", "serial:a"])
    }

    @Test func `two copies that both say they are it: none is touched`() {
        var twin = Self.drive("b", .ours, volume: "V")
        twin.identity = "serial:a"
        let found = KnownDrive.recognize([twin, Self.drive("a", .ours, volume: "V")], Self.known)
        #expect(Self.taken(found, claims: ["serial:a"]) == nil)
    }

    @Test func `a drive that is not known stays what it is`() {
        let found = [Self.drive("b", .ours, volume: "W"), Self.drive("c")]
        #expect(KnownDrive.recognize(found, Self.known) == found)
    }

    @Test func `the list of known drives`() {
        let one = KnownDrive(identity: "a", volume: "1")
        let again = KnownDrive(identity: "a", volume: "2")
        #expect(KnownDrive.remembering(again, in: [one]) == [again])
        var list: [KnownDrive] = []
        for number in 0..<40 { list = KnownDrive.remembering(KnownDrive(identity: "d\(number)", volume: "v\(number)"), in: list) }
        #expect(list.count == KnownDrive.most && list.last?.identity == "d39" && list.first?.identity == "d8")
    }
}
