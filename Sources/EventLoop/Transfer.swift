import CCurl
import CLinux
import Platform

/// libcurl's easy handle.
struct Easy: ~Copyable {
    let raw: UnsafeMutableRawPointer

    deinit { curl_easy_cleanup(raw) }
}

/// A list of header lines; libcurl reads it until the transfer is over.
struct HeaderList: ~Copyable {
    var raw: UnsafeMutablePointer<curl_slist>?

    mutating func append(_ line: String) { raw = curl_slist_append(raw, line) ?? raw }

    deinit { curl_slist_free_all(raw) }
}

/// One exchange. The loop holds it until it is over, so that libcurl's callbacks may point at it.
final class Transfer {
    let easy: Easy
    private var headers = HeaderList(raw: nil)
    private let request: HTTPRequest
    private let completion: (Result<HTTPAnswer, TransferError>) -> Void
    private var file: Int32 = -1
    private var fileBytes: Int64 = 0
    private var sent: Int64 = 0
    private var body: [UInt8] = []
    private var headerLines: [String] = []
    private var isTooLong = false

    init?(_ request: HTTPRequest, _ completion: @escaping (Result<HTTPAnswer, TransferError>) -> Void) {
        guard let raw = curl_easy_init() else { return nil }
        easy = Easy(raw: raw)
        self.request = request
        self.completion = completion
    }

    deinit { if file >= 0 { _ = close(file) } }

    /// Sets every option; an error where the body's file can't be opened.
    func prepare() throws(SystemError) {
        let raw = easy.raw
        let context = Unmanaged.passUnretained(self).toOpaque()
        _ = ccurl_set_string(raw, CURLOPT_URL, request.url)
        _ = ccurl_set_string(raw, CURLOPT_CUSTOMREQUEST, request.method)
        _ = ccurl_set_string(raw, CURLOPT_PROTOCOLS_STR, "http,https")
        _ = ccurl_set_long(raw, CURLOPT_NOSIGNAL, 1)
        _ = ccurl_set_long(raw, CURLOPT_FOLLOWLOCATION, 0)
        // A kept connection would wake us when the other side closes it, and is no gain at one message in ten minutes.
        _ = ccurl_set_long(raw, CURLOPT_FORBID_REUSE, 1)
        _ = ccurl_set_long(raw, CURLOPT_CONNECTTIMEOUT, 20)
        _ = ccurl_set_long(raw, CURLOPT_TIMEOUT, request.timeoutSeconds)
        if let socketPath = request.socketPath {
            _ = ccurl_set_string(raw, CURLOPT_UNIX_SOCKET_PATH, socketPath)
            _ = ccurl_set_string(raw, CURLOPT_NOPROXY, "*")
        }
        for line in request.headers { headers.append(line) }
        headers.append("Expect:")
        try prepareBody()
        _ = ccurl_set_list(raw, CURLOPT_HTTPHEADER, headers.raw)
        _ = ccurl_set_function(raw, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            guard let bytes, let context else { return 0 }
            return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().receive(bytes, size * count)
        }
        _ = ccurl_set_pointer(raw, CURLOPT_WRITEDATA, context)
        _ = ccurl_set_function(raw, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            guard let bytes, let context else { return 0 }
            return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().receiveHeader(bytes, size * count)
        }
        _ = ccurl_set_pointer(raw, CURLOPT_HEADERDATA, context)
    }

    private func prepareBody() throws(SystemError) {
        let raw = easy.raw
        if let path = request.bodyFile {
            let opened = try FileDescriptor.open(path, O_RDONLY)
            fileBytes = Int64(try opened.status().st_size)
            file = opened.release()
            _ = ccurl_set_long(raw, CURLOPT_UPLOAD, 1)
            _ = ccurl_set_size(raw, CURLOPT_INFILESIZE_LARGE, curl_off_t(fileBytes))
            _ = ccurl_set_function(raw, CURLOPT_READFUNCTION) { bytes, size, count, context in
                guard let bytes, let context else { return Int(CURL_READFUNC_ABORT) }
                return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().send(bytes, size * count)
            }
            _ = ccurl_set_pointer(raw, CURLOPT_READDATA, Unmanaged.passUnretained(self).toOpaque())
        } else if let body = request.body {
            _ = ccurl_set_size(raw, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
            var copy = body
            if copy.isEmpty { copy = [0] }
            copy.withUnsafeMutableBytes { _ = ccurl_set_pointer(raw, CURLOPT_COPYPOSTFIELDS, $0.baseAddress) }
        }
    }

    private func send(_ bytes: UnsafeMutablePointer<CChar>, _ room: Int) -> Int {
        let got = read(file, bytes, room)
        guard got >= 0 else { return Int(CURL_READFUNC_ABORT) }
        sent += Int64(got)
        request.progress?(sent, fileBytes)
        return got
    }

    private func receive(_ bytes: UnsafeMutablePointer<CChar>, _ count: Int) -> Int {
        guard body.count + count <= request.answerLimit else {
            isTooLong = true
            return 0
        }
        bytes.withMemoryRebound(to: UInt8.self, capacity: count) { body += UnsafeBufferPointer(start: $0, count: count) }
        return count
    }

    private func receiveHeader(_ bytes: UnsafeMutablePointer<CChar>, _ count: Int) -> Int {
        guard headerLines.count < 64, count <= 8_192 else {
            isTooLong = true
            return 0
        }
        let line = bytes.withMemoryRebound(to: UInt8.self, capacity: count) {
            String(decoding: UnsafeBufferPointer(start: $0, count: count).filter { $0 != 13 && $0 != 10 }, as: UTF8.self)
        }
        if !line.isEmpty { headerLines.append(line) }
        return count
    }

    /// Takes the exchange out of libcurl's hands.
    func detach(from multi: borrowing Multi) { _ = curl_multi_remove_handle(multi.raw, easy.raw) }

    /// Tells how it ended.
    func finish(_ code: CURLcode) {
        guard code == CURLE_OK else {
            let words = isTooLong ? "the answer is longer than \(request.answerLimit) bytes" : String(cString: curl_easy_strerror(code))
            return completion(.failure(TransferError(code: isTooLong ? -1 : Int32(code.rawValue), message: words)))
        }
        completion(.success(HTTPAnswer(status: ccurl_response_code(easy.raw), headerLines: headerLines, body: body)))
    }
}

extension EventLoop {
    /// Starts an exchange; the completion is called once, never before this returns, and not at all after `cancel`.
    @discardableResult
    public func send(
        _ request: HTTPRequest, _ completion: @escaping (Result<HTTPAnswer, TransferError>) -> Void
    ) -> Token {
        guard let transfer = Transfer(request, completion) else {
            return after(milliseconds: 0) { completion(.failure(TransferError(code: -1, message: "out of memory"))) }
        }
        do throws(SystemError) { try transfer.prepare() } catch {
            return after(milliseconds: 0) { completion(.failure(TransferError(code: -1, message: error.message))) }
        }
        let token = newToken()
        transfers[token.number] = transfer
        _ = curl_multi_add_handle(multi.raw, transfer.easy.raw)
        return token
    }
}
