import GovernorCore
import Platform

extension LogEvent {
    /// How much a line of this event matters.
    fileprivate var level: LogLevel { isError ? .error : isTrouble ? .warning : .info }
}

extension Log {
    /// Writes what the core has to say, behind these fields.
    func write(_ note: Note, after fields: [LogField] = []) {
        write(note.event.level, id: note.event.rawValue, note.event.name, fields + note.fields.map { LogField($0.key, $0.value) })
    }
}
