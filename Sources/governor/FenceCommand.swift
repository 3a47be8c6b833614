import Commands
import Fence
import Platform

/// `governor fence`: the rule set that a lease gets by this configuration, for owners who want to know and for `nft --check -f -`.
enum FenceCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        let config = try layout.config()
        guard config.network.usesNftables else { return Terminal.print("# \"network.fence\" is \"none\": neither a way out nor a wall") }
        Terminal.print(layout.fence(config).rules)
    }
}
