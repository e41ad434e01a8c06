// The control commands `keys-add`, `keys-list` and `keys-revoke`. Without a server, `sluice keys`
// executes them itself, on the key file.

import type { Clock } from '../../shards/base/clock.ts'
import { publicEntry } from '../access/key-entry.ts'
import type { KeyRing } from '../access/key-ring.ts'
import { WISH_OPTIONS, type WishTexts, wishOf } from '../access/read-wish.ts'
import { KEYS_PER_ANSWER_MAX } from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { ControlAnswer, ControlCommand, ControlRequest } from './commands.ts'

/** The commands by name. */
export const keyCommands = (
  ring: KeyRing, log: Log, clock: Pick<Clock, 'nowUs' | 'wallMs'>,
): Map<string, ControlCommand> => {
  const commands: Record<string, (request: ControlRequest) => Promise<ControlAnswer>> = {
    'keys-add': (request) => addKey(ring, log, request, clock.wallMs(clock.nowUs())),
    'keys-list': async (request) => listKeys(ring, request),
    'keys-revoke': (request) => revokeKey(ring, log, request),
  }
  return new Map(Object.entries(commands).map(([name, run]) => [name, async (request) =>
    otherFile(ring, request) ?? run(request)]))
}

/** A request may name the file that it means: a server keeps its keys in one file. */
function otherFile(ring: KeyRing, { file }: ControlRequest): ControlAnswer | undefined {
  if (file === undefined || file === ring.file) return undefined
  return { ok: false, error: ring.file === undefined
    ? 'the server that runs here has no key file: start it with --keys-file'
    : `the server that runs here has its keys in ${ring.file}: leave --keys-file out` }
}

/** Answers with the key's fields, and as `text` the key itself, which is nowhere else. */
async function addKey(
  ring: KeyRing, log: Log, request: ControlRequest, nowMs: number,
): Promise<ControlAnswer> {
  const texts: Record<string, string> = {}
  for (const option of Object.keys(WISH_OPTIONS)) {
    const text = request[option]
    if (text === undefined) continue
    if (typeof text !== 'string') return { ok: false, error: `${option} has to be text` }
    texts[option] = text
  }
  const wish = wishOf(texts as WishTexts, nowMs)
  if ('field' in wish) {
    return { ok: false, error: `--${wish.field}: expected ${wish.expected}` }
  }
  const added = await ring.add(wish)
  if (!added.ok) return added
  const { entry, text } = added.value
  const fields = publicEntry(entry)
  log.info(fields, 'added a key')
  return { ok: true, fields: { ...fields, text } }
}

/** Answers with some keys, and as `next` where to go on, if there are more. */
function listKeys(ring: KeyRing, request: ControlRequest): ControlAnswer {
  const start = Number(request['from'] ?? 0)
  if (!Number.isInteger(start) || start < 0) {
    return { ok: false, error: 'from has to be a whole number' }
  }
  const entries = ring.list()
  const end = start + KEYS_PER_ANSWER_MAX
  return { ok: true, fields: {
    keys: entries.slice(start, end).map(publicEntry),
    ...(end < entries.length && { next: end }),
  } }
}

async function revokeKey(
  ring: KeyRing, log: Log, request: ControlRequest,
): Promise<ControlAnswer> {
  const revoked = await ring.revoke(String(request['id']))
  if (!revoked.ok) return revoked
  const fields = publicEntry(revoked.value)
  log.info(fields, 'revoked a key')
  return { ok: true, fields }
}
