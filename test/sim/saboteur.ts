// Damage to one part of the engine, as a bug might do it, and who objects first.

import { mock, test } from 'node:test'
import { FailedRun } from './run-seed.ts'
import { Violation } from './violation.ts'

/** Any method of any part; its arguments and what it returns are the saboteur's business. */
export type Method = (...values: never[]) => unknown

/** What is damaged, and how. */
export interface Damage {
  readonly part: { prototype: object }
  readonly method: string
  readonly damage: Method
}

/** Runs so many seeds until one fails, and says which checker it was, or what else. */
export function firstObjection(
  firstSeed: number, seeds: number, run: (seed: number) => void,
): string {
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    try {
      run(seed)
    } catch (error) {
      const cause = error instanceof FailedRun ? error.cause : error
      return cause instanceof Violation ? cause.checker : String(cause)
    }
  }
  return 'nobody'
}

/** A test whose body runs while one method does something else. */
export function testDamaged(
  title: string, { part, method, damage }: Damage, body: () => void,
): void {
  test(title, () => {
    const mocked = mock.method(part.prototype as Record<string, Method>, method, damage)
    try {
      body()
    } finally {
      mocked.mock.restore()
    }
  })
}
