// Damages one part of the engine, as a bug might, and reports the first checker that detects it.

import { mock, test } from 'node:test'
import { FailedRun } from './run-seed.ts'
import { Violation } from './violation.ts'

/** Any method of any part, with its own arguments and result. */
export type Method = (...values: never[]) => unknown

/** The damaged method, and its replacement. */
export interface Damage {
  readonly part: { prototype: object }
  readonly method: string
  readonly damage: Method
}

/** Runs up to so many seeds until one fails; returns the checker, or the error. */
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

/** A test whose body runs while one method is replaced. */
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
