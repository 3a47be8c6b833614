import Foundation
import Testing

@testable import Platform

/// Children, real ones.
@Suite struct ProcessTests {
    private func shell(_ script: String, input: [UInt8]? = nil, environment: [String] = [], limit: Int = 1 << 20) throws -> Outcome {
        try run(Command(["sh", "-c", script], input: input, environment: environment), outputLimit: limit)
    }

    @Test(arguments: [0, 1, 77, 255])
    func `the exit status`(status: Int32) throws { #expect(try shell("exit \(status)").status == status) }

    @Test(arguments: [(Int32(9), Int32(137)), (15, 143), (11, 139)])
    func `a killed child is 128 and the signal, as a shell has it`(signal: Int32, status: Int32) throws {
        #expect(try shell("kill -\(signal) $$").status == status)
    }

    @Test func `what it prints`() throws {
        #expect(try shell("printf one; printf two >&2") == Outcome(status: 0, output: bytes("one"), complaint: bytes("two")))
    }

    @Test func `what it is given to read`() throws {
        let long = [UInt8](repeating: 7, count: 300_000)
        #expect(try run(Command(["cat"], input: long)).output == long)
    }

    @Test func `without input it reads nothing`() throws { #expect(try run(Command(["cat"])).output == []) }

    @Test func `the reason is the last line of its complaint`() throws {
        #expect(try shell("echo first >&2; echo 'no space left' >&2; exit 3").reason == "no space left")
    }

    @Test func `without a complaint the reason is the status`() throws { #expect(try shell("exit 3").reason == "exit status 3") }

    @Test(.timeLimit(.minutes(1)))
    func `big output on both sides does not deadlock, and both are bounded`() throws {
        let outcome = try shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 5", limit: 100_000)
        #expect(outcome.status == 5 && outcome.output.count == 100_000 && outcome.complaint.count == 16_384)
    }

    @Test func `a program that is not there`() {
        let error = #expect(throws: SystemError.self) { try run(Command(["/no/such/program"])) }
        #expect(error?.message == "start /no/such/program: No such file or directory")
    }

    @Test func `no program at all`() {
        let error = #expect(throws: SystemError.self) { try run(Command([])) }
        #expect(error?.code == EINVAL)
    }

    @Test func `a child inherits no descriptor but its three`() throws {
        let leaks = (0..<5).map { _ in dup(2) }  // without O_CLOEXEC, as a careless library does
        defer { for leak in leaks { close(leak) } }
        // ls itself holds one more, for the folder it lists.
        #expect(try shell("exec ls /proc/self/fd").output == bytes("0\n1\n2\n3\n"))
    }

    @Test func `a variable is added to the environment`() throws {
        #expect(try shell("echo $SUBLET_TEST-${PATH:+there}", environment: ["SUBLET_TEST=a b"]).output == bytes("a b-there\n"))
    }

    @Test func `a variable that is there already is replaced, not given twice`() throws {
        #expect(try shell("echo $HOME", environment: ["HOME=/elsewhere"]).output == bytes("/elsewhere\n"))
        #expect(
            try run(Command(["env"], environment: ["HOME=/elsewhere"])).output.split(separator: 10).filter {
                $0.starts(with: bytes("HOME="))
            }.count == 1)
    }

    @Test func `arguments arrive as they are`() throws {
        #expect(try run(Command(["printf", "%s|", "a b", "", "$x", "ä"])).output == bytes("a b||$x|ä|"))
    }

    @Test func `its own session, where that is asked for`() throws {
        let script = "exec cut -d' ' -f1,6 /proc/self/stat"
        let own = text(try run(Command(["sh", "-c", script], ownSession: true)).output).split(whereSeparator: \.isWhitespace)
        let ours = text(try run(Command(["sh", "-c", script])).output).split(whereSeparator: \.isWhitespace)
        #expect(own[0] == own[1] && ours[0] != ours[1])
    }

    @Test func `a child runs until it is reaped`() throws {
        let child = try Child.start(Command(["sleep", "30"]))
        let identity = ProcessIdentity.of(child.pid)
        let early = child.reap()
        #expect(early == nil && identity?.isAlive == true)
        identity?.send(SIGTERM)
        let status = child.wait()
        #expect(status == 143 && identity?.isAlive == false)
    }

    @Test func `its handle tells of its end`() throws {
        let child = try Child.start(Command(["true"]))
        var waiting = pollfd(fd: child.handle.raw, events: Int16(POLLIN), revents: 0)
        let ready = poll(&waiting, 1, 10_000)
        let status = child.wait()
        #expect(ready == 1 && status == 0)
    }

    @Test func `a zombie is not alive`() throws {
        let child = try Child.start(Command(["true"]))
        var waiting = pollfd(fd: child.handle.raw, events: Int16(POLLIN), revents: 0)
        poll(&waiting, 1, 10_000)
        #expect(ProcessIdentity.of(child.pid) == nil)
        _ = child.wait()
    }

    @Test func `a number used again is not taken for the old process, and not signalled`() throws {
        let child = try Child.start(Command(["sleep", "30"]))
        let now = ProcessIdentity.of(child.pid)
        let old = ProcessIdentity(pid: child.pid, startTicks: (now?.startTicks ?? 1) - 1)
        old.send(SIGKILL)
        #expect(!old.isAlive && now?.isAlive == true)
        now?.send(SIGKILL)
        let status = child.wait()
        #expect(status == 137)
    }

    @Test func `a name with spaces and parentheses does not confuse the identity`() throws {
        let folder = try Folder()
        try FileManager.default.copyItem(atPath: "/bin/sleep", toPath: folder("a) R 1 (b"))
        let child = try Child.start(Command([folder("a) R 1 (b"), "30"]))
        let plain = ProcessIdentity.of(getpid())
        let odd = ProcessIdentity.of(child.pid)
        #expect((odd?.startTicks ?? 0) >= (plain?.startTicks ?? .max))
        odd?.send(SIGKILL)
        _ = child.wait()
    }

    @Test(arguments: [Int32(0), -1, .max])
    func `no process`(pid: Int32) {
        #expect(ProcessIdentity.of(pid) == nil)
        ProcessIdentity(pid: pid, startTicks: 0).send(SIGKILL)
    }
}
