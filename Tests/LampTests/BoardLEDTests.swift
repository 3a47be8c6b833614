import Foundation
import Platform
import Testing

@testable import Lamp

/// A folder that looks like the kernel's LED class: what is written stays in the files.
final class FakeLEDs {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sublet-leds-\(UUID().uuidString)")

    init(_ name: String, triggers: String, full: Int = 255) throws {
        let led = folder.appending(path: name)
        try FileManager.default.createDirectory(at: led, withIntermediateDirectories: true)
        for (file, text) in [
            "trigger": triggers, "max_brightness": "\(full)\n", "brightness": "1\n", "pattern": "", "delay_on": "", "delay_off": "",
        ] {
            try Data(text.utf8).write(to: led.appending(path: file))
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func led(_ name: String) throws -> BoardLED { try BoardLED(name, under: folder.path) }

    func text(_ path: String) throws -> String { try String(contentsOf: folder.appending(path: path), encoding: .utf8) }

    func put(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: folder.appending(path: path)) }
}

@Suite struct BoardLEDTests {
    static let twice = Beat([200, 250, 200, 1250])

    @Test func `the pattern trigger jumps instead of fading, and nobody wakes up`() throws {
        let leds = try FakeLEDs("ACT", triggers: "none kbd-capslock timer [heartbeat] pattern\n")
        #expect(try leds.led("ACT").show(Self.twice))
        #expect(try leds.text("ACT/trigger") == "pattern")
        #expect(try leds.text("ACT/pattern") == "255 200 255 0 0 250 0 0 255 200 255 0 0 1250 0 0 ")
    }

    @Test func `without it the timer trigger does one flash and one pause`() throws {
        let leds = try FakeLEDs("ACT", triggers: "[none] timer\n")
        #expect(try leds.led("ACT").show(Beat([125, 124])))
        #expect(try (leds.text("ACT/trigger"), leds.text("ACT/delay_on"), leds.text("ACT/delay_off")) == ("timer", "125", "124"))
    }

    @Test(arguments: ["[none] timer\n", "[none]\n"]) func `what no trigger can do is ours to do`(triggers: String) throws {
        let leds = try FakeLEDs("ACT", triggers: triggers, full: 7)
        let led = try leds.led("ACT")
        #expect(try !led.show(triggers.contains("timer") ? Self.twice : Beat([500, 500])))
        #expect(try leds.text("ACT/trigger") == "none")
        try led.set(isLit: true)
        #expect(try leds.text("ACT/brightness") == "7")
        try led.set(isLit: false)
        #expect(try leds.text("ACT/brightness") == "0")
    }

    @Test(arguments: [(Beat([1000, 0]), "31"), (Beat([0, 1000]), "0")])
    func `steady and dark want no trigger`(beat: Beat, brightness: String) throws {
        let leds = try FakeLEDs("ACT", triggers: "none [timer] pattern\n", full: 31)
        #expect(try leds.led("ACT").show(beat))
        #expect(try (leds.text("ACT/trigger"), leds.text("ACT/brightness")) == ("none", brightness))
    }

    @Test(arguments: [("mmc0", "mmc0"), ("none", "none"), ("pattern", "none"), ("timer", "none")])
    func `it is dark and its former trigger's again`(former: String, after: String) throws {
        let all = ["none", "mmc0", "timer", "pattern"].map { $0 == former ? "[\($0)]" : $0 }
        let leds = try FakeLEDs("ACT", triggers: all.joined(separator: " ") + "\n")
        let led = try leds.led("ACT")
        _ = try led.show(Self.twice)
        led.giveBack()
        #expect(try (leds.text("ACT/trigger"), leds.text("ACT/brightness")) == (after, "0"))
    }

    @Test func `a name is whole, or the last part`() throws {
        let leds = try FakeLEDs("input3::scrolllock", triggers: "[none]\n")
        #expect(try leds.led("scrolllock").folder == leds.folder.path + "/input3::scrolllock")
        #expect(try leds.led("input3::scrolllock").folder == leds.folder.path + "/input3::scrolllock")
        #expect(throws: SystemError.self) { try leds.led("lock") }
        #expect(throws: SystemError.self) { try leds.led("ACT") }
    }

    @Test func `a kernel that refuses says which file`() throws {
        let leds = try FakeLEDs("ACT", triggers: "[none] pattern\n")
        let led = try leds.led("ACT")
        try FileManager.default.removeItem(at: leds.folder.appending(path: "ACT/pattern"))
        #expect { try led.show(Self.twice) } throws: { ($0 as? SystemError)?.context.contains("ACT/pattern") == true }
    }
}
