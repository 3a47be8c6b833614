import Foundation
import JSON
import Protocol

let noon: Int64 = 1_800_000_000
let leaseText = "0123456789abcdef0123456789abcdef"
let deviceText = "0a1b2c3d-0a1b-4c2d-8e3f-0a1b2c3d4e5f"
let edBlob = "AAAAC3NzaC1lZDI1NTE5AAAAI" + String(repeating: "x", count: 43)
let edKey = "ssh-ed25519 " + edBlob
let password = "correct-horse-battery"

func named(_ text: String) -> LeaseID {
    guard let lease = LeaseID(text) else { fatalError("32 hex digits, please") }
    return lease
}

let theLease = named(leaseText)
let theTunnel = TunnelTarget(
    host: "tunnel.example", port: 2_222, user: "tunnel", hostKey: edKey, bind: "127.0.0.1",
    ports: ForwardPorts(ssh: 20_000, http: 20_001, https: 20_002))

/// The fixtures' JSON: the bytes that stand on the wire, spelled out once.
enum Wire {
    static let tunnel =
        #"{"host":"tunnel.example","port":2222,"user":"tunnel","hostKey":"\#(edKey)","bind":"127.0.0.1","#
        + #""ports":{"ssh":20000,"http":20001,"https":20002}}"#
    static let offered =
        #"{"lease":"\#(leaseText)","time":1800000000,"state":"offered","checkInSeconds":600,"sshKeys":[],"tunnel":\#(tunnel)}"#
    static let rented =
        #"{"lease":"\#(leaseText)","time":1800000000,"state":"rented","expires":1800007200,"checkInSeconds":60,"#
        + #""sshKeys":["\#(edKey) ä@b"],"tunnel":\#(tunnel)}"#
    static let granted =
        #"{"lease":"\#(leaseText)","time":1800000000,"state":"offered","checkInSeconds":600,"sshKeys":[],"tunnel":\#(tunnel),"#
        + #""account":{"user":"renter","password":"\#(password)"}}"#
    static let register =
        #"{"lease":"\#(leaseText)","tunnelKey":"\#(edKey)","governor":"0.1.0","hardware":{"architecture":"aarch64","processors":4,"#
        + #""memoryMiB":8192,"storageMiB":61440,"encryption":"luks2"}}"#
    static let checkIn = #"{"lease":"\#(leaseText)","phase":"leased","tunnel":"up","start":3,"uptime":4242}"#
    static let faulty = #"{"lease":"\#(leaseText)","phase":"suspended","tunnel":"refused","start":1,"uptime":0,"fault":"drive-gone"}"#
    static let erase =
        #"{"method":"key","encryption":"luks2","drive":"stick-0001","bytes":68719476736,"eraseMilliseconds":24,"checkMilliseconds":6,"#
        + #""checks":["old-key-refused","no-header"]}"#
    static let statement = #"{"lease":"\#(leaseText)","device":"\#(deviceText)","finished":1800007230,"erase":\#(erase)}"#
    static let unclocked = #"{"lease":"\#(leaseText)","device":"\#(deviceText)","erase":\#(erase)}"#
    static let receiptAnswer = #"{"lease":"\#(leaseText)","time":1800007231}"#
    static let refusal = #"{"error":{"code":"bad-request","message":"lease: expected 32 lower-case hex digits, found \"x\""}}"#
}

func parse(_ text: String) throws(JSONError) -> JSON { try JSON.parse(Array(text.utf8)) }
func text(_ json: JSON) -> String { String(decoding: json.encoded(), as: UTF8.self) }

/// The text with one part replaced; a part that is not there is a mistake in the test.
func swapping(_ text: String, _ part: String, _ by: String) -> String {
    guard let range = text.range(of: part) else { fatalError("no \(part) in the fixture") }
    return text.replacingCharacters(in: range, with: by)
}
