/// What is to happen, in the order of its time; of one time, in the order in which it was put down. A binary heap.
struct Agenda {
    private struct Entry {
        let at: Int64
        let number: Int64
        let happen: () -> Void

        func isBefore(_ other: Entry) -> Bool { at == other.at ? number < other.number : at < other.at }
    }

    private var heap: [Entry] = []
    private var count: Int64 = 0

    /// Puts something down for a time, milliseconds.
    mutating func add(at time: Int64, _ happen: @escaping () -> Void) {
        count += 1
        heap.append(Entry(at: time, number: count, happen: happen))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes what comes first; nil where nothing is left.
    mutating func next() -> (at: Int64, happen: () -> Void)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return (first.at, first.happen) }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[least]) { least = child }
            guard least != parent else { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return (first.at, first.happen)
    }

    /// Forgets everything.
    mutating func clear() { heap = [] }
}
