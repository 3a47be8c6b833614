import CLinux
import Foundation
import Platform
import Testing

@testable import Lamp

/// The process that holds the lamps, as a thread, with an LED in a folder and a line on a chip that no machine has.
private final class Holder {
    let ours: Int32
    private let done = DispatchSemaphore(value: 0)

    init(_ plan: LampPlan, _ leds: FakeLEDs, beats: [Beat]) {
        var (ours, theirs): (Int32, Int32) = (-1, -1)
        #expect(clinux_message_pair(&ours, &theirs) == 0)
        self.ours = ours
        Thread.detachNewThread { [done, path = leds.folder.path, socket = theirs] in
            var process = LampProcess(plan: plan, beats: beats, socket: socket, leds: path)
            process.run()
            close(socket)
            done.signal()
        }
    }

    func show(_ number: UInt8) { #expect([number].withUnsafeBytes { clinux_send_message(ours, $0.baseAddress, 1) } == 1) }

    /// What it says next; empty where it says nothing for five seconds.
    func says() -> String {
        var (ready, bytes) = (pollfd(fd: ours, events: Int16(POLLIN), revents: 0), [UInt8](repeating: 0, count: 4_096))
        guard poll(&ready, 1, 5_000) == 1 else { return "" }
        let count = read(ours, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    func end() {
        close(ours)
        done.wait()
    }
}

@Suite struct LampProcessTests {
    static let beats = [Beat([1000, 0]), Beat([200, 250, 200, 1250])]
    static let line = LampPlan.Line(chips: ["no machine's"], offset: 1, isActiveLow: false)

    @Test func `a line that is missing is told, and the LED shows the beat`() throws {
        let leds = try FakeLEDs("ACT", triggers: "[none] pattern\n", full: 7)
        let holder = Holder(LampPlan(line: Self.line, led: "ACT"), leds, beats: Self.beats)
        #expect(holder.says().starts(with: "!line 1 of the GPIO chip no machine's, for no chip has this label"))
        #expect(try leds.text("ACT/brightness") == "7")
        holder.end()
        #expect(try leds.text("ACT/brightness") == "0")
    }

    @Test func `an LED that fails is told beside the line, given up, and found again by itself`() throws {
        let leds = try FakeLEDs("ACT", triggers: "[none] pattern\n", full: 7)
        let holder = Holder(LampPlan(line: Self.line, led: "ACT"), leds, beats: Self.beats)
        let first = holder.says()
        try FileManager.default.removeItem(at: leds.folder.appending(path: "ACT/trigger"))
        holder.show(1)
        let second = holder.says()
        #expect(second.starts(with: first + "; ") && second.contains("ACT/trigger"))
        #expect(try leds.text("ACT/brightness") == "0")
        try leds.put("[none] pattern\n", "ACT/trigger")
        #expect(holder.says() == first)
        #expect(try leds.text("ACT/pattern") == "7 200 7 0 0 250 0 0 7 200 7 0 0 1250 0 0 ")
        holder.end()
    }

    @Test func `an LED that is there and takes no beat stays told of`() throws {
        let leds = try FakeLEDs("ACT", triggers: "[none] pattern\n")
        try FileManager.default.removeItem(at: leds.folder.appending(path: "ACT/brightness"))
        let holder = Holder(LampPlan(led: "ACT"), leds, beats: Self.beats)
        let first = holder.says()
        #expect(first.starts(with: "!") && first.contains("ACT/brightness"))
        #expect(holder.says() == "", "it says nothing else, though it looks again")
        holder.end()
    }
}
