// Refused requests in the log: each kind at most once in a while, with the number of those between,
// so that whoever tries a million keys fills no disk.

import type { Clock } from '../../shards/base/clock.ts'
import { msToUs } from '../../shards/base/units.ts'
import { DENIALS_LOG_PAUSE_MS } from '../base/client-limits.ts'
import type { ErrorCode } from '../base/errors.ts'
import type { Log } from '../base/log.ts'

interface Kind {
  silentUntilUs: number
  /** Since the last line. */
  unlogged: number
}

/** Logs denials. */
export class DenialLog {
  readonly #clock: Clock
  readonly #log: Log
  readonly #kinds = new Map<ErrorCode, Kind>()

  /** @param clock is only read. */
  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** @param facts are made only when a line is written. */
  add(code: ErrorCode, facts: () => object): void {
    const nowUs = this.#clock.nowUs()
    const kind = this.#kinds.get(code) ?? { silentUntilUs: -Infinity, unlogged: 0 }
    this.#kinds.set(code, kind)
    if (nowUs < kind.silentUntilUs) return void kind.unlogged++
    const { unlogged } = kind
    kind.silentUntilUs = nowUs + msToUs(DENIALS_LOG_PAUSE_MS)
    kind.unlogged = 0
    this.#log.warn({ code, ...facts(), ...(unlogged > 0 && { unlogged }) }, 'a request was denied')
  }
}
