// The log: JSON lines on standard error or in a file, for rare events. The path of a job does not
// log, and no line carries a secret: fields whose names look secret are redacted at any depth.

import { type Logger as PinoLogger, pino } from 'pino'
import { SystemClock } from '../../shards/base/clock.ts'
import { fail } from './errors.ts'
import { LogSink, type LogStatus } from './log-sink.ts'

/** What the rest of the process logs with: fields first, then the sentence. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const CENSORED = '[redacted]'
const SECRET_NAME = /authorization|api[-_]?key|cookie|secret|password|passwd|token|credential/i
const REDACT_DEPTH_MAX = 5

/**
 * The fields, with the value of every name that looks like a secret redacted. Errors are left to
 * their own serializer; what is nested deeper than five levels is omitted.
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

/** A log that can be flushed before the process ends. */
export interface ProcessLog extends Log {
  readonly status: LogStatus
  /** Sets the lowest level that is written. */
  setLevel(level: string): void
  /** Reopens the log's file; logs that, or why it cannot. */
  reopen(): void
  /** Writes queued lines synchronously; for a process that ends at once. */
  flush(): void
  /** Logs nothing more; resolves when all lines are written, so that later output follows them. */
  end(): Promise<void>
}

/**
 * A log at the given level.
 * @param file that lines are appended to; on standard error when left out. Throws OperatingError
 *   when it cannot be opened.
 */
export function createLog(level: string, file?: string): ProcessLog {
  const sink = openSink(file, (dropped) =>
    logger.warn({ dropped }, 'the log is written again; lines were dropped meanwhile'))
  const logger: PinoLogger = pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: redact },
  }, sink)
  return {
    status: sink,
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    setLevel: (next) => { logger.level = next },
    reopen: () => {
      try {
        if (sink.reopen()) logger.info({ file }, 'opened the log file anew')
      } catch (error) {
        logger.error({ file, reason: (error as Error).message },
          'cannot open the log file anew; lines go on to the old one')
      }
    },
    flush: () => sink.flush(),
    end: () => {
      logger.level = 'silent'
      return sink.end()
    },
  }
}

function openSink(file: string | undefined, onResumed: (dropped: number) => void): LogSink {
  const clock = new SystemClock()
  try {
    return new LogSink({ clock, onResumed, ...(file !== undefined && { file }) })
  } catch (error) {
    return fail('log_failed', `cannot write the log to ${file} (${(error as Error).message}); ` +
      'name another file with --log-file', error)
  }
}
