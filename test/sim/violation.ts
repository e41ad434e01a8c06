// How a checker reports a broken guarantee. The run ends there, and names the checker.

import { AssertionError } from 'node:assert'

/** A broken guarantee. */
export class Violation extends AssertionError {
  readonly checker: string

  constructor(checker: string, message: string) {
    super({ message: `${checker}: ${message}` })
    this.checker = checker
  }
}

/** Throws a Violation unless `condition` holds; the message is made only then. */
export function promise(
  condition: boolean, checker: string, message: () => string,
): asserts condition {
  if (!condition) throw new Violation(checker, message())
}
