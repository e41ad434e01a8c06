// A log that keeps its lines.

import type { Log } from '../../src/base/log.ts'

/** One line. */
interface Line {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: object
  readonly message: string
}

/** A log, and what was logged. */
export function keptLog(): Log & { readonly lines: readonly Line[] } {
  const lines: Line[] = []
  const at = (level: Line['level']) => (fields: object, message: string): void => {
    lines.push({ level, fields, message })
  }
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}
