/// Where the market's REST API lies and what frames every message; one definition for both sides.
public enum Door {
    /// The prefix of every path.
    public static let base = "/api/v1"
    /// The request header that carries the device's key: `Authorization: Bearer KEY`.
    public static let authorization = "Authorization"
    /// The request header with 32 hex digits that are new in every request; the answer's seal covers them.
    public static let nonce = "Sublet-Nonce"
    /// The answer header with the seal, 64 hex digits.
    public static let seal = "Sublet-Seal"
    /// The longest body either side reads, in bytes.
    public static let bodyLimit = 65_536

    /// `POST`: a device asks for a lease.
    public static func register(_ device: DeviceID) -> String { base + "/devices/" + device.text + "/register" }
    /// `POST`: a device tells that it lives and learns how long.
    public static func checkIn(_ device: DeviceID) -> String { base + "/devices/" + device.text + "/check-in" }
    /// `POST`: a device without a lease tells why it offers none.
    public static func waiting(_ device: DeviceID) -> String { base + "/devices/" + device.text + "/waiting" }
    /// `POST`: a device proves that it erased a lease.
    public static func receipts(_ device: DeviceID) -> String { base + "/devices/" + device.text + "/receipts" }

    /// What the seal covers: HMAC-SHA-256 with the SHA-256 of the device key over this text. So an answer that was not made by the
    /// market for this very request (a captive portal, a replay, a proxy's error page) can't end or move a lease.
    public static func sealed(nonce: String, status: Int, body: [UInt8]) -> [UInt8] {
        Array((nonce + "\n\(status)\n").utf8) + body
    }
}
