import JSON
import Protocol

/// The target of the client that stands, noted beside its socket, so that a restarted governor adopts it only if it still leads right.
enum TunnelNote {
    static func write(_ target: TunnelTarget) -> [UInt8] { target.json.encoded() }

    static func read(_ bytes: [UInt8]) -> TunnelTarget? {
        do throws(JSONError) { return try TunnelTarget(try ObjectReader(try JSON.parse(bytes))) } catch { return nil }
    }
}
