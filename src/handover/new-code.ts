// Loads the project's code from disk again, beside the running code. A module is identified by its
// URL, so new code is the same files with ?generation=N appended: whatever a file of a generation
// imports from this project belongs to that generation; packages are shared by all generations.
//
// Node never unloads a module, so each reload costs the memory of the code itself, about 1.6 MB of
// heap and 2.2 MB in total; what the code has allocated is garbage once nothing refers to it.

import { registerHooks } from 'node:module'
import path from 'node:path'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { CODE_LOAD_MS_MAX } from '../base/limits.ts'
import type * as Replaceable from '../door/replaceable.ts'

/** The exports that are replaced. */
export type NewCode = typeof Replaceable

/** The code, or why it cannot be loaded, for the operator. */
export type Loaded =
  | { readonly ok: true, readonly code: NewCode }
  | { readonly ok: false, readonly reason: string }

// Relative to this file, with its extension, so that a compiled package works too.
const ENTRY = new URL(`../door/replaceable${path.extname(import.meta.url)}`, import.meta.url).href
const ROOT = new URL('../../', import.meta.url).href
const OURS = [new URL('src/', ROOT).href, new URL('shards/', ROOT).href]
const MANIFEST = new URL('package.json', ROOT).href
const GENERATION = /\?generation=\d+$/

const isOurs = (url: string): boolean =>
  url === MANIFEST || OURS.some((folder) => url.startsWith(folder))

let isHooked = false
let generations = 0

function hook(): void {
  if (isHooked) return
  isHooked = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context)
      const generation = GENERATION.exec(context.parentURL ?? '')?.[0]
      if (generation === undefined || !isOurs(resolved.url)) return resolved
      return { ...resolved, url: `${resolved.url}${generation}` }
    },
  })
}

/** Loads everything again; never rejects. @param clock is used for one wake-up. */
export async function loadNewCode(clock: Clock): Promise<Loaded> {
  hook()
  generations++
  const { promise: late, resolve } = Promise.withResolvers<Loaded>()
  clock.wakeAt((clock.nowUs() + msToUs(CODE_LOAD_MS_MAX)) as Micros, () => {
    resolve({ ok: false, reason: `it is not loaded after ${CODE_LOAD_MS_MAX / 1000} s` })
  })
  const loading = (import(`${ENTRY}?generation=${generations}`) as Promise<NewCode>)
    .then((code): Loaded => ({ ok: true, code }), (error: unknown): Loaded =>
      ({ ok: false, reason: describeFault(error) }))
  const loaded = await Promise.race([loading, late])
  clock.wakeAt(Infinity as Micros, () => {})
  return loaded
}

/** One line that describes an error in new code, with its place if it is known. */
export function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const place = /file:\/\/[^\s)]+?\?generation=\d+:\d+/.exec(error.stack ?? '')?.[0]
  const text = `${error.name}: ${error.message.split('\n')[0]}`
  return plain(place === undefined ? text : `${place}: ${text}`)
}

/** Shows file names without generation and folder. */
const plain = (text: string): string => text.replaceAll(/\?generation=\d+/g, '')
  .replaceAll(ROOT, '').replaceAll(new URL(ROOT).pathname, '')
