// Assertions of invariants. A failed one ends the shard's thread; its supervisor decides what next.
// Thread: any. Memory: none.
// Never: used for what a caller, an upstream or a full table can cause; those are error answers.
// VERIFY switches on the checks that cost more than O(1); tests and the simulator set it.

/** Thrown by a failed assertion; `name` distinguishes it from operating errors. */
class AssertionFailure extends Error {
  override name = 'AssertionFailure'
}

/** Throws AssertionFailure with `message` unless `condition` holds. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message)
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unexpected value: ${String(value)}`)
}

/** Whether costly checks run: set by the environment variable SLUICE_VERIFY=1. */
export const VERIFY = process.env['SLUICE_VERIFY'] === '1'
