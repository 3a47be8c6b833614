import Foundation
import Protocol
import Testing

/// Names, keys, times and secrets.
@Suite struct ValueTests {
    @Test(arguments: [
        "", "0", leaseText + "0", leaseText.uppercased(), String(repeating: "g", count: 32), String(repeating: " ", count: 32),
        String(repeating: "0", count: 31) + "\0", String(repeating: "ä", count: 16),
    ])
    func `not the name of a lease`(text: String) { #expect(LeaseID(text) == nil) }

    @Test(arguments: [
        "", deviceText + "0", deviceText.uppercased(), deviceText.replacingOccurrences(of: "-", with: "0"),
        "{" + deviceText.dropFirst(2) + "}", "0a1b2c3d0-a1b-4c2d-8e3f-0a1b2c3d4e5f", "0a1b2c3d-0a1b-4c2d-8e3f-0a1b2c3d4e5g",
    ])
    func `not the name of a device`(text: String) { #expect(DeviceID(text) == nil) }

    @Test func `the name of a device`() { #expect(DeviceID(deviceText)?.text == deviceText) }

    @Test(arguments: ["a", "renter", "a-b_c9", String(repeating: "a", count: 32)])
    func `a user name`(text: String) { #expect(isUserName(text)) }

    @Test(arguments: ["", "A", "9a", "-a", "_a", "a.b", "a b", "a\n", "a\0", "root:x", "ä", String(repeating: "a", count: 33)])
    func `not a user name`(text: String) { #expect(!isUserName(text)) }

    @Test(arguments: ["tunnel.example", "127.0.0.1", "::1", "fe80::1", "a", "T-1.x"])
    func `a host`(text: String) { #expect(isHostName(text)) }

    @Test(arguments: ["", "-a", "a b", "a;b", "a/b", "a@b", "a%b", "[::1]", "a\n", "$(id)", "a_b", "ä", String(repeating: "a", count: 254)])
    func `not a host`(text: String) { #expect(!isHostName(text)) }

    @Test(arguments: [
        edKey, edKey + " me@laptop", edKey + " a comment with words, \"quotes\" and ümlauts",
        "ssh-rsa " + String(repeating: "A", count: 372) + "==",
        "ecdsa-sha2-nistp256 " + edBlob, "sk-ssh-ed25519@openssh.com " + edBlob,
    ])
    func `a public key`(line: String) { #expect(isPublicKeyLine(line)) }

    @Test(arguments: [
        "", " ", "ssh-ed25519", "ssh-ed25519 ", edBlob, "command=\"id\" " + edKey, "no-pty " + edKey, "restrict,pty " + edKey,
        "environment=\"LD_PRELOAD=/x\" " + edKey, "from=\"*\",command=\"sh\" " + edKey, "permitopen=\"a:1\" " + edKey,
        "cert-authority " + edKey,
        "tunnel=\"0\"\t" + edKey, "ssh-dss " + edBlob, "ssh-ed25519-cert-v01@openssh.com " + edBlob, "# " + edKey, edKey + "\n" + edKey,
        edKey + "\r", edKey + "\0", "ssh-ed25519\t" + edBlob, "ssh-ed25519 short", "ssh-ed25519 " + edBlob.dropLast() + "*",
        "SSH-ED25519 " + edBlob,
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ])
    func `not a public key, or one with options`(line: String) { #expect(!isPublicKeyLine(line)) }

    @Test(arguments: [
        edKey + " me", edKey.dropLast() + "*", "ssh-ed25519  " + edBlob.dropLast(), "ssh-rsa " + edBlob, String(edKey.dropLast()), "",
    ])
    func `not a bare ed25519 key`(text: String) { #expect(!isEd25519Key(text)) }

    @Test func `sane times`() {
        #expect(UnixTime.sane.lowerBound == 1_735_689_600 && UnixTime.sane.upperBound == 4_102_444_800)
        #expect(!UnixTime.sane.contains(0) && !UnixTime.sane.contains(253_402_300_799) && UnixTime.sane.contains(2_147_483_648))
    }
}

/// A secret shows itself to nobody who does not ask for it by name.
@Suite struct SecretTests {
    private let account = Account(user: "renter", password: Secret(password))

    private func expectHidden(_ shown: String, _ secret: String = password) {
        #expect(!shown.contains(secret) && !shown.contains("horse"))
        for byte in Set(secret.utf8) { #expect(!shown.contains("- \(byte)\n") && !shown.contains("[\(byte),"), "\(shown)") }
    }

    @Test func `not in an interpolation`() { #expect("\(Secret(password))" == "•••") }

    @Test func `not in a description of any kind`() {
        expectHidden(String(describing: Secret(password)))
        expectHidden(String(reflecting: Secret(password)))
        expectHidden("\([Secret(password)]) \(Optional(Secret(password)) as Any) \(["key": Secret(password)])")
    }

    @Test func `not in a struct that holds it`() throws {
        expectHidden("\(account)")
        expectHidden(String(reflecting: try RegisterAnswer(parse(Wire.granted))))
    }

    @Test func `not in a dump`() throws {
        var shown = ""
        dump(Secret(password), to: &shown)
        dump(account, to: &shown)
        dump(try RegisterAnswer(parse(Wire.granted)), to: &shown)
        expectHidden(shown)
    }

    @Test func `not in its mirror`() { #expect(Mirror(reflecting: Secret(password)).children.isEmpty) }

    @Test func `only by name, byte for byte`() {
        #expect(Secret(password).revealText() == password && Secret([1, 0, 255]).reveal() == [1, 0, 255])
    }

    @Test func `equal where the bytes are`() {
        #expect(Secret("a") == Secret([97]) && Secret("a") != Secret("b"))
    }
}
