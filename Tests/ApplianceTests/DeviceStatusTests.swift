import Appliance
import GovernorCore
import Testing

@Suite struct DeviceStatusTests {
    @Test func `the whole text, byte for byte`() {
        let lines = [
            "state       misconfigured", "lamp        four flashes, pause: configuration error", "fault       name: expected a string",
        ]
        let text = String(decoding: DeviceStatus.text(version: "1.2", lines: lines, .four), as: UTF8.self)
        #expect(
            text == """
                Sublet 1.2: how this device was when it last wrote this file\r
                \r
                state       misconfigured\r
                lamp        four flashes, pause: configuration error\r
                fault       name: expected a string\r
                \r
                Mend device-config.json on this card with a plain text editor, and start the device again. READ-ME-FIRST.txt says what may be in it.\r

                """)
    }

    @Test(arguments: LampPattern.allCases)
    func `each pattern says what to do, in one sentence or a few, with Windows' line ends only`(pattern: LampPattern) {
        let text = DeviceStatus.text(version: "1", lines: [], pattern)
        let ends = text.indices.filter { text[$0] == 0x0A }
        #expect(ends.count == 4 && ends.allSatisfy { text[$0 - 1] == 0x0D })
        #expect(text.suffix(3).first == UInt8(ascii: ".") && text.allSatisfy { $0 < 0x7F })
        #expect(LampPattern.allCases.filter { DeviceStatus.text(version: "1", lines: [], $0) == text } == [pattern])
    }

    @Test func `words of the owner's file make no lines of their own, and none is endless`() {
        let text = DeviceStatus.text(
            version: "1", lines: ["fault       a\r\nlamp  steady\u{7F}: expected", String(repeating: "x", count: 9_000)], .four)
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
        #expect(lines[2] == "fault       a  lamp  steady : expected")
        #expect(lines[3].count == 500 && lines.count == 7)
    }
}
