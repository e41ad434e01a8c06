// The log: JSON lines on standard error, for what happens rarely. Nothing on a job's path logs, and
// no line carries a secret: fields whose names sound like one are censored at any depth.

import { type DestinationStream, type Logger as PinoLogger, destination, pino } from 'pino'
import { lookEvery } from '../shards/clock.ts'

/** What the rest of the process logs with: fields first, then the sentence. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const CENSORED = '[redacted]'
const SECRET_NAME = /authorization|api[-_]?key|cookie|secret|password|passwd|token|credential/i
const REDACT_DEPTH_MAX = 5
/** Lines that wait while standard error is blocked; beyond it the newest are dropped. */
const WAITING_BYTES_MAX = 1024 * 1024
const STDERR = 2
/** For the last lines, while standard error is blocked. */
const END_MS_MAX = 1000

/**
 * The fields with every value censored whose name sounds secret. Errors are left to their own
 * serializer; what is nested deeper than five levels is left out.
 */
export function redact(fields: object): Record<string, unknown> {
  return redactMap(fields, 0)
}

function redactMap(fields: object, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    result[name] = SECRET_NAME.test(name) ? CENSORED : redactValue(value, depth + 1)
  }
  return result
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  if (depth >= REDACT_DEPTH_MAX) return '[deep]'
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1))
  return redactMap(value, depth)
}

/** A log and the means to get its last lines out before the process ends. */
export interface ProcessLog extends Log {
  /** From now on, the least severe lines that are written. */
  setLevel(level: string): void
  /** Writes what waits; call it before the process ends at once. */
  flush(): void
  /** No more lines; resolves when all are written, so that what else is said comes behind them. */
  end(): Promise<void>
}

/**
 * A log at the given level.
 * @param stream where the lines go; standard error unless a test says otherwise. It is written in
 *   the background, so that a blocked terminal does not hold up the front door.
 */
export function createLog(level: string, stream?: DestinationStream): ProcessLog {
  const stderr = stream === undefined
    ? destination({ fd: STDERR, sync: false, maxLength: WAITING_BYTES_MAX })
    : undefined
  const logger: PinoLogger = pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: redact },
  }, stream ?? stderr)
  return {
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    setLevel: (next) => { logger.level = next },
    flush: () => flushQuietly(stderr),
    end: () => {
      logger.level = 'silent'
      return stderr === undefined ? Promise.resolve() : ended(stderr)
    },
  }
}

/** Ends whatever becomes of the lines: whoever should read them may be gone, or read nothing. */
function ended(stderr: ReturnType<typeof destination>): Promise<void> {
  return new Promise((resolve) => {
    const stopWaiting = lookEvery(END_MS_MAX, () => over())
    const over = (): void => {
      stopWaiting()
      resolve()
    }
    stderr.once('close', over)
    stderr.once('error', over)
    try {
      stderr.end()
    } catch {
      over() // it has ended before
    }
  })
}

function flushQuietly(stderr: ReturnType<typeof destination> | undefined): void {
  try {
    stderr?.flushSync()
  } catch {
    // Standard error is closed or not ready yet: there is nobody left to tell.
  }
}
