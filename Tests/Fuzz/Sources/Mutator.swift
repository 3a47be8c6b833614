import CFuzzer
import JSON

/// libFuzzer asks this for the next input. Three of four changes of a JSON text are made to its values, so that most of what comes is JSON
/// whose keys are right; the rest, and other inputs, are changed byte by byte.
@c(LLVMFuzzerCustomMutator) public func nextInput(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ room: Int, _ seed: UInt32) -> Int {
    var dice = Dice(state: UInt64(seed))
    guard current.isJSON, dice.roll(4) > 0, let value = try? JSON.parse(Array(UnsafeBufferPointer(start: bytes, count: count))) else {
        return LLVMFuzzerMutate(bytes, count, room)
    }
    var changed = value
    for _ in 0...dice.roll(2) { changed = dice.changed(changed) }
    let text = changed.encoded()
    guard text.count <= room else { return LLVMFuzzerMutate(bytes, count, room) }
    for (index, byte) in text.enumerated() { bytes[index] = byte }
    return text.count
}

/// Numbers of a seed, and what is done by them.
private struct Dice {
    var state: UInt64

    mutating func roll(_ sides: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % sides
    }

    /// The value with one place of it changed.
    mutating func changed(_ value: JSON) -> JSON {
        switch value {
        case .object(var members):
            guard !members.isEmpty, roll(12) > 0 else { return strange() }
            let index = roll(members.count)
            switch roll(10) {
            case 0: members.remove(at: index)
            case 1: members.append(JSON.Member(string(members[index].key), members[index].value))
            case 2: members.swapAt(index, roll(members.count))
            case 3: members[index] = JSON.Member(members[index].key, members[roll(members.count)].value)
            default: members[index] = JSON.Member(members[index].key, changed(members[index].value))
            }
            return .object(members)
        case .array(var elements):
            guard !elements.isEmpty, roll(6) > 0 else { return .array([strange()]) }
            let index = roll(elements.count)
            switch roll(4) {
            case 0: elements.remove(at: index)
            case 1: elements += Array(repeating: elements[index], count: 1 + roll(20))
            default: elements[index] = changed(elements[index])
            }
            return .array(elements)
        case .string(let text): return roll(8) > 0 ? .string(string(text)) : strange()
        case .integer(let number): return roll(8) > 0 ? .integer(whole(number)) : strange()
        case .number(let number): return roll(2) > 0 ? .number(number * Double(roll(100)) / 10) : strange()
        case .bool(let truth): return roll(4) > 0 ? .bool(!truth) : strange()
        case .null: return strange()
        }
    }

    private mutating func whole(_ number: Int64) -> Int64 {
        let edges: [Int64] = [0, 1, -1, 65_535, 65_536, 1_735_689_600, 4_102_444_800, 1 << 31, 1 << 32, 1 << 53, 1 << 60, .max, .min]
        switch roll(4) {
        case 0: return edges[roll(edges.count)]
        case 1: return number &+ Int64(roll(7) - 3)
        case 2: return number ^ (1 << Int64(roll(64)))
        default: return Int64(roll(1_000_000))
        }
    }

    private mutating func string(_ text: String) -> String {
        var bytes = Array(text.utf8)
        let length = bytes.count
        switch roll(6) {
        case 0: return String(repeating: text, count: 1 + roll(4))
        case 1: bytes = Array(bytes.prefix(roll(length + 1)))
        case 2: bytes.insert(UInt8(roll(128)), at: roll(length + 1))
        default:
            bytes.append(contentsOf: [UInt8](repeating: 0, count: 16))
            let count = bytes.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map { LLVMFuzzerMutate($0, length, length + 16) } ?? 0
            }
            bytes = Array(bytes.prefix(count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func strange() -> JSON {
        switch roll(9) {
        case 0: .null
        case 1: .bool(true)
        case 2: .integer(whole(0))
        case 3: .number(Double(roll(1_000)) / 8)
        case 4: .string("")
        case 5: .string(String(repeating: "x", count: roll(300)))
        case 6: .array([])
        case 7: .object([])
        default: .string("a\nb\u{1B}[31m")
        }
    }
}
