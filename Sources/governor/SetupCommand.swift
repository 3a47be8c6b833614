import Appliance
import CLinux
import Commands
import JSON
import Platform

/// `governor setup`: the owner's settings of the system become the files that its services go by. Before the network comes up.
enum SetupCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        let root = options.optional("--root") ?? ""
        let plan: SetupPlan
        do throws(JSONError) { plan = SetupPlan(try settings(layout.configPath)) } catch {
            throw CommandFailure(.configuration, layout.configPath + ": " + error.message)
        }
        try system(otherwise: .cannotCreate) { () throws(SystemError) in
            try plan.apply(below: root)
            guard root.isEmpty, let name = plan.hostname else { return }
            guard sethostname(name, name.utf8.count) == 0 else { throw .last("sethostname") }
        }
    }

    /// `system` alone: what is wrong elsewhere in the file must not take the owner's way in, nor the network.
    private static func settings(_ path: String) throws(JSONError) -> SystemSettings {
        var reader = try ObjectReader(try Config.value(path))
        return try SystemSettings(try reader.optionalObject("system"))
    }
}
