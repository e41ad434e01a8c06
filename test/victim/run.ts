// One attacker beside the victim: what the victim's upstream receives before and during the attack.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Attack } from './attacks.ts'
import { Stage, type StageWindow } from './stage.ts'
import { PER_SECOND } from './victim-side.ts'

/** Windows are tried until one has so much of the sends of the window without an attacker. */
const SENDS_SHARE_WANTED = 0.99
/** Where the machine left a thread of the server without a processor for more of a window, */
const STARVED_MAX = 0.05
/** the sends of so many seconds must come in ten times as many: a pool that is held is held. */
const SLOW_SECONDS = 2
const SLOWER_MAX = 10
const LOOKS_AT_BOUND_MAX = 400
const LOOK_EVERY_MS = 50

/** How long, and how often. */
export interface RunOptions {
  readonly windowMs: number
  /**
   * Windows that are tried: what an attack holds up it holds up in all of them, what the machine
   * does in one.
   */
  readonly windowsMax: number
  /** The share of the sends without an attacker that the best window must have. */
  readonly sendsShareMin: number
}

/** What was seen. */
export interface RunReport {
  /** Without an attacker. */
  readonly before: StageWindow
  /** Of the best of the windows during the attack. */
  readonly during: StageWindow
  readonly isAtBound: boolean
  /** Whether the victim had its sends. */
  readonly isServed: boolean
  /** Why nobody new was served; undefined when somebody was. */
  readonly newcomer: string | undefined
}

/** Runs one attack on a stage of its own. */
export async function runAttack(attack: Attack, options: RunOptions): Promise<RunReport> {
  const { windowMs, windowsMax, sendsShareMin } = options
  const stage = await Stage.open(attack)
  try {
    await stage.submitAhead(Math.ceil((windowsMax + 2) * windowMs / 1000) + 60)
    const before = await stage.window(windowMs)
    const isFull = await attack.begin(stage)
    let isAtBound = false
    for (let looks = 0; !isAtBound && looks < LOOKS_AT_BOUND_MAX; looks++) {
      isAtBound = await isFull()
      if (!isAtBound) await sleep(LOOK_EVERY_MS)
    }
    const due = Math.min(before.sends, windowMs / 1000 * PER_SECOND)
    let during: StageWindow = { sends: 0, longestGapMs: windowMs, starved: 0 }
    for (let left = windowsMax; left > 0 && during.sends < due * SENDS_SHARE_WANTED; left--) {
      const window = await stage.window(windowMs)
      if (window.sends >= during.sends) during = window
    }
    const isServed = during.sends >= due * sendsShareMin ||
      (during.starved > STARVED_MAX && await isServedSlowly(stage))
    return {
      before, during, isAtBound, isServed,
      newcomer: attack.noNewcomer === undefined ? await tryNewcomer(stage) : undefined,
    }
  } finally {
    await stage.close()
  }
}

/** On a machine that has no processor for the server: whether sends leave at all. */
async function isServedSlowly(stage: Stage): Promise<boolean> {
  let sends = 0
  for (let left = SLOW_SECONDS * SLOWER_MAX; left > 0; left--) {
    sends += (await stage.window(1000)).sends
    if (sends >= SLOW_SECONDS * PER_SECOND) return true
  }
  return false
}

async function tryNewcomer(stage: Stage): Promise<string | undefined> {
  const stop = new AbortController()
  const tooLong = sleep(10_000, 'not served within 10 s', { signal: stop.signal })
    .catch(() => undefined)
  const served = stage.newcomer().then(() => undefined, (error: unknown) => String(error))
  const outcome = await Promise.race([served, tooLong])
  stop.abort()
  return outcome
}

/** One line of the report. */
export const lineOf = (attack: Attack, report: RunReport): string => {
  const { before, during, isAtBound, isServed, newcomer } = report
  const newcomers = attack.noNewcomer !== undefined ? `not asked: ${attack.noNewcomer}`
    : newcomer === undefined ? 'served' : `NOT SERVED: ${newcomer.slice(0, 200)}`
  return `${attack.pool}, ${attack.what}: sends ${during.sends} (${before.sends} before)` +
    `${isServed ? '' : ' TOO FEW'}, no processor for ${Math.round(100 * during.starved)} %, ` +
    `longest gap ${during.longestGapMs} ms ` +
    `(${before.longestGapMs} before), ${isAtBound ? 'at its bound' : 'NOT AT ITS BOUND'}, ` +
    `newcomer ${newcomers}`
}
