import JSON
import Protocol
import Testing

@testable import GovernorCore

/// What is written on the card, and how strictly it is read back.
@Suite struct JournalTests {
    @Test(arguments: Stand.allCases)
    func `every journal that a device writes is read back the same`(stand: Stand) throws {
        let journal = Device.at(stand).life.journal
        #expect(try Journal(JSON.parse(journal.json.encoded())) == journal)
    }

    @Test(arguments: Journal.Stage.allCases)
    func `every stage, with everything in it, is read back the same`(stage: Journal.Stage) throws {
        let journal = changed(Device.at(.leased).life.journal) { ($0.stage, $0.clean, $0.sshKeys) = (stage, "old", [keyLine, keyLine]) }
        #expect(try Journal(JSON.parse(journal.json.encoded())) == journal)
    }

    @Test func `an empty journal, byte for byte`() {
        #expect(String(decoding: Journal().json.encoded(), as: UTF8.self) == #"{"version":1,"stage":"idle","rented":false,"sshKeys":[]}"#)
    }

    @Test func `a live journal, byte for byte`() {
        let text =
            #"{"version":1,"stage":"live","lease":"11111111111111111111111111111111","drive":"stick-0001","#
            + #""rented":true,"expires":1800007200,"marketTime":1800000700,"starts":1,"tunnel":{"host":"tunnel.example","port":22,"user":"tunnel","#
            + #""hostKey":"ssh-ed25519 "# + edKey + #"","bind":"127.0.0.1","ports":{"ssh":20000,"http":20001,"https":20002}},"sshKeys":[]}"#
        #expect(String(decoding: Device.at(.leased).life.journal.json.encoded(), as: UTF8.self) == text)
    }

    static let head = #""version":1,"rented":false,"sshKeys":[]"#
    static let name = #""lease":"11111111111111111111111111111111""#
    static let bad: [(String, String)] = [
        ("", "expected JSON, found nothing"),
        ("[]", "expected an object, found a list"),
        ("{}", "version: expected a whole number from 1 to 1, found nothing"),
        (#"{"version":2,"stage":"idle","rented":false,"sshKeys":[]}"#, "version: expected a whole number from 1 to 1, found 2"),
        ("{\(head)}", "stage: expected \(stages), found nothing"),
        (#"{\#(head),"stage":"asleep"}"#, "stage: expected \(stages), found \"asleep\""),
        (#"{\#(head),"stage":"idle","colour":"red"}"#, "colour: expected no such key, found a string"),
        (#"{"version":1,"sshKeys":[],"stage":"idle"}"#, "rented: expected true or false, found nothing"),
        (#"{"version":1,"rented":1,"sshKeys":[],"stage":"idle"}"#, "rented: expected true or false, found a whole number"),
        (#"{"version":1,"rented":false,"stage":"idle"}"#, "sshKeys: expected a list of strings, found nothing"),
        (#"{\#(head),"stage":"idle","lease":"11"}"#, "lease: expected 32 lower-case hex digits, found \"11\""),
        (
            #"{\#(head),"stage":"idle","lease":"ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ"}"#,
            "lease: expected 32 lower-case hex digits, found \"ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ\""
        ),
        (#"{\#(head),"stage":"registering"}"#, "lease: expected a lease in this stage, found nothing"),
        (#"{\#(head),"stage":"preparing",\#(name)}"#, "drive: expected a lease and its drive in this stage, found nothing"),
        (#"{\#(head),"stage":"live","drive":"d"}"#, "drive: expected a lease and its drive in this stage, found nothing"),
        (#"{\#(head),"stage":"erasing",\#(name)}"#, "drive: expected a lease and its drive in this stage, found nothing"),
        (#"{\#(head),"stage":"quarantined",\#(name)}"#, "drive: expected a drive in this stage, found nothing"),
        (#"{\#(head),"stage":"live",\#(name),"drive":"d"}"#, "tunnel: expected a tunnel in this stage, found nothing"),
        (#"{\#(head),"stage":"idle","drive":""}"#, "drive: expected a string of 1 to 4096 bytes, found an empty string"),
        (#"{\#(head),"stage":"idle","expires":0}"#, "expires: expected a whole number from 1735689600 to 4102444800, found 0"),
        (#"{\#(head),"stage":"idle","owed":{}}"#, "owed: expected a list, found an object"),
        (#"{\#(head),"stage":"idle","owed":[{"drive":"d"}]}"#, "owed.failed: expected true or false, found nothing"),
        (#"{\#(head),"stage":"idle","owed":[{"drive":"d","failed":true,"x":1}]}"#, "owed.x: expected no such key, found a whole number"),
        (#"{\#(head),"stage":"idle","tunnel":{}}"#, "tunnel.host: expected a string of 1 to 253 bytes, found nothing"),
    ]
    static let stages =
        #"one of "idle" "cleaning" "registering" "preparing" "live" "erasing" "quarantined""#

    @Test(arguments: bad)
    func `a journal that is not right is an error, never an empty journal`(text: String, message: String) {
        let error = #expect(throws: JSONError.self) { _ = try Journal(JSON.parse(Array(text.utf8))) }
        #expect(error?.message == message)
    }

    @Test func `a rented journal without its end is an error: it would never end`() {
        let journal = changed(Device.at(.leased).life.journal) { $0.expires = nil }
        #expect(throws: JSONError.self) { _ = try Journal(journal.json) }
    }

    @Test func `every cut of a journal is an error`() {
        let bytes = Device.at(.leased).life.journal.json.encoded()
        for count in 0..<bytes.count {
            #expect(throws: JSONError.self) { _ = try Journal(JSON.parse(Array(bytes[..<count]))) }
        }
    }
}
