import EventLoop
import JSON
import Platform

/// The Docker Engine API (version 1.41) over the private engine's socket.
final class DockerAPI {
    private let loop: EventLoop
    private let socket: String

    init(loop: EventLoop, socket: String) {
        self.loop = loop
        self.socket = socket
    }

    /// Sends one request; a limit of 0 seconds waits for ever.
    @discardableResult
    func call(
        _ method: String, _ path: String, body: JSON? = nil, seconds: Int = 60, _ completion: @escaping (EngineReply) -> Void
    ) -> EventLoop.Token {
        var request = HTTPRequest(method, "http://engine/v1.41" + path, socketPath: socket)
        request.timeoutSeconds = seconds
        if let body {
            request.headers = ["Content-Type: application/json"]
            request.body = body.encoded()
        } else if method == "POST" {
            request.body = []
        }
        return send(request, completion)
    }

    /// Sends a tar archive to be unpacked in a container.
    func upload(_ tar: [UInt8], to path: String, _ completion: @escaping (EngineReply) -> Void) {
        var request = HTTPRequest("PUT", "http://engine/v1.41" + path, socketPath: socket)
        request.headers = ["Content-Type: application/x-tar"]
        request.body = tar
        send(request, completion)
    }

    /// Sends a file as the body, telling how far it is.
    func upload(
        file: String, to path: String, progress: @escaping (Int64, Int64) -> Void, _ completion: @escaping (EngineReply) -> Void
    ) {
        var request = HTTPRequest("POST", "http://engine/v1.41" + path, socketPath: socket)
        request.headers = ["Content-Type: application/x-tar"]
        request.bodyFile = file
        request.timeoutSeconds = 3_600
        request.progress = progress
        send(request, completion)
    }

    @discardableResult
    private func send(_ request: HTTPRequest, _ completion: @escaping (EngineReply) -> Void) -> EventLoop.Token {
        loop.send(request) { result in
            switch result {
            case .failure(let failure): completion(EngineReply(status: 0, body: .null, trouble: "engine: " + failure.message))
            case .success(let answer): completion(EngineReply(status: answer.status, bytes: answer.body))
            }
        }
    }
}

/// A tar archive (POSIX ustar) of small files: what the engine's archive call takes.
struct Tar {
    private(set) var bytes: [UInt8] = []

    /// Adds a file that belongs to root.
    mutating func add(_ path: String, _ content: [UInt8], mode: Int) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            for (index, byte) in text.utf8.enumerated() { header[offset + index] = byte }
        }
        func octal(_ number: Int, _ width: Int) -> String {
            var digits = String(number, radix: 8)
            while digits.utf8.count < width { digits = "0" + digits }
            return digits
        }
        put(path, at: 0)
        put(octal(mode, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(content.count, 11), at: 124)
        put(octal(0, 11), at: 136)
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar", at: 257)
        put("00", at: 263)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6), at: 148)
        header[154] = 0
        header[155] = 0x20
        bytes += header + content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    /// The archive with its two closing blocks.
    func closed() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1_024) }
}
