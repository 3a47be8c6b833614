import CGpiod
import CLinux
import Platform

/// A GPIO line as an output, through libgpiod. The kernel lets nobody else have it, and takes it back however we end; what level it
/// then has is its driver's affair (a Pi's becomes an input), so `deinit` makes it dark first.
struct GPIOLine: ~Copyable {
    private let raw: UnsafeMutablePointer<cgpiod_output>

    /// Takes the line, dark. ENODEV where no chip has one of the labels, EBUSY where somebody else holds the line (the error says who),
    /// EINVAL where the chip has no such line.
    init(_ line: LampPlan.Line, nodes folder: String = "/dev") throws(SystemError) {
        guard let node = Self.node(line.chips, folder) else {
            throw SystemError(ENODEV, line.name + ", for no chip has this label")
        }
        guard let raw = cgpiod_open(node, line.offset, line.isActiveLow, "sublet") else {
            let code = clinux_errno()
            let holder = code == EBUSY ? Self.holder(node, line.offset) : ""
            throw SystemError(code, line.name + (holder.isEmpty ? "" : ", held by \"" + holder + "\""))
        }
        self.raw = raw
    }

    deinit {
        _ = cgpiod_set(raw, false)
        cgpiod_close(raw)
    }

    /// Lights it or makes it dark.
    borrowing func set(isLit: Bool) throws(SystemError) {
        guard cgpiod_set(raw, isLit) == 0 else { throw .last("gpiod: set") }
    }

    private static func node(_ labels: [String], _ folder: String) -> String? {
        let names = Files.names(in: folder)
        for label in labels {
            for name in names where name.utf8.starts(with: "gpiochip".utf8) {
                if cgpiod_has_label(folder + "/" + name, label) == 1 { return folder + "/" + name }
            }
        }
        return nil
    }

    private static func holder(_ node: String, _ offset: UInt32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            cgpiod_holder(node, offset, base, 64)
            return String(cString: base)
        }
    }
}
