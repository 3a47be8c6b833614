import Appliance
import Foundation
import JSON
import Platform
import Protocol
import Testing

private let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHZ0bXBrZXlmb3J0ZXN0c29mc3VibGV0MDEyMzQ1Njc4 olga@pc"

private func settings(_ text: String) throws(JSONError) -> SystemSettings {
    try SystemSettings(try ObjectReader(try JSON.parse(Array(text.utf8)), at: "system"))
}

private func plan(_ text: String) throws -> SetupPlan { SetupPlan(try settings(text)) }

private func contents(_ plan: SetupPlan, _ path: String) -> String? {
    plan.files.first { $0.path == path }?.contents?.revealText()
}

@Suite struct SystemSettingsTests {
    @Test func `nothing said is nothing wanted`() throws {
        let none = try SystemSettings(nil)
        #expect(none.hostname == nil && none.sshKeys.isEmpty && none.wifi == nil)
        #expect(try settings("{}") == none)
    }

    @Test func `all of it`() throws {
        let all = try settings(
            #"{"hostname":"attic-2","sshKeys":["\#(key)"],"wifi":{"ssid":"Müllers","passphrase":"correct horse","country":"DE"}}"#)
        #expect(all.hostname == "attic-2" && all.sshKeys == [key])
        #expect(all.wifi?.ssid == "Müllers" && all.wifi?.passphrase == Secret("correct horse") && all.wifi?.country == "DE")
    }

    static let wrong: [(String, String)] = [
        (#"{"host":"x"}"#, "system.host: expected no such key, found a string"),
        (#"{"hostname":""}"#, "system.hostname: expected a string of 1 to 63 bytes, found an empty string"),
        (#"{"hostname":"Attic"}"#, #"system.hostname: expected a-z, 0-9, and - between them, found "Attic""#),
        (#"{"hostname":"attic."}"#, #"system.hostname: expected a-z, 0-9, and - between them, found "attic.""#),
        (#"{"hostname":"-attic"}"#, #"system.hostname: expected a-z, 0-9, and - between them, found "-attic""#),
        (#"{"hostname":"attic-"}"#, #"system.hostname: expected a-z, 0-9, and - between them, found "attic-""#),
        (#"{"sshKeys":"\#(key)"}"#, "system.sshKeys: expected a list, found a string"),
        (#"{"sshKeys":["from=\"1.2.3.4\" \#(key)"]}"#, keyWords),
        (#"{"sshKeys":["\#(key)\n\#(key)"]}"#, keyWords),
        (#"{"sshKeys":["-----BEGIN OPENSSH PRIVATE KEY-----"]}"#, keyWords), (#"{"sshKeys":[1]}"#, keyWords),
        (#"{"wifi":{"country":"DE"}}"#, "system.wifi.ssid: expected a string of 1 to 32 bytes, found nothing"),
        (
            #"{"wifi":{"ssid":"\#(String(repeating: "x", count: 33))","country":"DE"}}"#,
            "system.wifi.ssid: expected a string of 1 to 32 bytes, found 33 bytes"
        ),
        (#"{"wifi":{"ssid":"x\ny","country":"DE"}}"#, "system.wifi.ssid: expected a string without control characters, found one"),
        (#"{"wifi":{"ssid":"x"}}"#, "system.wifi.country: expected a string of 2 bytes, found nothing"),
        (#"{"wifi":{"ssid":"x","country":"de"}}"#, #"system.wifi.country: expected two capitals such as "DE", found "de""#),
        (
            #"{"wifi":{"ssid":"x","country":"DE","passphrase":"seven77"}}"#,
            "system.wifi.passphrase: expected a string of 8 to 64 bytes, found 7 bytes"
        ),
        (#"{"wifi":{"ssid":"x","country":"DE","passphrase":"Passwörter"}}"#, phraseWords),
        (#"{"wifi":{"ssid":"x","country":"DE","passphrase":"\#(String(repeating: "g", count: 64))"}}"#, phraseWords),
        (#"{"wifi":{"ssid":"x","country":"DE","psk":"12345678"}}"#, "system.wifi.psk: expected no such key, found a string"),
    ]
    private static let keyWords = #"system.sshKeys: expected public keys such as "ssh-ed25519 AAAA… name", found something else"#
    private static let phraseWords = "system.wifi.passphrase: expected 8 to 63 characters of ASCII, or 64 hex digits, found something else"

    @Test(arguments: wrong)
    func `is refused, without a word of key or passphrase`(text: String, message: String) {
        let error = #expect(throws: JSONError.self) { try settings(text) }
        #expect(error?.message == message)
    }

    @Test func `the passphrase can't be printed`() throws {
        let all = try settings(#"{"wifi":{"ssid":"attic","passphrase":"correct horse","country":"DE"}}"#)
        var dumped = ""
        dump(all, to: &dumped)
        dump(SetupPlan(all), to: &dumped)
        #expect(!("\(all) \(SetupPlan(all))" + dumped).contains("correct") && dumped.contains("attic"))
    }
}

@Suite struct SetupPlanTests {
    @Test func `without settings neither Wi-Fi nor ssh may be there, and the image keeps its name`() throws {
        let none = try plan("{}")
        #expect(none.files.map(\.path) == ["/etc/sublet/wpa_supplicant.conf", "/etc/sublet/authorized_keys"])
        #expect(none.files.allSatisfy { $0.contents == nil } && none.hostname == nil)
    }

    @Test func `a name, for files and kernel`() throws {
        let named = try plan(#"{"hostname":"attic"}"#)
        #expect(contents(named, "/etc/hostname") == "attic\n" && named.hostname == "attic")
        #expect(contents(named, "/etc/hosts") == "127.0.0.1\tlocalhost\n127.0.1.1\tattic\n::1\tlocalhost ip6-localhost ip6-loopback\n")
        #expect(named.files.filter { $0.path != "/etc/hostname" && $0.path != "/etc/hosts" }.allSatisfy { $0.contents == nil })
    }

    @Test func `keys, one a line`() throws {
        #expect(contents(try plan(#"{"sshKeys":["\#(key)","\#(key)2"]}"#), "/etc/sublet/authorized_keys") == "\(key)\n\(key)2\n")
    }

    @Test func `what is secret is for root alone`() throws {
        let all = try plan(#"{"hostname":"attic","sshKeys":["\#(key)"],"wifi":{"ssid":"x","passphrase":"12345678","country":"DE"}}"#)
        #expect(all.files.map { String($0.mode, radix: 8) } == ["600", "600", "644", "644"])
    }

    static let networks: [(String, String)] = [
        (
            ##""ssid":"attic","passphrase":"a \"#b\"  ""##,
            "\tssid=6174746963\n\tscan_ssid=1\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tpsk=\"a \"#b\"  \"\n"
        ),
        (#""ssid":"a\"}ä""#, "\tssid=61227dc3a4\n\tscan_ssid=1\n\tkey_mgmt=NONE\n"),
        (
            #""ssid":"x","passphrase":"\#(String(repeating: "aF", count: 32))""#,
            "\tssid=78\n\tscan_ssid=1\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tpsk=\(String(repeating: "aF", count: 32))\n"
        ),
    ]

    @Test(arguments: networks)
    func `a network, byte for byte`(network: String, block: String) throws {
        let text = contents(try plan(#"{"wifi":{\#(network),"country":"NL"}}"#), "/etc/sublet/wpa_supplicant.conf")
        #expect(text == "country=NL\npmf=1\nnetwork={\n" + block + "}\n")
    }

    @Test func `files are written with their modes, again and again, and taken away`() throws {
        let root = NSTemporaryDirectory() + "sublet-setup-" + UUID().uuidString
        try Files.makeFolder(root)
        defer { try? FileManager.default.removeItem(atPath: root) }
        let all = try plan(#"{"hostname":"attic","sshKeys":["\#(key)"],"wifi":{"ssid":"x","passphrase":"12345678","country":"DE"}}"#)
        for _ in 1...2 { try all.apply(below: root) }
        for file in all.files {
            let mode = try FileManager.default.attributesOfItem(atPath: root + file.path)[.posixPermissions] as? NSNumber
            #expect(mode?.uint32Value == file.mode)
            #expect(try Files.read(root + file.path, limit: 9_999) == file.contents?.reveal())
        }
        try plan("{}").apply(below: root)
        #expect(
            Files.names(in: root + "/etc/sublet").isEmpty && Files.names(in: root + "/etc").sorted() == ["hostname", "hosts", "sublet"])
    }
}
