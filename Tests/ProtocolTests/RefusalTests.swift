import JSON
import Protocol
import Testing

/// Bad input and the exact words about it.
@Suite struct RefusalTests {
    static let answers: [(String, String)] = [
        ("", "expected JSON, found nothing"),
        ("<html><body>Sign in to Wi-Fi</body></html>", "expected JSON, found unexpected character at byte 0"),
        ("{}", "lease: expected a string of 1 to 64 bytes, found nothing"),
        ("[]", "expected an object, found a list"), ("null", "expected an object, found null"),
        ("\"OK\"", "expected an object, found a string"),
        (swapping(Wire.rented, #""time""#, #""extra":1,"time""#), "extra: expected no such key, found a whole number"),
        (swapping(Wire.rented, #""ssh":20000"#, #""ssh":20000,"dns":1"#), "tunnel.ports.dns: expected no such key, found a whole number"),
        (swapping(Wire.rented, leaseText, "0123"), #"lease: expected 32 lower-case hex digits, found "0123""#),
        (
            swapping(Wire.rented, leaseText, leaseText.uppercased()),
            #"lease: expected 32 lower-case hex digits, found "0123456789ABCDEF0123456789ABCDEF""#
        ),
        (swapping(Wire.rented, "1800000000", "0"), "time: expected \(sane), found 0"),
        (swapping(Wire.rented, "1800000000", "\"1800000000\""), "time: expected \(sane), found a string"),
        (swapping(Wire.rented, "1800000000", "1800000000.5"), "time: expected \(sane), found a number with a fraction"),
        (swapping(Wire.rented, #""rented""#, #""free""#), #"state: expected one of "offered" "rented" "ended", found "free""#),
        (swapping(Wire.rented, #""expires":1800007200,"#, ""), "expires: expected a time, for the lease is rented, found nothing"),
        (swapping(Wire.rented, "1800007200", "0"), "expires: expected \(sane), found 0"),
        (swapping(Wire.rented, "1800007200", "253402300799"), "expires: expected \(sane), found 253402300799"),
        (swapping(Wire.rented, "1800007200", "1834560001"), #"expires: expected at most 400 days after "time", found 1834560001"#),
        (swapping(Wire.rented, "1800007200", "1834646400"), #"expires: expected at most 400 days after "time", found 1834646400"#),
        (swapping(Wire.rented, "1800007200", "1e10"), "expires: expected \(sane), found 10000000000"),
        (
            swapping(Wire.rented, #""checkInSeconds":60"#, #""checkInSeconds":0"#),
            "checkInSeconds: expected a whole number from 1 to 86400, found 0"
        ),
        (
            swapping(Wire.rented, #""checkInSeconds":60"#, #""checkInSeconds":86401"#),
            "checkInSeconds: expected a whole number from 1 to 86400, found 86401"
        ),
        (swapping(Wire.rented, #"["\#(edKey) ä@b"]"#, #""\#(edKey)""#), "sshKeys: expected a list of strings, found a string"),
        (
            swapping(Wire.rented, "\(edKey) ä@b", #"command=\"id\" \#(edKey)"#),
            #"sshKeys: expected OpenSSH public keys, found "command="id" ssh-ed2…""#
        ),
        (swapping(Wire.rented, " ä@b", #"\nssh-rsa AAAA"#), "sshKeys: expected a string without control characters, found one"),
        (
            swapping(Wire.rented, "tunnel.example", "-oProxyCommand=id"),
            #"tunnel.host: expected a host name or address, found "-oProxyCommand=id""#
        ),
        (swapping(Wire.rented, "tunnel.example", "a b"), #"tunnel.host: expected a host name or address, found "a b""#),
        (swapping(Wire.rented, "2222", "0"), "tunnel.port: expected a whole number from 1 to 65535, found 0"),
        (swapping(Wire.rented, "2222", "70000"), "tunnel.port: expected a whole number from 1 to 65535, found 70000"),
        (swapping(Wire.rented, #""user":"tunnel""#, #""user":"Root""#), #"tunnel.user: expected a user name, found "Root""#),
        (
            swapping(Wire.rented, #""hostKey":"ssh-ed25519 AAAAC3"#, #""hostKey":"ssh-ed25519 BBBBC3"#),
            "tunnel.hostKey: expected an ssh-ed25519 public key, found something else"
        ),
        (swapping(Wire.rented, #""bind":"127.0.0.1""#, #""bind":"-g""#), #"tunnel.bind: expected an address, found "-g""#),
        (swapping(Wire.rented, "20001", "20000"), "tunnel.ports.https: expected three different ports, found one of them twice"),
        (swapping(Wire.rented, "20002", "20001"), "tunnel.ports.https: expected three different ports, found one of them twice"),
        (swapping(Wire.rented, "20002", "20000"), "tunnel.ports.https: expected three different ports, found one of them twice"),
        (swapping(Wire.rented, "20000", "22"), "tunnel.ports.ssh: expected a whole number from 1024 to 65535, found 22"),
        (swapping(Wire.rented, "20002", "65536"), "tunnel.ports.https: expected a whole number from 1024 to 65535, found 65536"),
    ]
    static let sane = "a whole number from 1735689600 to 4102444800"

    @Test(arguments: answers)
    func `an answer to a check-in`(body: String, message: String) {
        let error = #expect(throws: JSONError.self) { try CheckInAnswer(parse(body)) }
        #expect(error?.message == message)
    }

    @Test(arguments: answers.dropFirst())
    func `the same in an answer to a registration`(body: String, message: String) {
        let error = #expect(throws: JSONError.self) { try RegisterAnswer(parse(body)) }
        #expect(error?.message == message)
    }

    @Test func `an account does not belong in the answer to a check-in`() {
        let error = #expect(throws: JSONError.self) { try CheckInAnswer(parse(Wire.granted)) }
        #expect(error?.message == "account: expected no such key, found an object")
    }

    @Test func `exactly 400 days are allowed`() throws {
        _ = try CheckInAnswer(parse(swapping(Wire.rented, "1800007200", "1834560000")))
    }

    @Test(arguments: [Wire.rented, Wire.granted, Wire.register, Wire.statement])
    func `every cut of a body is refused`(body: String) {
        let bytes = Array(body.utf8)
        for count in 0..<bytes.count {
            #expect(throws: JSONError.self) { try RegisterAnswer(JSON.parse(Array(bytes[..<count]))) }
            #expect(throws: JSONError.self) { try ReceiptStatement(JSON.parse(Array(bytes[..<count]))) }
        }
    }

    static let accounts: [(String, String)] = [
        (#""user":"renter""#, #""user":"root;id""#), (#""user":"renter""#, #""user":"Renter""#), (#""user":"renter""#, #""user":"1a""#),
        (#""user":"renter""#, #""user":"-a""#), (#""user":"renter""#, #""user":"""#), (#""user":"renter""#, #""user":"a b""#),
        (#""user":"renter""#, #""user":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#), (#""user":"renter""#, #""user":"ä""#),
        (password, "short"), (password, "with\\nline-feed-in-it"), (password, String(repeating: "p", count: 65)),
        (password, "with\\u0000zero-in-it"),
        (#""user":"renter","#, ""), (#""user":"renter""#, #""user":"renter","shell":"/bin/sh""#),
    ]

    @Test(arguments: accounts)
    func `an account`(part: String, by: String) {
        let error = #expect(throws: JSONError.self) { try RegisterAnswer(parse(swapping(Wire.granted, part, by))) }
        #expect(error?.path.hasPrefix("account.") == true)
    }

    @Test func `an error about a password does not show it`() {
        let error = #expect(throws: JSONError.self) { try RegisterAnswer(parse(swapping(Wire.granted, password, "hunter2"))) }
        #expect(error?.message == "account.password: expected a string of 12 to 64 bytes, found 7 bytes")
    }

    static let requests: [(String, String, String)] = [
        (edKey, "ssh-rsa AAAA", "tunnelKey: expected a string of 80 to 120 bytes, found 12 bytes"),
        (edKey, edKey + " me@home", #"tunnelKey: expected "ssh-ed25519 " and 68 base64 characters, found something else"#),
        (#""governor":"0.1.0""#, #""governor":"""#, "governor: expected a string of 1 to 64 bytes, found an empty string"),
        (#""processors":4"#, #""processors":0"#, "hardware.processors: expected a whole number from 1 to 4096, found 0"),
        (#""memoryMiB":8192"#, #""memoryMiB":-1"#, "hardware.memoryMiB: expected a whole number from 1 to 16777216, found -1"),
        (#""encryption":"luks2""#, #""encryption":"rot13""#, #"hardware.encryption: expected one of "luks2" "none", found "rot13""#),
    ]

    @Test(arguments: requests)
    func `a request to register`(part: String, by: String, message: String) {
        let error = #expect(throws: JSONError.self) { try RegisterRequest(parse(swapping(Wire.register, part, by))) }
        #expect(error?.message == message)
    }

    @Test(arguments: [
        (
            "leased", "sleeping",
            "phase: expected one of \"registering\" \"preparing\" \"building\" \"offered\" \"leased\" \"suspended\" "
                + "\"erasing\" \"quarantined\", found \"sleeping\""
        ),
        (#""tunnel":"up""#, #""tunnel":"sideways""#, #"tunnel: expected one of "down" "up" "refused", found "sideways""#),
        ("4242", "4294967296", "uptime: expected a whole number from 0 to 4294967295, found 4294967296"),
        ("4242", "-1", "uptime: expected a whole number from 0 to 4294967295, found -1"),
        ("4242", "1,\"fault\":\"a\\u0001\"", "fault: expected a string without control characters, found one"),
    ])
    func `a check-in`(part: String, by: String, message: String) {
        let error = #expect(throws: JSONError.self) { try CheckInRequest(parse(swapping(Wire.checkIn, part, by))) }
        #expect(error?.message == message)
    }

    @Test(arguments: [
        (deviceText, deviceText.uppercased(), "device: expected \(DeviceID.form), found \(deviceText.uppercased())"),
        ("68719476736", "-1", "erase.bytes: expected a whole number from 0 to 1152921504606846976, found -1"),
        (#""method":"key""#, #""method":"hope""#, #"erase.method: expected one of "key" "discard" "overwrite", found "hope""#),
        ("1800007230", "1", "finished: expected \(sane), found 1"),
    ])
    func `a receipt's statement`(part: String, by: String, message: String) {
        let error = #expect(throws: JSONError.self) { try ReceiptStatement(parse(swapping(Wire.statement, part, by))) }
        #expect(error?.message == message)
    }
}
