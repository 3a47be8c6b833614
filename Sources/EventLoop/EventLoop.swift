import CCurl
import CLinux
import Platform

/// The one wait of the program: `curl_multi_poll` over HTTP transfers, watched descriptors and deadlines. One thread; handlers run one
/// after another and must not block.
public final class EventLoop {
    /// Names a watch, timer, transfer or job, to cancel it.
    public struct Token: Hashable, Sendable {
        let number: UInt64
    }

    private struct Watch {
        let token: Token
        let descriptor: Int32
        let events: Int16
        let handler: (Int16) -> Void
    }

    private struct Timer {
        let token: Token
        let moment: Int64
        let handler: () -> Void
    }

    let multi: Multi
    private var watches: [Watch] = []
    private var timers: [Timer] = []
    var transfers: [UInt64: Transfer] = [:]
    var jobs: [UInt64: Job] = [:]
    private var lastNumber: UInt64 = 0
    private var isRunning = false
    /// How often the wait returned since the start; `make bench` reads it through `governor status`.
    public private(set) var wakeUps: UInt64 = 0

    /// A loop with nothing to wait for. ENOMEM where libcurl can't start.
    public init() throws(SystemError) {
        clinux_ignore_pipe_signal()
        guard curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK, let multi = curl_multi_init() else {
            throw SystemError(ENOMEM, "curl_multi_init")
        }
        self.multi = Multi(raw: multi)
    }

    func newToken() -> Token {
        lastNumber += 1
        return Token(number: lastNumber)
    }

    /// Calls the handler with poll(2)'s result bits whenever the descriptor is ready. It stays the caller's to close, after `cancel`.
    @discardableResult
    public func watch(_ descriptor: Int32, for events: Int32 = POLLIN, _ handler: @escaping (Int16) -> Void) -> Token {
        let token = newToken()
        watches.append(Watch(token: token, descriptor: descriptor, events: Int16(events), handler: handler))
        return token
    }

    /// Calls the handler once, at a moment by CLOCK_BOOTTIME in nanoseconds.
    @discardableResult
    public func at(_ moment: Int64, _ handler: @escaping () -> Void) -> Token {
        let token = newToken()
        timers.append(Timer(token: token, moment: moment, handler: handler))
        return token
    }

    /// Calls the handler once, after so many milliseconds.
    @discardableResult
    public func after(milliseconds: Int64, _ handler: @escaping () -> Void) -> Token {
        at(Clock.bootNanoseconds() + milliseconds * 1_000_000, handler)
    }

    /// Ends a watch or timer, or gives up a transfer, whose handler is then not called. What is over already is left alone.
    public func cancel(_ token: Token?) {
        guard let token else { return }
        watches.removeAll { $0.token == token }
        timers.removeAll { $0.token == token }
        if let transfer = transfers.removeValue(forKey: token.number) { transfer.detach(from: multi) }
    }

    /// Lets `run` return after the handlers of this round.
    public func stop() { isRunning = false }

    /// Waits and calls handlers until `stop`.
    public func run() throws(SystemError) {
        isRunning = true
        while isRunning {
            fireTimers()
            guard isRunning else { return }
            try waitOnce()
        }
    }

    private func fireTimers() {
        let now = Clock.bootNanoseconds()
        while let index = timers.indices.filter({ timers[$0].moment <= now }).min(by: { timers[$0].moment < timers[$1].moment }) {
            timers.remove(at: index).handler()
        }
    }

    private func waitMilliseconds() -> Int32 {
        guard let next = timers.map({ $0.moment }).min() else { return Int32.max }
        let left = (next - Clock.bootNanoseconds() + 999_999) / 1_000_000
        return Int32(max(0, min(left, Int64(Int32.max))))
    }

    private func waitOnce() throws(SystemError) {
        var descriptors = watches.map { curl_waitfd(fd: $0.descriptor, events: waitEvents($0.events), revents: 0) }
        let asked = watches.map { $0.token }
        let code = curl_multi_poll(multi.raw, &descriptors, UInt32(descriptors.count), waitMilliseconds(), nil)
        wakeUps += 1
        guard code == CURLM_OK else {
            throw SystemError(EIO, "curl_multi_poll: " + String(cString: curl_multi_strerror(code)))
        }
        for (index, descriptor) in descriptors.enumerated() where descriptor.revents != 0 {
            // A handler before this one may have cancelled it.
            guard let watch = watches.first(where: { $0.token == asked[index] }) else { continue }
            watch.handler(Int16(bitPattern: UInt16(truncatingIfNeeded: descriptor.revents)))
        }
        try moveTransfers()
    }

    private func waitEvents(_ events: Int16) -> Int16 {
        // CURL_WAIT_POLLIN, PRI and OUT are 1, 2 and 4, as poll's own.
        events & 7
    }

    /// Also where no transfer is left: libcurl (8.10 and later) waits for the other side's end of a TLS connection in the very same poll, and until
    /// it is let do its work that poll returns at once, over and over.
    private func moveTransfers() throws(SystemError) {
        var running: Int32 = 0
        let code = curl_multi_perform(multi.raw, &running)
        guard code == CURLM_OK else {
            throw SystemError(EIO, "curl_multi_perform: " + String(cString: curl_multi_strerror(code)))
        }
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi.raw, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
            let result = ccurl_result(message)
            guard let number = transfers.first(where: { $0.value.easy.raw == easy })?.key,
                let transfer = transfers.removeValue(forKey: number)
            else { continue }
            transfer.detach(from: multi)
            transfer.finish(result)
        }
    }
}

/// libcurl's multi handle.
struct Multi: ~Copyable {
    let raw: UnsafeMutableRawPointer

    deinit { _ = curl_multi_cleanup(raw) }
}
