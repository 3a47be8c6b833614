import Commands
import MarketCore
import Protocol

extension CommandFailure {
    init(_ error: MarketError) {
        switch error {
        case .failed(let failure): self.init(.inputOutput, failure.message)
        case .refused(let refusal):
            switch refusal.code {
            case .conflict: self.init(.refused, refusal.message)
            case .unavailable: self.init(.unavailable, refusal.message)
            default: self.init(.badData, refusal.message)
            }
        }
    }
}

/// Runs rules or ledger calls; their error as the command's.
func carried<Result>(_ body: () throws(MarketError) -> Result) throws(CommandFailure) -> Result {
    do throws(MarketError) { return try body() } catch { throw CommandFailure(error) }
}
