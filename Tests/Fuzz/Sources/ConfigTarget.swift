import Appliance
import JSON
import Platform
import Protocol

/// device-config.json: whatever an owner writes is taken, or told in one line that shows no secret; and nothing in it can say more in the
/// files made of it than it should.
func fuzzConfig(_ input: [UInt8]) {
    let json: JSON
    do throws(JSONError) { json = try OwnersText.parse(input) } catch { return expectTold(error, input, nil) }
    for board in boards {
        do throws(JSONError) {
            let config = try Config(json, board)
            guard let again = try? OwnersText.parse(json.encoded()) else { fatalError("what is written can't be read") }
            expect((try? Config(again, board)) == config, "written and read it is another")
            if let path = config.drive.path { expectReceipted("path:" + path) }
        } catch { expectTold(error, input, json) }
    }
    guard case .object = json, let system = json["system"], let reader = try? ObjectReader(system),
        let settings = try? SystemSettings(reader)
    else { return }
    expectPlain(settings)
}

private let boards: [Board] = [Board(), Board.read("Tests/Fuzz/board")]

/// An owner has nothing but this line.
private func expectTold(_ error: JSONError, _ input: [UInt8], _ json: JSON?) {
    let message = error.message
    expect(isLine(message), "an error that is no line: " + message)
    expect(json == nil || !error.path.isEmpty || json?.kind != "an object", "an error that names no key: " + message)
    for secret in [json?["deviceKey"]?.text, json?["system"]?["wifi"]?["passphrase"]?.text] {
        // One that is none, or that stands in another key's place too, may be shown there.
        guard let secret, secret.utf8.count == 64, secret.allSatisfy({ $0.isHexDigit }), count(secret, in: input) == 1 else { continue }
        expect(!contains(Array(message.utf8), secret), "an error that shows a secret: " + message)
    }
}

/// The files of a card's system have the lines that they are to have, and no others.
private func expectPlain(_ settings: SystemSettings) {
    for file in SetupPlan(settings).files {
        guard let text = file.contents?.revealText() else { continue }
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"))
        let wanted =
            switch file.path {
            case "/etc/hosts": 3
            case "/etc/hostname": 1
            case "/etc/sublet/authorized_keys": settings.sshKeys.count
            default: settings.wifi?.passphrase == nil ? 7 : 8
            }
        expect(lines.count == wanted, "\(lines.count) lines instead of \(wanted) in " + text)
        if file.path == "/etc/hosts" { expect(text.split { $0 == "\t" || $0 == "\n" || $0 == " " }.count == 8, "other names in " + text) }
        expect(text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x0A || $0 == 0x09 }, "a control character in " + text)
    }
}

private func count(_ text: String, in bytes: [UInt8]) -> Int {
    let wanted = Array(text.utf8)
    guard bytes.count >= wanted.count else { return 0 }
    return (0...(bytes.count - wanted.count)).count { bytes[$0...].starts(with: wanted) }
}
