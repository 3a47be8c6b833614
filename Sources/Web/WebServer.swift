import CLinux
import CMicrohttpd
import Platform

/// Limits of a server.
public struct WebLimits: Equatable, Sendable {
    /// The longest body in bytes; one byte more is refused.
    public var body: Int
    /// Connections at once.
    public var connections: Int
    /// Seconds without a byte after which a connection between requests is closed.
    public var idleSeconds: Int
    /// Seconds without a byte after which a connection within a request is closed; twice that is all a request may take.
    public var requestSeconds: Int
    /// Bytes for a request's line and headers.
    public var headers: Int

    /// Limits; the defaults suit a fleet that checks in every few minutes.
    public init(body: Int, connections: Int = 4_096, idleSeconds: Int = 60, requestSeconds: Int = 15, headers: Int = 16_384) {
        self.body = body
        self.connections = connections
        self.idleSeconds = idleSeconds
        self.requestSeconds = requestSeconds
        self.headers = headers
    }
}

/// libmicrohttpd on one thread, in rounds.
///
/// A round answers every request that has come in, holds the answers back, makes all that they wrote durable with one sync, and lets the
/// answers go. While a sync runs the next requests gather in the kernel; so the more there are, the more share a sync.
public final class WebServer {
    private let handler: any WebHandler
    private let limits: WebLimits
    private let tickMilliseconds: Int
    private var daemon: OpaquePointer?
    private var waiting: [(connection: OpaquePointer, exchange: Exchange)] = []
    /// The port it listens on.
    public let port: UInt16

    /// Listens. Throws where the address can't be had.
    public init(
        _ address: ListenAddress, limits: WebLimits, tickMilliseconds: Int, handler: any WebHandler
    ) throws(SystemError) {
        self.handler = handler
        self.limits = limits
        self.tickMilliseconds = tickMilliseconds
        let descriptor = try address.listen()
        port = try address.port(of: descriptor)
        daemon = cmicrohttpd_start(
            descriptor.raw, Self.onRequest, Unmanaged.passUnretained(self).toOpaque(), Self.onCompleted, UInt32(limits.connections),
            UInt32(limits.idleSeconds), limits.headers)
        guard daemon != nil else { throw SystemError(EIO, "libmicrohttpd does not start (is epoll allowed?)") }
        // MHD_stop_daemon closes the socket.
        _ = descriptor.release()
    }

    deinit { if let daemon { MHD_stop_daemon(daemon) } }

    /// Serves until a signal comes in on `signals` (a signalfd); answers which.
    public func serve(until signals: Int32) throws(SystemError) -> Int32 {
        guard let daemon else { throw SystemError(EINVAL, "the server has stopped") }
        var descriptors = [
            pollfd(fd: cmicrohttpd_descriptor(daemon), events: Int16(POLLIN), revents: 0),
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            let due = cmicrohttpd_wait(daemon)
            let wait = due < 0 ? tickMilliseconds : Int(min(due, Int64(tickMilliseconds)))
            guard poll(&descriptors, 2, Int32(wait)) >= 0 || clinux_errno() == EINTR else { throw .last("poll") }
            if descriptors[1].revents != 0 { return clinux_read_signal(signals) }
            round(daemon)
            handler.tick()
        }
    }

    /// Reads and answers what is there; then commits, lets the answers go, and goes on while sending them brought more.
    private func round(_ daemon: OpaquePointer) {
        repeat {
            handler.beginRound()
            MHD_run(daemon)
            let isDurable = handler.endRound()
            let sending = waiting
            waiting.removeAll(keepingCapacity: true)
            for (connection, exchange) in sending {
                if !isDurable, let answer = exchange.answer { exchange.answer = handler.lost(answer) }
                MHD_resume_connection(connection)
            }
            if sending.isEmpty { return }
        } while true
    }

    /// libmicrohttpd calls this when the headers are there, for each part of the body, at its end, and again after a resume.
    private static let onRequest: MHD_AccessHandlerCallback = { context, connection, url, method, _, upload, size, state in
        guard let context, let connection, let url, let method, let size, let state else { return .NO }
        let server = Unmanaged<WebServer>.fromOpaque(context).takeUnretainedValue()
        guard let kept = state.pointee else {
            let exchange = Exchange(began: Clock.bootNanoseconds())
            state.pointee = Unmanaged.passRetained(exchange).toOpaque()
            return server.began(exchange, connection)
        }
        let exchange = Unmanaged<Exchange>.fromOpaque(kept).takeUnretainedValue()
        if size.pointee > 0 {
            let part = UnsafeRawBufferPointer(start: upload, count: size.pointee)
            size.pointee = 0
            return server.received(part, exchange)
        }
        return server.ended(exchange, connection, String(cString: method), String(cString: url))
    }

    private static let onCompleted: MHD_RequestCompletedCallback = { context, connection, state, _ in
        guard let context, let connection, let state, let kept = state.pointee else { return }
        state.pointee = nil
        let server = Unmanaged<WebServer>.fromOpaque(context).takeUnretainedValue()
        cmicrohttpd_set_timeout(connection, UInt32(server.limits.idleSeconds))
        Unmanaged<Exchange>.fromOpaque(kept).release()
    }

    private func began(_ exchange: Exchange, _ connection: OpaquePointer) -> MHD_Result {
        cmicrohttpd_set_timeout(connection, UInt32(limits.requestSeconds))
        guard let length = cmicrohttpd_header(connection, "Content-Length") else { return .YES }
        // A body not far over the limit is read and dropped, so that its sender gets to see the answer; a huge one isn't read at all.
        guard (Int(String(cString: length)) ?? Int.max) > limits.body * 16 else { return .YES }
        exchange.received = Int.max
        return queue(handler.tooLarge(), connection)
    }

    private func received(_ part: UnsafeRawBufferPointer, _ exchange: Exchange) -> MHD_Result {
        exchange.received += part.count
        // Closes the connection: who sends this slowly or this much reads no answer.
        guard exchange.received <= limits.body * 16,
            Clock.bootNanoseconds() - exchange.began < Int64(limits.requestSeconds) * 2_000_000_000
        else { return .NO }
        if exchange.received <= limits.body { exchange.body += part } else { exchange.body = [] }
        return .YES
    }

    private func ended(_ exchange: Exchange, _ connection: OpaquePointer, _ method: String, _ path: String) -> MHD_Result {
        if let ready = exchange.answer { return queue(ready, connection) }
        let answer =
            exchange.received > limits.body
            ? handler.tooLarge()
            : handler.answer(
                WebRequest(
                    method: method, path: path, hasQuery: cmicrohttpd_has_query(connection) != 0,
                    body: exchange.body, connection: connection))
        guard answer.waitsForCommit else { return queue(answer, connection) }
        exchange.answer = answer
        exchange.body = []
        waiting.append((connection, exchange))
        MHD_suspend_connection(connection)
        return .YES
    }

    private func queue(_ answer: WebAnswer, _ connection: OpaquePointer) -> MHD_Result {
        var body = answer.body
        let made = body.withUnsafeMutableBytes { cmicrohttpd_response($0.baseAddress, $0.count) }
        guard let made else { return .NO }
        defer { MHD_destroy_response(made) }
        for header in answer.headers { MHD_add_response_header(made, header.name, header.value) }
        return MHD_queue_response(connection, UInt32(answer.status), made)
    }
}
