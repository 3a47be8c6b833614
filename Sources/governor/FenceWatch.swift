import EventLoop
import Fence
import Platform

/// Asks for a look at the fence as soon as something changes its rules: at once, and then no more than once in two seconds, however often
/// they change. What others do to their own rules, as dockerd does with each container, is heard and costs no look. It lives as long as the loop.
final class FenceWatch {
    private let loop: EventLoop
    private let fence: Fence
    private let news: RuleNews
    private let look: () -> Void
    private var timer: EventLoop.Token?
    /// The earliest moment of the next look, CLOCK_BOOTTIME nanoseconds.
    private var next: Int64 = 0

    private static let pause: Int64 = 2_000_000_000

    init(_ loop: EventLoop, _ fence: Fence, _ look: @escaping () -> Void) throws(SystemError) {
        self.loop = loop
        self.fence = fence
        self.look = look
        news = try RuleNews()
        loop.watch(news.descriptor) { [self] _ in hear() }
    }

    private func hear() {
        guard news.concern(fence), timer == nil else { return }
        timer = loop.at(next) { [self] in
            timer = nil
            next = Clock.bootNanoseconds() + Self.pause
            look()
        }
    }
}
