// How a checker says that a promise was broken. The run ends there, and names the checker.

import { AssertionError } from 'node:assert'

/** A broken promise. */
export class Violation extends AssertionError {
  readonly checker: string

  constructor(checker: string, message: string) {
    super({ message: `${checker}: ${message}` })
    this.checker = checker
  }
}

/** Throws a Violation with the message, which is made only then, unless `condition` holds. */
export function promise(
  condition: boolean, checker: string, message: () => string,
): asserts condition {
  if (!condition) throw new Violation(checker, message())
}
